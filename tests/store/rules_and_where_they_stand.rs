use std::time::Duration;

use flownexus::domain::{
    Condition, EndpointId, Node, Path, PathPattern, Phase, RuleEvent, RuleId, RuleSpec, RuleState,
    Selection, Severity, Side, Threshold, Timestamp, Value,
};
use flownexus::store::{
    Change, EndpointReader, EventReader, FleetLoader as _, FleetWriter as _, RuleStore, Store,
    StoreError,
};
use futures_util::future::join_all;
use rstest::rstest;

use super::samples::{at, by, commit, device, temperature, values};
use crate::support::database::{Engine, TestDatabase};

fn spec(name: &str) -> RuleSpec {
    RuleSpec {
        name: name.to_owned(),
        enabled: true,
        path: pattern("/3303/*/5700"),
        selection: Selection {
            names: vec!["a*".to_owned()],
            tags: vec!["lab".to_owned()],
        },
        condition: Condition::Threshold(Threshold {
            above: Some(30.1),
            hysteresis: Some(0.1),
            for_s: 5,
            ..Threshold::default()
        }),
        severity: Some(Severity::Warning),
        event_type: Some("grüezi \"x\"".to_owned()),
        include: vec![pattern("/3"), pattern("/*/*/9")],
        cooldown_s: 600,
    }
}

fn pattern(text: &str) -> PathPattern {
    text.parse().expect("a pattern")
}

fn state(rule: i64, endpoint_id: EndpointId, place: &str) -> RuleState {
    RuleState {
        rule: RuleId(rule),
        revision: 1,
        endpoint_id,
        place: pattern(place),
        phase: Phase::Pending(Side::Low),
        newest_at: Some(at(5)),
        since: Some(at(3)),
        clock_at: Some(at(4)),
        event_at: None,
        reported: Some("21.5".to_owned()),
        seen: None,
    }
}

fn event(store: &Store, endpoint_id: EndpointId) -> RuleEvent {
    RuleEvent {
        id: store.ids().event(),
        endpoint_id,
        event_type: "warm \0".to_owned(),
        rule: "too warm".to_owned(),
        severity: Some(Severity::Critical),
        message: "/3303/0/5700 is \0 <b>".to_owned(),
        at: at(9),
        place: pattern("/3303/0/5700"),
        value: Some(1),
        include: vec![pattern("/3303/0"), pattern("/3/0/9")],
    }
}

#[rstest]
#[tokio::test]
async fn rules_are_kept_by_name(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    assert_eq!(RuleStore::list(&store).await.expect("read"), []);
    let one = RuleStore::add(&store, spec("one"), by())
        .await
        .expect("added");
    let other = RuleStore::add(&store, spec("other"), by())
        .await
        .expect("added");
    assert_eq!((one.revision, &one.spec), (1, &spec("one")));
    let taken = RuleStore::add(&store, spec("one"), by()).await;
    assert!(
        matches!(&taken, Err(StoreError::Exists(what)) if what.contains("one")),
        "{taken:?}"
    );
    let taken = store.replace(other.id, spec("one"), by()).await;
    assert!(matches!(taken, Err(StoreError::Exists(_))), "{taken:?}");

    // What is watched stays the same: what is remembered counts on.
    let milder = RuleSpec {
        severity: None,
        ..spec("renamed")
    };
    let renamed = store
        .replace(one.id, milder.clone(), by())
        .await
        .expect("stored");
    assert_eq!(
        renamed.map(|rule| (rule.revision, rule.spec)),
        Some((1, milder))
    );
    let changed = RuleSpec {
        enabled: false,
        ..spec("renamed")
    };
    let changed = store.replace(one.id, changed, by()).await.expect("stored");
    let changed = changed.expect("there");
    assert_eq!(changed.revision, 2);
    assert_eq!(
        store
            .replace(RuleId(99), spec("x"), by())
            .await
            .expect("answered"),
        None
    );
    store.close().await;

    let store = database.open().await;
    assert_eq!(
        RuleStore::list(&store).await.expect("read"),
        [changed, other.clone()]
    );
    assert!(
        RuleStore::remove(&store, one.id, by())
            .await
            .expect("removed")
    );
    assert!(
        !RuleStore::remove(&store, one.id, by())
            .await
            .expect("answered")
    );
    assert_eq!(RuleStore::list(&store).await.expect("read"), [other]);
    let next = RuleStore::add(&store, spec("next"), by())
        .await
        .expect("added");
    assert!(next.id > one.id, "a number is never used again");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn where_rules_stand_survives(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let rule = RuleStore::add(&store, spec("one"), by())
        .await
        .expect("added");
    let whole = RuleState {
        phase: Phase::Over(Side::High),
        clock_at: None,
        event_at: Some(at(1)),
        seen: Some("#0123456789abcdef".to_owned()),
        ..state(rule.id.0, id, "/3303/0/5700")
    };
    let nothing_yet = RuleState {
        newest_at: None,
        since: None,
        clock_at: None,
        reported: None,
        phase: Phase::Idle,
        ..state(rule.id.0, id, "/3303/*/5700")
    };
    let gone = state(99, id, "/3303/0/5700");
    let outdated = RuleState {
        revision: 0,
        ..state(rule.id.0, id, "/3303/1/5700")
    };
    let earlier = state(rule.id.0, id, "/3303/0/5700");
    let saved = [&earlier, &whole, &nothing_yet, &gone, &outdated];
    store
        .commit(commit(
            saved.map(|it| Change::SaveRuleState(Box::new(it.clone()))),
        ))
        .await
        .expect("committed");
    let fleet = store.load(Duration::ZERO).await.expect("loaded");
    assert!(fleet.busy.is_empty(), "no clock runs: {:?}", fleet.busy);
    let sorted = |mut states: Vec<RuleState>| {
        states.sort_by_key(|state| state.place);
        states
    };
    let wanted = sorted(vec![whole.clone(), nothing_yet.clone()]);
    let loaded = store.load_endpoint(id).await.expect("loaded");
    assert_eq!(sorted(loaded.rule_states), wanted);

    // A value that changed nothing else is known to be the newest all the same.
    let mut node = temperature(20.0);
    node.time = Some(at(77));
    store
        .commit(commit([values(id, vec![node], at(100))]))
        .await
        .expect("committed");
    let loaded = store.load_endpoint(id).await.expect("loaded");
    let newest = sorted(loaded.rule_states)
        .into_iter()
        .map(|state| state.newest_at)
        .collect::<Vec<_>>();
    assert_eq!(newest, [Some(at(77)), None]);

    store.forget_states(rule.id).await.expect("forgotten");
    assert_eq!(
        store.load_endpoint(id).await.expect("loaded").rule_states,
        []
    );
    store
        .commit(commit([Change::SaveRuleState(Box::new(whole))]))
        .await
        .expect("committed");
    EndpointReader::remove(&store, id, None)
        .await
        .expect("removed with all its data");
    let left = database.numbers("SELECT COUNT(*) FROM rule_state").await;
    assert_eq!(left, [0]);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn the_clocks_of_rules_are_forgiven_the_downtime(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let rule = RuleStore::add(&store, spec("one"), by())
        .await
        .expect("added");
    let hour = Duration::from_secs(3600);
    let now = Timestamp::system();
    let before = Timestamp::clamped_from_millis(now.as_millis() - 3_600_000);
    let running = RuleState {
        clock_at: Some(before),
        since: Some(before),
        ..state(rule.id.0, id, "/3303/0/5700")
    };
    store
        .commit(commit([Change::SaveRuleState(Box::new(running))]))
        .await
        .expect("committed");
    store.heartbeat(before).await.expect("noted");
    let grace = Duration::from_secs(93);
    let fleet = store.load(grace).await.expect("loaded");
    assert!(fleet.downtime >= hour, "{:?}", fleet.downtime);
    assert_eq!(fleet.busy, [id], "its values are missed");
    let loaded = store.load_endpoint(id).await.expect("loaded");
    let state = &loaded.rule_states[0];
    assert_eq!(
        state.clock_at,
        Some(before.plus(fleet.downtime).plus(grace))
    );
    assert_eq!(state.since, Some(before), "the times of values are true");

    let anew = RuleState {
        clock_at: Some(now),
        ..state.clone()
    };
    store
        .commit(commit([Change::SaveRuleState(Box::new(anew))]))
        .await
        .expect("committed");
    let loaded = store.load_endpoint(id).await.expect("loaded");
    assert_eq!(
        loaded.rule_states[0].clock_at,
        Some(now),
        "a clock that began after the restart"
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn the_event_of_a_rule_holds_its_value_and_those_around_it(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(mut database) = TestDatabase::new(engine) else {
        return;
    };
    database.settings.store.batch_delay_ms = 5;
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let at_path = |path: [u16; 3], value: i64| {
        let [object, instance, resource] = path;
        Node::new(
            Path::resource(object, instance, resource),
            Value::Integer(value),
        )
    };
    let before = vec![
        at_path([3303, 0, 5601], 1),
        at_path([3303, 1, 5700], 2),
        at_path([33030, 0, 1], 3),
        at_path([3, 0, 9], 4),
        at_path([3, 0, 10], 5),
    ];
    let found = event(&store, id);
    // All at once: what comes after the event does not get into it.
    let waiting = vec![
        store.commit(commit([values(id, before, at(0))])),
        store.commit(commit([
            values(
                id,
                vec![
                    temperature(20.0),
                    temperature(31.0),
                    temperature(32.0),
                    at_path([3303, 0, 5602], 6),
                ],
                at(1),
            ),
            Change::RuleEvent(Box::new(found.clone())),
        ])),
        store.commit(commit([values(
            id,
            vec![at_path([3, 0, 9], 99), at_path([3303, 0, 5601], 98)],
            at(2),
        )])),
    ];
    for result in join_all(waiting).await {
        result.expect("committed");
    }
    let (stored, nodes) = EventReader::find(&store, found.id)
        .await
        .expect("read")
        .expect("there");
    let nodes: Vec<String> = nodes
        .iter()
        .map(|node| format!("{} {}", node.path, node.value))
        .collect();
    assert_eq!(
        nodes,
        [
            "/3303/0/5601 1",
            "/3/0/9 4",
            "/3303/0/5700 31",
            "/3303/0/5602 6"
        ]
    );
    assert_eq!(stored.event_type, "warm \u{fffd}");
    assert_eq!(stored.rule.as_deref(), Some("too warm"));
    assert_eq!(stored.severity, Some(Severity::Critical));
    assert_eq!(
        stored.message.as_deref(),
        Some("/3303/0/5700 is \u{fffd} <b>")
    );
    assert_eq!(stored.time, at(9));
    let rows = database.numbers("SELECT COUNT(*) FROM resource").await;
    assert_eq!(rows, [11], "no value is there twice");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn an_event_that_time_made_holds_the_latest_values_and_not_too_many(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let silent = device(&store, "silent").await;
    let nodes: Vec<Node> = (0..200)
        .map(|number| Node::new(Path::resource(3303, number, 5700), Value::Float(1.0)))
        .collect();
    let absence = |endpoint_id, place: &str, include: &str| RuleEvent {
        value: None,
        place: pattern(place),
        include: vec![pattern(include)],
        severity: None,
        ..event(&store, endpoint_id)
    };
    let one = absence(id, "/3303/7/5700", "/3303/7");
    let many = absence(id, "/3303/*/5700", "/3303");
    let none = absence(silent, "/3303/*/5700", "/3303/*");
    let events = [&one, &many, &none].map(|it| Change::RuleEvent(Box::new(it.clone())));
    let mut changes = vec![values(id, nodes, at(0))];
    changes.extend(events);
    store.commit(commit(changes)).await.expect("committed");
    let mut counts = Vec::new();
    for event in [one, many, none] {
        let found = EventReader::find(&store, event.id).await.expect("read");
        counts.push(found.expect("there").1.len());
    }
    assert_eq!(counts, [1, RuleEvent::MAX_VALUES, 0]);
    store.close().await;
}
