//! The message layer in virtual time: one endpoint against bytes written by hand ([`Solo`]), and
//! two endpoints over a bad network ([`pair::Pair`]).

mod answering;
mod asking;
mod blocks_singly;
mod blockwise;
mod corpus;
mod disconnecting;
mod excerpts;
mod limits;
mod messages;
mod network;
mod notifications;
mod one_block_each;
mod pair;

use std::time::{Duration, Instant};

use crate::domain::{Peer, Token};

use super::*;

/// One endpoint; the test is its peer.
struct Solo {
    endpoint: Endpoint,
    counters: Counters,
    now: Instant,
}

impl Solo {
    fn new() -> Self {
        Self::with(EndpointConfig::default())
    }

    fn with(config: EndpointConfig) -> Self {
        let counters = Counters::default();
        Self {
            endpoint: Endpoint::new(config, counters.clone(), 7),
            counters,
            now: Instant::now(),
        }
    }

    /// A datagram of [`device`] comes in.
    fn receive(&mut self, datagram: &[u8]) {
        self.receive_from(device(), datagram);
    }

    fn receive_from(&mut self, peer: Peer, datagram: &[u8]) {
        self.endpoint.handle_datagram(self.now, peer, datagram);
        self.endpoint.assert_limits();
    }

    fn receive_message(&mut self, message: &Message) {
        self.receive(&message.encode());
    }

    /// Everything that was sent since the last call, read again.
    fn sent(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            messages.push(Message::decode(&transmit.datagram).expect("we write valid messages"));
        }
        messages
    }

    fn sent_one(&mut self) -> Message {
        let mut sent = self.sent();
        assert_eq!(sent.len(), 1, "one message: {sent:?}");
        sent.remove(0)
    }

    fn sent_bytes(&mut self) -> Vec<u8> {
        let transmit = self.endpoint.poll_transmit().expect("a datagram");
        assert_eq!(self.endpoint.poll_transmit(), None);
        transmit.datagram
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.endpoint.poll_event()).collect()
    }

    fn event(&mut self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "one event: {events:?}");
        events.remove(0)
    }

    fn request_event(&mut self) -> (RequestKey, Request) {
        match self.event() {
            Event::Request { key, request } => (key, request),
            other => panic!("a request: {other:?}"),
        }
    }

    fn notification_event(&mut self) -> (NotificationKey, Response, Option<FirstBlock>) {
        match self.event() {
            Event::Notification {
                key,
                response,
                more,
            } => (key, response, more),
            other => panic!("a notification: {other:?}"),
        }
    }

    fn response_event(&mut self) -> (Response, Option<NotificationKey>) {
        match self.event() {
            Event::Response {
                response,
                acknowledge,
                ..
            } => (response, acknowledge),
            other => panic!("a response: {other:?}"),
        }
    }

    fn failure(&mut self) -> ExchangeFailure {
        match self.event() {
            Event::Failed { failure, .. } => failure,
            other => panic!("a failure: {other:?}"),
        }
    }

    fn respond(&mut self, key: &RequestKey, response: Response) {
        self.endpoint.respond(self.now, key, response);
        self.endpoint.assert_limits();
    }

    fn ask(&mut self, outgoing: OutgoingRequest) -> ExchangeId {
        self.endpoint
            .request(self.now, device(), outgoing)
            .expect("begun")
    }

    /// Time passes, and everything that is due in it happens at its moment.
    fn pass(&mut self, wait: Duration) {
        let end = self.now + wait;
        while let Some(due) = self.endpoint.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            self.endpoint.assert_limits();
        }
        self.now = end;
        self.endpoint.handle_timeout(self.now);
    }
}

fn device() -> Peer {
    Peer::udp(([192, 0, 2, 1], 56_830).into())
}

fn other_device() -> Peer {
    Peer::udp(([192, 0, 2, 2], 56_830).into())
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn token(bytes: &[u8]) -> Token {
    Token::new(bytes).expect("at most eight bytes")
}

fn hex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    hex::decode(digits).expect("hexadecimal digits")
}

fn message(kind: MessageType, code: Code, message_id: u16, token: Token) -> Message {
    Message {
        code,
        token,
        ..Message::empty(kind, message_id)
    }
}

/// A confirmable request with a path.
fn con(code: Code, message_id: u16, path: &str) -> Message {
    let mut message = message(MessageType::Confirmable, code, message_id, token(b"t"));
    message.options.add_uri_path(path);
    message
}

fn get(path: &str) -> Request {
    let mut request = Request::new(Code::GET);
    request.options.add_uri_path(path);
    request
}

fn outgoing(request: Request) -> OutgoingRequest {
    OutgoingRequest::new(request, token(b"12345678"), seconds(93))
}

/// The piggybacked answer to a message of ours.
fn piggybacked(to: &Message, code: Code, payload: &[u8]) -> Message {
    let mut answer = message(MessageType::Acknowledgement, code, to.message_id, to.token);
    answer.payload = payload.to_vec();
    answer
}

fn content(payload: &[u8]) -> Response {
    Response {
        payload: payload.to_vec(),
        ..Response::new(Code::CONTENT)
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index.wrapping_mul(31) >> 3) as u8)
        .collect()
}

fn block_of(message: &Message, number: u16) -> Option<(u32, bool, usize)> {
    let block = Block::of(&message.options, number).expect("a valid block")?;
    Some((block.number(), block.more, block.exponent.size()))
}

fn with_block(mut message: Message, number: u16, block: (u32, bool, usize)) -> Message {
    Block::new(block.0, block.1, Exponent::at_most(block.2))
        .expect("a number")
        .set(&mut message.options, number);
    message
}
