use flownexus::domain::{KeptSession, ReceiveWindow, SessionId, SessionMark, Timestamp};
use flownexus::store::{
    Change, FleetLoader as _, FleetWriter as _, SecureSessionLoader as _, Store, StoreError,
    Witness,
};
use futures_util::future::join_all;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rstest::rstest;
use sea_orm::ConnectionTrait as _;

use super::samples::{at, commit, kept_session, kept_sessions, session_mark};
use crate::support::database::{Engine, TestDatabase};

/// The longest IPv6 address with its port.
const LONG_ADDRESS: &str = "[2001:db8:1234:5678:9abc:def0:1234:5678]:61234";

fn keep(session: &KeptSession) -> Change {
    Change::KeepSession(Box::new(session.clone()))
}

fn end(session: &KeptSession) -> Change {
    Change::EndSession {
        id: session.mark.id,
    }
}

/// A session whose numbers need all of their bits.
fn large_session() -> KeptSession {
    KeptSession {
        mark: SessionMark {
            id: SessionId(u64::MAX),
            address: LONG_ADDRESS.parse().expect("an address"),
            is_proven: false,
            window: ReceiveWindow {
                highest: (1 << 48) - 1,
                seen: (1 << 63) | 1,
            },
            heard_at: Timestamp::MAX,
        },
        numbers: (1 << 48) - 1,
        sealed: (0..=255).cycle().take(300).collect(),
    }
}

async fn write(store: &Store, changes: impl IntoIterator<Item = Change>) {
    store.commit(commit(changes)).await.expect("committed");
}

#[rstest]
#[tokio::test]
async fn bit_for_bit(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let mut beyond = kept_session(1 << 63, 1);
    beyond.mark.address = "[fe80::1%3]:1".parse().expect("an address");
    beyond.mark.window.highest = u64::MAX;
    beyond.mark.heard_at = Timestamp::MIN;
    beyond.numbers = u64::MAX;
    beyond.sealed.clear();
    let sessions = [kept_session(0, 0), beyond, large_session()];
    write(&store, sessions.iter().map(keep)).await;
    store.close().await;

    let store = database.open().await;
    assert_eq!(kept_sessions(&store).await, sessions);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn until_they_are_replaced_marked_or_ended(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let [replaced, marked, ended] = [1, 2, 3].map(|id| kept_session(id, 1));
    write(&store, [&replaced, &marked, &ended].map(keep)).await;

    let replacement = KeptSession {
        numbers: 5,
        sealed: vec![7],
        ..kept_session(1, 2)
    };
    write(&store, [keep(&replacement)]).await;
    let mark = session_mark(2, 9);
    write(&store, [Change::MarkSession(mark)]).await;
    write(&store, [end(&ended)]).await;
    let left = [replacement, KeptSession { mark, ..marked }];
    assert_eq!(kept_sessions(&store).await, left);

    write(
        &store,
        [Change::MarkSession(session_mark(3, 9)), end(&ended)],
    )
    .await;
    write(&store, [Change::MarkSession(session_mark(4, 9))]).await;
    assert_eq!(
        kept_sessions(&store).await,
        left,
        "marks bring nothing back, and what is gone can end again"
    );
    store.close().await;
}

/// What can happen to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    End,
    Keep,
    Mark,
}

/// Everything that happens to one session.
#[derive(Clone, Debug)]
struct Story {
    id: u64,
    /// Whether it is stored at the beginning.
    is_there: bool,
    events: Vec<Event>,
}

impl Story {
    fn change(&self, index: usize) -> Change {
        let number = index as u64 + 1;
        match self.events[index] {
            Event::End => end(&kept_session(self.id, 0)),
            Event::Keep => keep(&kept_session(self.id, number)),
            Event::Mark => Change::MarkSession(session_mark(self.id, number)),
        }
    }

    fn changes(&self) -> Vec<Change> {
        (0..self.events.len())
            .map(|index| self.change(index))
            .collect()
    }

    /// What must be left of it.
    fn left(&self) -> Option<KeptSession> {
        let begin = self.is_there.then(|| kept_session(self.id, 0));
        self.changes()
            .into_iter()
            .fold(begin, |session, change| match change {
                Change::KeepSession(session) => Some(*session),
                Change::MarkSession(mark) => session.map(|it| KeptSession { mark, ..it }),
                _ => None,
            })
    }
}

/// Every order of up to four events, for sessions that are there and for others.
fn stories() -> Vec<Story> {
    let mut orders = vec![vec![]];
    let mut begin = 0;
    for _ in 0..4 {
        let longer: Vec<Vec<Event>> = orders[begin..]
            .iter()
            .flat_map(|order| {
                [Event::End, Event::Keep, Event::Mark].map(|event| {
                    let mut order = order.clone();
                    order.push(event);
                    order
                })
            })
            .collect();
        begin = orders.len();
        orders.extend(longer);
    }
    let both = |events: Vec<Event>| {
        [false, true].map(|is_there| Story {
            id: 0,
            is_there,
            events: events.clone(),
        })
    };
    let mut stories: Vec<Story> = orders.into_iter().skip(1).flat_map(both).collect();
    for (story, number) in stories.iter_mut().zip(1_u64..) {
        // Odd, so that no two are equal, and half of them have the highest bit.
        story.id = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    stories
}

/// How many transactions of commits there were.
fn transactions(store: &Store) -> String {
    let mut registry = Registry::default();
    store.metrics().register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).expect("metrics");
    text.lines()
        .find_map(|line| line.strip_prefix("flownexus_store_commit_seconds_count "))
        .expect("the metric")
        .to_owned()
}

#[rstest]
#[tokio::test]
async fn in_any_order_of_changes(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(true, false)] in_one_commit: bool,
) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    let stories = stories();
    assert_eq!(stories.len(), 2 * (3 + 9 + 27 + 81));
    let store = database.open().await;
    let there = stories.iter().filter(|story| story.is_there);
    write(&store, there.map(|story| keep(&kept_session(story.id, 0)))).await;
    store.close().await;

    let commits: Vec<Vec<Change>> = if in_one_commit {
        stories.iter().map(Story::changes).collect()
    } else {
        // The first event of each, then the second of each, …
        (0..4)
            .flat_map(|index| {
                let long = stories.iter().filter(move |it| it.events.len() > index);
                long.map(move |story| vec![story.change(index)])
            })
            .collect()
    };
    // The batch is full with the last one, and not before.
    database.settings.store.batch_commits = commits.len();
    database.settings.store.batch_delay_ms = 60_000;
    let store = database.open().await;
    let waiting: Vec<_> = commits
        .into_iter()
        .map(|changes| store.commit(commit(changes)))
        .collect();
    for result in join_all(waiting).await {
        result.expect("committed");
    }
    assert_eq!(transactions(&store), "1");

    let left = kept_sessions(&store).await;
    for story in &stories {
        let is = left.iter().find(|it| it.mark.id.0 == story.id);
        assert_eq!(is, story.left().as_ref(), "{story:?}");
    }
    let expected = stories.iter().filter_map(Story::left).count();
    assert_eq!(left.len(), expected, "nothing else");
    store.close().await;
}

/// So many that every size of a statement is used.
#[rstest]
#[tokio::test]
async fn many_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let count = 3 * (512 + 128 + 32 + 8 + 1);
    let sessions: Vec<KeptSession> = (0..count).map(|id| kept_session(id, id)).collect();
    write(&store, sessions.iter().map(keep)).await;
    assert_eq!(kept_sessions(&store).await, sessions);

    let mut left = sessions;
    let mut changes = Vec::new();
    left.retain_mut(|session| {
        let id = session.mark.id.0;
        match id % 3 {
            0 => changes.push(end(session)),
            1 => {
                session.mark = session_mark(id, id + 1);
                changes.push(Change::MarkSession(session.mark));
            }
            _ => {
                *session = kept_session(id, id + 2);
                changes.push(keep(session));
            }
        }
        id % 3 != 0
    });
    write(&store, changes).await;
    assert_eq!(kept_sessions(&store).await, left);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn and_no_number_is_given_out_twice(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let sessions = [kept_session(1, 3), kept_session(u64::MAX, 4)];
    write(&store, sessions.iter().map(keep)).await;
    let moved = |by: u64| {
        sessions.clone().map(|it| KeptSession {
            numbers: it.numbers + by,
            ..it
        })
    };
    let taken_up = async |step| {
        let mut all = store.take_up(step, Timestamp::MIN).await.expect("taken up");
        all.sort_by_key(|session| session.mark.id);
        let on_disk = database
            .numbers("SELECT numbers FROM dtls_session ORDER BY numbers")
            .await;
        (all, on_disk)
    };

    let (first, on_disk) = taken_up(1 << 16).await;
    assert_eq!(first, sessions, "as they were left");
    assert_eq!(on_disk, moved(1 << 16).map(|it| it.numbers as i64));
    let (second, on_disk) = taken_up(5).await;
    assert_eq!(
        second,
        moved(1 << 16),
        "also when nothing was written meanwhile"
    );
    assert_eq!(on_disk, moved((1 << 16) + 5).map(|it| it.numbers as i64));

    // A mark leaves the numbers alone, those of a whole session count.
    write(
        &store,
        [Change::MarkSession(session_mark(1, 8)), keep(&sessions[1])],
    )
    .await;
    let (third, _) = taken_up(1).await;
    let numbers = third.iter().map(|it| it.numbers).collect::<Vec<_>>();
    let expected = [moved((1 << 16) + 5)[0].numbers, sessions[1].numbers];
    assert_eq!(numbers, expected);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn with_numbers_that_never_go_back(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    const END: u64 = i64::MAX as u64;
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let begin = [0, END - 5, END - 4, END, END + 1, u64::MAX];
    let sessions = begin.iter().zip(0..).map(|(numbers, id)| KeptSession {
        numbers: *numbers,
        ..kept_session(id, 0)
    });
    write(&store, sessions.map(|session| keep(&session))).await;
    for (step, before) in [
        (5, begin),
        (u64::MAX, [5, END, END, END, END + 1, u64::MAX]),
        (0, [END, END, END, END, END + 1, u64::MAX]),
    ] {
        let mut all = store.take_up(step, Timestamp::MIN).await.expect("taken up");
        all.sort_by_key(|session| session.mark.id);
        let numbers: Vec<u64> = all.iter().map(|it| it.numbers).collect();
        assert_eq!(numbers, before, "before a step of {step}");
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn unless_they_are_idle(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let sessions = [9, 10, 11, 1].map(|heard| {
        let mut session = kept_session(heard, 0);
        session.mark.heard_at = at(heard as i64);
        session
    });
    write(&store, sessions.iter().map(keep)).await;
    let again = SessionMark {
        heard_at: at(12),
        ..sessions[3].mark
    };
    write(&store, [Change::MarkSession(again)]).await;

    let left = store.take_up(0, at(10)).await.expect("taken up");
    let mut ids: Vec<u64> = left.iter().map(|session| session.mark.id.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 10, 11]);
    let on_disk = database
        .numbers("SELECT id FROM dtls_session ORDER BY id")
        .await;
    assert_eq!(on_disk, [1, 10, 11]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn until_the_database_is_put_back(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let session = kept_session(1, 1);
    let compare = async |file, seen| {
        let witness = Witness { file, seen };
        store.compare_with(witness).await.expect("compared")
    };
    // Before the first heartbeat there is nothing to compare.
    assert!(!compare(7, 0).await);
    write(&store, [keep(&session)]).await;
    for number in 1..=3 {
        // They are counted, and their times may go back.
        let counted = store.heartbeat(at(10 - number)).await;
        assert_eq!(counted.expect("noted"), number);
    }
    // The file may not have been told of the last heartbeat.
    for seen in [2, 3] {
        assert!(!compare(7, seen).await);
    }
    assert_eq!(kept_sessions(&store).await, std::slice::from_ref(&session));
    // It has seen a later one, or it is another file.
    for (file, seen) in [(7, 4), (8, 3)] {
        assert!(compare(file, seen).await, "{file} {seen}");
        assert_eq!(kept_sessions(&store).await, []);
        write(&store, [keep(&session)]).await;
        assert!(!compare(file, 3).await, "it is known from now on");
        assert_eq!(kept_sessions(&store).await, std::slice::from_ref(&session));
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn and_nothing_is_taken_up_of_what_cannot_be_read(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let mut idle = kept_session(1, 1);
    idle.mark.heard_at = Timestamp::MIN;
    let sessions = [idle, kept_session(2, 2), kept_session(3, 3)];
    write(&store, sessions.iter().map(keep)).await;
    TestDatabase::in_tables(&store).await;
    let connection = database.connection().await;
    connection
        .execute_unprepared("UPDATE dtls_session SET address = 'nowhere' WHERE id = 3")
        .await
        .expect("written");
    connection.close().await.expect("an orderly end");

    let error = store.take_up(5, at(0)).await.expect_err("unreadable");
    assert!(
        matches!(
            &error,
            StoreError::Corrupt {
                what: "DTLS session",
                ..
            }
        ),
        "{error}"
    );
    let numbers = database
        .numbers("SELECT numbers FROM dtls_session ORDER BY id")
        .await;
    assert_eq!(numbers, sessions.map(|it| it.numbers as i64));
    store.close().await;
}

/// A fleet of a million devices has as many rows.
#[rstest]
#[case(
    Engine::Sqlite,
    // The row id lies beside the payload and takes up to nine bytes.
    "SELECT SUM(payload) + 9 FROM dbstat WHERE name = 'dtls_session'"
)]
#[case(
    Engine::Postgres,
    "SELECT CAST(pg_column_size(id) + pg_column_size(address) + pg_column_size(is_proven) \
     + pg_column_size(numbers) + pg_column_size(highest) + pg_column_size(seen) \
     + pg_column_size(heard_at) + pg_column_size(sealed) AS BIGINT) FROM dtls_session"
)]
#[tokio::test]
async fn in_at_most_400_bytes(#[case] engine: Engine, #[case] size: &str) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let mut session = large_session();
    session.numbers = u64::MAX >> 1;
    session.mark.window.highest = u64::MAX >> 1;
    assert_eq!(session.sealed.len(), 300);
    write(&store, [keep(&session)]).await;
    TestDatabase::in_tables(&store).await;
    let sizes = database.numbers(size).await;
    assert!(
        matches!(sizes[..], [size] if (300..=400).contains(&size)),
        "{sizes:?}"
    );
    store.close().await;
}
