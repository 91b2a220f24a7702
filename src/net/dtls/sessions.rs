//! The sessions of a socket: found by name, by address and by whom they belong to; in bounded number.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::session::Session;
use crate::domain::{EndpointName, SessionId};

/// Limits and times of sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct SessionLimits {
    pub(super) total: usize,
    pub(super) per_endpoint: usize,
    pub(super) idle: Duration,
}

/// See the module.
pub(super) struct Sessions {
    limits: SessionLimits,
    all: HashMap<SessionId, Session>,
    at: HashMap<SocketAddr, SessionId>,
    of: HashMap<EndpointName, Vec<SessionId>>,
    /// By when each was heard at least; brought up to date when it is looked at.
    idle: BTreeSet<(Instant, SessionId)>,
    /// The entry of each session there.
    noted: HashMap<SessionId, Instant>,
}

impl Sessions {
    pub(super) fn new(limits: SessionLimits) -> Self {
        Self {
            limits,
            all: HashMap::new(),
            at: HashMap::new(),
            of: HashMap::new(),
            idle: BTreeSet::new(),
            noted: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.all.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.all.get_mut(&id)
    }

    /// The session at an address.
    pub(super) fn at(&self, address: SocketAddr) -> Option<SessionId> {
        self.at.get(&address).copied()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = SessionId> + '_ {
        self.all.keys().copied()
    }

    /// Adds a session, and takes out those that make room for it: the one at the same address, the
    /// oldest of the same endpoint beyond its share, the one that was idle for the longest.
    ///
    /// # Errors
    /// Every other is in use; nothing was taken out.
    pub(super) fn insert(&mut self, now: Instant, session: Session) -> Result<Vec<Session>, Full> {
        let frees_one = self.at(session.address).is_some()
            || self.of.contains_key(&session.identity.endpoint)
            || self.all.contains_key(&session.id);
        if self.all.len() >= self.limits.total && !frees_one && self.idlest(now, IN_USE).is_none() {
            return Err(Full);
        }
        let mut out: Vec<Session> = Vec::new();
        out.extend(self.at(session.address).and_then(|id| self.remove(id)));
        out.extend(self.remove(session.id));
        let others = self.of.get(&session.identity.endpoint);
        let too_many = others
            .map_or(0, Vec::len)
            .saturating_add(1)
            .saturating_sub(self.limits.per_endpoint.max(1));
        let mut oldest: Vec<(Instant, SessionId)> = others
            .into_iter()
            .flatten()
            .filter_map(|id| Some((self.all.get(id)?.heard, *id)))
            .collect();
        oldest.sort_unstable();
        for (_, id) in oldest.into_iter().take(too_many) {
            out.extend(self.remove(id));
        }
        // One of the same endpoint, when it has any; it will hardly need all that it has.
        while self.all.len() >= self.limits.total {
            let own = self.of.get(&session.identity.endpoint);
            let next = own
                .and_then(|ids| ids.first().copied())
                .or_else(|| self.idlest(now, IN_USE));
            let Some(id) = next else { break };
            out.extend(self.remove(id));
        }
        let id = session.id;
        self.at.insert(session.address, id);
        self.of
            .entry(session.identity.endpoint.clone())
            .or_default()
            .push(id);
        self.note(id, session.heard);
        self.all.insert(id, session);
        Ok(out)
    }

    /// Takes a session out.
    pub(super) fn remove(&mut self, id: SessionId) -> Option<Session> {
        let session = self.all.remove(&id)?;
        if self.at.get(&session.address) == Some(&id) {
            self.at.remove(&session.address);
        }
        if let Some(ids) = self.of.get_mut(&session.identity.endpoint) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.of.remove(&session.identity.endpoint);
            }
        }
        if let Some(noted) = self.noted.remove(&id) {
            self.idle.remove(&(noted, id));
        }
        Some(session)
    }

    /// Takes out a session that nothing was heard of for too long.
    pub(super) fn pop_idle(&mut self, now: Instant) -> Option<Session> {
        let id = self.idlest(now, self.limits.idle)?;
        self.remove(id)
    }

    /// The session that was heard last the longest ago, if that is at least so long ago.
    fn idlest(&mut self, now: Instant, at_least: Duration) -> Option<SessionId> {
        loop {
            let &(noted, id) = self.idle.first()?;
            if now.saturating_duration_since(noted) < at_least {
                return None;
            }
            let heard = self.all.get(&id)?.heard;
            if heard == noted {
                return Some(id);
            }
            self.note(id, heard);
        }
    }

    fn note(&mut self, id: SessionId, heard: Instant) {
        if let Some(before) = self.noted.insert(id, heard) {
            self.idle.remove(&(before, id));
        }
        self.idle.insert((heard, id));
    }
}

/// Every session is in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full;

/// A session that was heard within `EXCHANGE_LIFETIME` (RFC 7252 section 4.8.2) is in use.
const IN_USE: Duration = Duration::from_secs(247);
