use flownexus_migration::Migrator;
use rstest::rstest;
use sea_orm_migration::MigratorTrait as _;

use super::firmware_updates_are_kept::update;
use super::rollouts_are_kept::{add, rollout};
use super::samples::{
    at, commit, device, kept_session, kept_sessions, observation, temperature, values,
};
use crate::support::database::{Engine, TestDatabase};
use flownexus::domain::{
    FirmwareUpdate, ObservationState, Path, RolloutId, UpdateResult, WantedState,
};
use flownexus::store::{
    Change, EndpointReader as _, FirmwareUpdateReader, FleetWriter as _, RolloutStore as _,
    UpdateFilter,
};

#[rstest]
#[tokio::test]
async fn with_data_in_it(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let session = kept_session(1, 1);
    let keep = Change::KeepSession(Box::new(session.clone()));
    let updated = FirmwareUpdate {
        rollout: Some(RolloutId(1)),
        is_roll_back: true,
        ..update(&store, id, "sensor")
    };
    store
        .commit(commit([
            values(id, vec![temperature(1.0)], at(0)),
            keep.clone(),
            Change::SaveFirmwareUpdate(Box::new(updated)),
        ]))
        .await
        .expect("committed");
    add(&store, rollout("autumn", 3), 3).await;
    store.close().await;

    let connection = database.connection().await;
    Migrator::down(&connection, None).await.expect("down");
    Migrator::up(&connection, None).await.expect("up again");
    connection.close().await.expect("an orderly end");

    let store = database.open().await;
    device(&store, "sensor").await;
    assert_eq!(kept_sessions(&store).await, []);
    assert_eq!(store.not_over().await.expect("read"), []);
    store.commit(commit([keep])).await.expect("committed");
    assert_eq!(kept_sessions(&store).await, [session]);
    store.close().await;
}

/// Before what is wanted was kept, nobody knew who had asked for an observation.
#[rstest]
#[tokio::test]
async fn observations_of_an_older_version_stay_wanted(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    use sea_orm_migration::SchemaManager;
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let of_template = observation(&store, id, 1);
    let mut of_somebody = observation(&store, id, 2);
    of_somebody.paths = vec![Path::object(3), Path::object(4)];
    of_somebody.composite = true;
    of_somebody.state = ObservationState::Active;
    let saved = [&of_template, &of_somebody]
        .map(|observation| Change::SaveObservation(Box::new(observation.clone())));
    store.commit(commit(saved)).await.expect("committed");
    store.close().await;

    let connection = database.connection().await;
    let schema = SchemaManager::new(&connection);
    while schema.has_table("wanted_observation").await.expect("asked") {
        Migrator::down(&connection, Some(1)).await.expect("down");
    }
    connection.close().await.expect("an orderly end");

    let store = database.open().await;
    assert_eq!(
        store.observations(id).await.expect("read"),
        [of_template, of_somebody.clone()]
    );
    let wanted = store.wanted(id).await.expect("read");
    assert_eq!(wanted.len(), 1, "{wanted:?}");
    assert!(wanted[0].is(true, &of_somebody.paths) && wanted[0].is_wanted());
    assert_eq!(wanted[0].state, WantedState::Active);
    assert!(store.ids().wanted() > wanted[0].id, "no number comes twice");
    store.close().await;
}

/// Before there were rollouts, no device was given back anything.
#[rstest]
#[tokio::test]
async fn updates_of_an_older_version_stay_and_give_nothing_back(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    use sea_orm_migration::SchemaManager;
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let first = FirmwareUpdate {
        result: UpdateResult::Success,
        ..update(&store, id, "sensor")
    };
    let second = update(&store, id, "sensor");
    let saved =
        [&first, &second].map(|update| Change::SaveFirmwareUpdate(Box::new(update.clone())));
    store.commit(commit(saved)).await.expect("committed");
    store.close().await;

    let connection = database.connection().await;
    let schema = SchemaManager::new(&connection);
    while schema.has_table("rollout").await.expect("asked") {
        Migrator::down(&connection, Some(1)).await.expect("down");
    }
    let column = schema.has_column("firmware_update", "is_roll_back");
    assert!(!column.await.expect("asked"));
    connection.close().await.expect("an orderly end");

    let store = database.open().await;
    let all = FirmwareUpdateReader::list(&store, &UpdateFilter::default(), 10).await;
    assert_eq!(all.expect("read"), [second, first]);
    let forward = "SELECT COUNT(*) FROM firmware_update WHERE NOT is_roll_back";
    assert_eq!(database.numbers(forward).await, [2]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn a_newer_schema_is_refused(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    use sea_orm::ConnectionTrait as _;
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    database.open().await.close().await;
    let connection = database.connection().await;
    connection
        .execute_unprepared("INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29991231_000001_from_the_future', 0)")
        .await
        .expect("written");
    connection.close().await.expect("an orderly end");
    let error = database
        .try_open(std::sync::Arc::new(|_| {}))
        .await
        .expect_err("too new");
    assert!(error.to_string().contains("from_the_future"), "{error}");
}

/// The questions that are asked all the time are answered by an index, not by reading a table.
#[rstest]
#[case::history(
    "SELECT measured_at FROM resource WHERE endpoint_id = 1 AND object_id = 3303 AND object_instance_id = 0 \
     AND resource_id = 5700 AND resource_instance_id IS NULL AND measured_at >= 1 AND measured_at < 2 \
     ORDER BY measured_at, id",
    "resource_path_time"
)]
#[case::by_type(
    "SELECT * FROM resource WHERE (CAST(object_id AS BIGINT) * 65536 + resource_id) = 1 ORDER BY id DESC LIMIT 5",
    "resource_type_arrival"
)]
#[case::latest(
    "SELECT resource_row FROM latest_resource WHERE endpoint_id = 1",
    "PRIMARY KEY"
)]
#[case::row("SELECT * FROM resource WHERE id IN (1, 2, 3)", "PRIMARY KEY")]
#[case::minutes(
    "SELECT * FROM rollup_minute WHERE endpoint_id = 1 AND path = 2 AND bucket BETWEEN 3 AND 4 ORDER BY bucket",
    "PRIMARY KEY"
)]
#[case::next_series(
    "SELECT endpoint_id, path FROM rollup_day WHERE (endpoint_id, path) > (1, 2) \
     ORDER BY endpoint_id, path, bucket LIMIT 1",
    "PRIMARY KEY"
)]
#[case::next_type(
    "SELECT (CAST(object_id AS BIGINT) * 65536 + resource_id) FROM resource \
     WHERE (CAST(object_id AS BIGINT) * 65536 + resource_id) > 1 \
     ORDER BY (CAST(object_id AS BIGINT) * 65536 + resource_id) LIMIT 1",
    "resource_type_arrival"
)]
#[case::event_of_a_value(
    "SELECT 1 FROM event_resource WHERE resource_row = 1",
    "event_resource_row"
)]
#[case::operations(
    "SELECT * FROM endpoint_operation WHERE endpoint_id = 1 AND status = 'QUEUED' ORDER BY id DESC",
    "endpoint_operation_endpoint_status"
)]
#[case::pending(
    "SELECT * FROM endpoint_operation WHERE status IN ('QUEUED', 'SENDING') ORDER BY id",
    "endpoint_operation_status"
)]
#[case::events(
    "SELECT * FROM event WHERE endpoint_id = 1 AND event_type = 'x' ORDER BY id DESC LIMIT 5",
    "event_endpoint_type"
)]
#[case::old_events("SELECT * FROM event WHERE \"time\" < 5", "event_time")]
#[case::location(
    "SELECT * FROM registration WHERE location = 'x'",
    "sqlite_autoindex_registration_1"
)]
#[case::rollouts_not_over(
    "SELECT * FROM rollout WHERE is_whole = 1 AND state IN ('READY', 'RUNNING') ORDER BY id",
    "rollout_state"
)]
#[case::devices_of_a_rollout(
    "SELECT * FROM rollout_target WHERE rollout_id = 1 AND endpoint_id > 2 ORDER BY endpoint_id LIMIT 5",
    "sqlite_autoindex_rollout_target_1"
)]
#[case::devices_with_a_status(
    "SELECT * FROM rollout_target WHERE rollout_id = 1 AND status = 'x' AND endpoint_id > 2 \
     ORDER BY endpoint_id LIMIT 5",
    "rollout_target_status"
)]
#[case::devices_of_a_group(
    "SELECT * FROM rollout_target WHERE rollout_id = 1 AND group_index = 3 AND endpoint_id > 2 \
     ORDER BY endpoint_id LIMIT 5",
    "rollout_target_group "
)]
#[case::devices_of_a_group_with_a_status(
    "SELECT * FROM rollout_target WHERE rollout_id = 1 AND group_index = 3 AND status = 'x' AND endpoint_id > 2 \
     ORDER BY endpoint_id LIMIT 5",
    "rollout_target_group_status"
)]
#[case::updates_of_a_rollout(
    "SELECT * FROM firmware_update WHERE rollout_id = 1 AND endpoint_id IN (2, 3, 4)",
    "firmware_update_once"
)]
#[case::operations_that_were_asked_of_many(
    "SELECT id FROM endpoint_operation WHERE id > 1 AND id <= 500 AND NOT EXISTS (SELECT 1 FROM bulk_item \
     WHERE bulk_item.operation_id = endpoint_operation.id)",
    "bulk_item_operation"
)]
#[case::events_of_a_rule(
    "SELECT * FROM event WHERE rule = 'x' AND id < 5 ORDER BY id DESC LIMIT 5",
    "event_rule"
)]
#[case::events_that_are_so_bad(
    "SELECT * FROM event WHERE severity IN ('warning', 'critical') AND id < 5 ORDER BY id DESC LIMIT 5",
    "event_severity"
)]
#[case::session(
    "SELECT * FROM session WHERE key_hash = x'00'",
    "sqlite_autoindex_session_1"
)]
#[tokio::test]
async fn questions_have_an_index(#[case] question: &str, #[case] index: &str) {
    use sea_orm::{ConnectionTrait as _, Statement};
    let database = TestDatabase::new(Engine::Sqlite).expect("SQLite is built in");
    database.open().await.close().await;
    let connection = database.connection().await;
    let statement = Statement::from_string(
        connection.get_database_backend(),
        format!("EXPLAIN QUERY PLAN {question}"),
    );
    let rows = connection.query_all_raw(statement).await.expect("a plan");
    let plan: Vec<String> = rows
        .iter()
        .map(|row| row.try_get_by_index(3).expect("a line"))
        .collect();
    assert!(plan.iter().any(|line| line.contains(index)), "{plan:?}");
    assert!(
        plan.iter().all(|line| !line.starts_with("SCAN")),
        "{plan:?}"
    );
}
