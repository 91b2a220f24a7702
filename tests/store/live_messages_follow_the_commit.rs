use std::sync::{Arc, Mutex};

use flownexus::domain::{EndpointId, LiveEvent};
use flownexus::store::{Change, Commit, FleetWriter as _, Publisher};
use futures_util::future::join_all;
use rstest::rstest;

use super::samples::{at, commit, device, live, temperature, values};
use crate::support::database::{Engine, TestDatabase};

fn recorder() -> (Arc<Mutex<Vec<i64>>>, Publisher) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ear = Arc::clone(&heard);
    let publish = move |events: Vec<LiveEvent>| {
        let numbers = events
            .iter()
            .map(|event| event.body.to_json()["number"].as_i64().expect("a number"));
        ear.lock().expect("the ear").extend(numbers);
    };
    (heard, Arc::new(publish))
}

#[rstest]
#[tokio::test]
async fn in_the_order_of_the_calls(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let (heard, publish) = recorder();
    let store = database.open_publishing(publish).await;
    let id = device(&store, "sensor").await;
    let mut waiting: Vec<_> = (0..500)
        .map(|number| {
            // Some write, some only tell.
            let changes = if number % 3 == 0 {
                vec![]
            } else {
                vec![values(id, vec![temperature(number as f64)], at(number))]
            };
            store.commit(Commit {
                changes,
                publish: vec![live("sensor", number)],
            })
        })
        .collect();
    // The place in the queue is that of the call, whoever is awaited first.
    waiting.reverse();
    for result in join_all(waiting).await {
        result.expect("committed");
    }
    assert_eq!(
        *heard.lock().expect("the ear"),
        (0..500).collect::<Vec<_>>()
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn and_never_without_one(#[values(Engine::SqliteDirect, Engine::Postgres)] engine: Engine) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    database.settings.store.batch_delay_ms = 100;
    let (heard, publish) = recorder();
    let store = database.open_publishing(publish).await;
    let id = device(&store, "sensor").await;
    let commits = (0..6).map(|number| {
        let owner = if number % 2 == 0 {
            id
        } else {
            EndpointId(999_999)
        };
        store.commit(Commit {
            changes: vec![values(owner, vec![temperature(1.0)], at(0))],
            publish: vec![live("sensor", number)],
        })
    });
    join_all(commits.collect::<Vec<_>>()).await;
    assert_eq!(*heard.lock().expect("the ear"), [0, 2, 4]);
    store.close().await;
}

#[rstest]
#[tokio::test(flavor = "multi_thread")]
async fn when_it_is_on_disk_and_before_the_caller_is_told(
    #[values(Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let database = Arc::new(database);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let publish: Publisher = {
        let (database, seen) = (Arc::clone(&database), Arc::clone(&seen));
        let runtime = tokio::runtime::Handle::current();
        Arc::new(move |_| {
            // Another connection sees the row while the publisher is told of it.
            let database = Arc::clone(&database);
            let (done, is_done) = std::sync::mpsc::channel();
            runtime.spawn(async move {
                let rows = database.numbers("SELECT COUNT(*) FROM resource").await;
                done.send(rows[0]).expect("somebody listens");
            });
            seen.lock()
                .expect("the list")
                .push(is_done.recv().expect("a count"));
        })
    };
    let store = database.open_publishing(publish).await;
    let id = device(&store, "sensor").await;
    for number in 1..=3 {
        store
            .commit(Commit {
                publish: vec![live("sensor", number)],
                ..commit([values(id, vec![temperature(0.0)], at(number))])
            })
            .await
            .expect("committed");
        assert_eq!(seen.lock().expect("the list").len() as i64, number);
    }
    assert_eq!(*seen.lock().expect("the list"), [1, 2, 3]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_publisher_that_panics_stops_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database
        .open_publishing(Arc::new(|_| panic!("a page went wrong")))
        .await;
    let id = device(&store, "sensor").await;
    for number in 0..3 {
        let seen = Change::Seen {
            endpoint_id: id,
            at: at(number),
        };
        store
            .commit(Commit {
                changes: vec![seen],
                publish: vec![live("sensor", number)],
            })
            .await
            .expect("committed");
    }
    store.close().await;
}
