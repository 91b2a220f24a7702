use flownexus::domain::{EndpointId, Node, Path, Timestamp, Value};
use flownexus::store::{
    Aggregate, Change, FleetWriter as _, HistoryStore as _, ResourceReader as _, Store,
};
use rstest::rstest;

use super::samples::{at, commit, device, temperature, values};
use crate::support::database::{Engine, TestDatabase};

fn measured(value: f64, time: Timestamp) -> Node {
    Node {
        time: Some(time),
        ..temperature(value)
    }
}

async fn latest(store: &Store, id: EndpointId) -> Vec<(Path, Value)> {
    store
        .latest(id)
        .await
        .expect("read")
        .into_iter()
        .map(|it| (it.path, it.value))
        .collect()
}

async fn receive(store: &Store, id: EndpointId, nodes: Vec<Node>, time: i64) {
    store
        .commit(commit([values(id, nodes, at(time))]))
        .await
        .expect("committed");
}

#[rstest]
#[tokio::test]
async fn of_each_path_in_order(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (id, other) = (device(&store, "one").await, device(&store, "other").await);
    let paths = ["/3/0/0", "/3/0/7/0", "/3/0/7/1", "/3/0/10", "/20/0/1"]
        .map(|text| text.parse().expect(text));
    for round in 0..3 {
        let nodes = paths
            .iter()
            .rev()
            .map(|path| Node::new(*path, Value::Integer(round)))
            .collect();
        receive(&store, id, nodes, round).await;
    }
    receive(&store, other, vec![temperature(1.0)], 0).await;
    assert_eq!(
        latest(&store, id).await,
        paths.map(|path| (path, Value::Integer(2)))
    );
    assert_eq!(latest(&store, EndpointId(12_345)).await, []);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn and_not_one_that_came_late(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let path = Path::resource(3303, 0, 5700);
    let is = |value| vec![(path, Value::Float(value))];
    // Within one message: the newest, wherever it stands.
    receive(
        &store,
        id,
        vec![
            measured(1.0, at(10)),
            measured(2.0, at(30)),
            measured(3.0, at(20)),
        ],
        40,
    )
    .await;
    assert_eq!(latest(&store, id).await, is(2.0));
    // Measured earlier, received later.
    receive(&store, id, vec![measured(4.0, at(29))], 50).await;
    assert_eq!(latest(&store, id).await, is(2.0));
    // Known to be stale.
    let stale = Change::Resources {
        endpoint_id: id,
        nodes: vec![temperature(5.0)],
        at: at(60),
        stale: true,
    };
    store.commit(commit([stale])).await.expect("committed");
    assert_eq!(latest(&store, id).await, is(2.0));
    // Of the same time: the later.
    receive(&store, id, vec![measured(6.0, at(30))], 70).await;
    assert_eq!(latest(&store, id).await, is(6.0));
    let history = store
        .history(id, path, at(0), at(100), 100, Aggregate::default())
        .await
        .expect("read");
    assert_eq!(history.len(), 6, "nothing is missing in the history");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn and_a_clock_that_ran_ahead_does_not_keep_the_place(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    receive(&store, id, vec![measured(1.0, Timestamp::MAX)], 10).await;
    assert_eq!(
        store.latest(id).await.expect("read")[0].time,
        Timestamp::MAX,
        "as the device said"
    );
    receive(&store, id, vec![measured(2.0, at(20))], 21).await;
    assert_eq!(
        latest(&store, id).await,
        [(Path::resource(3303, 0, 5700), Value::Float(2.0))]
    );
    store.close().await;
}
