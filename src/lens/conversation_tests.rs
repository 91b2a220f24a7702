//! What messages are said to be.

use std::sync::LazyLock;

use super::*;
use crate::coap::{Options, number};
use crate::domain::{ContentFormat, EndpointId, Node, ObservationId, Value};
use crate::lwm2m::{Models, codec};

static MODELS: LazyLock<Models> = LazyLock::new(Models::builtin);

/// Messages in the order in which they are seen.
#[derive(Default)]
struct Talk {
    captured: Vec<Captured>,
    observations: Vec<Observation>,
    units: BTreeMap<Path, String>,
}

impl Talk {
    fn bytes(&mut self, up: bool, bytes: &[u8]) {
        let id = self.captured.len() as u64 + 1;
        self.captured.push(Captured {
            id,
            micros: 0,
            up,
            is_secure: false,
            again: false,
            address: ([192, 0, 2, 1], 5683).into(),
            wire: bytes.len() as u32,
            length: bytes.len() as u32,
            bytes: bytes.into(),
        });
    }

    fn say(&mut self, up: bool, message: &Message) {
        self.bytes(up, &message.encode());
    }

    fn read(&self) -> Vec<Line> {
        let endpoint = EndpointName::new("urn:dev:1").expect("a name");
        let facts = Facts {
            endpoint: &endpoint,
            view: ModelView::newest(&MODELS),
            root: "",
            observations: &self.observations,
            units: &self.units,
        };
        Conversation::read(&self.captured, &facts).lines
    }

    fn words(&self) -> Vec<String> {
        self.read().into_iter().map(|line| line.words).collect()
    }
}

fn message(kind: MessageType, code: Code, id: u16, token: u8) -> Message {
    Message {
        kind,
        code,
        message_id: id,
        token: Token::from([token; 8]),
        options: Options::new(),
        payload: Vec::new(),
    }
}

fn at(mut message: Message, path: &str) -> Message {
    message.options.add_uri_path(path);
    message
}

fn with(mut message: Message, format: ContentFormat, base: &str, nodes: &[Node]) -> Message {
    let base = base.parse().expect("a path");
    let view = ModelView::newest(&MODELS);
    message.payload = codec::encode(format, base, nodes, view).expect("encoded");
    let code = format.code().into();
    message.options.add_uint(number::CONTENT_FORMAT, code);
    message
}

fn node(path: &str, value: Value) -> Node {
    Node::new(path.parse().expect("a path"), value)
}

use MessageType::{Acknowledgement, Confirmable, NonConfirmable, Reset};

#[test]
fn a_registration_is_told_in_words() {
    let mut talk = Talk::default();
    let mut register = at(message(Confirmable, Code::POST, 1, 1), "/rd");
    for query in ["ep=urn:dev:1", "lt=300", "lwm2m=1.1", "b=U", "Q"] {
        register.options.add(number::URI_QUERY, query.as_bytes());
    }
    register.payload = b"</1/0>,</3/0>,</3303/0>,</3303/1>".to_vec();
    talk.say(true, &register);
    let mut created = message(Acknowledgement, Code::CREATED, 1, 1);
    created.options.add(number::LOCATION_PATH, b"rd");
    talk.say(false, &created);
    talk.say(true, &register);
    talk.say(true, &at(message(Confirmable, Code::POST, 2, 2), "/rd/x"));
    talk.say(true, &at(message(Confirmable, Code::DELETE, 3, 3), "/rd/x"));
    let words = "Register: urn:dev:1 for 5 min, LwM2M 1.1, queue mode, objects 1, 3, 3303";
    assert_eq!(
        talk.words(),
        [
            words,
            "The server has registered the device",
            &format!("A copy of message 1: {words}"),
            "Update: the device is still there",
            "Deregister: the device goes",
        ]
    );
    let lines = talk.read();
    assert!(lines.iter().all(|line| line.kind == Kind::Registration));
    assert_eq!(lines[0].answered_by, Some(2));
    assert_eq!((lines[1].answers, lines[2].copy_of), (Some(1), Some(1)));
}

#[test]
fn notifications_tell_values_with_names_and_units() {
    let mut talk = Talk::default();
    talk.units
        .insert("/3303/0".parse().expect("a path"), "Cel".to_owned());
    let mut observed = Observation::requested(
        ObservationId(1),
        EndpointId(1),
        Token::from([9; 8]),
        vec!["/3303/0/5700".parse().expect("a path")],
        Timestamp::clamped_from_millis(0),
    );
    observed.format = Some(112);
    talk.observations.push(observed);
    let mut notification = with(
        message(Confirmable, Code::CONTENT, 4711, 9),
        ContentFormat::SenmlCbor,
        "/3303/0/5700",
        &[node("/3303/0/5700", Value::Float(21.5))],
    );
    notification.options.add_uint(number::OBSERVE, 17);
    talk.say(true, &notification);
    talk.say(false, &Message::empty(Acknowledgement, 4711));
    let told = "The device reports Temperature 21.5 Cel (notification 17 of /3303/0/5700)";
    assert_eq!(
        talk.words(),
        [
            told,
            &format!("The server acknowledges message 4711 ({told})"),
        ]
    );
    let lines = talk.read();
    assert_eq!((lines[0].kind, lines[1].kind), (Kind::Data, Kind::Ack));
    assert_eq!(lines[0].answered_by, Some(2));
    let value = &lines[0].values[0];
    assert_eq!(value.value.as_deref(), Some("21.5"));
}

#[test]
fn operations_and_their_answers_belong_together() {
    let mut talk = Talk::default();
    talk.say(false, &at(message(Confirmable, Code::GET, 7, 1), "/3/0/9"));
    let answer = with(
        message(Acknowledgement, Code::CONTENT, 7, 1),
        ContentFormat::Text,
        "/3/0/9",
        &[node("/3/0/9", Value::Integer(87))],
    );
    talk.say(true, &answer);
    talk.say(false, &at(message(Confirmable, Code::POST, 8, 2), "/3/0/4"));
    let mut refusal = message(Acknowledgement, Code::METHOD_NOT_ALLOWED, 8, 2);
    refusal.payload = b"not now".to_vec();
    talk.say(true, &refusal);
    let mut block = at(message(Confirmable, Code::PUT, 9, 3), "/5/0/0");
    let exponent = crate::coap::Exponent::at_most(1024);
    let first = crate::coap::Block::new(411, true, exponent).expect("a block");
    first.set(&mut block.options, number::BLOCK1);
    block.options.add_uint(number::SIZE1, 1_048_576);
    block.payload = vec![7; 1024];
    talk.say(false, &block);
    talk.say(true, &Message::empty(Reset, 9));
    talk.bytes(true, &[0xff; 20]);
    assert_eq!(
        talk.words(),
        [
            "The server reads /3/0/9 (Battery Level)",
            "The device answers: Battery Level 87 %",
            "The server executes /3/0/4 (Reboot)",
            "The device refuses the execution of /3/0/4 (Reboot) with 4.05 Method Not Allowed: \"not now\"",
            "The server sends the firmware image: block 412 of 1,024",
            "The device rejects message 9 (The server sends the firmware image: block 412 of 1,024)",
            "The device sends what is no CoAP message: version 3",
        ]
    );
    let kinds: Vec<Kind> = talk.read().iter().map(|line| line.kind).collect();
    assert_eq!(kinds[4], Kind::Firmware);
    assert_eq!(kinds[6], Kind::Other);
}

const SECRET: &[u8] = b"correct horse battery staple";

/// Each way in which a key can lie in a payload.
#[test]
fn keys_are_shown_nowhere() {
    let key = || node("/0/0/5", Value::Opaque(SECRET.to_vec()));
    let uri = || node("/0/0/0", Value::String("coaps://here".to_owned()));
    let both = [uri(), key()];
    let mut talk = Talk::default();
    for (id, (format, base, nodes)) in [
        (ContentFormat::Opaque, "/0/0/5", &both[1..]),
        (ContentFormat::Tlv, "/0/0", &both[..]),
        (ContentFormat::SenmlCbor, "/0/0", &both[..]),
        (ContentFormat::SenmlJson, "/0/0", &both[..]),
        (ContentFormat::Lwm2mCbor, "/0/0", &both[..]),
        (ContentFormat::Cbor, "/0/0/5", &both[1..]),
        (ContentFormat::Json, "/0/0", &both[..]),
    ]
    .into_iter()
    .enumerate()
    {
        let id = id as u16 * 10;
        let token = id as u8;
        // Written, read, and answered without anybody knowing to what.
        let put = at(message(Confirmable, Code::PUT, id, token), base);
        talk.say(false, &with(put, format, base, nodes));
        let get = message(Confirmable, Code::GET, id + 1, token + 1);
        talk.say(false, &at(get, base));
        for token in [token + 1, token + 2] {
            let answer = message(Acknowledgement, Code::CONTENT, id + 1, token);
            talk.say(true, &with(answer, format, base, nodes));
        }
        // Sent by itself, and as a block of something.
        let send = at(
            message(NonConfirmable, Code::POST, id + 3, token + 3),
            "/dp",
        );
        talk.say(true, &with(send, format, base, nodes));
        let mut part = at(message(Confirmable, Code::PUT, id + 4, token + 4), base);
        part.options.add_uint(number::BLOCK1, 0x1e);
        talk.say(false, &with(part, format, base, nodes));
        // Broken in the middle.
        let mut broken = with(
            at(message(Confirmable, Code::PUT, id + 5, token + 5), base),
            format,
            base,
            nodes,
        );
        broken.payload.insert(0, 0xff);
        talk.say(false, &broken);
    }
    let lines = talk.read();
    assert_eq!(lines.len(), 7 * 7);
    let hidden = String::from_utf8_lossy(SECRET);
    let in_hex = hex::encode(SECRET);
    for (line, captured) in lines.iter().zip(&talk.captured) {
        assert_eq!(line.bytes.len(), captured.bytes.len());
        let shown = format!("{line:?}");
        assert!(!shown.contains(&*hidden), "{shown}");
        assert!(!shown.contains(&in_hex), "{shown}");
        let mut places = line.bytes.windows(SECRET.len());
        assert!(!places.any(|part| part == SECRET), "{line:?}");
        let base64 = b"Y29ycmVjdCBob3JzZ";
        assert!(!line.bytes.windows(base64.len()).any(|part| part == base64));
    }
    // What is not secret is there.
    let uris = lines
        .iter()
        .flat_map(|line| &line.values)
        .filter(|value| value.value.as_deref() == Some("coaps://here"));
    assert!(uris.count() > 10);
}

/// Who knows where a device is registered could speak for it, on plain CoAP.
#[test]
fn locations_are_shown_nowhere() {
    let mut talk = Talk::default();
    let mut created = message(Acknowledgement, Code::CREATED, 1, 1);
    for segment in ["rd", "unguessable"] {
        created
            .options
            .add(number::LOCATION_PATH, segment.as_bytes());
    }
    talk.say(false, &created);
    for code in [Code::POST, Code::DELETE, Code::PUT] {
        talk.say(
            true,
            &at(message(Confirmable, code, 2, 2), "/rd/unguessable"),
        );
    }
    for line in talk.read() {
        let shown = format!("{line:?}");
        assert!(!shown.contains("unguessable"), "{shown}");
        let mut places = line.bytes.windows(11);
        assert!(!places.any(|part| part == b"unguessable"), "{shown}");
        assert!(shown.contains('•'), "{shown}");
    }
}

/// A reason may repeat what it is about.
#[test]
fn reasons_do_not_tell_keys() {
    let mut talk = Talk::default();
    for (id, reason) in [
        (
            1,
            "\"correct horse battery staple\" at /12/0/18 is no INTEGER",
        ),
        (2, "\"warm\" at /3303/0/5700 is no FLOAT"),
    ] {
        let mut refusal = message(Acknowledgement, Code::BAD_REQUEST, id, 1);
        refusal.payload = reason.as_bytes().to_vec();
        talk.say(false, &refusal);
    }
    let lines = talk.read();
    assert!(!format!("{:?}", lines[0]).contains("horse"));
    let mut places = lines[0].bytes.windows(5);
    assert!(!places.any(|part| part == b"horse"));
    assert!(lines[1].words.contains("warm"));
}

#[test]
fn names_of_images_are_shown_nowhere() {
    let mut talk = Talk::default();
    let get = at(
        message(Confirmable, Code::GET, 1, 1),
        "/binaries/0123abcd/v1.bin",
    );
    talk.say(true, &get);
    let put = at(message(Confirmable, Code::PUT, 2, 2), "/5/0/1");
    let uri = "coaps://host:5684/binaries/0123abcd/v1.bin";
    let nodes = [node("/5/0/1", Value::String(uri.to_owned()))];
    talk.say(false, &with(put, ContentFormat::Text, "/5/0/1", &nodes));
    for line in talk.read() {
        let shown = format!("{line:?}");
        assert!(!shown.contains("0123abcd"), "{shown}");
        let mut places = line.bytes.windows(8);
        assert!(!places.any(|part| part == b"0123abcd"));
        assert_eq!(line.kind, Kind::Firmware);
    }
    assert_eq!(
        talk.words()[1],
        "The server writes /5/0/1 (Package URI): coaps://host:5684/•••"
    );
}

/// Whatever comes, it is read.
#[test]
fn no_bytes_are_too_odd() {
    let mut talk = Talk::default();
    let mut seed = 7_u32;
    for length in 0..400 {
        let mut bytes: Vec<u8> = (0..length % 60)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 24) as u8
            })
            .collect();
        if let Some(first) = bytes.first_mut() {
            *first = 0x40 | (*first & 0x38);
        }
        talk.bytes(length % 2 == 0, &bytes);
    }
    assert_eq!(talk.read().len(), 400);
}
