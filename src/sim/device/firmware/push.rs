//! Images that are pushed: the blocks of 5/0/0 (Block1, RFC 7959 section 2.5), each an exchange of its own.

use std::time::Instant;

use crate::coap::{Block, Code, Exponent, Request, Response, number};
use crate::domain::{ContentFormat, Now};
use crate::lwm2m::register::Refusal;

use super::super::super::firmware::{BlockLimit, FirmwareBehaviour, Midway};
use super::super::super::objects::firmware as object;
use super::{
    CONNECTION_LOST, DOWNLOADED, Device, NO_STORAGE, OUT_OF_MEMORY, Output, PULL_ONLY, Received,
    Stage, UNSUPPORTED_IMAGE, is_half, is_nothing, not_now,
};

/// A push under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Push {
    received: Received,
    total: Option<u64>,
    last: Option<LastBlock>,
    heard_at: Option<Instant>,
    /// Blocks are not answered before.
    deaf_until: Option<Instant>,
    /// It has broken off midway, on purpose.
    has_broken: bool,
}

/// The block that was taken last: it may come again, when its answer was lost with the server that
/// waited for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastBlock {
    offset: usize,
    bytes: Vec<u8>,
}

/// What becomes of a block; nothing: no answer at all.
type Taken = Option<Result<Response, Refusal>>;

impl Push {
    pub(super) fn received(&self) -> u64 {
        self.received.size()
    }
}

impl Device {
    /// Whether an image may be pushed now.
    pub(super) fn check_push(&self) -> Result<(), Refusal> {
        if self.delivery() == PULL_ONLY {
            return Err(not_now("5/0/0 takes no package: this device pulls"));
        }
        match &self.firmware.stage {
            Stage::Idle | Stage::Pushed(_) => Ok(()),
            Stage::Pulling(_) => Err(not_now("an image is being downloaded")),
            Stage::Downloaded(_) => Err(not_now("an image is there: write an empty URI first")),
            Stage::Updating { .. } => Err(not_now("the firmware is being updated")),
        }
    }

    /// A block of an image; nothing: it is not answered.
    pub(in super::super) fn push_block(
        &mut self,
        now: Now,
        request: &Request,
        outputs: &mut Vec<Output>,
    ) -> Option<Response> {
        let taken = match self.block_of(request) {
            Ok(block) => self.take_block(now, block, request, outputs)?,
            Err(refusal) => Err(refusal),
        };
        Some(taken.unwrap_or_else(|refusal| Response::refusal(refusal.code, &refusal.reason)))
    }

    /// A whole image in one message.
    pub(super) fn push_whole(&mut self, now: Now, package: &[u8]) -> Result<(), Refusal> {
        self.check_push()?;
        self.begin_push(now, Some(package.len() as u64));
        self.check_bytes(now, package, true)?;
        let Stage::Pushed(push) = &mut self.firmware.stage else {
            return Ok(());
        };
        let mut received = std::mem::take(&mut push.received);
        received.take(package);
        self.arrived(now, received, None, None);
        Ok(())
    }

    fn block_of(&self, request: &Request) -> Result<Block, Refusal> {
        let opaque = ContentFormat::Opaque.code();
        let format = request.options.content_format();
        if format.is_some_and(|format| format != opaque) {
            let reason = "an image is application/octet-stream";
            return Err(Refusal::new(Code::UNSUPPORTED_CONTENT_FORMAT, reason));
        }
        let block = Block::of(&request.options, number::BLOCK1).ok().flatten();
        let wrong = || Refusal::new(Code::BAD_REQUEST, "the block is not as long as it says");
        let block = block.ok_or_else(wrong)?;
        let (length, size) = (request.payload.len(), block.exponent.size());
        match length > size || (block.more && length != size) {
            true => Err(wrong()),
            false => Ok(block),
        }
    }

    fn take_block(
        &mut self,
        now: Now,
        block: Block,
        request: &Request,
        outputs: &mut Vec<Output>,
    ) -> Taken {
        let bytes = request.payload.as_slice();
        let only = block.number() == 0 && !block.more;
        if only && is_nothing(bytes) {
            if let Stage::Updating { .. } = self.firmware.stage {
                return Some(Err(not_now("the firmware is being updated")));
            }
            let written = self.package_written(now, bytes);
            return Some(written.map(|()| Response::new(Code::CHANGED)));
        }
        if self.is_last_block(block, bytes) {
            return Some(Ok(self.confirm(block)));
        }
        if let Err(refusal) = self.check_push() {
            return Some(Err(refusal));
        }
        if let Some(BlockLimit::Insists(size)) = self.settings.quirks.block_limit
            && block.exponent.size() > size
        {
            let mut response =
                Response::refusal(Code::REQUEST_ENTITY_TOO_LARGE, "smaller blocks, please");
            in_blocks_of(block, size).set(&mut response.options, number::BLOCK1);
            return Some(Ok(response));
        }
        self.forget_push(now);
        if block.number() == 0 {
            let size = request.options.uint(number::SIZE1).map(u64::from);
            self.begin_push(now, size);
        }
        let behaviour = self.behaviour();
        let Stage::Pushed(push) = &mut self.firmware.stage else {
            return Some(Err(incomplete("no image has begun")));
        };
        if push.received.size() != block.offset() as u64 {
            // What came is of no use: block 0 begins anew.
            **push = Push::default();
            self.firmware.history.restarts += 1;
            return Some(Err(incomplete("a block is missing")));
        }
        if push.deaf_until.is_some_and(|until| now.instant < until) {
            return None;
        }
        let reached = push.received.size() + bytes.len() as u64;
        if is_half(reached, push.total) && !push.has_broken {
            push.has_broken = true;
            match behaviour {
                FirmwareBehaviour::ConnectionLost
                | FirmwareBehaviour::LostMidway(Midway::Reports) => {
                    self.end_firmware(now, CONNECTION_LOST);
                    return None;
                }
                FirmwareBehaviour::LostMidway(Midway::Silent) => {
                    self.fall_silent(now, outputs);
                    return None;
                }
                FirmwareBehaviour::LostMidway(Midway::Resumes(after)) => {
                    push.deaf_until = Some(now.instant + after);
                    return None;
                }
                FirmwareBehaviour::Stalls => {
                    push.deaf_until = Some(now.instant + super::FOR_EVER);
                    return None;
                }
                FirmwareBehaviour::OutOfMemory => {
                    self.end_firmware(now, OUT_OF_MEMORY);
                    return Some(Err(failed("out of memory")));
                }
                _ => {}
            }
        }
        if let Err(refusal) = self.check_bytes(now, bytes, block.number() == 0) {
            return Some(Err(refusal));
        }
        let Stage::Pushed(push) = &mut self.firmware.stage else {
            return None;
        };
        push.received.take(bytes);
        push.heard_at = Some(now.instant);
        let last = LastBlock {
            offset: block.offset(),
            bytes: bytes.to_vec(),
        };
        if block.more {
            push.last = Some(last);
        } else {
            let received = std::mem::take(&mut push.received);
            self.arrived(now, received, None, Some(last));
        }
        Some(Ok(self.confirm(block)))
    }

    fn begin_push(&mut self, now: Now, total: Option<u64>) {
        if let Stage::Pushed(push) = &self.firmware.stage
            && push.received.size() > 0
        {
            self.firmware.history.restarts += 1;
        }
        self.firmware.stage = Stage::Pushed(Box::new(Push {
            total,
            heard_at: Some(now.instant),
            ..Push::default()
        }));
        object::show_package(&mut self.objects, "", "");
        object::show_result(&mut self.objects, 0);
        self.show_state(now);
    }

    /// A push that has paused for longer than the device remembers is over.
    fn forget_push(&mut self, now: Now) {
        if let Stage::Pushed(push) = &self.firmware.stage
            && let (Some(remembers), Some(heard_at)) =
                (self.settings.quirks.forgets_after, push.heard_at)
            && now.instant.saturating_duration_since(heard_at) > remembers
        {
            self.end_firmware(now, 0);
        }
    }

    /// Whether the device can do with these bytes what it should.
    fn check_bytes(&mut self, now: Now, bytes: &[u8], is_first: bool) -> Result<(), Refusal> {
        let Stage::Pushed(push) = &self.firmware.stage else {
            return Ok(());
        };
        let size = push.received.size() + bytes.len() as u64;
        if self
            .lacks_room(size.max(push.total.unwrap_or_default()))
            .is_some()
        {
            self.end_firmware(now, NO_STORAGE);
            let reason = "no storage for the image";
            return Err(Refusal::new(Code::REQUEST_ENTITY_TOO_LARGE, reason));
        }
        if is_first && self.behaviour() == FirmwareBehaviour::UnsupportedImage {
            self.end_firmware(now, UNSUPPORTED_IMAGE);
            return Err(failed("the image is not made for this device"));
        }
        Ok(())
    }

    /// Whether this is a copy of the block that was taken last.
    fn is_last_block(&self, block: Block, bytes: &[u8]) -> bool {
        let last = match &self.firmware.stage {
            Stage::Pushed(push) => push.last.as_ref(),
            Stage::Downloaded(arrived) => arrived.last_block.as_ref(),
            _ => None,
        };
        let is_same = |last: &LastBlock| last.offset == block.offset() && last.bytes == bytes;
        // The first of several may begin an image anew.
        let is_end = self.firmware.state() == DOWNLOADED;
        last.is_some_and(is_same) && block.more != is_end && (block.number() > 0 || is_end)
    }

    /// 2.31 or 2.04, with the size that the next blocks are to have.
    fn confirm(&self, block: Block) -> Response {
        let mut response = Response::new(match block.more {
            true => Code::CONTINUE,
            false => Code::CHANGED,
        });
        let limit = self.settings.quirks.block_limit;
        let limit = limit.map_or(usize::MAX, BlockLimit::size);
        in_blocks_of(block, limit).set(&mut response.options, number::BLOCK1);
        response
    }
}

/// The same block, with a word that the next ones are to be no larger than so many bytes.
fn in_blocks_of(mut block: Block, most: usize) -> Block {
    block.exponent = block.exponent.min(Exponent::at_most(most));
    block
}

fn incomplete(reason: &str) -> Refusal {
    Refusal::new(Code::REQUEST_ENTITY_INCOMPLETE, reason)
}

fn failed(reason: &str) -> Refusal {
    Refusal::new(Code::INTERNAL_SERVER_ERROR, reason)
}
