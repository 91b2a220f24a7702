//! DTLS 1.2 (RFC 6347) for CoAP (RFC 7252 section 9): one UDP socket for all peers.
//!
//! OpenSSL shakes hands on threads of their own (`handshake`); strangers cost them a keyed hash and
//! no memory (`hello`). A finished session moves to the arbiter of the socket (`session`), where
//! its datagrams are opened and sealed between the socket and the message layer. Each session is a
//! [`Peer`] of its own and has an [`Identity`]; it ends when its credential does.

mod attempt;
mod budget;
mod client;
#[cfg(test)]
mod client_tests;
mod context;
mod counters;
mod credentials;
mod ffi;
#[doc(hidden)]
pub mod fuzzing;
mod handshake;
mod hello;
mod lanes;
mod outlet;
mod pipe;
mod proof;
mod records;
mod refusal;
mod session;
mod sessions;
mod shares;
mod sieve;
mod suites;
mod tickets;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::io::{Interest, Ready};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

pub use self::client::{Client, ClientError, ClientEvent, ClientSettings};
pub use self::context::ContextError;
pub use self::counters::Counters;
pub use self::credentials::{ClientCredentials, CredentialError};
pub use self::refusal::{Refusal, Refused};
pub use self::suites::UnknownSuite;
pub use self::tickets::TICKET_KEYS;

use self::context::Contexts;
pub(super) use self::handshake::Outcome;
use self::handshake::{Call, Established, HandshakeLimits, Handshakes, Work};
use self::hello::First;
use self::lanes::{Lane, Lanes};
use self::proof::Trust;
use self::session::{After, Session};
use self::sessions::{Full, SessionLimits, Sessions};
use super::udp::{BindError, PlainSocket};
use crate::config::Coaps;
use crate::domain::{EndpointName, Identity, Peer, Reach, SessionId, Unreachable, unmapped};
use crate::security::certificates::fingerprint;
use crate::security::{Keyring, ServerCertificates};

/// What DTLS needs of the rest of the house.
pub struct Parts {
    /// The credentials in force.
    pub keyring: Keyring,
    /// By what the server proves itself, and by what it judges devices.
    pub certificates: Arc<ServerCertificates>,
    /// Keys of session tickets, the same after a restart.
    pub ticket_keys: Zeroizing<[u8; TICKET_KEYS]>,
    /// What happens is counted here.
    pub counters: Counters,
    /// Bytes that an unproven address gets for each of its own, when it is called.
    pub amplification: usize,
    /// Told of everything that is refused; counts, logs and remembers it within bounds.
    pub on_refused: Box<dyn Fn(Refused)>,
}

/// Why DTLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum DtlsError {
    /// The socket cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// OpenSSL or the settings.
    #[error(transparent)]
    Context(#[from] ContextError),
    /// No socket or thread more.
    #[error("cannot start the DTLS threads: {0}")]
    Io(#[from] io::Error),
}

/// What the transport does with what a datagram held: a message, or that a session is over.
pub(super) enum Happening<'a> {
    Message(Peer, &'a [u8]),
    Over(Peer),
    /// Whoever is at the address has the keys of a session that was made with it.
    Proven(SocketAddr),
}

/// The DTLS side of the transport, on its arbiter.
pub(super) struct Secure {
    socket: PlainSocket,
    settings: Coaps,
    contexts: Arc<ArcSwap<Contexts>>,
    trust: Arc<ArcSwap<Trust>>,
    ticket_keys: Zeroizing<[u8; TICKET_KEYS]>,
    keyring: Keyring,
    counters: Counters,
    on_refused: Box<dyn Fn(Refused)>,
    lanes: Vec<Arc<Lanes<Work>>>,
    /// Which thread an address belongs to; secret, so that nobody can choose one.
    spread: RandomState,
    state: RefCell<State>,
}

struct State {
    sessions: Sessions,
    /// Addresses whose handshakes are under way, as far as the threads have told.
    handshaking: HashSet<SocketAddr>,
    /// Sessions of ours that are being made.
    calls: HashMap<SessionId, Waiting>,
    /// Sealed, and not taken by the kernel yet.
    unsent: VecDeque<(SocketAddr, Vec<u8>)>,
}

/// Messages for a session that is being made.
#[derive(Default)]
struct Waiting {
    messages: Vec<Vec<u8>>,
}

impl Secure {
    /// Binds the socket and starts the threads. The receiver brings what they have to tell; it goes
    /// to [`Secure::outcome`].
    pub(super) fn start(
        settings: &Coaps,
        parts: Parts,
    ) -> Result<(Self, mpsc::Receiver<Outcome>), DtlsError> {
        let now = Instant::now();
        let socket = PlainSocket::bind(settings.listen, settings.socket_buffer_bytes)?;
        let mut decoy = Zeroizing::new([0; 32]);
        openssl::rand::rand_bytes(decoy.as_mut_slice()).map_err(ContextError::from)?;
        let trust = Trust {
            keyring: parts.keyring.clone(),
            authorities: authorities(&parts.certificates)?,
            decoy,
        };
        let contexts = Contexts::new(settings, &parts.certificates, &trust, &parts.ticket_keys)?;
        let contexts = Arc::new(ArcSwap::from_pointee(contexts));
        let trust = Arc::new(ArcSwap::from_pointee(trust));
        let limits = HandshakeLimits {
            max_handshakes: settings.max_handshakes,
            kept_bytes: settings.max_handshake_bytes,
            timeout: Duration::from_secs(settings.handshake_timeout_s.max(1)),
            first_retransmission: Duration::from_millis(settings.retransmit_ms),
            mtu: settings.mtu_bytes,
            amplification: parts.amplification,
        };
        let (outcomes, has_outcomes) = mpsc::channel(OUTCOMES);
        let mut lanes = Vec::new();
        for number in 0..settings.handshake_threads {
            let lane = Arc::new(Lanes::new(settings.queue_length));
            let handshakes = Handshakes::new(
                Box::new(outlet::Socket::new(socket.sending()?)),
                Arc::clone(&contexts),
                Arc::clone(&trust),
                limits,
                parts.counters.of_another_thread(),
                outcomes.clone(),
                now,
            )
            .map_err(ContextError::from)?;
            let taken = Arc::clone(&lane);
            thread::Builder::new()
                .name(format!("dtls-{number}"))
                .spawn(move || handshakes.run(&taken))?;
            lanes.push(lane);
        }
        let state = State {
            sessions: Sessions::new(SessionLimits {
                total: settings.max_sessions,
                per_endpoint: settings.max_sessions_per_endpoint,
                idle: Duration::from_secs(settings.idle_s.max(1)),
            }),
            handshaking: HashSet::new(),
            calls: HashMap::new(),
            unsent: VecDeque::new(),
        };
        let secure = Self {
            socket,
            settings: settings.clone(),
            contexts,
            trust,
            ticket_keys: parts.ticket_keys,
            keyring: parts.keyring,
            counters: parts.counters,
            on_refused: parts.on_refused,
            lanes,
            spread: RandomState::new(),
            state: RefCell::new(state),
        };
        Ok((secure, has_outcomes))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.socket.address()
    }

    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.socket.ready(interest).await
    }

    /// True when the kernel did not take everything.
    pub(super) fn is_blocked(&self) -> bool {
        !self.state.borrow().unsent.is_empty()
    }

    /// Other certificates are in force. Sessions go on, but for those of devices whose CA is not among
    /// them any more; their tickets are worthless too.
    pub(super) fn use_certificates(
        &self,
        certificates: Arc<ServerCertificates>,
        take: &mut dyn FnMut(Happening<'_>),
    ) -> Result<(), ContextError> {
        let trust = Trust {
            authorities: authorities(&certificates)?,
            ..Trust::clone(&self.trust.load())
        };
        let contexts = Contexts::new(&self.settings, &certificates, &trust, &self.ticket_keys)?;
        let trust = Arc::new(trust);
        self.trust.store(Arc::clone(&trust));
        self.contexts.store(Arc::new(contexts));
        self.end_those(take, |identity| trust.check_anchor(identity).is_err());
        Ok(())
    }

    /// Reads what has come, up to so many datagrams. Before each, what the threads have told counts: a
    /// peer cannot answer before they have, and its next record would go to the session before.
    pub(super) fn read(
        &self,
        now: Instant,
        most: usize,
        buffer: &mut [u8],
        admit: &mut dyn FnMut(SocketAddr, usize, bool) -> bool,
        told: &mut dyn FnMut() -> Option<Outcome>,
        take: &mut dyn FnMut(Happening<'_>),
    ) {
        for _ in 0..most {
            match self.socket.receive(buffer) {
                Ok((length, from)) => {
                    while let Some(outcome) = told() {
                        self.outcome(now, outcome, take);
                    }
                    let from = unmapped(from);
                    let datagram = buffer.get(..length).unwrap_or_default();
                    let is_known = self.state.borrow().sessions.at(from).is_some();
                    if admit(from, length, is_known) {
                        self.datagram(now, from, datagram, take);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => tracing::trace!("Receiving on {}: {error}", self.address()),
            }
        }
    }

    fn datagram(
        &self,
        now: Instant,
        from: SocketAddr,
        datagram: &[u8],
        take: &mut dyn FnMut(Happening<'_>),
    ) {
        let session = self.state.borrow().sessions.at(from);
        let first = First::of(datagram);
        if let Some(id) = session {
            let is_new = match first {
                First::Hello(hello) => self
                    .state
                    .borrow()
                    .sessions
                    .get(id)
                    .is_some_and(|session| session.client_random != hello.random),
                First::Foreign => true,
                First::Plain => self.state.borrow().handshaking.contains(&from),
                First::Protected => false,
            };
            if !is_new {
                let heard = self.open(now, id, Some(datagram), take);
                // A handshake beside the session: its Finished is under keys that only it has.
                if heard || !self.state.borrow().handshaking.contains(&from) {
                    return;
                }
            }
        }
        let lane = match self.state.borrow().handshaking.contains(&from) {
            true => Lane::Known,
            false => Lane::Strangers,
        };
        if !self
            .lane(from)
            .put(lane, Work::Datagram(from, datagram.to_vec()))
        {
            self.counters.queue_full.inc();
        }
    }

    /// Opens a datagram of a session; false when nothing could be read.
    fn open(
        &self,
        now: Instant,
        id: SessionId,
        datagram: Option<&[u8]>,
        take: &mut dyn FnMut(Happening<'_>),
    ) -> bool {
        PLAIN.with_borrow_mut(|buffer| {
            let mut state = self.state.borrow_mut();
            let Some(session) = state.sessions.get_mut(id) else {
                return false;
            };
            let peer = session.peer();
            let after = session.open(now, datagram, buffer, |message| {
                take(Happening::Message(peer, message));
            });
            if after != (After::Open { heard: false }) {
                take(Happening::Proven(peer.address));
            }
            let mut answers = VecDeque::new();
            while let Some(datagram) = session.pop() {
                answers.push_back((session.address, datagram));
            }
            let is_over = after == After::Closed;
            if is_over {
                state.sessions.remove(id);
                self.counters.closed_by_peer.inc();
                self.show(&state);
            }
            if datagram.is_some() {
                self.counters.record(after != After::Open { heard: false });
            }
            self.push(&mut state, answers);
            drop(state);
            if is_over {
                take(Happening::Over(peer));
            }
            after != After::Open { heard: false }
        })
    }

    /// Seals a message for a session and sends it; for a session of ours that is being made it
    /// waits. For a session that is over it is lost.
    pub(super) fn send(&self, peer: Peer, message: &[u8]) {
        let Some(id) = peer.session else { return };
        let mut state = self.state.borrow_mut();
        if let Some(session) = state.sessions.get_mut(id) {
            session.seal(message);
            let mut sealed = VecDeque::new();
            while let Some(datagram) = session.pop() {
                sealed.push_back((session.address, datagram));
            }
            self.push(&mut state, sealed);
        } else if let Some(waiting) = state.calls.get_mut(&id)
            && waiting.messages.len() < MOST_WAITING
        {
            waiting.messages.push(message.to_vec());
        }
    }

    /// Sends what the kernel did not take before.
    pub(super) fn flush(&self) {
        self.push(&mut self.state.borrow_mut(), VecDeque::new());
    }

    fn push(&self, state: &mut State, mut datagrams: VecDeque<(SocketAddr, Vec<u8>)>) {
        state.unsent.append(&mut datagrams);
        while let Some((to, datagram)) = state.unsent.pop_front() {
            match self.socket.send(&datagram, to) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    state.unsent.push_front((to, datagram));
                    state.unsent.truncate(MOST_UNSENT);
                    return;
                }
                Err(error) => tracing::debug!("Cannot send to coaps://{to}: {error}"),
            }
        }
    }

    /// What a thread has to tell.
    pub(super) fn outcome(
        &self,
        now: Instant,
        outcome: Outcome,
        take: &mut dyn FnMut(Happening<'_>),
    ) {
        match outcome {
            Outcome::Begun(address) => {
                self.state.borrow_mut().handshaking.insert(address);
            }
            Outcome::Returned(from, datagram) => {
                let session = self.state.borrow().sessions.at(from);
                match session {
                    Some(id) => {
                        self.open(now, id, Some(&datagram), take);
                    }
                    None => {
                        self.counters.strays.inc();
                    }
                }
            }
            Outcome::Established(established) => self.established(now, *established, take),
            Outcome::Refused {
                address,
                ended,
                call,
                claimed,
                refusal,
            } => {
                let mut state = self.state.borrow_mut();
                if ended {
                    state.handshaking.remove(&address);
                }
                let is_call = call.and_then(|id| state.calls.remove(&id).map(|_| id));
                drop(state);
                self.refused(address, claimed, refusal);
                if let Some(id) = is_call {
                    take(Happening::Over(Peer::dtls(address, id)));
                }
            }
        }
    }

    fn refused(&self, address: SocketAddr, claimed: Vec<EndpointName>, refusal: Refusal) {
        self.counters.refused(&refusal);
        (self.on_refused)(Refused {
            claimed,
            address,
            refusal,
        });
    }

    fn established(
        &self,
        now: Instant,
        established: Established,
        take: &mut dyn FnMut(Happening<'_>),
    ) {
        let Established {
            address,
            identity,
            stream,
            client_random,
            call,
        } = established;
        let mut state = self.state.borrow_mut();
        state.handshaking.remove(&address);
        let waiting = call.and_then(|id| state.calls.remove(&id));
        if call.is_some() && waiting.is_none() {
            // Nobody wants it any more.
            return;
        }
        let id = call.unwrap_or_else(random_id);
        let identity = Arc::new(identity);
        let session = Session::new(id, address, identity, client_random, stream, now);
        let is_trusted = self.trust.load().check_anchor(&session.identity).is_ok();
        if !is_trusted || !self.keyring.is_current(&session.identity) {
            self.counters.credential_gone.inc();
            return self.end(state, vec![session], take);
        }
        tracing::debug!(
            peer = %address,
            endpoint.name = %session.identity.endpoint,
            "{} speaks {} over coaps://{address}",
            session.identity.endpoint,
            session.identity.kind,
        );
        self.keyring.used(&session.identity);
        take(Happening::Proven(address));
        let claimed = vec![session.identity.endpoint.clone()];
        let ended = match state.sessions.insert(now, session) {
            Ok(ended) => ended,
            Err(Full(session)) => {
                self.end(state, vec![*session], take);
                self.refused(address, claimed, Refusal::TooManySessions);
                return;
            }
        };
        let mut over = Vec::new();
        for mut session in ended {
            self.counters.evicted.inc();
            over.push(session.peer());
            if session.address != address {
                session.close();
                let good_bye =
                    std::iter::from_fn(|| Some((session.address, session.pop()?))).collect();
                self.push(&mut state, good_bye);
            }
        }
        self.show(&state);
        drop(state);
        for peer in over {
            take(Happening::Over(peer));
        }
        // What came right behind the handshake.
        self.open(now, id, None, take);
        for message in waiting.into_iter().flat_map(|waiting| waiting.messages) {
            self.send(Peer::dtls(address, id), &message);
        }
    }

    /// Ends the sessions whose credentials are gone.
    pub(super) fn end_without_credential(&self, take: &mut dyn FnMut(Happening<'_>)) {
        self.end_those(take, |identity| !self.keyring.is_current(identity));
    }

    /// Ends the sessions of identities that are not valid any more.
    fn end_those(&self, take: &mut dyn FnMut(Happening<'_>), is_over: impl Fn(&Identity) -> bool) {
        let mut state = self.state.borrow_mut();
        let gone: Vec<SessionId> = state
            .sessions
            .ids()
            .filter(|id| {
                let session = state.sessions.get(*id);
                session.is_some_and(|session| is_over(&session.identity))
            })
            .collect();
        let ended: Vec<Session> = gone
            .into_iter()
            .filter_map(|id| state.sessions.remove(id))
            .collect();
        self.counters.credential_gone.inc_by(ended.len() as u64);
        self.end(state, ended, take);
    }

    /// Ends the sessions that nothing was heard of for too long.
    pub(super) fn end_idle(&self, now: Instant, take: &mut dyn FnMut(Happening<'_>)) {
        let mut state = self.state.borrow_mut();
        let ended: Vec<Session> = std::iter::from_fn(|| state.sessions.pop_idle(now)).collect();
        self.counters.evicted.inc_by(ended.len() as u64);
        self.end(state, ended, take);
    }

    fn end(
        &self,
        mut state: std::cell::RefMut<'_, State>,
        ended: Vec<Session>,
        take: &mut dyn FnMut(Happening<'_>),
    ) {
        let mut over = Vec::new();
        for mut session in ended {
            session.close();
            let good_bye = std::iter::from_fn(|| Some((session.address, session.pop()?))).collect();
            self.push(&mut state, good_bye);
            over.push(session.peer());
        }
        self.show(&state);
        drop(state);
        for peer in over {
            take(Happening::Over(peer));
        }
    }

    /// Who the peer of a session has proven to be, as long as that is so.
    pub(super) fn identity(&self, peer: Peer) -> Option<Arc<Identity>> {
        let state = self.state.borrow();
        let session = state.sessions.get(peer.session?)?;
        self.keyring.current(&session.identity)
    }

    pub(super) fn reach(&self, peer: Peer) -> Reach {
        let state = self.state.borrow();
        match peer.session {
            Some(id) if state.sessions.get(id).is_some() => Reach::Open,
            Some(id) if state.calls.contains_key(&id) => Reach::Connecting,
            _ => Reach::Closed,
        }
    }

    /// Begins a session of ours in place of one that is over. `allow` is told how many bytes begin a
    /// handshake, and how many the address may get before it has sent any: all, or so many.
    ///
    /// # Errors
    /// It cannot be begun.
    pub(super) fn connect(
        &self,
        peer: Peer,
        endpoint: &EndpointName,
        allow: impl FnOnce(SocketAddr, usize) -> Result<Option<usize>, Unreachable>,
    ) -> Result<(), Unreachable> {
        let Some(session) = peer.session else {
            return Err(Unreachable::NoCredential);
        };
        if self.reach(peer) != Reach::Closed {
            return Ok(());
        }
        let psk = self.keyring.psk_of(endpoint);
        let address = unmapped(peer.address);
        let mut state = self.state.borrow_mut();
        if state.calls.len() >= self.settings.max_handshakes {
            return Err(Unreachable::TooManyHandshakes);
        }
        let hello = self.contexts.load().caller(psk.is_some()).hello_bytes;
        let call = Call {
            allowance: allow(address, hello)?,
            address,
            session,
            endpoint: endpoint.clone(),
            psk,
        };
        if !self.lane(address).put(Lane::Known, Work::Call(call)) {
            self.counters.queue_full.inc();
            return Err(Unreachable::TooManyHandshakes);
        }
        state.handshaking.insert(address);
        state.calls.insert(session, Waiting::default());
        Ok(())
    }

    fn lane(&self, address: SocketAddr) -> &Lanes<Work> {
        let place = self.spread.hash_one(address) as usize % self.lanes.len().max(1);
        // There is at least one thread.
        &self.lanes[place]
    }

    fn show(&self, state: &State) {
        let count = i64::try_from(state.sessions.len()).unwrap_or(i64::MAX);
        self.counters.sessions.set(count);
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        for lanes in &self.lanes {
            lanes.close();
        }
    }
}

fn random_id() -> SessionId {
    let mut id = [0; 8];
    // Without randomness OpenSSL has made no handshake either.
    let _ = openssl::rand::rand_bytes(&mut id);
    SessionId(u64::from_be_bytes(id))
}

/// SHA-256 of each certificate of the CAs.
fn authorities(certificates: &ServerCertificates) -> Result<Vec<[u8; 32]>, ContextError> {
    let all = certificates.ca.iter();
    Ok(all
        .map(|ca| fingerprint(ca))
        .collect::<Result<Vec<_>, _>>()?)
}

thread_local! {
    /// What sessions are read into, one after the other.
    static PLAIN: RefCell<Vec<u8>> = RefCell::new(vec![0; LARGEST_RECORD]);
}

/// The largest plaintext of a record (RFC 6347 section 4.1).
const LARGEST_RECORD: usize = 16_384;
/// What waits between the threads and the arbiter.
const OUTCOMES: usize = 4096;
/// Messages that wait for a session of ours; one exchange is under way with a device.
const MOST_WAITING: usize = 8;
/// Sealed datagrams that wait for the kernel.
const MOST_UNSENT: usize = 20_000;
