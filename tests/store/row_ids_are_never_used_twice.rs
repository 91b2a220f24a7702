use std::collections::BTreeSet;

use flownexus::store::{Change, EndpointReader, FleetWriter as _, Store};
use rstest::rstest;

use super::samples::{at, commit, device, every_value, observation, operation};
use crate::support::database::{Engine, TestDatabase};

/// Stores one row of each kind and returns their ids.
async fn one_of_each(store: &Store) -> [i64; 4] {
    let id = device(store, "sensor").await;
    let observation = observation(store, id, 1);
    let operation = operation(store, id, "sensor");
    let event = store.ids().event();
    let ids = [id.0, observation.id.0, operation.id.0, event.0];
    store
        .commit(commit([
            Change::SaveObservation(Box::new(observation)),
            Change::SaveOperation(Box::new(operation)),
            Change::Event {
                id: event,
                endpoint_id: id,
                event_type: "x".into(),
                nodes: every_value(),
                at: at(0),
            },
        ]))
        .await
        .expect("committed");
    ids
}

#[rstest]
#[tokio::test]
async fn also_not_after_the_newest_rows_were_removed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let mut used: [BTreeSet<i64>; 5] = Default::default();
    for _ in 0..4 {
        let store = database.open().await;
        let ids = one_of_each(&store).await;
        let rows = database.numbers("SELECT id FROM resource").await;
        for (used, ids) in used
            .iter_mut()
            .zip(ids.map(|id| vec![id]).into_iter().chain([rows]))
        {
            for id in ids {
                assert!(used.insert(id), "{id} was used before");
            }
        }
        EndpointReader::remove(&store, flownexus::domain::EndpointId(ids[0]), None)
            .await
            .expect("removed");
        store.close().await;
    }
    assert_eq!(
        used[0],
        BTreeSet::from([1, 2, 3, 4]),
        "orderly stops leave no gaps"
    );
}

#[rstest]
#[tokio::test]
async fn also_not_after_a_commit_that_failed(
    #[values(Engine::Sqlite, Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let lost = store.ids().endpoint();
    let orphan = Change::SaveObservation(Box::new(observation(&store, lost, 1)));
    let refused = store.commit(commit([orphan])).await;
    assert_eq!(
        refused.is_err(),
        engine != Engine::Sqlite,
        "there is no such device"
    );
    assert!(device(&store, "sensor").await > lost);
    store.close().await;
}
