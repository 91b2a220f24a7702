//! Blockwise transfers (RFC 7959): the option's value, bodies that come in by Block1 ([`upload`])
//! and bodies that go out by Block2 ([`served`]).

mod served;
mod upload;

use std::ops::Deref;

use smallvec::SmallVec;

pub(super) use served::{Part, Served, ServedBody};
pub(super) use upload::{Outcome, UploadLimits, Uploads};

use super::code::Code;
use super::exchange::Response;
use super::options::{Options, number};

/// The value of a Block1 or Block2 option (RFC 7959 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// NUM, 0 to 1,048,575: which block.
    number: u32,
    /// M: whether more blocks follow.
    pub more: bool,
    /// SZX: the size of the blocks.
    pub exponent: Exponent,
}

impl Block {
    /// The largest block number, 20 bits.
    pub const MAX_NUMBER: u32 = (1 << 20) - 1;

    /// A block, or nothing when the number does not fit 20 bits.
    pub fn new(number: u32, more: bool, exponent: Exponent) -> Option<Self> {
        (number <= Self::MAX_NUMBER).then_some(Self {
            number,
            more,
            exponent,
        })
    }

    /// The block that begins at a multiple of its size; nothing for another offset, or when it
    /// would have too large a number.
    pub fn at(offset: usize, more: bool, exponent: Exponent) -> Option<Self> {
        if offset & exponent.size().wrapping_sub(1) != 0 {
            return None;
        }
        let number = offset.checked_shr(exponent.shift())?;
        Self::new(u32::try_from(number).ok()?, more, exponent)
    }

    /// Block 0 of this size, nothing more.
    pub fn first(exponent: Exponent) -> Self {
        Self {
            number: 0,
            more: false,
            exponent,
        }
    }

    /// Which block, 0 to 1,048,575.
    pub fn number(self) -> u32 {
        self.number
    }

    /// Where the block begins in the body, in bytes.
    pub fn offset(self) -> usize {
        // At most 2^20 blocks of 2^10 bytes.
        (self.number as usize)
            .checked_shl(self.exponent.shift())
            .unwrap_or(usize::MAX)
    }

    /// Reads an option's value.
    ///
    /// # Errors
    /// More than three bytes, or the reserved size 7.
    pub fn from_value(value: &[u8]) -> Result<Self, InvalidBlock> {
        if value.len() > 3 {
            return Err(InvalidBlock::Length);
        }
        let bits = value
            .iter()
            .fold(0_u32, |sum, byte| (sum << 8) | u32::from(*byte));
        let exponent = u8::try_from(bits & 7)
            .ok()
            .and_then(Exponent::new)
            .ok_or(InvalidBlock::ReservedSize)?;
        Ok(Self {
            number: bits >> 4,
            more: bits & 8 != 0,
            exponent,
        })
    }

    /// The option's value as an unsigned integer.
    pub fn to_value(self) -> u32 {
        (self.number << 4) | (u32::from(self.more) << 3) | u32::from(self.exponent.szx())
    }

    /// Reads the option of this number, when it is there.
    ///
    /// # Errors
    /// See [`Block::from_value`].
    pub fn of(options: &Options, number: u16) -> Result<Option<Self>, InvalidBlock> {
        options.first(number).map(Self::from_value).transpose()
    }

    /// Sets the option of this number.
    pub fn set(self, options: &mut Options, number: u16) {
        options.set_uint(number, self.to_value());
    }
}

/// One block of a body that is sent block by block, each in an exchange of its own
/// ([`OutgoingRequest::block1`](super::OutgoingRequest::block1)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutgoingBlock {
    /// Which: its number or offset, whether more follow, and the size of the blocks. Only the last one
    /// may be shorter than that.
    pub block: Block,
    /// Bytes of the whole body, told with block 0 (Size1, RFC 7959 section 4).
    pub whole: Option<u32>,
}

/// What a response says of the block that it answers (Block1, RFC 7959 section 2.3); nothing when it
/// says nothing that can be understood.
///
/// With a success, block `number` was taken, and the next ones are to be of `exponent` when that is
/// smaller than theirs; their numbers count in the new size. Without `more`, an inner block had its effect
/// by itself, and the answer is final for it alone; with it, the effect comes with the last one. With 4.13,
/// the body can be sent anew in blocks of `exponent` when that is smaller (section 2.9.3).
pub fn confirmed_block1(response: &Response) -> Option<Block> {
    Block::of(&response.options, number::BLOCK1).ok().flatten()
}

/// The size of blocks: 2^(4 + SZX), SZX from 0 to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exponent(u8);

impl Exponent {
    /// 1,024 bytes.
    pub const MAX: Self = Self(6);

    /// The size of this SZX; nothing for 7 (reserved) and above.
    pub fn new(szx: u8) -> Option<Self> {
        (szx <= Self::MAX.0).then_some(Self(szx))
    }

    /// The largest size that is not above `bytes`; the smallest of all for less than 16.
    pub fn at_most(bytes: usize) -> Self {
        (0..=Self::MAX.0)
            .rev()
            .map(Self)
            .find(|exponent| exponent.size() <= bytes)
            .unwrap_or(Self(0))
    }

    /// The smaller sizes, the largest first.
    pub(super) fn all_below(self) -> impl Iterator<Item = Self> {
        (0..self.0).rev().map(Self)
    }

    /// SZX as in the option.
    pub fn szx(self) -> u8 {
        self.0
    }

    /// The size in bytes, 16 to 1,024.
    pub fn size(self) -> usize {
        1 << self.shift()
    }

    fn shift(self) -> u32 {
        u32::from(self.0).saturating_add(4)
    }
}

/// Why a Block option cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBlock {
    /// The value has more than three bytes.
    #[error("a Block option has more than three bytes")]
    Length,
    /// SZX is 7.
    #[error("the block size 7 is reserved")]
    ReservedSize,
}

/// What two requests must have in common to belong to one body, as unambiguous bytes. There is one for each
/// request, so that of an Update has room in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject(SmallVec<[u8; 48]>);

impl Deref for Subject {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The method and every option but those of single blocks and `Observe` (RFC 7959 section 2.4, RFC 9175
/// section 3.3).
pub(super) fn subject(code: Code, options: &Options) -> Subject {
    let mut bytes = SmallVec::new();
    bytes.push(code.to_byte());
    for (number, value) in options.iter() {
        let of_one_block = matches!(
            number,
            number::BLOCK1
                | number::BLOCK2
                | number::SIZE1
                | number::SIZE2
                | number::OBSERVE
                | number::NO_RESPONSE
                | number::ECHO
        );
        // NoCacheKey (RFC 7252 section 5.4.6); Request-Tag is made to be part of the key.
        let no_cache_key = number & 0x1e == 0x1c;
        if of_one_block || no_cache_key {
            continue;
        }
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        bytes.extend_from_slice(value);
    }
    Subject(bytes)
}

#[cfg(test)]
mod tests {
    use hex::decode;
    use proptest::prelude::*;

    use super::*;

    fn block(number: u32, more: bool, szx: u8) -> Block {
        Block::new(number, more, Exponent::new(szx).expect("a size")).expect("a block")
    }

    #[test]
    fn values_of_rfc_7959_are_read_and_written() {
        // Section 2.2 writes NUM/M/size: 0/0/16, 0/1/64, 1/0/128, 31/1/512, 1048575/1/1024.
        for (value, expected) in [
            ("", block(0, false, 0)),
            ("0a", block(0, true, 2)),
            ("13", block(1, false, 3)),
            ("01fd", block(31, true, 5)),
            ("fffffe", block(1_048_575, true, 6)),
        ] {
            let bytes = decode(value).expect("hex");
            assert_eq!(Block::from_value(&bytes), Ok(expected), "{value}");
            let mut options = Options::new();
            expected.set(&mut options, number::BLOCK2);
            assert_eq!(options.first(number::BLOCK2), Some(bytes.as_slice()));
        }
    }

    #[test]
    fn leading_zeros_do_not_matter() {
        assert_eq!(Block::from_value(&[0, 0, 0x16]), Ok(block(1, false, 6)));
    }

    #[test]
    fn the_reserved_size_is_refused() {
        assert_eq!(Block::from_value(&[0x07]), Err(InvalidBlock::ReservedSize));
        assert_eq!(
            Block::from_value(&[0xff, 0xff, 0xff]),
            Err(InvalidBlock::ReservedSize)
        );
    }

    #[test]
    fn four_bytes_are_refused() {
        assert_eq!(Block::from_value(&[0; 4]), Err(InvalidBlock::Length));
    }

    #[test]
    fn sizes_are_rounded_down() {
        assert_eq!(Exponent::at_most(0).size(), 16);
        assert_eq!(Exponent::at_most(1023).size(), 512);
        assert_eq!(Exponent::at_most(1 << 20).size(), 1024);
    }

    #[test]
    fn subjects_tell_options_apart_that_look_alike_when_joined() {
        let mut one = Options::new();
        one.add(number::URI_PATH, b"a");
        one.add(number::URI_PATH, b"b");
        let mut other = Options::new();
        other.add(number::URI_PATH, b"ab");
        assert_ne!(subject(Code::GET, &one), subject(Code::GET, &other));
        other.add(number::REQUEST_TAG, b"1");
        let tagged = subject(Code::GET, &other);
        other.add_uint(number::BLOCK1, 8);
        other.add_uint(number::SIZE1, 8);
        assert_eq!(subject(Code::GET, &other), tagged);
        other.set(number::REQUEST_TAG, b"2");
        assert_ne!(subject(Code::GET, &other), tagged);
    }

    proptest! {
        #[test]
        fn every_value_of_up_to_three_bytes_survives(bits in 0_u32..1 << 24) {
            let bytes = bits.to_be_bytes();
            match Block::from_value(bytes.get(1..).unwrap_or(&[])) {
                Ok(block) => {
                    prop_assert_eq!(block.to_value(), bits);
                    prop_assert_eq!(Block::at(block.offset(), block.more, block.exponent), Some(block));
                }
                Err(error) => {
                    prop_assert_eq!(error, InvalidBlock::ReservedSize);
                    prop_assert_eq!(bits & 7, 7);
                }
            }
        }
    }
}
