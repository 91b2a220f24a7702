//! Rollouts and their devices, on both databases: as they were, all of one or nothing of it, and each device with at
//! most one update in each direction.

use flownexus::domain::{
    AuditEntry, DailyWindow, Doer, EndpointId, FirmwareId, FirmwareUpdate, FirmwareUpdateId,
    GroupRun, GroupSize, GroupSpec, GroupState, OnError, Rollout, RolloutId, RolloutSpec,
    RolloutState, RolloutTarget, Selection, TargetStatus, Timestamp, UpdateMethod, UpdateResult,
    WindowText,
};
use flownexus::store::{
    AuditStore, Change, EndpointReader, FirmwareUpdateReader, FleetWriter as _, RolloutStore,
    Store, StoreError, TargetFilter,
};
use rstest::rstest;
use sea_orm::ConnectionTrait as _;

use super::firmware_updates_are_kept::update;
use super::samples::{at, commit, device, name, newest};
use crate::support::database::{Engine, TestDatabase};

pub(super) const MANY: u64 = 100;

pub(super) fn ada() -> Doer {
    Doer {
        actor: "ada".into(),
        remote: "192.0.2.7".into(),
    }
}

/// A rollout of one group.
pub(super) fn rollout(called: &str, devices: usize) -> Rollout {
    let spec = RolloutSpec {
        name: called.to_owned(),
        firmware: FirmwareId(3),
        method: None,
        selection: Selection::default(),
        newcomers: false,
        groups: vec![GroupSpec {
            name: "all".to_owned(),
            size: GroupSize::Rest,
            success_percent: 90,
            error_percent: 10,
        }],
        at_once: 10,
        start_at: None,
        window: None,
        on_error: OnError::Pause,
        roll_back_to: None,
    };
    Rollout::new(spec, "1.2.0".to_owned(), &vec![0; devices], "ada", at(1))
}

/// So many devices that need not be there.
pub(super) fn targets(devices: i64) -> Vec<RolloutTarget> {
    let target = |id: i64| {
        let device = (EndpointId(id), name(&format!("urn:dev:{id}")));
        RolloutTarget::new(RolloutId(0), device, 0, at(1))
    };
    (1..=devices).map(target).collect()
}

pub(super) async fn add(store: &Store, rollout: Rollout, devices: i64) -> Rollout {
    RolloutStore::add(store, rollout, targets(devices), ada(), MANY)
        .await
        .expect("added")
}

/// As unusual as it gets.
fn unusual_rollout() -> Rollout {
    let group = |name: &str, size| GroupSpec {
        name: name.to_owned(),
        size,
        success_percent: 100,
        error_percent: 0,
    };
    let window = WindowText {
        from: "22:30".to_owned(),
        to: "04:00".to_owned(),
        time_zone: "Europe/Berlin".to_owned(),
        days: vec!["mon".to_owned(), "sun".to_owned()],
    };
    let spec = RolloutSpec {
        name: "grüezi \u{1f525} 'quoted' \"twice\"".to_owned(),
        firmware: FirmwareId(i64::MAX),
        method: Some(UpdateMethod::Push),
        selection: Selection {
            names: vec!["urn:imei:*".to_owned()],
            tags: vec!["lab".to_owned()],
        },
        newcomers: true,
        groups: vec![
            group("a", GroupSize::Count(u32::MAX)),
            group("b", GroupSize::Percent(100)),
            group("c", GroupSize::Rest),
        ],
        at_once: u32::MAX,
        start_at: Some(Timestamp::MAX),
        window: Some(DailyWindow::try_from(window).expect("a window")),
        on_error: OnError::RollBack,
        roll_back_to: Some(FirmwareId(i64::MIN)),
    };
    let mut rollout = Rollout::new(spec, "\0".to_owned(), &[0, 1, 1, 2], "", Timestamp::MIN);
    let mut state = GroupState {
        forward: GroupRun {
            begun_at: Some(Timestamp::MIN),
            passed_at: Some(Timestamp::MAX),
            accepted: 3,
        },
        back: GroupRun {
            begun_at: Some(at(0)),
            passed_at: None,
            accepted: 0,
        },
        ..GroupState::default()
    };
    for status in TargetStatus::ALL {
        state.counts.add(status);
    }
    rollout.groups.push(state);
    for line in 0..2 * Rollout::MAX_LINES {
        rollout.tell(at(0), format!("{line} \0 \u{7f}"));
    }
    Rollout {
        state: RolloutState::RolledBack,
        is_back: true,
        reason: Some("\u{1}".to_owned()),
        waits_for: Some(String::new()),
        started_at: Some(Timestamp::MIN),
        finished_at: Some(Timestamp::MAX),
        ..rollout
    }
}

/// A device with each status, with all that there is to say of it.
fn unusual_targets() -> Vec<RolloutTarget> {
    let with = |(target, status): (RolloutTarget, TargetStatus)| RolloutTarget {
        group: u16::MAX - target.endpoint_id.0 as u16 % 2,
        status,
        update: Some(FirmwareUpdateId(i64::MAX)),
        back_update: Some(FirmwareUpdateId(i64::MIN)),
        version_before: Some("\0".to_owned()),
        reason: Some("'no' \u{1f525}".to_owned()),
        changed_at: Timestamp::MAX,
        ..target
    };
    let each = targets(10).into_iter().zip(TargetStatus::ALL);
    each.map(with).collect()
}

/// All devices of a rollout that fit, two at a time.
async fn all(store: &Store, id: RolloutId, filter: TargetFilter) -> Vec<RolloutTarget> {
    let mut all: Vec<RolloutTarget> = Vec::new();
    loop {
        let after = all.last().map(|target| target.endpoint_id);
        let filter = TargetFilter { after, ..filter };
        let page = RolloutStore::targets(store, id, &filter, 2).await;
        let page = page.expect("read");
        let is_last = page.len() < 2;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

async fn ids(store: &Store, before: Option<RolloutId>, limit: u64) -> Vec<RolloutId> {
    let page = RolloutStore::list(store, before, limit).await;
    let page = page.expect("read").into_iter();
    page.map(|rollout| rollout.id).collect()
}

async fn lines(store: &Store) -> Vec<(String, String, String)> {
    let lines = AuditStore::list(store, &newest(100, None))
        .await
        .expect("read");
    let told = lines.into_iter().map(|line| {
        assert_eq!((&*line.actor, &*line.remote), ("ada", "192.0.2.7"));
        (line.action, line.subject, line.detail)
    });
    told.collect()
}

/// What is in the tables of rollouts, seen or not.
async fn rows(database: &TestDatabase) -> [i64; 2] {
    let count = async |table| {
        let sql = format!("SELECT COUNT(*) FROM {table}");
        database.numbers(&sql).await[0]
    };
    [count("rollout").await, count("rollout_target").await]
}

#[rstest]
#[tokio::test]
async fn as_they_were_across_a_restart_and_in_pages(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let plain = add(&store, rollout("plain", 3), 3).await;
    let devices = unusual_targets();
    let unusual = RolloutStore::add(&store, unusual_rollout(), devices, ada(), MANY).await;
    let unusual = unusual.expect("added");
    let nobody = add(&store, rollout("nobody", 0), 0).await;
    let (id, all_of_it) = (unusual.id, TargetFilter::default());
    assert!(plain.id.0 > 0 && id > plain.id && nobody.id > id);
    store.close().await;

    let store = database.open().await;
    for rollout in [&plain, &unusual, &nobody] {
        let found = RolloutStore::find(&store, rollout.id).await.expect("read");
        assert_eq!(found.as_ref(), Some(rollout));
    }
    let expected = unusual_targets().into_iter();
    let expected: Vec<_> = expected
        .map(|target| RolloutTarget {
            rollout: id,
            ..target
        })
        .collect();
    assert_eq!(all(&store, id, all_of_it).await, expected);
    assert_eq!(all(&store, plain.id, all_of_it).await.len(), 3);
    assert_eq!(all(&store, nobody.id, all_of_it).await, []);

    assert_eq!(ids(&store, None, 10).await, [nobody.id, id, plain.id]);
    assert_eq!(ids(&store, Some(id), 10).await, [plain.id]);
    assert_eq!(ids(&store, None, 1).await, [nobody.id]);
    let not_over = store.not_over().await.expect("read");
    assert_eq!(not_over, [plain, nobody.clone()], "oldest first");

    for (group, status) in [
        (Some(u16::MAX), None),
        (Some(u16::MAX - 1), None),
        (Some(0), None),
        (None, Some(TargetStatus::Waiting)),
        (None, Some(TargetStatus::RollBackFailed)),
        (Some(u16::MAX), Some(TargetStatus::Updating)),
        (Some(u16::MAX - 1), Some(TargetStatus::Updating)),
    ] {
        let fits = |target: &&RolloutTarget| {
            group.is_none_or(|group| target.group == group)
                && status.is_none_or(|status| target.status == status)
        };
        let fitting: Vec<_> = expected.iter().filter(fits).cloned().collect();
        let filter = TargetFilter {
            group,
            status,
            after: None,
        };
        assert_eq!(all(&store, id, filter).await, fitting, "{filter:?}");
    }
    let nowhere = RolloutId(nobody.id.0 + 1);
    assert_eq!(
        RolloutStore::find(&store, nowhere).await.expect("read"),
        None
    );
    assert_eq!(all(&store, nowhere, all_of_it).await, []);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn in_whatever_state_they_are(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let mut running = Vec::new();
    for state in RolloutState::ALL {
        // One that was stopped may have updates under way.
        let finished_at = (state.is_over() && state != RolloutState::Stopped).then(|| at(7));
        let is = Rollout {
            state,
            finished_at,
            ..rollout(state.name(), 0)
        };
        let is = add(&store, is, 0).await;
        if finished_at.is_none() {
            running.push(is);
        }
    }
    assert_eq!(store.not_over().await.expect("read"), running);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn with_what_becomes_of_their_devices_in_one_transaction(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let other = add(&store, rollout("other", 3), 3).await;
    let mut rollout = add(&store, rollout("autumn", 3), 3).await;
    rollout.state = RolloutState::Paused;
    rollout.tell(at(9), "ada paused it".to_owned());
    // One has changed, one is new, and of one that is named twice the last one counts.
    let mut devices = targets(4);
    devices.retain(|target| target.endpoint_id.0 != 2);
    devices[1].status = TargetStatus::Failed;
    devices[1].reason = Some("no room".to_owned());
    devices.push(RolloutTarget {
        status: TargetStatus::Updating,
        update: Some(FirmwareUpdateId(7)),
        ..devices[0].clone()
    });
    let line = AuditEntry::of_rollout(ada(), at(9), "rollout.pause", &rollout, "why not");
    let lines_before = lines(&store).await;

    // All of it or nothing.
    let beside = database.connection().await;
    let rename = async |sql: &str| beside.execute_unprepared(sql).await.expect("renamed");
    rename("ALTER TABLE audit_log RENAME TO elsewhere").await;
    let saved = store
        .save(rollout.clone(), devices.clone(), vec![line.clone()])
        .await;
    assert!(saved.is_err(), "without its line");
    rename("ALTER TABLE elsewhere RENAME TO audit_log").await;
    beside.close().await.expect("an orderly end");
    let found = RolloutStore::find(&store, rollout.id).await.expect("read");
    assert_eq!(
        found.map(|rollout| rollout.state),
        Some(RolloutState::Ready)
    );
    let all_of_it = TargetFilter::default();
    assert_eq!(all(&store, rollout.id, all_of_it).await.len(), 3);

    let saved = store.save(rollout.clone(), devices.clone(), vec![line]);
    assert!(saved.await.expect("written"));
    let found = RolloutStore::find(&store, rollout.id).await.expect("read");
    assert_eq!(found, Some(rollout.clone()));
    let is = all(&store, rollout.id, all_of_it).await;
    let is: Vec<_> = is
        .iter()
        .map(|target| (target.endpoint_id.0, target.status, target.update))
        .collect();
    assert_eq!(
        is,
        [
            (1, TargetStatus::Updating, Some(FirmwareUpdateId(7))),
            (2, TargetStatus::Waiting, None),
            (3, TargetStatus::Failed, None),
            (4, TargetStatus::Waiting, None),
        ]
    );
    let waiting = |target: &RolloutTarget| target.status == TargetStatus::Waiting;
    let of_other = all(&store, other.id, all_of_it).await;
    assert!(of_other.len() == 3 && of_other.iter().all(waiting));
    let mut lines_now = lines(&store).await;
    let line = lines_now.remove(0);
    let detail = format!("rollout {}: why not", rollout.id);
    assert_eq!(line, ("rollout.pause".into(), "autumn".into(), detail));
    assert_eq!(lines_now, lines_before);

    // One that is not there is not made by that.
    let nobody = Rollout {
        id: RolloutId(rollout.id.0 + 1),
        ..rollout
    };
    let saved = store.save(nobody, devices, Vec::new()).await;
    assert!(!saved.expect("asked"));
    assert_eq!(rows(&database).await, [2, 7]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn until_they_are_removed_with_their_devices_and_not_their_updates(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "one").await;
    let mut kept = rollout("kept", 3);
    kept.start(at(8), "ada");
    let kept = add(&store, kept, 3).await;
    let started = format!("rollout {}: {}", kept.id, kept.version);
    let gone = add(&store, rollout("gone", 11_000), 11_000).await;
    let update = of_rollout(&store, id, gone.id, false);
    store.commit(commit([save(&update)])).await.expect("kept");
    let removed = RolloutStore::remove(&store, gone.id, ada()).await;
    assert!(removed.expect("removed"));
    assert_eq!(rows(&database).await, [1, 3]);
    let again = RolloutStore::remove(&store, gone.id, ada()).await;
    assert!(!again.expect("asked"), "it was removed already");
    let saved = store.save(gone.clone(), targets(1), Vec::new()).await;
    assert!(!saved.expect("asked"), "it does not come back");
    assert_eq!(ids(&store, None, 10).await, [kept.id]);
    let updates = FirmwareUpdateReader::of_rollout(&store, gone.id, &[id]).await;
    assert_eq!(updates.expect("read"), [update]);
    let removed = format!("rollout {}: it was READY", gone.id);
    let added = |rollout: &Rollout, devices: usize| {
        format!("rollout {}: image 3, {devices} devices", rollout.id)
    };
    assert_eq!(
        lines(&store).await,
        [
            ("rollout.delete".into(), "gone".into(), removed),
            ("rollout.create".into(), "gone".into(), added(&gone, 11_000)),
            ("rollout.start".into(), "kept".into(), started),
            ("rollout.create".into(), "kept".into(), added(&kept, 3)),
        ]
    );
    let next = add(&store, rollout("next", 0), 0).await;
    assert!(next.id > gone.id, "its number comes twice");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn not_more_than_there_may_be(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let beside = database.open_beside().await;
    let try_to = |store: &Store, called: &str| {
        let (store, rollout) = (store.clone(), rollout(called, 5_000));
        async move { RolloutStore::add(&store, rollout, targets(5_000), ada(), 2).await }
    };
    try_to(&store, "first").await.expect("added");
    // Three for one place, from two processes.
    let (one, other, third) = tokio::join!(
        try_to(&store, "one"),
        try_to(&store, "other"),
        try_to(&beside, "third")
    );
    let (added, refused): (Vec<_>, Vec<_>) =
        [one, other, third].into_iter().partition(Result::is_ok);
    assert_eq!(added.len(), 1, "{added:?}");
    for refused in refused {
        let error = refused.expect_err("one too many");
        assert!(matches!(error, StoreError::Full { limit: 2, .. }));
        assert_eq!(error.to_string(), "there may be at most 2 rollouts");
    }
    assert_eq!(rows(&database).await, [2, 10_000], "nothing is left");
    assert_eq!(lines(&store).await.len(), 2);
    beside.close().await;
    store.close().await;
}

fn of_rollout(
    store: &Store,
    endpoint_id: EndpointId,
    rollout: RolloutId,
    is_roll_back: bool,
) -> FirmwareUpdate {
    FirmwareUpdate {
        rollout: Some(rollout),
        is_roll_back,
        result: UpdateResult::Success,
        ..update(store, endpoint_id, "one")
    }
}

fn save(update: &FirmwareUpdate) -> Change {
    Change::SaveFirmwareUpdate(Box::new(update.clone()))
}

#[rstest]
#[tokio::test]
async fn with_the_updates_of_devices_in_both_directions(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (one, other) = (device(&store, "one").await, device(&store, "other").await);
    let (this, that) = (RolloutId(1), RolloutId(2));
    let there = of_rollout(&store, one, this, false);
    let there_too = of_rollout(&store, other, this, false);
    let back = of_rollout(&store, one, this, true);
    let of_none = update(&store, one, "one");
    let of_that = of_rollout(&store, one, that, false);
    let all = [&back, &of_that, &there_too, &of_none, &there];
    store
        .commit(commit(all.map(save)))
        .await
        .expect("committed");
    let found = async |rollout, endpoints: &[EndpointId]| {
        FirmwareUpdateReader::of_rollout(&store, rollout, endpoints)
            .await
            .expect("read")
    };
    // Far more devices than fit into one question, some of them twice.
    let mut many: Vec<_> = (-40_000..40_000).map(EndpointId).collect();
    many.extend([one, other]);
    assert_eq!(
        found(this, &many).await,
        [there.clone(), there_too, back.clone()]
    );
    assert_eq!(found(this, &[one]).await, [there, back.clone()]);
    assert_eq!(found(that, &many).await, [of_that]);
    assert_eq!(found(this, &[]).await, []);
    assert_eq!(found(RolloutId(3), &many).await, []);
    // What was acknowledged a moment ago is seen, each time.
    for number in 0..100 {
        let back = FirmwareUpdate {
            reason: Some(number.to_string()),
            ..back.clone()
        };
        let written = store.commit(commit([save(&back)])).await;
        written.expect("committed");
        assert_eq!(found(this, &[one]).await.last(), Some(&back));
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn with_one_update_of_a_device_in_each_direction_and_no_more(
    #[values(Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "one").await;
    for is_back in [false, true] {
        let first = of_rollout(&store, id, RolloutId(1), is_back);
        let written = store.commit(commit([save(&first)])).await;
        written.expect("committed");
        let second = of_rollout(&store, id, RolloutId(1), is_back);
        let refused = store.commit(commit([save(&second)])).await;
        assert!(refused.is_err(), "a second one was stored");
        // The one that is there goes on, and another rollout has one too.
        let of_another = of_rollout(&store, id, RolloutId(2), is_back);
        let both = commit([save(&first), save(&of_another)]);
        store.commit(both).await.expect("committed");
    }
    // Those of no rollout are as many as people ask for.
    for _ in 0..2 {
        let of_none = FirmwareUpdate {
            result: UpdateResult::Cancelled,
            ..update(&store, id, "one")
        };
        let written = store.commit(commit([save(&of_none)])).await;
        written.expect("committed");
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn with_devices_that_were_forgotten(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "one").await;
    let target = RolloutTarget::new(RolloutId(0), (id, name("one")), 0, at(1));
    let added = RolloutStore::add(&store, rollout("x", 1), vec![target], ada(), MANY).await;
    let added = added.expect("added");
    EndpointReader::remove(&store, id, None)
        .await
        .expect("forgotten");
    let left = all(&store, added.id, TargetFilter::default()).await;
    let left: Vec<_> = left
        .iter()
        .map(|target| (target.endpoint_id, target.endpoint.as_str()))
        .collect();
    assert_eq!(left, [(id, "one")]);
    store.close().await;
}
