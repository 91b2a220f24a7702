use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use flownexus::store::{
    Commit, FleetLoader as _, FleetWriter as _, ResourceReader as _, Store, StoreError, UserStore,
};
use futures_util::future::join_all;
use rstest::rstest;

use super::samples::{at, commit, device, live, temperature, values};
use crate::support::database::{Engine, TestDatabase};

/// A publisher that keeps the writer waiting until it is let go.
#[derive(Clone, Default)]
struct Brake(Arc<(Mutex<Lever>, Condvar)>);

#[derive(Default)]
struct Lever {
    is_pulled: bool,
    writer_stands: bool,
}

impl Brake {
    fn wait(&self) {
        let (lever, moved) = &*self.0;
        let mut lever = lever.lock().expect("the brake");
        lever.writer_stands = lever.is_pulled;
        moved.notify_all();
        let released = moved.wait_while(lever, |lever| lever.is_pulled);
        released.expect("the brake").writer_stands = false;
    }

    fn set(&self, is_pulled: bool) {
        let (lever, moved) = &*self.0;
        lever.lock().expect("the brake").is_pulled = is_pulled;
        moved.notify_all();
    }

    /// Returns when the writer has come to the brake.
    async fn holds(&self) {
        let brake = self.clone();
        let holds = tokio::task::spawn_blocking(move || {
            let (lever, moved) = &*brake.0;
            let lever = lever.lock().expect("the brake");
            let waited = moved.wait_timeout_while(lever, DEADLINE, |lever| !lever.writer_stands);
            waited.expect("the brake").0.writer_stands
        });
        assert!(holds.await.expect("a thread"), "the writer does not come");
    }
}

const DEADLINE: Duration = Duration::from_secs(30);

async fn braked_store(database: &TestDatabase) -> (Store, Brake) {
    let brake = Brake::default();
    let publisher = brake.clone();
    let store = database
        .open_publishing(Arc::new(move |_| publisher.wait()))
        .await;
    (store, brake)
}

#[rstest]
#[tokio::test]
async fn commits_beyond_the_limit_are_refused_at_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    database.settings.store.queue_length = 3;
    database.settings.store.batch_commits = 1;
    let (store, brake) = braked_store(&database).await;
    let id = device(&store, "sensor").await;
    brake.set(true);
    let told = Commit {
        publish: vec![live("sensor", 0)],
        ..Commit::default()
    };
    let mut waiting = vec![store.commit(told)];
    let value = |number| commit([values(id, vec![temperature(number)], at(0))]);
    brake.holds().await;
    let refused = loop {
        let future = store.commit(value(1.0));
        match futures_util::future::select(future, std::future::ready(())).await {
            futures_util::future::Either::Left((result, _)) => break result,
            futures_util::future::Either::Right(((), future)) => waiting.push(future),
        }
        assert!(waiting.len() <= 5, "the queue has no bound");
    };
    assert!(
        matches!(refused, Err(StoreError::Busy { limit: 3 })),
        "{refused:?}"
    );
    assert!(store.metrics().refused.get() >= 1);
    let busy = store.heartbeat(at(0)).await;
    assert!(
        matches!(busy, Err(StoreError::Busy { limit: 3 })),
        "{busy:?}"
    );
    brake.set(false);
    for result in join_all(waiting).await {
        result.expect("what was taken is written");
    }
    store.commit(value(2.0)).await.expect("there is room again");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn what_was_taken_is_written_before_the_end(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let (store, brake) = braked_store(&database).await;
    let id = device(&store, "sensor").await;
    brake.set(true);
    let first = store.commit(Commit {
        publish: vec![live("sensor", 0)],
        ..Commit::default()
    });
    // Nobody waits for these: they are dropped, and written all the same.
    for number in 0..1_000 {
        drop(store.commit(commit([values(
            id,
            vec![temperature(number.into())],
            at(number.into()),
        )])));
    }
    let (closed, ()) = tokio::join!(store.close(), async {
        let late = store
            .commit(commit([values(id, vec![temperature(0.0)], at(0))]))
            .await;
        assert!(matches!(late, Err(StoreError::Closed)), "{late:?}");
        brake.set(false);
    });
    let () = closed;
    first.await.expect("told");
    assert!(matches!(
        UserStore::list(&store).await,
        Err(StoreError::Closed | StoreError::Database(_))
    ));
    let rows = database.numbers("SELECT COUNT(*) FROM resource").await;
    assert_eq!(rows, [1_000]);
    let store = database.open().await;
    assert_eq!(store.latest(id).await.expect("read")[0].time, at(999));
    store.close().await;
}
