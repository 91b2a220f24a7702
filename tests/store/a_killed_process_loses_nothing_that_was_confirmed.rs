//! A real process, killed in the middle of its commits.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::time::Duration;

use flownexus::domain::{EndpointId, Node, Path, Value};
use flownexus::store::{EndpointReader, FleetLoader as _, FleetWriter as _, Store};
use rstest::rstest;

use super::samples::{at, commit, device, name, values};
use crate::support::database::{Engine, TestDatabase, of_child};

/// Commits under way at the same time.
const LANES: i64 = 16;

/// Not a test of its own: what the killed process does. It says which values were confirmed.
#[tokio::test]
#[ignore = "a part of the tests in this file, which start it"]
async fn commits_until_it_is_killed() {
    let Some(store) = of_child().await else {
        return;
    };
    let known = EndpointReader::find(&store, &name("sensor"))
        .await
        .expect("read");
    let id = match known {
        Some(row) => row.id,
        None => device(&store, "sensor").await,
    };
    let lanes = (0..LANES).map(|lane| commit_for_ever(store.clone(), id, lane));
    futures_util::future::join_all(lanes).await;
}

async fn commit_for_ever(store: Store, id: EndpointId, lane: i64) {
    for number in 0.. {
        let value = number * LANES + lane;
        let node = Node::new(Path::resource(3303, 0, 5700), Value::Integer(value));
        store
            .commit(commit([values(id, vec![node], at(value))]))
            .await
            .expect("committed");
        println!("\nconfirmed {value}");
    }
}

#[rstest]
#[tokio::test]
async fn a_kill_loses_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let mut confirmed = BTreeSet::new();
    // Three times the same database: what the first kill left must bear the second.
    for round in 1..=3 {
        let mut child = database.child(module_path!(), "commits_until_it_is_killed");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut seen = 0;
        for line in output.lines() {
            let Ok(line) = line else { break };
            let Some(value) = line.strip_prefix("confirmed ") else {
                continue;
            };
            // The line at which it was killed may be cut off.
            confirmed.insert(value.parse::<i64>().expect("whole lines"));
            seen += 1;
            if seen == 400 * round {
                child.kill().expect("killed");
            }
        }
        let status = child.wait().expect("its end");
        assert!(
            !status.success() && seen >= 400,
            "it ended by itself after {seen}: {status}"
        );
    }

    let store = database.open().await;
    let fleet = store.load(Duration::ZERO).await.expect("loaded");
    assert_eq!(fleet.registered.len(), 1, "the device is still registered");
    let stored: BTreeSet<i64> = database
        .numbers("SELECT value_integer FROM resource")
        .await
        .into_iter()
        .collect();
    let lost: Vec<_> = confirmed.difference(&stored).collect();
    assert!(lost.is_empty(), "confirmed, but not there: {lost:?}");
    store.close().await;
}
