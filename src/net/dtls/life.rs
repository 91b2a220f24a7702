//! How sessions begin and end, and how they outlive the server.
//!
//! A session is kept (`kept`) as soon as it begins, ahead of anything that is said in it: the store writes in
//! the order in which it is asked, so what a device was told in a session is on disk only together with the
//! session. Numbers of records are reserved in steps. Those of the first step may be used at once: if the
//! session is found on disk again, its mark is behind them. Those of a later step may be used when its mark
//! is on disk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::handshake::{Call, Work};
use super::hello::First;
use super::kept::Safe;
use super::lanes::Lane;
use super::outcome::{Established, Kept, Outcome};
use super::record::{Numbers, RecordLayer};
use super::refusal::{Refusal, Refused};
use super::session::{After, Carrier, Keeping, Session};
use super::sessions::NotTaken;
use super::window::Window;
use super::{Happening, KeptSessions, Secure, State};
use crate::domain::{
    EndpointName, Identity, KeptSession, Peer, Reach, SessionId, SessionMark, Timestamp,
    Unreachable, unmapped,
};

/// Messages for a session that is being made.
#[derive(Default)]
pub(super) struct Waiting {
    /// Each with whether it was sent before.
    pub(super) messages: Vec<(Vec<u8>, bool)>,
}

impl Secure {
    /// Goes on with the sessions of the time before. To those that it does not go on with, because their
    /// credentials are gone or there may be fewer now, it says good-bye.
    pub(super) fn going_on(mut self, now: Instant, keeping: Option<KeptSessions>) -> Self {
        let Some(KeptSessions {
            keeper,
            key,
            mut sessions,
        }) = keeping
        else {
            return self;
        };
        let safe = Safe::new(key);
        let wall = Timestamp::system();
        let trust = self.trust.load_full();
        let step = self.settings.record_number_step;
        // The newest are the ones that stay.
        sessions.sort_unstable_by_key(|session| session.mark.heard_at);
        let excess = sessions.len().saturating_sub(self.settings.max_sessions);
        let state = self.state.get_mut();
        let mut ended = Vec::new();
        for (place, kept) in sessions.into_iter().enumerate() {
            let id = kept.mark.id;
            let heard = now.checked_sub(wall.since(kept.mark.heard_at));
            let Some(session) = restored(&safe, kept, step, heard.unwrap_or(now)) else {
                keeper.forget(id);
                self.counters.unreadable.inc();
                continue;
            };
            let is_welcome = place >= excess
                && self.keyring.is_current(&session.identity)
                && trust.check_anchor(&session.identity).is_ok();
            if !is_welcome {
                ended.push(session);
                continue;
            }
            match state.sessions.restore(now, session) {
                Ok(others) => ended.extend(others),
                Err(NotTaken(session)) => ended.push(*session),
            }
        }
        let (count, gone) = (state.sessions.len(), ended.len());
        if count > 0 || gone > 0 {
            tracing::info!(
                sessions = count,
                ended = gone,
                "Going on with {count} DTLS sessions, and not with {gone}"
            );
        }
        self.counters.taken_up.inc_by(count as u64);
        self.keeping = Some((keeper, safe));
        // Nobody has asked anything in them yet.
        self.end(self.state.borrow_mut(), ended, &mut |_| {});
        self
    }

    /// What a thread has to tell.
    pub(in crate::net) fn outcome(
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
                match self.session_of(First::of(&datagram), from, &datagram) {
                    Some(id) => {
                        self.open(now, id, (from, &datagram), take);
                    }
                    None => {
                        self.counters.strays.inc();
                    }
                }
            }
            Outcome::Established(established) => self.established(now, *established, take),
            Outcome::Kept(kept) => self.was_kept(kept),
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
            mut carrier,
            contents,
            client_random,
            call,
            carried,
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
        let has_flight = carrier.begin(self.settings.record_number_step);
        let mut session = Session::new(id, address, identity, &client_random, carrier, now);
        session.generation = state.generation;
        state.generation = state.generation.wrapping_add(1);
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
        let is_of_one = session.identity.others.is_empty();
        let ended = match state.sessions.insert(now, session) {
            Ok(ended) => ended,
            Err(NotTaken(session)) => {
                self.end(state, vec![*session], take);
                self.refused(address, claimed, Refusal::TooManySessions);
                return;
            }
        };
        if has_flight {
            let until = now + Duration::from_secs(self.settings.last_flight_s);
            state.sessions.keeps_flight(id, until);
        }
        let mut over = Vec::new();
        for session in ended {
            self.counters.evicted.inc();
            // Where the new one is, it would be taken for its end.
            let says_good_bye = session.address != address;
            over.push(self.end_one(&mut state, session, says_good_bye));
        }
        // Behind those that were forgotten, one of the same id perhaps, and ahead of all that is said in it.
        self.keep(&mut state, id);
        self.show(&state);
        drop(state);
        for peer in over {
            take(Happening::Over(peer));
        }
        let peer = Peer::dtls(address, id);
        take(Happening::Carried {
            peer,
            endpoint: claimed.first().filter(|_| is_of_one),
            carried,
        });
        // What came right behind the handshake.
        self.with_session(id, None, take, |session, tools, take, send| {
            let after = session.carrier.take_in(&contents, tools, take, send);
            if let After::Closed(_) = after {
                after
            } else {
                session.open(now, None, tools, take, send)
            }
        });
        for (message, again) in waiting.into_iter().flat_map(|waiting| waiting.messages) {
            if let Some(wire) = self.send(peer, &message, again) {
                take(Happening::Sent {
                    peer,
                    message: &message,
                    wire,
                    again,
                });
            }
        }
    }

    /// Ends the sessions whose credentials are gone.
    pub(in crate::net) fn end_without_credential(&self, take: &mut dyn FnMut(Happening<'_>)) {
        self.end_those(take, |identity| !self.keyring.is_current(identity));
    }

    /// Ends the sessions of identities that are not valid any more.
    pub(super) fn end_those(
        &self,
        take: &mut dyn FnMut(Happening<'_>),
        is_over: impl Fn(&Identity) -> bool,
    ) {
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

    /// Ends the sessions that nothing was heard of for too long, and has some written to disk that could not be
    /// before.
    pub(in crate::net) fn end_idle(&self, now: Instant, take: &mut dyn FnMut(Happening<'_>)) {
        let mut state = self.state.borrow_mut();
        for _ in 0..MOST_KEPT_AGAIN {
            let Some(id) = state.unkept.pop_first() else {
                break;
            };
            self.keep(&mut state, id);
        }
        state.sessions.forget_flights(now);
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
        for session in ended {
            over.push(self.end_one(&mut state, session, true));
        }
        self.show(&state);
        drop(state);
        for peer in over {
            take(Happening::Over(peer));
        }
    }

    /// A session that was taken out is over.
    fn end_one(&self, state: &mut State, mut session: Session, says_good_bye: bool) -> Peer {
        if says_good_bye && let Some(good_bye) = session.close(&mut state.tools) {
            self.push(session.address, good_bye);
        }
        self.forget(session.id);
        session.peer()
    }

    /// Who the peer of a session has proven to be, as long as that is so.
    pub(in crate::net) fn identity(&self, peer: Peer) -> Option<Arc<Identity>> {
        let state = self.state.borrow();
        let session = state.sessions.get(peer.session?)?;
        self.keyring.current(&session.identity)
    }

    pub(in crate::net) fn reach(&self, peer: Peer) -> Reach {
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
    pub(in crate::net) fn connect(
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
        let contexts = self.contexts.load();
        let caller = contexts.caller(psk.is_some());
        let hello = caller.ok_or(Unreachable::NoSuite)?.hello_bytes;
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

    pub(super) fn show(&self, state: &State) {
        let count = i64::try_from(state.sessions.len()).unwrap_or(i64::MAX);
        self.counters.sessions.set(count);
    }

    /// The peer of a session, where it was seen last.
    pub(in crate::net) fn located(&self, peer: Peer) -> Option<Peer> {
        let state = self.state.borrow();
        Some(state.sessions.get(peer.session?)?.peer())
    }

    /// Where a session stands, for the commit of what came in it.
    pub(in crate::net) fn mark(&self, peer: Peer, is_proven: bool) -> Option<SessionMark> {
        let mut state = self.state.borrow_mut();
        let session = state.sessions.get_mut(peer.session?)?;
        session.is_proven = is_proven;
        self.keeping.as_ref()?;
        mark(session)
    }

    /// The sessions whose peers had not answered from where they were when the server ended, and the bytes
    /// that each datagram to them has beside its message.
    pub(in crate::net) fn unproven(&self) -> Vec<(Peer, usize)> {
        let state = self.state.borrow();
        let all = state.sessions.ids().filter_map(|id| state.sessions.get(id));
        all.filter(|session| !session.is_proven)
            .map(|session| {
                let overhead = session.layer().map_or(0, RecordLayer::overhead);
                (session.peer(), overhead)
            })
            .collect()
    }

    /// Has a session written to disk where it is not, or half of the numbers that are reserved for it are
    /// used up. When that fails it is tried again with the next message, or in a while; meanwhile nothing of the
    /// session is wrong, and no more numbers are given out.
    pub(super) fn keep(&self, state: &mut State, id: SessionId) {
        let step = self.settings.record_number_step;
        let Some(session) = state.sessions.get_mut(id) else {
            return;
        };
        let generation = session.generation;
        let Carrier::Own(own) = &mut session.carrier else {
            return;
        };
        let Numbers { next, end } = own.layer.numbers;
        let is_short = end.saturating_sub(next) <= step / 2;
        let wanted = end.saturating_add(if is_short { step } else { 0 });
        let is_asked_for = match own.keeping {
            Keeping::Not | Keeping::Doubtful => true,
            Keeping::Never | Keeping::Done => is_short,
            Keeping::UnderWay => false,
        };
        if !is_asked_for {
            return;
        }
        let keeping = self
            .keeping
            .as_ref()
            .filter(|_| own.keeping != Keeping::Never);
        let sealed = keeping.and_then(|(keeper, safe)| {
            let sealed = safe.seal(id, &own.layer, &session.identity)?;
            Some((keeper, sealed))
        });
        let Some((keeper, sealed)) = sealed else {
            // One that may be on disk has numbers that a restart would give out again.
            if matches!(own.keeping, Keeping::Not | Keeping::Never) {
                own.keeping = Keeping::Never;
                own.layer.numbers.end = wanted;
            }
            return;
        };
        own.keeping = Keeping::UnderWay;
        let Some(mark) = mark(session) else {
            return;
        };
        let written = keeper.keep(KeptSession {
            mark,
            numbers: wanted,
            sealed,
        });
        let outcomes = self.outcomes.clone();
        actix_rt::spawn(async move {
            let kept = Kept {
                session: id,
                generation,
                end: written.await.then_some(wanted),
            };
            // Fails only when the server ends.
            let _ = outcomes.send(Outcome::Kept(kept)).await;
        });
    }

    /// A session is on disk, or not; unless it is over.
    fn was_kept(&self, kept: Kept) {
        let mut state = self.state.borrow_mut();
        let State {
            sessions, unkept, ..
        } = &mut *state;
        if let Some(session) = sessions.get_mut(kept.session)
            && session.generation == kept.generation
            && let Carrier::Own(own) = &mut session.carrier
        {
            match kept.end {
                Some(end) => {
                    own.layer.numbers.end = end;
                    own.keeping = Keeping::Done;
                }
                None => {
                    own.keeping = Keeping::Doubtful;
                    unkept.insert(kept.session);
                    // Those that are over meanwhile are not looked for at their end.
                    if unkept.len() > 2 * sessions.len() {
                        unkept.retain(|id| sessions.get(*id).is_some());
                    }
                }
            }
        }
    }

    /// A session is over: it must not be gone on with.
    pub(super) fn forget(&self, id: SessionId) {
        if let Some((keeper, _)) = &self.keeping {
            keeper.forget(id);
        }
    }
}

fn mark(session: &Session) -> Option<SessionMark> {
    Some(SessionMark {
        id: session.id,
        address: session.address,
        is_proven: session.is_proven,
        window: session.layer()?.window.kept(),
        heard_at: Timestamp::system(),
    })
}

/// A session of the time before; nothing when it cannot be read, with another key for example.
fn restored(safe: &Safe, kept: KeptSession, step: u64, heard: Instant) -> Option<Session> {
    let KeptSession {
        mark,
        numbers,
        sealed,
    } = kept;
    let (mut layer, identity) = safe.open(mark.id, &sealed)?;
    layer.window = Window::from_kept(mark.window);
    layer.numbers = Numbers {
        next: numbers,
        end: numbers.saturating_add(step),
    };
    let carrier = Carrier::restored(layer);
    let identity = Arc::new(identity);
    // The hello that it began with cannot come again: its cookie is not good any more.
    let mut session = Session::new(mark.id, mark.address, identity, &[0; 32], carrier, heard);
    session.is_proven = mark.is_proven;
    Some(session)
}

fn random_id() -> SessionId {
    let mut id = [0; 8];
    // Without randomness OpenSSL has made no handshake either.
    let _ = openssl::rand::rand_bytes(&mut id);
    SessionId(u64::from_be_bytes(id))
}

/// Sessions that are written again each time when idle ones are looked for: a store that is not there is not
/// to be asked for all of them.
const MOST_KEPT_AGAIN: usize = 1_000;
