//! Which messages of peers were seen before, and what was answered (RFC 7252 section 4.5).

use std::time::Instant;

use crate::domain::Peer;

use super::message::{MessageType, empty};
use super::table::{Full, PeerTable, TableLimits};

/// Messages that were seen. One that waits for its end ("pending") is never forgotten before its
/// time, so that it cannot have its effect twice.
#[derive(Debug)]
pub(super) struct Dedup(PeerTable<Seen>);

/// What is done with a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// An empty acknowledgement.
    Acknowledge,
    /// These bytes.
    Datagram(Box<[u8]>),
    /// The message waits for its end: nothing.
    Pending,
    /// A Reset.
    Reset,
    /// Nothing: the message needs no answer.
    Silence,
}

#[derive(Debug)]
struct Seen {
    message_id: u16,
    hash: i64,
    answer: Answer,
}

impl Dedup {
    pub(super) fn new(limits: TableLimits) -> Self {
        Self(PeerTable::new(limits))
    }

    /// What is done with a message if it is a copy. The same id with another hash is none.
    pub(super) fn find(&self, peer: Peer, message_id: u16, hash: i64) -> Option<&Answer> {
        let seen = self.0.find(peer, |seen| seen.is(message_id, hash))?;
        Some(&seen.answer)
    }

    /// Remembers a message until `deadline`.
    pub(super) fn insert(
        &mut self,
        peer: Peer,
        message_id: u16,
        hash: i64,
        deadline: Instant,
        answer: Answer,
    ) -> Result<(), Full> {
        let held = answer == Answer::Pending;
        let weight = answer.weight();
        let seen = Seen {
            message_id,
            hash,
            answer,
        };
        self.0.insert(peer, deadline, held, weight, seen).map(drop)
    }

    /// Ends a pending message. False when it is not pending (any more).
    pub(super) fn settle(
        &mut self,
        peer: Peer,
        message_id: u16,
        hash: i64,
        answer: Answer,
    ) -> bool {
        let pending = |seen: &Seen| seen.is(message_id, hash) && seen.answer == Answer::Pending;
        let weight = answer.weight();
        // Only the bytes of the answer may be too many, and then a copy counts as new.
        self.0
            .let_go(peer, weight, pending, |seen| seen.answer = answer)
    }

    /// Forgets a pending message: a copy counts as new.
    pub(super) fn forget(&mut self, peer: Peer, message_id: u16, hash: i64) -> bool {
        let pending = |seen: &Seen| seen.is(message_id, hash) && seen.answer == Answer::Pending;
        self.0.remove(peer, pending).is_some()
    }

    /// Forgets all messages of a peer.
    pub(super) fn forget_peer(&mut self, peer: Peer) {
        self.0.remove_all(peer);
    }

    pub(super) fn expire(&mut self, now: Instant) {
        while self.0.pop_due(now).is_some() {}
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.next_deadline()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn pending(&self) -> usize {
        self.0.held()
    }

    /// Of the remembered answers.
    pub(super) fn bytes(&self) -> usize {
        self.0.weight()
    }
}

impl Answer {
    /// The datagram that a copy is answered with.
    pub(super) fn datagram(&self, message_id: u16) -> Option<Vec<u8>> {
        match self {
            Self::Acknowledge => Some(empty(MessageType::Acknowledgement, message_id).to_vec()),
            Self::Datagram(bytes) => Some(bytes.to_vec()),
            Self::Reset => Some(empty(MessageType::Reset, message_id).to_vec()),
            Self::Pending | Self::Silence => None,
        }
    }

    fn weight(&self) -> usize {
        match self {
            Self::Datagram(bytes) => bytes.len(),
            Self::Acknowledge | Self::Pending | Self::Reset | Self::Silence => 0,
        }
    }
}

impl Seen {
    fn is(&self, message_id: u16, hash: i64) -> bool {
        self.message_id == message_id && self.hash == hash
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn dedup() -> Dedup {
        Dedup::new(TableLimits {
            per_peer: 2,
            total: 3,
            weight: 100,
        })
    }

    fn peer() -> Peer {
        Peer::udp(([192, 0, 2, 1], 5683).into())
    }

    #[test]
    fn a_message_stays_pending_until_it_is_settled_once() {
        let now = Instant::now();
        let mut dedup = dedup();
        assert_eq!(dedup.find(peer(), 1, 10), None);
        dedup
            .insert(peer(), 1, 10, now, Answer::Pending)
            .expect("room");
        assert_eq!(dedup.find(peer(), 1, 10), Some(&Answer::Pending));
        assert!(dedup.settle(peer(), 1, 10, Answer::Acknowledge));
        assert!(!dedup.settle(peer(), 1, 10, Answer::Reset));
        assert_eq!(dedup.find(peer(), 1, 10), Some(&Answer::Acknowledge));
        assert_eq!(dedup.pending(), 0);
    }

    #[test]
    fn the_same_id_with_another_hash_is_another_message() {
        let now = Instant::now();
        let mut dedup = dedup();
        dedup
            .insert(peer(), 1, 10, now, Answer::Pending)
            .expect("room");
        assert_eq!(dedup.find(peer(), 1, 11), None);
        dedup
            .insert(peer(), 1, 11, now, Answer::Silence)
            .expect("room");
        assert_eq!(dedup.find(peer(), 1, 10), Some(&Answer::Pending));
    }

    #[test]
    fn a_forgotten_message_is_new_again() {
        let now = Instant::now();
        let mut dedup = dedup();
        dedup
            .insert(peer(), 1, 10, now, Answer::Pending)
            .expect("room");
        assert!(dedup.forget(peer(), 1, 10));
        assert_eq!(dedup.find(peer(), 1, 10), None);
    }

    #[test]
    fn an_entry_keeps_its_deadline_when_it_is_settled() {
        let now = Instant::now();
        let later = now + Duration::from_secs(247);
        let mut dedup = dedup();
        dedup
            .insert(peer(), 1, 10, later, Answer::Pending)
            .expect("room");
        dedup.settle(peer(), 1, 10, Answer::Datagram(Box::new([1, 2, 3])));
        assert_eq!(dedup.next_deadline(), Some(later));
        assert_eq!(dedup.bytes(), 3);
        dedup.expire(later);
        assert_eq!((dedup.len(), dedup.bytes()), (0, 0));
    }
}
