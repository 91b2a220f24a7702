//! Bodies of ours that peers fetch in blocks (Block2, RFC 7959 section 2.4).

use std::time::{Duration, Instant};

use crate::domain::Peer;

use super::super::code::Code;
use super::super::exchange::Response;
use super::super::message::fingerprint;
use super::super::options::{Options, number};
use super::super::table::{PeerTable, TableLimits};
use super::super::timer::after;
use super::{Block, Exponent};

/// Bodies whose first block was sent: kept unchanged, so that blocks of two versions never mix.
#[derive(Debug)]
pub(in super::super) struct Served {
    table: PeerTable<ServedBody>,
    timeout: Duration,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct ServedBody {
    pub(in super::super) subject: Box<[u8]>,
    /// A hash of the body of the request that it answers.
    pub(in super::super) body_hash: i64,
    pub(in super::super) response: Response,
}

impl Served {
    pub(in super::super) fn new(limits: TableLimits, timeout: Duration) -> Self {
        Self {
            table: PeerTable::new(limits),
            timeout,
        }
    }

    /// Keeps a body in the place of an older one of the same subject. The number of other bodies
    /// that were given up for it is returned. One that has no room at all is not kept; its rest
    /// will be asked of the rooms above.
    pub(in super::super) fn keep(
        &mut self,
        now: Instant,
        peer: Peer,
        mut body: ServedBody,
    ) -> usize {
        self.forget(peer, &body.subject);
        // Once, not for every block.
        tag(
            body.response.code,
            &mut body.response.options,
            &body.response.payload,
        );
        let weight = body
            .response
            .payload
            .len()
            .saturating_add(body.subject.len());
        let deadline = after(now, self.timeout);
        self.table
            .insert(peer, deadline, false, weight, body)
            .unwrap_or(0)
    }

    /// A body of this subject. `body_hash`: that of the request's body when it has one; later
    /// blocks are asked for with or without it.
    pub(in super::super) fn find(
        &self,
        peer: Peer,
        subject: &[u8],
        body_hash: Option<i64>,
    ) -> Option<&ServedBody> {
        self.table.find(peer, |body| {
            *body.subject == *subject && body_hash.is_none_or(|hash| hash == body.body_hash)
        })
    }

    /// Forgets the body of a subject.
    pub(in super::super) fn forget(&mut self, peer: Peer, subject: &[u8]) -> Option<ServedBody> {
        self.table.remove(peer, |body| *body.subject == *subject)
    }

    /// Forgets all bodies of a peer.
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
}

/// A part of a response, as one message carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Part {
    /// The whole response in one message, or one block of it. `rest`: more blocks follow.
    Fits { response: Response, rest: bool },
    /// The block begins behind the end of the body.
    BehindTheEnd,
}

impl Part {
    /// The part of a response that `asked` names, in blocks of at most `largest`. Adds Block2,
    /// Size2 and (to a success without one) an `ETag` where there is more than one block.
    pub(in super::super) fn of(
        response: &Response,
        asked: Option<Block>,
        largest: Exponent,
    ) -> Self {
        let exponent = asked.map_or(largest, |asked| asked.exponent.min(largest));
        let offset = asked.map_or(0, Block::offset);
        let size = exponent.size();
        let whole = response.payload.len();
        let mut options = response.options.clone();
        options.remove(number::BLOCK2);
        if asked.is_none() && whole <= size {
            let response = Response {
                code: response.code,
                options,
                payload: response.payload.clone(),
            };
            return Self::Fits {
                response,
                rest: false,
            };
        }
        if offset != 0 && offset >= whole {
            return Self::BehindTheEnd;
        }
        let end = offset.saturating_add(size).min(whole);
        let rest = end < whole;
        // A block number beyond 20 bits cannot be named: the body is too large for blocks.
        let Some(block) = Block::at(offset, rest, exponent) else {
            return Self::BehindTheEnd;
        };
        if whole > size {
            tag(response.code, &mut options, &response.payload);
            if let Ok(whole) = u32::try_from(whole)
                && offset == 0
            {
                options.set_uint(number::SIZE2, whole);
            }
        }
        block.set(&mut options, number::BLOCK2);
        let payload = response
            .payload
            .get(offset..end)
            .unwrap_or_default()
            .to_vec();
        let response = Response {
            code: response.code,
            options,
            payload,
        };
        Self::Fits { response, rest }
    }
}

/// Gives a success an `ETag` if it has none, so that blocks of two versions cannot be mixed.
fn tag(code: Code, options: &mut Options, payload: &[u8]) {
    if code.is_success() && options.first(number::ETAG).is_none() {
        options.add(number::ETAG, &fingerprint(payload).to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(length: usize) -> Response {
        let payload = (0..length).map(|index| index as u8).collect();
        Response {
            payload,
            ..Response::new(Code::CONTENT)
        }
    }

    fn part(response: &Response, asked: Option<Block>, size: usize) -> (Response, bool) {
        match Part::of(response, asked, Exponent::at_most(size)) {
            Part::Fits { response, rest } => (response, rest),
            Part::BehindTheEnd => panic!("behind the end"),
        }
    }

    #[test]
    fn a_small_body_carries_no_block_option_unless_it_was_asked_for() {
        let whole = response(64);
        assert_eq!(part(&whole, None, 64), (whole.clone(), false));
        let asked = Block::first(Exponent::at_most(64));
        let (block, rest) = part(&whole, Some(asked), 64);
        assert!(!rest);
        assert_eq!(Block::of(&block.options, number::BLOCK2), Ok(Some(asked)));
    }

    #[test]
    fn the_blocks_of_a_body_make_the_body() {
        for length in [65, 127, 128, 129, 1000] {
            let whole = response(length);
            let mut body = Vec::new();
            let mut rest = true;
            while rest {
                let asked = Block::at(body.len(), false, Exponent::at_most(64));
                let (block, more) = part(&whole, asked, 1024);
                assert!(block.options.first(number::ETAG).is_some());
                body.extend_from_slice(&block.payload);
                rest = more;
            }
            assert_eq!(body, whole.payload);
        }
    }

    #[test]
    fn a_larger_block_than_ours_is_served_from_the_same_offset() {
        let whole = response(4096);
        let asked = Block::new(2, false, Exponent::at_most(1024));
        let (block, _) = part(&whole, asked, 256);
        let sent = Block::of(&block.options, number::BLOCK2).expect("valid");
        assert_eq!(sent, Block::new(8, true, Exponent::at_most(256)));
    }

    #[test]
    fn a_block_behind_the_end_is_refused() {
        let asked = Block::new(1, false, Exponent::at_most(64));
        assert_eq!(
            Part::of(&response(64), asked, Exponent::MAX),
            Part::BehindTheEnd
        );
    }

    #[test]
    fn an_etag_of_the_response_is_kept() {
        let mut whole = response(100);
        whole.options.add(number::ETAG, b"mine");
        let (block, _) = part(&whole, None, 64);
        assert_eq!(block.options.first(number::ETAG), Some(&b"mine"[..]));
        assert_eq!(block.options.uint(number::SIZE2), Some(100));
    }
}
