//! What a session that moves at will, from addresses that are not its own, makes the books believe.

use super::*;
use crate::coap::{
    Code, Counters, Endpoint, EndpointConfig, Event, Message, MessageType, Options,
    OutgoingRequest, Request, Response, number,
};
use crate::config::Settings;
use crate::domain::Token;

/// A session of somebody who has its keys and sees what comes to one address; what goes to that of the
/// victim it never sees.
struct Traveller {
    books: Shared,
    endpoint: Endpoint,
    now: Instant,
    at: Peer,
    message_id: u16,
}

impl Traveller {
    fn new() -> Self {
        let now = Instant::now();
        let settings = Settings::defaults().admission;
        let books = Admission::new(&settings, AdmissionCounters::default(), [3; 32], now);
        let books = Shared(Rc::new(RefCell::new(books)));
        let mut endpoint = Endpoint::new(EndpointConfig::default(), Counters::default(), 5);
        endpoint.limit(Box::new(books.clone()));
        Self {
            books,
            endpoint,
            now,
            at: HOME.into_peer(),
            message_id: 0,
        }
    }

    fn goes_to(&mut self, place: Place) {
        self.at = place.into_peer();
        self.books.0.borrow_mut().moved(self.at, 1_000, 30);
    }

    fn says(&mut self, message: &Message) {
        let datagram = message.encode();
        self.endpoint.handle_datagram(self.now, self.at, &datagram);
    }

    fn answers(&mut self, token: Token, block: u32) {
        self.message_id += 1;
        let mut options = Options::new();
        // 16 bytes each, and more of them.
        options.add_uint(number::BLOCK2, block << 4 | 0b1000);
        self.says(&Message {
            kind: MessageType::NonConfirmable,
            code: Code::CONTENT,
            message_id: self.message_id,
            token,
            options,
            payload: vec![b'x'; 16],
        });
    }

    /// Asks it for something: the token.
    fn is_asked(&mut self) -> Token {
        let mut request = Request::new(Code::GET);
        request.options.add_uri_path("/3/0");
        let token = Token::from([9, 8, 7, 6, 5, 4, 3, 2]);
        let outgoing = OutgoingRequest::new(request, token, Duration::from_secs(93));
        let begun = self.endpoint.request(self.now, self.at, outgoing);
        begun.expect("begun");
        assert_eq!(self.sent(), 1);
        token
    }

    fn sent(&mut self) -> usize {
        std::iter::from_fn(|| self.endpoint.poll_transmit()).count()
    }

    fn is_limited(&mut self) -> bool {
        self.books.room(self.now, self.at).is_some()
    }
}

#[test]
fn a_token_that_went_elsewhere_before_proves_nothing_with_a_later_block() {
    let mut traveller = Traveller::new();
    let token = traveller.is_asked();
    traveller.goes_to(VICTIM);
    for block in 0..4 {
        traveller.answers(token, block);
        assert_eq!(traveller.sent(), 1, "the next block is asked for");
        assert!(traveller.is_limited(), "block {block}");
    }
}

#[test]
fn a_token_that_was_sent_again_elsewhere_proves_nothing() {
    let mut traveller = Traveller::new();
    traveller.goes_to(VICTIM);
    let token = traveller.is_asked();
    // The same request comes to where it can be read.
    traveller.goes_to(HOME);
    traveller.now += Duration::from_secs(5);
    traveller.endpoint.handle_timeout(traveller.now);
    assert_eq!(traveller.sent(), 1);
    traveller.goes_to(VICTIM);
    traveller.answers(token, 0);
    assert!(traveller.is_limited());
}

#[test]
fn a_token_of_before_the_restart_proves_nothing() {
    let mut traveller = Traveller::new();
    traveller.goes_to(VICTIM);
    let token = Token::from([9, 8, 7, 6, 5, 4, 3, 2]);
    let (now, peer) = (traveller.now, traveller.at);
    let timeout = Duration::from_secs(93);
    let awaited = traveller.endpoint.await_response(now, peer, token, timeout);
    awaited.expect("begun");
    traveller.answers(token, 0);
    assert!(traveller.is_limited());
}

#[test]
fn who_stays_where_it_was_asked_has_proven_it() {
    let mut traveller = Traveller::new();
    traveller.goes_to(VICTIM);
    let token = traveller.is_asked();
    traveller.now += Duration::from_secs(5);
    traveller.endpoint.handle_timeout(traveller.now);
    assert_eq!(traveller.sent(), 1, "sent again");
    traveller.answers(token, 0);
    assert!(!traveller.is_limited());
}

/// An answer takes a moment; meanwhile the session can be where it can read it.
#[test]
fn an_echo_proves_nothing_once_the_session_was_elsewhere() {
    let mut traveller = Traveller::new();
    traveller.goes_to(VICTIM);
    let mut ask = Message {
        kind: MessageType::Confirmable,
        code: Code::GET,
        message_id: 7,
        token: Token::from([1; 8]),
        options: Options::new(),
        payload: Vec::new(),
    };
    ask.options.add_uri_path("/3");
    ask.options.add(number::ECHO, b"knows it");
    traveller.says(&ask);
    let key =
        std::iter::from_fn(|| traveller.endpoint.poll_event()).find_map(|event| match event {
            Event::Request { key, .. } => Some(key),
            _ => None,
        });
    let key = key.expect("a request");
    traveller.goes_to(HOME);
    let response = Response::new(Code::CONTENT);
    traveller.endpoint.respond(traveller.now, &key, response);
    let answer = traveller.endpoint.poll_transmit().expect("an answer");
    let answer = Message::decode(&answer.datagram).expect("a message");
    let echo = answer.options.first(number::ECHO).expect("an Echo");

    traveller.goes_to(VICTIM);
    ask.message_id += 1;
    ask.options.set(number::ECHO, echo);
    traveller.says(&ask);
    assert!(traveller.is_limited());
}

#[derive(Clone, Copy)]
struct Place(u8);

impl Place {
    fn into_peer(self) -> Peer {
        Peer::dtls(([192, 0, 2, self.0], 5684).into(), SessionId(7))
    }
}

const HOME: Place = Place(1);
const VICTIM: Place = Place(2);
