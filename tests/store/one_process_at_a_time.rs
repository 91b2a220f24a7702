use std::sync::Arc;

use flownexus::domain::{AuditEntry, Doer};
use flownexus::store::{
    AuditStore, Change, FleetWriter as _, Role, Store, StoreError, User, UserStore,
};
use rstest::rstest;

use super::samples::{at, by, commit, device};
use crate::support::database::{Engine, TestDatabase};

fn nothing() -> flownexus::store::Publisher {
    Arc::new(|_| {})
}

fn user(name: &str) -> User {
    User::new(name, Role::Viewer, "$argon2id$".into())
}

#[rstest]
#[tokio::test]
async fn has_the_data_folder(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let error = database.try_open(nothing()).await.expect_err("taken");
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    let sentence = error.to_string();
    assert!(
        sentence.contains(&database.settings.data_dir.display().to_string()),
        "{sentence}"
    );
    assert!(
        sentence.contains("another flownexus is running"),
        "{sentence}"
    );
    store.close().await;
    database.open().await.close().await;
}

#[tokio::test]
async fn has_the_postgresql_database() {
    let Some(database) = TestDatabase::new(Engine::Postgres) else {
        return;
    };
    let store = database.open().await;
    let error = database
        .elsewhere()
        .try_open(nothing())
        .await
        .expect_err("taken");
    assert!(matches!(error, StoreError::InUse { .. }), "{error:?}");
    store.close().await;
    database.elsewhere().open().await.close().await;
}

#[rstest]
#[tokio::test]
async fn but_people_are_managed_beside_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let server = database.open().await;
    let first = UserStore::add(&server, user("first"), by())
        .await
        .expect("added");
    let beside = Store::open_beside(&database.settings)
        .await
        .expect("opened beside");
    let second = UserStore::add(&beside, user("second"), by())
        .await
        .expect("added beside");
    let third = UserStore::add(&server, user("third"), by())
        .await
        .expect("added");
    assert!(first.id < second.id && second.id < third.id);
    assert_eq!(UserStore::list(&beside).await.expect("read").len(), 3);
    let refused = beside
        .commit(commit([Change::Seen {
            endpoint_id: device(&server, "x").await,
            at: at(0),
        }]))
        .await;
    assert!(refused.is_err(), "the fleet belongs to the server");
    beside.close().await;
    device(&server, "the server goes on").await;
    server.close().await;

    let alone = Store::open_beside(&database.settings)
        .await
        .expect("opened alone");
    assert_eq!(UserStore::list(&alone).await.expect("read").len(), 3);
    alone.close().await;
}

/// An id is one row's for ever, whoever writes meanwhile and however the server ends.
#[rstest]
#[tokio::test]
async fn who_writes_beside_it_leaves_its_row_ids_alone(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let server = database.open().await;
    for _ in 0..20_000 {
        server.ids().operation();
    }
    device(&server, "thing").await;
    TestDatabase::in_tables(&server).await;
    let marks = "SELECT \"value\" FROM server_state WHERE \"key\" IN ('next_id.endpoint', \
        'next_id.endpoint_operation', 'next_id.resource') ORDER BY \"key\"";
    let before = database.numbers(marks).await;
    assert!(before[1] > 20_000, "{before:?}");
    let beside = database.open_beside().await;
    UserStore::add(&beside, user("ada"), by())
        .await
        .expect("added");
    let line = AuditEntry::new(
        Doer {
            actor: "cli".to_owned(),
            remote: String::new(),
        },
        at(0),
        "user.create",
        "ada",
        String::new(),
    );
    AuditStore::add(&beside, line).await.expect("added");
    beside.close().await;
    assert_eq!(database.numbers(marks).await, before);
    server.close().await;
}

#[rstest]
#[tokio::test]
async fn people_are_managed_before_the_first_start(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = Store::open_beside(&database.settings)
        .await
        .expect("opened");
    UserStore::add(&store, user("first"), by())
        .await
        .expect("added");
    store.close().await;
    let server = database.open().await;
    assert_eq!(UserStore::list(&server).await.expect("read").len(), 1);
    server.close().await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let mut database = TestDatabase::new(Engine::Sqlite).expect("SQLite is built in");
    let file = database.folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    database.settings.data_dir = file.join("data");
    let error = database
        .try_open(nothing())
        .await
        .expect_err("below a file");
    assert!(matches!(error, StoreError::DataDir { .. }), "{error:?}");
    let sentence = error.to_string();
    assert!(
        sentence.contains("file/data") && !sentence.contains('\n'),
        "{sentence}"
    );
}

#[tokio::test]
async fn a_database_that_is_no_database_is_refused_in_one_sentence() {
    let mut database = TestDatabase::new(Engine::Sqlite).expect("SQLite is built in");
    database.settings.database.url = "mysql://root:secret@localhost/x".into();
    let sentence = database
        .try_open(nothing())
        .await
        .expect_err("not supported")
        .to_string();
    assert!(
        sentence.contains("database.url") && !sentence.contains("secret"),
        "{sentence}"
    );

    database.settings.database.url = String::new();
    std::fs::write(
        database.settings.data_dir.join("flownexus.db"),
        "no database at all".repeat(100),
    )
    .expect("a file");
    let error = database.try_open(nothing()).await.expect_err("garbage");
    assert!(matches!(error, StoreError::Database(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_without_the_password() {
    let mut database = TestDatabase::new(Engine::Sqlite).expect("SQLite is built in");
    database.settings.database.url = "postgres://root:secret@127.0.0.1:1/x".into();
    let begun = std::time::Instant::now();
    let sentence = database
        .try_open(nothing())
        .await
        .expect_err("nobody listens")
        .to_string();
    assert!(!sentence.contains("secret"), "{sentence}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(20));
}
