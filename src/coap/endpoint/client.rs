//! Requests of ours: retransmission, matching of answers, and the lease of message ids.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crate::domain::{Peer, Token};

use super::super::code::Code;
use super::super::message::{Message, MessageType};
use super::super::options::{Options, number};
use super::super::policy::{Verdict, judge};
use super::super::timer::{Deadlines, after};
use super::allowed::Told;
use super::transfer::{Alone, Step, Transfer};
use super::{
    Endpoint, Event, ExchangeFailure, ExchangeId, MessageIds, NotificationKey, OutgoingRequest,
    Patience, RequestError, Window,
};

/// Exchanges under way, and how they are found.
#[derive(Debug, Default)]
pub(super) struct Exchanges {
    all: HashMap<u64, Exchange>,
    /// In the order of peers, so that those of one peer are found together.
    by_token: BTreeMap<(Peer, Token), u64>,
    /// Of the last message of each exchange.
    by_message_id: HashMap<(Peer, u16), u64>,
    deadlines: Deadlines<u64>,
    next: u64,
    /// Of answers that are being put together.
    bytes: usize,
}

#[derive(Debug)]
struct Exchange {
    peer: Peer,
    /// Of the message that is on the way.
    token: Token,
    told: Told,
    confirmable: bool,
    transfer: Transfer,
    message_ids: Option<MessageIds>,
    response_timeout: Duration,
    window: Option<Window>,
    patience: Option<Patience>,
    /// Something came back whose token was not that of the request.
    has_wrong_token: bool,
    /// Whether inner blocks have got a token of their own.
    has_own_token: bool,
    /// Of the message that is on the way.
    message_id: Option<u16>,
    phase: Phase,
    deadline: Instant,
}

#[derive(Debug)]
enum Phase {
    /// Sent, and sent again at the deadline until it is acknowledged.
    Sent {
        datagram: Vec<u8>,
        retransmissions: u32,
        timeout: Duration,
        /// When the timeout ends; the exchange's deadline is earlier when the window closes.
        again: Instant,
    },
    /// No message id is left; given up at the deadline.
    Starved,
    /// Acknowledged, or not confirmable: given up at the deadline.
    Waiting,
}

impl Exchanges {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// The peer of an exchange has answered from here, where all that follows goes. Whether this is where it
    /// was asked, and nowhere else.
    pub(super) fn follow(&mut self, id: ExchangeId, peer: Peer, stay: u64) -> bool {
        let Some(exchange) = self.all.get_mut(&id.0) else {
            return false;
        };
        exchange.peer = peer;
        exchange.told == Told::Here(stay)
    }

    /// Bytes of answers that are being put together.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(super) fn with_token(&self, peer: Peer, token: Token) -> Option<ExchangeId> {
        self.by_token.get(&(peer, token)).copied().map(ExchangeId)
    }

    /// The exchange that a separate message answers: that with its token. But a notification that
    /// crosses the request to end its observation, which has the same token (RFC 7641 section
    /// 3.6), is no answer to it.
    pub(super) fn answered_by(&self, peer: Peer, message: &Message) -> Option<ExchangeId> {
        let id = self.with_token(peer, message.token)?;
        let exchange = self.all.get(&id.0)?;
        let notified = message.options.first(number::OBSERVE).is_some();
        (!(notified && exchange.transfer.ends_observation())).then_some(id)
    }

    /// Those with a peer.
    fn of_peer(&self, peer: Peer) -> Vec<ExchangeId> {
        self.by_token
            .range((peer, Token::default())..)
            .take_while(|((other, _), _)| *other == peer)
            .map(|(_, id)| ExchangeId(*id))
            .collect()
    }

    pub(super) fn with_message_id(&self, peer: Peer, message_id: u16) -> Option<ExchangeId> {
        let id = self.by_message_id.get(&(peer, message_id))?;
        Some(ExchangeId(*id))
    }

    /// Fails when an index does not fit the exchanges, for the fuzzer and the tests.
    pub(super) fn assert_consistent(&self) {
        assert_eq!(self.by_token.len(), self.all.len(), "one token each");
        let sent = self
            .all
            .values()
            .filter(|exchange| exchange.message_id.is_some())
            .count();
        assert_eq!(self.by_message_id.len(), sent, "one message id each");
        let bytes: usize = self
            .all
            .values()
            .map(|exchange| exchange.transfer.bytes())
            .fold(0, usize::saturating_add);
        assert_eq!(self.bytes, bytes, "bytes as counted");
        assert_eq!(self.deadlines.len(), self.all.len(), "one deadline each");
    }

    fn get(&mut self, id: ExchangeId) -> Option<&mut Exchange> {
        self.all.get_mut(&id.0)
    }

    fn insert(&mut self, exchange: Exchange) -> ExchangeId {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.by_token.insert((exchange.peer, exchange.token), id);
        self.deadlines.insert(exchange.deadline, id);
        self.bytes = self.bytes.saturating_add(exchange.transfer.bytes());
        self.all.insert(id, exchange);
        ExchangeId(id)
    }

    fn remove(&mut self, id: ExchangeId) -> Option<Exchange> {
        let exchange = self.all.remove(&id.0)?;
        self.by_token.remove(&(exchange.peer, exchange.token));
        if let Some(message_id) = exchange.message_id {
            self.by_message_id.remove(&(exchange.peer, message_id));
        }
        self.deadlines.remove(exchange.deadline, id.0);
        self.bytes = self.bytes.saturating_sub(exchange.transfer.bytes());
        Some(exchange)
    }

    fn enter(&mut self, id: ExchangeId, phase: Phase, deadline: Instant) {
        if let Some(exchange) = self.all.get_mut(&id.0) {
            self.deadlines.remove(exchange.deadline, id.0);
            self.deadlines.insert(deadline, id.0);
            exchange.deadline = deadline;
            exchange.phase = phase;
        }
    }

    fn set_message_id(&mut self, id: ExchangeId, message_id: u16) {
        if let Some(exchange) = self.all.get_mut(&id.0) {
            if let Some(old) = exchange.message_id.replace(message_id) {
                self.by_message_id.remove(&(exchange.peer, old));
            }
            self.by_message_id.insert((exchange.peer, message_id), id.0);
        }
    }

    fn set_token(&mut self, id: ExchangeId, token: Token) {
        if let Some(exchange) = self.all.get_mut(&id.0) {
            self.by_token.remove(&(exchange.peer, exchange.token));
            exchange.token = token;
            exchange.told = Told::Nowhere;
            exchange.has_own_token = true;
            self.by_token.insert((exchange.peer, token), id.0);
        }
    }
}

impl Endpoint {
    /// Begins an exchange. It ends with exactly one [`Event::Response`] or [`Event::Failed`],
    /// unless it is cancelled.
    ///
    /// # Errors
    /// Nothing was sent.
    pub fn request(
        &mut self,
        now: Instant,
        peer: Peer,
        outgoing: OutgoingRequest,
    ) -> Result<ExchangeId, RequestError> {
        let request = outgoing.request;
        if !request.code.is_request() || !fits_a_datagram(&request.options) {
            return Err(RequestError::Invalid);
        }
        self.check_free(peer, outgoing.token)?;
        // Ids that are in use are passed over when the message goes out: behind one address and
        // port there can be several devices, each with leases of its own.
        if outgoing.message_ids.is_some_and(|ids| ids.remaining() == 0) {
            return Err(RequestError::NoMessageId);
        }
        let exponent = self.config.exponent();
        let begun = outgoing.start_block2;
        let alone = Alone::of(outgoing.block1, outgoing.block2)?;
        let mut transfer =
            Transfer::new(request, exponent, begun, alone).ok_or(RequestError::Invalid)?;
        if let Some(room) = self.room_to_ask(now, peer)
            && !transfer.fit(outgoing.token, room)
        {
            self.counters.not_asked.inc();
            return Err(RequestError::Unproven);
        }
        let id = self.exchanges.insert(Exchange {
            peer,
            token: outgoing.token,
            told: Told::Nowhere,
            confirmable: outgoing.confirmable,
            transfer,
            message_ids: outgoing.message_ids,
            response_timeout: outgoing.response_timeout,
            window: outgoing.window,
            patience: outgoing.patience,
            has_wrong_token: false,
            has_own_token: false,
            message_id: None,
            phase: Phase::Starved,
            deadline: now,
        });
        self.send(now, id);
        self.show();
        Ok(id)
    }

    /// Waits for the answer to a request that was sent before a restart: nothing is sent, and an
    /// answer that takes more than one message cannot be taken.
    ///
    /// # Errors
    /// The token is in use, or too many exchanges are under way.
    pub fn await_response(
        &mut self,
        now: Instant,
        peer: Peer,
        token: Token,
        timeout: Duration,
    ) -> Result<ExchangeId, RequestError> {
        self.check_free(peer, token)?;
        let told = if peer.is_secure() {
            Told::InSeveralPlaces
        } else {
            Told::Here(0)
        };
        let id = self.exchanges.insert(Exchange {
            peer,
            token,
            told,
            confirmable: false,
            transfer: Transfer::only_answer(self.config.exponent()),
            message_ids: None,
            response_timeout: timeout,
            window: None,
            patience: None,
            has_wrong_token: false,
            has_own_token: false,
            message_id: None,
            phase: Phase::Waiting,
            deadline: after(now, timeout),
        });
        self.show();
        Ok(id)
    }

    /// Forgets an exchange, without an event. A late answer becomes a notification.
    pub fn cancel(&mut self, exchange: ExchangeId) {
        if self.exchanges.remove(exchange).is_some() {
            self.counters.cancelled.inc();
        }
        self.show();
    }

    pub(super) fn exchanges_disconnected(&mut self, peer: Peer) {
        for id in self.exchanges.of_peer(peer) {
            self.fail(id, ExchangeFailure::Disconnected);
        }
    }

    /// Gives an exchange more message ids, and goes on if it waits for them.
    pub fn extend_message_ids(&mut self, now: Instant, exchange: ExchangeId, more: MessageIds) {
        if let Some(found) = self.exchanges.get(exchange) {
            found.message_ids = match found.message_ids {
                // The leases of a peer follow each other.
                Some(left) if left.remaining() > 0 && left.end == more.next => Some(MessageIds {
                    next: left.next,
                    end: more.end,
                }),
                _ => Some(more),
            };
            if matches!(found.phase, Phase::Starved) {
                self.send(now, exchange);
            }
        }
        self.show();
    }

    /// Moves the time in which an exchange may send, because the peer was heard or is known better.
    pub fn set_window(&mut self, exchange: ExchangeId, window: Option<Window>) {
        if let Some(found) = self.exchanges.get(exchange) {
            found.window = window;
            self.reschedule(exchange);
        }
    }

    /// The peer of an exchange was heard: it listens for as long again.
    fn heard(&mut self, now: Instant, id: ExchangeId) {
        if let Some(exchange) = self.exchanges.get(id)
            && let Some(window) = &mut exchange.window
        {
            window.until = after(now, window.length);
            self.reschedule(id);
        }
    }

    /// A message that waits for its acknowledgement is sent again at the end of its timeout, or
    /// given up when the window closes before, whichever comes first.
    fn reschedule(&mut self, id: ExchangeId) {
        let grace = self.config.first_timeout();
        if let Some(exchange) = self.exchanges.all.get_mut(&id.0)
            && let Phase::Sent { again, .. } = &exchange.phase
        {
            let deadline = exchange
                .window
                .map_or(*again, |window| (*again).min(after(window.until, grace)));
            self.exchanges.deadlines.remove(exchange.deadline, id.0);
            self.exchanges.deadlines.insert(deadline, id.0);
            exchange.deadline = deadline;
        }
    }

    pub(super) fn exchanges_due(&mut self, now: Instant) {
        while let Some(id) = self.exchanges.deadlines.pop_due(now) {
            self.exchange_due(now, ExchangeId(id));
        }
    }

    /// A piggybacked response.
    pub(super) fn take_piggybacked(&mut self, now: Instant, peer: Peer, mut message: Message) {
        let found = self
            .exchanges
            .with_message_id(peer, message.message_id)
            .filter(|id| {
                self.exchanges.get(*id).is_some_and(|exchange| {
                    let ours = exchange.confirmable && exchange.token == message.token;
                    exchange.has_wrong_token |= exchange.confirmable && !ours;
                    ours
                })
            });
        let Some(id) = found else {
            self.counters.unmatched.inc();
            return;
        };
        if judge(&mut message.options) != Verdict::Understood {
            // "MUST be rejected" (RFC 7252 section 5.4.1): an acknowledgement is rejected by
            // ignoring it, but there is no use in sending the request again.
            self.counters.refused.inc();
            self.acknowledged(now, id);
            return;
        }
        self.counters.accepted.inc();
        self.prove_by_token(now, peer, id, message.token);
        self.take_response(now, id, message, None);
    }

    /// An empty acknowledgement.
    pub(super) fn take_acknowledgement(&mut self, now: Instant, peer: Peer, message_id: u16) {
        let exchange = self.exchanges.with_message_id(peer, message_id);
        let known = match exchange {
            Some(id) => self.acknowledged(now, id),
            None => self.notification_acknowledged(peer, message_id),
        };
        if known {
            self.counters.accepted.inc();
        } else {
            self.counters.unmatched.inc();
        }
    }

    pub(super) fn take_reset(&mut self, peer: Peer, message_id: u16) {
        if let Some(id) = self.exchanges.with_message_id(peer, message_id) {
            self.counters.accepted.inc();
            self.fail(id, ExchangeFailure::Reset);
        } else if self.notification_reset(peer, message_id) {
            self.counters.accepted.inc();
        } else {
            self.counters.unmatched.inc();
        }
    }

    /// A response that belongs to an exchange. `key`: how to acknowledge it, when it must be.
    pub(super) fn take_response(
        &mut self,
        now: Instant,
        id: ExchangeId,
        message: Message,
        key: Option<NotificationKey>,
    ) {
        // A body in one piece needs no memory of ours, but what is above has the same limit.
        if message.payload.len() > self.config.max_body {
            self.acknowledge_part(now, key);
            self.fail(id, ExchangeFailure::TooLarge);
            return;
        }
        let others = self.exchanges.bytes;
        let Some(exchange) = self.exchanges.all.get_mut(&id.0) else {
            return;
        };
        let before = exchange.transfer.bytes();
        let others = others.saturating_sub(before);
        let room = self
            .config
            .max_transfer_memory
            .saturating_sub(others)
            .min(self.config.max_body);
        let step = exchange.transfer.take(message, room);
        self.exchanges.bytes = others.saturating_add(exchange.transfer.bytes());
        match step {
            Step::Done(response) => {
                let Some(ended) = self.exchanges.remove(id) else {
                    return;
                };
                self.counters.answered.inc();
                self.events.push_back(Event::Response {
                    exchange: id,
                    response,
                    acknowledge: key,
                    message_ids: ended.message_ids,
                });
            }
            Step::Next => {
                self.heard(now, id);
                // An inner block has no effect of its own to be committed first.
                self.acknowledge_part(now, key);
                self.send(now, id);
            }
            Step::Failed(failure) => {
                self.acknowledge_part(now, key);
                self.fail(id, failure);
            }
        }
    }

    pub(super) fn has_room_for_exchange(&self) -> bool {
        let all = self.exchanges.len().saturating_add(self.notified.len());
        all < self.config.max_exchanges
    }

    /// `ACK_TIMEOUT` to `ACK_TIMEOUT * ACK_RANDOM_FACTOR` (RFC 7252 section 4.2).
    pub(super) fn first_timeout(&mut self) -> Duration {
        let spread = self.config.random_factor() - 1.0;
        let factor = self.random.fraction().mul_add(spread, 1.0);
        self.config.first_timeout().mul_f64(factor)
    }

    fn acknowledge_part(&mut self, now: Instant, key: Option<NotificationKey>) {
        if let Some(key) = key {
            self.acknowledge(now, &key);
        }
    }

    fn check_free(&self, peer: Peer, token: Token) -> Result<(), RequestError> {
        if self.exchanges.with_token(peer, token).is_some() {
            return Err(RequestError::TokenInUse);
        }
        if !self.has_room_for_exchange() {
            self.counters.dropped_exchanges.inc();
            return Err(RequestError::TooManyExchanges);
        }
        Ok(())
    }

    /// Sends the message that is due, for the first time.
    fn send(&mut self, now: Instant, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else {
            return;
        };
        if is_over(exchange.window, now) {
            self.fail(id, ExchangeFailure::WindowClosed);
            return;
        }
        let (peer, confirmable, response_timeout, patience) = (
            exchange.peer,
            exchange.confirmable,
            exchange.response_timeout,
            exchange.patience,
        );
        let needs_token = exchange.transfer.needs_token() && !exchange.has_own_token;
        let Some((code, options, payload)) = exchange.transfer.message() else {
            self.fail(id, ExchangeFailure::Blockwise("too many blocks"));
            return;
        };
        let Some(message_id) = self.take_message_id(id, peer) else {
            let deadline = after(now, response_timeout);
            self.exchanges.enter(id, Phase::Starved, deadline);
            self.events
                .push_back(Event::MessageIdsExhausted { exchange: id });
            return;
        };
        if needs_token {
            let mut token = self.random.token();
            while self.exchanges.with_token(peer, token).is_some() {
                token = self.random.token();
            }
            self.exchanges.set_token(id, token);
        }
        let stay = self.stay(peer);
        let Some(exchange) = self.exchanges.get(id) else {
            return;
        };
        exchange.told.tell(stay);
        let token = exchange.token;
        let datagram = encode(confirmable, code, message_id, token, options, payload);
        self.exchanges.set_message_id(id, message_id);
        if confirmable {
            let timeout =
                patience.map_or_else(|| self.first_timeout(), |patience| patience.first_timeout);
            let again = after(now, timeout);
            let phase = Phase::Sent {
                datagram: datagram.clone(),
                retransmissions: 0,
                timeout,
                again,
            };
            self.exchanges.enter(id, phase, again);
            self.reschedule(id);
        } else {
            let deadline = after(now, response_timeout);
            self.exchanges.enter(id, Phase::Waiting, deadline);
        }
        self.transmit(now, peer, datagram);
    }

    /// The next id of the lease that is free, or one that we choose when there is no lease.
    fn take_message_id(&mut self, id: ExchangeId, peer: Peer) -> Option<u16> {
        if self.exchanges.get(id)?.message_ids.is_none() {
            return self.choose_message_id(peer);
        }
        loop {
            let message_id = self.exchanges.get(id)?.message_ids.as_mut()?.take()?;
            if !self.uses_message_id(peer, message_id) {
                return Some(message_id);
            }
        }
    }

    /// True when that was expected.
    fn acknowledged(&mut self, now: Instant, id: ExchangeId) -> bool {
        let Some(exchange) = self.exchanges.get(id) else {
            return false;
        };
        if !matches!(exchange.phase, Phase::Sent { .. }) {
            return false;
        }
        let deadline = after(now, exchange.response_timeout);
        self.exchanges.enter(id, Phase::Waiting, deadline);
        self.heard(now, id);
        true
    }

    fn exchange_due(&mut self, now: Instant, id: ExchangeId) {
        let max_retransmit = self.config.max_retransmit;
        let Some(exchange) = self.exchanges.get(id) else {
            return;
        };
        let max_retransmit = exchange
            .patience
            .map_or(max_retransmit, |patience| patience.max_retransmit);
        let is_closed = is_over(exchange.window, now);
        let failure = match &mut exchange.phase {
            Phase::Sent {
                retransmissions, ..
            } if is_closed || *retransmissions >= max_retransmit => {
                if exchange.has_wrong_token {
                    ExchangeFailure::WrongToken
                } else if is_closed {
                    ExchangeFailure::WindowClosed
                } else {
                    ExchangeFailure::NotAcknowledged
                }
            }
            Phase::Sent {
                datagram,
                retransmissions,
                timeout,
                again,
            } => {
                *retransmissions = retransmissions.saturating_add(1);
                *timeout = timeout.saturating_mul(2);
                *again = after(now, *timeout);
                let (peer, datagram) = (exchange.peer, datagram.clone());
                let deadline = *again;
                exchange.deadline = deadline;
                self.exchanges.deadlines.insert(deadline, id.0);
                self.reschedule(id);
                let stay = self.stay(peer);
                if let Some(exchange) = self.exchanges.get(id) {
                    exchange.told.tell(stay);
                }
                // What may not be sent is not, but its time goes on.
                if self.transmit_again(now, peer, datagram) {
                    self.counters.retransmissions.inc();
                }
                return;
            }
            Phase::Starved | Phase::Waiting => ExchangeFailure::NotAnswered,
        };
        self.fail(id, failure);
    }

    fn fail(&mut self, id: ExchangeId, failure: ExchangeFailure) {
        let Some(exchange) = self.exchanges.remove(id) else {
            return;
        };
        let counter = match failure {
            ExchangeFailure::Blockwise(_) | ExchangeFailure::TooLarge => {
                &self.counters.blockwise_failed
            }
            ExchangeFailure::Cancelled => &self.counters.cancelled,
            ExchangeFailure::Disconnected => &self.counters.disconnected,
            ExchangeFailure::NotAcknowledged => &self.counters.not_acknowledged,
            ExchangeFailure::NotAnswered | ExchangeFailure::WrongToken => {
                &self.counters.not_answered
            }
            ExchangeFailure::Reset => &self.counters.reset,
            ExchangeFailure::WindowClosed => &self.counters.window_closed,
        };
        counter.inc();
        self.events.push_back(Event::Failed {
            exchange: id,
            failure,
            message_ids: exchange.message_ids,
        });
    }
}

fn encode(
    confirmable: bool,
    code: Code,
    message_id: u16,
    token: Token,
    options: Options,
    payload: Vec<u8>,
) -> Vec<u8> {
    let kind = if confirmable {
        MessageType::Confirmable
    } else {
        MessageType::NonConfirmable
    };
    let message = Message {
        kind,
        code,
        message_id,
        token,
        options,
        payload,
    };
    message.encode()
}

fn is_over(window: Option<Window>, now: Instant) -> bool {
    window.is_some_and(|window| now > window.until)
}

/// Whether options leave room for a block in a datagram that any network carries in fragments.
fn fits_a_datagram(options: &Options) -> bool {
    let (count, bytes) = options.iter().fold((0_usize, 0_usize), |sum, (_, value)| {
        let bytes = sum.1.saturating_add(value.len()).saturating_add(5);
        (sum.0.saturating_add(1), bytes)
    });
    // Some room for the options that the layer adds.
    count.saturating_add(4) <= Message::MAX_OPTIONS && bytes <= MAX_OPTION_BYTES
}

/// With a payload of one block well below the 65,507 bytes of UDP.
const MAX_OPTION_BYTES: usize = 32_768;
