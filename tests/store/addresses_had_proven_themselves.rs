//! Which addresses of devices had proven themselves, as a start finds it: on both databases.

use std::collections::HashMap;
use std::time::Duration;

use flownexus::domain::{
    EndpointId, FirmwareUpdate, Registration, Timestamp, UpdatePhase, UpdateResult,
};
use flownexus::store::{Change, FleetLoader as _, FleetWriter as _, Store, StoredFleet};
use rstest::rstest;

use super::firmware_updates_are_kept::update;
use super::samples::{at, commit, registration};
use crate::support::database::{Engine, TestDatabase};

/// A registration of this time.
fn registered(id: EndpointId, name: &str, millis: i64) -> Registration {
    Registration {
        registered_at: at(millis),
        updated_at: at(millis),
        expires_at: Timestamp::MAX,
        ..registration(id, name, &format!("rd-{name}"))
    }
}

fn proofs(fleet: &StoredFleet) -> HashMap<EndpointId, Option<Timestamp>> {
    let routes = fleet.registered.iter();
    routes
        .map(|route| (route.endpoint_id, route.proven_at))
        .collect()
}

#[rstest]
#[tokio::test]
async fn an_update_and_the_offer_of_an_image_that_was_taken_are_proofs(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let ids: Vec<EndpointId> = (0..7).map(|_| store.ids().endpoint()).collect();
    let names = ["new", "updated", "took", "asked", "anew", "both", "over"];
    let mut changes: Vec<Change> = ids
        .iter()
        .zip(names)
        .map(|(id, name)| Change::Register(Box::new(registered(*id, name, 1_000))))
        .collect();
    for (id, name) in [(ids[1], "updated"), (ids[5], "both")] {
        let known = registered(id, name, 1_000);
        changes.push(Change::ExtendRegistration {
            endpoint_id: id,
            registration_id: known.id,
            peer: known.peer,
            updated_at: at(2_000),
            expires_at: Timestamp::MAX,
        });
    }
    let offer = |id, name, millis, phase, result| FirmwareUpdate {
        offered_at: Some(at(millis)),
        phase,
        result,
        ..update(&store, id, name)
    };
    let (default, failed) = (UpdateResult::Default, UpdateResult::UpdateFailed);
    for update in [
        offer(ids[2], "took", 3_000, UpdatePhase::Download, default),
        // Its answer has not come.
        offer(ids[3], "asked", 3_000, UpdatePhase::Deliver, default),
        // It has registered since, perhaps from elsewhere.
        offer(ids[4], "anew", 900, UpdatePhase::Download, default),
        offer(ids[5], "both", 3_000, UpdatePhase::Download, default),
        offer(ids[6], "over", 3_000, UpdatePhase::Over, failed),
    ] {
        changes.push(Change::SaveFirmwareUpdate(Box::new(update)));
    }
    store.commit(commit(changes)).await.expect("committed");
    store.close().await;

    let store = database.open().await;
    let fleet = store.load(Duration::ZERO).await.expect("loaded");
    let expected = [
        None,
        Some(2_000),
        Some(3_000),
        None,
        None,
        Some(3_000),
        None,
    ];
    let found = proofs(&fleet);
    for ((id, name), expected) in ids.iter().zip(names).zip(expected) {
        assert_eq!(found[id], expected.map(at), "{name}");
    }
    store.close().await;
}

/// A server that followed devices on their word may have stored the address of somebody else.
#[rstest]
#[tokio::test]
async fn what_is_stored_counts_from_when_on_devices_are_followed_only_with_a_proof(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    // Each start tells whether it is sure: of a new database, again, of one that follows, and again without.
    for (now, are_sure, since) in [
        (1_000, true, Some(1_000)),
        (2_000, true, Some(1_000)),
        (3_000, false, None),
        (4_000, false, None),
        (5_000, true, Some(5_000)),
        (6_000, true, Some(5_000)),
    ] {
        let found = store.addresses_sure_since(at(now), are_sure).await;
        assert_eq!(found.expect("told"), since.map(at), "{now}");
    }
    let kept = |proven: i64, sure_since: Option<i64>| {
        let mut fleet = route_that_was_proven(at(proven), &store);
        fleet.keep_proofs(sure_since.map(at), at(10_000));
        fleet.registered[0].proven_at.is_some()
    };
    assert!(kept(7_000, Some(5_000)));
    assert!(!kept(5_000, Some(5_000)));
    assert!(!kept(7_000, None));
    assert!(!kept(10_001, Some(5_000)), "by a clock that was ahead");
    store.close().await;
}

fn route_that_was_proven(proven_at: Timestamp, store: &Store) -> StoredFleet {
    let known = registered(store.ids().endpoint(), "a", 1);
    StoredFleet {
        registered: vec![flownexus::store::StoredRoute {
            endpoint_id: known.endpoint_id,
            location: known.id,
            peer: known.peer,
            queue_mode: false,
            expires_at: known.expires_at,
            proven_at: Some(proven_at),
            tokens: Vec::new(),
        }],
        ..StoredFleet::default()
    }
}
