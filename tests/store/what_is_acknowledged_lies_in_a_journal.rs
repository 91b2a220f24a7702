//! On SQLite what is acknowledged is in a journal first: what a crash leaves there is not lost, and nobody sees
//! that it is not in the tables yet.

use std::fs;
use std::path::{Path as FilePath, PathBuf};

use flownexus::domain::{
    AuditEntry, Doer, EndpointId, LogLevel, LogLine, Node, Path, Peer, Phase, RegistrationEvent,
    RegistrationId, RuleEvent, RuleId, RuleState, SessionId, Severity, Side, Timestamp, Token,
    Value,
};
use flownexus::store::{
    Change, EndpointReader, EventQuery, EventReader, FleetWriter as _, LogFilter, LogReader,
    Notified, OperationQuery, OperationReader, OperationSearch, ResourceReader as _, Store,
};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};

use super::firmware_updates_are_kept::{step, unusual_update, update};
use super::samples::{
    answer, at, commit, every_value, kept_session, keyed, learned, name, observation, operation,
    periods, profile, registration, session_mark, temperature, unusual_observation,
    unusual_operation, unusual_registration, unusual_wanted, values, wanted,
};
use crate::support::database::{Engine, TestDatabase};
use crate::support::server::{SOON, eventually};

/// A store whose journal is not folded unless somebody reads.
fn patient() -> TestDatabase {
    let mut database = TestDatabase::new(Engine::Sqlite).expect("SQLite is always there");
    database.settings.store.fold_after_ms = 3_600_000;
    database
}

/// What the disk holds when the process is killed now, as another database.
fn crashed(database: &TestDatabase) -> TestDatabase {
    let copy = patient();
    copy_folder(&database.settings.data_dir, &copy.settings.data_dir);
    copy
}

fn copy_folder(from: &FilePath, to: &FilePath) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}

fn journal(database: &TestDatabase) -> Vec<PathBuf> {
    let folder = database.settings.data_dir.join("journal");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .expect("the journal's folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "journal"))
        .collect();
    files.sort();
    files
}

/// Values of every type, without those that are large.
fn usual_values() -> Vec<Node> {
    let mut values = every_value();
    values.retain(|node| match &node.value {
        Value::String(text) | Value::Corelink(text) => text.len() < 1_000,
        Value::Opaque(bytes) => bytes.len() < 1_000,
        _ => true,
    });
    assert!(values.len() > 10, "{values:?}");
    values
}

/// One commit of each kind of change at least, as unusual as it gets.
fn every_change(store: &Store) -> Vec<Vec<Change>> {
    let (id, other) = (store.ids().endpoint(), store.ids().endpoint());
    let register = unusual_registration(id);
    let device = register.endpoint.as_str().to_owned();
    let boxed = |it: &RuleState| Change::SaveRuleState(Box::new(it.clone()));
    let state = RuleState {
        rule: RuleId(1),
        revision: 1,
        endpoint_id: id,
        place: "/3303/*/5700".parse().expect("a pattern"),
        phase: Phase::Pending(Side::Low),
        newest_at: Some(at(5)),
        since: Some(at(3)),
        clock_at: None,
        event_at: Some(Timestamp::MAX),
        reported: Some("#\0".to_owned()),
        seen: None,
    };
    let mut gateway = flownexus::domain::GatewayState::default();
    gateway.note(RegistrationEvent::Registered, at(7));
    let first = observation(store, id, 1);
    let over = unusual_update(store, id, &device);
    let mut unusual = unusual_operation(store, id, &device);
    unusual.request.values = usual_values();
    if let Some(result) = &mut unusual.result {
        result.nodes = usual_values();
    }
    vec![
        vec![Change::Register(Box::new(register.clone()))],
        vec![
            Change::UpdateRegistration(Box::new(register.clone())),
            Change::ReserveMessageIds {
                endpoint_id: id,
                mark: 65_535,
            },
        ],
        vec![Change::ExtendRegistration {
            endpoint_id: id,
            registration_id: register.id,
            peer: Peer::dtls("[::1]:9".parse().expect("an address"), SessionId(u64::MAX)),
            updated_at: at(8),
            expires_at: Timestamp::MAX,
        }],
        vec![
            Change::Register(Box::new(registration(other, "other", "rd-other"))),
            Change::Moved {
                endpoint_id: other,
                peer: Peer::udp("192.0.2.77:1".parse().expect("an address")),
            },
            Change::EndRegistration {
                endpoint_id: other,
                registration_id: RegistrationId::from_text("rd-other"),
            },
            Change::Gateway {
                endpoint_id: other,
                endpoint: name("other"),
                state: Box::new(gateway),
                at: at(7),
            },
            Change::Seen {
                endpoint_id: other,
                at: at(77),
            },
        ],
        vec![
            Change::Learned {
                endpoint_id: id,
                learned: Box::new(learned()),
            },
            Change::Profile {
                endpoint_id: id,
                profile: Box::new(profile()),
            },
            Change::Periods {
                endpoint_id: id,
                periods: periods(),
            },
        ],
        vec![
            Change::SaveObservation(Box::new(first.clone())),
            Change::SaveObservation(Box::new(unusual_observation(store, id))),
            Change::Notified(Notified {
                id: first.id,
                endpoint_id: id,
                last_sequence: Some(u32::MAX),
                last_message_id: Some(65_535),
                last_hash: Some(i64::MIN),
                notified_at: Some(at(11)),
                notifications: u64::MAX,
            }),
            Change::RemoveObservation {
                endpoint_id: id,
                token: Token::new(b"none").expect("a token"),
            },
        ],
        vec![
            Change::SaveWanted(Box::new(unusual_wanted(store, id))),
            Change::SaveWanted(Box::new(wanted(store, id))),
        ],
        vec![
            Change::SaveOperation(Box::new(unusual)),
            Change::SaveOperation(Box::new(operation(store, id, &device))),
            Change::RememberKey(Box::new(keyed(store, id, [0; 32]))),
        ],
        vec![
            values(id, usual_values(), at(1)),
            Change::Resources {
                endpoint_id: id,
                nodes: usual_values(),
                at: at(0),
                stale: true,
            },
            Change::RuleEvent(Box::new(RuleEvent {
                id: store.ids().event(),
                endpoint_id: id,
                event_type: "warm \0".to_owned(),
                rule: "too warm".to_owned(),
                severity: Some(Severity::Critical),
                message: "grüezi".to_owned(),
                at: at(9),
                place: "/3303/0/5700".parse().expect("a pattern"),
                value: Some(1),
                include: vec!["/3303/*".parse().expect("a pattern")],
            })),
            boxed(&state),
            boxed(&RuleState {
                rule: RuleId(2),
                phase: Phase::Over(Side::High),
                ..state
            }),
        ],
        vec![
            Change::Event {
                id: store.ids().event(),
                endpoint_id: id,
                event_type: "10300".to_owned(),
                nodes: usual_values(),
                at: at(2),
            },
            Change::Log {
                endpoint_id: id,
                path: Path::resource(10_259, 0, 1),
                lines: vec![
                    LogLine {
                        level: Some(LogLevel::Warning),
                        text: "<wrn> \u{1f525}".to_owned(),
                    },
                    LogLine {
                        level: None,
                        text: String::new(),
                    },
                ],
                time: Timestamp::MIN,
                at: at(3),
            },
        ],
        vec![
            Change::RememberAnswer(Box::new(answer(1, 65_535, i64::MIN))),
            Change::KeepSession(Box::new(kept_session(u64::MAX, 4))),
            Change::KeepSession(Box::new(kept_session(5, 6))),
            Change::MarkSession(session_mark(u64::MAX, 12)),
            Change::EndSession { id: SessionId(5) },
        ],
        vec![
            Change::SaveFirmwareUpdate(Box::new(over.clone())),
            step(&over, 3, "grüezi \0"),
            Change::SaveFirmwareUpdate(Box::new(update(store, id, &device))),
        ],
        vec![line("operation.create \0"), line("operation.cancel")],
        vec![line("endpoint.update")],
    ]
}

/// A line of the audit log.
fn line(action: &str) -> Change {
    let by = Doer {
        actor: "token:grafana".to_owned(),
        remote: "2001:db8::1".to_owned(),
    };
    let line = AuditEntry::new(by, at(9), action, "sensor \0", String::new());
    Change::Audit(Box::new(line))
}

/// Every row of every table that commits write.
async fn rows(database: &TestDatabase) -> Vec<String> {
    let connection = database.connection().await;
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'table' \
        AND name NOT IN ('server_state', 'seaql_migrations', 'observation_template', 'resource_type') AND name NOT LIKE 'sqlite%' ORDER BY 1";
    let mut rows = Vec::new();
    for table in texts(&connection, sql).await {
        let sql = format!(
            "SELECT group_concat('quote(\"' || name || '\")', ' || '', '' || ') \
             FROM pragma_table_info('{table}')"
        );
        let columns = texts(&connection, &sql).await.remove(0);
        let sql = format!("SELECT {columns} FROM {table} ORDER BY 1");
        let found = texts(&connection, &sql).await;
        rows.extend(found.iter().map(|row| format!("{table}: {row}")));
    }
    connection.close().await.expect("an orderly end");
    rows
}

/// The first column of every row.
async fn texts(connection: &DatabaseConnection, sql: &str) -> Vec<String> {
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let rows = connection.query_all_raw(statement).await.expect(sql);
    rows.iter()
        .map(|row| row.try_get_by_index(0).expect("a text"))
        .collect()
}

#[tokio::test]
async fn every_change_comes_back_after_a_crash() {
    let direct = TestDatabase::new(Engine::SqliteDirect).expect("SQLite is always there");
    let with_journal = patient();
    for database in [&direct, &with_journal] {
        let store = database.open().await;
        for changes in every_change(&store) {
            store.commit(commit(changes)).await.expect("committed");
        }
        if database.settings.store.journal {
            let tables = database.numbers("SELECT COUNT(*) FROM endpoint").await;
            assert_eq!(tables, [0], "nothing is in the tables yet");
            let crashed = crashed(database);
            crashed.open().await.close().await;
            assert_eq!(rows(&crashed).await, rows(&direct).await);
        }
        store.close().await;
    }
    assert_eq!(rows(&with_journal).await, rows(&direct).await);
    assert_eq!(
        journal(&with_journal),
        [] as [PathBuf; 0],
        "an orderly stop leaves nothing behind"
    );
}

#[tokio::test]
async fn a_second_crash_writes_nothing_twice() {
    let database = patient();
    let store = database.open().await;
    let id = super::samples::device(&store, "sensor").await;
    store
        .commit(commit([values(id, vec![temperature(1.0)], at(1))]))
        .await
        .expect("committed");
    let first = crashed(&database);
    store.close().await;
    // The process is killed when everything is in the tables and the files of the journal are still there.
    let left = first.folder.path().join("left");
    copy_folder(&first.settings.data_dir.join("journal"), &left);
    let store = first.open().await;
    let second = crashed(&first);
    store.close().await;
    copy_folder(&left, &second.settings.data_dir.join("journal"));
    assert_eq!(journal(&second).len(), 1);
    let store = second.open().await;
    assert_eq!(
        second.numbers("SELECT COUNT(*) FROM resource").await,
        [1],
        "each value is there once"
    );
    store
        .commit(commit([values(id, vec![temperature(2.0)], at(2))]))
        .await
        .expect("committed");
    let third = crashed(&second);
    store.close().await;
    let store = third.open().await;
    assert_eq!(
        third.numbers("SELECT COUNT(*) FROM resource").await,
        [2],
        "and what came after it too"
    );
    store.close().await;
}

#[tokio::test]
async fn who_reads_sees_what_was_confirmed() {
    let database = patient();
    let store = database.open().await;
    let id = super::samples::device(&store, "sensor").await;
    for number in 1..=20 {
        let value = temperature(f64::from(number));
        store
            .commit(commit([values(id, vec![value.clone()], at(number.into()))]))
            .await
            .expect("committed");
        let latest = store.latest(id).await.expect("read");
        assert_eq!(latest[0].value, value.value);
    }
    store.close().await;
}

#[tokio::test]
async fn who_asks_for_one_device_does_not_wait_for_the_others() {
    let database = patient();
    let store = database.open().await;
    let quiet = super::samples::device(&store, "quiet").await;
    let busy = super::samples::device(&store, "busy").await;
    let asked = operation(&store, quiet, "quiet");
    let saved = Change::SaveOperation(Box::new(asked.clone()));
    store.commit(commit([saved])).await.expect("committed");
    store.count().await.expect("everything is in the tables");

    let told = values(busy, vec![temperature(21.0)], at(1));
    store.commit(commit([told])).await.expect("committed");
    let waiting = store.metrics().journal_bytes.get();
    assert!(waiting > 0);
    let row = EndpointReader::find(&store, &name("quiet"))
        .await
        .expect("read");
    assert_eq!(row.expect("there").id, quiet);
    let found = OperationReader::find(&store, asked.id).await.expect("read");
    assert_eq!(found.as_ref(), Some(&asked));
    let wanted = OperationQuery {
        endpoint: Some(quiet),
        limit: 10,
        ..OperationQuery::default()
    };
    let found = OperationSearch::search(&store, &wanted).await;
    assert_eq!(found.expect("read").rows, [asked]);
    let wanted = EventQuery {
        endpoint: Some(quiet),
        limit: 10,
        ..EventQuery::default()
    };
    let found = EventReader::search(&store, &wanted).await;
    assert!(found.expect("read").rows.is_empty());
    let lines = LogReader::list(&store, quiet, &LogFilter::default()).await;
    assert!(lines.expect("read").is_empty());
    assert_eq!(
        store.metrics().journal_bytes.get(),
        waiting,
        "nothing was folded"
    );

    let row = EndpointReader::find(&store, &name("busy"))
        .await
        .expect("read");
    assert_eq!(row.expect("there").id, busy);
    assert_eq!(store.metrics().journal_bytes.get(), 0);
    store.close().await;
}

#[tokio::test]
async fn without_a_journal_what_the_last_one_held_is_there_too() {
    let database = patient();
    let store = database.open().await;
    let id = super::samples::device(&store, "sensor").await;
    let mut crashed = crashed(&database);
    store.close().await;
    crashed.settings.store.journal = false;
    let store = crashed.open().await;
    let row = EndpointReader::find(&store, &name("sensor"))
        .await
        .expect("read");
    assert_eq!(row.expect("there").id, id);
    assert_eq!(journal(&crashed), [] as [PathBuf; 0]);
    store.close().await;
}

#[tokio::test]
async fn what_the_tables_cannot_hold_is_put_aside_and_the_rest_is_written() {
    let database = patient();
    let store = database.open().await;
    let nobody = EndpointId(999_999);
    let mut known = Vec::new();
    for number in 0..7 {
        known.push(super::samples::device(&store, &format!("sensor-{number}")).await);
        if number % 3 == 1 {
            let orphan = observation(&store, nobody, number);
            store
                .commit(commit([Change::SaveObservation(Box::new(orphan))]))
                .await
                .expect("the journal does not know who is there");
        }
    }
    assert_eq!(store.count().await.expect("read"), (7, 7));
    let aside = database.settings.data_dir.join("journal/refused.jsonl");
    let aside = fs::read_to_string(aside).expect("what was refused");
    assert_eq!(aside.lines().count(), 2, "{aside}");
    for line in aside.lines() {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let of = &line["changes"][0]["SaveObservation"]["endpoint_id"];
        assert_eq!(of, 999_999, "{line}");
        assert!(
            line["error"]
                .as_str()
                .is_some_and(|why| why.contains("FOREIGN KEY"))
        );
    }
    // What no table can hold is known at once, and the rest of its batch is written.
    let at_root = Node::new(Path::object(3), temperature(0.0).value);
    let refused = store.commit(commit([values(known[0], vec![at_root], at(0))]));
    let good = store.commit(commit([values(known[0], vec![temperature(7.0)], at(0))]));
    let refused = refused.await.expect_err("no resource");
    assert!(
        refused.to_string().contains("/3 is no path of a resource"),
        "{refused}"
    );
    good.await.expect("committed");
    store.close().await;
}

/// Takes the table of values away from the store, or gives it back.
async fn rename(database: &TestDatabase, from: &str, to: &str) {
    let connection = database.connection().await;
    connection
        .execute_unprepared(&format!("ALTER TABLE {from} RENAME TO {to}"))
        .await
        .expect("renamed");
    connection.close().await.expect("an orderly end");
}

#[tokio::test]
async fn what_the_tables_cannot_take_now_is_tried_again_and_stays_acknowledged() {
    let database = patient();
    let store = database.open().await;
    let id = super::samples::device(&store, "sensor").await;
    assert_eq!(store.count().await.expect("read"), (1, 1));
    rename(&database, "resource", "resource_away").await;
    store
        .commit(commit([values(id, vec![temperature(1.0)], at(1))]))
        .await
        .expect("it is in the journal");
    let error = store
        .count()
        .await
        .expect_err("nobody sees less than was confirmed");
    assert!(error.to_string().contains("resource"), "{error}");
    rename(&database, "resource_away", "resource").await;
    eventually("it is tried again", SOON, async || store.count().await.ok()).await;
    assert_eq!(store.latest(id).await.expect("read").len(), 1);

    // At an orderly stop it stays in the journal.
    rename(&database, "resource", "resource_away").await;
    store
        .commit(commit([values(id, vec![temperature(2.0)], at(2))]))
        .await
        .expect("it is in the journal");
    store.close().await;
    assert_ne!(journal(&database), [] as [PathBuf; 0], "it is kept");
    rename(&database, "resource_away", "resource").await;
    let store = database.open().await;
    let latest = store.latest(id).await.expect("read");
    assert_eq!(latest[0].value, temperature(2.0).value);
    store.close().await;
}

#[tokio::test]
async fn a_journal_that_goes_on_behind_its_database_is_not_taken() {
    let database = patient();
    let store = database.open().await;
    super::samples::device(&store, "one").await;
    let early = crashed(&database);
    store.close().await;
    let store = database.open().await;
    super::samples::device(&store, "two").await;
    let late = crashed(&database);
    store.close().await;
    // Somebody puts an earlier database back, and leaves the journal.
    for end in ["", "-wal", "-shm"] {
        let file = format!("flownexus.db{end}");
        let (from, to) = (
            early.settings.data_dir.join(&file),
            late.settings.data_dir.join(&file),
        );
        if from.exists() {
            fs::copy(from, to).expect("put back");
        }
    }
    let error = late
        .try_open(std::sync::Arc::new(|_| {}))
        .await
        .expect_err("it is not taken")
        .to_string();
    assert!(error.contains("put back both"), "{error}");
    fs::remove_dir_all(late.settings.data_dir.join("journal")).expect("moved away");
    late.open().await.close().await;
}

#[tokio::test]
async fn a_record_that_was_torn_is_none_and_those_before_it_count() {
    let database = patient();
    let store = database.open().await;
    let id = super::samples::device(&store, "sensor").await;
    let mut ends = Vec::new();
    for number in 1..=3 {
        store
            .commit(commit([values(
                id,
                vec![temperature(f64::from(number))],
                at(0),
            )]))
            .await
            .expect("committed");
        ends.push(fs::metadata(&journal(&database)[0]).expect("a file").len());
    }
    for (end, values) in [
        (ends[2], 3),
        (ends[2] - 1, 2),
        (ends[1] + 3, 2),
        (ends[1], 2),
    ] {
        let crashed = crashed(&database);
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&journal(&crashed)[0]);
        file.and_then(|file| file.set_len(end)).expect("torn");
        let store = crashed.open().await;
        let rows = crashed.numbers("SELECT COUNT(*) FROM resource").await;
        assert_eq!(rows, [values], "torn at {end} of {ends:?}");
        store.close().await;
    }
    store.close().await;
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let mut database = patient();
    database.settings.store.journal_bytes = 1 << 20;
    let store = database.open().await;
    let id = super::samples::device(&store, "sensor").await;
    let text = Value::String("x".repeat(10_000));
    let most = 3 << 20;
    for _ in 0..100 {
        let node = Node::new(Path::resource(3, 0, 0), text.clone());
        let commits =
            (0..10).map(|_| store.commit(commit([values(id, vec![node.clone()], at(0))])));
        for done in futures_util::future::join_all(commits).await {
            done.expect("committed");
        }
        let waits = store.metrics().journal_bytes.get();
        assert!(waits < most, "{waits} bytes wait");
    }
    let files: u64 = journal(&database)
        .iter()
        .map(|file| fs::metadata(file).expect("a file").len())
        .sum();
    assert!(files < 2 * most as u64, "the files have {files} bytes");
    store.latest(id).await.expect("read");
    assert_eq!(store.metrics().values.get(), 1_000);
    store.close().await;
}

/// Of each version of the format there is a journal with every change that it knew.
const EARLIER: [(&str, &[u8]); 1] = [("1", include_bytes!("journals/1.journal"))];

/// A crash and an upgrade may come together: what the earlier version acknowledged must be there after it.
#[tokio::test]
async fn a_journal_of_an_earlier_version_is_read() {
    for (version, journal) in EARLIER {
        let database = patient();
        let folder = database.settings.data_dir.join("journal");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("0000000000000001.journal"), journal).expect("written");
        database.open().await.close().await;
        insta::assert_snapshot!(
            format!("journal_of_version_{version}"),
            rows(&database).await.join("\n")
        );
    }
}

/// Not a test of its own: writes the journal of this version, for when the format gets another number.
#[tokio::test]
#[ignore = "makes a file that the test above reads"]
async fn write_the_journal_of_this_version() {
    let database = patient();
    let store = database.open().await;
    for changes in every_change(&store) {
        store.commit(commit(changes)).await.expect("committed");
    }
    let target = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/store/journals/new.journal"
    );
    fs::copy(&journal(&database)[0], target).expect("written");
    store.close().await;
}
