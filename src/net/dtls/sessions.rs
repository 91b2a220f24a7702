//! The sessions of a socket: found by name, by connection id, by address and by whom they belong to; in
//! bounded number.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::cid::Cid;
use super::records::Records;
use super::session::Session;
use crate::domain::{EndpointName, SessionId};

/// Limits and times of sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionLimits {
    pub(super) total: usize,
    /// Of those that OpenSSL keeps, which are large.
    pub(super) large: usize,
    pub(super) per_endpoint: usize,
    pub(super) idle: Duration,
}

/// See the module.
pub(super) struct Sessions {
    limits: SessionLimits,
    all: HashMap<SessionId, Box<Session>>,
    /// Those that are known by their address alone, and of the others the one that came there last.
    at: HashMap<SocketAddr, SessionId>,
    by_cid: HashMap<Cid, SessionId>,
    /// How long the ids in use are, and how many there are of each length: records do not say it.
    cid_lengths: BTreeMap<usize, usize>,
    /// By the hash of the endpoint's name, which would be longer.
    of: BTreeSet<(u64, SessionId)>,
    hasher: RandomState,
    /// By when each was heard at least; brought up to date when it is looked at. First those that are
    /// small, then those that are large.
    idle: [BTreeSet<(Instant, SessionId)>; 2],
    /// Whose last flights are kept, in the order in which they are not needed any more.
    flights: VecDeque<(Instant, SessionId)>,
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            all: HashMap::new(),
            at: HashMap::new(),
            by_cid: HashMap::new(),
            cid_lengths: BTreeMap::new(),
            of: BTreeSet::new(),
            hasher: RandomState::new(),
            idle: Default::default(),
            flights: VecDeque::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.all.get(&id).map(|session| &**session)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.all.get_mut(&id).map(|session| &mut **session)
    }

    /// The session at an address.
    pub(super) fn at(&self, address: SocketAddr) -> Option<SessionId> {
        self.at.get(&address).copied()
    }

    /// The session that the first record of a datagram names (RFC 9146 section 3).
    pub(super) fn named_by(&self, datagram: &[u8]) -> Option<SessionId> {
        let lengths = self.cid_lengths.keys();
        lengths.filter(|length| **length > 0).find_map(|length| {
            let record = Records::with_cid(datagram, *length).next()?;
            let cid = Cid::new(record.cid).filter(|cid| !cid.is_empty())?;
            self.by_cid.get(&cid).copied()
        })
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.all.keys().copied()
    }

    /// Adds a session, and takes out those that make room for it: the one at the same address that is
    /// known by nothing else, the oldest of the same endpoint beyond its share, the one that was idle
    /// for the longest.
    ///
    /// # Errors
    /// Every other is in use, or another one has its connection id; nothing was taken out.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        session: Session,
    ) -> Result<Vec<Session>, NotTaken> {
        let replaced = self.replaced_by(&session);
        self.insert_for(now, session, replaced)
    }

    /// Adds a session of the time before. One with a connection id may have been seen last where its peer is
    /// not, and so ends none that is there, as when it came: see [`Sessions::follow`].
    ///
    /// # Errors
    /// See [`Sessions::insert`].
    pub(super) fn restore(
        &mut self,
        now: Instant,
        session: Session,
    ) -> Result<Vec<Session>, NotTaken> {
        let is_known_by_more = !session.cid().is_empty();
        let replaced = self.replaced_by(&session).filter(|_| !is_known_by_more);
        self.insert_for(now, session, replaced)
    }

    fn insert_for(
        &mut self,
        now: Instant,
        session: Session,
        replaced: Option<SessionId>,
    ) -> Result<Vec<Session>, NotTaken> {
        let endpoint = &session.identity.endpoint;
        let mut freed = self.of(endpoint);
        freed.extend(replaced);
        freed.push(session.id);
        let frees = |is_wanted: fn(&Session) -> bool| {
            let mut freed = freed.iter().filter_map(|id| self.get(*id));
            freed.any(is_wanted)
        };
        let is_large = session.is_large();
        let (frees_one, frees_large) = (frees(|_| true), is_large && frees(Session::is_large));
        let is_full =
            self.all.len() >= self.limits.total && !frees_one && self.idlest(now, IN_USE).is_none();
        let is_full_of_large = is_large
            && self.large() >= self.limits.large
            && !frees_large
            && self.idlest_of(LARGE, now, IN_USE).is_none();
        let cid = session.cid();
        let is_taken = self.by_cid.get(&cid).is_some_and(|id| *id != session.id);
        if is_taken || is_full || is_full_of_large {
            return Err(NotTaken(Box::new(session)));
        }
        let mut out: Vec<Session> = Vec::new();
        out.extend(replaced.and_then(|id| self.remove(id)));
        out.extend(self.remove(session.id));
        let own = self.of(&session.identity.endpoint);
        let too_many = own
            .len()
            .saturating_add(1)
            .saturating_sub(self.limits.per_endpoint.max(1));
        if too_many > 0 {
            let mut oldest: Vec<(Instant, SessionId)> = own
                .into_iter()
                .filter_map(|id| Some((self.get(id)?.heard, id)))
                .collect();
            oldest.sort_unstable();
            for (_, id) in oldest.into_iter().take(too_many) {
                out.extend(self.remove(id));
            }
        }
        // One of the same endpoint, when it has any; it will hardly need all that it has.
        while self.all.len() >= self.limits.total || is_large && self.large() >= self.limits.large {
            let is_short_of_large = self.all.len() < self.limits.total;
            let mut own = self.of(&session.identity.endpoint).into_iter();
            let own = own.find(|id| {
                let before = self.get(*id);
                !is_short_of_large || before.is_some_and(Session::is_large)
            });
            let next = own.or_else(|| {
                if is_short_of_large {
                    self.idlest_of(LARGE, now, IN_USE)
                } else {
                    self.idlest(now, IN_USE)
                }
            });
            let Some(id) = next else { break };
            out.extend(self.remove(id));
        }
        let id = session.id;
        self.stands_at(session.address, id, &cid);
        if !cid.is_empty() {
            self.by_cid.insert(cid, id);
        }
        let length = cid.as_bytes().len();
        *self.cid_lengths.entry(length).or_default() += 1;
        self.of.insert((self.hash(&session.identity.endpoint), id));
        self.idle_of(is_large).insert((session.noted, id));
        self.all.insert(id, Box::new(session));
        Ok(out)
    }

    /// The last flight of a session may be asked for until then.
    pub(super) fn keeps_flight(&mut self, id: SessionId, until: Instant) {
        self.flights.push_back((until, id));
        // Those of sessions that are over are not looked for at their end.
        if self.flights.len() > 2 * self.all.len() {
            self.flights.retain(|(_, id)| self.all.contains_key(id));
        }
    }

    /// Lets go of the flights that nobody can ask for any more.
    pub(super) fn forget_flights(&mut self, now: Instant) {
        while let Some((_, id)) = self.flights.pop_front_if(|(until, _)| *until <= now) {
            if let Some(session) = self.get_mut(id) {
                session.carrier.forget_flight();
            }
        }
    }

    /// A session has come from another address. It takes the place of one there that is known by its
    /// connection id too; one that is known by its address alone stays, or whoever has a session could
    /// take that of somebody else away by a forged address.
    pub(super) fn follow(&mut self, id: SessionId, address: SocketAddr) {
        let Some(session) = self.all.get_mut(&id) else {
            return;
        };
        session.is_proven = false;
        let before = std::mem::replace(&mut session.address, address);
        let cid = session.cid();
        if self.at.get(&before) == Some(&id) {
            self.at.remove(&before);
        }
        self.stands_at(address, id, &cid);
    }

    /// Has a session found by its address, unless one is there that is found by nothing else.
    fn stands_at(&mut self, address: SocketAddr, id: SessionId, cid: &Cid) {
        let holder = self.at(address).and_then(|holder| self.get(holder));
        if cid.is_empty() || holder.is_none_or(|holder| !holder.cid().is_empty()) {
            self.at.insert(address, id);
        }
    }

    /// Takes a session out.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = *self.all.remove(&id)?;
        if self.at.get(&session.address) == Some(&id) {
            self.at.remove(&session.address);
        }
        let cid = session.cid();
        self.by_cid.remove(&cid);
        if let Entry::Occupied(mut count) = self.cid_lengths.entry(cid.as_bytes().len()) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
        self.of.remove(&(self.hash(&session.identity.endpoint), id));
        self.idle_of(session.is_large())
            .remove(&(session.noted, id));
        Some(session)
    }

    /// Takes out a session that nothing was heard of for too long.
    pub(super) fn pop_idle(&mut self, now: Instant) -> Option<Session> {
        let id = self.idlest(now, self.limits.idle)?;
        self.remove(id)
    }

    /// The session at the same address that nothing could be for any more: it is known by its address
    /// alone, or it is of the same endpoint.
    fn replaced_by(&self, session: &Session) -> Option<SessionId> {
        let id = self.at(session.address)?;
        let before = self.get(id)?;
        let is_lost =
            before.cid().is_empty() || before.identity.endpoint == session.identity.endpoint;
        is_lost.then_some(id)
    }

    /// The sessions of an endpoint.
    fn of(&self, endpoint: &EndpointName) -> Vec<SessionId> {
        let hash = self.hash(endpoint);
        let same = self
            .of
            .range((hash, SessionId(u64::MIN))..=(hash, SessionId(u64::MAX)));
        same.map(|(_, id)| *id)
            .filter(|id| {
                let session = self.get(*id);
                session.is_some_and(|session| session.identity.endpoint == *endpoint)
            })
            .collect()
    }

    fn hash(&self, endpoint: &EndpointName) -> u64 {
        self.hasher.hash_one(endpoint)
    }

    fn large(&self) -> usize {
        let [_, large] = &self.idle;
        large.len()
    }

    fn idle_of(&mut self, is_large: bool) -> &mut BTreeSet<(Instant, SessionId)> {
        let [small, large] = &mut self.idle;
        if is_large { large } else { small }
    }

    /// The session that was heard last the longest ago, if that is at least so long ago.
    fn idlest(&mut self, now: Instant, at_least: Duration) -> Option<SessionId> {
        let both = [SMALL, LARGE].map(|which| self.idlest_of(which, now, at_least));
        let both = both.into_iter().flatten();
        both.min_by_key(|id| self.get(*id).map(|session| session.heard))
    }

    fn idlest_of(&mut self, is_large: bool, now: Instant, at_least: Duration) -> Option<SessionId> {
        loop {
            let &(noted, id) = self.idle_of(is_large).first()?;
            if now.saturating_duration_since(noted) < at_least {
                return None;
            }
            let session = self.all.get_mut(&id)?;
            if session.heard == noted {
                return Some(id);
            }
            let heard = session.heard;
            session.noted = heard;
            let idle = self.idle_of(is_large);
            idle.remove(&(noted, id));
            idle.insert((heard, id));
        }
    }
}

/// There is no room, or its connection id is another's; this session was not added.
pub(super) struct NotTaken(pub(super) Box<Session>);

/// A session that was heard within `EXCHANGE_LIFETIME` (RFC 7252 section 4.8.2) is in use.
const IN_USE: Duration = Duration::from_secs(247);
const SMALL: bool = false;
const LARGE: bool = true;

#[cfg(test)]
#[path = "sessions_tests.rs"]
mod tests;
