//! How long values and what is computed of them are kept.

use std::time::Duration;

use flownexus::domain::{EndpointId, Node, Path, Timestamp, Value};
use flownexus::store::{
    Aggregate, Change, EventReader, FleetWriter as _, HistoryStore as _, ResourceReader as _,
    Retention, Store,
};
use rstest::rstest;

use super::samples::{at, by, commit, device, values};
use crate::support::database::{Engine, TestDatabase};

const PATH: Path = Path::resource(3303, 0, 5700);
const DAY: Duration = Duration::from_secs(86_400);

fn days(days: u32) -> Duration {
    DAY * days
}

/// Ten minutes of a value each second, that arrived when it was measured.
async fn ten_minutes(store: &Store, id: EndpointId, begin: Timestamp, path: Path) {
    let nodes = (0..600).map(|n| Node {
        path,
        value: Value::Integer(n),
        time: Some(begin.plus(Duration::from_secs(n.cast_unsigned()))),
    });
    let change = values(id, nodes.collect(), begin.plus(Duration::from_secs(600)));
    store.commit(commit([change])).await.expect("committed");
}

async fn count(database: &TestDatabase, table: &str) -> i64 {
    let sql = format!("SELECT COUNT(*) FROM {table}");
    database.numbers(&sql).await[0]
}

#[rstest]
#[tokio::test]
async fn by_their_type_but_never_the_latest_nor_those_of_events(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    let settings = &mut database.settings.history;
    settings.raw_days = 30;
    // Nothing is added up before it is asked for.
    (settings.roll_up_after_s, settings.max_lag_s) = (u64::MAX, u64::MAX);
    let store = database.open().await;
    let (id, silent) = (
        device(&store, "sensor").await,
        device(&store, "silent").await,
    );
    let event = store.ids().event();
    let shown = Node::new(PATH, Value::Integer(77));
    let change = Change::Event {
        id: event,
        endpoint_id: id,
        event_type: "alarm".into(),
        nodes: vec![shown.clone()],
        at: at(0),
    };
    store.commit(commit([change])).await.expect("committed");
    ten_minutes(&store, id, at(0), PATH).await;
    ten_minutes(&store, id, at(0), Path::resource_instance(3304, 0, 5700, 1)).await;
    ten_minutes(&store, silent, at(0), PATH).await;
    ten_minutes(&store, id, at(0).plus(days(20)), PATH).await;
    let retention = Retention {
        raw_days: Some(5),
        ..Retention::default()
    };
    let set = store.set_retention(3303, 5700, retention, by()).await;
    assert_eq!(set.expect("stored").name, "temperature");

    let kept = 601 + 600 + 600 + 600;
    let now = at(0).plus(days(10));
    store.tidy_history(now).await.expect("tidied");
    assert_eq!(
        count(&database, "resource").await,
        kept,
        "nothing is added up yet"
    );
    store.roll_up().await.expect("added up");
    store.tidy_history(now).await.expect("tidied");
    // Of the temperature: the event's, the latest of the silent device, and the new ones.
    assert_eq!(count(&database, "resource").await, 1 + 600 + 1 + 600);
    let latest = store.latest(silent).await.expect("read");
    assert_eq!(latest[0].value, Value::Integer(599));
    let found = EventReader::find(&store, event).await.expect("read");
    assert_eq!(found.expect("there").1[0].value, shown.value);
    assert_eq!(store.metrics().history_removed.get(), 600 + 599);

    // The rest by the default of the settings; again and again nothing else.
    for _ in 0..2 {
        store
            .tidy_history(now.plus(days(300)))
            .await
            .expect("tidied");
        assert_eq!(count(&database, "resource").await, 1 + 1 + 1 + 1);
    }
    assert_eq!(store.latest(id).await.expect("read").len(), 2);

    // What outlives its age is looked at again the next day: it is the latest no longer.
    ten_minutes(&store, silent, at(0).plus(days(400)), PATH).await;
    store.roll_up().await.expect("added up");
    store
        .tidy_history(now.plus(days(391)))
        .await
        .expect("tidied");
    assert_eq!(count(&database, "resource").await, 1 + 600 + 1 + 1);

    // What was computed stays, and charts show it.
    let chart = store
        .history(silent, PATH, at(0), at(86_400_000), 1_000, Aggregate::Count)
        .await
        .expect("read");
    assert_eq!(chart.iter().map(|point| point.1).sum::<f64>(), 600.0);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn and_finer_stretches_before_coarser_ones(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    ten_minutes(&store, id, at(0), PATH).await;
    ten_minutes(&store, id, at(0), Path::resource(3304, 0, 5700)).await;
    store.roll_up().await.expect("added up");
    let whole = [
        count(&database, "rollup_minute").await,
        count(&database, "rollup_hour").await,
        count(&database, "rollup_day").await,
    ];
    assert_eq!(whole[2], 2);
    let retention = Retention {
        raw_days: Some(1),
        minute_days: Some(2),
        hour_days: Some(4),
        day_days: Some(8),
    };
    store
        .set_retention(3303, 5700, retention, by())
        .await
        .expect("stored");
    let known = store.retentions().await.expect("read");
    let temperature = known.iter().find(|(is, _)| is.name == "temperature");
    assert_eq!(temperature.map(|(_, is)| *is), Some(retention));
    let chart = async || {
        let (from, to) = (at(-86_400_000), at(86_400_000));
        let chart = store.history(id, PATH, from, to, 100, Aggregate::Max);
        let chart = chart.await.expect("read");
        chart
            .into_iter()
            .map(|point| point.1)
            .reduce(f64::max)
            .unwrap_or_default()
    };
    for (age, minutes, hours, day_rows) in [
        (1, whole[0], whole[1], 2),
        (3, whole[0] / 2, whole[1], 2),
        (5, whole[0] / 2, whole[1] / 2, 2),
        (9, whole[0] / 2, whole[1] / 2, 1),
    ] {
        let now = at(0).plus(days(age));
        store.tidy_history(now).await.expect("tidied");
        let left = [
            count(&database, "rollup_minute").await,
            count(&database, "rollup_hour").await,
            count(&database, "rollup_day").await,
        ];
        assert_eq!(left, [minutes, hours, day_rows], "after {age} days");
        assert_eq!(chart().await, 599.0, "after {age} days");
    }
    // A value that comes this late begins a new day, and the rest goes on.
    ten_minutes(&store, id, at(0), PATH).await;
    store.roll_up().await.expect("added up");
    assert_eq!(chart().await, 599.0);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_resource_without_a_type_gets_one(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let retention = Retention {
        raw_days: Some(0),
        ..Retention::default()
    };
    let set = store.set_retention(65_534, 1, retention, by()).await;
    assert_eq!(set.expect("stored").name, "65534_1");
    let known = store.retentions().await.expect("read");
    assert_eq!(known.last().map(|(_, is)| *is), Some(retention));
    assert_eq!(known.len(), store.types().await.expect("read").len());
    store.close().await;
}
