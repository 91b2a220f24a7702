//! Rollouts with very many devices are written in pieces, and nobody sees that: not the devices whose messages are
//! written in between, and not whoever looks after a crash.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use flownexus::domain::{EndpointId, RolloutId, RolloutTarget, TargetStatus};
use flownexus::store::{FleetWriter as _, RolloutStore, Store, TargetFilter};
use rstest::rstest;
use sea_orm::ConnectionTrait as _;

use super::rollouts_are_kept::{MANY, ada, add, rollout, targets};
use super::samples::{at, commit, device, temperature, values};
use crate::support::database::{Engine, TestDatabase, of_child};

/// Devices of a rollout that is written in several pieces.
const DEVICES: i64 = 10_000;

/// Not a test of its own: what the killed process does. It says what was confirmed.
#[tokio::test]
#[ignore = "a part of the tests in this file, which start it"]
async fn adds_and_removes_until_it_is_killed() {
    let Some(store) = of_child().await else {
        return;
    };
    loop {
        let stays = add(&store, rollout("stays", 0), DEVICES).await;
        println!("\nadded {}", stays.id);
        let goes = add(&store, rollout("goes", 0), DEVICES).await;
        println!("\nsteps");
        let removed = RolloutStore::remove(&store, goes.id, ada()).await;
        assert!(removed.expect("removed"));
        println!("\nremoved {}", goes.id);
    }
}

/// Everybody who is there, a page at a time.
async fn devices(store: &Store, id: RolloutId) -> Vec<RolloutTarget> {
    let mut all: Vec<RolloutTarget> = Vec::new();
    loop {
        let after = all.last().map(|target| target.endpoint_id);
        let filter = TargetFilter {
            after,
            ..TargetFilter::default()
        };
        let page = RolloutStore::targets(store, id, &filter, 5_000).await;
        let page = page.expect("read");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// Waits until nothing is left of rollouts that nobody sees.
async fn cleared(database: &TestDatabase) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let left = "SELECT rollout_id FROM rollout_target WHERE rollout_id NOT IN (SELECT id FROM rollout \
        WHERE is_whole) UNION SELECT id FROM rollout WHERE NOT is_whole";
    loop {
        let left = database.numbers(left).await;
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left of {left:?}");
    }
}

#[rstest]
#[tokio::test]
async fn or_not_there_at_all_after_a_kill(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let (mut added, mut removed) = (BTreeSet::new(), BTreeSet::new());
    // Killed a little later each time: in the middle of adding, and in the middle of removing.
    for steps in 2..=5 {
        let mut child = database.child(module_path!(), "adds_and_removes_until_it_is_killed");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut seen = 0;
        for line in output.lines() {
            let Ok(line) = line else { break };
            if let Some(id) = line.strip_prefix("added ") {
                added.insert(RolloutId(id.parse().expect("whole lines")));
            } else if let Some(id) = line.strip_prefix("removed ") {
                removed.insert(RolloutId(id.parse().expect("whole lines")));
            } else if line != "steps" {
                continue;
            }
            seen += 1;
            if seen == steps {
                child.kill().expect("killed");
            }
        }
        let status = child.wait().expect("its end");
        assert!(!status.success() && seen >= steps, "it ended by itself");
    }

    let store = database.open().await;
    let there = RolloutStore::list(&store, None, 1_000).await.expect("read");
    let there: BTreeSet<_> = there.into_iter().map(|rollout| rollout.id).collect();
    assert!(added.is_subset(&there), "lost: {added:?} of {there:?}");
    assert!(removed.is_disjoint(&there), "back: {removed:?}, {there:?}");
    for id in there {
        let devices = devices(&store, id).await;
        assert_eq!(devices.len() as i64, DEVICES, "of rollout {id}");
    }
    cleared(&database).await;
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn and_what_is_left_of_others_is_seen_by_nobody_and_removed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let whole = add(&store, rollout("whole", 3), 3).await;
    let left = add(&store, rollout("left", 12_000), 12_000).await;
    store.close().await;
    let connection = database.connection().await;
    let hide = format!("UPDATE rollout SET is_whole = FALSE WHERE id = {}", left.id);
    connection.execute_unprepared(&hide).await.expect("hidden");
    connection.close().await.expect("an orderly end");

    let store = database.open().await;
    let there = RolloutStore::list(&store, None, 10).await.expect("read");
    let whole = [whole];
    assert_eq!(there, whole);
    assert_eq!(store.not_over().await.expect("read"), whole);
    let found = RolloutStore::find(&store, left.id).await.expect("read");
    assert_eq!(found, None);
    assert_eq!(devices(&store, left.id).await, []);
    let removed = RolloutStore::remove(&store, left.id, ada()).await;
    assert!(!removed.expect("asked"));
    assert!(!store.save(left, targets(1), vec![]).await.expect("asked"));
    cleared(&database).await;
    assert_eq!(devices(&store, whole[0].id).await.len(), 3);
    store.close().await;
}

/// Whoever asked may go: what was begun is there as a whole, or not at all.
#[rstest]
#[tokio::test]
async fn also_when_nobody_waits_any_more(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let adding = store.clone();
    let asked = tokio::spawn(async move { add(&adding, rollout("x", 0), 20_000).await });
    let begun = "SELECT COUNT(*) FROM rollout_target";
    while database.numbers(begun).await == [0] {}
    asked.abort();
    let deadline = Instant::now() + Duration::from_secs(60);
    let id = loop {
        let there = RolloutStore::list(&store, None, 10).await.expect("read");
        if let Some(rollout) = there.first() {
            break rollout.id;
        }
        assert!(Instant::now() < deadline, "it was given up");
    };
    assert_eq!(devices(&store, id).await.len(), 20_000);
    store.close().await;
}

/// The times are told, not judged: they are the machine's.
#[rstest]
#[tokio::test]
async fn of_a_hundred_thousand_devices(
    #[values(Engine::Sqlite, Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    const ALL: i64 = 100_000;
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let sensor = device(&store, "sensor").await;
    let told = |what: &str, (took, commits, longest): (Duration, u32, Duration)| {
        eprintln!(
            "{engine:?}: {what} {took:?}, {commits} commits meanwhile, of which the longest took {longest:?}"
        );
    };
    let added = RolloutStore::add(&store, rollout("all", 0), targets(ALL), ada(), MANY);
    let (added, times) = meanwhile(&store, sensor, added).await;
    let mut rollout = added.expect("added");
    told("added in", times);
    assert!(times.1 > 1, "nothing was written in between");

    let (mut all, times) = meanwhile(&store, sensor, devices(&store, rollout.id)).await;
    told("read in", times);
    assert!(all.iter().map(|target| target.endpoint_id.0).eq(1..=ALL));

    for target in &mut all {
        target.status = TargetStatus::Cancelled;
    }
    let part = all.drain(..2_000).collect();
    let saved = store.save(rollout.clone(), part, vec![]);
    let (saved, times) = meanwhile(&store, sensor, saved).await;
    assert!(saved.expect("written"));
    told("2,000 saved in", times);
    rollout.tell(at(9), "all".to_owned());
    let saved = store.save(rollout.clone(), all, vec![]);
    let (saved, times) = meanwhile(&store, sensor, saved).await;
    assert!(saved.expect("written"));
    told("98,000 saved in", times);
    let waiting = TargetFilter {
        status: Some(TargetStatus::Waiting),
        ..TargetFilter::default()
    };
    let waiting = RolloutStore::targets(&store, rollout.id, &waiting, 1).await;
    assert_eq!(waiting.expect("read"), []);

    let removed = RolloutStore::remove(&store, rollout.id, ada());
    let (removed, times) = meanwhile(&store, sensor, removed).await;
    assert!(removed.expect("removed"));
    told("removed in", times);
    cleared(&database).await;
    store.close().await;
}

/// What comes of it, how long it took, how many commits of a device were confirmed meanwhile, and the longest time
/// that one of them took.
async fn meanwhile<T>(
    store: &Store,
    sensor: EndpointId,
    work: impl Future<Output = T>,
) -> (T, (Duration, u32, Duration)) {
    let begun = Instant::now();
    let (mut commits, mut longest) = (0, Duration::ZERO);
    tokio::pin!(work);
    loop {
        let asked = Instant::now();
        let measured = values(sensor, vec![temperature(1.0)], at(commits.into()));
        let mut confirmed = store.commit(commit([measured]));
        let result = tokio::select! {
            result = &mut work => Some((result, begun.elapsed())),
            confirmed = &mut confirmed => {
                confirmed.expect("committed");
                None
            }
        };
        if result.is_some() {
            // One that waited all the time counts too.
            confirmed.await.expect("committed");
        }
        longest = longest.max(asked.elapsed());
        commits += 1;
        if let Some((result, took)) = result {
            return (result, (took, commits, longest));
        }
    }
}
