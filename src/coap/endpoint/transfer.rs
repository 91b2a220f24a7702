//! What one exchange of ours sends next, and what a response means for it: the client's side of
//! RFC 7959, without message ids, tokens and times. A body that goes block by block in exchanges of
//! their own is not put together here: each of them is one message and its answer.

use super::super::block::{Block, Exponent, OutgoingBlock};
use super::super::code::Code;
use super::super::exchange::{Request, Response};
use super::super::message::{Message, MessageType};
use super::super::options::{Options, number};
use super::{ExchangeFailure, RequestError};
use crate::domain::Token;

/// A request with its body on the way out and the answer's body on the way in.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Nothing when the request was sent before a restart: only an answer in one piece will do.
    request: Option<Request>,
    /// The largest block that we send and ask for.
    exponent: Exponent,
    /// Present when the request's body goes in blocks.
    sending: Option<Sending>,
    /// Present when one block is all that is sent, or asked for.
    alone: Option<Alone>,
    /// Whether a lost upload was begun again already.
    restarted: bool,
    /// The first block had to be small, only to prove the address.
    cut_down: bool,
    /// Present when the answer's body comes in blocks.
    fetching: Option<Fetching>,
}

/// A block whose exchange is about nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) enum Alone {
    /// Of the answer.
    Asked(Block),
    /// Of the request.
    Sent(OutgoingBlock),
}

impl Alone {
    /// One of the two, if there is one; both make no sense.
    pub(super) fn of(
        sent: Option<OutgoingBlock>,
        asked: Option<Block>,
    ) -> Result<Option<Self>, RequestError> {
        match (sent, asked) {
            (Some(_), Some(_)) => Err(RequestError::Invalid),
            (sent, asked) => Ok(sent.map(Self::Sent).or_else(|| asked.map(Self::Asked))),
        }
    }
}

/// What a response leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The answer is whole.
    Done(Response),
    /// The exchange ends.
    Failed(ExchangeFailure),
    /// The next message is due.
    Next,
}

#[derive(Debug)]
struct Sending {
    /// Where the block that is on the way begins.
    offset: usize,
    exponent: Exponent,
}

#[derive(Debug)]
struct Fetching {
    body: Vec<u8>,
    etag: Option<Vec<u8>>,
    exponent: Exponent,
    /// Code and options of the first block.
    head: Option<(Code, Options)>,
}

impl Transfer {
    /// Nothing when a begun body is no whole number of blocks, when one block is not as long as it says,
    /// and of both together.
    pub(super) fn new(
        mut request: Request,
        exponent: Exponent,
        start: Option<(u32, Vec<u8>, Option<Vec<u8>>)>,
        alone: Option<Alone>,
    ) -> Option<Self> {
        for number in [number::BLOCK1, number::BLOCK2, number::SIZE1, number::SIZE2] {
            request.options.remove(number);
        }
        match alone {
            Some(alone) if start.is_none() => return Self::one_block(request, exponent, alone),
            Some(_) => return None,
            None => {}
        }
        let fetching = match start {
            Some((blocks, body, etag)) if blocks > 0 => {
                let size = body.len().checked_div(usize::try_from(blocks).ok()?)?;
                let begun = Exponent::at_most(size);
                let at = Block::at(body.len(), false, begun)?;
                if begun.size() != size || at.number() != blocks {
                    return None;
                }
                Some(Fetching {
                    body,
                    etag,
                    exponent: begun,
                    head: None,
                })
            }
            _ => None,
        };
        let in_blocks = fetching.is_none() && request.payload.len() > exponent.size();
        // The last block must have a number.
        Block::at(
            request.payload.len() & !exponent.size().wrapping_sub(1),
            false,
            exponent,
        )?;
        Some(Self {
            request: Some(request),
            exponent,
            sending: in_blocks.then_some(Sending {
                offset: 0,
                exponent,
            }),
            alone: None,
            restarted: false,
            cut_down: false,
            fetching,
        })
    }

    fn one_block(request: Request, exponent: Exponent, alone: Alone) -> Option<Self> {
        if let Alone::Sent(OutgoingBlock { block, .. }) = alone {
            let (length, size) = (request.payload.len(), block.exponent.size());
            if length > size || (block.more && length != size) {
                return None;
            }
        }
        Some(Self {
            request: Some(request),
            alone: Some(alone),
            ..Self::only_answer(exponent)
        })
    }

    /// Makes the first message no longer than `room`, if it must be in smaller blocks. False when it
    /// cannot be.
    pub(super) fn fit(&mut self, token: Token, room: usize) -> bool {
        let length = |transfer: &Self| {
            let (code, options, payload) = transfer.message()?;
            let message = Message {
                kind: MessageType::Confirmable,
                code,
                message_id: 0,
                token,
                options,
                payload,
            };
            Some(message.encode().len())
        };
        let fits = |transfer: &Self| length(transfer).is_some_and(|length| length <= room);
        if fits(self) {
            return true;
        }
        // Of a block that goes alone, whoever sends it wants to know how far it comes.
        let is_whole = self.fetching.is_none() && self.alone.is_none();
        let Some(request) = self.request.as_ref().filter(|_| is_whole) else {
            return false;
        };
        let size = request.payload.len();
        for exponent in self.exponent.all_below() {
            if exponent.size() < size {
                self.sending = Some(Sending {
                    offset: 0,
                    exponent,
                });
                if fits(self) {
                    self.cut_down = true;
                    return true;
                }
            }
        }
        false
    }

    /// Waits for the answer to a request that was sent before a restart.
    pub(super) fn only_answer(exponent: Exponent) -> Self {
        Self {
            request: None,
            exponent,
            sending: None,
            alone: None,
            restarted: false,
            cut_down: false,
            fetching: None,
        }
    }

    /// Bytes of the answer so far.
    pub(super) fn bytes(&self) -> usize {
        self.fetching
            .as_ref()
            .map_or(0, |fetching| fetching.body.len())
    }

    /// Whether inner blocks need a token of their own, as that of the request goes on naming an
    /// observation (RFC 7959 section 3.4).
    pub(super) fn needs_token(&self) -> bool {
        self.fetching.is_some()
            && self
                .request
                .as_ref()
                .is_some_and(|request| request.options.first(number::OBSERVE).is_some())
    }

    /// Whether this is a request to end an observation.
    pub(super) fn ends_observation(&self) -> bool {
        self.request
            .as_ref()
            .is_some_and(|request| request.options.observe() == Some(1))
    }

    /// Code, options and payload of the message that is due.
    pub(super) fn message(&self) -> Option<(Code, Options, Vec<u8>)> {
        let request = self.request.as_ref()?;
        let mut options = request.options.clone();
        if let Some(fetching) = &self.fetching {
            Block::at(fetching.body.len(), false, fetching.exponent)?
                .set(&mut options, number::BLOCK2);
            options.remove(number::OBSERVE);
            // A body that went in blocks is kept by the peer; that of a FETCH in one piece comes
            // along, so that a peer that keeps nothing can make the answer again.
            let payload = if request.code == Code::FETCH && self.sending.is_none() {
                request.payload.clone()
            } else {
                Vec::new()
            };
            return Some((request.code, options, payload));
        }
        if let Some(alone) = self.alone {
            match alone {
                Alone::Asked(block) => block.set(&mut options, number::BLOCK2),
                Alone::Sent(OutgoingBlock { block, whole }) => {
                    block.set(&mut options, number::BLOCK1);
                    if let Some(whole) = whole.filter(|_| block.number() == 0) {
                        options.set_uint(number::SIZE1, whole);
                    }
                }
            }
            return Some((request.code, options, request.payload.clone()));
        }
        let Some(sending) = &self.sending else {
            self.ask_for_size(&mut options);
            return Some((request.code, options, request.payload.clone()));
        };
        let whole = request.payload.len();
        let end = sending
            .offset
            .saturating_add(sending.exponent.size())
            .min(whole);
        let more = end < whole;
        Block::at(sending.offset, more, sending.exponent)?.set(&mut options, number::BLOCK1);
        if sending.offset == 0
            && let Ok(whole) = u32::try_from(whole)
        {
            options.set_uint(number::SIZE1, whole);
        }
        if !more {
            self.ask_for_size(&mut options);
        }
        let payload = request.payload.get(sending.offset..end)?.to_vec();
        Some((request.code, options, payload))
    }

    /// Takes a response. `room`: the largest body that may be put together.
    pub(super) fn take(&mut self, message: Message, room: usize) -> Step {
        if self.alone.is_some() {
            return Step::Done(Response {
                code: message.code,
                options: message.options,
                payload: message.payload,
            });
        }
        let block1 = Block::of(&message.options, number::BLOCK1);
        let block2 = Block::of(&message.options, number::BLOCK2);
        let (Ok(block1), Ok(block2)) = (block1, block2) else {
            return failed("a Block option is not valid");
        };
        if let Some(fetching) = &mut self.fetching {
            return fetching.take(message, block2, room);
        }
        if let Some(step) = self.sent(message.code, block1) {
            return step;
        }
        match block2 {
            Some(block) if block.more || block.number() > 0 => self.begin(message, block, room),
            _ => {
                let mut response = whole(message.code, message.options, message.payload);
                // What was asked before a restart may have been one block of a body.
                if let Some(block) = block1.filter(|_| self.request.is_none()) {
                    block.set(&mut response.options, number::BLOCK1);
                }
                Step::Done(response)
            }
        }
    }

    /// What a response means for the body that we send; nothing when it is the final answer.
    fn sent(&mut self, code: Code, block1: Option<Block>) -> Option<Step> {
        let size = self.request.as_ref()?.payload.len();
        if code == Code::REQUEST_ENTITY_TOO_LARGE {
            // With a smaller block size it may work (RFC 7959 section 2.9.3). Sizes only shrink,
            // so this ends.
            let smaller = block1?.exponent;
            let current = self
                .sending
                .as_ref()
                .map_or(self.exponent, |sending| sending.exponent);
            if smaller >= current || smaller.size() >= size {
                return None;
            }
            self.sending = Some(Sending {
                offset: 0,
                exponent: smaller,
            });
            return Some(Step::Next);
        }
        let Some(sending) = &mut self.sending else {
            return (code == Code::CONTINUE).then(|| failed("2.31 to a request without blocks"));
        };
        if code == Code::REQUEST_ENTITY_INCOMPLETE && !self.restarted {
            self.restarted = true;
            sending.offset = 0;
            return Some(Step::Next);
        }
        let next = sending.offset.saturating_add(sending.exponent.size());
        if next >= size {
            return (code == Code::CONTINUE).then(|| failed("2.31 to the last block"));
        }
        if !code.is_success() {
            return None;
        }
        // 2.31, or 2.04 of a peer that takes each block by itself.
        let Some(confirmed) = block1 else {
            return Some(failed("answered before the whole body was sent"));
        };
        let sent = Block::at(sending.offset, true, sending.exponent);
        if sent.is_none_or(|sent| sent.number() != confirmed.number()) {
            return Some(failed("another block was confirmed"));
        }
        // The address is proven by now. To begin anew takes fewer messages than to go on like this.
        let is_small = std::mem::take(&mut self.cut_down) && confirmed.exponent >= sending.exponent;
        let left = size.saturating_sub(next);
        if is_small && left > sending.exponent.size().saturating_mul(MANY_BLOCKS) {
            let exponent = self.exponent;
            self.sending = (size > exponent.size()).then_some(Sending {
                offset: 0,
                exponent,
            });
            return Some(Step::Next);
        }
        sending.offset = next;
        sending.exponent = sending.exponent.min(confirmed.exponent);
        // Smaller blocks have larger numbers.
        let last = size & !sending.exponent.size().wrapping_sub(1);
        if Block::at(last, false, sending.exponent).is_none() {
            return Some(failed("too many blocks"));
        }
        Some(Step::Next)
    }

    /// The first block of a larger answer.
    fn begin(&mut self, message: Message, block: Block, room: usize) -> Step {
        if block.number() > 0 {
            return failed("the answer begins in the middle");
        }
        if self.request.is_none() {
            return failed("the rest of a late answer cannot be asked for");
        }
        let announced = message.options.uint(number::SIZE2).unwrap_or(0);
        if usize::try_from(announced).is_ok_and(|size| size > room) {
            return Step::Failed(ExchangeFailure::TooLarge);
        }
        let mut fetching = Fetching {
            body: Vec::new(),
            etag: message.options.first(number::ETAG).map(<[u8]>::to_vec),
            exponent: self.exponent,
            head: Some((message.code, message.options.clone())),
        };
        let step = fetching.take(message, Some(block), room);
        self.fetching = Some(fetching);
        step
    }

    fn ask_for_size(&self, options: &mut Options) {
        if self.exponent < Exponent::MAX {
            Block::first(self.exponent).set(options, number::BLOCK2);
        }
    }
}

impl Fetching {
    fn take(&mut self, message: Message, block: Option<Block>, room: usize) -> Step {
        if self
            .head
            .as_ref()
            .is_some_and(|(code, _)| *code != message.code)
            || (self.head.is_none() && !message.code.is_success())
        {
            return failed("an error in the middle of the body");
        }
        let Some(block) = block else {
            return failed("a block was asked for, and none came");
        };
        if block.offset() != self.body.len() {
            return failed("another block came than was asked for");
        }
        if message.options.first(number::ETAG) != self.etag.as_deref() {
            return failed("the body changed in the middle");
        }
        let size = block.exponent.size();
        let length = message.payload.len();
        if length > size || (block.more && length != size) {
            return failed("a block is not as long as it says");
        }
        if self.body.len().saturating_add(length) > room {
            return Step::Failed(ExchangeFailure::TooLarge);
        }
        self.body.extend_from_slice(&message.payload);
        let (code, options) = self.head.get_or_insert((message.code, message.options));
        if !block.more {
            let options = std::mem::take(options);
            return Step::Done(whole(*code, options, std::mem::take(&mut self.body)));
        }
        self.exponent = self.exponent.min(block.exponent);
        if Block::at(self.body.len(), false, self.exponent).is_none() {
            return failed("too many blocks");
        }
        Step::Next
    }
}

fn whole(code: Code, mut options: Options, payload: Vec<u8>) -> Response {
    for number in [number::BLOCK1, number::BLOCK2, number::SIZE2] {
        options.remove(number);
    }
    Response {
        code,
        options,
        payload,
    }
}

fn failed(reason: &'static str) -> Step {
    Step::Failed(ExchangeFailure::Blockwise(reason))
}

/// More blocks than this are worth a second beginning.
const MANY_BLOCKS: usize = 4;
