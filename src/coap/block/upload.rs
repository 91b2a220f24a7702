//! Bodies that peers send in blocks (Block1, RFC 7959 section 2.5), put together.

use std::time::{Duration, Instant};

use crate::domain::Peer;

use super::super::code::Code;
use super::super::table::{Full, PeerTable, TableLimits};
use super::super::timer::after;
use super::{Block, Exponent};

/// Unfinished uploads: within a number, a sum of bytes and a time; the one that paused longest
/// makes room for a new one.
#[derive(Debug)]
pub(in super::super) struct Uploads {
    table: PeerTable<Upload>,
    limits: UploadLimits,
}

/// See [`Uploads`].
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct UploadLimits {
    pub(in super::super) table: TableLimits,
    pub(in super::super) max_body: usize,
    pub(in super::super) timeout: Duration,
    /// The largest block that we ask for.
    pub(in super::super) exponent: Exponent,
}

/// What a block leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Outcome {
    /// 2.31 with this Block1.
    Continue(Block),
    /// The body is whole.
    Whole(Vec<u8>),
    /// This error, with `Size1` when the body was too large.
    Refuse {
        code: Code,
        reason: &'static str,
        size1: Option<u32>,
    },
}

#[derive(Debug)]
struct Upload {
    subject: Box<[u8]>,
    body: Vec<u8>,
}

impl Uploads {
    pub(in super::super) fn new(limits: UploadLimits) -> Self {
        Self {
            table: PeerTable::new(limits.table),
            limits,
        }
    }

    /// Takes a block of the body of this subject. The number of other uploads that were given up
    /// for it is returned too.
    pub(in super::super) fn take(
        &mut self,
        now: Instant,
        peer: Peer,
        subject: &[u8],
        block: Block,
        announced: Option<u32>,
        payload: &[u8],
    ) -> (Outcome, usize) {
        // Whatever becomes of the block, the upload as it was is over: a fault frees it, a block
        // 0 begins anew, and progress puts it back with a new deadline.
        let begun = self
            .table
            .remove(peer, |upload| *upload.subject == *subject);
        let mut body = match (block.number(), begun) {
            (0, _) => Vec::new(),
            (_, Some(upload)) => upload.body,
            (_, None) => return (incomplete("no upload has begun"), 0),
        };
        let whole_block = payload.len() == block.exponent.size();
        if (block.more && !whole_block) || payload.len() > block.exponent.size() {
            let refusal = Outcome::Refuse {
                code: Code::BAD_REQUEST,
                reason: "the payload is not as long as the block size says",
                size1: None,
            };
            return (refusal, 0);
        }
        let size = body.len().saturating_add(payload.len());
        let announced = announced.map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX));
        if size.max(announced) > self.limits.max_body {
            return (self.too_large(), 0);
        }
        if block.offset() != body.len() {
            return (incomplete("a block is missing or came twice"), 0);
        }
        if body.is_empty() && !block.more {
            return (Outcome::Whole(payload.to_vec()), 0);
        }
        body.extend_from_slice(payload);
        if !block.more {
            return (Outcome::Whole(body), 0);
        }
        let upload = Upload {
            subject: subject.into(),
            body,
        };
        let deadline = after(now, self.limits.timeout);
        // A vector may hold up to twice what is in it.
        let weight = upload.body.capacity();
        match self.table.insert(peer, deadline, false, weight, upload) {
            Ok(evicted) => {
                // A smaller size than the peer's asks it to go on with that (RFC 7959 section 2.3).
                let exponent = block.exponent.min(self.limits.exponent);
                (Outcome::Continue(Block { exponent, ..block }), evicted)
            }
            Err(Full) => (self.too_large(), 0),
        }
    }

    /// Forgets all unfinished bodies of a peer.
    pub(in super::super) fn forget_peer(&mut self, peer: Peer) {
        self.table.remove_all(peer);
    }

    pub(in super::super) fn expire(&mut self, now: Instant) {
        while self.table.pop_due(now).is_some() {}
    }

    pub(in super::super) fn next_deadline(&self) -> Option<Instant> {
        self.table.next_deadline()
    }

    pub(in super::super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(in super::super) fn bytes(&self) -> usize {
        self.table.weight()
    }

    fn too_large(&self) -> Outcome {
        Outcome::Refuse {
            code: Code::REQUEST_ENTITY_TOO_LARGE,
            reason: "the body is too large",
            size1: u32::try_from(self.limits.max_body).ok(),
        }
    }
}

fn incomplete(reason: &'static str) -> Outcome {
    Outcome::Refuse {
        code: Code::REQUEST_ENTITY_INCOMPLETE,
        reason,
        size1: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        uploads: Uploads,
        now: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                uploads: Uploads::new(UploadLimits {
                    table: TableLimits {
                        per_peer: 2,
                        total: 3,
                        weight: 4096,
                    },
                    max_body: 200,
                    timeout: Duration::from_secs(93),
                    exponent: Exponent::at_most(64),
                }),
                now: Instant::now(),
            }
        }

        fn take(&mut self, port: u16, subject: &str, block: Block, payload: &[u8]) -> Outcome {
            let peer = Peer::udp(([192, 0, 2, 1], port).into());
            self.uploads
                .take(self.now, peer, subject.as_bytes(), block, None, payload)
                .0
        }
    }

    fn block(number: u32, more: bool, size: usize) -> Block {
        Block::new(number, more, Exponent::at_most(size)).expect("a number")
    }

    fn refusal(outcome: &Outcome) -> Option<Code> {
        match outcome {
            Outcome::Refuse { code, .. } => Some(*code),
            _ => None,
        }
    }

    #[test]
    fn blocks_in_order_become_the_body() {
        let mut fixture = Fixture::new();
        for number in 0..3 {
            let block = block(number, true, 16);
            assert_eq!(
                fixture.take(1, "/a", block, &[number as u8; 16]),
                Outcome::Continue(block)
            );
        }
        let Outcome::Whole(body) = fixture.take(1, "/a", block(3, false, 16), &[3; 5]) else {
            panic!("the body is whole");
        };
        assert_eq!(body.len(), 53);
        assert_eq!(body.last(), Some(&3));
        assert_eq!((fixture.uploads.len(), fixture.uploads.bytes()), (0, 0));
    }

    #[test]
    fn a_single_block_is_a_body() {
        let mut fixture = Fixture::new();
        let outcome = fixture.take(1, "/a", block(0, false, 64), b"all");
        assert_eq!(outcome, Outcome::Whole(b"all".to_vec()));
    }

    #[test]
    fn a_smaller_size_is_asked_for_and_its_numbers_are_understood() {
        // RFC 7959 figure 9: 0/1/128 is answered with 0/1/32, and 4/1/32 follows. Ours is 64.
        let mut fixture = Fixture::new();
        assert_eq!(
            fixture.take(1, "/a", block(0, true, 128), &[0; 128]),
            Outcome::Continue(block(0, true, 64))
        );
        let outcome = fixture.take(1, "/a", block(2, false, 64), &[1; 10]);
        assert!(matches!(outcome, Outcome::Whole(body) if body.len() == 138));
    }

    #[test]
    fn a_gap_a_copy_and_a_stranger_are_incomplete_and_free_the_upload() {
        for wrong in [block(2, true, 16), block(0xf_ffff, true, 16)] {
            let mut fixture = Fixture::new();
            fixture.take(1, "/a", block(0, true, 16), &[0; 16]);
            let outcome = fixture.take(1, "/a", wrong, &[0; 16]);
            assert_eq!(refusal(&outcome), Some(Code::REQUEST_ENTITY_INCOMPLETE));
            assert_eq!((fixture.uploads.len(), fixture.uploads.bytes()), (0, 0));
        }
        let mut fixture = Fixture::new();
        fixture.take(1, "/a", block(0, true, 16), &[0; 16]);
        fixture.take(1, "/a", block(1, true, 16), &[0; 16]);
        let again = fixture.take(1, "/a", block(1, true, 16), &[0; 16]);
        assert_eq!(refusal(&again), Some(Code::REQUEST_ENTITY_INCOMPLETE));
        let stranger = fixture.take(2, "/a", block(1, true, 16), &[0; 16]);
        assert_eq!(refusal(&stranger), Some(Code::REQUEST_ENTITY_INCOMPLETE));
    }

    #[test]
    fn block_zero_begins_anew() {
        let mut fixture = Fixture::new();
        fixture.take(1, "/a", block(0, true, 16), &[0; 16]);
        fixture.take(1, "/a", block(0, true, 16), &[7; 16]);
        let outcome = fixture.take(1, "/a", block(1, false, 16), &[8]);
        assert!(matches!(outcome, Outcome::Whole(body) if body.first() == Some(&7)));
    }

    #[test]
    fn a_payload_that_does_not_fit_its_block_is_a_bad_request() {
        for (block, length) in [
            (block(0, true, 16), 15),
            (block(0, true, 16), 17),
            (block(0, false, 16), 17),
        ] {
            let mut fixture = Fixture::new();
            let outcome = fixture.take(1, "/a", block, &vec![0; length]);
            assert_eq!(refusal(&outcome), Some(Code::BAD_REQUEST));
            assert_eq!(fixture.uploads.len(), 0);
        }
    }

    #[test]
    fn a_body_over_the_limit_is_too_large_and_freed() {
        let mut fixture = Fixture::new();
        for number in 0..3 {
            fixture.take(1, "/a", block(number, true, 64), &[0; 64]);
        }
        let outcome = fixture.take(1, "/a", block(3, true, 64), &[0; 64]);
        let Outcome::Refuse { code, size1, .. } = outcome else {
            panic!("refused");
        };
        assert_eq!((code, size1), (Code::REQUEST_ENTITY_TOO_LARGE, Some(200)));
        assert_eq!(fixture.uploads.bytes(), 0);
    }

    #[test]
    fn an_announced_size_over_the_limit_is_refused_at_once() {
        let mut fixture = Fixture::new();
        let peer = Peer::udp(([192, 0, 2, 1], 1).into());
        let (outcome, _) = fixture.uploads.take(
            fixture.now,
            peer,
            b"/a",
            block(0, true, 16),
            Some(201),
            &[0; 16],
        );
        assert_eq!(refusal(&outcome), Some(Code::REQUEST_ENTITY_TOO_LARGE));
        assert_eq!(fixture.uploads.len(), 0);
    }

    #[test]
    fn two_subjects_are_two_uploads() {
        let mut fixture = Fixture::new();
        fixture.take(1, "/a", block(0, true, 16), &[1; 16]);
        fixture.take(1, "/b", block(0, true, 16), &[2; 16]);
        let a = fixture.take(1, "/a", block(1, false, 16), &[]);
        let b = fixture.take(1, "/b", block(1, false, 16), &[]);
        assert_eq!(a, Outcome::Whole(vec![1; 16]));
        assert_eq!(b, Outcome::Whole(vec![2; 16]));
    }

    #[test]
    fn uploads_are_limited_for_each_peer_and_in_all_and_in_time() {
        let mut fixture = Fixture::new();
        for subject in ["/a", "/b", "/c", "/d"] {
            fixture.take(1, subject, block(0, true, 16), &[0; 16]);
            assert!(fixture.uploads.len() <= 2);
        }
        for port in 2..100 {
            fixture.take(port, "/a", block(0, true, 16), &[0; 16]);
            assert!(fixture.uploads.len() <= 3);
        }
        fixture.now += Duration::from_secs(93);
        fixture.uploads.expire(fixture.now);
        assert_eq!((fixture.uploads.len(), fixture.uploads.bytes()), (0, 0));
    }
}
