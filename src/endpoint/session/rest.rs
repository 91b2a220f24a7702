//! A device of which nothing is heard and nothing is wanted needs no session: what it is made of is in the
//! store, and the few things that are not are remembered in its place until something is for it again.

use std::time::Instant;

use super::{CommitStep, Env, MessageIds, Session, Step};
use crate::domain::{EndpointId, EndpointName, Now, Timestamp};
use crate::endpoint::SessionSettings;
use crate::store::{Commit, StoredEndpoint};

/// What a session knows that the store does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memo {
    /// When the registration ends, on the clock that never jumps.
    expires: Option<Instant>,
    last_uplink: Option<Instant>,
    seen_written: Option<Instant>,
    message_ids: MessageIds,
    silent: bool,
}

impl Session {
    /// A session of what is stored and of what the one before it left behind; see [`Session::restore`].
    /// Since `began` whatever the device sent was heard.
    pub fn resume_from(
        env: &Env<'_>,
        endpoint_id: EndpointId,
        name: EndpointName,
        stored: StoredEndpoint,
        memo: Option<Memo>,
        began: Timestamp,
    ) -> (Self, Vec<Step>) {
        let (mut session, steps) = Self::restore(env, endpoint_id, name, stored);
        session.wishes.began = began;
        if let Some(memo) = memo
            && session.registration.is_some()
        {
            session.expires = memo.expires;
            session.last_uplink = memo.last_uplink;
            session.seen_written = memo.seen_written;
            session.silent = memo.silent;
            // What was reserved on disk and not used may be used now.
            if memo.message_ids.end == session.message_ids.end {
                session.message_ids = memo.message_ids;
            }
        }
        session.wishes.due = session.next_look(env);
        (session, steps)
    }

    /// What is left behind when this session ends here; nothing while it is needed.
    pub fn memo(&self, now: Now, settings: &SessionSettings) -> Option<Memo> {
        let is_wanted = self.in_flight.is_some()
            || self.queue.has_unwritten()
            || !self.fetches.is_empty()
            || self.push.is_some()
            || self.retry_at.is_some()
            || self.wishes.is_busy()
            || !self.judge.is_empty()
            || !self.logs.is_empty();
        // What waits for a device that listens goes out in a moment.
        let is_asleep = self.silent || !self.listens(now, settings).now(now.instant);
        let waits = self.queue.len() > 0 && (!is_asleep || self.queue.has_held());
        if is_wanted || waits || self.learned_is_new || self.registration.is_none() {
            return None;
        }
        Some(Memo {
            expires: self.expires,
            last_uplink: self.last_uplink,
            seen_written: self.seen_written,
            message_ids: self.message_ids,
            silent: self.silent,
        })
    }

    /// Writes what was learnt and has not been part of a commit yet.
    pub fn write_learned(&mut self) -> Vec<Step> {
        let mut commit = Commit::default();
        self.note_learned(&mut commit);
        if commit.is_empty() {
            return Vec::new();
        }
        vec![Step::Commit(Box::new(CommitStep {
            commit,
            ..CommitStep::default()
        }))]
    }
}
