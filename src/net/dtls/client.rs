//! The client's side of one DTLS 1.2 session, without I/O: datagrams go in and come out, and the
//! owner looks after the socket and the clock. Simulated devices speak through it, and so does the
//! server where it begins a session itself.
//!
//! OpenSSL keeps the times of a handshake (1 s at first, then twice as long each time; RFC 6347
//! section 4.2.4.1), by the clock of the system.

use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::ssl::{Error, ErrorCode, ShutdownState, Ssl, SslStream};
use openssl::x509::X509VerifyResult;

use super::credentials::ClientCredentials;
use super::ffi::{self, Resumable};
use super::pipe::Pipe;

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
}

impl ClientSettings {
    /// With every suite, for any name, and datagrams that pass everywhere.
    pub fn new(credentials: ClientCredentials) -> Self {
        Self {
            credentials,
            server_name: None,
            ciphers: None,
            mtu: DEFAULT_MTU,
        }
    }
}

/// One session, from its handshake to its end.
pub struct Client {
    settings: ClientSettings,
    stream: SslStream<Pipe>,
    phase: Phase,
    resumable: Option<Resumable>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Handshaking,
    Connected,
    Closed,
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
    /// The server ended it by a fatal alert (RFC 5246 section 7.2.2).
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
    /// OpenSSL fails.
    #[error("OpenSSL fails: {0}")]
    OpenSsl(ErrorStack),
}

impl Client {
    /// Begins a handshake: the `ClientHello` can be polled.
    ///
    /// # Errors
    /// The suites or the name cannot be used.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientError> {
        let stream = open(&settings, None).map_err(ClientError::OpenSsl)?;
        let mut client = Self {
            settings,
            stream,
            phase: Phase::Handshaking,
            resumable: None,
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
        self.keep_resumable();
        let resumable = self.resumable.as_ref();
        self.stream = open(&self.settings, resumable).map_err(ClientError::OpenSsl)?;
        self.phase = Phase::Handshaking;
        self.begin()
    }

    /// A datagram of the server.
    pub fn handle_datagram(&mut self, datagram: &[u8]) -> Vec<ClientEvent> {
        if self.phase == Phase::Closed {
            return Vec::new();
        }
        self.stream.get_mut().push(datagram.to_vec());
        self.advance()
    }

    /// Sends something to the server. False when there is no session, and it is lost.
    pub fn send(&mut self, data: &[u8]) -> bool {
        self.phase == Phase::Connected && self.stream.ssl_write(data).is_ok()
    }

    /// The next datagram for the server.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().pop()
    }

    /// When [`Client::handle_timeout`] is due.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Closed {
            return None;
        }
        let left = ffi::timeout(self.stream.ssl())?;
        // OpenSSL takes the last milliseconds for over; a little later is never too early.
        Instant::now().checked_add(left)
    }

    /// Sends again what the server has not answered in time.
    pub fn handle_timeout(&mut self) -> Vec<ClientEvent> {
        if self.phase == Phase::Closed {
            return Vec::new();
        }
        match ffi::handle_timeout(&mut self.stream) {
            Ok(_) => Vec::new(),
            Err(errors) => {
                let error = self.error(errors);
                vec![self.closed(Some(error))]
            }
        }
    }

    /// Ends the session; the server is told by a `close_notify`, which can be polled.
    pub fn close(&mut self) {
        if self.phase == Phase::Connected {
            // What cannot be said need not be: the server finds out by itself.
            let _ = self.stream.shutdown();
            self.keep_resumable();
        }
        self.phase = Phase::Closed;
    }

    /// Whether data can be sent.
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// Whether the session is over, or there never was one.
    pub fn is_closed(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// Whether the server took up an older session.
    pub fn is_resumed(&self) -> bool {
        self.stream.ssl().session_reused()
    }

    /// The cipher suite of the session, by OpenSSL's name.
    pub fn cipher(&self) -> Option<&'static str> {
        self.stream
            .ssl()
            .current_cipher()
            .map(|cipher| cipher.name())
    }

    /// Has the handshake's waits be a few milliseconds.
    #[cfg(test)]
    pub(super) fn hurry(&mut self) {
        ffi::hurry(&mut self.stream);
    }

    fn begin(&mut self) -> Result<(), ClientError> {
        match self.advance().pop() {
            Some(ClientEvent::Closed(Some(error))) => Err(error),
            _ => Ok(()),
        }
    }

    /// Lets OpenSSL read what there is.
    fn advance(&mut self) -> Vec<ClientEvent> {
        let mut events = Vec::new();
        if self.phase == Phase::Handshaking {
            match self.stream.connect() {
                Ok(()) => {
                    self.phase = Phase::Connected;
                    self.resumable = Resumable::of(self.stream.ssl());
                    events.push(ClientEvent::Connected);
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => return events,
                Err(error) => {
                    // The next attempt begins from nothing.
                    self.resumable = None;
                    let reason = self.reason(error);
                    events.push(self.closed(reason));
                }
            }
        }
        let mut buffer = [0; MAX_PLAINTEXT];
        while self.phase == Phase::Connected {
            match self.stream.ssl_read(&mut buffer) {
                Ok(length) => {
                    let data = buffer.get(..length).unwrap_or_default();
                    events.push(ClientEvent::Received(data.to_vec()));
                }
                Err(error) if error.code() == ErrorCode::WANT_READ => break,
                Err(error) => {
                    let reason = self.reason(error);
                    events.push(self.closed(reason));
                }
            }
        }
        events
    }

    fn closed(&mut self, reason: Option<ClientError>) -> ClientEvent {
        if reason.is_none() {
            self.close();
        }
        self.phase = Phase::Closed;
        ClientEvent::Closed(reason)
    }

    fn reason(&self, error: Error) -> Option<ClientError> {
        if error.code() == ErrorCode::ZERO_RETURN {
            return None;
        }
        let errors = error.ssl_error().cloned();
        Some(self.error(errors.unwrap_or_else(ErrorStack::get)))
    }

    fn error(&self, errors: ErrorStack) -> ClientError {
        for error in errors.errors() {
            let name = error.reason().unwrap_or_default();
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
                code => {
                    let alert = code.checked_sub(ALERT_OFFSET).map(u8::try_from);
                    if let Some(Ok(alert)) = alert {
                        let name = name.rsplit_once("alert ").map_or(name, |(_, name)| name);
                        let name = name.to_owned();
                        return ClientError::Refused { alert, name };
                    }
                }
            }
        }
        ClientError::OpenSsl(errors)
    }

    /// OpenSSL believes that a session which was not closed must not be taken up again.
    fn keep_resumable(&mut self) {
        self.stream
            .set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("settings", &self.settings)
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

fn open(
    settings: &ClientSettings,
    resumable: Option<&Resumable>,
) -> Result<SslStream<Pipe>, ErrorStack> {
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
    ssl.set_mtu(settings.mtu.into())?;
    SslStream::new(ssl, Pipe::default())
}

/// `SSL_AD_REASON_OFFSET`: the reasons from here on are the alerts of the peer.
const ALERT_OFFSET: i32 = 1_000;
/// `SSL_R_READ_TIMEOUT_EXPIRED`
const REASON_TIMED_OUT: i32 = 312;
/// `SSL_R_CERTIFICATE_VERIFY_FAILED`
const REASON_UNTRUSTED: i32 = 134;
/// The largest plaintext of a record (RFC 5246 section 6.2.1).
const MAX_PLAINTEXT: usize = 16_384;
/// Passes through IPv6 tunnels (1,280 bytes less the headers).
const DEFAULT_MTU: u16 = 1_200;
