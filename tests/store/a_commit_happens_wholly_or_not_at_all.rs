use flownexus::domain::{EndpointId, Node, Path, Value};
use flownexus::store::{Change, EndpointReader, FleetWriter as _, ResourceReader as _, StoreError};
use futures_util::future::join_all;
use rstest::rstest;

use super::samples::{at, commit, device, name, registration, temperature, values};
use crate::support::database::{Engine, TestDatabase};

/// No device has this row, so nothing can be stored for it.
const NOBODY: EndpointId = EndpointId(999_999_999);

#[rstest]
#[tokio::test]
async fn none_of_its_changes_happens_when_one_fails(
    #[values(Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let new = store.ids().endpoint();
    let result = store
        .commit(commit([
            Change::Register(Box::new(registration(new, "new", "rd-new"))),
            values(id, vec![temperature(1.0)], at(0)),
            values(NOBODY, vec![temperature(2.0)], at(0)),
        ]))
        .await;
    assert!(matches!(result, Err(StoreError::Database(_))), "{result:?}");
    assert_eq!(
        EndpointReader::find(&store, &name("new"))
            .await
            .expect("read"),
        None
    );
    assert_eq!(store.latest(id).await.expect("read"), []);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn one_that_the_database_refuses_fails_alone(
    #[values(Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    database.settings.store.batch_delay_ms = 200;
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let batches = store.metrics().commits.get();
    let commits = (0..50_u16).map(|number| {
        let owner = if number % 20 == 7 { NOBODY } else { id };
        let node = Node::new(
            Path::resource(3303, number, 5700),
            Value::Integer(number.into()),
        );
        store.commit(commit([values(owner, vec![node], at(0))]))
    });
    let results = join_all(commits.collect::<Vec<_>>()).await;
    for (number, result) in results.iter().enumerate() {
        assert_eq!(result.is_err(), number % 20 == 7, "{number}: {result:?}");
    }
    assert_eq!(store.latest(id).await.expect("read").len(), 47);
    assert_eq!(store.metrics().failures.get(), 3);
    assert_eq!(store.metrics().commits.get() - batches, 47);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_value_without_a_resource_fails_alone(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    database.settings.store.batch_delay_ms = 200;
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let wrong = Node::new(Path::object(3), Value::Integer(1));
    let (wrong, right) = tokio::join!(
        store.commit(commit([values(id, vec![wrong], at(0))])),
        store.commit(commit([values(id, vec![temperature(1.0)], at(0))])),
    );
    assert!(wrong.expect_err("no resource").to_string().contains("/3"));
    right.expect("committed");
    assert_eq!(store.latest(id).await.expect("read").len(), 1);
    store.close().await;
}
