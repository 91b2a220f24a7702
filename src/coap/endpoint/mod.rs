//! The message layer of one socket: datagrams in, events out, and back.
//!
//! `server` answers requests of peers, `client` carries out requests of ours with `transfer` for
//! bodies in blocks, `notify` sends notifications of ours; here the datagrams are told apart, and
//! notifications of peers are ended.

mod allowed;
mod client;
mod notify;
mod random;
mod server;
mod transfer;
mod types;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tracing::trace;

use crate::domain::Peer;

use self::client::Exchanges;
use self::notify::{Notified, ObservedSubject};
use self::random::Random;
pub use self::types::{
    Event, ExchangeFailure, ExchangeId, FirstBlock, Heard, MessageIds, NotificationKey,
    OutgoingRequest, Patience, RequestError, RequestKey, Transmit, Window,
};
use super::allowance::Allowance;
use super::block::{Block, Served, UploadLimits, Uploads};
use super::code::Code;
use super::counters::Counters;
use super::datagram::Datagram;
use super::dedup::{Answer, Dedup};
use super::exchange::Response;
use super::limits::EndpointConfig;
use super::message::{DecodeError, Message, MessageType, empty, fingerprint, rejectable};
use super::options::number;
use super::policy::{Verdict, judge};
use super::table::{PeerTable, TableLimits};
use super::timer::after;

/// One end of CoAP, for any number of peers, without I/O: see the module documentation of
/// [`coap`](crate::coap).
#[derive(Debug)]
pub struct Endpoint {
    config: EndpointConfig,
    counters: Counters,
    random: Random,
    transmits: VecDeque<Transmit>,
    events: VecDeque<Event>,
    /// What may be sent to whom; without it, everything.
    allowance: Option<Box<dyn Allowance>>,
    /// Messages of peers that were seen.
    dedup: Dedup,
    /// Bodies that come in.
    uploads: Uploads,
    /// Bodies that go out.
    served: Served,
    /// Which subject an observation of a peer is of.
    observed: PeerTable<ObservedSubject>,
    /// Requests of ours.
    exchanges: Exchanges,
    /// Notifications of ours.
    notified: Notified,
    /// The path whose bodies are handed up block by block.
    singly: Option<Box<str>>,
    /// The message id of the next message whose id we choose.
    next_message_id: u16,
    exchange_lifetime: Duration,
    non_lifetime: Duration,
    /// Copies that were heard.
    copies: u64,
    /// What this endpoint has added to the gauges, which it may share with others.
    shown: Shown,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shown {
    exchanges: i64,
    dedup_entries: i64,
    uploads: i64,
    served: i64,
    transfer_bytes: i64,
}

impl Endpoint {
    /// An endpoint that knows nobody. `seed` must be random and secret: the random factor of
    /// retransmissions, the first message id and the tokens of inner blocks come from it.
    pub fn new(config: EndpointConfig, counters: Counters, seed: u64) -> Self {
        let mut random = Random::new(seed);
        let transfers = TableLimits {
            per_peer: config.max_transfers_per_peer,
            total: config.max_transfers,
            weight: config.max_transfer_memory,
        };
        let uploads = UploadLimits {
            table: transfers,
            max_body: config.max_body,
            timeout: config.transfer_timeout,
            exponent: config.exponent(),
        };
        let dedup = TableLimits {
            per_peer: config.dedup_per_peer,
            total: config.dedup_total,
            weight: config.dedup_memory,
        };
        let observed = TableLimits {
            per_peer: OBSERVED_PER_PEER,
            ..transfers
        };
        let [high, low, ..] = random.next().to_ne_bytes();
        Self {
            counters,
            transmits: VecDeque::new(),
            events: VecDeque::new(),
            allowance: None,
            dedup: Dedup::new(dedup),
            uploads: Uploads::new(uploads),
            served: Served::new(transfers, config.transfer_timeout),
            observed: PeerTable::new(observed),
            exchanges: Exchanges::default(),
            notified: Notified::default(),
            singly: None,
            next_message_id: u16::from_ne_bytes([high, low]),
            exchange_lifetime: config.exchange_lifetime(),
            non_lifetime: config.non_lifetime(),
            copies: 0,
            shown: Shown::default(),
            random,
            config,
        }
    }

    /// From now on, bodies that peers send to this path in blocks (Block1, RFC 7959 section 2.5) are not put
    /// together: each block is an [`Event::Request`] of its own with its Block1 and Size1. Its answer
    /// should have a Block1 too; without one it repeats that of the request.
    pub fn take_blocks_singly(&mut self, path: &str) {
        self.singly = Some(path.into());
    }

    /// Takes a datagram that came in.
    pub fn handle_datagram(&mut self, now: Instant, peer: Peer, datagram: &[u8]) -> Heard {
        self.credit(now, peer, datagram.len());
        let copies = self.copies;
        self.dispatch(now, peer, datagram);
        self.show();
        if self.copies == copies {
            Heard::New
        } else {
            Heard::Copy
        }
    }

    /// Does what is due: sends again, gives up, forgets.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.exchanges_due(now);
        self.notifications_due(now);
        self.dedup.expire(now);
        self.uploads.expire(now);
        self.served.expire(now);
        self.show();
    }

    /// The session with a peer is over (DTLS): nothing more can come from it or go to it. Exchanges
    /// with it fail at once, and whatever was remembered of it is forgotten: another session, even
    /// of the same device, is another peer (RFC 7252 section 9.1).
    ///
    /// The work is bounded by what one peer may have.
    pub fn disconnect(&mut self, _now: Instant, peer: Peer) {
        self.exchanges_disconnected(peer);
        self.notified.forget_peer(peer);
        self.dedup.forget_peer(peer);
        self.uploads.forget_peer(peer);
        self.served.forget_peer(peer);
        self.observed.remove_all(peer);
        self.show();
    }

    /// When [`Endpoint::handle_timeout`] is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        [
            self.exchanges.next_deadline(),
            self.notified.next_deadline(),
            self.dedup.next_deadline(),
            self.uploads.next_deadline(),
            self.served.next_deadline(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    /// The next thing that happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Everything that happened.
    pub fn take_events(&mut self) -> Vec<Event> {
        self.events.drain(..).collect()
    }

    /// Ends a notification or separate response: an empty ACK, remembered for copies. Of one that
    /// is not confirmable, only that it was seen is remembered.
    pub fn acknowledge(&mut self, now: Instant, key: &NotificationKey) {
        let answer = if key.confirmable {
            Answer::Acknowledge
        } else {
            Answer::Silence
        };
        self.end(now, key, answer);
        self.show();
    }

    /// Ends a notification with a Reset, which also ends the observation at the peer, confirmable
    /// or not (RFC 7641 section 3.6).
    pub fn reject(&mut self, now: Instant, key: &NotificationKey) {
        if self.end(now, key, Answer::Reset) {
            self.counters.resets_sent.inc();
        }
        self.show();
    }

    /// Ends a notification with silence: a copy counts as new.
    pub fn ignore(&mut self, key: &NotificationKey) {
        self.dedup.forget(key.peer, key.message_id, key.hash);
        self.show();
    }

    fn dispatch(&mut self, now: Instant, peer: Peer, datagram: &[u8]) {
        if !is_one_sender(peer) {
            self.counters.refused.inc();
            return;
        }
        let message = match Datagram::read(datagram) {
            Ok(message) => message,
            Err(error) => {
                self.malformed(now, peer, datagram, error);
                return;
            }
        };
        match (message.kind, message.code.is_request()) {
            (MessageType::Confirmable, _) if message.code == Code::EMPTY => {
                // A ping (RFC 7252 section 4.3).
                self.counters.accepted.inc();
                self.reset(now, peer, message.message_id);
            }
            (MessageType::Confirmable | MessageType::NonConfirmable, true) => {
                let hash = fingerprint(datagram);
                if !self.is_copy(now, peer, &message, hash) {
                    self.take_request(now, peer, message.into(), hash);
                }
            }
            (MessageType::Confirmable | MessageType::NonConfirmable, false) => {
                if !message.code.is_response() {
                    self.counters.malformed.inc();
                    return;
                }
                let hash = fingerprint(datagram);
                if !self.is_copy(now, peer, &message, hash) {
                    self.take_separate(now, peer, message.into(), hash);
                }
            }
            (MessageType::Acknowledgement, _) if message.code.is_response() => {
                self.take_piggybacked(now, peer, message.into());
            }
            (MessageType::Acknowledgement, _) => {
                self.take_acknowledgement(now, peer, message.message_id)
            }
            (MessageType::Reset, _) => self.take_reset(peer, message.message_id),
        }
    }

    fn malformed(&mut self, now: Instant, peer: Peer, datagram: &[u8], error: DecodeError) {
        self.counters.malformed.inc();
        trace!(%peer, %error, "Dropped a datagram that is no CoAP message");
        // Other versions "MUST be silently ignored" (RFC 7252 section 3).
        if let Some(message_id) = rejectable(datagram) {
            self.reset(now, peer, message_id);
        }
    }

    /// Treats a copy of a message as such.
    fn is_copy(&mut self, now: Instant, peer: Peer, message: &Datagram<'_>, hash: i64) -> bool {
        let Some(answer) = self.dedup.find(peer, message.message_id, hash) else {
            return false;
        };
        self.counters.duplicates.inc();
        self.copies = self.copies.wrapping_add(1);
        let again = message.kind == MessageType::Confirmable || *answer == Answer::Reset;
        if let Some(datagram) = answer.datagram(message.message_id).filter(|_| again) {
            self.transmit_again(now, peer, datagram);
        }
        true
    }

    /// A CON or NON with a response code: the response of an exchange, or a notification.
    fn take_separate(&mut self, now: Instant, peer: Peer, mut message: Message, hash: i64) {
        let confirmable = message.kind == MessageType::Confirmable;
        let key = NotificationKey {
            peer,
            message_id: message.message_id,
            token: message.token,
            confirmable,
            hash,
        };
        let lifetime = self.lifetime(confirmable);
        if judge(&mut message.options) != Verdict::Understood {
            // "MUST be rejected" (RFC 7252 section 5.4.1).
            self.counters.refused.inc();
            let deadline = after(now, lifetime);
            let remembered = self
                .dedup
                .insert(peer, key.message_id, hash, deadline, Answer::Reset);
            if confirmable && remembered.is_ok() {
                self.reset(now, peer, key.message_id);
            }
            return;
        }
        let exchange = self.exchanges.answered_by(peer, &message);
        if exchange.is_none() && self.dedup.pending() >= self.config.max_pending_requests {
            self.counters.dropped_pending.inc();
            self.counters.dropped.inc();
            return;
        }
        if exchange.is_none() && !is_first_block(&message) {
            // Notifications begin at block 0 (RFC 7959 section 2.6), and an inner block of an
            // exchange that is over is of no use.
            self.counters.refused.inc();
            return;
        }
        let seen = if exchange.is_some() && !confirmable {
            Answer::Silence
        } else {
            Answer::Pending
        };
        let deadline = after(now, lifetime);
        if self
            .dedup
            .insert(peer, key.message_id, hash, deadline, seen)
            .is_err()
        {
            self.counters.dropped_dedup.inc();
            self.counters.dropped.inc();
            return;
        }
        self.counters.accepted.inc();
        match exchange {
            Some(exchange) => {
                self.prove_by_token(now, peer, exchange, message.token);
                self.take_response(now, exchange, message, Some(key).filter(|_| confirmable));
            }
            None => self.take_notification(key, message),
        }
    }

    fn take_notification(&mut self, key: NotificationKey, message: Message) {
        let block = Block::of(&message.options, number::BLOCK2).ok().flatten();
        let mut options = message.options;
        let size = options.uint(number::SIZE2);
        options.remove(number::BLOCK1);
        options.remove(number::BLOCK2);
        options.remove(number::SIZE2);
        let more = block.filter(|block| block.more).map(|block| FirstBlock {
            size_exponent: block.exponent.szx(),
            etag: options.first(number::ETAG).map(<[u8]>::to_vec),
            size,
        });
        let response = Response {
            code: message.code,
            options,
            payload: message.payload,
        };
        self.events.push_back(Event::Notification {
            key,
            response,
            more,
        });
    }

    /// Ends a pending message; false when it is over already.
    fn end(&mut self, now: Instant, key: &NotificationKey, answer: Answer) -> bool {
        let datagram = answer.datagram(key.message_id);
        if !self
            .dedup
            .settle(key.peer, key.message_id, key.hash, answer)
        {
            return false;
        }
        if let Some(datagram) = datagram {
            self.transmit(now, key.peer, datagram);
        }
        true
    }

    fn reset(&mut self, now: Instant, peer: Peer, message_id: u16) {
        self.counters.resets_sent.inc();
        let datagram = empty(MessageType::Reset, message_id).to_vec();
        self.transmit(now, peer, datagram);
    }

    /// How long a message is remembered.
    fn lifetime(&self, confirmable: bool) -> Duration {
        if confirmable {
            self.exchange_lifetime
        } else {
            self.non_lifetime
        }
    }

    /// A message id that no live message of ours to the peer has.
    fn choose_message_id(&mut self, peer: Peer) -> Option<u16> {
        for _ in 0..MESSAGE_ID_TRIES {
            let message_id = self.next_message_id;
            self.next_message_id = self.next_message_id.wrapping_add(1);
            if !self.uses_message_id(peer, message_id) {
                return Some(message_id);
            }
        }
        None
    }

    fn uses_message_id(&self, peer: Peer, message_id: u16) -> bool {
        self.exchanges.with_message_id(peer, message_id).is_some()
            || self.notified.contains(peer, message_id)
    }

    /// Fails when something is larger than its limit, for the fuzzer and the tests.
    pub(super) fn assert_limits(&self) {
        let config = &self.config;
        assert!(self.dedup.len() <= config.dedup_total, "dedup entries");
        assert!(self.dedup.bytes() <= config.dedup_memory, "dedup bytes");
        assert!(self.uploads.len() <= config.max_transfers, "uploads");
        assert!(
            self.uploads.bytes() <= config.max_transfer_memory,
            "upload bytes"
        );
        assert!(self.served.len() <= config.max_transfers, "served bodies");
        assert!(
            self.served.bytes() <= config.max_transfer_memory,
            "served bytes"
        );
        assert!(
            self.exchanges.bytes() <= config.max_transfer_memory,
            "fetched bytes"
        );
        let exchanges = self.exchanges.len().saturating_add(self.notified.len());
        assert!(exchanges <= config.max_exchanges, "exchanges");
        self.exchanges.assert_consistent();
    }

    /// Brings the gauges up to date.
    fn show(&mut self) {
        let bytes = self
            .uploads
            .bytes()
            .saturating_add(self.served.bytes())
            .saturating_add(self.exchanges.bytes());
        self.show_as(Shown {
            exchanges: signed(self.exchanges.len()),
            dedup_entries: signed(self.dedup.len()),
            uploads: signed(self.uploads.len()),
            served: signed(self.served.len()),
            transfer_bytes: signed(bytes),
        });
    }

    fn show_as(&mut self, new: Shown) {
        let old = std::mem::replace(&mut self.shown, new);
        for (gauge, old, new) in [
            (&self.counters.exchanges, old.exchanges, new.exchanges),
            (
                &self.counters.dedup_entries,
                old.dedup_entries,
                new.dedup_entries,
            ),
            (&self.counters.uploads, old.uploads, new.uploads),
            (&self.counters.served, old.served, new.served),
            (
                &self.counters.transfer_bytes,
                old.transfer_bytes,
                new.transfer_bytes,
            ),
        ] {
            if old != new {
                gauge.inc_by(new.saturating_sub(old));
            }
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.show_as(Shown::default());
    }
}

/// False for addresses that no single sender can have: answers to them would reach others.
fn is_one_sender(peer: Peer) -> bool {
    let ip = peer.address.ip();
    let broadcast = matches!(ip, std::net::IpAddr::V4(v4) if v4.is_broadcast());
    peer.address.port() != 0 && !ip.is_multicast() && !ip.is_unspecified() && !broadcast
}

/// True for a message without blocks and for block 0 with as many bytes as it says.
fn is_first_block(message: &Message) -> bool {
    match Block::of(&message.options, number::BLOCK2) {
        Ok(None) => true,
        Ok(Some(block)) => {
            let size = block.exponent.size();
            block.number() == 0
                && message.payload.len() <= size
                && (!block.more || message.payload.len() == size)
        }
        Err(_) => false,
    }
}

fn signed(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Live messages of ours to one peer are few, so a free id is found at once; the bound only makes
/// sure that the search ends.
const MESSAGE_ID_TRIES: u32 = 65_536;

/// Observations of a peer whose subject is remembered to serve the rest of a large notification.
const OBSERVED_PER_PEER: usize = 256;
