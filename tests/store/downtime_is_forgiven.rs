use std::time::Duration;

use flownexus::domain::{EndpointId, Registration, Timestamp};
use flownexus::store::{
    Change, EndpointFilter, EndpointReader as _, FleetLoader as _, FleetWriter as _, Store,
    StoredFleet,
};
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

/// What was forgiven before an Update is no part of what the Update says, in no process from then on, and what
/// is forgiven later is added to it.
#[rstest]
#[tokio::test]
async fn updates_after_a_restart_end_when_they_say(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (quiet, updated, extended) = (
        store.ids().endpoint(),
        store.ids().endpoint(),
        store.ids().endpoint(),
    );
    let end = Timestamp::system().plus(HOUR);
    let registrations = [
        (quiet, "quiet"),
        (updated, "updated"),
        (extended, "extended"),
    ]
    .map(|(id, name)| Registration {
        expires_at: end,
        ..registration(id, name, name)
    });
    let register = registrations.clone().map(Box::new).map(Change::Register);
    store.commit(commit(register)).await.expect("committed");
    let stored = "SELECT expires_at FROM registration ORDER BY endpoint_id";
    TestDatabase::in_tables(&store).await;
    let before = database.numbers(stored).await;
    went_down(&store, HOUR).await;
    store.close().await;

    let store = database.open().await;
    let first = store.load(Duration::ZERO).await.expect("loaded");
    let forgiven = end.plus(first.downtime);
    assert_eq!(
        [quiet, updated, extended].map(|id| expiry(&first, id)),
        [forgiven; 3]
    );
    assert_eq!(
        database.numbers(stored).await,
        before,
        "a restart does not touch what is stored of each device"
    );
    let later = end.plus(HOUR * 5);
    let [_, second, third] = registrations;
    let update = Registration {
        expires_at: later,
        ..second
    };
    let extend = Change::ExtendRegistration {
        endpoint_id: extended,
        registration_id: third.id,
        peer: third.peer,
        updated_at: third.updated_at,
        expires_at: later,
    };
    store
        .commit(commit([
            Change::UpdateRegistration(Box::new(update)),
            extend,
        ]))
        .await
        .expect("committed");
    assert_eq!(
        shown(&store).await,
        [forgiven, later, later],
        "in this process"
    );
    store.close().await;

    let store = database.open().await;
    let beside = database.open_beside().await;
    for (whose, store) in [
        ("the next process", &store),
        ("a process beside it", &beside),
    ] {
        assert_eq!(shown(store).await, [forgiven, later, later], "{whose}");
    }
    beside.close().await;
    went_down(&store, HOUR).await;
    let grace = Duration::from_secs(93);
    let fleet = store.load(grace).await.expect("loaded");
    let more = fleet.downtime + grace;
    let ends = [forgiven.plus(more), later.plus(more), later.plus(more)];
    assert_eq!(
        [quiet, updated, extended].map(|id| expiry(&fleet, id)),
        ends
    );
    assert_eq!(shown(&store).await, ends);
    let actors = store
        .load_endpoints(vec![quiet, updated, extended])
        .await
        .expect("loaded");
    let of_actors = actors.into_iter().map(|(_, stored)| {
        let registration = stored.expect("readable").registration.expect("registered");
        registration.expires_at
    });
    assert_eq!(of_actors.collect::<Vec<_>>(), ends);
    store.close().await;
}

/// A device whose clock begins in 1970 at each start can seem to have been down for half a century, again and again.
#[rstest]
#[tokio::test]
async fn centuries_are_forgiven_too(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let beginning = Timestamp::clamped_from_millis(0);
    let end = Timestamp::system().plus(HOUR);
    for _ in 0..200 {
        store.heartbeat(beginning).await.expect("noted");
        store.load(Duration::ZERO).await.expect("loaded");
    }
    let id = store.ids().endpoint();
    let one = Registration {
        expires_at: end,
        ..registration(id, "one", "rd-1")
    };
    store
        .commit(commit([Change::Register(Box::new(one))]))
        .await
        .expect("committed");
    assert_eq!(shown(&store).await, [end]);
    let fleet = store.load(HOUR).await.expect("loaded");
    assert_eq!(expiry(&fleet, id), end.plus(fleet.downtime).plus(HOUR));
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

/// When the registration of a device ends.
fn expiry(fleet: &StoredFleet, id: EndpointId) -> Timestamp {
    let mut all = fleet.registered.iter();
    all.find(|it| it.endpoint_id == id)
        .expect("there")
        .expires_at
}

/// When registrations end as people see it, in the order in which the devices came.
async fn shown(store: &Store) -> Vec<Timestamp> {
    let filter = EndpointFilter {
        limit: 10,
        ..EndpointFilter::default()
    };
    let (mut rows, _) = store.list(&filter).await.expect("listed");
    rows.sort_by_key(|row| row.id);
    for row in &rows {
        let found = store.find(&row.name).await.expect("found");
        assert_eq!(found.as_ref(), Some(row));
    }
    rows.into_iter()
        .map(|row| row.registration.expect("registered").expires_at)
        .collect()
}

/// The last sign of life was so long ago.
async fn went_down(store: &Store, ago: Duration) {
    let at = Timestamp::system().minus(ago);
    store.heartbeat(at).await.expect("noted");
}
