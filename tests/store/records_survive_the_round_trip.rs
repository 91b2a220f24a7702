use std::time::Duration;

use flownexus::domain::{EventId, Node, Path, StoredAnswer, Timestamp, Token, Value, ValueType};
use flownexus::store::{
    Aggregate, Change, EndpointReader, EventQuery, EventReader, FleetLoader as _, FleetWriter as _,
    HistoryStore as _, OperationQuery, OperationReader, OperationSearch, Place,
    ResourceReader as _, StoredEndpoint, StoredRoute,
};
use rstest::rstest;

use super::samples::{
    answer, at, commit, device, every_value, learned, name, observation, operation, periods,
    profile, stored, unusual_observation, unusual_operation, unusual_registration, unusual_wanted,
    values, wanted,
};
use crate::support::database::{Engine, TestDatabase};

#[rstest]
#[tokio::test]
async fn what_a_restart_needs(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = store.ids().endpoint();
    let registration = unusual_registration(id);
    let observations = [unusual_observation(&store, id), observation(&store, id, 1)];
    let device = registration.endpoint.as_str();
    let done = unusual_operation(&store, id, device);
    let queued = operation(&store, id, device);
    let answers = [
        answer(1, 0, 5),
        answer(1, 0, 6),
        answer(1, 65_535, i64::MIN),
        answer(2, 0, i64::MAX),
    ];
    let expired = StoredAnswer {
        expires_at: Timestamp::MIN,
        ..answer(3, 3, 3)
    };
    let mut changes = vec![Change::Register(Box::new(registration.clone()))];
    changes.extend(
        observations
            .iter()
            .cloned()
            .map(|it| Change::SaveObservation(Box::new(it))),
    );
    let all_wanted = [wanted(&store, id), unusual_wanted(&store, id)];
    changes.extend(
        all_wanted
            .iter()
            .cloned()
            .map(|it| Change::SaveWanted(Box::new(it))),
    );
    changes.push(Change::Profile {
        endpoint_id: id,
        profile: Box::new(profile()),
    });
    changes.push(Change::Periods {
        endpoint_id: id,
        periods: periods(),
    });
    changes.push(Change::Learned {
        endpoint_id: id,
        learned: Box::new(learned()),
    });
    changes.extend([&done, &queued].map(|it| Change::SaveOperation(Box::new(it.clone()))));
    changes.extend(
        answers
            .iter()
            .chain([&expired])
            .cloned()
            .map(|it| Change::RememberAnswer(Box::new(it))),
    );
    store.commit(commit(changes)).await.expect("committed");
    store.close().await;

    let store = database.open().await;
    let mut fleet = store.load(Duration::ZERO).await.expect("loaded");
    fleet
        .answers
        .sort_by_key(|answer| (answer.peer, answer.message_id, answer.hash));
    let sorted = |mut tokens: Vec<Token>| {
        tokens.sort_unstable();
        tokens
    };
    let route = StoredRoute {
        endpoint_id: id,
        location: registration.id.clone(),
        peer: registration.peer,
        queue_mode: registration.queue_mode,
        expires_at: registration.expires_at,
        proven_at: (registration.registered_at < registration.updated_at)
            .then_some(registration.updated_at),
        tokens: sorted(observations.iter().map(|one| one.token).collect()),
    };
    for found in &mut fleet.registered {
        found.tokens = sorted(std::mem::take(&mut found.tokens));
    }
    assert_eq!(fleet.registered, [route]);
    assert_eq!(fleet.busy, [id], "an operation waits");
    assert_eq!(fleet.answers, answers);
    assert_eq!(fleet.endpoints, [(id, registration.endpoint.clone())]);
    assert_eq!(fleet.downtime, Duration::ZERO, "there was no heartbeat yet");
    let one = store.load_endpoint(id).await.expect("loaded");
    let expected = StoredEndpoint {
        profile: profile(),
        learned: learned(),
        wanted: all_wanted.to_vec(),
        periods: periods(),
        ..stored(
            Some(registration.clone()),
            observations.to_vec(),
            vec![queued.clone()],
        )
    };
    assert_eq!(one, expected);
    assert_eq!(store.observations(id).await.expect("read"), observations);
    assert_eq!(store.wanted(id).await.expect("read"), all_wanted);
    let row = EndpointReader::find(&store, &registration.endpoint)
        .await
        .expect("read")
        .expect("there");
    assert_eq!(row.profile, profile());

    assert_eq!(
        OperationReader::find(&store, done.id).await.expect("read"),
        Some(done.clone())
    );
    let search = async |query: OperationQuery| {
        let found = OperationSearch::search(&store, &OperationQuery { limit: 10, ..query }).await;
        found.expect("read").rows
    };
    let all = search(OperationQuery {
        endpoint: Some(id),
        ..OperationQuery::default()
    });
    assert_eq!(all.await, [queued.clone(), done.clone()], "newest first");
    let failed = search(OperationQuery {
        status: Some(done.status),
        ..OperationQuery::default()
    });
    assert_eq!(failed.await, std::slice::from_ref(&done));
    let before = search(OperationQuery {
        place: Some(Place::OlderThan(queued.id)),
        ..OperationQuery::default()
    });
    assert_eq!(before.await, std::slice::from_ref(&done));
    let of_kind = search(OperationQuery {
        kind: Some(queued.request.kind),
        ..OperationQuery::default()
    });
    let of_kind = of_kind.await;
    assert!(of_kind.contains(&queued));
    assert_eq!(
        of_kind.contains(&done),
        done.request.kind == queued.request.kind
    );
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn values_of_every_type(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let nodes = every_value();
    store
        .commit(commit([values(id, nodes.clone(), at(0))]))
        .await
        .expect("committed");

    let stored = store.latest(id).await.expect("read");
    assert_eq!(stored.len(), nodes.len());
    for (stored, node) in stored.iter().zip(&nodes) {
        assert_eq!((stored.path, &stored.value), (node.path, &node.value));
        assert_eq!(stored.time, node.time.unwrap_or_else(|| at(0)));
        assert_eq!(stored.received_at, at(0));
        assert_eq!(stored.endpoint, name("sensor"));
    }
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn what_is_no_number(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let path = Path::resource(3303, 0, 5700);
    let nodes = vec![Node::new(path, Value::Float(f64::NAN))];
    store
        .commit(commit([values(id, nodes, at(0))]))
        .await
        .expect("committed");
    let stored = store.latest(id).await.expect("read");
    assert!(
        matches!(stored[0].value, Value::Float(number) if number.is_nan()),
        "{stored:?}"
    );
    let history = store
        .history(id, path, at(-1), at(1), 10, Aggregate::default())
        .await
        .expect("read");
    assert_eq!(history, [], "a chart cannot show it");
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn events_with_their_values(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (one, other) = (device(&store, "one").await, device(&store, "other").await);
    let mut ids = Vec::new();
    for (endpoint_id, event_type) in [(one, "10300"), (one, "alarm"), (other, "10300")] {
        let id = store.ids().event();
        let event = Change::Event {
            id,
            endpoint_id,
            event_type: event_type.into(),
            nodes: every_value(),
            at: at(9),
        };
        store.commit(commit([event])).await.expect("committed");
        ids.push(id);
    }

    let (event, nodes) = EventReader::find(&store, ids[0])
        .await
        .expect("read")
        .expect("there");
    assert_eq!(
        (event.id, event.endpoint, event.time),
        (ids[0], name("one"), at(9))
    );
    assert_eq!(event.event_type, "10300");
    assert_eq!(nodes, every_value());
    assert_eq!(
        store.latest(one).await.expect("read").len(),
        every_value().len()
    );

    let search = async |query: EventQuery| {
        let query = EventQuery { limit: 10, ..query };
        let found = EventReader::search(&store, &query).await.expect("read");
        let ids = found.rows.iter().map(|event| event.id);
        ids.collect::<Vec<_>>()
    };
    let of = |endpoint, event_type: Option<&str>| EventQuery {
        endpoint,
        event_type: event_type.map(str::to_owned),
        ..EventQuery::default()
    };
    assert_eq!(search(of(None, None)).await, [ids[2], ids[1], ids[0]]);
    assert_eq!(search(of(Some(one), None)).await, [ids[1], ids[0]]);
    assert_eq!(search(of(Some(one), Some("10300"))).await, [ids[0]]);
    let before = EventQuery {
        place: Some(Place::OlderThan(ids[2])),
        ..of(None, Some("10300"))
    };
    assert_eq!(search(before).await, [ids[0]]);
    assert_eq!(search(of(None, Some("\0"))).await, []);

    // A glance at the first few values of some of them.
    let glance = async |ids: Vec<EventId>, most| {
        let glances = EventReader::glance(&store, ids, most).await.expect("read");
        let sums = glances.into_iter();
        sums.map(|glance| (glance.id, glance.first, glance.count))
            .collect::<Vec<_>>()
    };
    let count = every_value().len() as u64;
    let first = every_value()[..2].to_vec();
    let expected = [(ids[0], first.clone(), count), (ids[2], first, count)];
    assert_eq!(glance(vec![ids[2], ids[0]], 2).await, expected);
    let all = [(ids[1], every_value(), count)];
    assert_eq!(glance(vec![ids[1]], 1_000).await, all);
    assert_eq!(glance(vec![], 4).await, []);
    assert_eq!(glance(vec![EventId(i64::MAX)], 4).await, []);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn the_names_of_the_first_flownexus(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let types = store.types().await.expect("read");
    assert_eq!(types.len(), 34);
    let is = |name: &str| {
        let found = types.iter().find(|one| one.name == name).expect(name);
        (found.object_id, found.resource_id, found.value_type)
    };
    assert_eq!(is("temperature"), (3303, 5700, Some(ValueType::Float)));
    assert_eq!(is("ext_dev_info"), (3, 22, Some(ValueType::Objlnk)));
    assert_eq!(is("package"), (5, 0, Some(ValueType::Opaque)));
    assert_eq!(is("reboot"), (3, 4, None));
    assert_eq!(
        is("ep_registration_update"),
        (10_240, 2, Some(ValueType::Integer))
    );
    store.close().await;
}
