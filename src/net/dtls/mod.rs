//! DTLS 1.2 (RFC 6347) for CoAP (RFC 7252 section 9): one UDP socket for all peers.
//!
//! OpenSSL shakes hands on threads of their own (`handshake`); strangers cost them a keyed hash and
//! no memory (`hello`). A finished session moves to the arbiter of the socket (`session`), where
//! its datagrams are opened and sealed between the socket and the message layer. Each session is a
//! [`Peer`] of its own and has an [`Identity`](crate::domain::Identity); it ends when its credential does.

mod aead;
mod alert;
mod attempt;
mod budget;
mod cid;
mod client;
#[cfg(test)]
mod client_and_server_tests;
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
#[cfg(test)]
mod in_memory;
mod kept;
mod lanes;
mod life;
#[cfg(test)]
pub(super) mod life_tests;
mod outcome;
mod outlet;
mod pipe;
mod proof;
mod record;
#[cfg(test)]
mod record_tests;
mod records;
mod refusal;
mod session;
mod sessions;
mod shares;
mod sieve;
mod suites;
mod takeover;
#[cfg(test)]
mod takeover_tests;
mod tickets;
#[cfg(test)]
mod vector_tests;
#[cfg(test)]
mod vectors;
mod window;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

pub use self::client::{Client, ClientError, ClientEvent, ClientSettings};
pub use self::context::ContextError;
pub use self::counters::Counters;
pub use self::credentials::{ClientCredentials, CredentialError};
pub use self::kept::{Keeper, SESSION_KEY};
pub use self::refusal::{Refusal, Refused};
pub use self::suites::UnknownSuite;
pub use self::tickets::TICKET_KEYS;

use self::context::Contexts;
use self::handshake::{HandshakeLimits, Handshakes, Work};
use self::hello::First;
use self::kept::Safe;
use self::lanes::{Lane, Lanes};
use self::life::Waiting;
pub(super) use self::outcome::Outcome;
use self::proof::Trust;
use self::record::{RecordLayer, SealError};
use self::session::{After, Session, Tools};
use self::sessions::{SessionLimits, Sessions};
use super::udp::{BindError, PlainSocket};
use crate::config::Coaps;
use crate::domain::{EndpointName, KeptSession, Peer, SessionId, unmapped};
use crate::net::Carried;
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
    /// Keeps sessions over a restart, and those that it has kept; none: each ends with the server.
    pub keeping: Option<KeptSessions>,
    /// What happens is counted here.
    pub counters: Counters,
    /// Bytes that an unproven address gets for each of its own, when it is called.
    pub amplification: usize,
    /// Told of everything that is refused; counts, logs and remembers it within bounds.
    pub on_refused: Box<dyn Fn(Refused)>,
}

/// How sessions outlive the server.
pub struct KeptSessions {
    /// Where they are kept.
    pub keeper: Rc<dyn Keeper>,
    /// Seals them; the same after a restart.
    pub key: Zeroizing<[u8; SESSION_KEY]>,
    /// Those of the time before. `coaps.record_number_step` numbers of each may be used from the mark on.
    pub sessions: Vec<KeptSession>,
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
    /// A message, and the bytes of the datagram that it is the first one of.
    Message(Peer, &'a [u8], usize),
    Over(Peer),
    /// Datagrams without messages; the device whose session it is, where that is one.
    Carried {
        peer: Peer,
        endpoint: Option<&'a EndpointName>,
        carried: Carried,
    },
    /// What has waited for its session goes out, as so many bytes.
    Sent {
        peer: Peer,
        message: &'a [u8],
        wire: usize,
        again: bool,
    },
    /// A datagram of a session has come, of so many bytes.
    Heard(Peer, usize),
    /// A session goes on at another address, of which nobody knows whether its peer is there (RFC 9146
    /// section 6).
    Moved {
        peer: Peer,
        /// Of the datagram that came from there.
        bytes: usize,
        /// Bytes that each of ours has beside its message.
        overhead: usize,
    },
    /// A handshake has ended well with whoever is at the address.
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
    keeping: Option<(Rc<dyn Keeper>, Safe)>,
    counters: Counters,
    on_refused: Box<dyn Fn(Refused)>,
    /// To say that numbers are reserved.
    outcomes: mpsc::Sender<Outcome>,
    lanes: Vec<Arc<Lanes<Work>>>,
    /// Which thread an address belongs to; secret, so that nobody can choose one.
    spread: RandomState,
    state: RefCell<State>,
}

struct State {
    sessions: Sessions,
    tools: Tools,
    /// Addresses whose handshakes are under way, as far as the threads have told.
    handshaking: HashSet<SocketAddr>,
    /// Sessions of ours that are being made.
    calls: HashMap<SessionId, Waiting>,
    /// Sessions that could not be written to disk.
    unkept: BTreeSet<SessionId>,
    /// That of the next session.
    generation: u64,
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
            tools: Tools::default(),
            sessions: Sessions::new(SessionLimits {
                total: settings.max_sessions,
                large: settings.max_large_sessions,
                per_endpoint: settings.max_sessions_per_endpoint,
                idle: Duration::from_secs(settings.idle_s.max(1)),
            }),
            handshaking: HashSet::new(),
            calls: HashMap::new(),
            unkept: BTreeSet::new(),
            // Those of the time before have 0.
            generation: 1,
        };
        let secure = Self {
            socket,
            settings: settings.clone(),
            contexts,
            trust,
            ticket_keys: parts.ticket_keys,
            keyring: parts.keyring,
            keeping: None,
            counters: parts.counters,
            on_refused: parts.on_refused,
            outcomes,
            lanes,
            spread: RandomState::new(),
            state: RefCell::new(state),
        };
        Ok((secure.going_on(now, parts.keeping), has_outcomes))
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.socket.address()
    }

    /// What it reads from and sends on.
    pub(super) fn socket(&self) -> &PlainSocket {
        &self.socket
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

    /// Reads what has come, as many datagrams as one call takes; returns how many. Before each, what the
    /// threads have told counts: a peer cannot answer before they have, and its next record would go to the
    /// session before.
    pub(super) fn read(
        &self,
        now: Instant,
        admit: &mut dyn FnMut(SocketAddr, usize, bool) -> bool,
        told: &mut dyn FnMut() -> Option<Outcome>,
        take: &mut dyn FnMut(Happening<'_>),
    ) -> io::Result<usize> {
        self.socket.receive(|from, datagram| {
            while let Some(outcome) = told() {
                self.outcome(now, outcome, take);
            }
            let from = unmapped(from);
            let first = First::of(datagram);
            let session = self.session_of(first, from, datagram);
            let is_known = session.is_some() || self.state.borrow().sessions.at(from).is_some();
            if admit(from, datagram.len(), is_known) {
                self.datagram(now, from, (first, datagram), session, take);
            }
        })
    }

    /// The session that a datagram is for: the one that it names, which nobody does who has not seen its
    /// records, or the one where it comes from.
    fn session_of(&self, first: First<'_>, from: SocketAddr, datagram: &[u8]) -> Option<SessionId> {
        let sessions = &self.state.borrow().sessions;
        match first {
            First::Named => sessions.named_by(datagram),
            _ => sessions.at(from),
        }
    }

    fn datagram(
        &self,
        now: Instant,
        from: SocketAddr,
        (first, datagram): (First<'_>, &[u8]),
        session: Option<SessionId>,
        take: &mut dyn FnMut(Happening<'_>),
    ) {
        if let Some(id) = session {
            let is_new = match first {
                First::Hello(hello) => self
                    .state
                    .borrow()
                    .sessions
                    .get(id)
                    .is_some_and(|session| !session.began_with(&hello.random)),
                First::Foreign => true,
                First::Plain => self.state.borrow().handshaking.contains(&from),
                First::Named | First::Protected => false,
            };
            if !is_new {
                let heard = self.open(now, id, (from, datagram), take);
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
        (from, datagram): (SocketAddr, &[u8]),
        take: &mut dyn FnMut(Happening<'_>),
    ) -> bool {
        let came = Some((from, datagram.len()));
        let heard = self.with_session(id, came, take, |session, tools, take, send| {
            session.open(now, Some(datagram), tools, take, send)
        });
        self.counters.record(heard);
        heard
    }

    /// Has a session read something, of a datagram of so many bytes from somewhere, and does what that leads
    /// to. False when nothing could be read.
    fn with_session(
        &self,
        id: SessionId,
        came: Option<(SocketAddr, usize)>,
        take: &mut dyn FnMut(Happening<'_>),
        read: impl FnOnce(
            &mut Session,
            &mut Tools,
            &mut dyn FnMut(&[u8]),
            &mut dyn FnMut(Vec<u8>),
        ) -> After,
    ) -> bool {
        let mut state = self.state.borrow_mut();
        let State {
            sessions, tools, ..
        } = &mut *state;
        let Some(session) = sessions.get_mut(id) else {
            return false;
        };
        let (from, bytes) = came.unwrap_or((session.address, 0));
        // Only a peer that is known by more than its address can be anywhere else.
        let may_follow = from != session.address && !session.cid().is_empty();
        // One behind the other, in room that is kept.
        let mut messages = std::mem::take(&mut tools.messages);
        let mut ends = SmallVec::<[usize; 4]>::new();
        let mut answers = Vec::new();
        let after = read(
            session,
            tools,
            &mut |message| {
                messages.extend_from_slice(message);
                ends.push(messages.len());
            },
            &mut |answer| answers.push(answer),
        );
        if may_follow || !session.is_proven {
            // An alert, or a flight once more, is not worth a debt of an address that may be forged.
            answers.clear();
        }
        let overhead = session.layer().map_or(0, RecordLayer::overhead);
        let peer = session.peer();
        let heard = after != After::Unheard;
        let moves = may_follow && after == (After::Heard { is_newest: true });
        if moves {
            sessions.follow(id, from);
            self.counters.followed.inc();
        }
        let peer = Peer::dtls(if moves { from } else { peer.address }, id);
        let mut carried = Carried::default();
        if heard && ends.is_empty() && bytes > 0 {
            carried.up(bytes);
        }
        for answer in answers {
            carried.down(answer.len());
            self.push(peer.address, answer);
        }
        drop(state);
        if moves {
            take(Happening::Moved {
                peer,
                bytes,
                overhead,
            });
        } else if heard && from == peer.address {
            // What comes from elsewhere, late, pays for nothing here and proves nothing.
            take(Happening::Heard(peer, bytes));
        }
        if !carried.is_nothing() {
            let endpoint = None;
            take(Happening::Carried {
                peer,
                endpoint,
                carried,
            });
        }
        let (mut begin, mut wire) = (0, bytes);
        for end in ends {
            let message = messages.get(begin..end).unwrap_or_default();
            take(Happening::Message(peer, message, wire));
            (begin, wire) = (end, 0);
        }
        messages.clear();
        self.state.borrow_mut().tools.messages = messages;
        if let After::Closed(_) = after {
            let mut state = self.state.borrow_mut();
            state.sessions.remove(id);
            self.show(&state);
            drop(state);
            self.counters.closed_by_peer.inc();
            self.forget(id);
            take(Happening::Over(peer));
        }
        heard
    }

    /// Seals a message for a session and sends it; for a session of ours that is being made it
    /// waits. For a session that is over it is lost. Bytes on the wire, if it goes out now.
    pub(super) fn send(&self, peer: Peer, message: &[u8], again: bool) -> Option<usize> {
        let id = peer.session?;
        let mut wire = None;
        let mut state = self.state.borrow_mut();
        let State {
            sessions, tools, ..
        } = &mut *state;
        if let Some(session) = sessions.get_mut(id) {
            match session.carrier.seal(tools, message) {
                Ok(sealed) => {
                    wire = Some(sealed.len());
                    self.push(session.address, sealed);
                }
                Err(SealError::NoNumbers) => {
                    self.counters.without_numbers.inc();
                }
                Err(SealError::Failed) => {}
            }
            self.keep(&mut state, id);
        } else if let Some(waiting) = state.calls.get_mut(&id)
            && waiting.messages.len() < MOST_WAITING
        {
            waiting.messages.push((message.to_vec(), again));
        }
        wire
    }

    /// Gathers a datagram, behind those that wait.
    fn push(&self, to: SocketAddr, datagram: Vec<u8>) {
        self.socket.put(to, datagram, MOST_UNSENT);
    }

    fn lane(&self, address: SocketAddr) -> &Lanes<Work> {
        let place = self.spread.hash_one(address) as usize % self.lanes.len().max(1);
        // There is at least one thread.
        &self.lanes[place]
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        for lanes in &self.lanes {
            lanes.close();
        }
    }
}

/// SHA-256 of each certificate of the CAs.
fn authorities(certificates: &ServerCertificates) -> Result<Vec<[u8; 32]>, ContextError> {
    let all = certificates.ca.iter();
    Ok(all
        .map(|ca| fingerprint(ca))
        .collect::<Result<Vec<_>, _>>()?)
}

/// What waits between the threads and the arbiter.
const OUTCOMES: usize = 4096;
/// Messages that wait for a session of ours; one exchange is under way with a device.
const MOST_WAITING: usize = 8;
/// Sealed datagrams that wait for the kernel.
const MOST_UNSENT: usize = 20_000;
