use std::time::{Duration, Instant};

use flownexus::store::FleetWriter as _;

use super::samples::{at, commit, device, temperature, values};
use crate::support::database::{Engine, TestDatabase};

const LIMIT: u64 = 1024 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn while_values_arrive_without_a_pause() {
    let mut database = TestDatabase::new(Engine::Sqlite).expect("SQLite is built in");
    database.settings.store.checkpoint_bytes = LIMIT;
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let log = database.settings.data_dir.join("flownexus.db-wal");
    let begun = Instant::now();
    let mut largest = 0;
    // About 60 MiB of log when nothing is folded in.
    for round in 0..200 {
        let nodes = (0..500)
            .map(|number| temperature(f64::from(number)))
            .collect();
        store
            .commit(commit([values(id, nodes, at(round))]))
            .await
            .expect("committed");
        largest = largest.max(std::fs::metadata(&log).map_or(0, |log| log.len()));
    }
    assert!(largest < 16 * LIMIT, "the log grew to {largest} bytes");
    assert!(begun.elapsed() < Duration::from_secs(120));
    store.close().await;
    assert_eq!(
        std::fs::metadata(&log).map_or(0, |log| log.len()),
        0,
        "nothing is left at the end"
    );
    assert_eq!(
        database.numbers("SELECT COUNT(*) FROM resource").await,
        [100_000]
    );
}
