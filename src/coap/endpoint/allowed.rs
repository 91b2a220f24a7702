//! What may be sent to a peer that has not proven its address (RFC 9175 section 2.4): the one place
//! through which every datagram leaves, and answers that are made to fit.
//!
//! How an answer is made to fit is settled when its request arrives, so that the answer that is
//! stored with the effect of the request is the one that is sent, and the one that copies get.

use std::time::Instant;

use crate::domain::{Peer, Token};

use super::super::allowance::Allowance;
use super::super::block::Exponent;
use super::super::code::Code;
use super::super::message::Message;
use super::super::options::{Options, number};
use super::{Endpoint, ExchangeId, Transmit};

/// What an answer to an unproven peer has to keep to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Unproven {
    /// Bytes.
    room: usize,
    /// Proves the address when it comes back.
    echo: Vec<u8>,
    /// The request had an Echo option: the peer knows what it is for.
    knows_echo: bool,
    /// The request changes nothing: it can be refused after it was carried out.
    is_safe: bool,
}

/// How an answer was made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fitted {
    /// It is whole, or the block that was asked for.
    AsAsked,
    /// A smaller block, of this size.
    SmallerBlock(Exponent),
    /// 4.01 with Echo in its place.
    EchoAsked,
    /// An error without the text that says what is wrong.
    WithoutText,
}

/// An answer as it is sent.
#[derive(Debug)]
pub(super) struct Composed {
    pub(super) datagram: Vec<u8>,
    /// The body is kept, because more blocks follow, or because this is the last of several and may
    /// be asked for again.
    pub(super) kept: bool,
    pub(super) fitted: Fitted,
}

/// Where the token of a request was sent, by [`Allowance::stay`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nowhere,
    Here(u64),
    /// Elsewhere too: whoever knows it need not be where it went last.
    InSeveralPlaces,
}

impl Told {
    /// It is sent here.
    pub(super) fn tell(&mut self, stay: u64) {
        *self = match *self {
            Self::Nowhere => Self::Here(stay),
            Self::Here(before) if before == stay => Self::Here(stay),
            _ => Self::InSeveralPlaces,
        };
    }
}

impl Endpoint {
    /// From now on, what is sent keeps to this. Without it, everything may be sent.
    pub fn limit(&mut self, allowance: Box<dyn Allowance>) {
        self.allowance = Some(allowance);
    }

    /// Sends a datagram, if it may be sent. One that may not be is lost as on the way; what it was
    /// part of goes on, and a copy of it may find more room.
    pub(super) fn transmit(&mut self, now: Instant, peer: Peer, datagram: Vec<u8>) -> bool {
        self.put(now, peer, datagram, false)
    }

    /// The same for what was sent before.
    pub(super) fn transmit_again(&mut self, now: Instant, peer: Peer, datagram: Vec<u8>) -> bool {
        self.put(now, peer, datagram, true)
    }

    fn put(&mut self, now: Instant, peer: Peer, datagram: Vec<u8>, again: bool) -> bool {
        if let Some(allowance) = &mut self.allowance
            && !allowance.take(now, peer, datagram.len())
        {
            return false;
        }
        self.transmits.push_back(Transmit {
            peer,
            datagram,
            again,
        });
        true
    }

    /// A datagram came in.
    pub(super) fn credit(&mut self, now: Instant, peer: Peer, bytes: usize) {
        if let Some(allowance) = &mut self.allowance {
            allowance.received(now, peer, bytes);
        }
    }

    /// Where the peer is now, see [`Allowance::stay`].
    pub(super) fn stay(&self, peer: Peer) -> u64 {
        let allowance = self.allowance.as_ref();
        allowance.map_or(0, |allowance| allowance.stay(peer))
    }

    /// The peer answered a request of ours with its token. Shorter ones can be guessed, and a request that
    /// went to where a session was before proves nothing of where it is now.
    pub(super) fn prove_by_token(
        &mut self,
        now: Instant,
        peer: Peer,
        exchange: ExchangeId,
        token: Token,
    ) {
        let stay = self.stay(peer);
        let was_asked_there = self.exchanges.follow(exchange, peer, stay);
        if token.as_bytes().len() >= MIN_TOKEN
            && was_asked_there
            && let Some(allowance) = &mut self.allowance
        {
            allowance.proven(now, peer);
        }
    }

    /// Looks at the Echo option of a request, and says what its answer has to keep to; nothing: no
    /// limit.
    pub(super) fn limits_of(
        &mut self,
        now: Instant,
        peer: Peer,
        code: Code,
        options: &Options,
    ) -> Option<Box<Unproven>> {
        let allowance = self.allowance.as_mut()?;
        let echo = options.first(number::ECHO);
        if echo.is_some_and(|echo| allowance.is_echo(now, peer, echo)) {
            allowance.proven(now, peer);
        }
        let room = allowance.room(now, peer)?;
        Some(Box::new(Unproven {
            room,
            echo: allowance.echo(now, peer),
            knows_echo: echo.is_some(),
            is_safe: matches!(code, Code::GET | Code::FETCH),
        }))
    }

    /// The bytes that a request of ours may have; nothing: no limit.
    pub(super) fn room_to_ask(&mut self, now: Instant, peer: Peer) -> Option<usize> {
        self.allowance.as_mut()?.room_to_ask(now, peer)
    }

    /// The first of these that fits: the answer as it is, smaller blocks of it down to 16 bytes, and
    /// 4.01 with Echo, which comes before smaller blocks for a peer that knows Echo: it then gets
    /// the rest in large ones. An error loses its text.
    ///
    /// Echo is not added to what fits, except for peers that have shown that they know it:
    /// widespread clients store the presence of an option by its number, unchecked, and 252 is beyond
    /// what they have room for.
    ///
    /// Without any that fits the answer is as it is, and waits until copies of the request have paid
    /// for it.
    ///
    /// `part` makes the answer in blocks of at most this size; nothing when that cannot be.
    pub(super) fn fit(
        &self,
        limits: &Unproven,
        (whole, kept): (Message, bool),
        part: &dyn Fn(Exponent) -> Option<(Message, bool)>,
    ) -> Composed {
        let as_asked = whole.encode();
        if limits.knows_echo {
            let mut with_echo = whole.clone();
            with_echo.options.set(number::ECHO, &limits.echo);
            let datagram = with_echo.encode();
            if datagram.len() <= limits.room {
                return Composed {
                    datagram,
                    kept,
                    fitted: Fitted::AsAsked,
                };
            }
        }
        if as_asked.len() <= limits.room {
            return Composed {
                datagram: as_asked,
                kept,
                fitted: Fitted::AsAsked,
            };
        }
        self.smaller(limits, whole, part).unwrap_or(Composed {
            datagram: as_asked,
            kept,
            fitted: Fitted::AsAsked,
        })
    }

    fn smaller(
        &self,
        limits: &Unproven,
        whole: Message,
        part: &dyn Fn(Exponent) -> Option<(Message, bool)>,
    ) -> Option<Composed> {
        if !whole.code.is_success() {
            let datagram = Message {
                payload: Vec::new(),
                ..whole
            }
            .encode();
            return (datagram.len() <= limits.room).then_some(Composed {
                datagram,
                kept: false,
                fitted: Fitted::WithoutText,
            });
        }
        let ask = || {
            let mut options = Options::new();
            options.add(number::ECHO, &limits.echo);
            let datagram = Message {
                code: Code::UNAUTHORIZED,
                options,
                payload: Vec::new(),
                ..whole.clone()
            }
            .encode();
            (limits.is_safe && datagram.len() <= limits.room).then_some(Composed {
                datagram,
                kept: false,
                fitted: Fitted::EchoAsked,
            })
        };
        let smaller_block = || {
            self.config.exponent().all_below().find_map(|exponent| {
                let (message, kept) = part(exponent)?;
                let datagram = message.encode();
                (datagram.len() <= limits.room).then_some(Composed {
                    datagram,
                    kept,
                    fitted: Fitted::SmallerBlock(exponent),
                })
            })
        };
        if limits.knows_echo {
            ask().or_else(smaller_block)
        } else {
            smaller_block().or_else(ask)
        }
    }
}

/// Bytes of a token of ours that nobody guesses.
const MIN_TOKEN: usize = 4;
