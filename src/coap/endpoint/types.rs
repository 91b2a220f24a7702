//! What goes into and comes out of an [`Endpoint`](super::Endpoint).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::{Peer, Token};

use super::super::block::{Block, OutgoingBlock, Subject};
use super::super::code::Code;
use super::super::exchange::{Request, Response};
use super::allowed::Unproven;

/// A datagram to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Where it goes.
    pub peer: Peer,
    /// Its bytes.
    pub datagram: Vec<u8>,
    /// True when the same was sent before: a retransmission, or the answer to a copy.
    pub again: bool,
}

/// What a datagram that came in was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message that was heard before.
    Copy,
    /// Something else: a new message, or no message at all.
    New,
}

/// Names a request of a peer until it is ended by [`respond`](super::Endpoint::respond) or
/// [`drop_request`](super::Endpoint::drop_request).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// Who asks.
    pub peer: Peer,
    /// The message id of the request; of its last block when it came in blocks.
    pub message_id: u16,
    /// The token that the answer repeats.
    pub token: Token,
    /// Whether the peer sends it again until it is answered.
    pub confirmable: bool,
    /// A hash of the datagram, the same on every machine and after a restart. The same message id
    /// with another hash is a new message.
    pub hash: i64,
    /// What the answer needs to know of the request.
    pub(super) form: Arc<AnswerForm>,
}

/// What of a request shapes its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct AnswerForm {
    /// The message id of an answer that is not piggybacked (to a NON request).
    pub(in super::super) answer_id: u16,
    /// The final Block1 of the request, repeated in the answer.
    pub(in super::super) block1: Option<Block>,
    /// The block that is asked for.
    pub(in super::super) block2: Option<Block>,
    /// Classes of answers that the peer does not want (RFC 7967).
    pub(in super::super) no_response: u8,
    /// `Observe` of the request.
    pub(in super::super) observe: Option<u32>,
    /// Under which the rest of a large answer is kept.
    pub(in super::super) subject: Subject,
    /// A hash of the request's body.
    pub(in super::super) body_hash: i64,
    /// What the answer has to keep to; nothing: no limit.
    pub(in super::super) limits: Option<Box<Unproven>>,
}

/// Names a message with a response code that a peer sent on its own, until it is ended by
/// [`acknowledge`](super::Endpoint::acknowledge), [`reject`](super::Endpoint::reject) or
/// [`ignore`](super::Endpoint::ignore).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationKey {
    /// Who sent it.
    pub peer: Peer,
    /// Its message id.
    pub message_id: u16,
    /// Its token.
    pub token: Token,
    /// Whether the peer waits for an acknowledgement.
    pub confirmable: bool,
    /// A hash of the datagram, the same on every machine and after a restart.
    pub hash: i64,
}

/// Names an exchange that we began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExchangeId(pub(super) u64);

/// Message ids that were reserved durably: `next`, `next + 1`, … up to but without `end`, wrapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageIds {
    /// The first that is free.
    pub next: u16,
    /// The first that is not reserved any more.
    pub end: u16,
}

impl MessageIds {
    /// How many are left.
    pub fn remaining(self) -> u16 {
        self.end.wrapping_sub(self.next)
    }

    /// Takes the next one.
    pub fn take(&mut self) -> Option<u16> {
        if self.next == self.end {
            return None;
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        Some(id)
    }
}

/// When a peer listens that sleeps between its messages (queue mode, OMA-TS-LightweightM2M Core
/// 8.3 of 1.0, 6.5 of the transport binding since 1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// No transmission or retransmission begins after this.
    pub until: Instant,
    /// How far each further message of the peer moves that, counted from its arrival.
    pub length: Duration,
}

/// How long to wait for a peer that hears only now and then (eDRX), in place of `ACK_TIMEOUT` and
/// `MAX_RETRANSMIT` (RFC 7252 section 4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// Until the first retransmission; doubled for each further one.
    pub first_timeout: Duration,
    /// How often a message is sent again.
    pub max_retransmit: u32,
}

/// A request of ours.
#[derive(Clone, Debug)]
pub struct OutgoingRequest {
    /// What is asked, with its whole body.
    pub request: Request,
    /// Random, and unused in other live exchanges with the peer.
    pub token: Token,
    /// Whether it is sent again until it is acknowledged.
    pub confirmable: bool,
    /// The ids to use; `None`: the layer chooses.
    pub message_ids: Option<MessageIds>,
    /// How long a response is awaited after the acknowledgement, and in all for a request that is
    /// not confirmable. Begins anew with every block.
    pub response_timeout: Duration,
    /// When the peer listens (queue mode); `None`: always.
    pub window: Option<Window>,
    /// For a peer that takes long to answer; `None`: as the settings say.
    pub patience: Option<Patience>,
    /// Goes on fetching a body that was begun elsewhere: the number of the next block, the body so
    /// far and its `ETag`. The body must be `number` blocks of 16 to 1,024 bytes.
    pub start_block2: Option<(u32, Vec<u8>, Option<Vec<u8>>)>,
    /// The body of the request is this one block of a larger one, which whoever asks sends block by
    /// block, each in an exchange of its own. The answer is handed up as it came, with its Block1
    /// ([`confirmed_block1`](crate::coap::confirmed_block1)) and whatever it says: what it means for
    /// the next block is decided above.
    pub block1: Option<OutgoingBlock>,
    /// Only this block of the answer is asked for, by whoever fetches a body block by block, each in an
    /// exchange of its own. The answer is handed up as it came, with its Block2, and whatever it says.
    pub block2: Option<Block>,
}

impl OutgoingRequest {
    /// A confirmable request whose ids are chosen by the layer.
    pub fn new(request: Request, token: Token, response_timeout: Duration) -> Self {
        Self {
            request,
            token,
            confirmable: true,
            message_ids: None,
            response_timeout,
            window: None,
            patience: None,
            start_block2: None,
            block1: None,
            block2: None,
        }
    }
}

/// Why a request or notification was not begun; nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// What is to be sent cannot be written as one message: no request code or no response code,
    /// options beyond what a datagram holds, a begun body that is no whole number of blocks, or one
    /// block that is not as long as it says.
    #[error("the message cannot be encoded")]
    Invalid,
    /// The lease of message ids is empty.
    #[error("no message id is left")]
    NoMessageId,
    /// Another exchange with the peer uses the token.
    #[error("the token is in use")]
    TokenInUse,
    /// `coap.max_exchanges` are under way.
    #[error("too many exchanges are under way")]
    TooManyExchanges,
    /// The peer has not shown that it receives what is sent to its address, and the request is larger
    /// than what may be sent there until it does (RFC 9175 section 2.4).
    #[error("the address is not proven, and no more may be sent there until the device is heard")]
    Unproven,
}

/// Why an exchange ended without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExchangeFailure {
    /// A blockwise transfer broke (RFC 7959): another `ETag`, a wrong block, an error in the middle.
    /// The text says how. Whether to begin again is decided above.
    #[error("blockwise transfer: {0}")]
    Blockwise(&'static str),
    /// Given up by ourselves.
    #[error("cancelled")]
    Cancelled,
    /// The session with the peer is over; see [`Endpoint::disconnect`](super::Endpoint::disconnect).
    #[error("disconnected")]
    Disconnected,
    /// Every retransmission stayed unacknowledged.
    #[error("not acknowledged")]
    NotAcknowledged,
    /// Acknowledged (or not confirmable), but not answered in time.
    #[error("not answered")]
    NotAnswered,
    /// Answered, but with a token that was not asked with.
    #[error("answered with a wrong token")]
    WrongToken,
    /// The peer answered with a Reset.
    #[error("reset by the peer")]
    Reset,
    /// The answer is larger than `coap.max_body_bytes`, or than the memory left for transfers.
    #[error("the answer is too large")]
    TooLarge,
    /// The window of the peer closed before everything was sent, or before anything came back.
    #[error("the peer may be asleep again")]
    WindowClosed,
}

/// How the rest of a blockwise notification is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstBlock {
    /// The block size is `2^(4 + size_exponent)` bytes (SZX, RFC 7959 section 2.2).
    pub size_exponent: u8,
    /// The `ETag` that the rest must have too.
    pub etag: Option<Vec<u8>>,
    /// The size of the whole body as announced by the peer.
    pub size: Option<u32>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An exchange ended without a response.
    Failed {
        /// Which.
        exchange: ExchangeId,
        /// Why.
        failure: ExchangeFailure,
        /// What is left of the lease.
        message_ids: Option<MessageIds>,
    },
    /// The lease ran out midway: reserve more durably, then
    /// [`extend_message_ids`](super::Endpoint::extend_message_ids).
    MessageIdsExhausted {
        /// The exchange that waits.
        exchange: ExchangeId,
    },
    /// A response whose token belongs to no exchange with that peer: a notification, a late
    /// answer, or rubbish. Must be ended by `acknowledge`, `reject` or `ignore`.
    Notification {
        /// Names it.
        key: NotificationKey,
        /// Its content, of the first block when `more` is there.
        response: Response,
        /// Present when only the first block of a larger body came.
        more: Option<FirstBlock>,
    },
    /// A confirmable notification of ours was acknowledged.
    NotificationAcknowledged {
        /// Who was notified.
        peer: Peer,
        /// Of which observation.
        token: Token,
        /// As returned by `notify`.
        message_id: u16,
    },
    /// A notification of ours was rejected: the observation is over (RFC 7641 section 3.6).
    NotificationReset {
        /// Who was notified.
        peer: Peer,
        /// Of which observation.
        token: Token,
        /// As returned by `notify`.
        message_id: u16,
    },
    /// A confirmable notification of ours was never acknowledged.
    NotificationTimedOut {
        /// Who was notified.
        peer: Peer,
        /// Of which observation.
        token: Token,
        /// As returned by `notify`.
        message_id: u16,
    },
    /// A peer's request with its whole body, no copy. Must be ended by `respond` or `drop_request`.
    Request {
        /// Names it.
        key: RequestKey,
        /// What is asked.
        request: Request,
    },
    /// The answer to a request of ours, with its whole body; to one block of a body
    /// ([`OutgoingRequest::block1`], [`OutgoingRequest::block2`]), as it came.
    Response {
        /// Which exchange ended.
        exchange: ExchangeId,
        /// The answer.
        response: Response,
        /// Present when it came as a confirmable message of its own: `acknowledge` it once its
        /// effect is committed.
        acknowledge: Option<NotificationKey>,
        /// What is left of the lease.
        message_ids: Option<MessageIds>,
    },
}

impl RequestKey {
    /// Names the message alone, which [`ignore`](super::Endpoint::ignore) forgets as
    /// [`drop_request`](super::Endpoint::drop_request) forgets the request.
    pub fn message(&self) -> NotificationKey {
        NotificationKey {
            peer: self.peer,
            message_id: self.message_id,
            token: self.token,
            confirmable: self.confirmable,
            hash: self.hash,
        }
    }

    /// The block of the answer that the peer asks for (Block2, RFC 7959 section 2.4).
    pub fn block2(&self) -> Option<Block> {
        self.form.block2
    }

    /// Whether the peer has asked not to be told of answers with this code (RFC 7967).
    pub fn suppresses(&self, code: Code) -> bool {
        let bit = match code.class() {
            2 => 2,
            4 => 8,
            5 => 16,
            _ => 0,
        };
        self.form.no_response & bit != 0
    }
}
