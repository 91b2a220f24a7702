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
            return Err(Full(Box::new(session)));
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

/// Every session is in use; this one was not added.
pub(super) struct Full(pub(super) Box<Session>);

/// A session that was heard within `EXCHANGE_LIFETIME` (RFC 7252 section 4.8.2) is in use.
const IN_USE: Duration = Duration::from_secs(247);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openssl::ssl::{Ssl, SslContext, SslMethod, SslStream};

    use super::super::pipe::Pipe;
    use super::*;
    use crate::domain::{CredentialKind, Identity};

    fn session(id: u64, port: u16, endpoint: &str, heard: Instant) -> Session {
        let context = SslContext::builder(SslMethod::dtls()).expect("a context");
        let ssl = Ssl::new(&context.build()).expect("a connection");
        let stream = SslStream::new(ssl, Pipe::default()).expect("a stream");
        let identity = Identity {
            anchor: None,
            endpoint: EndpointName::new(endpoint).expect("a name"),
            others: Vec::new(),
            kind: CredentialKind::Psk,
            credential: None,
            label: endpoint.to_owned(),
        };
        let address = ([192, 0, 2, 1], port).into();
        Session::new(
            SessionId(id),
            address,
            Arc::new(identity),
            [0; 32],
            stream,
            heard,
        )
    }

    fn sessions(total: usize, per_endpoint: usize) -> Sessions {
        Sessions::new(SessionLimits {
            total,
            per_endpoint,
            idle: Duration::from_secs(3600),
        })
    }

    fn ended(out: Result<Vec<Session>, Full>) -> Vec<u64> {
        let out = out.ok().expect("room");
        out.iter().map(|session| session.id.0).collect()
    }

    fn assert_holds(sessions: &Sessions, ids: &[u64]) {
        let mut held: Vec<u64> = sessions.ids().map(|id| id.0).collect();
        held.sort_unstable();
        assert_eq!(held, ids);
        let of: usize = sessions.of.values().map(Vec::len).sum();
        for count in [
            sessions.at.len(),
            of,
            sessions.idle.len(),
            sessions.noted.len(),
        ] {
            assert_eq!(count, ids.len(), "the tables agree");
        }
    }

    #[test]
    fn a_new_session_takes_the_place_of_the_one_at_its_address() {
        let now = Instant::now();
        let mut table = sessions(9, 9);
        assert_eq!(ended(table.insert(now, session(1, 5000, "a", now))), [0; 0]);
        assert_eq!(ended(table.insert(now, session(2, 5000, "b", now))), [1]);
        assert_eq!(table.at(([192, 0, 2, 1], 5000).into()), Some(SessionId(2)));
        assert_holds(&table, &[2]);
    }

    #[test]
    fn of_one_endpoint_the_session_that_was_heard_the_longest_ago_goes_first() {
        let now = Instant::now();
        let mut table = sessions(9, 2);
        let later = now + Duration::from_secs(1);
        ended(table.insert(now, session(1, 1, "a", now)));
        ended(table.insert(now, session(2, 2, "a", now)));
        table.get_mut(SessionId(1)).expect("a session").heard = later;
        assert_eq!(ended(table.insert(later, session(3, 3, "a", later))), [2]);
        assert_holds(&table, &[1, 3]);
    }

    #[test]
    fn a_full_table_gives_up_what_is_idle_and_never_what_is_in_use() {
        let now = Instant::now();
        let mut table = sessions(2, 2);
        ended(table.insert(now, session(1, 1, "a", now)));
        ended(table.insert(now, session(2, 2, "b", now)));
        assert!(table.insert(now, session(3, 3, "c", now)).is_err());
        assert_holds(&table, &[1, 2]);
        // The second was heard meanwhile, the first was not.
        let later = now + IN_USE;
        table.get_mut(SessionId(2)).expect("a session").heard = later;
        assert_eq!(ended(table.insert(later, session(3, 3, "c", later))), [1]);
        assert!(table.insert(later, session(4, 4, "d", later)).is_err());
        assert_holds(&table, &[2, 3]);
    }

    #[test]
    fn what_was_not_heard_for_too_long_is_taken_out() {
        let now = Instant::now();
        let mut table = sessions(9, 9);
        ended(table.insert(now, session(1, 1, "a", now)));
        ended(table.insert(now, session(2, 2, "b", now)));
        let end = now + Duration::from_secs(3600);
        table.get_mut(SessionId(1)).expect("a session").heard = end;
        let idle = table.pop_idle(end).expect("an idle session");
        assert_eq!(idle.id, SessionId(2));
        assert!(table.pop_idle(end).is_none());
        assert_holds(&table, &[1]);
    }
}
