//! A small fleet in memory, with something of everything that a page can show: devices awake,
//! asleep and gone, values of every type, operations in every status, texts that are markup.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flownexus::domain::{
    AnnouncedObject, AuditEntry, ContentFormat, EndpointId, EndpointName, EventId, FirmwareId,
    FirmwareImage, GatewayState, Learned, Lwm2mVersion, Node, ObjectLink, Observation,
    ObservationId, ObservationState, Operation, OperationId, OperationKind, OperationRequest,
    OperationResult, OperationStatus, Origin, Path, Peer, Profile, Registration, RegistrationId,
    Rule, Selection, Severity, StoredLogLine, TemplateVersion, Timestamp, Token, Value, Wanted,
    WantedId, WantedState, Warning,
};
use flownexus::store::{
    ApiToken, EndpointRow, ObservationTemplate, Role, StoredEvent, StoredValue, User,
};

use crate::support::fake_charts::FakePins;
use crate::support::fake_filters::{FakeFilters, keeps_filters};
use crate::support::fake_fleet::{FakeBulks, finds_devices};
use crate::support::fake_people::{People, keeps_people};
use crate::support::fake_rollouts::{FakeRollouts, keeps_rollouts};
use crate::support::fake_updates::{FakeUpdates, reads_updates};

mod charts;
mod logs;
mod rollouts;
mod rules;
mod stores;
mod traffic;

pub(crate) use rollouts::RUNNING;

/// A device that is awake and has a value of every type.
pub(crate) const RICH: &str = "urn:imei:490154203237518";
/// A device in queue mode that sleeps.
pub(crate) const ASLEEP: &str = "urn:imei:490154203237526";
/// A device that has gone.
pub(crate) const GONE: &str = "urn:imei:490154203237534";
/// A device whose texts are markup.
pub(crate) const HOSTILE: &str = "<img src=x onerror=alert(1)>/?#";
/// A device that an outside gateway tells of, once it is added.
pub(crate) const GATEWAY: &str = "through-a-gateway";
/// Why a handshake in the name of the device that sleeps was refused.
pub(crate) const WRONG_KEY: &str = "the key of the PSK identity `secret-id` is wrong";
/// The password of everybody.
pub(crate) const PASSWORD: &str = "correct horse battery staple";

/// The fleet, and the people who look at it.
pub(crate) struct Fleet {
    state: Mutex<State>,
    pub(crate) filters: FakeFilters,
    pub(crate) pins: FakePins,
    pub(crate) people: Arc<Mutex<People>>,
    pub(crate) updates: FakeUpdates,
    pub(crate) bulks: FakeBulks,
    pub(crate) rollouts: Arc<FakeRollouts>,
}

reads_updates!(Fleet);
finds_devices!(Fleet);
keeps_rollouts!(Fleet);
keeps_people!(Fleet);
keeps_filters!(Fleet);

#[derive(Default)]
struct State {
    rows: Vec<EndpointRow>,
    values: Vec<StoredValue>,
    observations: Vec<Observation>,
    wanted: Vec<Wanted>,
    operations: Vec<Operation>,
    events: Vec<(StoredEvent, Vec<Node>)>,
    templates: Vec<ObservationTemplate>,
    rules: Vec<Rule>,
    logs: Vec<StoredLogLine>,
}

impl Fleet {
    /// The fleet, with one person of each role who has this password hash.
    pub(crate) fn new(password_hash: &str) -> Arc<Self> {
        let (mut state, mut people) = (State::default(), People::default());
        add_people(&mut people, password_hash);
        fill(&mut state);
        fill_people(&mut people);
        Arc::new(Self {
            state: Mutex::new(state),
            filters: FakeFilters::default(),
            pins: FakePins::default(),
            people: Arc::new(Mutex::new(people)),
            updates: FakeUpdates::default(),
            bulks: FakeBulks::default(),
            rollouts: Arc::new(rollouts::samples()),
        })
    }

    /// A fleet without devices.
    pub(crate) fn empty(password_hash: &str) -> Arc<Self> {
        let fleet = Self::new(password_hash);
        *fleet.lock() = State::default();
        *fleet.people() = People::default();
        add_people(&mut fleet.people(), password_hash);
        fleet.rollouts.forget_all();
        fleet
    }

    /// The people who look at it.
    pub(crate) fn people(&self) -> MutexGuard<'_, People> {
        self.people.lock().expect("nobody panicked")
    }

    /// Firmware images; none where there are no devices.
    pub(crate) fn images(&self) -> Vec<FirmwareImage> {
        if self.lock().rows.is_empty() {
            return Vec::new();
        }
        let image = |id: i64, version: &str, notes: &str, selection: Selection| FirmwareImage {
            id: FirmwareId(id),
            version: version.into(),
            name: format!("app-{version}.bin"),
            key: format!("{id:032x}"),
            sha256: format!("{id:064x}"),
            size: 422_000,
            notes: notes.into(),
            selection,
            created_at: ago(86_400 * 3),
            created_by: "<b>ada".into(),
        };
        let lab = Selection {
            names: vec!["urn:imei:35*".into()],
            tags: vec!["lab".into()],
        };
        vec![
            image(1, "0.9.0", "", Selection::default()),
            image(2, "1.0.0", "<script>alert(1)</script>\nSleeps longer.", lab),
        ]
    }

    /// Adds a device that is registered and has no values.
    pub(crate) fn add_device(&self, name: &str) {
        let mut state = self.lock();
        let id = state.rows.len() as i64 + 100;
        state.rows.push(row(id, name, 3, Some(false)));
        state.rows.sort_by(|left, right| left.name.cmp(&right.name));
    }

    /// Adds a device that is registered with a gateway, and an operation that waits for it.
    pub(crate) fn add_gateway_device(&self, text: &str) {
        let mut state = self.lock();
        let id = state.rows.len() as i64 + 200;
        let mut row = row(id, text, 3, None);
        row.gateway.registered_at = Some(ago(600));
        let like = state.operations.first().cloned().expect("an operation");
        state.operations.push(Operation {
            id: OperationId(9_000),
            endpoint_id: row.id,
            endpoint: row.name.clone(),
            status: OperationStatus::Queued,
            attempts: 0,
            result: None,
            error: None,
            finished_at: None,
            ..like
        });
        state.rows.push(row);
        state.rows.sort_by(|left, right| left.name.cmp(&right.name));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panicked")
    }
}

fn ago(seconds: u64) -> Timestamp {
    let now = Timestamp::system().as_millis();
    Timestamp::clamped_from_millis(now - seconds as i64 * 1000)
}

fn name(text: &str) -> EndpointName {
    EndpointName::new(text).expect("a name")
}

fn path(text: &str) -> Path {
    text.parse().expect("a path")
}

fn row(id: i64, text: &str, seen_s: u64, queue_mode: Option<bool>) -> EndpointRow {
    EndpointRow {
        id: EndpointId(id),
        name: name(text),
        created_at: ago(86_400 * 12),
        last_seen_at: Some(ago(seen_s)),
        learned: Learned::default(),
        profile: Profile {
            tags: vec!["lab".to_owned(), "rack-3".to_owned()],
            awake: (id == 1).then(|| Duration::from_secs(20)),
            edrx_cycle: None,
        },
        registration: queue_mode.map(|queue_mode| registration(id, text, seen_s, queue_mode)),
        gateway: GatewayState::default(),
    }
}

fn registration(id: i64, text: &str, seen_s: u64, queue_mode: bool) -> Registration {
    let objects = [
        "/1/0", "/3/0", "/4/0", "/3303/0", "/3304/0", "/3306/0", "/3342/0", "/10",
    ];
    Registration {
        id: RegistrationId::from_random([7; 16]),
        endpoint_id: EndpointId(id),
        endpoint: name(text),
        peer: Peer::udp("192.0.2.17:56830".parse().expect("an address")),
        lwm2m_version: Lwm2mVersion::V1_1,
        binding: "U".to_owned(),
        queue_mode,
        lifetime: Duration::from_secs(86_400),
        sms_number: None,
        root: String::new(),
        objects: objects
            .iter()
            .map(|text| AnnouncedObject {
                path: path(text),
                version: (*text == "/3/0").then(|| "1.1".to_owned()),
            })
            .collect(),
        formats: vec![112, 110, 11_542, 0],
        attributes: BTreeMap::from([("model".to_owned(), "<b>T1000</b>".to_owned())]),
        warnings: Vec::new(),
        raw_links: "</1/0>,</3/0>;ver=1.1,</3303/0>".into(),
        registered_at: ago(86_400 * 3),
        updated_at: ago(seen_s),
        expires_at: Timestamp::system().plus(Duration::from_secs(5000)),
        message_id_mark: 0,
    }
}

fn fill(state: &mut State) {
    state.rows = vec![
        row(1, RICH, 3, Some(false)),
        row(2, ASLEEP, 4000, Some(true)),
        row(3, GONE, 86_400 * 5, None),
        row(4, HOSTILE, 30, Some(true)),
    ];
    if let Some(registration) = &mut state.rows[0].registration {
        registration.warnings.push(Warning {
            code: "bad_link".to_owned(),
            message: "an object link has no path: `<script>`".to_owned(),
        });
    }
    state.rows.sort_by(|left, right| left.name.cmp(&right.name));
    let values = [
        ("/1/0/1", Value::Integer(86_400)),
        ("/3/0/0", Value::String("Open Mobile Alliance".to_owned())),
        ("/3/0/1", Value::String("Lightweight M2M Client".to_owned())),
        ("/3/0/2", Value::String("345000123".to_owned())),
        ("/3/0/3", Value::String("1.0".to_owned())),
        ("/3/0/7/0", Value::Integer(3800)),
        ("/3/0/7/1", Value::Integer(5000)),
        ("/3/0/9", Value::Integer(87)),
        ("/3/0/10", Value::UnsignedInteger(15)),
        ("/3/0/13", Value::Time(1_795_440_000)),
        ("/3/0/14", Value::String("+02:00".to_owned())),
        ("/4/0/2", Value::Integer(-92)),
        ("/3303/0/5700", Value::Float(f64::from(21.4_f32))),
        ("/3303/0/5701", Value::String("Cel".to_owned())),
        ("/3304/0/5700", Value::Float(48.25)),
        ("/3306/0/5850", Value::Boolean(true)),
        ("/3342/0/5500", Value::Boolean(false)),
        (
            "/10/0/1",
            Value::Objlnk(ObjectLink {
                object: 3303,
                instance: 0,
            }),
        ),
        ("/65001/0/1", Value::Opaque(vec![0xde, 0xad, 0xbe, 0xef])),
        ("/65001/0/2", Value::Corelink("</3303/0>".to_owned())),
        (
            "/65001/0/3",
            Value::String("<script>alert(1)</script>".to_owned()),
        ),
        ("/10240/0/0", Value::Time(1_795_440_000)),
    ];
    for (at, value) in values {
        state.values.push(StoredValue {
            endpoint: name(RICH),
            path: path(at),
            value,
            time: ago(42),
            received_at: ago(42),
        });
    }
    state.values.sort_by_key(|stored| stored.path);
    state.observations = vec![
        observation(1, &["/3303/0/5700"], false, ObservationState::Active),
        observation(2, &["/4/0"], false, ObservationState::Requested),
        observation(
            3,
            &["/3/0/9", "/3304/0/5700"],
            true,
            ObservationState::Active,
        ),
    ];
    let states = [
        (WantedState::Active, "/3303/0/5700", None),
        (WantedState::Requested, "/4/0", None),
        (
            WantedState::Lost,
            "/3/0/9",
            Some("no notification for 2 × pmax, which is 60 s <b>"),
        ),
        (
            WantedState::Refused,
            "/3/0/13",
            Some("the device answered 4.05: <b>no"),
        ),
        (WantedState::Missing, "/5/0/3", None),
    ];
    for (id, (wanted_state, at, reason)) in (1..).zip(states) {
        state.wanted.push(wanted(id, at, wanted_state, reason));
    }
    let statuses = [
        (OperationKind::Read, "/3/0", OperationStatus::Confirmed),
        (OperationKind::Write, "/3/0/14", OperationStatus::Failed),
        (OperationKind::Execute, "/3/0/4", OperationStatus::Queued),
        (
            OperationKind::Observe,
            "/3303/0/5700",
            OperationStatus::Sending,
        ),
        (OperationKind::Discover, "/3", OperationStatus::Expired),
        (
            OperationKind::WriteAttributes,
            "/3303/0",
            OperationStatus::Cancelled,
        ),
    ];
    for (at, (kind, on, status)) in (1..).zip(statuses) {
        state.operations.push(operation(at, kind, on, status));
    }
    let event = StoredEvent {
        id: EventId(7),
        endpoint: name(RICH),
        event_type: "3303".to_owned(),
        time: ago(600),
        rule: None,
        severity: None,
        message: None,
    };
    let nodes = vec![
        Node::new(path("/3303/0/5700"), Value::Float(20.9)),
        Node::new(path("/65001/0/3"), Value::String("<b>".to_owned())),
    ];
    state.events.push((event.clone(), nodes.clone()));
    let event = StoredEvent {
        id: EventId(6),
        event_type: "<b>alarm</b>".to_owned(),
        rule: Some("<b>too warm</b>".to_owned()),
        severity: Some(Severity::Critical),
        message: Some("/65001/0/3 has changed to <b>".to_owned()),
        ..event
    };
    state.events.push((event, nodes));
    state.rules = rules::samples();
    state.logs = logs::samples();
    state.templates = vec![
        ObservationTemplate {
            id: 1,
            paths: vec![path("/3303")],
            kind: OperationKind::Observe,
            selection: Selection::default(),
            attributes: Vec::new(),
            format: None,
            enabled: true,
            revision: 0,
        },
        ObservationTemplate {
            id: 2,
            paths: vec![path("/3/0/9"), path("/4/0/2")],
            kind: OperationKind::ObserveComposite,
            selection: Selection {
                names: vec!["urn:*".to_owned()],
                tags: vec!["lab".to_owned()],
            },
            attributes: vec![("pmax".to_owned(), "300".to_owned())],
            format: Some(ContentFormat::SenmlCbor),
            enabled: false,
            revision: 0,
        },
    ];
}

/// One person of each role.
fn add_people(people: &mut People, password_hash: &str) {
    for role in [Role::Viewer, Role::Operator, Role::Admin] {
        let name = format!("{role:?}").to_lowercase();
        people.users.push(User {
            id: role as i64 + 1,
            created_at: ago(86_400 * 40),
            ..User::new(&name, role, password_hash.to_owned())
        });
    }
}

fn fill_people(people: &mut People) {
    people.tokens.push(ApiToken {
        id: 1,
        name: "grafana".to_owned(),
        role: Role::Viewer,
        hash: vec![1; 32],
        created_at: ago(86_400),
        expires_at: Some(Timestamp::system().plus(Duration::from_secs(86_400 * 90))),
        last_used_at: None,
        owner: None,
    });
    people.audit.push(AuditEntry {
        id: 1,
        at: ago(120),
        actor: "admin".to_owned(),
        remote: "127.0.0.1".to_owned(),
        action: "template.create".to_owned(),
        subject: "2".to_owned(),
        detail: "observe_composite /3/0/9 /4/0/2".to_owned(),
    });
}

fn observation(id: i64, paths: &[&str], composite: bool, state: ObservationState) -> Observation {
    let (row, token) = (ObservationId(id), Token::from([id as u8; 8]));
    let paths = paths.iter().map(|text| path(text)).collect();
    Observation {
        composite,
        state,
        notified_at: (state == ObservationState::Active).then(|| ago(42)),
        notifications: 12,
        ..Observation::requested(row, EndpointId(1), token, paths, ago(3600))
    }
}

fn wanted(id: i64, at: &str, state: WantedState, reason: Option<&str>) -> Wanted {
    Wanted {
        id: WantedId(id),
        endpoint_id: EndpointId(1),
        paths: vec![path(at)],
        composite: false,
        template: Some(TemplateVersion { id, revision: 0 }),
        user: (id == 2).then(|| "<b>eve".to_owned()),
        cancelled_by: (id == 5).then(|| "<b>ada".to_owned()),
        attributes: vec![("pmax".to_owned(), "60".to_owned())],
        withdrawn: Vec::new(),
        attributes_asked: true,
        attributes_error: (id == 1).then(|| "the device answered 4.00: <b>".to_owned()),
        format: None,
        state,
        reason: reason.map(str::to_owned),
        since: ago(180),
        retry_at: (state == WantedState::Lost).then(|| ago(0).plus(Duration::from_secs(600))),
        losses: 1,
    }
}

fn operation(id: i64, kind: OperationKind, on: &str, status: OperationStatus) -> Operation {
    let answered = status == OperationStatus::Confirmed || status == OperationStatus::Failed;
    Operation {
        id: OperationId(id),
        endpoint_id: EndpointId(1),
        endpoint: name(RICH),
        request: OperationRequest::new(kind, vec![path(on)]),
        origin: if id % 2 == 0 {
            Origin::Template
        } else {
            Origin::User("operator".to_owned())
        },
        status,
        attempts: 2,
        max_attempts: 3,
        result: answered.then(|| OperationResult {
            code: if status == OperationStatus::Failed {
                "4.05".to_owned()
            } else {
                "2.05".to_owned()
            },
            nodes: if status == OperationStatus::Confirmed {
                vec![Node::new(path("/3/0/9"), Value::Integer(87))]
            } else {
                Vec::new()
            },
            links: String::new(),
            location: None,
            note: None,
        }),
        error: (status == OperationStatus::Failed)
            .then(|| "the device answered 4.05: not <b>now</b>".to_owned()),
        token: None,
        created_at: ago(900 - id as u64 * 60),
        last_attempt_at: answered.then(|| ago(800)),
        finished_at: status.is_final().then(|| ago(700)),
        expires_at: None,
    }
}
