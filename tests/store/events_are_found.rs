//! Events are found by what people look for, page by page both ways.

use flownexus::domain::{EndpointId, EventId, Node, Path, RuleEvent, Severity, Value};
use flownexus::store::{Change, EventQuery, EventReader, FleetWriter as _, Place, Store};
use rstest::rstest;

use super::samples::{at, commit, device, values};
use crate::support::database::{Engine, TestDatabase};

const PATH: Path = Path::resource(3303, 0, 5700);

/// An event of a rule, so many seconds after the beginning.
async fn found(
    store: &Store,
    endpoint_id: EndpointId,
    rule: &str,
    severity: Option<Severity>,
    second: i64,
) -> EventId {
    let event = RuleEvent {
        id: store.ids().event(),
        endpoint_id,
        event_type: format!("{rule} type"),
        rule: rule.to_owned(),
        severity,
        message: "it is so".to_owned(),
        at: at(second * 1_000),
        place: "/3303/0/5700".parse().expect("a pattern"),
        value: Some(0),
        include: Vec::new(),
    };
    let id = event.id;
    let value = Node::new(PATH, Value::Integer(second));
    let changes = [
        values(endpoint_id, vec![value], at(second * 1_000)),
        Change::RuleEvent(Box::new(event)),
    ];
    store.commit(commit(changes)).await.expect("committed");
    id
}

#[rstest]
#[tokio::test]
async fn by_rule_severity_type_and_time(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let one = device(&store, "one").await;
    let other = device(&store, "other").await;
    let sent = store.ids().event();
    let change = Change::Event {
        id: sent,
        endpoint_id: one,
        event_type: "3303".into(),
        nodes: vec![Node::new(PATH, Value::Integer(0))],
        at: at(0),
    };
    store.commit(commit([change])).await.expect("committed");
    let plain = found(&store, one, "%", None, 1).await;
    let info = found(&store, other, "o'clock", Some(Severity::Info), 2).await;
    let warning = found(&store, one, "too warm", Some(Severity::Warning), 3).await;
    let critical = found(&store, one, "too warm", Some(Severity::Critical), 4).await;

    let search = async |query: EventQuery| {
        let query = EventQuery { limit: 10, ..query };
        let found = EventReader::search(&store, &query).await.expect("read");
        let ids: Vec<EventId> = found.rows.iter().map(|event| event.id).collect();
        ids
    };
    let nothing = EventQuery::default;
    let rule = |rule: &str| EventQuery {
        rule: Some(rule.to_owned()),
        ..nothing()
    };
    assert_eq!(search(rule("too warm")).await, [critical, warning]);
    assert_eq!(search(rule("o'clock")).await, [info]);
    assert_eq!(search(rule("%")).await, [plain]);
    assert_eq!(search(rule("too")).await, []);
    let so_bad = |severity| EventQuery {
        severity: Some(severity),
        ..nothing()
    };
    assert_eq!(
        search(so_bad(Severity::Info)).await,
        [critical, warning, info]
    );
    assert_eq!(search(so_bad(Severity::Warning)).await, [critical, warning]);
    assert_eq!(search(so_bad(Severity::Critical)).await, [critical]);
    let all = EventQuery {
        endpoint: Some(one),
        event_type: Some("too warm type".to_owned()),
        from: Some(at(1_000)),
        to: Some(at(4_000)),
        ..so_bad(Severity::Info)
    };
    assert_eq!(search(all).await, [warning]);
    let then = EventQuery {
        from: Some(at(0)),
        to: Some(at(2_000)),
        ..nothing()
    };
    assert_eq!(search(then).await, [plain, sent]);

    // Both ways, two at a time.
    let page = async |place| {
        let query = EventQuery {
            place,
            limit: 2,
            ..nothing()
        };
        let page = EventReader::search(&store, &query).await.expect("read");
        let ids: Vec<EventId> = page.rows.iter().map(|event| event.id).collect();
        (ids, page.has_newer, page.has_older)
    };
    assert_eq!(page(None).await, (vec![critical, warning], false, true));
    let older = page(Some(Place::OlderThan(warning))).await;
    assert_eq!(older, (vec![info, plain], true, true));
    let last = page(Some(Place::OlderThan(plain))).await;
    assert_eq!(last, (vec![sent], true, false));
    let back = page(Some(Place::NewerThan(sent))).await;
    assert_eq!(back, (vec![info, plain], true, true));
    store.close().await;
}
