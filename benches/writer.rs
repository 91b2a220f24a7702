//! What a commit costs: notifications through the store's writer into a file of SQLite, some of them at once.
//!
//! `cargo bench --bench writer`. Each commit is what a notification of one value leads to: its observation, and
//! the value. So many of them are handed to the writer together and waited for together; that one alone takes as
//! long as the disk does.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use flownexus::config::Settings;
use flownexus::domain::{
    EndpointId, EndpointName, Lwm2mVersion, Node, Observation, ObservationState, Path, Peer,
    Registration, RegistrationId, Timestamp, Token, Value,
};
use flownexus::store::{Change, Commit, FleetWriter as _, Store};
use futures_util::future::try_join_all;
use tokio::runtime::Runtime;

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    targets = notifications
}
criterion_main!(benches);

fn notifications(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = Settings::defaults();
    settings.data_dir = folder.path().to_owned();
    let runtime = Runtime::new().expect("a runtime");
    let store = runtime
        .block_on(Store::open(&settings, Arc::new(|_| {})))
        .expect("a store");
    let mut observations: Vec<Observation> = (0..DEVICES)
        .map(|number| observation(&store, EndpointId(i64::from(number) + 1)))
        .collect();
    let registered = observations.iter().map(|it| store.commit(register(it)));
    let registered = try_join_all(registered.collect::<Vec<_>>());
    runtime.block_on(registered).expect("registered");

    let mut group = criterion.benchmark_group("notifications");
    let mut next = 0_u32;
    for at_once in [1_u32, 16, 256] {
        group.throughput(Throughput::Elements(at_once.into()));
        group.bench_function(BenchmarkId::from_parameter(at_once), |bencher| {
            bencher.iter(|| {
                let commits: Vec<_> = (0..at_once)
                    .map(|_| {
                        next += 1;
                        let at = (next % DEVICES) as usize;
                        store.commit(notification(&mut observations[at], next))
                    })
                    .collect();
                black_box(runtime.block_on(try_join_all(commits))).expect("stored");
            });
        });
    }
    group.finish();
    runtime.block_on(store.close());
}

/// A device with one observation.
fn register(observation: &Observation) -> Commit {
    let id = observation.endpoint_id;
    let registration = Registration {
        id: RegistrationId::from_text(&format!("bench{id}")),
        endpoint_id: id,
        endpoint: EndpointName::new(&format!("bench-{id}")).expect("a name"),
        peer: Peer::udp(([127, 0, 0, 1], 5683).into()),
        lwm2m_version: Lwm2mVersion::V1_1,
        binding: "U".to_owned(),
        queue_mode: false,
        lifetime: Duration::from_secs(86_400),
        sms_number: None,
        root: String::new(),
        objects: Vec::new().into(),
        formats: Vec::new(),
        attributes: BTreeMap::new(),
        warnings: Vec::new(),
        raw_links: "</3303/0>".into(),
        registered_at: observation.created_at,
        updated_at: observation.created_at,
        expires_at: Timestamp::MAX,
        message_id_mark: 0,
    };
    let changes = vec![
        Change::Register(Box::new(registration)),
        Change::SaveObservation(Box::new(observation.clone())),
    ];
    Commit {
        changes,
        publish: Vec::new(),
    }
}

fn observation(store: &Store, endpoint_id: EndpointId) -> Observation {
    let id = store.ids().observation();
    let token = Token::from(id.0.to_be_bytes());
    Observation {
        format: Some(112),
        state: ObservationState::Active,
        ..Observation::requested(id, endpoint_id, token, vec![PATH], Timestamp::system())
    }
}

/// What the next notification leads to.
fn notification(observation: &mut Observation, number: u32) -> Commit {
    let at = Timestamp::system();
    observation.last_sequence = Some(number & 0xff_ffff);
    observation.last_message_id = Some(number as u16);
    observation.last_hash = Some(i64::from(number));
    observation.notified_at = Some(at);
    observation.notifications += 1;
    let changes = vec![
        Change::SaveObservation(Box::new(observation.clone())),
        Change::Resources {
            endpoint_id: observation.endpoint_id,
            nodes: vec![Node::new(PATH, Value::Float(f64::from(number)))],
            at,
            stale: false,
        },
    ];
    Commit {
        changes,
        publish: Vec::new(),
    }
}

const DEVICES: u32 = 1_000;
const PATH: Path = Path::resource(3303, 0, 5700);
