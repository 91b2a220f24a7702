//! The books alone, and the message layer that keeps to them, in virtual time.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::coap::{
    Block, Code, Counters, Endpoint, EndpointConfig, Event, Exponent, Message, MessageType,
    OutgoingBlock, OutgoingRequest, Request, RequestError, Response, number,
};
use crate::config::Settings;
use crate::domain::Token;

fn settings() -> config::Admission {
    Settings::defaults().admission
}

fn books(settings: &config::Admission, now: Instant) -> Shared {
    let admission = Admission::new(settings, AdmissionCounters::default(), [3; 32], now);
    Shared(Rc::new(RefCell::new(admission)))
}

fn address(host: u8, port: u16) -> SocketAddr {
    ([192, 0, 2, host], port).into()
}

fn peer(host: u8) -> Peer {
    Peer::udp(address(host, 5683))
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_stranger_gets_three_bytes_for_each_of_its_own() {
    let now = Instant::now();
    let mut books = books(&settings(), now);
    books.received(now, peer(1), 20);
    assert_eq!(books.room(now, peer(1)), Some(60));
    assert!(books.take(now, peer(1), 40));
    assert!(!books.take(now, peer(1), 21));
    assert!(books.take(now, peer(1), 20));
    assert_eq!(books.room_to_ask(now, peer(1)), Some(0), "no grace");
    assert_eq!(books.room(now, peer(2)), Some(0), "nothing was heard of it");
}

#[test]
fn a_proof_lasts_an_hour_and_is_of_one_port() {
    let now = Instant::now();
    let mut books = books(&settings(), now);
    books.proven(now, peer(1));
    assert_eq!(books.room(now, peer(1)), None);
    assert!(books.take(now, peer(1), 100_000));
    assert_eq!(books.room(now, Peer::udp(address(1, 1))), Some(0));
    assert_eq!(books.room(now + seconds(3599), peer(1)), None);
    assert_eq!(books.room(now + seconds(3600), peer(1)), Some(0));
}

#[test]
fn a_device_that_was_silent_for_long_can_be_asked_once_an_hour() {
    let now = Instant::now();
    let mut books = books(&settings(), now);
    books.proven(now, peer(1));
    let later = now + seconds(5 * 3600);
    assert_eq!(books.room(later, peer(1)), Some(0), "not for answers");
    assert_eq!(books.room_to_ask(later, peer(1)), Some(136));
    assert!(books.take(later, peer(1), 100));
    assert_eq!(books.room_to_ask(later, peer(1)), Some(36));
    assert_eq!(books.room_to_ask(later + seconds(3599), peer(1)), Some(36));
    assert_eq!(books.room_to_ask(later + seconds(3600), peer(1)), Some(136));
}

#[test]
fn a_device_of_before_the_restart_can_be_asked_once() {
    let now = Instant::now();
    let mut books = books(&settings(), now);
    assert_eq!(books.room_to_ask(now, peer(1)), Some(136));
    assert!(books.take(now, peer(1), 136));
    let much_later = now + seconds(48 * 3600);
    assert_eq!(books.room_to_ask(much_later, peer(1)), Some(0));
    books.received(much_later, peer(1), 10);
    assert_eq!(books.room_to_ask(much_later, peer(1)), Some(30));
}

#[test]
fn dtls_peers_have_proven_themselves_by_their_handshake() {
    let now = Instant::now();
    let mut books = books(&settings(), now);
    let peer = Peer::dtls(address(1, 1), SessionId(7));
    assert_eq!(books.room(now, peer), None);
    assert!(books.take(now, peer, 100_000));
    assert_eq!(books.0.borrow().strangers.len(), 0);
}

/// Also at an address that was proven: a session of one's own could be sent on from that of somebody else.
#[test]
fn a_session_that_has_moved_is_limited_until_it_has_answered_from_there() {
    let now = Instant::now();
    let mut books = books(&settings(), now);
    let [home, away] = [1, 2].map(|host| Peer::dtls(address(host, 1), SessionId(7)));
    books.0.borrow_mut().heard(now, home, 100);
    assert_eq!(books.room(now, home), None);
    for there in [away, home] {
        books.0.borrow_mut().moved(there, 50, 30);
        assert_eq!(books.room(now, there), Some(120), "whole datagrams count");
        assert!(books.take(now, there, 120));
        assert_eq!(books.room(now, there), Some(0));
        books.0.borrow_mut().heard(now, there, 20);
        assert_eq!(books.room(now, there), Some(30));
        books.0.borrow_mut().answered(now, there);
        assert_eq!(books.room(now, there), None, "it has answered from there");
    }
}

#[test]
fn a_handshake_with_an_unproven_address_is_begun_where_its_first_datagram_is_paid_for() {
    let now = Instant::now();
    let mut settings = settings();
    settings.block = vec!["192.0.2.9".parse().expect("an address")];
    let books = books(&settings, now);
    let call = |host, hello| {
        let mut books = books.0.borrow_mut();
        books.room_to_call(now, address(host, 5684), hello)
    };
    assert_eq!(call(1, 137), Err(Unreachable::Unproven), "over the grace");
    assert_eq!(call(1, 136), Ok(Some(136)), "which is not spent by that");
    assert_eq!(
        call(1, 1),
        Err(Unreachable::Unproven),
        "all of it was given"
    );
    assert_eq!(call(9, 1), Err(Unreachable::Blocked));
    books.clone().proven(now, Peer::udp(address(2, 5684)));
    assert_eq!(call(2, 137), Ok(None));
}

#[test]
fn a_blocked_address_is_not_read_and_gets_nothing() {
    let mut settings = settings();
    settings.block = vec!["192.0.2.0/25".parse().expect("a network")];
    let now = Instant::now();
    let mut books = books(&settings, now);
    let admit = |address: SocketAddr| books.0.borrow_mut().admit(now, address, 10, true);
    assert_eq!(admit(address(1, 5683)), Err(Refused::Blocked));
    let mapped = "[::ffff:192.0.2.1]:5683".parse().expect("an address");
    assert_eq!(admit(mapped), Err(Refused::Blocked));
    assert_eq!(admit(address(200, 5683)), Ok(()));
    books.proven(now, peer(1));
    assert!(!books.take(now, peer(1), 1));
    assert_eq!(books.room_to_ask(now, peer(1)), Some(0));
    let counters = books.0.borrow().counters.clone();
    assert_eq!(counters.refused_blocked.get(), 2);
    assert_eq!(counters.refused_bytes.get(), 20);
    assert_eq!(counters.unsent_blocked.get(), 1);
}

#[test]
fn a_source_over_its_budget_is_dropped_and_others_are_not() {
    let mut settings = settings();
    settings.source_datagrams_per_s = 10;
    settings.source_burst_datagrams = 20;
    let now = Instant::now();
    let books = books(&settings, now);
    let through = |from: &dyn Fn(u16) -> SocketAddr, now| {
        (0..100_u16)
            .filter(|at| {
                books
                    .0
                    .borrow_mut()
                    .admit(now, from(*at), 10, false)
                    .is_ok()
            })
            .count()
    };
    assert_eq!(through(&|port| address(1, port + 1), now), 20, "any port");
    assert_eq!(through(&|port| address(2, port + 1), now), 20);
    assert_eq!(through(&|port| address(1, port + 1), now + seconds(1)), 10);
    let of_one_customer = |host: u16| {
        let ip = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, host, host, host, host);
        SocketAddr::from((ip, 5683))
    };
    assert_eq!(through(&of_one_customer, now), 20, "one /64");
    assert_eq!(
        books.0.borrow().counters.refused_source.get(),
        80 + 80 + 90 + 80
    );
}

#[test]
fn strangers_over_their_budget_leave_the_known_ones_alone() {
    let mut settings = settings();
    settings.unproven_datagrams_per_s = 50;
    let now = Instant::now();
    let mut books = books(&settings, now);
    books.proven(now, peer(1));
    let flood = (0..250_u8)
        .filter(|host| {
            let from = address(*host, 9);
            books.0.borrow_mut().admit_plain(now, from, 10).is_ok()
        })
        .count();
    assert_eq!(flood, 50);
    let admit = |address, known| books.0.borrow_mut().admit(now, address, 10, known);
    assert_eq!(admit(address(9, 9), false), Err(Refused::Total));
    assert_eq!(admit(address(9, 9), true), Ok(()), "a DTLS session");
    let known = books.0.borrow_mut().admit_plain(now, address(1, 5683), 10);
    assert_eq!(known, Ok(()));
}

#[test]
fn all_unproven_addresses_together_get_so_many_bytes_a_second() {
    let mut settings = settings();
    settings.unproven_bytes_per_s = 1000;
    let now = Instant::now();
    let mut books = books(&settings, now);
    let mut sent = 0;
    for host in 1..=200 {
        books.received(now, peer(host), 20);
        sent += u32::from(books.take(now, peer(host), 60)) * 60;
    }
    assert_eq!(sent, 960);
    assert_eq!(books.0.borrow().counters.unsent_total.get(), 200 - 16);
    books.proven(now, peer(200));
    assert!(books.take(now, peer(200), 5000));
}

#[test]
fn strangers_push_out_no_proof() {
    let mut settings = settings();
    settings.max_sources = 10;
    let now = Instant::now();
    let mut books = books(&settings, now);
    books.proven(now, peer(1));
    for port in 1..=1000 {
        books.received(now, Peer::udp(address(9, port)), 100);
    }
    assert_eq!(books.room(now, peer(1)), None);
    assert!(books.0.borrow().strangers.len() <= 10);
    let counters = books.0.borrow().counters.clone();
    assert_eq!(counters.proven.get(), 1);
    assert!(counters.unproven.get() <= 10);
}

#[test]
fn without_amplification_limit_everybody_gets_everything() {
    let mut settings = settings();
    settings.amplification = 0;
    let now = Instant::now();
    let mut books = books(&settings, now);
    books.received(now, peer(1), 1);
    assert_eq!(books.room(now, peer(1)), None);
    assert!(books.take(now, peer(1), 100_000));
    assert_eq!(books.0.borrow().strangers.len(), 0);
}

// ---------------------------------------------------------------------- with the message layer

/// A message layer that keeps to the books, and what went in and out.
struct Guarded {
    books: Shared,
    endpoint: Endpoint,
    counters: Counters,
    now: Instant,
    bytes_in: HashMap<Peer, usize>,
    bytes_out: HashMap<Peer, usize>,
}

impl Guarded {
    fn new() -> Self {
        Self::with(&settings())
    }

    fn with(settings: &config::Admission) -> Self {
        let now = Instant::now();
        let books = books(settings, now);
        let counters = Counters::default();
        let mut endpoint = Endpoint::new(EndpointConfig::default(), counters.clone(), 5);
        endpoint.limit(Box::new(books.clone()));
        Self {
            books,
            endpoint,
            counters,
            now,
            bytes_in: HashMap::new(),
            bytes_out: HashMap::new(),
        }
    }

    fn receive(&mut self, peer: Peer, message: &Message) -> usize {
        let datagram = message.encode();
        *self.bytes_in.entry(peer).or_default() += datagram.len();
        self.endpoint.handle_datagram(self.now, peer, &datagram);
        datagram.len()
    }

    fn sent(&mut self) -> Vec<Message> {
        let mut sent = Vec::new();
        while let Some(transmit) = self.endpoint.poll_transmit() {
            *self.bytes_out.entry(transmit.peer).or_default() += transmit.datagram.len();
            sent.push(Message::decode(&transmit.datagram).expect("a message"));
        }
        sent
    }

    fn answered_with(&mut self, response: &Response) -> Vec<Message> {
        while let Some(event) = self.endpoint.poll_event() {
            if let Event::Request { key, .. } = event {
                let stored = self.endpoint.encode_response(&key, response);
                self.endpoint.respond(self.now, &key, response.clone());
                let sent = self.sent();
                if let Some(sent) = sent.last() {
                    assert_eq!(sent.encode(), stored, "what is stored is what is sent");
                }
                return sent;
            }
        }
        Vec::new()
    }

    fn ask(&mut self, peer: Peer, body: usize) -> Result<(), RequestError> {
        let mut request = Request::new(if body == 0 { Code::GET } else { Code::PUT });
        request.options.add_uri_path("/1/0/1");
        request.payload = vec![b'x'; body];
        let token = Token::from([9, 8, 7, 6, 5, 4, 3, 2]);
        let outgoing = OutgoingRequest::new(request, token, seconds(93));
        self.endpoint.request(self.now, peer, outgoing).map(drop)
    }

    /// Time passes until nothing is due any more.
    fn run_out(&mut self) -> Vec<Message> {
        let mut sent = self.sent();
        while let Some(due) = self.endpoint.next_timeout() {
            self.now = self.now.max(due);
            self.endpoint.handle_timeout(self.now);
            sent.extend(self.sent());
        }
        sent
    }
}

fn get(message_id: u16, token: &[u8]) -> Message {
    let mut message = Message {
        code: Code::GET,
        token: Token::new(token).expect("a token"),
        ..Message::empty(MessageType::Confirmable, message_id)
    };
    message.options.add_uri_path("/");
    message
}

fn large() -> Response {
    Response {
        payload: vec![b'<'; 900],
        ..Response::new(Code::CONTENT)
    }
}

#[test]
fn a_large_answer_comes_in_small_blocks_until_the_address_is_proven() {
    let mut layer = Guarded::new();
    let mut request = get(1, b"12345678");
    request.options.add_uri_path("/.well-known/core");
    let length = layer.receive(peer(1), &request);
    let answer = layer.answered_with(&large()).remove(0);
    assert_eq!(answer.code, Code::CONTENT);
    let block = answer.options.uint(number::BLOCK2).expect("a block");
    assert_eq!(block & 7, 1, "32 bytes");
    assert!(answer.encode().len() <= 3 * length);
    assert_eq!(layer.counters.smaller_blocks.get(), 1);

    // The rest of it, block by block: each request pays for its answer.
    let mut body = answer.payload;
    for number in 1.. {
        let mut request = request.clone();
        request.message_id += number;
        request
            .options
            .add_uint(number::BLOCK2, (u32::from(number) << 4) | 1);
        layer.receive(peer(1), &request);
        let block = layer.sent().remove(0);
        body.extend_from_slice(&block.payload);
        if block.options.uint(number::BLOCK2).expect("a block") & 8 == 0 {
            break;
        }
    }
    assert_eq!(body, large().payload);
    assert!(layer.bytes_out[&peer(1)] <= 3 * layer.bytes_in[&peer(1)]);
}

#[test]
fn what_does_not_even_fit_in_a_block_of_16_is_asked_for_with_echo_and_then_whole() {
    let mut layer = Guarded::new();
    let mut request = get(1, b"12345678");
    layer.receive(peer(1), &request);
    let answer = layer.answered_with(&large()).remove(0);
    assert_eq!(answer.code, Code::UNAUTHORIZED);
    assert_eq!(answer.payload, b"");
    let echo = answer
        .options
        .first(number::ECHO)
        .expect("an Echo")
        .to_vec();
    assert_eq!(layer.counters.echo_asked.get(), 1);

    request.message_id = 2;
    request.options.add(number::ECHO, &echo);
    layer.receive(peer(1), &request);
    let answer = layer.answered_with(&large()).remove(0);
    assert_eq!((answer.code, answer.payload.len()), (Code::CONTENT, 900));
    assert_eq!(layer.books.room(layer.now, peer(1)), None, "proven");

    // The same value proves no other address.
    request.message_id = 3;
    layer.receive(peer(2), &request);
    let answer = layer.answered_with(&large()).remove(0);
    assert_eq!(
        answer.code,
        Code::UNAUTHORIZED,
        "it knows Echo: asked again"
    );
    assert_ne!(answer.options.first(number::ECHO), Some(echo.as_slice()));
}

#[test]
fn echo_is_added_to_small_answers_only_for_those_who_use_it() {
    let mut layer = Guarded::new();
    let mut request = get(1, b"12345678");
    layer.receive(peer(1), &request);
    let plain = layer.answered_with(&Response::new(Code::CONTENT)).remove(0);
    assert_eq!(plain.options.first(number::ECHO), None);
    request.message_id = 2;
    request.options.add(number::ECHO, b"an old one");
    layer.receive(peer(1), &request);
    let with_echo = layer.answered_with(&Response::new(Code::CONTENT)).remove(0);
    assert_eq!(with_echo.code, Code::CONTENT);
    assert!(with_echo.options.first(number::ECHO).is_some());
}

#[test]
fn an_error_loses_its_text_before_it_is_too_long() {
    let mut layer = Guarded::new();
    layer.receive(peer(1), &get(1, b""));
    let refusal = Response::refusal(Code::NOT_FOUND, "there is nothing of that name here");
    let answer = layer.answered_with(&refusal).remove(0);
    assert_eq!((answer.code, answer.payload.len()), (Code::NOT_FOUND, 0));
    assert_eq!(layer.counters.without_text.get(), 1);
}

#[test]
fn a_request_and_its_retransmissions_stay_within_what_the_device_has_paid() {
    let mut layer = Guarded::new();
    let length = layer.receive(peer(1), &get(1, b"12345678"));
    layer.answered_with(&Response::new(Code::CONTENT));
    assert_eq!(layer.ask(peer(1), 0), Ok(()));
    let sent = layer.run_out();
    assert!((1..5).contains(&sent.len()), "{} of 5", sent.len());
    assert!(layer.bytes_out[&peer(1)] <= 3 * length);
    assert!(matches!(
        layer.endpoint.poll_event(),
        Some(Event::Failed { .. })
    ));
    assert_eq!(layer.ask(peer(1), 0), Err(RequestError::Unproven));
    assert_eq!(layer.counters.not_asked.get(), 1);
}

#[test]
fn a_body_begins_in_small_blocks_and_begins_anew_in_large_ones_once_the_address_is_proven() {
    let mut layer = Guarded::new();
    let mut request = get(1, b"12345678");
    request.options.add(number::URI_QUERY, b"12345678");
    layer.receive(peer(1), &request);
    layer.answered_with(&Response::new(Code::CONTENT));
    assert_eq!(layer.ask(peer(1), 700), Ok(()));
    let first = layer.sent().remove(0);
    assert_eq!(first.payload.len(), 16);
    let mut confirmed = Message {
        code: Code::CONTINUE,
        token: first.token,
        ..Message::empty(MessageType::Acknowledgement, first.message_id)
    };
    let block1 = first.options.uint(number::BLOCK1).expect("a block");
    confirmed.options.add_uint(number::BLOCK1, block1);
    layer.receive(peer(1), &confirmed);
    let whole = layer.sent().remove(0);
    assert_eq!(whole.payload.len(), 700);
    assert_eq!(whole.options.first(number::BLOCK1), None);
    assert_eq!(layer.books.room(layer.now, peer(1)), None, "proven");
}

/// Whoever sends a body block by block has to know how far it came.
#[test]
fn a_block_that_goes_by_itself_is_not_cut() {
    let mut layer = Guarded::new();
    let mut request = get(1, b"12345678");
    request.options.add(number::URI_QUERY, b"12345678");
    layer.receive(peer(1), &request);
    layer.answered_with(&Response::new(Code::CONTENT));
    for (size, outcome) in [(64, Err(RequestError::Unproven)), (16, Ok(()))] {
        let mut request = Request::new(Code::PUT);
        request.options.add_uri_path("/5/0/0");
        request.payload = vec![b'x'; size];
        let block = Block::first(Exponent::at_most(size));
        let token = Token::from([9, 8, 7, 6, 5, 4, 3, 2]);
        let mut outgoing = OutgoingRequest::new(request, token, seconds(93));
        outgoing.block1 = Some(OutgoingBlock { block, whole: None });
        let asked = layer.endpoint.request(layer.now, peer(1), outgoing);
        assert_eq!(asked.map(drop), outcome, "{size} bytes");
    }
    assert_eq!(layer.sent().remove(0).payload.len(), 16);
}

#[test]
fn a_short_token_and_a_bare_acknowledgement_prove_nothing() {
    let mut layer = Guarded::new();
    assert_eq!(layer.ask(peer(1), 0), Ok(()));
    let request = layer.sent().remove(0);
    let ack = Message::empty(MessageType::Acknowledgement, request.message_id);
    layer.receive(peer(1), &ack);
    assert!(layer.books.room(layer.now, peer(1)).is_some());
    let mut answer = Message {
        code: Code::CONTENT,
        token: Token::from([9, 8, 7, 6, 5, 4, 3, 1]),
        ..Message::empty(MessageType::NonConfirmable, 77)
    };
    layer.receive(peer(1), &answer);
    assert!(
        layer.books.room(layer.now, peer(1)).is_some(),
        "a wrong one"
    );
    answer.token = request.token;
    answer.message_id = 78;
    layer.receive(peer(1), &answer);
    assert_eq!(layer.books.room(layer.now, peer(1)), None);
}

/// What may happen, in the model of a whole server.
#[derive(Clone, Debug)]
enum Step {
    /// A request comes in, of so many bytes more than it needs, confirmable or not.
    Request {
        host: u8,
        more: usize,
        con: bool,
        token: usize,
    },
    /// The last datagram of this host comes again.
    Copy {
        host: u8,
    },
    /// Rubbish.
    Noise {
        host: u8,
        bytes: Vec<u8>,
    },
    /// It is answered, with so large a body.
    Answer {
        body: usize,
    },
    /// We ask.
    Ask {
        host: u8,
        body: usize,
    },
    Wait {
        seconds: u64,
    },
    /// The host answers our newest request: proven, and out of the sum.
    Prove {
        host: u8,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let host = 1..=3_u8;
    prop_oneof![
        4 => (host.clone(), 0..60_usize, any::<bool>(), 0..=8_usize)
            .prop_map(|(host, more, con, token)| Step::Request { host, more, con, token }),
        1 => host.clone().prop_map(|host| Step::Copy { host }),
        1 => (host.clone(), prop::collection::vec(any::<u8>(), 0..30))
            .prop_map(|(host, bytes)| Step::Noise { host, bytes }),
        4 => (0..3000_usize).prop_map(|body| Step::Answer { body }),
        3 => (host.clone(), 0..2000_usize).prop_map(|(host, body)| Step::Ask { host, body }),
        3 => (0..4000_u64).prop_map(|seconds| Step::Wait { seconds }),
        1 => host.prop_map(|host| Step::Prove { host }),
    ]
}

proptest! {
    /// Whatever comes, is answered and is asked: an address that has proven nothing gets at most three
    /// times what came from there, and the grace once; one whose proof is over, the grace once an hour.
    #[test]
    fn nobody_unproven_gets_more_than_three_times_its_bytes(steps in prop::collection::vec(step(), 1..120)) {
        let mut layer = Guarded::new();
        let mut waiting = Vec::new();
        let mut last: HashMap<u8, Vec<u8>> = HashMap::new();
        let mut message_id = 0_u16;
        let mut ever_proven = [false; 4];
        let mut asked_first = [false; 4];
        for step in steps {
            match step {
                Step::Request { host, more, con, token } => {
                    message_id += 1;
                    let mut message = get(message_id, &[7; 8][..token]);
                    if !con {
                        message.kind = MessageType::NonConfirmable;
                    }
                    message.options.add(number::URI_QUERY, &vec![b'q'; more]);
                    layer.receive(peer(host), &message);
                    last.insert(host, message.encode());
                }
                Step::Copy { host } => {
                    if let Some(datagram) = last.get(&host) {
                        *layer.bytes_in.entry(peer(host)).or_default() += datagram.len();
                        layer.endpoint.handle_datagram(layer.now, peer(host), datagram);
                    }
                }
                Step::Noise { host, bytes } => {
                    *layer.bytes_in.entry(peer(host)).or_default() += bytes.len();
                    layer.endpoint.handle_datagram(layer.now, peer(host), &bytes);
                }
                Step::Answer { body } => {
                    if let Some(key) = waiting.pop() {
                        let response = Response { payload: vec![1; body], ..large() };
                        layer.endpoint.respond(layer.now, &key, response);
                    }
                }
                Step::Ask { host, body } => {
                    asked_first[usize::from(host)] |= !layer.bytes_in.contains_key(&peer(host));
                    let _ = layer.ask(peer(host), body);
                }
                Step::Wait { seconds: passed } => {
                    let end = layer.now + seconds(passed);
                    while let Some(due) = layer.endpoint.next_timeout().filter(|due| *due <= end) {
                        layer.now = layer.now.max(due);
                        layer.endpoint.handle_timeout(layer.now);
                    }
                    layer.now = end;
                }
                Step::Prove { host } => {
                    layer.books.proven(layer.now, peer(host));
                    ever_proven[usize::from(host)] = true;
                }
            }
            layer.sent();
            while let Some(event) = layer.endpoint.poll_event() {
                if let Event::Request { key, .. } = event {
                    waiting.push(key);
                }
            }
            for host in 1..=3 {
                let at = usize::from(host);
                if !ever_proven[at] {
                    let paid = layer.bytes_in.get(&peer(host)).map_or(0, |bytes| bytes * 3);
                    let grace = if asked_first[at] { 136 } else { 0 };
                    let got = layer.bytes_out.get(&peer(host)).copied().unwrap_or(0);
                    prop_assert!(got <= paid + grace, "{got} of {paid} + {grace}");
                }
            }
        }
    }

    /// The books themselves, with tables so small that they forget all the time: what an address got
    /// in the hour after a proof is over is paid for, but for one grace.
    #[test]
    fn forgetting_gives_nothing_away(
        steps in prop::collection::vec((1..=20_u8, 0..4_u8, 0..200_usize), 1..400)
    ) {
        let mut settings = settings();
        settings.max_sources = 6;
        let now = Instant::now();
        let mut books = books(&settings, now);
        let mut balance: HashMap<u8, usize> = HashMap::new();
        for (host, what, bytes) in steps {
            let balance = balance.entry(host).or_default();
            if what < 2 {
                books.received(now, peer(host), bytes);
                *balance += 3 * bytes;
            } else if books.take(now, peer(host), bytes) {
                prop_assert!(bytes <= *balance);
                *balance -= bytes;
            }
            prop_assert!(books.0.borrow().strangers.len() <= 6);
            prop_assert_eq!(books.0.borrow().proven.len(), 0);
        }
    }
}
