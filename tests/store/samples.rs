//! Devices, values and operations to store.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use flownexus::domain::{
    AnnouncedObject, ContentFormat, Doer, EndpointId, EndpointName, FirmwareId, IdempotencyKey,
    KeptSession, KeyedOperation, Learned, LiveEvent, LiveKind, Lwm2mVersion, Node, ObjectLink,
    Observation, ObservationState, Operation, OperationKind, OperationRequest, OperationResult,
    OperationStatus, Origin, Path, Peer, Periods, Profile, ReceiveWindow, Registration,
    RegistrationId, SessionId, SessionMark, StoredAnswer, TemplateVersion, Timestamp, Token, Value,
    Wanted, WantedState, Warning,
};
use flownexus::store::{
    AuditFilter, Change, Commit, FleetWriter as _, SecureSessionLoader as _, Store, StoredEndpoint,
};

/// A moment of 2026, so many milliseconds after its reference.
pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::clamped_from_millis(1_790_000_000_000 + millis)
}

/// Somebody who changes something.
pub(super) fn by() -> Doer {
    Doer {
        actor: "ada".into(),
        remote: "192.0.2.1".into(),
    }
}

/// The newest lines of the audit log, before this one.
pub(super) fn newest(limit: u64, before: Option<i64>) -> AuditFilter {
    AuditFilter {
        before,
        limit,
        ..AuditFilter::default()
    }
}

pub(super) fn name(text: &str) -> EndpointName {
    EndpointName::new(text).expect("a name")
}

pub(super) fn commit(changes: impl IntoIterator<Item = Change>) -> Commit {
    Commit {
        changes: changes.into_iter().collect(),
        publish: Vec::new(),
    }
}

/// A plain registration.
pub(super) fn registration(id: EndpointId, endpoint: &str, location: &str) -> Registration {
    Registration {
        id: RegistrationId::from_text(location),
        endpoint_id: id,
        endpoint: name(endpoint),
        peer: Peer::udp(SocketAddr::from(([192, 0, 2, 1], 5683))),
        lwm2m_version: Lwm2mVersion::V1_1,
        binding: "U".into(),
        queue_mode: false,
        lifetime: Duration::from_secs(86_400),
        sms_number: None,
        root: String::new(),
        objects: vec![AnnouncedObject {
            path: Path::instance(3, 0),
            version: None,
        }]
        .into(),
        formats: vec![],
        attributes: BTreeMap::new(),
        warnings: vec![],
        raw_links: "</3/0>".into(),
        registered_at: at(0),
        updated_at: at(0),
        expires_at: at(86_400_000),
        message_id_mark: 0,
    }
}

/// A registration in which everything is unusual.
pub(super) fn unusual_registration(id: EndpointId) -> Registration {
    Registration {
        peer: Peer::dtls(
            "[2001:db8::1]:61234".parse().expect("an address"),
            SessionId(0x0123_4567_89ab_cdef),
        ),
        lwm2m_version: Lwm2mVersion::V1_2,
        binding: "UQ".into(),
        queue_mode: true,
        lifetime: Duration::from_millis(1_500),
        sms_number: Some("+41791234567".into()),
        root: "/lwm2m".into(),
        objects: vec![
            AnnouncedObject {
                path: Path::object(3),
                version: Some("1.2".into()),
            },
            AnnouncedObject {
                path: Path::instance(65_534, 65_534),
                version: None,
            },
        ]
        .into(),
        formats: vec![112, 11_542, 65_535],
        attributes: BTreeMap::from([
            ("x".into(), "grüezi \0 \"quoted\"".into()),
            ("y".into(), String::new()),
        ]),
        warnings: vec![Warning {
            code: "bad_link".into(),
            message: "`<` is missing \u{1F980}".into(),
        }],
        raw_links: "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/3/0>".into(),
        registered_at: at(1),
        updated_at: at(2),
        expires_at: Timestamp::MAX,
        message_id_mark: 65_535,
        ..registration(id, "urn:imei:490154203237518 ü 🦀", "rd-unusual")
    }
}

pub(super) fn observation(store: &Store, endpoint_id: EndpointId, token: u8) -> Observation {
    let (id, token) = (store.ids().observation(), Token::from([token; 8]));
    let paths = vec![Path::resource(3303, 0, 5700)];
    Observation::requested(id, endpoint_id, token, paths, at(0))
}

pub(super) fn unusual_observation(store: &Store, endpoint_id: EndpointId) -> Observation {
    Observation {
        token: Token::new(&[]).expect("an empty token"),
        paths: vec![Path::ROOT, Path::resource_instance(1, 2, 3, 4)],
        composite: true,
        format: Some(65_535),
        state: ObservationState::Active,
        last_sequence: Some(u32::MAX),
        last_message_id: Some(u16::MAX),
        last_hash: Some(i64::MIN),
        notified_at: Some(Timestamp::MIN),
        notifications: i64::MAX as u64,
        staged: Some(vec![0, 255]),
        ..observation(store, endpoint_id, 0)
    }
}

/// A value of every type, each at a path of its own.
pub(super) fn every_value() -> Vec<Node> {
    let values = [
        Value::Boolean(true),
        Value::Boolean(false),
        Value::Corelink("</3/0>;ver=1.2".into()),
        Value::Float(21.5),
        Value::Float(-0.1),
        Value::Float(f64::MAX),
        Value::Float(f64::MIN_POSITIVE),
        Value::Float(f64::INFINITY),
        Value::Float(f64::NEG_INFINITY),
        Value::Integer(0),
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Objlnk(ObjectLink {
            object: 65_535,
            instance: 65_535,
        }),
        Value::Opaque(vec![]),
        Value::Opaque((0..=255).collect()),
        Value::String(String::new()),
        Value::String("grüezi 🦀 'quoted' \"twice\" \\".into()),
        Value::String("with \0 inside".into()),
        Value::String("x".repeat(100_000)),
        Value::Time(-1),
        Value::Time(i64::MAX),
        Value::UnsignedInteger(7),
        Value::UnsignedInteger(i64::MAX as u64),
        Value::UnsignedInteger(i64::MAX as u64 + 1),
        Value::UnsignedInteger(u64::MAX),
    ];
    let mut nodes: Vec<Node> = (0..)
        .zip(values)
        .map(|(id, value)| Node::new(Path::resource(1000, 1, id), value))
        .collect();
    for (node, time) in nodes.iter_mut().step_by(3).zip(-5..) {
        node.time = Some(at(time));
    }
    nodes.push(Node::new(
        Path::resource_instance(65_534, 65_534, 65_534, 65_534),
        Value::Boolean(true),
    ));
    nodes.push(Node::new(
        Path::resource_instance(0, 0, 0, 0),
        Value::Boolean(true),
    ));
    nodes.sort_by_key(|node| node.path);
    nodes
}

pub(super) fn operation(store: &Store, endpoint_id: EndpointId, endpoint: &str) -> Operation {
    Operation {
        id: store.ids().operation(),
        endpoint_id,
        endpoint: name(endpoint),
        request: OperationRequest::new(OperationKind::Read, vec![Path::instance(3, 0)]),
        origin: Origin::Template,
        status: OperationStatus::Queued,
        attempts: 0,
        max_attempts: 3,
        result: None,
        error: None,
        token: None,
        created_at: at(0),
        last_attempt_at: None,
        finished_at: None,
        expires_at: None,
    }
}

/// A key that counts until a second after the reference.
pub(super) fn keyed(store: &Store, endpoint_id: EndpointId, key: [u8; 32]) -> KeyedOperation {
    KeyedOperation {
        endpoint_id,
        key: IdempotencyKey {
            key,
            request: [255; 32],
        },
        operation: store.ids().operation(),
        expires_at: at(1000),
    }
}

pub(super) fn unusual_operation(
    store: &Store,
    endpoint_id: EndpointId,
    endpoint: &str,
) -> Operation {
    Operation {
        request: OperationRequest {
            kind: OperationKind::WriteComposite,
            paths: vec![Path::ROOT, Path::resource(1, 0, 1)],
            values: every_value(),
            removed: vec![Path::resource_instance(3, 0, 11, 1)],
            arguments: Some("0='a\0b',1".into()),
            attributes: vec![("pmin".into(), Some("5".into())), ("gt".into(), None)],
            format: Some(ContentFormat::SenmlEtchJson),
            passive: true,
            repeat: true,
            image: Some(FirmwareId(i64::MAX)),
        },
        origin: Origin::User("ada".into()),
        status: OperationStatus::Failed,
        attempts: u32::MAX,
        max_attempts: u32::MAX,
        result: Some(OperationResult {
            code: "4.04".into(),
            nodes: every_value(),
            links: "</3/0/1>;pmin=5".into(),
            location: Some("/1/2".into()),
            note: Some("nothing was sent".into()),
        }),
        error: Some("NOT_FOUND \u{7f}".into()),
        token: Some(Token::from([1, 2, 3, 4, 5, 6, 7, 255])),
        last_attempt_at: Some(at(1)),
        finished_at: Some(Timestamp::MAX),
        expires_at: Some(Timestamp::MIN),
        ..operation(store, endpoint_id, endpoint)
    }
}

/// What a restart needs of a device of which nothing else is known.
pub(super) fn stored(
    registration: Option<Registration>,
    observations: Vec<Observation>,
    operations: Vec<Operation>,
) -> StoredEndpoint {
    StoredEndpoint {
        registration,
        observations,
        operations,
        ..StoredEndpoint::default()
    }
}

/// As much as can be learnt of a device.
pub(super) fn learned() -> Learned {
    let mut learned = Learned::default();
    for (second, silence) in [(0, 40), (600, 30), (1200, 20)] {
        learned.woke(at(second * 1000), true);
        learned.silent(Duration::from_secs(silence), Duration::ZERO, at(second));
    }
    learned
}

/// Tags in every script, and times.
pub(super) fn profile() -> Profile {
    Profile {
        tags: ["lab", "zürich:3.b-_", "実験室"]
            .map(str::to_owned)
            .to_vec(),
        awake: Some(Duration::from_secs(20)),
        edrx_cycle: Some(Duration::from_secs(10_486)),
    }
}

pub(super) fn periods() -> Vec<Periods> {
    vec![
        Periods {
            path: Path::object(3303),
            pmin: None,
            pmax: Some(u64::MAX),
        },
        Periods {
            path: Path::resource_instance(1, 2, 3, 4),
            pmin: Some(0),
            pmax: None,
        },
    ]
}

/// Something that a template wants.
pub(super) fn wanted(store: &Store, endpoint_id: EndpointId) -> Wanted {
    Wanted {
        id: store.ids().wanted(),
        endpoint_id,
        paths: vec![Path::resource(3303, 0, 5700)],
        composite: false,
        template: Some(TemplateVersion { id: 1, revision: 0 }),
        user: None,
        cancelled_by: None,
        attributes: Vec::new(),
        withdrawn: Vec::new(),
        attributes_asked: false,
        attributes_error: None,
        format: None,
        state: WantedState::Missing,
        reason: None,
        since: at(0),
        retry_at: None,
        losses: 0,
    }
}

pub(super) fn unusual_wanted(store: &Store, endpoint_id: EndpointId) -> Wanted {
    Wanted {
        paths: vec![Path::object(3), Path::resource_instance(1, 2, 3, 4)],
        composite: true,
        template: None,
        user: Some("ada \0".replace('\0', "\u{fffd}")),
        cancelled_by: Some("token:ci".into()),
        attributes: vec![("pmin".into(), "5".into()), ("gt".into(), "-1e-3".into())],
        withdrawn: vec!["pmax".into()],
        attributes_asked: true,
        attributes_error: Some("the device answered 4.05".into()),
        format: Some(ContentFormat::SenmlCbor),
        state: WantedState::Lost,
        reason: Some("no notification for 2 × pmax".into()),
        since: Timestamp::MAX,
        retry_at: Some(Timestamp::MIN),
        losses: u32::MAX,
        ..wanted(store, endpoint_id)
    }
}

/// An answer that can still be asked for.
pub(super) fn answer(port: u16, message_id: u16, hash: i64) -> StoredAnswer {
    StoredAnswer {
        peer: Peer::udp(SocketAddr::from(([127, 0, 0, 1], port))),
        message_id,
        hash,
        answer: vec![0x60, 0x44, 0, 0xff],
        expires_at: Timestamp::MAX,
    }
}

/// Where a DTLS session stands; another number stands elsewhere in everything.
pub(super) fn session_mark(id: u64, number: u64) -> SessionMark {
    let [.., high, low] = number.to_be_bytes();
    SessionMark {
        id: SessionId(id),
        address: SocketAddr::from(([192, 0, high, low], 5684)),
        is_proven: number.is_multiple_of(2),
        window: ReceiveWindow {
            highest: number,
            seen: u64::MAX - number,
        },
        heard_at: at(number.cast_signed()),
    }
}

/// A DTLS session; another number differs in everything.
pub(super) fn kept_session(id: u64, number: u64) -> KeptSession {
    KeptSession {
        mark: session_mark(id, number),
        numbers: 1_000 + number,
        sealed: number.to_be_bytes().repeat(30),
    }
}

/// The DTLS sessions as they are stored, by id.
pub(super) async fn kept_sessions(store: &Store) -> Vec<KeptSession> {
    let mut sessions = store.take_up(0, Timestamp::MIN).await.expect("taken up");
    sessions.sort_by_key(|session| session.mark.id);
    sessions
}

pub(super) fn temperature(value: f64) -> Node {
    Node::new(Path::resource(3303, 0, 5700), Value::Float(value))
}

pub(super) fn values(endpoint_id: EndpointId, nodes: Vec<Node>, at: Timestamp) -> Change {
    Change::Resources {
        endpoint_id,
        nodes,
        at,
        stale: false,
    }
}

pub(super) fn live(endpoint: &str, number: i64) -> LiveEvent {
    LiveEvent {
        endpoint: name(endpoint),
        kind: LiveKind::Resource,
        time: at(number),
        body: serde_json::json!({ "number": number }).into(),
    }
}

/// A registered device.
pub(super) async fn device(store: &Store, endpoint: &str) -> EndpointId {
    let id = store.ids().endpoint();
    let registration = registration(id, endpoint, &format!("rd-{endpoint}-{id}"));
    store
        .commit(commit([Change::Register(Box::new(registration))]))
        .await
        .expect("registered");
    id
}
