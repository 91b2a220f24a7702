//! Several series in one answer: values where these are few, stretches with mean and extremes where not, each summed
//! up over all its values; and the values as they came, page by page.

use flownexus::domain::{Doer, EndpointId, Node, Path, Timestamp, Value};
use flownexus::store::{
    AuditStore, FleetWriter as _, PinChange, PinStore, Series, SeriesReader as _, Store, StoreError,
};
use rstest::rstest;

use super::samples::{self, commit, device, newest, values};
use crate::support::database::{Engine, TestDatabase};

const WARM: Path = Path::resource(3303, 0, 5700);
const SWITCH: Path = Path::resource(3342, 0, 5500);

/// A moment, in seconds.
fn at(seconds: i64) -> Timestamp {
    samples::at(seconds * 1000)
}

async fn stored(
    store: &Store,
    name: &str,
    path: Path,
    numbers: impl IntoIterator<Item = (i64, Value)>,
) -> EndpointId {
    let id = device(store, name).await;
    add(store, id, path, numbers).await;
    id
}

async fn add(
    store: &Store,
    id: EndpointId,
    path: Path,
    numbers: impl IntoIterator<Item = (i64, Value)>,
) {
    let nodes: Vec<Node> = numbers
        .into_iter()
        .map(|(time, value)| Node {
            path,
            value,
            time: Some(at(time)),
        })
        .collect();
    let stored = store.commit(commit([values(id, nodes, at(0))]));
    stored.await.expect("committed");
}

async fn series(store: &Store, id: EndpointId, to: Timestamp, points: usize) -> Series {
    let all = store.series(vec![(id, WARM)], at(0), to, points).await;
    all.expect("read").pop().expect("one")
}

#[rstest]
#[tokio::test]
async fn few_values_are_points_and_many_are_stretches(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let wave = |time: i64| f64::from(i32::try_from(time % 100).expect("small"));
    let many = (0..6_000).map(|time| (time, Value::Float(wave(time))));
    let id = stored(&store, "many", WARM, many).await;
    let on = [(3, Value::Boolean(true)), (5, Value::Boolean(false))];
    let switch = stored(&store, "switch", SWITCH, on).await;
    let nobody = device(&store, "silent").await;
    for rolled_up in [false, true] {
        if rolled_up {
            store.roll_up().await.expect("added up");
        }
        let wanted = vec![(switch, SWITCH), (id, WARM), (nobody, WARM)];
        let all = store.series(wanted, at(0), at(6_000), 101).await;
        let all = all.expect("read");
        let [few, many, none] = all.as_slice() else {
            panic!("three series in their order: {all:?}");
        };
        assert_eq!(few.step_ms, None);
        let points: Vec<(Timestamp, f64)> = few.points.iter().map(|p| (p.time, p.mean)).collect();
        assert_eq!(points, [(at(3), 1.0), (at(5), 0.0)]);
        assert_eq!(*none, Series::default());
        // 6,000 seconds in stretches of a minute, each of more than half of the wave.
        assert_eq!(many.step_ms, Some(60_000));
        assert!(many.points.len() <= 101, "{}", many.points.len());
        for point in &many.points {
            assert!(point.min <= point.mean && point.mean <= point.max);
            assert!(point.max - point.min >= 19.0, "{point:?}");
        }
        let summary = many.summary.expect("values");
        assert_eq!(summary.count, 6_000);
        assert_eq!((summary.min, summary.max, summary.last), (0.0, 99.0, 99.0));
        assert!((summary.mean - 49.5).abs() < 1e-9, "{summary:?}");
        assert_eq!(summary.last_at, at(5_999));
        // Zoomed in far enough each point is a value again.
        let zoomed = series(&store, id, at(50), 100).await;
        assert_eq!((zoomed.step_ms, zoomed.points.len()), (None, 50));
        assert_eq!(zoomed.points[7].mean, 7.0);
        assert_eq!(series(&store, id, at(0), 100).await, Series::default());
        assert_eq!(series(&store, id, at(50), 0).await, Series::default());
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn values_come_page_by_page_each_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    // Three of them have the same time.
    let numbers = [1, 2, 2, 2, 3].map(|time| (time, Value::Integer(time)));
    let text = [(2, Value::String("none".into()))];
    let id = stored(&store, "one", WARM, numbers.into_iter().chain(text)).await;
    for limit in 1..=6 {
        let (mut rows, mut after) = (Vec::new(), None);
        loop {
            let page = store.raw_values(id, WARM, at(0), at(10), after, limit);
            let page = page.await.expect("read");
            assert!(page.len() as u64 <= limit);
            let Some(last) = page.last() else { break };
            after = Some((last.time, last.row));
            rows.extend(page);
        }
        let values: Vec<&Value> = rows.iter().map(|value| &value.value).collect();
        let expected = [1, 2, 2, 2, 3].map(Value::Integer);
        assert_eq!(values, expected.iter().collect::<Vec<_>>(), "by {limit}");
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn what_devices_have_is_known_by_path(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let one = stored(
        &store,
        "one",
        WARM,
        [(1, Value::Float(1.0)), (9, Value::Float(9.0))],
    )
    .await;
    add(&store, one, SWITCH, [(2, Value::Boolean(true))]).await;
    let two = stored(&store, "two", WARM, [(3, Value::Float(f64::NAN))]).await;
    let paths = store.paths(vec![two, one]).await.expect("read");
    assert_eq!(paths, [(one, WARM), (one, SWITCH), (two, WARM)]);
    assert_eq!(store.paths(vec![]).await.expect("read"), []);
    let latest = store.latest_at(vec![one, two], vec![WARM]).await;
    let latest = latest.expect("read");
    assert_eq!(latest.len(), 2);
    assert_eq!((latest[0].endpoint_id, latest[0].time), (one, at(9)));
    assert_eq!(latest[0].value, Value::Float(9.0));
    assert!(matches!(latest[1].value, Value::Float(number) if number.is_nan()));
    let none = store.latest_at(vec![one], vec![]).await;
    assert_eq!(none.expect("read"), []);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn pinned_charts_keep_their_order_and_say_who_did_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let by = || Doer {
        actor: "ada".to_owned(),
        remote: "192.0.2.1".to_owned(),
    };
    let view = "series=/3303/0/5700@one";
    let mut ids = Vec::new();
    for title in ["a", "b", "c"] {
        let pin = PinStore::add(&store, title.to_owned(), view.to_owned(), by(), 3).await;
        ids.push(pin.expect("pinned").id);
    }
    let full = PinStore::add(&store, "d".to_owned(), view.to_owned(), by(), 3).await;
    assert!(matches!(full, Err(StoreError::Full { limit: 3, .. })));
    let change = PinChange {
        title: Some("first".to_owned()),
        place: Some(0),
        ..PinChange::default()
    };
    let moved = store.change(ids[2], change, by()).await.expect("changed");
    assert_eq!(moved.expect("there").title, "first");
    let last = PinChange {
        place: Some(usize::MAX),
        ..PinChange::default()
    };
    store.change(ids[0], last, by()).await.expect("changed");
    assert!(store.remove(ids[1], by()).await.expect("removed"));
    assert!(!store.remove(ids[1], by()).await.expect("nothing"));
    let nobody = store.change(ids[1], PinChange::default(), by()).await;
    assert_eq!(nobody.expect("nothing"), None);
    store.close().await;

    let store = database.open().await;
    let pins = PinStore::list(&store).await.expect("read");
    let titles: Vec<&str> = pins.iter().map(|pin| pin.title.as_str()).collect();
    assert_eq!(titles, ["first", "a"]);
    assert_eq!(
        (pins[0].view.as_str(), pins[0].created_by.as_str()),
        (view, "ada")
    );
    let lines = AuditStore::list(&store, &newest(20, None))
        .await
        .expect("read");
    let lines: Vec<(&str, &str)> = lines
        .iter()
        .rev()
        .map(|line| (line.action.as_str(), line.subject.as_str()))
        .collect();
    let expected = [
        ("pinned_chart.create", "a"),
        ("pinned_chart.create", "b"),
        ("pinned_chart.create", "c"),
        ("pinned_chart.update", "first"),
        ("pinned_chart.update", "a"),
        ("pinned_chart.delete", "b"),
    ];
    assert_eq!(lines, expected);
    store.close().await;
}
