use std::time::Duration;

use flownexus::domain::{
    EndpointId, LogLevel, LogLine, LogResource, Path, Selection, StoredLogLine, Timestamp,
};
use flownexus::store::{
    Change, EndpointReader, FleetWriter as _, LogFilter, LogReader, LogResourceStore, Store,
};
use rstest::rstest;

use super::samples::{at, by, commit, device, name};
use crate::support::database::{Engine, TestDatabase};
use crate::support::server::eventually;

fn log(endpoint_id: EndpointId, texts: &[(Option<LogLevel>, &str)], time: i64) -> Change {
    Change::Log {
        endpoint_id,
        path: Path::resource(20, 0, 4014),
        lines: texts
            .iter()
            .map(|(level, text)| LogLine {
                level: *level,
                text: (*text).to_owned(),
            })
            .collect(),
        time: at(time),
        at: at(1000),
    }
}

async fn found(store: &Store, id: EndpointId, filter: LogFilter) -> Vec<String> {
    let filter = LogFilter {
        limit: if filter.limit == 0 { 100 } else { filter.limit },
        ..filter
    };
    let lines = LogReader::list(store, id, &filter).await.expect("read");
    lines.into_iter().map(|line| line.text).collect()
}

fn search(text: &str) -> LogFilter {
    LogFilter {
        search: Some(text.to_owned()),
        ..LogFilter::default()
    }
}

#[rstest]
#[tokio::test]
async fn lines_are_found_by_text_level_and_time(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (one, other) = (device(&store, "one").await, device(&store, "other").await);
    let changes = [
        log(
            one,
            &[(Some(LogLevel::Info), "Grüße ÜBER 100%"), (None, "a_b")],
            0,
        ),
        log(other, &[(None, "elsewhere")], 0),
        log(
            one,
            &[
                (Some(LogLevel::Error), "'; DROP TABLE device_log; --"),
                (None, "nul \0 \\ x"),
            ],
            50,
        ),
        log(
            one,
            &[
                (Some(LogLevel::Warning), "AxB"),
                (Some(LogLevel::Debug), "last"),
            ],
            100,
        ),
    ];
    for change in changes {
        store.commit(commit([change])).await.expect("committed");
    }
    assert_eq!(
        found(&store, one, LogFilter::default()).await,
        [
            "last",
            "AxB",
            "nul \u{fffd} \\ x",
            "'; DROP TABLE device_log; --",
            "a_b",
            "Grüße ÜBER 100%"
        ],
        "newest first"
    );
    for (text, wanted) in [
        ("über", vec!["Grüße ÜBER 100%"]),
        ("GRÜSSE", vec![]),
        ("GRÜß", vec!["Grüße ÜBER 100%"]),
        ("a_b", vec!["a_b"]),
        ("100%", vec!["Grüße ÜBER 100%"]),
        ("%", vec!["Grüße ÜBER 100%"]),
        ("\\", vec!["nul \u{fffd} \\ x"]),
        ("'; drop", vec!["'; DROP TABLE device_log; --"]),
        ("elsewhere", vec![]),
        ("\0", vec!["nul \u{fffd} \\ x"]),
    ] {
        assert_eq!(found(&store, one, search(text)).await, wanted, "{text:?}");
    }
    let at_least = |level| LogFilter {
        level: Some(level),
        ..LogFilter::default()
    };
    assert_eq!(found(&store, one, at_least(LogLevel::Error)).await.len(), 1);
    assert_eq!(
        found(&store, one, at_least(LogLevel::Warning)).await.len(),
        2
    );
    assert_eq!(found(&store, one, at_least(LogLevel::Debug)).await.len(), 4);
    let between = LogFilter {
        from: Some(at(50)),
        to: Some(at(100)),
        ..LogFilter::default()
    };
    assert_eq!(found(&store, one, between).await.len(), 2);

    let page = LogFilter {
        limit: 2,
        ..LogFilter::default()
    };
    let newest = LogReader::list(&store, one, &page).await.expect("read");
    let older = LogFilter {
        before: Some(newest[1].id),
        ..page
    };
    let older = LogReader::list(&store, one, &older).await.expect("read");
    assert_eq!(older[0].text, "nul \u{fffd} \\ x");
    let StoredLogLine {
        endpoint,
        path,
        level,
        time,
        received_at,
        ..
    } = newest[1].clone();
    assert_eq!((endpoint, path), (name("one"), Path::resource(20, 0, 4014)));
    assert_eq!(
        (level, time, received_at),
        (Some(LogLevel::Warning), at(100), at(1000))
    );

    EndpointReader::remove(&store, one, None)
        .await
        .expect("forgotten");
    let left = database.numbers("SELECT COUNT(*) FROM device_log").await;
    assert_eq!(left, [1]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn old_lines_and_too_many_are_removed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    database.settings.logs.keep_days = 2;
    database.settings.logs.max_rows_per_endpoint = 10;
    let store = database.open().await;
    let id = device(&store, "chatty").await;
    let quiet = device(&store, "quiet").await;
    let now = Timestamp::system();
    let days = |days: i64| Timestamp::clamped_from_millis(now.as_millis() - days * 86_400_000);
    let lines = |endpoint_id, count: usize, word: &str, at| Change::Log {
        endpoint_id,
        path: Path::resource(20, 0, 4014),
        lines: (0..count)
            .map(|number| LogLine {
                level: None,
                text: format!("{word} {number}"),
            })
            .collect(),
        time: at,
        at,
    };
    store
        .commit(commit([
            lines(id, 7_000, "old", days(3)),
            lines(quiet, 3, "recent", days(1)),
            lines(id, 30, "new", now),
        ]))
        .await
        .expect("committed");
    eventually(
        "what is old or too much goes",
        Duration::from_secs(20),
        || async {
            let left = database.numbers("SELECT COUNT(*) FROM device_log").await;
            (left == [13]).then_some(())
        },
    )
    .await;
    let left = found(&store, id, LogFilter::default()).await;
    assert_eq!(left.len(), 10);
    assert_eq!((left[0].as_str(), left[9].as_str()), ("new 29", "new 20"));
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn which_values_are_logs(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let known = LogResourceStore::list(&store).await.expect("read");
    let paths: Vec<String> = known.iter().map(|log| log.path.to_string()).collect();
    assert_eq!(paths, ["/20/*/4014", "/20/*/4016"]);
    let new = LogResource {
        id: 0,
        path: "/26241/*/1".parse().expect("a pattern"),
        selection: Selection {
            names: vec!["a*".to_owned()],
            tags: vec!["lab".to_owned()],
        },
    };
    let added = LogResourceStore::add(&store, new.clone(), by())
        .await
        .expect("added");
    assert_eq!(added, LogResource { id: 3, ..new });
    assert!(
        LogResourceStore::remove(&store, 1, by())
            .await
            .expect("removed")
    );
    assert!(
        !LogResourceStore::remove(&store, 1, by())
            .await
            .expect("answered")
    );
    store.close().await;
    let store = database.open().await;
    let known = LogResourceStore::list(&store).await.expect("read");
    assert_eq!(known.len(), 2, "what was removed does not come back");
    assert_eq!(known[1], added);
    store.close().await;
}
