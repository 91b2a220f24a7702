//! What reading and writing bytes costs: CoAP, the payload formats, the links of a registration.
//!
//! `cargo bench --bench codecs`. For changes, not for tables: criterion compares with the run before.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use flownexus::coap::{Code, Message, MessageType, number};
use flownexus::domain::{AnnouncedObject, ContentFormat, Node, Path, Timestamp, Value};
use flownexus::lwm2m::{ModelView, Models, codec, link_format};

criterion_group!(codecs, coap, payloads, links);
criterion_main!(codecs);

fn coap(criterion: &mut Criterion) {
    for (name, message) in [("notification", notification()), ("update", update())] {
        let datagram = message.encode();
        criterion.bench_function(&format!("coap/decode {name}"), |bencher| {
            bencher.iter(|| Message::decode(black_box(&datagram)));
        });
        criterion.bench_function(&format!("coap/encode {name}"), |bencher| {
            bencher.iter(|| black_box(&message).encode());
        });
    }
    let mut answer = Message::empty(MessageType::Acknowledgement, 7);
    answer.code = Code::CHANGED;
    answer.token = TOKEN.into();
    criterion.bench_function("coap/encode answer", |bencher| {
        bencher.iter(|| black_box(&answer).encode());
    });
}

fn payloads(criterion: &mut Criterion) {
    let models = Models::builtin();
    let view = ModelView::newest(&models);
    let temperature = Path::resource(3303, 0, 5700);
    let one = [Node::new(temperature, Value::Float(21.5))];
    let many: Vec<Node> = (0..60)
        .map(|second| Node {
            time: Some(Timestamp::clamped_from_millis(
                1_790_000_000_000 + second * 1000,
            )),
            ..Node::new(temperature, Value::Float(21.5 + second as f64 / 8.0))
        })
        .collect();
    for (format, base, nodes) in [
        (ContentFormat::SenmlCbor, temperature, &one[..]),
        (ContentFormat::SenmlCbor, Path::ROOT, &many),
        (ContentFormat::SenmlJson, temperature, &one),
        (ContentFormat::SenmlJson, Path::ROOT, &many),
        (ContentFormat::Lwm2mCbor, temperature, &one),
        (ContentFormat::Tlv, temperature, &one),
        (ContentFormat::Cbor, temperature, &one),
        (ContentFormat::Text, temperature, &one),
    ] {
        let payload = codec::encode(format, base, nodes, view).expect("these can be written");
        let name = format!("{} of {}", format.name(), nodes.len());
        criterion.bench_function(&format!("payload/decode {name}"), |bencher| {
            bencher.iter(|| codec::decode(format.code(), base, black_box(&payload), view));
        });
        criterion.bench_function(&format!("payload/encode {name}"), |bencher| {
            bencher.iter(|| codec::encode(format, base, black_box(nodes), view));
        });
    }
}

/// The links of a registration with twenty objects.
fn links(criterion: &mut Criterion) {
    let objects: Vec<AnnouncedObject> = (3300..3320)
        .map(|object| AnnouncedObject {
            path: Path::instance(object, 0),
            version: None,
        })
        .collect();
    let formats = [ContentFormat::SenmlCbor.code()];
    let text = link_format::announce("", &formats, &objects);
    criterion.bench_function("links/parse", |bencher| {
        bencher.iter(|| link_format::parse(black_box(&text)));
    });
    criterion.bench_function("links/announce", |bencher| {
        bencher.iter(|| link_format::announce("", &formats, black_box(&objects)));
    });
}

fn notification() -> Message {
    let mut message = Message::empty(MessageType::Confirmable, 7);
    message.code = Code::CONTENT;
    message.token = TOKEN.into();
    message.options.add_uint(number::OBSERVE, 1234);
    message.options.add_uint(number::CONTENT_FORMAT, 112);
    message.payload = vec![0xa1; 24];
    message
}

fn update() -> Message {
    let mut message = Message::empty(MessageType::Confirmable, 7);
    message.code = Code::POST;
    message.token = TOKEN.into();
    message.options.add_uri_path("/rd/abcdefghijklmnopqrstuv");
    message
}

const TOKEN: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
