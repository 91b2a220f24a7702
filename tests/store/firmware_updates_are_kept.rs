//! Firmware updates and their timelines, on both databases: as they were, of one device at most one that is not over,
//! and gone with their device.

use flownexus::domain::{
    DeviceSays, EndpointId, FirmwareId, FirmwareImage, FirmwareUpdate, NewUpdate, OperationId,
    Progress, RolloutId, Selection, Timestamp, UpdateMethod, UpdatePhase, UpdateResult,
    UpdateState, UpdateStep,
};
use flownexus::store::{
    Change, EndpointReader, FirmwareUpdateReader, FleetLoader as _, FleetWriter as _, Store,
    UpdateFilter,
};
use rstest::rstest;

use super::samples::{at, commit, device, name};
use crate::support::database::{Engine, TestDatabase};

pub(super) fn update(store: &Store, endpoint_id: EndpointId, endpoint: &str) -> FirmwareUpdate {
    let new = NewUpdate {
        image: FirmwareImage {
            id: FirmwareId(3),
            version: "1.2.0".to_owned(),
            name: "1.2.0.bin".to_owned(),
            key: "0".repeat(32),
            sha256: "0".repeat(64),
            size: 5000,
            notes: String::new(),
            selection: Selection::default(),
            created_at: at(0),
            created_by: "olga".to_owned(),
        },
        method: None,
        rollout: None,
        created_by: "olga".to_owned(),
        by: None,
    };
    let id = store.ids().firmware_update();
    FirmwareUpdate::new(id, (endpoint_id, name(endpoint)), &new, at(1))
}

/// As unusual as it gets.
pub(super) fn unusual_update(
    store: &Store,
    endpoint_id: EndpointId,
    endpoint: &str,
) -> FirmwareUpdate {
    FirmwareUpdate {
        method: Some(UpdateMethod::Push),
        state: UpdateState::Updating,
        result: UpdateResult::Deferred,
        phase: UpdatePhase::Over,
        operation: Some(OperationId(i64::MAX)),
        awaited: "grüezi \u{1f525} 'quoted' \0".to_owned(),
        until: Some(Timestamp::MAX),
        progress: Some(Progress {
            done: u64::MAX,
            total: u64::MAX,
            block: u32::MAX,
        }),
        offers: u32::MAX,
        offered_at: Some(Timestamp::MIN),
        installs: 2,
        install_by: Some(at(5)),
        tries: 1,
        steps: 200,
        device: DeviceSays {
            state: Some(i64::MIN),
            result: Some(i64::MAX),
            protocols: vec![0, 3, -1],
            version: Some("\0".to_owned()),
            restarts: u32::MAX,
            ..DeviceSays::default()
        },
        because: Some("\u{1}".to_owned()),
        reason: Some("\u{7f}".to_owned()),
        rollout: Some(RolloutId(i64::MAX)),
        finished_at: Some(at(9)),
        ..update(store, endpoint_id, endpoint)
    }
}

pub(super) fn step(update: &FirmwareUpdate, time: i64, text: &str) -> Change {
    Change::FirmwareStep {
        endpoint_id: update.endpoint_id,
        update: update.id,
        step: UpdateStep {
            at: at(time),
            phase: UpdatePhase::Deliver,
            text: text.to_owned(),
        },
    }
}

fn save(update: &FirmwareUpdate) -> Change {
    Change::SaveFirmwareUpdate(Box::new(update.clone()))
}

#[rstest]
#[tokio::test]
async fn an_update_comes_back_as_it_was_with_its_timeline_in_order(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "one").await;
    let (usual, unusual) = (update(&store, id, "one"), unusual_update(&store, id, "one"));
    let mut changes = vec![save(&unusual), step(&unusual, 2, "first"), save(&usual)];
    changes.extend((0..50).map(|time| step(&usual, time, &format!("line {time}"))));
    store.commit(commit(changes)).await.expect("committed");
    for expected in [&usual, &unusual] {
        let found = FirmwareUpdateReader::find(&store, expected.id).await;
        let (found, steps) = found.expect("read").expect("there");
        assert_eq!(found, *expected);
        let lines: Vec<_> = steps.iter().map(|step| step.text.clone()).collect();
        let wanted: Vec<_> = if expected.id == usual.id {
            (0..50).map(|time| format!("line {time}")).collect()
        } else {
            vec!["first".to_owned()]
        };
        assert_eq!(lines, wanted);
    }
    let stored = store.load_endpoint(id).await.expect("read");
    assert_eq!(
        stored.update,
        Some(usual.clone()),
        "the one that is not over"
    );
    assert_eq!(store.count_active(FirmwareId(3)).await.expect("read"), 1);

    let list = async |filter: UpdateFilter| {
        let found = FirmwareUpdateReader::list(&store, &filter, 10)
            .await
            .expect("read");
        found
            .into_iter()
            .map(|update| update.id)
            .collect::<Vec<_>>()
    };
    let all = UpdateFilter::default();
    assert_eq!(list(all).await, [unusual.id, usual.id], "newest first");
    let active = Some(UpdateResult::Default);
    assert_eq!(
        list(UpdateFilter {
            result: active,
            ..all
        })
        .await,
        [usual.id]
    );
    let rollout = unusual.rollout;
    assert_eq!(list(UpdateFilter { rollout, ..all }).await, [unusual.id]);
    let before = Some(unusual.id);
    assert_eq!(list(UpdateFilter { before, ..all }).await, [usual.id]);
    let firmware = Some(FirmwareId(4));
    assert!(list(UpdateFilter { firmware, ..all }).await.is_empty());
    let endpoint = Some(EndpointId(id.0 + 1));
    assert!(list(UpdateFilter { endpoint, ..all }).await.is_empty());
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_device_has_one_update_that_is_not_over_and_no_more(
    #[values(Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "one").await;
    let first = update(&store, id, "one");
    store
        .commit(commit([save(&first)]))
        .await
        .expect("committed");
    let second = update(&store, id, "one");
    let refused = store.commit(commit([save(&second)])).await;
    assert!(refused.is_err(), "a second one was stored");
    // The end of the first and the beginning of the next may be in one commit, in whatever order they are written.
    let over = FirmwareUpdate {
        result: UpdateResult::Success,
        ..first
    };
    let next = update(&store, id, "one");
    let both = commit([save(&over), save(&next)]);
    store.commit(both).await.expect("committed");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn updates_and_their_timelines_go_with_their_device(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (one, other) = (device(&store, "one").await, device(&store, "other").await);
    for (id, name) in [(one, "one"), (other, "other")] {
        let update = update(&store, id, name);
        let changes = [save(&update), step(&update, 1, "first")];
        store.commit(commit(changes)).await.expect("committed");
    }
    EndpointReader::remove(&store, one, None)
        .await
        .expect("removed");
    for table in ["firmware_update", "firmware_step"] {
        let sql = format!("SELECT endpoint_id FROM {table}");
        assert_eq!(database.numbers(&sql).await, [other.0], "{table}");
    }
    store.close().await;
}
