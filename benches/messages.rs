//! What the message layer costs: a datagram in, what it means out, and back.
//!
//! `cargo bench --bench messages`. For changes, not for tables: criterion compares with the run before. The
//! peers are many, as those of a server are, and each message is one second after the last one of its peer, so
//! that what is remembered of messages is full, and goes again.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use flownexus::coap::{
    Block, Code, Counters, Endpoint, EndpointConfig, Event, Exponent, Message, MessageType, Peer,
    Response, number,
};

criterion_group!(messages, notification, request, duplicate, blockwise);
criterion_main!(messages);

/// A confirmable notification comes in and is acknowledged.
fn notification(criterion: &mut Criterion) {
    let mut server = Server::new();
    let mut message = message(Code::CONTENT);
    message.options.add_uint(number::OBSERVE, 1234);
    message.options.add_uint(number::CONTENT_FORMAT, 112);
    message.payload = vec![0xa1; 24];
    criterion.bench_function("messages/notification and ACK", |bencher| {
        bencher.iter(|| {
            server.receive(&mut message);
            match server.endpoint.poll_event() {
                Some(Event::Notification { key, .. }) => {
                    server.endpoint.acknowledge(server.now, &key);
                }
                other => panic!("{other:?}"),
            }
            server.sent()
        });
    });
}

/// A confirmable request comes in and is answered with the acknowledgement.
fn request(criterion: &mut Criterion) {
    let mut server = Server::new();
    let mut message = message(Code::POST);
    message.options.add_uri_path("/rd/abcdefghijklmnopqrstuv");
    criterion.bench_function("messages/request and answer", |bencher| {
        bencher.iter(|| {
            server.receive(&mut message);
            server.answer(Response::new(Code::CHANGED));
            server.sent()
        });
    });
}

/// A copy of a request gets the answer that was given.
fn duplicate(criterion: &mut Criterion) {
    let mut server = Server::new();
    let mut message = message(Code::POST);
    message.options.add_uri_path("/rd/abcdefghijklmnopqrstuv");
    server.receive(&mut message);
    server.answer(Response::new(Code::CHANGED));
    server.sent();
    let (copy, peer) = (message.encode(), server.peer());
    criterion.bench_function("messages/copy and answer", |bencher| {
        bencher.iter(|| {
            server
                .endpoint
                .handle_datagram(server.now, peer, black_box(&copy));
            server.sent()
        });
    });
}

/// A body of 4 KiB comes in, in four blocks.
fn blockwise(criterion: &mut Criterion) {
    let mut server = Server::new();
    let mut message = message(Code::POST);
    message.options.add_uri_path("/rd");
    message.payload = vec![0x2c; 1024];
    criterion.bench_function("messages/request in four blocks", |bencher| {
        bencher.iter(|| {
            server.next_peer();
            for offset in [0, 1024, 2048, 3072] {
                let block = Block::at(offset, offset < 3072, Exponent::MAX).expect("a block");
                block.set(&mut message.options, number::BLOCK1);
                server.receive_from_same(&mut message);
                if offset < 3072 {
                    server.sent();
                }
            }
            server.answer(Response::new(Code::CREATED));
            server.sent()
        });
    });
}

struct Server {
    endpoint: Endpoint,
    now: Instant,
    turn: u16,
    message_id: u16,
}

impl Server {
    fn new() -> Self {
        Self {
            endpoint: Endpoint::new(EndpointConfig::default(), Counters::default(), 1),
            now: Instant::now(),
            turn: 0,
            message_id: 0,
        }
    }

    fn peer(&self) -> Peer {
        Peer::udp(([192, 0, 2, 1], 1024 + self.turn).into())
    }

    fn next_peer(&mut self) {
        self.turn = (self.turn + 1) % PEERS;
        self.now += Duration::from_secs(1) / u32::from(PEERS);
    }

    fn receive(&mut self, message: &mut Message) {
        self.next_peer();
        self.receive_from_same(message);
    }

    fn receive_from_same(&mut self, message: &mut Message) {
        self.message_id = self.message_id.wrapping_add(1);
        message.message_id = self.message_id;
        let datagram = message.encode();
        let peer = self.peer();
        self.endpoint
            .handle_datagram(self.now, peer, black_box(&datagram));
        self.endpoint.handle_timeout(self.now);
    }

    fn answer(&mut self, response: Response) {
        match self.endpoint.poll_event() {
            Some(Event::Request { key, .. }) => self.endpoint.respond(self.now, &key, response),
            other => panic!("{other:?}"),
        }
    }

    fn sent(&mut self) -> Vec<u8> {
        let sent = self.endpoint.poll_transmit().expect("something is sent");
        sent.datagram
    }
}

fn message(code: Code) -> Message {
    let mut message = Message::empty(MessageType::Confirmable, 0);
    message.code = code;
    message.token = [1, 2, 3, 4, 5, 6, 7, 8].into();
    message
}

const PEERS: u16 = 10_000;
