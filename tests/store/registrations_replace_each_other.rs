use std::net::SocketAddr;

use flownexus::domain::{Peer, Registration, RegistrationId};
use flownexus::store::{
    Change, EndpointReader as _, FleetLoader as _, FleetWriter as _, StoredEndpoint,
};
use rstest::rstest;

use super::samples::{at, commit, name, observation, operation, registration, stored};
use crate::support::database::{Engine, TestDatabase};

#[rstest]
#[tokio::test]
async fn a_new_one_forgets_the_observations_but_not_the_operations(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = store.ids().endpoint();
    let first = registration(id, "sensor", "rd-1");
    let queued = operation(&store, id, "sensor");
    store
        .commit(commit([
            Change::Register(Box::new(first)),
            Change::SaveObservation(Box::new(observation(&store, id, 1))),
            Change::SaveOperation(Box::new(queued.clone())),
        ]))
        .await
        .expect("committed");
    let second = Registration {
        updated_at: at(5),
        ..registration(id, "sensor", "rd-2")
    };
    let fresh = observation(&store, id, 2);
    store
        .commit(commit([
            Change::SaveObservation(Box::new(observation(&store, id, 3))),
            Change::Register(Box::new(second.clone())),
            Change::SaveObservation(Box::new(fresh.clone())),
        ]))
        .await
        .expect("committed");
    assert_eq!(
        store.load_endpoint(id).await.expect("read"),
        stored(Some(second), vec![fresh], vec![queued])
    );
    let row = store
        .find(&name("sensor"))
        .await
        .expect("read")
        .expect("there");
    assert_eq!((row.created_at, row.last_seen_at), (at(0), Some(at(5))));
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn changes_that_come_late_touch_no_newer_one(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = store.ids().endpoint();
    let (old, new) = (
        registration(id, "sensor", "rd-old"),
        registration(id, "sensor", "rd-new"),
    );
    let kept = observation(&store, id, 1);
    store
        .commit(commit([
            Change::Register(Box::new(old.clone())),
            Change::Register(Box::new(new.clone())),
            Change::SaveObservation(Box::new(kept.clone())),
            Change::EndRegistration {
                endpoint_id: id,
                registration_id: old.id.clone(),
            },
            Change::UpdateRegistration(Box::new(Registration {
                binding: "UQ".into(),
                ..old
            })),
        ]))
        .await
        .expect("committed");
    assert_eq!(
        store.load_endpoint(id).await.expect("read"),
        stored(Some(new.clone()), vec![kept], vec![])
    );

    let end = Change::EndRegistration {
        endpoint_id: id,
        registration_id: new.id.clone(),
    };
    let late = Change::UpdateRegistration(Box::new(new));
    store.commit(commit([end, late])).await.expect("committed");
    assert_eq!(
        store.load_endpoint(id).await.expect("read"),
        StoredEndpoint::default(),
        "it does not come back"
    );
    assert!(
        store.find(&name("sensor")).await.expect("read").is_some(),
        "the device does not go"
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn small_changes_change_only_what_they_name(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (id, other) = (store.ids().endpoint(), store.ids().endpoint());
    let before = registration(id, "sensor", "rd-1");
    let bystander = registration(other, "bystander", "rd-2");
    let peer = Peer::udp(SocketAddr::from(([198, 51, 100, 7], 1024)));
    store
        .commit(commit([
            Change::Register(Box::new(before.clone())),
            Change::Register(Box::new(bystander.clone())),
            Change::Moved {
                endpoint_id: id,
                peer,
            },
            Change::ReserveMessageIds {
                endpoint_id: id,
                mark: 256,
            },
            Change::Seen {
                endpoint_id: id,
                at: at(9),
            },
            Change::Seen {
                endpoint_id: id,
                at: at(8),
            },
        ]))
        .await
        .expect("committed");
    let after = Registration {
        peer,
        message_id_mark: 256,
        ..before
    };
    assert_eq!(
        store.load_endpoint(id).await.expect("read").registration,
        Some(after)
    );
    assert_eq!(
        store.load_endpoint(other).await.expect("read").registration,
        Some(bystander)
    );
    let row = store
        .find(&name("sensor"))
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        row.last_seen_at,
        Some(at(9)),
        "nobody is seen earlier than before"
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_registration_lives_on_where_it_is_the_one_that_was_updated(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = store.ids().endpoint();
    let before = registration(id, "sensor", "rd-2");
    let extend = |location: &str, seconds: i64| Change::ExtendRegistration {
        endpoint_id: id,
        registration_id: RegistrationId::from_text(location),
        peer: Peer::udp(SocketAddr::from(([198, 51, 100, seconds as u8], 1024))),
        updated_at: at(seconds),
        expires_at: at(1000 + seconds),
    };
    let changes = [
        Change::Register(Box::new(before.clone())),
        extend("rd-2", 20),
        extend("rd-1", 30),
    ];
    store.commit(commit(changes)).await.expect("committed");
    let after = Registration {
        peer: Peer::udp(SocketAddr::from(([198, 51, 100, 20], 1024))),
        updated_at: at(20),
        expires_at: at(1020),
        ..before
    };
    let stored = store.load_endpoint(id).await.expect("read").registration;
    assert_eq!(stored, Some(after));
    let row = store.find(&name("sensor")).await.expect("read");
    assert_eq!(
        row.expect("there").last_seen_at,
        Some(at(20)),
        "an Update is a sign of life"
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_name_belongs_to_one_device(
    #[values(Engine::Sqlite, Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (one, other) = (store.ids().endpoint(), store.ids().endpoint());
    store
        .commit(commit([Change::Register(Box::new(registration(
            one, "sensor", "rd-1",
        )))]))
        .await
        .expect("committed");
    let twin = store
        .commit(commit([Change::Register(Box::new(registration(
            other, "sensor", "rd-2",
        )))]))
        .await;
    assert_eq!(twin.is_err(), engine != Engine::Sqlite);
    let row = store
        .find(&name("sensor"))
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        row.registration.map(|it| it.id),
        Some(RegistrationId::from_text("rd-1"))
    );
    store.close().await;
}
