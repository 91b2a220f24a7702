//! Commits that share a transaction leave what commits one after the other would have left.

use std::net::SocketAddr;

use flownexus::domain::{
    EndpointId, Observation, ObservationId, Peer, Profile, Registration, RegistrationId, SessionId,
    Token, Wanted, WantedId,
};
use flownexus::store::{
    Change, EndpointReader as _, FleetLoader as _, FleetWriter as _, Notified, ResourceReader as _,
    Store,
};
use futures_util::future::join_all;
use proptest::prelude::*;
use rstest::rstest;

use super::samples::{
    at, commit, kept_session, kept_sessions, name, observation, registration, session_mark,
    temperature, values, wanted,
};
use crate::support::database::{Engine, TestDatabase};

const DEVICES: i64 = 3;

#[derive(Clone, Copy, Debug)]
struct Step {
    device: i64,
    kind: u8,
    number: u8,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (1..=DEVICES, 0..19_u8, 0..4_u8).prop_map(|(device, kind, number)| Step {
        device,
        kind,
        number,
    });
    prop::collection::vec(step, 1..40)
}

/// The same step on the same device gives the same change on both stores.
fn change(store: &Store, base: &Observation, index: usize, step: Step) -> Change {
    let endpoint_id = EndpointId(step.device);
    let location = format!("rd-{}-{}", step.device, step.number % 2);
    let time = at(index as i64);
    let session = step.device as u64 * 4 + u64::from(step.number);
    let registration = Registration {
        updated_at: time,
        message_id_mark: index as u16,
        ..registration(endpoint_id, &format!("device-{}", step.device), &location)
    };
    match step.kind {
        0 => Change::Register(Box::new(registration)),
        1 => Change::UpdateRegistration(Box::new(registration)),
        2 => Change::EndRegistration {
            endpoint_id,
            registration_id: RegistrationId::from_text(&location),
        },
        3 => Change::Seen {
            endpoint_id,
            at: at(i64::from(step.number) * 100),
        },
        4 => Change::Moved {
            endpoint_id,
            peer: Peer::udp(SocketAddr::from(([10, 0, 0, step.number], 1))),
        },
        5 => Change::ReserveMessageIds {
            endpoint_id,
            mark: 1000 + index as u16,
        },
        6 | 7 => {
            let number = step.device * 4 + i64::from(step.number);
            let mut observation = base.clone();
            observation.id.0 = number;
            observation.endpoint_id = endpoint_id;
            observation.token = Token::from([number as u8; 8]);
            observation.last_sequence = Some(index as u32);
            Change::SaveObservation(Box::new(observation))
        }
        8 => {
            let number = step.device * 4 + i64::from(step.number);
            Change::RemoveObservation {
                endpoint_id,
                token: Token::from([number as u8; 8]),
            }
        }
        9 | 10 => Change::SaveWanted(Box::new(Wanted {
            id: WantedId(step.device * 4 + i64::from(step.number)),
            losses: index as u32,
            ..wanted(store, endpoint_id)
        })),
        11 => Change::RemoveWanted {
            endpoint_id,
            id: WantedId(step.device * 4 + i64::from(step.number)),
        },
        12 => Change::Profile {
            endpoint_id,
            profile: Box::new(Profile {
                tags: vec![format!("tag-{index}")],
                ..Profile::default()
            }),
        },
        13 => Change::KeepSession(Box::new(kept_session(session, index as u64))),
        14 => Change::MarkSession(session_mark(session, index as u64)),
        15 => Change::EndSession {
            id: SessionId(session),
        },
        16 => Change::ExtendRegistration {
            endpoint_id,
            registration_id: RegistrationId::from_text(&location),
            peer: Peer::udp(SocketAddr::from(([10, 0, 1, step.number], 1))),
            updated_at: time,
            expires_at: at(1000 + index as i64),
        },
        17 => {
            let number = step.device * 4 + i64::from(step.number);
            Change::Notified(Notified {
                id: ObservationId(number),
                endpoint_id,
                last_sequence: Some(1_000 + index as u32),
                last_message_id: Some(index as u16),
                last_hash: Some(number),
                notified_at: Some(time),
                notifications: index as u64,
            })
        }
        _ => {
            let mut node = temperature(index as f64);
            node.time = Some(at(i64::from(step.number)));
            values(endpoint_id, vec![node], at(50))
        }
    }
}

async fn state(store: &Store) -> Vec<String> {
    let mut state = Vec::new();
    for device in 1..=DEVICES {
        let stored = store.load_endpoint(EndpointId(device)).await.expect("read");
        state.push(format!("{:?}", stored.registration));
        state.push(format!("{:?}", stored.observations));
        state.push(format!("{:?}", stored.learned));
        state.push(format!("{:?}", stored.wanted));
        state.push(format!("{:?}", stored.profile));
        let row = store
            .find(&name(&format!("device-{device}")))
            .await
            .expect("read")
            .expect("there");
        state.push(format!("{:?}", row.last_seen_at));
        state.push(format!(
            "{:?}",
            store.latest(EndpointId(device)).await.expect("read")
        ));
    }
    state.push(format!("{:?}", kept_sessions(store).await));
    state
}

async fn run(engine: Engine, runs: Vec<Vec<Step>>) {
    let (Some(together), Some(apart)) = (TestDatabase::new(engine), TestDatabase::new(engine))
    else {
        return;
    };
    let together = together_settings(together);
    let (together_store, apart_store) = (together.open().await, apart.open().await);
    let base = observation(&apart_store, EndpointId(1), 0);
    for steps in runs {
        for (store, wait_for_each) in [(&together_store, false), (&apart_store, true)] {
            // Every device is there from the beginning, without a registration.
            for device in 1..=DEVICES {
                let begin = Step {
                    device,
                    kind: 0,
                    number: 0,
                };
                let end = Step {
                    device,
                    kind: 2,
                    number: 0,
                };
                for step in [begin, end] {
                    store
                        .commit(commit([change(store, &base, 0, step)]))
                        .await
                        .expect("committed");
                }
            }
            let mut waiting = Vec::new();
            for (index, step) in steps.iter().enumerate() {
                let done = store.commit(commit([change(store, &base, index, *step)]));
                if wait_for_each {
                    done.await.expect("committed");
                } else {
                    waiting.push(done);
                }
            }
            for result in join_all(waiting).await {
                result.expect("committed");
            }
        }
        let (together, apart) = (state(&together_store).await, state(&apart_store).await);
        assert_eq!(together, apart, "after {steps:#?}");
    }
    together_store.close().await;
    apart_store.close().await;
}

fn together_settings(mut database: TestDatabase) -> TestDatabase {
    database.settings.store.batch_delay_ms = 5;
    database
}

#[rstest]
fn any_order_of_changes(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::{Config, TestRunner};
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(
            proptest::test_runner::RngAlgorithm::ChaCha,
        ),
    );
    let runs = (0..60)
        .map(|_| steps().new_tree(&mut runner).expect("steps").current())
        .collect();
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(run(engine, runs));
}

#[rstest]
#[tokio::test]
async fn a_large_batch_takes_few_transactions(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let database = together_settings(database);
    let store = database.open().await;
    let mut waiting = Vec::new();
    for device in 0..2_500 {
        let id = store.ids().endpoint();
        let registration =
            registration(id, &format!("device-{device:05}"), &format!("rd-{device}"));
        let nodes = (0..4)
            .map(|number| temperature(f64::from(number)))
            .collect();
        waiting.push(store.commit(commit([
            Change::Register(Box::new(registration)),
            Change::SaveObservation(Box::new(observation(&store, id, 1))),
            values(id, nodes, at(0)),
            Change::Seen {
                endpoint_id: id,
                at: at(1),
            },
        ])));
    }
    for result in join_all(waiting).await {
        result.expect("committed");
    }
    assert_eq!(store.count().await.expect("read"), (2_500, 2_500));
    assert_eq!(store.metrics().values.get(), 10_000);
    let rows = database
        .numbers("SELECT COUNT(*) FROM latest_resource")
        .await;
    assert_eq!(rows, [2_500]);
    store.close().await;
}
