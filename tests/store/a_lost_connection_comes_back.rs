//! PostgreSQL restarts, or somebody ends its connections: commits fail meanwhile and nothing else.

use std::time::{Duration, Instant};

use flownexus::store::{EndpointReader as _, FleetWriter as _, ResourceReader as _};
use sea_orm::ConnectionTrait as _;

use super::samples::{at, commit, device, temperature, values};
use crate::support::database::{Engine, TestDatabase};

#[tokio::test]
async fn after_the_server_ended_it() {
    let Some(database) = TestDatabase::new(Engine::Postgres) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let mut confirmed = 0;
    for round in 0..3 {
        let connection = database.connection().await;
        connection
            .execute_unprepared(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE application_name = 'flownexus' AND datname = current_database()",
            )
            .await
            .expect("ended");
        connection.close().await.expect("an orderly end");

        let deadline = Instant::now() + Duration::from_secs(20);
        let mut refused = 0;
        loop {
            let value = commit([values(id, vec![temperature(1.0)], at(round))]);
            match store.commit(value).await {
                Ok(()) => break,
                Err(error) => {
                    refused += 1;
                    assert!(Instant::now() < deadline, "{refused} times: {error}");
                }
            }
        }
        confirmed += 1;
    }
    let rows = database.numbers("SELECT COUNT(*) FROM resource").await;
    assert_eq!(rows, [confirmed], "what was refused is not there");
    assert_eq!(store.count().await.expect("read"), (1, 1));
    assert_eq!(store.latest(id).await.expect("read").len(), 1);
    store.close().await;
}
