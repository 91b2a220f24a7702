use std::time::Duration;

use flownexus::domain::{EndpointId, Registration, Timestamp};
use flownexus::store::{Change, FleetLoader as _, FleetWriter as _, StoredFleet};
use rstest::rstest;

use super::samples::{commit, registration};
use crate::support::database::{Engine, TestDatabase};

const HOUR: Duration = Duration::from_secs(3600);

#[rstest]
#[tokio::test]
async fn once_and_on_disk(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let now = Timestamp::system();
    let before = Timestamp::clamped_from_millis(now.as_millis() - HOUR.as_millis() as i64);
    let (one, other) = (store.ids().endpoint(), store.ids().endpoint());
    let mortal = Registration {
        expires_at: now,
        ..registration(one, "mortal", "rd-1")
    };
    let immortal = Registration {
        expires_at: Timestamp::MAX,
        ..registration(other, "immortal", "rd-2")
    };
    store
        .commit(commit(
            [mortal, immortal].map(|it| Change::Register(Box::new(it))),
        ))
        .await
        .expect("committed");
    store.heartbeat(before).await.expect("noted");

    let grace = Duration::from_secs(93);
    let fleet = store.load(grace).await.expect("loaded");
    assert!(
        fleet.downtime >= HOUR && fleet.downtime < HOUR * 2,
        "{:?}",
        fleet.downtime
    );
    let expiry = |fleet: &StoredFleet, id: EndpointId| {
        let mut all = fleet.registered.iter();
        all.find(|it| it.endpoint_id == id)
            .expect("there")
            .expires_at
    };
    let extended = expiry(&fleet, one);
    assert_eq!(extended, now.plus(fleet.downtime).plus(grace));
    assert_eq!(expiry(&fleet, other), Timestamp::MAX);

    // A crash right after the start: the same hour is not forgiven a second time.
    let fleet = store.load(Duration::ZERO).await.expect("loaded");
    assert!(fleet.downtime < HOUR, "{:?}", fleet.downtime);
    assert_eq!(expiry(&fleet, one), extended.plus(fleet.downtime));
    let loaded = store.load_endpoint(one).await.expect("loaded");
    let registration = loaded.registration.expect("registered");
    assert_eq!(registration.expires_at, expiry(&fleet, one));
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_clock_that_went_back_forgives_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    assert_eq!(
        store.load(Duration::ZERO).await.expect("loaded").downtime,
        Duration::ZERO,
        "the first start"
    );
    store
        .heartbeat(Timestamp::system().plus(HOUR))
        .await
        .expect("noted");
    assert_eq!(
        store.load(Duration::ZERO).await.expect("loaded").downtime,
        Duration::ZERO
    );
    store.close().await;
}
