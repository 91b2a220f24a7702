use flownexus::domain::{EndpointId, IdempotencyKey, KeyedOperation, OperationId, Timestamp};
use flownexus::store::{
    Change, EndpointReader as _, FleetWriter as _, OperationReader as _, Store,
};
use rstest::rstest;

use super::samples::{at, commit, device, keyed};
use crate::support::database::{Engine, TestDatabase};
use crate::support::server::{SOON, eventually};

/// What was asked with a key.
async fn found(store: &Store, id: EndpointId, key: [u8; 32]) -> Option<KeyedOperation> {
    store.keyed(id, key).await.expect("read")
}

#[rstest]
#[tokio::test]
async fn for_each_device_and_until_the_device_is_forgotten(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let one = device(&store, "one").await;
    let other = device(&store, "other").await;
    let first = keyed(&store, one, [1; 32]);
    let second = keyed(&store, other, [1; 32]);
    let changes = [first, second].map(|keyed| Change::RememberKey(Box::new(keyed)));
    store.commit(commit(changes)).await.expect("a commit");

    for (id, is) in [(one, first), (other, second)] {
        assert_eq!(found(&store, id, [1; 32]).await, Some(is));
        assert_eq!(found(&store, id, [2; 32]).await, None);
    }
    // Asked for again once it counts no more: another operation.
    let again = KeyedOperation {
        operation: OperationId(first.operation.0 + 100),
        expires_at: at(9000),
        ..first
    };
    let change = Change::RememberKey(Box::new(again));
    store.commit(commit([change])).await.expect("a commit");
    assert_eq!(found(&store, one, [1; 32]).await, Some(again));

    store.remove(one, None).await.expect("removed");
    assert_eq!(found(&store, one, [1; 32]).await, None);
    assert_eq!(found(&store, other, [1; 32]).await, Some(second));
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn after_the_process_is_gone_and_until_their_time_is_over(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "device").await;
    let long_over = keyed(&store, id, [1; 32]);
    let counts = KeyedOperation {
        expires_at: Timestamp::clamped_from_millis(i64::MAX),
        ..keyed(&store, id, [2; 32])
    };
    // Expired by the clock of the machine, whatever that says.
    let long_over = KeyedOperation {
        expires_at: Timestamp::clamped_from_millis(1),
        ..long_over
    };
    let changes = [long_over, counts].map(|keyed| Change::RememberKey(Box::new(keyed)));
    store.commit(commit(changes)).await.expect("a commit");
    store.close().await;

    let store = database.open().await;
    assert_eq!(found(&store, id, [2; 32]).await, Some(counts));
    eventually("old keys are removed", SOON, async || {
        let left = found(&store, id, [1; 32]).await;
        left.is_none().then_some(())
    })
    .await;
    store.close().await;
}

#[test]
fn a_key_answers_until_its_time_is_over_and_knows_what_was_asked() {
    let asked = IdempotencyKey {
        key: [1; 32],
        request: [2; 32],
    };
    let keyed = KeyedOperation {
        endpoint_id: EndpointId(1),
        key: asked,
        operation: OperationId(7),
        expires_at: at(1000),
    };
    assert_eq!(keyed.answers(&asked, at(999)), Some((OperationId(7), true)));
    assert_eq!(keyed.answers(&asked, at(1000)), None);
    let other_request = IdempotencyKey {
        request: [3; 32],
        ..asked
    };
    assert_eq!(
        keyed.answers(&other_request, at(0)),
        Some((OperationId(7), false))
    );
    let other_key = IdempotencyKey {
        key: [9; 32],
        ..asked
    };
    assert_eq!(keyed.answers(&other_key, at(0)), None);
}
