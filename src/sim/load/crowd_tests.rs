//! The clients of a load, in virtual time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::crowd::{Crowd, MOST_OF_A_SOCKET, Request};
use super::{LoadSettings, Mode};
use crate::coap::{Code, Message, MessageType, Options, number};
use crate::domain::Token;

fn settings(mode: Mode, clients: u32, sockets: u32) -> LoadSettings {
    LoadSettings {
        server: SocketAddr::from(([127, 0, 0, 1], 5683)),
        clients,
        mode,
        duration: Duration::from_secs(1),
        rate: None,
        window: 10,
        sockets,
        records: 2,
        observations: 0,
        prefix: "load-".to_owned(),
        lifetime: Duration::from_secs(60),
        stay: false,
        ceiling: Duration::ZERO,
        security: None,
    }
}

/// What goes out, with its socket.
fn sent(crowd: &mut Crowd) -> Vec<(u32, Message)> {
    let outgoing = crowd.take_outgoing().into_iter();
    outgoing
        .map(|(socket, datagram)| (socket, Message::decode(&datagram).expect("a message")))
        .collect()
}

fn answer(request: &Message, code: Code) -> Message {
    Message {
        kind: MessageType::Acknowledgement,
        code,
        message_id: request.message_id,
        token: request.token,
        options: Options::new(),
        payload: Vec::new(),
    }
}

#[test]
fn a_request_is_sent_again_ever_later_and_given_up_in_the_end() {
    let mut crowd = Crowd::new(settings(Mode::Update, 1, 1), 7);
    let begun = Instant::now();
    crowd.begin();
    crowd.ask(begun, begun, Request::Update);
    let first = sent(&mut crowd);
    let mut waits = Vec::new();
    while let Some(at) = crowd.next_timeout() {
        waits.push((at - begun).as_millis());
        crowd.handle_timeout(at);
        let again = sent(&mut crowd);
        assert!(again.is_empty() || again == first, "the same bytes");
    }
    assert_eq!(waits, [2_500, 7_500, 17_500, 37_500, 77_500]);
    assert_eq!(crowd.tally.retransmissions, 4);
    assert_eq!((crowd.tally.errors, crowd.tally.acknowledged), (1, 0));
    assert_eq!((crowd.under_way(), crowd.idle()), (0, 1));
}

#[test]
fn a_latency_counts_from_when_a_request_was_due_and_a_copy_of_an_answer_counts_once() {
    let mut crowd = Crowd::new(settings(Mode::Update, 1, 1), 7);
    let due = Instant::now();
    let later = due + Duration::from_millis(40);
    crowd.begin();
    crowd.ask(later, due, Request::Update);
    let [(socket, request)] = &sent(&mut crowd)[..] else {
        panic!("one request");
    };
    let datagram = answer(request, Code::CHANGED).encode();
    let now = later + Duration::from_millis(10);
    crowd.handle_datagram(now, *socket, &datagram);
    crowd.handle_datagram(now, *socket, &datagram);
    assert_eq!(crowd.tally.acknowledged, 1);
    assert!((crowd.tally.latencies().max - 50.0).abs() < 0.1);
    assert!(crowd.can_ask(), "its turn comes again");
}

/// The server drops what is beyond its memory of a peer, and the figure would be that of the second try.
#[test]
fn no_socket_has_more_under_way_than_a_server_remembers_of_a_peer() {
    let mut settings = settings(Mode::Update, 50, 2);
    settings.window = 1000;
    let mut crowd = Crowd::new(settings, 7);
    let now = Instant::now();
    crowd.begin();
    while crowd.can_ask() {
        crowd.ask(now, now, Request::Update);
    }
    let first = sent(&mut crowd);
    for socket in 0..2 {
        let of = first.iter().filter(|(of, _)| *of == socket);
        assert_eq!(of.count(), MOST_OF_A_SOCKET);
    }
    let token = |request: &Message| request.token;
    let mut asked: Vec<_> = first.iter().map(|(_, it)| token(it)).collect();
    // Each answer makes room for one, and those that were held come before those that were answered.
    let mut answered = first;
    for _ in 0..50 - 2 * MOST_OF_A_SOCKET {
        let (socket, request) = answered.pop().expect("a request");
        crowd.handle_datagram(now, socket, &answer(&request, Code::CHANGED).encode());
        assert!(crowd.can_ask());
        crowd.ask(now, now, Request::Update);
        assert!(!crowd.can_ask(), "its socket has enough again");
        let [(_, next)] = &sent(&mut crowd)[..] else {
            panic!("one request");
        };
        asked.push(token(next));
    }
    asked.sort_by_key(|token| token.as_bytes().to_vec());
    asked.dedup();
    assert_eq!(asked.len(), 50, "each client had its turn");
    // What is over gives back nobody who was held.
    crowd.end();
    let (socket, request) = answered.pop().expect("a request");
    crowd.handle_datagram(now, socket, &answer(&request, Code::CHANGED).encode());
    assert_eq!(crowd.idle(), 1);
}

#[test]
fn clients_of_one_socket_notify_with_the_tokens_that_came_there() {
    let mut crowd = Crowd::new(settings(Mode::Notify, 2, 1), 7);
    let now = Instant::now();
    crowd.begin();
    for _ in 0..2 {
        crowd.ask(now, now, Request::Register);
    }
    let registers = sent(&mut crowd);
    for (socket, register) in &registers {
        let mut created = answer(register, Code::CREATED);
        created.options.add(number::LOCATION_PATH, b"rd");
        crowd.handle_datagram(now, *socket, &created.encode());
    }
    assert_eq!((crowd.unobserved(), crowd.under_way()), (2, 0));
    for token in [1, 2] {
        let mut observe = Message {
            kind: MessageType::Confirmable,
            code: Code::GET,
            message_id: token.into(),
            token: Token::from([token; 8]),
            options: Options::new(),
            payload: Vec::new(),
        };
        observe.options.add_uint(number::OBSERVE, 0);
        observe.options.add_uri_path("/3303/0/5700");
        // A copy is answered again and observes nothing more.
        for _ in 0..2 {
            crowd.handle_datagram(now, 0, &observe.encode());
            let [(_, content)] = &sent(&mut crowd)[..] else {
                panic!("one answer");
            };
            assert_eq!(content.code, Code::CONTENT);
            assert_eq!(content.options.observe(), Some(0));
            assert!(!content.payload.is_empty());
        }
    }
    assert_eq!((crowd.unobserved(), crowd.observations), (0, 2));
    crowd.begin();
    while crowd.can_ask() {
        crowd.ask(now, now, Request::Notify);
    }
    let notifications = sent(&mut crowd);
    let mut tokens: Vec<_> = notifications.iter().map(|(_, it)| it.token).collect();
    tokens.sort_by_key(|token| token.as_bytes().to_vec());
    assert_eq!(tokens, [Token::from([1; 8]), Token::from([2; 8])]);
    // A Reset ends an observation, and is no success.
    let (socket, refused) = &notifications[0];
    let reset = Message::empty(MessageType::Reset, refused.message_id);
    crowd.handle_datagram(now, *socket, &reset.encode());
    let (socket, taken) = &notifications[1];
    let acknowledged = Message::empty(MessageType::Acknowledgement, taken.message_id);
    crowd.handle_datagram(now, *socket, &acknowledged.encode());
    assert_eq!((crowd.tally.errors, crowd.tally.acknowledged), (1, 1));
    while crowd.idle() > 0 && crowd.under_way() == 0 {
        crowd.ask(now, now, Request::Notify);
    }
    let again = sent(&mut crowd);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].1.token, taken.token);
    assert_eq!(crowd.idle(), 0, "nothing is left to notify for the other");
}

#[test]
fn clients_that_leave_do_so_once_however_late_their_observations_come() {
    let mut settings = settings(Mode::Register, 2, 1);
    settings.observations = 1;
    let mut crowd = Crowd::new(settings, 7);
    let now = Instant::now();
    let observe = |message_id: u16| Message {
        kind: MessageType::Confirmable,
        code: Code::GET,
        message_id,
        token: Token::from([message_id as u8; 8]),
        options: {
            let mut options = Options::new();
            options.add_uint(number::OBSERVE, 0);
            for segment in ["3303", "0", "5700"] {
                options.add(number::URI_PATH, segment.as_bytes());
            }
            options
        },
        payload: Vec::new(),
    };
    let asks = |crowd: &mut Crowd, what: Request| {
        crowd.ask(now, now, what);
        let [(socket, request)] = &sent(crowd)[..] else {
            panic!("one request");
        };
        (*socket, request.clone())
    };
    crowd.begin();
    for _ in 0..2 {
        let (socket, request) = asks(&mut crowd, Request::Register);
        crowd.handle_datagram(now, socket, &answer(&request, Code::CREATED).encode());
    }
    crowd.end();
    crowd.begin();
    let (socket, first) = asks(&mut crowd, Request::Deregister);
    crowd.handle_datagram(now, socket, &answer(&first, Code::DELETED).encode());
    crowd.handle_datagram(now, socket, &observe(1).encode());
    crowd.handle_datagram(now, socket, &observe(2).encode());
    assert_eq!(sent(&mut crowd).len(), 2, "both are answered");
    assert_eq!(crowd.idle(), 1, "the one that has not left");
    let (socket, second) = asks(&mut crowd, Request::Deregister);
    crowd.handle_datagram(now, socket, &answer(&second, Code::DELETED).encode());
    assert_eq!((crowd.idle(), crowd.under_way()), (0, 0));
}
