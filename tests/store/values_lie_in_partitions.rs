//! On PostgreSQL values lie in partitions by the day of their arrival.

use std::time::Duration;

use flownexus::domain::{EndpointId, Node, Path, Timestamp, Value};
use flownexus::store::{EventReader, FleetWriter as _, ResourceReader as _, Store};
use flownexus_migration::Migrator;
use sea_orm::ConnectionTrait as _;
use sea_orm_migration::{MigratorTrait as _, SchemaManager};

use super::samples::{at, commit, device, values};
use crate::support::database::{Engine, TestDatabase};

const PATH: Path = Path::resource(3303, 0, 5700);
const DAY: i64 = 86_400_000;

async fn receive(store: &Store, id: EndpointId, number: i64, received: Timestamp) {
    let node = Node::new(PATH, Value::Integer(number));
    let change = values(id, vec![node], received);
    store.commit(commit([change])).await.expect("committed");
}

/// How many rows each partition has, without empty ones.
async fn places(database: &TestDatabase) -> Vec<(String, i64)> {
    let connection = database.connection().await;
    let statement = sea_orm::Statement::from_string(
        connection.get_database_backend(),
        "SELECT tableoid::regclass::text, COUNT(*) FROM resource GROUP BY 1 ORDER BY 1",
    );
    let rows = connection.query_all_raw(statement).await.expect("rows");
    let places = rows
        .iter()
        .map(|row| {
            let name = row.try_get_by_index(0).expect("a name");
            (name, row.try_get_by_index(1).expect("a number"))
        })
        .collect();
    connection.close().await.expect("an orderly end");
    places
}

fn days(days: i64) -> Duration {
    Duration::from_millis((days * DAY).unsigned_abs())
}

#[tokio::test]
async fn that_are_made_ahead_and_dropped_whole() {
    let Some(mut database) = TestDatabase::new(Engine::Postgres) else {
        return;
    };
    database.settings.history.partition_days = 7;
    database.settings.history.raw_days = 10;
    let store = database.open().await;
    let now = Timestamp::system();
    let today = now.as_millis().div_euclid(DAY);
    let (id, silent) = (
        device(&store, "sensor").await,
        device(&store, "silent").await,
    );
    let event = store.ids().event();
    let of_event = flownexus::store::Change::Event {
        id: event,
        endpoint_id: id,
        event_type: "alarm".into(),
        nodes: vec![Node::new(PATH, Value::Integer(-1))],
        at: now,
    };
    store.commit(commit([of_event])).await.expect("committed");
    receive(&store, silent, 1, now).await;
    for number in 0..100 {
        receive(&store, id, number, now).await;
    }
    let first = format!("resource_d{today}");
    assert_eq!(places(&database).await, [(first.clone(), 102)]);

    // The days go by.
    let later = now.plus(days(9));
    store.tidy_history(later).await.expect("tidied");
    receive(&store, id, 1_000, later).await;
    let second = format!("resource_d{}", today + 7);
    assert_eq!(places(&database).await, [(first, 102), (second.clone(), 1)]);

    // The first partition is over age: two of its values outlive it.
    store.roll_up().await.expect("added up");
    let later = now.plus(days(18));
    store.tidy_history(later).await.expect("tidied");
    let rest = "resource_rest".to_owned();
    assert_eq!(places(&database).await, [(second, 1), (rest, 2)]);
    // The other was that of the time before partitions, which is empty here.
    assert_eq!(store.metrics().history_partitions_dropped.get(), 2);
    let latest = store.latest(silent).await.expect("read");
    assert_eq!(latest[0].value, Value::Integer(1));
    let found = EventReader::find(&store, event).await.expect("read");
    assert_eq!(found.expect("there").1[0].value, Value::Integer(-1));
    let newest = store.by_type(3303, 5700, 10, None).await.expect("read");
    let newest: Vec<_> = newest.into_iter().map(|(_, is)| is.value).collect();
    assert_eq!(newest, [1_000, 1, -1].map(Value::Integer));
    store.close().await;
    // It goes on behind them, also when it was off for long.
    let store = database.open().await;
    receive(&store, id, 2_000, later).await;
    let latest = store.latest(id).await.expect("read");
    assert_eq!(latest[0].value, Value::Integer(2_000));
    store.close().await;
}

#[tokio::test]
async fn and_a_clock_that_jumps_loses_none() {
    let Some(database) = TestDatabase::new(Engine::Postgres) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let now = Timestamp::system();
    let far = now.plus(days(20_000));
    store.tidy_history(far).await.expect("tidied");
    receive(&store, id, 1, far).await;
    store.tidy_history(now).await.expect("tidied");
    receive(&store, id, 2, now.plus(days(1))).await;
    store.close().await;
    let store = database.open().await;
    receive(&store, id, 3, now.plus(days(2))).await;
    let all = store.by_type(3303, 5700, 10, None).await.expect("read");
    let all: Vec<_> = all.into_iter().map(|(_, is)| is.value).collect();
    assert_eq!(
        all,
        [3, 2, 1].map(Value::Integer),
        "in the order of arrival"
    );
    store.close().await;
}

#[tokio::test]
async fn and_values_of_before_are_there_up_and_down() {
    let Some(database) = TestDatabase::new(Engine::Postgres) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    receive(&store, id, 1, at(0)).await;
    store.close().await;
    let connection = database.connection().await;
    let schema = SchemaManager::new(&connection);
    while schema.has_table("resource_rest").await.expect("asked") {
        Migrator::down(&connection, Some(1)).await.expect("down");
    }
    let moved = "UPDATE resource SET id = 7; UPDATE latest_resource SET resource_row = 7";
    connection.execute_unprepared(moved).await.expect("written");
    connection.close().await.expect("an orderly end");
    assert_eq!(places(&database).await, [("resource".to_owned(), 1)]);

    let store = database.open().await;
    receive(&store, id, 2, at(1)).await;
    let all = store.by_type(3303, 5700, 10, None).await.expect("read");
    assert_eq!(all.len(), 2);
    assert_eq!((all[1].0, &all[1].1.value), (7, &Value::Integer(1)));
    assert_eq!(places(&database).await.len(), 2);
    assert_eq!(
        store.latest(id).await.expect("read")[0].value,
        Value::Integer(2)
    );
    store.close().await;
}

/// A row is looked for in its own partition, and a path in all of them by its index.
#[tokio::test]
async fn and_questions_look_into_few_of_them() {
    let Some(mut database) = TestDatabase::new(Engine::Postgres) else {
        return;
    };
    database.settings.history.partition_days = 2;
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    for day in 0..5 {
        let now = Timestamp::system().plus(days(day));
        store.tidy_history(now).await.expect("tidied");
        for number in 0..200 {
            receive(&store, id, number, now).await;
        }
    }
    store.close().await;
    let rows = "SELECT resource_row FROM latest_resource WHERE endpoint_id = ";
    let row = database.numbers(&format!("{rows}{id}")).await[0];
    let connection = database.connection().await;
    let sql = format!("EXPLAIN (COSTS OFF) SELECT * FROM resource WHERE id IN ({row})");
    let statement = sea_orm::Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.expect("a plan");
    let plan: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(0).expect("a line"))
        .collect();
    let looked = plan
        .iter()
        .filter(|line| line.contains("on resource_"))
        .count();
    assert_eq!(looked, 1, "{plan:#?}");
    connection.close().await.expect("an orderly end");
}
