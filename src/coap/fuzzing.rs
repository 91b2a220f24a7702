//! What the fuzzer runs (`tests/fuzz`): here, so that a test replays the corpus and it cannot rot.
//! Not for use by other rooms.

use std::collections::{LinkedList, VecDeque};
use std::time::{Duration, Instant};

use coap_lite::{CoapOption, MessageClass, Packet};

use crate::domain::{Peer, Token};

use super::datagram::MAX_OPTION_LENGTH;
use super::{
    Block, Code, Counters, Endpoint, EndpointConfig, Event, ExchangeId, Exponent, Message,
    MessageIds, MessageType, NotificationKey, Options, OutgoingBlock, OutgoingRequest, Request,
    RequestKey, Response, Window, number,
};

/// Any bytes are read or refused; what is read is what [`coap_lite`] reads, which is less strict, and the
/// same after it was written and read again, by whom ever.
pub fn decode(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else {
        return;
    };
    assert_eq!(read_by_coap_lite(bytes).as_ref(), Some(&message));
    let written = message.encode();
    let again = Message::decode(&written);
    assert_eq!(again.as_ref(), Ok(&message), "{written:02x?}");
    if message.code != Code::EMPTY {
        assert_eq!(written, write_by_coap_lite(&message));
    }
}

/// What [`Message::encode`] must come to, unless the message is empty.
pub(super) fn write_by_coap_lite(message: &Message) -> Vec<u8> {
    let mut packet = Packet::new();
    packet.header.set_version(1);
    packet.header.set_type(match message.kind {
        MessageType::Confirmable => coap_lite::MessageType::Confirmable,
        MessageType::NonConfirmable => coap_lite::MessageType::NonConfirmable,
        MessageType::Acknowledgement => coap_lite::MessageType::Acknowledgement,
        MessageType::Reset => coap_lite::MessageType::Reset,
    });
    packet.header.code = MessageClass::from(message.code.to_byte());
    packet.header.message_id = message.message_id;
    packet.set_token(message.token.as_bytes().to_vec());
    let mut options = message
        .options
        .iter()
        .filter(|(_, value)| value.len() <= MAX_OPTION_LENGTH)
        .peekable();
    while let Some((number, value)) = options.next() {
        let mut values = LinkedList::from([value.to_vec()]);
        while let Some((_, value)) = options.next_if(|(next, _)| *next == number) {
            values.push_back(value.to_vec());
        }
        packet.set_option(CoapOption::from(number), values);
    }
    packet.payload.clone_from(&message.payload);
    // Without a limit the only error is an option that is too long, and there is none.
    packet.to_bytes_unlimited().unwrap_or_default()
}

fn read_by_coap_lite(bytes: &[u8]) -> Option<Message> {
    let packet = Packet::from_bytes(bytes).ok()?;
    let mut options = Options::new();
    for (number, values) in packet.options() {
        for value in values {
            options.add(*number, value);
        }
    }
    Some(Message {
        kind: match packet.header.get_type() {
            coap_lite::MessageType::Confirmable => MessageType::Confirmable,
            coap_lite::MessageType::NonConfirmable => MessageType::NonConfirmable,
            coap_lite::MessageType::Acknowledgement => MessageType::Acknowledgement,
            coap_lite::MessageType::Reset => MessageType::Reset,
        },
        code: Code::from_byte(packet.header.code.into()),
        message_id: packet.header.message_id,
        token: Token::new(packet.get_token())?,
        options,
        payload: packet.payload,
    })
}

/// Drives an endpoint with tiny limits through whatever the bytes say: datagrams, time, answers,
/// requests. Everything must stay within its limit, and end when time has passed.
pub fn endpoint(script: &[u8]) {
    let mut driver = Driver::new(script);
    while driver.step().is_some() {
        driver.collect();
        driver.endpoint.assert_limits();
    }
    driver.finish();
}

struct Driver<'a> {
    script: &'a [u8],
    now: Instant,
    endpoint: Endpoint,
    requests: VecDeque<RequestKey>,
    notifications: VecDeque<NotificationKey>,
    exchanges: VecDeque<ExchangeId>,
    starved: VecDeque<ExchangeId>,
    /// Datagrams of ours, to be led back.
    sent: VecDeque<Vec<u8>>,
}

impl<'a> Driver<'a> {
    fn new(script: &'a [u8]) -> Self {
        let config = EndpointConfig {
            max_body: 300,
            block_size: 32,
            max_transfers: 3,
            max_transfers_per_peer: 2,
            max_transfer_memory: 1024,
            dedup_per_peer: 4,
            dedup_total: 6,
            dedup_memory: 512,
            max_exchanges: 3,
            max_pending_requests: 4,
            ..EndpointConfig::default()
        };
        Self {
            script,
            now: Instant::now(),
            endpoint: Endpoint::new(config, Counters::default(), 1),
            requests: VecDeque::new(),
            notifications: VecDeque::new(),
            exchanges: VecDeque::new(),
            starved: VecDeque::new(),
            sent: VecDeque::new(),
        }
    }

    /// One line of the script; nothing at its end.
    fn step(&mut self) -> Option<()> {
        let now = self.now;
        let operation = self.byte()?;
        let peer = peer(operation >> 6);
        match operation & 15 {
            0..=4 => {
                let length = usize::from(self.byte()?);
                let datagram = self.take(length);
                self.endpoint.handle_datagram(now, peer, datagram);
            }
            5 => {
                let wait = Duration::from_millis(u64::from(self.byte()?).saturating_mul(500));
                self.pass(wait);
            }
            6 => {
                let length = usize::from(self.byte()?).saturating_mul(2);
                if let Some(key) = self.requests.pop_front() {
                    let response = answer(length, key.message_id);
                    let exact = self.endpoint.encode_response(&key, &response);
                    self.endpoint.respond(now, &key, response);
                    if let Some(sent) = self.endpoint.poll_transmit() {
                        assert_eq!(sent.datagram, exact, "the stored answer is the sent one");
                        self.keep(sent.datagram);
                    }
                }
            }
            7 => {
                if let Some(key) = self.requests.pop_front() {
                    self.endpoint.drop_request(&key);
                }
            }
            8 => self.ask(peer, operation & 16 != 0)?,
            9 if operation & 16 != 0 => self.endpoint.disconnect(now, peer),
            9 => {
                if let Some(id) = self.exchanges.pop_front() {
                    self.endpoint.cancel(id);
                }
            }
            10 => {
                let way = self.byte()?;
                if let Some(key) = self.notifications.pop_front() {
                    match way % 3 {
                        0 => self.endpoint.acknowledge(now, &key),
                        1 => self.endpoint.reject(now, &key),
                        _ => self.endpoint.ignore(&key),
                    }
                }
            }
            11 => {
                let length = usize::from(self.byte()?);
                let mut response = answer(length, 0);
                response.options.set_uint(number::OBSERVE, 7);
                let token = Token::new(&[operation]).unwrap_or_default();
                let confirmable = operation & 16 != 0;
                let _ = self
                    .endpoint
                    .notify(now, peer, token, response, confirmable);
            }
            12 => {
                let next = u16::from(self.byte()?);
                if let Some(id) = self.starved.pop_front() {
                    let end = next.wrapping_add(2);
                    self.endpoint
                        .extend_message_ids(now, id, MessageIds { next, end });
                }
            }
            13 => {
                // What we sent comes back, changed in one place.
                let at = usize::from(self.byte()?);
                let value = self.byte()?;
                if let Some(mut datagram) = self.sent.pop_front() {
                    if let Some(byte) = datagram.get_mut(at) {
                        *byte = value;
                    }
                    self.endpoint.handle_datagram(now, peer, &datagram);
                }
            }
            14 => {
                let token = Token::new(&[self.byte()?]).unwrap_or_default();
                let timeout = Duration::from_secs(10);
                if let Ok(id) = self.endpoint.await_response(now, peer, token, timeout) {
                    self.exchanges.push_back(id);
                }
            }
            _ => {
                let message_id = u16::from(self.byte()?);
                let length = usize::from(self.byte()?);
                let datagram = self.take(length).to_vec();
                let lives = Duration::from_secs(100);
                self.endpoint
                    .restore_answer(now, peer, message_id, 0, datagram, lives);
            }
        }
        Some(())
    }

    fn ask(&mut self, peer: Peer, is_one_block: bool) -> Option<()> {
        let flags = self.byte()?;
        let length = usize::from(self.byte()?).saturating_mul(2);
        let mut request = Request::new(if flags & 1 == 0 {
            Code::GET
        } else {
            Code::FETCH
        });
        request.options.add_uri_path("/3/0");
        if flags & 2 != 0 {
            request.options.set_uint(number::OBSERVE, 0);
        }
        request.payload = vec![flags; length];
        let token = Token::new(&[flags >> 6]).unwrap_or_default();
        let mut outgoing = OutgoingRequest::new(request, token, Duration::from_secs(10));
        outgoing.confirmable = flags & 4 == 0;
        if flags & 8 != 0 {
            let next = u16::from(flags);
            let end = next.wrapping_add(2);
            outgoing.message_ids = Some(MessageIds { next, end });
        }
        if flags & 16 != 0 {
            outgoing.window = Some(Window {
                until: self
                    .now
                    .checked_add(Duration::from_secs(5))
                    .unwrap_or(self.now),
                length: Duration::from_secs(u64::from(flags & 3)),
            });
        }
        if flags & 32 != 0 {
            outgoing.start_block2 = Some((1, vec![0; length.min(64)], None));
        }
        if is_one_block {
            let exponent = Exponent::at_most(length);
            outgoing.block1 =
                Block::new(u32::from(flags >> 4), flags & 2 != 0, exponent).map(|block| {
                    OutgoingBlock {
                        block,
                        whole: Some(300),
                    }
                });
        }
        if let Ok(id) = self.endpoint.request(self.now, peer, outgoing) {
            self.exchanges.push_back(id);
        }
        Some(())
    }

    fn pass(&mut self, wait: Duration) {
        self.now = self.now.checked_add(wait).unwrap_or(self.now);
        self.endpoint.handle_timeout(self.now);
        let due = self.endpoint.next_timeout();
        assert!(due.is_none_or(|due| due > self.now), "nothing is overdue");
    }

    fn collect(&mut self) {
        while let Some(sent) = self.endpoint.poll_transmit() {
            self.keep(sent.datagram);
        }
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::Request { key, request } => {
                    assert!(request.payload.len() <= 300, "bodies are limited");
                    self.requests.push_back(key);
                }
                Event::Notification { key, .. } => self.notifications.push_back(key),
                Event::Response {
                    response,
                    acknowledge,
                    ..
                } => {
                    // One datagram of the driver may be as large as 255 bytes.
                    assert!(response.payload.len() <= 300, "bodies are limited");
                    self.notifications.extend(acknowledge);
                }
                Event::MessageIdsExhausted { exchange } => self.starved.push_back(exchange),
                _ => {}
            }
        }
        self.exchanges.truncate(8);
        self.starved.truncate(8);
    }

    fn keep(&mut self, datagram: Vec<u8>) {
        assert!(Message::decode(&datagram).is_ok(), "{datagram:02x?}");
        self.sent.push_back(datagram);
        if self.sent.len() > 16 {
            self.sent.pop_front();
        }
    }

    /// Nothing is left once every time has passed.
    fn finish(&mut self) {
        for _ in 0..64 {
            let Some(due) = self.endpoint.next_timeout() else {
                break;
            };
            self.now = due;
            self.endpoint.handle_timeout(due);
            self.collect();
            self.endpoint.assert_limits();
        }
        assert_eq!(self.endpoint.next_timeout(), None, "everything ends");
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.script.split_first()?;
        self.script = rest;
        Some(*first)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.script.split_at(length.min(self.script.len()));
        self.script = rest;
        taken
    }
}

fn answer(length: usize, fill: u16) -> Response {
    let [_, fill] = fill.to_be_bytes();
    Response {
        payload: vec![fill; length],
        ..Response::new(Code::CONTENT)
    }
}

fn peer(number: u8) -> Peer {
    Peer::udp(([192, 0, 2, number], 5683).into())
}
