use flownexus::domain::{EndpointId, Node, Path, Timestamp, Value};
use flownexus::store::{
    Aggregate, FleetWriter as _, HistoryStore as _, Point, ResourceReader as _, Store,
};
use rstest::rstest;

use super::samples::{at, commit, device, name, values};
use crate::support::database::{Engine, TestDatabase};

const PATH: Path = Path::resource(3303, 0, 5700);

async fn store_values(
    store: &Store,
    device_name: &str,
    numbers: impl IntoIterator<Item = (i64, Value)>,
) -> EndpointId {
    let id = device(store, device_name).await;
    let nodes: Vec<Node> = numbers
        .into_iter()
        .map(|(time, value)| Node {
            path: PATH,
            value,
            time: Some(at(time)),
        })
        .collect();
    store
        .commit(commit([values(id, nodes, at(0))]))
        .await
        .expect("committed");
    id
}

/// All that is stored of the path, as so many points at most.
async fn all_time(store: &Store, id: EndpointId, points: usize) -> Vec<Point> {
    let (from, to) = (Timestamp::MIN, Timestamp::MAX);
    let history = store.history(id, PATH, from, to, points, Aggregate::default());
    history.await.expect("read")
}

#[rstest]
#[tokio::test]
async fn of_a_few_values_nothing_is_lost(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let numbers = [
        (5, Value::Integer(5)),
        (1, Value::Float(1.5)),
        (2, Value::Boolean(true)),
        (3, Value::String("no number".into())),
        (4, Value::UnsignedInteger(u64::MAX)),
        (6, Value::Float(f64::INFINITY)),
        (7, Value::Boolean(false)),
    ];
    let id = store_values(&store, "sensor", numbers).await;
    store_values(&store, "other", [(1, Value::Integer(999))]).await;
    let all = store
        .history(id, PATH, at(0), at(100), 100, Aggregate::default())
        .await
        .expect("read");
    let expected = [(1, 1.5), (2, 1.0), (4, u64::MAX as f64), (5, 5.0), (7, 0.0)]
        .map(|(time, value)| (at(time), value));
    assert_eq!(all, expected);
    let range = store
        .history(id, PATH, at(2), at(5), 100, Aggregate::default())
        .await
        .expect("read");
    assert_eq!(range, expected[1..3], "from is included, to is not");
    let history = async |path, from, to, points| {
        store
            .history(id, path, from, to, points, Aggregate::default())
            .await
            .expect("read")
            .len()
    };
    assert_eq!(history(PATH, at(0), at(100), 0).await, 0);
    assert_eq!(history(PATH, at(0), at(100), 1).await, 1);
    assert_eq!(history(PATH, at(100), at(0), 10).await, 0);
    assert_eq!(
        history(PATH, Timestamp::MIN, Timestamp::MAX, usize::MAX).await,
        5
    );
    assert_eq!(
        history(Path::instance(3303, 0), at(0), at(100), 10).await,
        0
    );
    assert_eq!(
        history(
            Path::resource_instance(3303, 0, 5700, 0),
            at(0),
            at(100),
            10
        )
        .await,
        0
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn of_very_many_values_the_peaks_stay(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    // More than are read into memory.
    let numbers = (0..45_000).map(|time| {
        let value = match time {
            12_345 => -40.0,
            30_001 => 95.0,
            0 => 1.0,
            44_999 => 2.0,
            _ => 20.0 + (time % 10) as f64 / 10.0,
        };
        (time, Value::Float(value))
    });
    let id = store_values(&store, "sensor", numbers).await;
    for points in [4, 5, 100, 1_000] {
        let history = all_time(&store, id, points).await;
        assert!(
            history.len() <= points && history.len() > points / 2,
            "{points}: {}",
            history.len()
        );
        assert!(
            history.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "in order"
        );
        assert_eq!(history.first(), Some(&(at(0), 1.0)));
        assert_eq!(history.last(), Some(&(at(44_999), 2.0)));
        assert!(history.contains(&(at(12_345), -40.0)), "{points}");
        assert!(history.contains(&(at(30_001), 95.0)), "{points}");
    }
    for (points, expected) in [(0, 0), (1, 1), (2, 2), (3, 3)] {
        let history = all_time(&store, id, points).await;
        assert_eq!(history.len(), expected);
    }
    let huge = all_time(&store, id, usize::MAX).await;
    assert!(
        huge.len() <= 10_000 + 2 && huge.len() > 5_000,
        "{}",
        huge.len()
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn many_values_at_one_moment_are_safe(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = store_values(
        &store,
        "sensor",
        (0..21_000).map(|number| (7, Value::Integer(number))),
    )
    .await;
    let history = all_time(&store, id, 10).await;
    assert!(!history.is_empty() && history.len() <= 10, "{history:?}");
    assert_eq!(history.first(), Some(&(at(7), 0.0)));
    assert_eq!(history.last(), Some(&(at(7), 20_999.0)));
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_resource_of_all_devices(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    store_values(
        &store,
        "one",
        [(1, Value::Integer(1)), (2, Value::Integer(2))],
    )
    .await;
    store_values(&store, "other", [(1, Value::Integer(3))]).await;
    let page = async |before| {
        let rows = store.by_type(3303, 5700, 2, before).await.expect("read");
        let last = rows.last().map(|(row, _)| *row);
        let values = rows.into_iter().map(|(_, it)| it);
        let values: Vec<_> = values.map(|it| (it.endpoint, it.value, it.time)).collect();
        (values, last)
    };
    let (newest, last) = page(None).await;
    assert_eq!(
        newest,
        [
            (name("other"), Value::Integer(3), at(1)),
            (name("one"), Value::Integer(2), at(2))
        ]
    );
    let (rest, last) = page(last).await;
    assert_eq!(rest, [(name("one"), Value::Integer(1), at(1))]);
    assert_eq!(page(last).await, (vec![], None));
    assert_eq!(store.by_type(3303, 5701, 2, None).await.expect("read"), []);
    store.close().await;
}
