//! How long operations, events and lines of the audit log are kept once they are over.

use std::time::Duration;

use flownexus::domain::{
    AuditEntry, BulkAction, BulkId, BulkItemState, BulkOperation, BulkState, EndpointId,
    IdempotencyKey, KeptKey, Node, Operation, OperationId, OperationStatus, Path, RuleEvent,
    Severity, Timestamp, Value,
};
use flownexus::store::{
    AuditStore, BulkAdded, BulkSettled, BulkStore, Change, EventReader, FleetWriter as _,
    OperationReader, Store,
};
use rstest::rstest;

use super::samples::{at, by, commit, device, keyed, name, newest, operation, values};
use crate::support::database::{Engine, TestDatabase};

const PATH: Path = Path::resource(3303, 0, 5700);

fn days(days: u32) -> Duration {
    Duration::from_secs(86_400) * days
}

/// Settings that keep all of it for so many days, and values no longer.
fn keep(database: &mut TestDatabase, days: u32) {
    let retention = &mut database.settings.retention;
    retention.operation_days = days;
    retention.event_days = days;
    retention.audit_days = days;
    database.settings.history.raw_days = days;
}

async fn save(store: &Store, operation: &Operation) -> OperationId {
    let change = Change::SaveOperation(Box::new(operation.clone()));
    store.commit(commit([change])).await.expect("committed");
    operation.id
}

/// An operation that was asked for and done at these times.
fn done(store: &Store, id: EndpointId, asked: Timestamp, done: Timestamp) -> Operation {
    Operation {
        status: OperationStatus::Confirmed,
        created_at: asked,
        finished_at: Some(done),
        ..operation(store, id, "sensor")
    }
}

async fn is_there(store: &Store, id: OperationId) -> bool {
    let found = OperationReader::find(store, id).await.expect("read");
    found.is_some()
}

#[rstest]
#[tokio::test]
async fn operations_so_many_days_after_their_end(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    keep(&mut database, 30);
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let mut old = Vec::new();
    // More than a piece of them.
    for _ in 0..1_201 {
        old.push(done(&store, id, at(0), at(1_000)));
    }
    let changes = old
        .iter()
        .map(|one| Change::SaveOperation(Box::new(one.clone())));
    store.commit(commit(changes)).await.expect("committed");
    let waits = save(&store, &operation(&store, id, "sensor")).await;
    let late = save(&store, &done(&store, id, at(0), at(0).plus(days(10)))).await;
    // Whoever asks again with its key finds it as long as the key counts.
    let mut key = keyed(&store, id, [1; 32]);
    key.expires_at = at(0).plus(days(32));
    let mut asked = done(&store, id, at(0), at(1_000));
    asked.id = key.operation;
    save(&store, &asked).await;
    let change = Change::RememberKey(Box::new(key));
    store.commit(commit([change])).await.expect("committed");

    let tidy = async |day| {
        store
            .tidy_history(at(0).plus(days(day)))
            .await
            .expect("tidied")
    };
    tidy(30).await;
    assert!(
        is_there(&store, old[0].id).await,
        "it is 30 days old, not more"
    );
    tidy(31).await;
    for one in [&old[0], &old[600], &old[1_200]] {
        assert!(!is_there(&store, one.id).await);
    }
    for kept in [waits, late, asked.id] {
        assert!(is_there(&store, kept).await);
    }
    assert_eq!(store.metrics().over_age_removed.get(), 1_201);
    tidy(33).await;
    assert!(!is_there(&store, asked.id).await, "its key counts no more");
    tidy(41).await;
    assert!(!is_there(&store, late).await);
    tidy(4_000).await;
    assert!(is_there(&store, waits).await, "it is not over");
    store.close().await;

    // Numbers that are free again are given to nothing else.
    let store = database.open().await;
    assert!(store.ids().operation() > asked.id);
    store.close().await;
}

fn bulk() -> BulkOperation {
    BulkOperation {
        id: BulkId(0),
        action: BulkAction::Tag(vec!["lab".into()]),
        requested_by: "ada".into(),
        state: BulkState::Running,
        devices: 0,
        expires_in: None,
        created_at: Timestamp::system(),
        finished_at: None,
    }
}

/// Something that was asked of so many devices, and is over.
async fn asked_of(store: &Store, devices: usize, key: Option<KeptKey>) -> BulkId {
    let names = (0..devices).map(|number| name(&format!("d{number}")));
    let added = BulkStore::add(store, bulk(), names.collect(), by(), key).await;
    let Ok(BulkAdded::New(added)) = added else {
        panic!("{added:?}");
    };
    let turned = store
        .turn_to(added.id, &[BulkState::Running], BulkState::Finished, None)
        .await;
    assert!(turned.expect("written").is_some());
    added.id
}

#[rstest]
#[tokio::test]
async fn what_many_were_asked_when_all_of_it_is_over(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    keep(&mut database, 30);
    let store = database.open().await;
    let id = device(&store, "d0").await;
    let today = Timestamp::system();
    let many = asked_of(&store, 1_201, None).await;
    let waiting = asked_of(&store, 2, None).await;
    let mut one = operation(&store, id, "d0");
    save(&store, &one).await;
    let settled = BulkSettled {
        position: 0,
        state: BulkItemState::Asked,
        operation: Some(one.id),
        error: None,
    };
    let other = done(&store, id, today, today);
    let others = BulkSettled {
        position: 1,
        operation: Some(save(&store, &other).await),
        ..settled.clone()
    };
    let both = vec![settled, others];
    store.settle(waiting, both).await.expect("settled");
    let key = KeptKey {
        key: IdempotencyKey {
            key: [1; 32],
            request: [2; 32],
        },
        expires_at: today.plus(days(40)),
    };
    let with_key = asked_of(&store, 1, Some(key)).await;

    let is_there = async |id| BulkStore::find(&store, id).await.expect("read").is_some();
    let tidy = async |day| {
        store
            .tidy_history(today.plus(days(day)))
            .await
            .expect("tidied")
    };
    tidy(29).await;
    assert!(is_there(many).await);
    tidy(31).await;
    assert!(!is_there(many).await);
    assert!(is_there(waiting).await && is_there(with_key).await);
    assert_eq!(
        database.numbers("SELECT COUNT(*) FROM bulk_item").await,
        [3],
        "its devices went with it"
    );
    tidy(41).await;
    assert!(!is_there(with_key).await, "its key counts no more");
    assert!(is_there(waiting).await, "one can still take it back");
    let counts = store.counts(waiting).await.expect("read");
    assert_eq!(
        (counts.queued, counts.confirmed),
        (1, 1),
        "what it counts stays"
    );
    one.status = OperationStatus::Cancelled;
    one.finished_at = Some(today);
    save(&store, &one).await;
    tidy(42).await;
    assert!(!is_there(waiting).await);
    for id in [one.id, other.id] {
        let found = OperationReader::find(&store, id).await.expect("read");
        assert_eq!(found, None);
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn events_and_then_their_values(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    keep(&mut database, 30);
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let value = |number| Node::new(PATH, Value::Integer(number));
    let (old, later) = (store.ids().event(), store.ids().event());
    let sent = |event, number, at| Change::Event {
        id: event,
        endpoint_id: id,
        event_type: "alarm".into(),
        nodes: vec![value(number)],
        at,
    };
    let changes = [sent(old, 1, at(0)), sent(later, 2, at(0).plus(days(10)))];
    store.commit(commit(changes)).await.expect("committed");
    // The clock of its device is years behind: it came lately all the same.
    let ruled = RuleEvent {
        id: store.ids().event(),
        endpoint_id: id,
        event_type: "warm".into(),
        rule: "too warm".into(),
        severity: Some(Severity::Critical),
        message: "too warm".into(),
        at: Timestamp::clamped_from_millis(86_400_000),
        place: "/3303/0/5700".parse().expect("a pattern"),
        value: Some(0),
        include: Vec::new(),
    };
    let ruled_id = ruled.id;
    let came = at(0).plus(days(20));
    let changes = [
        values(id, vec![value(3)], came),
        Change::RuleEvent(Box::new(ruled)),
        values(id, vec![value(4)], came.plus(days(80))),
    ];
    store.commit(commit(changes)).await.expect("committed");
    store.roll_up().await.expect("added up");

    let is_there = async |event| {
        let found = EventReader::find(&store, event).await.expect("read");
        found.is_some()
    };
    let tidy = async |day| {
        store
            .tidy_history(at(0).plus(days(day)))
            .await
            .expect("tidied")
    };
    let kept = async || database.numbers("SELECT value_integer FROM resource").await;
    tidy(30).await;
    assert!(is_there(old).await);
    tidy(31).await;
    assert!(!is_there(old).await);
    assert!(is_there(later).await && is_there(ruled_id).await);
    assert_eq!(kept().await.len(), 3, "the value went with its event");
    tidy(41).await;
    assert!(!is_there(later).await && is_there(ruled_id).await);
    tidy(51).await;
    assert!(!is_there(ruled_id).await);
    assert_eq!(kept().await, [4], "the latest one stays");
    assert_eq!(
        database
            .numbers("SELECT COUNT(*) FROM event_resource")
            .await,
        [0]
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn lines_of_the_audit_log(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    keep(&mut database, 365);
    let store = database.open().await;
    for day in 0..3 {
        let line = AuditEntry {
            id: 0,
            at: at(0).plus(days(day)),
            actor: "ada".into(),
            remote: "192.0.2.1".into(),
            action: "user.create".into(),
            subject: format!("of day {day}"),
            detail: String::new(),
        };
        AuditStore::add(&store, line).await.expect("added");
    }
    store
        .tidy_history(at(0).plus(days(366)))
        .await
        .expect("tidied");
    let lines = AuditStore::list(&store, &newest(10, None)).await;
    let lines = lines.expect("read").into_iter();
    let left: Vec<String> = lines.map(|line| line.subject).collect();
    assert_eq!(left, ["of day 2", "of day 1"]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn never_unless_somebody_says_so(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let old = save(&store, &done(&store, id, at(0), at(1))).await;
    let many = asked_of(&store, 1, None).await;
    store
        .tidy_history(at(0).plus(days(36_500)))
        .await
        .expect("tidied");
    assert!(is_there(&store, old).await);
    let found = BulkStore::find(&store, many).await.expect("read");
    assert!(found.is_some());
    let lines = AuditStore::list(&store, &newest(10, None)).await;
    assert_eq!(lines.expect("read").len(), 1);
    store.close().await;
}
