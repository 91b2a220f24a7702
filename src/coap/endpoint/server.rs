//! Requests of peers, and our answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::domain::Peer;

use super::super::block::{Block, Excerpt, Exponent, Outcome, Part, ServedBody, subject};
use super::super::code::Code;
use super::super::dedup::Answer;
use super::super::exchange::{Request, Response};
use super::super::message::{Message, MessageType, empty, fingerprint};
use super::super::options::{Options, number};
use super::super::policy::{Verdict, judge};
use super::super::timer::after;
use super::allowed::{Composed, Fitted};
use super::types::AnswerForm;
use super::{Endpoint, Event, RequestKey};

impl Endpoint {
    /// The exact datagram that [`Endpoint::respond`] would send, to be stored with the effect of
    /// the request: the first block if the body is larger. Empty when nothing is to be sent, as
    /// the peer does not want to know (RFC 7967) and needs no acknowledgement.
    pub fn encode_response(&self, key: &RequestKey, response: &Response) -> Vec<u8> {
        self.compose(key, response).datagram
    }

    /// Answers a request: piggybacked to a confirmable one, by a NON to others. The answer is
    /// remembered for copies of the request. Without effect when the request is over.
    pub fn respond(&mut self, now: Instant, key: &RequestKey, response: Response) {
        self.answer(now, key, response);
        self.show();
    }

    /// Answers a request by one block of a body that is kept elsewhere: `response` with what the excerpt
    /// asks for as its payload. Nothing is remembered, neither of the body nor of the answer: a copy of the
    /// request counts as new, and is to be answered again. So it is for requests without any effect.
    ///
    /// Says how many bytes of the body went out: fewer than asked for to a peer that has not proven its
    /// address, none when it was asked for an Echo, or when the request is over.
    pub fn respond_excerpt(
        &mut self,
        now: Instant,
        key: &RequestKey,
        excerpt: Excerpt,
        response: &Response,
    ) -> usize {
        let Composed {
            datagram, fitted, ..
        } = self.compose_excerpt(key, excerpt, response);
        let was_pending = self.dedup.forget(key.peer, key.message_id, key.hash);
        let mut sent = 0;
        if was_pending && !datagram.is_empty() {
            self.count_fitted(fitted);
            if self.transmit(now, key.peer, datagram) {
                sent = match fitted {
                    Fitted::AsAsked => excerpt.length(),
                    Fitted::SmallerBlock(exponent) => excerpt.length().min(exponent.size()),
                    Fitted::EchoAsked | Fitted::WithoutText => 0,
                };
            }
        }
        self.show();
        sent
    }

    /// Ends a request with silence: a copy counts as new. For when its effect could not be
    /// committed.
    ///
    /// The body of a request that came in blocks is gone; a copy of its last block is answered
    /// with 4.08, and the peer begins again.
    pub fn drop_request(&mut self, key: &RequestKey) {
        self.dedup.forget(key.peer, key.message_id, key.hash);
        self.show();
    }

    /// Remembers an answer that was given before a restart, for copies that may come for another
    /// `lives`.
    pub fn restore_answer(
        &mut self,
        now: Instant,
        peer: Peer,
        message_id: u16,
        hash: i64,
        datagram: Vec<u8>,
        lives: Duration,
    ) {
        let answer = if datagram.is_empty() {
            Answer::Silence
        } else {
            Answer::Datagram(datagram.into())
        };
        if self.dedup.find(peer, message_id, hash).is_none() {
            let deadline = after(now, lives.min(self.exchange_lifetime));
            if self
                .dedup
                .insert(peer, message_id, hash, deadline, answer)
                .is_err()
            {
                self.counters.dropped_dedup.inc();
            }
        }
        self.show();
    }

    /// A request that is no copy.
    pub(super) fn take_request(
        &mut self,
        now: Instant,
        peer: Peer,
        mut message: Message,
        hash: i64,
    ) {
        let confirmable = message.kind == MessageType::Confirmable;
        let verdict = judge(&mut message.options);
        if !confirmable && matches!(verdict, Verdict::Unrecognised(_)) {
            // "MUST cause the message to be rejected" (RFC 7252 section 5.4.1): silently.
            self.counters.refused.inc();
            return;
        }
        if self.dedup.pending() >= self.config.max_pending_requests {
            self.counters.dropped_pending.inc();
            self.counters.dropped.inc();
            return;
        }
        let deadline = after(now, self.lifetime(confirmable));
        if self
            .dedup
            .insert(peer, message.message_id, hash, deadline, Answer::Pending)
            .is_err()
        {
            self.counters.dropped_dedup.inc();
            self.counters.dropped.inc();
            return;
        }
        let mut key = self.key(now, peer, &message, hash);
        if let Some(refusal) = refusal(verdict) {
            self.counters.refused.inc();
            // The Block options may be what is wrong: they do not shape the answer.
            let form = Arc::make_mut(&mut key.form);
            form.block1 = None;
            form.block2 = None;
            self.answer(now, &key, refusal);
            return;
        }
        self.counters.accepted.inc();
        let is_single = key.form.block1.is_some() && self.is_taken_singly(&message.options);
        let payload = match is_single {
            true => message.payload,
            false => {
                let whole = self.whole_body(now, &key, &message.options, message.payload);
                let Some(payload) = whole else { return };
                payload
            }
        };
        Arc::make_mut(&mut key.form).body_hash = fingerprint(&payload);
        if self.serve_block(now, &key, message.code, &payload) {
            return;
        }
        let mut options = message.options;
        options.remove(number::BLOCK2);
        if !is_single {
            options.remove(number::BLOCK1);
            options.remove(number::SIZE1);
        }
        let request = Request {
            code: message.code,
            options,
            payload,
        };
        self.events.push_back(Event::Request { key, request });
    }

    fn key(&mut self, now: Instant, peer: Peer, message: &Message, hash: i64) -> RequestKey {
        let confirmable = message.kind == MessageType::Confirmable;
        let answer_id = if confirmable {
            message.message_id
        } else {
            self.choose_message_id(peer).unwrap_or(message.message_id)
        };
        let options = &message.options;
        let limits = self.limits_of(now, peer, message.code, options);
        RequestKey {
            peer,
            message_id: message.message_id,
            token: message.token,
            confirmable,
            hash,
            form: Arc::new(AnswerForm {
                answer_id,
                block1: Block::of(options, number::BLOCK1).ok().flatten(),
                block2: Block::of(options, number::BLOCK2).ok().flatten(),
                no_response: options
                    .uint(number::NO_RESPONSE)
                    .and_then(|classes| u8::try_from(classes).ok())
                    .unwrap_or(0),
                observe: options.observe(),
                subject: subject(message.code, options),
                body_hash: 0,
                limits,
            }),
        }
    }

    /// See [`Endpoint::take_blocks_singly`].
    fn is_taken_singly(&self, options: &Options) -> bool {
        self.singly.as_deref().is_some_and(|path| {
            let wanted = path.split('/').filter(|segment| !segment.is_empty());
            options.all(number::URI_PATH).eq(wanted.map(str::as_bytes))
        })
    }

    /// The whole body of a request, or nothing when the message was only a part of it, or was
    /// refused: then it is answered.
    fn whole_body(
        &mut self,
        now: Instant,
        key: &RequestKey,
        options: &Options,
        payload: Vec<u8>,
    ) -> Option<Vec<u8>> {
        let Some(block) = key.form.block1 else {
            if payload.len() > self.config.max_body {
                let mut response =
                    Response::refusal(Code::REQUEST_ENTITY_TOO_LARGE, "the body is too large");
                if let Ok(limit) = u32::try_from(self.config.max_body) {
                    response.options.set_uint(number::SIZE1, limit);
                }
                self.answer(now, key, response);
                return None;
            }
            return Some(payload);
        };
        let announced = options.uint(number::SIZE1);
        let (outcome, evicted) =
            self.uploads
                .take(now, key.peer, &key.form.subject, block, announced, &payload);
        self.counters.dropped_transfers.inc_by(evicted as u64);
        let response = match outcome {
            Outcome::Whole(body) => return Some(body),
            Outcome::Continue(block) => {
                let mut response = Response::new(Code::CONTINUE);
                block.set(&mut response.options, number::BLOCK1);
                response
            }
            Outcome::Refuse {
                code,
                reason,
                size1,
            } => {
                let mut response = Response::refusal(code, reason);
                if let Some(size1) = size1 {
                    response.options.set_uint(number::SIZE1, size1);
                }
                response
            }
        };
        self.answer(now, key, response);
        None
    }

    /// Answers a request for an inner block from what is kept. False when the rooms above are to
    /// be asked: for block 0, and for what is not kept but can be made again.
    fn serve_block(&mut self, now: Instant, key: &RequestKey, code: Code, payload: &[u8]) -> bool {
        if key.form.block2.is_none_or(|block| block.number() == 0) {
            return false;
        }
        let body_hash = Some(key.form.body_hash).filter(|_| !payload.is_empty());
        let subject = &key.form.subject;
        let kept = self.served.find(key.peer, subject, body_hash).is_some();
        if kept && let Some(body) = self.served.forget(key.peer, subject) {
            // Kept again by `answer`, with a new deadline, while there is a rest.
            let ServedBody {
                body_hash,
                response,
                ..
            } = body;
            let mut key = key.clone();
            Arc::make_mut(&mut key.form).body_hash = body_hash;
            self.answer(now, &key, response);
            return true;
        }
        if matches!(code, Code::GET | Code::FETCH) {
            return false;
        }
        // To carry out the request again for its answer would have its effect twice.
        let response = Response::refusal(
            Code::REQUEST_ENTITY_INCOMPLETE,
            "the answer is not kept any more",
        );
        self.answer(now, key, response);
        true
    }

    /// See [`Endpoint::respond`].
    fn answer(&mut self, now: Instant, key: &RequestKey, response: Response) {
        let Composed {
            datagram,
            kept,
            fitted,
        } = self.compose(key, &response);
        let remembered = if !key.confirmable {
            Answer::Silence
        } else if key.suppresses(response.code) {
            Answer::Acknowledge
        } else {
            Answer::Datagram(datagram.as_slice().into())
        };
        if !self
            .dedup
            .settle(key.peer, key.message_id, key.hash, remembered)
        {
            return;
        }
        self.count_fitted(fitted);
        match (key.form.observe, response.options.observe()) {
            (Some(0), Some(_)) if response.code.is_success() => {
                self.remember_observed(now, key);
            }
            (Some(1), _) => self.forget_observed(key.peer, key.token),
            _ => {}
        }
        if kept {
            let body = ServedBody {
                subject: (*key.form.subject).into(),
                body_hash: key.form.body_hash,
                response,
            };
            let evicted = self.served.keep(now, key.peer, body);
            self.counters.dropped_transfers.inc_by(evicted as u64);
        } else if response.code != Code::CONTINUE {
            self.served.forget(key.peer, &key.form.subject);
        }
        if !datagram.is_empty() {
            self.transmit(now, key.peer, datagram);
        }
    }

    /// An answer as it is sent.
    fn compose(&self, key: &RequestKey, response: &Response) -> Composed {
        let part = |largest| Some(self.part(key, response, largest));
        self.compose_of(key, response.code, &part)
    }

    /// See [`Endpoint::respond_excerpt`].
    fn compose_excerpt(&self, key: &RequestKey, excerpt: Excerpt, response: &Response) -> Composed {
        let part = |largest| {
            let part = excerpt.within(largest)?.part(response);
            Some((envelope(key, part), false))
        };
        self.compose_of(key, response.code, &part)
    }

    /// `part`: the message in blocks of at most this size, and whether the body is kept; nothing when it
    /// cannot be in such blocks.
    fn compose_of(
        &self,
        key: &RequestKey,
        code: Code,
        part: &dyn Fn(Exponent) -> Option<(Message, bool)>,
    ) -> Composed {
        let as_asked = |datagram, kept| Composed {
            datagram,
            kept,
            fitted: Fitted::AsAsked,
        };
        if key.suppresses(code) {
            let datagram = if key.confirmable {
                empty(MessageType::Acknowledgement, key.message_id).to_vec()
            } else {
                Vec::new()
            };
            return as_asked(datagram, false);
        }
        let Some((message, kept)) = part(self.config.exponent()) else {
            return as_asked(Vec::new(), false);
        };
        match &key.form.limits {
            Some(limits) => self.fit(limits, (message, kept), part),
            None => as_asked(message.encode(), kept),
        }
    }

    /// The message of an answer in blocks of at most this size, and whether its body is kept because
    /// more blocks follow, or because it is the last of several and may be asked for again.
    fn part(&self, key: &RequestKey, response: &Response, largest: Exponent) -> (Message, bool) {
        // Errors are not parts of the body that is fetched, and 2.03 says that it need not be.
        let is_part =
            response.code.is_success() && !matches!(response.code, Code::CONTINUE | Code::VALID);
        let asked = key.form.block2.filter(|_| is_part);
        let inner = asked.is_some_and(|block| block.number() > 0);
        let (response, kept) = match Part::of(response, asked, largest) {
            Part::Fits { response, rest } => (response, rest || inner),
            Part::BehindTheEnd => {
                let refusal = Response::refusal(Code::BAD_REQUEST, "the body has no such block");
                (refusal, false)
            }
        };
        (envelope(key, response), kept)
    }

    fn count_fitted(&self, fitted: Fitted) {
        match fitted {
            Fitted::AsAsked => {}
            Fitted::EchoAsked => {
                self.counters.echo_asked.inc();
            }
            Fitted::SmallerBlock(_) => {
                self.counters.smaller_blocks.inc();
            }
            Fitted::WithoutText => {
                self.counters.without_text.inc();
            }
        }
    }
}

/// The message that carries an answer, or a part of it.
fn envelope(key: &RequestKey, mut response: Response) -> Message {
    if let Some(block1) = key.form.block1
        && response.options.first(number::BLOCK1).is_none()
    {
        block1.set(&mut response.options, number::BLOCK1);
    }
    let (kind, message_id) = if key.confirmable {
        (MessageType::Acknowledgement, key.message_id)
    } else {
        (MessageType::NonConfirmable, key.form.answer_id)
    };
    Message {
        kind,
        code: response.code,
        message_id,
        token: key.token,
        options: response.options,
        payload: response.payload,
    }
}

/// The answer to a request whose options are not understood.
fn refusal(verdict: Verdict) -> Option<Response> {
    match verdict {
        Verdict::Understood => None,
        Verdict::Unrecognised(number) => {
            let reason = format!("the critical option {number} is not understood");
            Some(Response::refusal(Code::BAD_OPTION, &reason))
        }
        Verdict::Proxy => Some(Response::refusal(
            Code::PROXYING_NOT_SUPPORTED,
            "this is no proxy",
        )),
        Verdict::ReservedBlockSize => Some(Response::refusal(
            Code::BAD_REQUEST,
            "the block size 7 is reserved",
        )),
    }
}
