//! One block of a body that is kept elsewhere and read for each request (an image that many fetch at once):
//! of nobody anything is kept here.

use super::super::code::Code;
use super::super::exchange::Response;
use super::super::options::number;
use super::{Block, Exponent};

/// What of a body answers a request for it. Whoever keeps the body reads [`Excerpt::length`] bytes of it
/// from [`Excerpt::offset`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Excerpt {
    block: Block,
    /// The whole body, to a request that asks for no block.
    in_one: bool,
    /// Bytes of the body.
    whole: u64,
}

impl Excerpt {
    /// What of a body of `whole` bytes answers a request for this block
    /// ([`RequestKey::block2`](crate::coap::RequestKey::block2)), in blocks of at most `largest`.
    ///
    /// # Errors
    /// The answer in its place, 4.00: the block begins behind the end of the body, or there are more
    /// blocks of this size than have a number.
    pub fn of(asked: Option<Block>, whole: u64, largest: Exponent) -> Result<Self, Response> {
        let refused = |reason: &str| Response::refusal(Code::BAD_REQUEST, reason);
        let exponent = asked.map_or(largest, |asked| asked.exponent.min(largest));
        if !has_numbers(whole, exponent) {
            let size = exponent.size();
            return Err(refused(&format!(
                "{whole} bytes are more than 1048576 blocks of {size}: larger ones are needed"
            )));
        }
        let offset = asked.map_or(0, Block::offset);
        let behind = || refused("the body has no such block");
        if offset > 0 && offset as u64 >= whole {
            return Err(behind());
        }
        let block = Self::block(offset, whole, exponent).ok_or_else(behind)?;
        Ok(Self {
            block,
            in_one: asked.is_none() && !block.more,
            whole,
        })
    }

    /// Where it begins in the body, in bytes.
    pub fn offset(&self) -> u64 {
        self.block.offset() as u64
    }

    /// How many bytes of the body it has.
    pub fn length(&self) -> usize {
        let left = self.whole.saturating_sub(self.offset());
        let size = self.block.exponent.size();
        usize::try_from(left).map_or(size, |left| left.min(size))
    }

    /// The size of the blocks, in bytes.
    pub fn block_size(&self) -> u32 {
        1_u32 << self.block.exponent.shift()
    }

    /// The same in blocks of at most this size; nothing when some of them would have no number.
    pub(in super::super) fn within(self, largest: Exponent) -> Option<Self> {
        if self.block.exponent <= largest || (self.in_one && self.length() <= largest.size()) {
            return Some(self);
        }
        if !has_numbers(self.whole, largest) {
            return None;
        }
        Some(Self {
            block: Self::block(self.block.offset(), self.whole, largest)?,
            in_one: false,
            whole: self.whole,
        })
    }

    /// The response that carries it: of the payload so much as belongs to it, with Block2, and with the size
    /// of the whole where it begins (Size2, RFC 7959 section 4).
    pub(in super::super) fn part(&self, response: &Response) -> Response {
        let mut options = response.options.clone();
        options.remove(number::BLOCK2);
        options.remove(number::SIZE2);
        if !self.in_one {
            self.block.set(&mut options, number::BLOCK2);
            if let Ok(whole) = u32::try_from(self.whole)
                && self.block.number() == 0
            {
                options.set_uint(number::SIZE2, whole);
            }
        }
        let payload = response.payload.get(..self.length());
        Response {
            code: response.code,
            options,
            payload: payload.unwrap_or(&response.payload).to_vec(),
        }
    }

    fn block(offset: usize, whole: u64, exponent: Exponent) -> Option<Block> {
        let end = (offset as u64).saturating_add(exponent.size() as u64);
        Block::at(offset, end < whole, exponent)
    }
}

/// Whether each block of a body has a number.
fn has_numbers(whole: u64, exponent: Exponent) -> bool {
    let last = whole.saturating_sub(1).checked_div(exponent.size() as u64);
    last.is_some_and(|last| last <= u64::from(Block::MAX_NUMBER))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn size(bytes: usize) -> Exponent {
        Exponent::at_most(bytes)
    }

    fn asked(number: u32, bytes: usize) -> Option<Block> {
        Block::new(number, false, size(bytes))
    }

    fn body(bytes: usize) -> Response {
        Response {
            payload: (0..bytes).map(|at| at as u8).collect(),
            ..Response::new(Code::CONTENT)
        }
    }

    #[rstest]
    #[case::all_but_the_last(0, 64, 0, 64, true)]
    #[case::in_the_middle(2, 64, 128, 64, true)]
    #[case::the_last(15, 64, 960, 40, false)]
    #[case::larger_than_ours(0, 1024, 0, 256, true)]
    #[case::larger_than_ours_in_the_middle(1, 512, 512, 256, true)]
    fn a_block_is_as_it_was_asked_for_or_smaller(
        #[case] number: u32,
        #[case] bytes: usize,
        #[case] offset: u64,
        #[case] length: usize,
        #[case] more: bool,
    ) {
        let excerpt = Excerpt::of(asked(number, bytes), 1000, size(256)).expect("a block");
        assert_eq!((excerpt.offset(), excerpt.length()), (offset, length));
        let part = excerpt.part(&body(length));
        let block = Block::of(&part.options, number::BLOCK2)
            .expect("valid")
            .expect("a Block2");
        assert_eq!((block.offset() as u64, block.more), (offset, more));
        assert_eq!(
            part.options.uint(number::SIZE2),
            (offset == 0).then_some(1000)
        );
    }

    #[test]
    fn who_asks_for_no_block_gets_all_of_a_small_body_and_the_first_block_of_a_large_one() {
        let small = Excerpt::of(None, 256, size(256)).expect("a block");
        let part = small.part(&body(256));
        assert_eq!(part.options.iter().count(), 0);
        assert_eq!(part.payload.len(), 256);
        let large = Excerpt::of(None, 257, size(256)).expect("a block");
        let part = large.part(&body(256));
        assert_eq!(part.options.uint(number::BLOCK2), Some(8 | 4));
        assert_eq!(part.options.uint(number::SIZE2), Some(257));
        let empty = Excerpt::of(None, 0, size(256)).expect("a block");
        assert_eq!((empty.offset(), empty.length()), (0, 0));
        assert_eq!(empty.part(&body(0)).payload, b"");
    }

    #[test]
    fn a_block_behind_the_end_is_refused() {
        for (number, bytes) in [(4, 256), (1_048_575, 1024), (63, 16)] {
            let refusal = Excerpt::of(asked(number, bytes), 1000, size(256)).expect_err("refused");
            assert_eq!(refusal.code, Code::BAD_REQUEST, "{number} of {bytes}");
        }
        assert!(Excerpt::of(asked(62, 16), 1000, size(256)).is_ok());
        assert!(Excerpt::of(asked(1, 16), 16, size(256)).is_err());
        assert!(Excerpt::of(asked(1, 16), 0, size(256)).is_err());
    }

    /// 64 MiB are 2^20 blocks of 64 bytes, and each of them has a number.
    #[test]
    fn a_body_with_more_blocks_than_numbers_needs_larger_ones() {
        let whole = 64 << 20;
        let last = Excerpt::of(asked(1_048_575, 64), whole, size(1024)).expect("the last one");
        assert_eq!((last.offset(), last.length()), (whole - 64, 64));
        assert!(!last.block.more);
        for (bytes, whole) in [(32, whole), (64, whole + 1)] {
            let refusal = Excerpt::of(asked(0, bytes), whole, size(1024)).expect_err("refused");
            assert_eq!(refusal.code, Code::BAD_REQUEST);
            let words = String::from_utf8(refusal.payload).expect("words");
            assert!(words.contains("1048576 blocks"), "{words}");
        }
        assert!(Excerpt::of(None, u64::MAX, size(1024)).is_err());
    }

    #[test]
    fn it_is_cut_where_it_has_to_be_smaller() {
        let excerpt = Excerpt::of(asked(3, 256), 1000, size(256)).expect("a block");
        assert_eq!(excerpt.within(size(1024)), Some(excerpt));
        let small = excerpt.within(size(32)).expect("a block");
        assert_eq!((small.offset(), small.length()), (768, 32));
        let part = small.part(&body(232));
        assert_eq!(part.payload, body(32).payload);
        assert_eq!(part.options.uint(number::BLOCK2), Some((24 << 4) | 8 | 1));
        let whole = Excerpt::of(None, 100, size(256)).expect("all of it");
        assert_eq!(whole.within(size(128)), Some(whole));
        let first = whole.within(size(64)).expect("a block");
        assert_eq!(
            first.part(&body(100)).options.uint(number::SIZE2),
            Some(100)
        );
        // Somebody who follows would come to a block without a number.
        let large = Excerpt::of(asked(0, 1024), 64 << 20, size(1024)).expect("a block");
        assert!(large.within(size(64)).is_some());
        assert_eq!(large.within(size(32)), None);
    }
}
