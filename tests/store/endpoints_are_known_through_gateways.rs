use flownexus::domain::{EndpointId, GatewayState, RegistrationEvent, Warning};
use flownexus::store::{
    Change, EndpointFilter, EndpointReader as _, FleetLoader as _, FleetWriter as _, Store,
};
use rstest::rstest;

use super::samples::{at, commit, device, name, registration, temperature, values};
use crate::support::database::{Engine, TestDatabase};

fn told(id: EndpointId, endpoint: &str, state: &GatewayState) -> Change {
    Change::Gateway {
        endpoint_id: id,
        endpoint: name(endpoint),
        state: Box::new(state.clone()),
        at: at(0),
    }
}

fn state(events: &[(RegistrationEvent, i64)]) -> GatewayState {
    let mut state = GatewayState::default();
    for (event, millis) in events {
        state.note(*event, at(*millis));
    }
    state
}

async fn names(store: &Store, registered: Option<bool>) -> Vec<String> {
    let filter = EndpointFilter {
        registered,
        limit: 100,
        ..EndpointFilter::default()
    };
    let (rows, _) = store.list(&filter).await.expect("read");
    rows.iter().map(|row| row.name.to_string()).collect()
}

#[rstest]
#[tokio::test]
async fn with_everything_that_was_told(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    use RegistrationEvent::{Registered, Unregistered};
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let here = device(&store, "here").await;
    let ids: Vec<EndpointId> = (0..3).map(|_| store.ids().endpoint()).collect();
    let there = state(&[(Registered, 5)]);
    let gone = state(&[(Registered, 5), (Unregistered, 5)]);
    let mut odd = GatewayState::default();
    odd.warnings.push(Warning {
        code: "wrong_type".into(),
        message: "<b>".into(),
    });
    // The row is new, and a value of the same transaction belongs to it.
    store
        .commit(commit([
            told(ids[0], "there", &state(&[])),
            values(ids[0], vec![temperature(21.5)], at(0)),
            told(ids[0], "there", &there),
            told(ids[1], "gone", &gone),
            told(ids[2], "odd", &odd),
            told(here, "here", &there),
        ]))
        .await
        .expect("committed");
    for (id, wanted) in [(ids[0], &there), (ids[1], &gone), (ids[2], &odd)] {
        assert_eq!(store.load_gateway(id).await.expect("read"), *wanted);
    }
    let unknown = store.load_gateway(EndpointId(9_999)).await.expect("read");
    assert_eq!(unknown, GatewayState::default());
    assert_eq!(names(&store, Some(true)).await, ["here", "there"]);
    assert_eq!(names(&store, Some(false)).await, ["gone", "odd"]);
    assert_eq!(store.count().await.expect("read"), (4, 2));
    let row = store.find(&name("there")).await.expect("read").expect("it");
    assert_eq!(row.through_gateway(), Some(at(5)));
    let row = store.find(&name("here")).await.expect("read").expect("it");
    assert!(row.is_registered());
    assert_eq!(row.through_gateway(), None, "it is registered here");
    // A registration here leaves what a gateway said, and its end brings that back.
    let direct = registration(ids[0], "there", "r9");
    let end = Change::EndRegistration {
        endpoint_id: ids[0],
        registration_id: direct.id.clone(),
    };
    for (change, through) in [
        (Change::Register(Box::new(direct)), None),
        (end, Some(at(5))),
    ] {
        store.commit(commit([change])).await.expect("committed");
        let row = store.find(&name("there")).await.expect("read").expect("it");
        assert_eq!(row.through_gateway(), through);
    }
    store.close().await;
    let store = database.open().await;
    assert_eq!(names(&store, Some(true)).await, ["here", "there"]);
    store.close().await;
}
