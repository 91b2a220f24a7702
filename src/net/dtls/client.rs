//! The client's side of one DTLS 1.2 session, without I/O: datagrams go in and come out, and the
//! owner looks after the socket and the clock. Simulated devices speak through it, and so does the
//! server where it begins a session itself.
//!
//! OpenSSL shakes hands, and keeps the times of that (1 s at first, then twice as long each time; RFC 6347
//! section 4.2.4.1) by the clock of the system. Then our own record layer goes on where it knows the suite,
//! see `takeover`: a session that is open takes a few hundred bytes, and one that OpenSSL keeps a hundred
//! times that.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::ssl::{Error, ErrorCode, Ssl, SslStream};
use openssl::x509::X509VerifyResult;

use super::aead::Ciphers;
use super::alert;
use super::cid::Cid;
use super::credentials::ClientCredentials;
use super::ffi::{self, Resumable};
use super::pipe::Pipe;
use super::proof::{Findings, SharedFindings, findings_index};
use super::records::Records;
use super::session::{After, Carrier, Tools, lay_down};
use super::sieve::{sieve, split_early};
use super::takeover::{self, Connection, Protected, Takeover};

/// How a client connects.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// What it proves itself with.
    pub credentials: ClientCredentials,
    /// The name or address that the server's certificate must be for, where certificates are used;
    /// none: any that the authority has signed.
    pub server_name: Option<String>,
    /// The cipher suites by OpenSSL's names; none: all that suit the credentials.
    pub ciphers: Option<String>,
    /// The largest datagram of a handshake, in bytes.
    pub mtu: u16,
    /// Offers connection ids (RFC 9146), by which the server knows the session wherever its records come
    /// from: records to us are to have one of so many bytes, at most 20. 0 is what constrained clients
    /// want, which have one server. None: they are not offered.
    pub connection_id: Option<usize>,
}

impl ClientSettings {
    /// With every suite, for any name, with datagrams that pass everywhere, without connection ids.
    pub fn new(credentials: ClientCredentials) -> Self {
        Self {
            credentials,
            server_name: None,
            ciphers: None,
            mtu: DEFAULT_MTU,
            connection_id: None,
        }
    }
}

/// One session, from its handshake to its end.
pub struct Client {
    settings: ClientSettings,
    phase: Phase,
    /// For the server.
    outgoing: VecDeque<Vec<u8>>,
    resumable: Option<Resumable>,
    agreed: Agreed,
}

enum Phase {
    Handshaking(Box<Attempt>),
    Connected(Carrier),
    Closed,
}

/// What the last handshake that has finished has led to.
#[derive(Clone, Copy, Debug, Default)]
struct Agreed {
    cipher: Option<&'static str>,
    is_resumed: bool,
    has_connection_id: bool,
}

/// A handshake that is under way.
struct Attempt {
    stream: SslStream<Pipe>,
    findings: SharedFindings,
    /// What is under keys, where OpenSSL does not see to that.
    takeover: Takeover,
    /// Records that were kept, or are.
    kept: usize,
}

/// What a datagram or the clock led to.
#[derive(Debug)]
pub enum ClientEvent {
    /// The handshake has finished; both sides have proven themselves.
    Connected,
    /// The server sent this.
    Received(Vec<u8>),
    /// The session is over, without an error when the server closed it.
    Closed(Option<ClientError>),
}

/// Why there is no session.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The server ended it by a fatal alert (RFC 5246 section 7.2).
    #[error("the server refuses: alert {alert} ({name})")]
    Refused {
        /// The number of the alert.
        alert: u8,
        /// What it is called.
        name: String,
    },
    /// The server has not answered, however often it was asked. What it thinks wrong it drops
    /// without a word, a PSK that is not the same for example.
    #[error("the server does not finish the handshake")]
    TimedOut,
    /// The server has not proven itself.
    #[error("the server cannot be trusted: {0}")]
    Untrusted(String),
    /// [`ClientSettings::connection_id`].
    #[error("a connection id has at most {} bytes", Cid::LONGEST)]
    ConnectionId,
    /// OpenSSL fails.
    #[error("OpenSSL fails: {0}")]
    OpenSsl(ErrorStack),
}

impl Client {
    /// Begins a handshake: the `ClientHello` can be polled.
    ///
    /// # Errors
    /// The suites, the name or the length of the connection id cannot be used.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientError> {
        let attempt = Attempt::new(&settings, None)?;
        let mut client = Self {
            settings,
            phase: Phase::Handshaking(Box::new(attempt)),
            outgoing: VecDeque::new(),
            resumable: None,
            agreed: Agreed::default(),
        };
        client.begin()?;
        Ok(client)
    }

    /// Begins another handshake in place of this session, without a word to the server: as after a
    /// change of address. The session is offered to the server to be taken up again (RFC 5246
    /// section 7.3), if there was one.
    ///
    /// # Errors
    /// OpenSSL fails.
    pub fn reconnect(&mut self) -> Result<(), ClientError> {
        let attempt = Attempt::new(&self.settings, self.resumable.as_ref())?;
        let before = Phase::Handshaking(Box::new(attempt));
        match std::mem::replace(&mut self.phase, before) {
            Phase::Connected(carrier) => carrier.lay_down(),
            Phase::Handshaking(mut attempt) => lay_down(&mut attempt.stream),
            Phase::Closed => {}
        }
        self.outgoing.clear();
        self.agreed = Agreed::default();
        self.begin()
    }

    /// A datagram of the server.
    pub fn handle_datagram(&mut self, datagram: &[u8]) -> Vec<ClientEvent> {
        match &mut self.phase {
            Phase::Handshaking(attempt) => {
                let result = with_tools(|tools| attempt.take(&mut tools.ciphers, datagram));
                self.took(result)
            }
            Phase::Connected(_) => self
                .read(|carrier, tools, take, send| carrier.open(Some(datagram), tools, take, send)),
            Phase::Closed => Vec::new(),
        }
    }

    /// Sends something to the server. False when there is no session, and it is lost.
    pub fn send(&mut self, data: &[u8]) -> bool {
        let Phase::Connected(carrier) = &mut self.phase else {
            return false;
        };
        let sealed = with_tools(|tools| carrier.seal(tools, data));
        let is_sealed = sealed.is_ok();
        self.outgoing.extend(sealed);
        is_sealed
    }

    /// The next datagram for the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// When [`Client::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        let Phase::Handshaking(attempt) = &self.phase else {
            return None;
        };
        let left = ffi::timeout(attempt.stream.ssl())?;
        // OpenSSL takes the last milliseconds for over; a little later is never too early.
        Instant::now().checked_add(left)
    }

    /// Sends again what the server has not answered in time.
    pub fn handle_timeout(&mut self) -> Vec<ClientEvent> {
        let Phase::Handshaking(attempt) = &mut self.phase else {
            return Vec::new();
        };
        match ffi::handle_timeout(&mut attempt.stream) {
            Ok(_) => {
                self.flush();
                Vec::new()
            }
            Err(errors) => {
                let error = attempt.error(errors);
                vec![self.failed(Some(error))]
            }
        }
    }

    /// Ends the session; the server is told by a `close_notify`, which can be polled.
    pub fn close(&mut self) {
        if let Phase::Connected(carrier) = &mut self.phase {
            self.outgoing
                .extend(with_tools(|tools| carrier.close(tools)));
        }
        self.phase = Phase::Closed;
    }

    /// Whether data can be sent.
    pub fn is_connected(&self) -> bool {
        matches!(self.phase, Phase::Connected(_))
    }

    /// Whether the session is over, or there never was one.
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// Whether the server took up an older session.
    pub fn is_resumed(&self) -> bool {
        self.agreed.is_resumed
    }

    /// Whether the server knows the session by a connection id, so that it goes on at another address.
    pub fn has_connection_id(&self) -> bool {
        self.agreed.has_connection_id
    }

    /// The cipher suite of the session, by OpenSSL's name.
    pub fn cipher(&self) -> Option<&'static str> {
        self.agreed.cipher
    }

    /// Whether OpenSSL keeps the session, which takes a hundred times the room.
    #[cfg(test)]
    pub(super) fn is_large(&self) -> bool {
        matches!(self.phase, Phase::Connected(Carrier::OpenSsl(_)))
    }

    /// Has the handshake's waits be a few milliseconds.
    #[cfg(test)]
    pub(super) fn hurry(&mut self) {
        if let Phase::Handshaking(attempt) = &mut self.phase {
            ffi::hurry(&mut attempt.stream);
        }
    }

    fn begin(&mut self) -> Result<(), ClientError> {
        let Phase::Handshaking(attempt) = &mut self.phase else {
            return Ok(());
        };
        let result = attempt.stream.connect();
        match self.took(result).pop() {
            Some(ClientEvent::Closed(Some(error))) => Err(error),
            _ => Ok(()),
        }
    }

    /// OpenSSL has got so far.
    fn took(&mut self, result: Result<(), Error>) -> Vec<ClientEvent> {
        let written = self.flush();
        match result {
            Ok(()) => {
                let mut events = vec![ClientEvent::Connected];
                events.extend(self.connected(&written));
                events
            }
            Err(error) if error.code() == ErrorCode::WANT_READ => Vec::new(),
            Err(error) => {
                let reason = match &self.phase {
                    Phase::Handshaking(attempt) => attempt.reason(&error),
                    Phase::Connected(_) | Phase::Closed => None,
                };
                vec![self.failed(reason)]
            }
        }
    }

    /// The handshake is over; `written` is what OpenSSL wrote in the end. What came with it.
    fn connected(&mut self, written: &[Vec<u8>]) -> Vec<ClientEvent> {
        let Phase::Handshaking(attempt) = std::mem::replace(&mut self.phase, Phase::Closed) else {
            return Vec::new();
        };
        let Attempt {
            mut stream,
            findings,
            takeover,
            ..
        } = *attempt;
        let ssl = stream.ssl();
        self.resumable = Resumable::of(ssl);
        let taken = Connection::of(ssl, &findings).and_then(|connection| {
            with_tools(|tools| takeover.finish(&mut tools.ciphers, connection, written)).ok()
        });
        self.agreed = Agreed {
            cipher: ssl.current_cipher().map(|cipher| cipher.name()),
            is_resumed: ssl.session_reused(),
            has_connection_id: taken
                .as_ref()
                .is_some_and(|taken| !taken.layer.peer.is_empty()),
        };
        let (mut carrier, contents) = match taken {
            Some(taken) => {
                lay_down(&mut stream);
                (Carrier::own(taken.layer, taken.flight), taken.contents)
            }
            None => (Carrier::open_ssl(stream), Vec::new()),
        };
        // Nobody goes on with it after a restart, so every number may be used.
        carrier.begin(u64::MAX);
        self.phase = Phase::Connected(carrier);
        self.read(|carrier, tools, take, send| {
            match carrier.take_in(&contents, tools, take, send) {
                // What OpenSSL has read already.
                After::Unheard => carrier.open(None, tools, take, send),
                end => end,
            }
        })
    }

    /// Has the session read something.
    fn read(
        &mut self,
        read: impl FnOnce(
            &mut Carrier,
            &mut Tools,
            &mut dyn FnMut(&[u8]),
            &mut dyn FnMut(Vec<u8>),
        ) -> After,
    ) -> Vec<ClientEvent> {
        let Phase::Connected(carrier) = &mut self.phase else {
            return Vec::new();
        };
        let mut events = Vec::new();
        let after = with_tools(|tools| {
            read(
                carrier,
                tools,
                &mut |message| events.push(ClientEvent::Received(message.to_vec())),
                &mut |answer| self.outgoing.push_back(answer),
            )
        });
        if !events.is_empty() {
            // It has heard all that we had to say in the handshake.
            carrier.forget_flight();
        }
        if let After::Closed(alert) = after {
            self.phase = Phase::Closed;
            let reason = alert.map(refused);
            if reason.is_some() {
                // It must not be taken up again (RFC 5246 section 7.2.2).
                self.resumable = None;
            }
            events.push(ClientEvent::Closed(reason));
        }
        events
    }

    /// There is no session; the next attempt begins from nothing.
    fn failed(&mut self, reason: Option<ClientError>) -> ClientEvent {
        self.resumable = None;
        self.phase = Phase::Closed;
        ClientEvent::Closed(reason)
    }

    /// Takes what OpenSSL has written, which is returned as it was.
    fn flush(&mut self) -> Vec<Vec<u8>> {
        let Phase::Handshaking(attempt) = &mut self.phase else {
            return Vec::new();
        };
        let mut written = Vec::new();
        while let Some(datagram) = attempt.stream.get_mut().pop() {
            let connection = Connection::of(attempt.stream.ssl(), &attempt.findings);
            self.outgoing.push_back(match connection {
                Some(connection) => with_tools(|tools| {
                    let ciphers = &mut tools.ciphers;
                    let takeover = &mut attempt.takeover;
                    takeover.outgoing(ciphers, connection, datagram.clone())
                }),
                None => datagram.clone(),
            });
            written.push(datagram);
        }
        written
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .field("agreed", &self.agreed)
            .finish_non_exhaustive()
    }
}

impl Attempt {
    fn new(settings: &ClientSettings, resumable: Option<&Resumable>) -> Result<Self, ClientError> {
        let longer = match settings.connection_id {
            Some(length) if length > Cid::LONGEST => return Err(ClientError::ConnectionId),
            // What our records may be longer than OpenSSL knows: by the id of the server, and by the type
            // behind the text.
            Some(_) => Cid::LONGEST + 1,
            None => 0,
        };
        Self::open(settings, resumable, longer).map_err(ClientError::OpenSsl)
    }

    fn open(
        settings: &ClientSettings,
        resumable: Option<&Resumable>,
        longer: usize,
    ) -> Result<Self, ErrorStack> {
        let mut ssl = match resumable {
            Some(resumable) => resumable.connection()?,
            None => Ssl::new(&*settings.credentials.context()?)?,
        };
        // The server may refuse an older session: a new one must be possible.
        settings.credentials.prepare(
            &mut ssl,
            settings.server_name.as_deref(),
            settings.ciphers.as_deref(),
        )?;
        let mtu = usize::from(settings.mtu).saturating_sub(longer);
        ssl.set_mtu(u32::try_from(mtu).unwrap_or(u32::MAX))?;
        let findings = SharedFindings::default();
        Findings::of(&findings).cid.own = settings.connection_id.map(Cid::random).transpose()?;
        if let Some(index) = findings_index() {
            ssl.set_ex_data(index, Arc::clone(&findings));
        }
        Ok(Self {
            stream: SslStream::new(ssl, Pipe::default())?,
            findings,
            takeover: Takeover::default(),
            kept: 0,
        })
    }

    /// Has OpenSSL go on with a datagram of the server.
    fn take(&mut self, ciphers: &mut Ciphers, datagram: &[u8]) -> Result<(), Error> {
        let (in_time, early) = split_early(self.records(datagram), self.epoch());
        self.push(ciphers, in_time);
        let mut result = self.stream.connect();
        // What was in time may have brought the keys for the rest, and for what was kept.
        let mut rest = self.takeover.take_early(self.stream.ssl());
        rest.push(early.to_vec());
        rest.retain(|datagram| !datagram.is_empty());
        for datagram in rest {
            if !result
                .as_ref()
                .is_err_and(|error| error.code() == ErrorCode::WANT_READ)
            {
                break;
            }
            self.push(ciphers, &datagram);
            result = self.stream.connect();
        }
        result
    }

    /// Gives OpenSSL what it is to read of a datagram.
    fn push(&mut self, ciphers: &mut Ciphers, datagram: &[u8]) {
        let kept = sieve(self.records(datagram), |record| {
            let whole = || Some(record.numbered(record.sequence()));
            if record.epoch() == 0 {
                return whole();
            }
            let Some(connection) = Connection::of(self.stream.ssl(), &self.findings) else {
                return whole();
            };
            let has_room = || {
                self.kept += 1;
                self.kept <= MOST_KEPT
            };
            match self.takeover.take(ciphers, connection, record, has_room) {
                Protected::ForOpenSsl(record) => Some(record),
                Protected::Dropped | Protected::Kept | Protected::NoRoom => None,
            }
        });
        self.stream.get_mut().push(kept);
    }

    fn records<'a>(&self, datagram: &'a [u8]) -> Records<'a> {
        let (own, _) = Findings::of(&self.findings).cid.agreed();
        Records::with_cid(datagram, own.as_bytes().len())
    }

    fn epoch(&self) -> u16 {
        takeover::epoch(self.stream.ssl())
    }

    fn reason(&self, error: &Error) -> Option<ClientError> {
        if error.code() == ErrorCode::ZERO_RETURN {
            return None;
        }
        let errors = error.ssl_error().cloned();
        Some(self.error(errors.unwrap_or_else(ErrorStack::get)))
    }

    fn error(&self, errors: ErrorStack) -> ClientError {
        for error in errors.errors() {
            match error.reason_code() {
                REASON_TIMED_OUT => return ClientError::TimedOut,
                REASON_UNTRUSTED => {
                    let result = self.stream.ssl().verify_result();
                    let why = if result == X509VerifyResult::OK {
                        "another key than expected".to_owned()
                    } else {
                        result.error_string().to_owned()
                    };
                    return ClientError::Untrusted(why);
                }
                _ => {}
            }
        }
        alert::of(&errors).map_or(ClientError::OpenSsl(errors), refused)
    }
}

fn refused(alert: u8) -> ClientError {
    let name = alert::name(alert).to_owned();
    ClientError::Refused { alert, name }
}

/// What all clients of a thread share.
fn with_tools<T>(work: impl FnOnce(&mut Tools) -> T) -> T {
    thread_local!(static TOOLS: RefCell<Tools> = RefCell::default());
    TOOLS.with_borrow_mut(work)
}

/// `SSL_R_READ_TIMEOUT_EXPIRED`
const REASON_TIMED_OUT: i32 = 312;
/// `SSL_R_CERTIFICATE_VERIFY_FAILED`
const REASON_UNTRUSTED: i32 = 134;
/// Records that may come ahead of what they belong to, more than a server says in a handshake.
const MOST_KEPT: usize = 16;
/// Passes through IPv6 tunnels (1,280 bytes less the headers).
const DEFAULT_MTU: u16 = 1_200;
