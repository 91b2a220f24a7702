//! Notifications of ours (the simulator's side of RFC 7641).

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::{Peer, Token};

use super::super::block::{Part, ServedBody};
use super::super::exchange::Response;
use super::super::message::{Message, MessageType};
use super::super::options::number;
use super::super::timer::{Deadlines, after};
use super::{Endpoint, Event, RequestError, RequestKey};

/// Notifications that can still be acknowledged or reset.
#[derive(Debug, Default)]
pub(super) struct Notified {
    /// In the order of peers, so that those of one peer are found together.
    all: BTreeMap<(Peer, u16), Sent>,
    deadlines: Deadlines<(u16, Peer)>,
}

/// Which subject an observation is of, to serve the rest of a large notification.
#[derive(Debug)]
pub(super) struct ObservedSubject {
    token: Token,
    subject: Box<[u8]>,
    /// A hash of the body of the request that began the observation.
    body_hash: i64,
}

#[derive(Debug)]
struct Sent {
    token: Token,
    /// Present when it is confirmable: sent again at the deadline.
    again: Option<Again>,
    deadline: Instant,
}

#[derive(Debug)]
struct Again {
    datagram: Vec<u8>,
    retransmissions: u32,
    timeout: Duration,
}

impl Notified {
    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn contains(&self, peer: Peer, message_id: u16) -> bool {
        self.all.contains_key(&(peer, message_id))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    pub(super) fn forget_peer(&mut self, peer: Peer) {
        let ids: Vec<u16> = self
            .all
            .range((peer, 0)..=(peer, u16::MAX))
            .map(|((_, message_id), _)| *message_id)
            .collect();
        for message_id in ids {
            self.remove(peer, message_id);
        }
    }

    fn insert(&mut self, peer: Peer, message_id: u16, sent: Sent) {
        self.deadlines.insert(sent.deadline, (message_id, peer));
        self.all.insert((peer, message_id), sent);
    }

    fn remove(&mut self, peer: Peer, message_id: u16) -> Option<Sent> {
        let sent = self.all.remove(&(peer, message_id))?;
        self.deadlines.remove(sent.deadline, (message_id, peer));
        Some(sent)
    }
}

impl Endpoint {
    /// Sends a notification: `response` with its `Observe` option. The first block of a larger body
    /// goes out; the rest is kept for the requests that follow. Returns the message id.
    ///
    /// An older notification of the same observation goes on being sent; whether to wait for its
    /// end (RFC 7641 section 4.5.1) is decided above.
    ///
    /// # Errors
    /// Nothing was sent: too many messages are under way, or no message id is free.
    pub fn notify(
        &mut self,
        now: Instant,
        peer: Peer,
        token: Token,
        response: Response,
        confirmable: bool,
    ) -> Result<u16, RequestError> {
        if !response.code.is_response() {
            return Err(RequestError::Invalid);
        }
        if !self.has_room_for_exchange() {
            self.counters.dropped_exchanges.inc();
            return Err(RequestError::TooManyExchanges);
        }
        let Part::Fits {
            response: part,
            rest,
        } = Part::of(&response, None, self.config.exponent())
        else {
            return Err(RequestError::Invalid);
        };
        let message_id = self
            .choose_message_id(peer)
            .ok_or(RequestError::NoMessageId)?;
        if rest {
            self.keep_rest(now, peer, token, response);
        }
        let kind = if confirmable {
            MessageType::Confirmable
        } else {
            MessageType::NonConfirmable
        };
        let datagram = Message {
            kind,
            code: part.code,
            message_id,
            token,
            options: part.options,
            payload: part.payload,
        }
        .encode();
        let timeout = self.first_timeout();
        let (again, wait) = if confirmable {
            let again = Again {
                datagram: datagram.clone(),
                retransmissions: 0,
                timeout,
            };
            (Some(again), timeout)
        } else {
            // A Reset comes within a round trip; that of a slow network fits the time in which a
            // confirmable one would be sent again.
            (None, self.config.max_transmit_span())
        };
        let deadline = after(now, wait);
        let sent = Sent {
            token,
            again,
            deadline,
        };
        self.notified.insert(peer, message_id, sent);
        self.transmit(now, peer, datagram);
        self.show();
        Ok(message_id)
    }

    pub(super) fn notifications_due(&mut self, now: Instant) {
        while let Some((message_id, peer)) = self.notified.deadlines.pop_due(now) {
            let Some(mut sent) = self.notified.all.remove(&(peer, message_id)) else {
                continue;
            };
            let Some(mut again) = sent.again.take() else {
                continue;
            };
            if again.retransmissions >= self.config.max_retransmit {
                self.events.push_back(Event::NotificationTimedOut {
                    peer,
                    token: sent.token,
                    message_id,
                });
                continue;
            }
            again.retransmissions = again.retransmissions.saturating_add(1);
            again.timeout = again.timeout.saturating_mul(2);
            if self.transmit_again(now, peer, again.datagram.clone()) {
                self.counters.retransmissions.inc();
            }
            sent.deadline = after(now, again.timeout);
            sent.again = Some(again);
            self.notified.insert(peer, message_id, sent);
        }
    }

    /// True when the acknowledgement was of a notification.
    pub(super) fn notification_acknowledged(&mut self, peer: Peer, message_id: u16) -> bool {
        let confirmable = |sent: &Sent| sent.again.is_some();
        if !self
            .notified
            .all
            .get(&(peer, message_id))
            .is_some_and(confirmable)
        {
            return false;
        }
        if let Some(sent) = self.notified.remove(peer, message_id) {
            self.events.push_back(Event::NotificationAcknowledged {
                peer,
                token: sent.token,
                message_id,
            });
        }
        true
    }

    /// True when the Reset was of a notification.
    pub(super) fn notification_reset(&mut self, peer: Peer, message_id: u16) -> bool {
        let Some(sent) = self.notified.remove(peer, message_id) else {
            return false;
        };
        self.forget_observed(peer, sent.token);
        self.events.push_back(Event::NotificationReset {
            peer,
            token: sent.token,
            message_id,
        });
        true
    }

    pub(super) fn remember_observed(&mut self, now: Instant, key: &RequestKey) {
        self.forget_observed(key.peer, key.token);
        let observed = ObservedSubject {
            token: key.token,
            subject: (*key.form.subject).into(),
            body_hash: key.form.body_hash,
        };
        let weight = observed.subject.len();
        let deadline = after(now, Duration::MAX);
        // Entries have no end of their own: the oldest makes room. Without a place the rest of a
        // large notification is asked of the rooms above, which is all the same.
        let _ = self
            .observed
            .insert(key.peer, deadline, false, weight, observed);
    }

    pub(super) fn forget_observed(&mut self, peer: Peer, token: Token) {
        self.observed
            .remove(peer, |observed| observed.token == token);
    }

    fn keep_rest(&mut self, now: Instant, peer: Peer, token: Token, mut response: Response) {
        let Some(observed) = self.observed.find(peer, |observed| observed.token == token) else {
            return;
        };
        response.options.remove(number::OBSERVE);
        let body = ServedBody {
            subject: observed.subject.clone(),
            body_hash: observed.body_hash,
            response,
        };
        let evicted = self.served.keep(now, peer, body);
        self.counters.dropped_transfers.inc_by(evicted as u64);
    }
}
