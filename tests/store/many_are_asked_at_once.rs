//! Bulk operations: wholly there or not at all, settled device by device, and what was made is found again.

use std::time::Duration;

use flownexus::domain::{
    BulkAction, BulkCounts, BulkId, BulkItemState, BulkOperation, BulkState, Doer, EndpointName,
    IdempotencyKey, KeptKey, OperationKind, OperationRequest, OperationStatus, Origin, Path,
};
use flownexus::store::{
    BulkAdded, BulkSettled, BulkStore, Change, FleetWriter as _, KnownBulk, OperationQuery,
    OperationSearch as _, Place, Store,
};
use rstest::rstest;

use super::samples::{self, at, commit, device, name, operation};
use crate::support::database::{Engine, TestDatabase};

fn ada() -> Doer {
    Doer {
        actor: "ada".into(),
        remote: "192.0.2.1".into(),
    }
}

fn bulk(action: BulkAction) -> BulkOperation {
    BulkOperation {
        id: BulkId(0),
        action,
        requested_by: "ada".into(),
        state: BulkState::Running,
        devices: 0,
        expires_in: Some(Duration::from_secs(60)),
        created_at: at(0),
        finished_at: None,
    }
}

fn read() -> BulkAction {
    let request = OperationRequest::new(OperationKind::Read, vec![Path::instance(3, 0)]);
    BulkAction::Operate(Box::new(request))
}

async fn new_bulk(store: &Store, bulk: BulkOperation, devices: Vec<EndpointName>) -> BulkOperation {
    match BulkStore::add(store, bulk, devices, ada(), None).await {
        Ok(BulkAdded::New(bulk)) => bulk,
        other => panic!("{other:?}"),
    }
}

fn settled(position: u64, state: BulkItemState) -> BulkSettled {
    BulkSettled {
        position,
        state,
        operation: None,
        error: None,
    }
}

#[rstest]
#[tokio::test]
async fn every_action_survives_the_round_trip(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let mut stored = Vec::new();
    for action in [
        read(),
        BulkAction::Tag(vec!["lab".into()]),
        BulkAction::Untag(vec!["lab".into(), "old".into()]),
        BulkAction::Forget,
    ] {
        let names = vec![name("a"), name("b")];
        let added = new_bulk(&store, bulk(action.clone()), names).await;
        assert_eq!((added.devices, &added.action), (2, &action));
        stored.push(added);
    }
    for one in &stored {
        let found = BulkStore::find(&store, one.id).await;
        assert_eq!(found.expect("read").as_ref(), Some(one));
    }
    assert_eq!(store.under_way().await.expect("read"), stored);
    let newest = BulkStore::list(&store, Some(stored[3].id), 2).await;
    assert_eq!(
        newest.expect("read"),
        [stored[2].clone(), stored[1].clone()]
    );
    let nobody = BulkStore::find(&store, BulkId(99)).await;
    assert_eq!(nobody.expect("read"), None);
    let lines = flownexus::store::AuditStore::list(&store, &samples::newest(10, None))
        .await
        .expect("read");
    assert_eq!(lines.len(), 4);
    assert_eq!(
        (lines[0].action.as_str(), lines[0].detail.as_str()),
        ("bulk.create", "bulk operation 4: forget 2 devices")
    );
    store.close().await;
}

/// More rows than one statement takes.
#[rstest]
#[tokio::test]
async fn thousands_are_there_at_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let names = (0..2_501).map(|number| name(&format!("d{number:04}")));
    let added = new_bulk(&store, bulk(read()), names.collect()).await;
    let counts = store.counts(added.id).await.expect("read");
    assert_eq!((counts.pending, counts.over()), (2_501, 0));
    let turns = store.turns(&added, 2_400, 200).await.expect("read");
    assert_eq!((turns.len(), turns[0].position), (101, 2_400));
    assert_eq!(turns[0].endpoint, name("d2400"));
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn what_was_made_before_a_crash_is_found_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (a, b) = (device(&store, "a").await, device(&store, "b").await);
    let names = vec![name("a"), name("b"), name("nobody")];
    let added = new_bulk(&store, bulk(read()), names).await;
    let other = new_bulk(&store, bulk(read()), vec![name("b")]).await;
    // Of this one, of another one, and of her alone.
    let mut made = operation(&store, a, "a");
    made.origin = Origin::Bulk(added.id, "ada".into());
    let mut others = operation(&store, b, "b");
    others.origin = Origin::Bulk(other.id, "ada".into());
    let mut alone = operation(&store, b, "b");
    alone.origin = Origin::User("ada".into());
    for one in [&made, &others, &alone] {
        let save = Change::SaveOperation(Box::new(one.clone()));
        store.commit(commit([save])).await.expect("committed");
    }
    let turns = store.turns(&added, 0, 10).await.expect("read");
    let found: Vec<_> = turns.iter().map(|turn| turn.operation).collect();
    assert_eq!(found, [Some(made.id), None, None]);

    let asked = BulkSettled {
        operation: Some(made.id),
        ..settled(0, BulkItemState::Asked)
    };
    let refused = BulkSettled {
        error: Some("there is no endpoint `nobody`\0".into()),
        ..settled(2, BulkItemState::Refused)
    };
    store
        .settle(added.id, vec![asked, refused])
        .await
        .expect("settled");
    let counts = store.counts(added.id).await.expect("read");
    let expected = BulkCounts {
        pending: 1,
        queued: 1,
        refused: 1,
        ..BulkCounts::default()
    };
    assert_eq!(counts, expected);
    assert_eq!(store.queued(added.id, 10).await.expect("read"), [made.id]);
    let items = store.items(added.id, None, 0, 10).await.expect("read");
    assert_eq!(items[0].status, Some(OperationStatus::Queued));
    assert_eq!(
        items[2].error.as_deref(),
        Some("there is no endpoint `nobody`\u{fffd}")
    );
    let refused = store
        .items(added.id, Some(BulkItemState::Refused), 0, 10)
        .await;
    assert_eq!(refused.expect("read").len(), 1);

    // The operation goes on by itself; of a device that is forgotten it is gone.
    made.status = OperationStatus::Failed;
    made.error = Some("4.05".into());
    let save = Change::SaveOperation(Box::new(made));
    store.commit(commit([save])).await.expect("committed");
    assert_eq!(store.counts(added.id).await.expect("read").failed, 1);
    let items = store.items(added.id, None, 0, 1).await.expect("read");
    assert_eq!(items[0].error.as_deref(), Some("4.05"));
    flownexus::store::EndpointReader::remove(&store, a, None)
        .await
        .expect("forgotten");
    assert_eq!(store.counts(added.id).await.expect("read").cancelled, 1);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn it_is_taken_back_once(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let added = new_bulk(&store, bulk(read()), vec![name("a")]).await;
    let from = [BulkState::Running, BulkState::Finished];
    let turn = async |to, by| {
        let turned = store.turn_to(added.id, &from, to, by).await;
        turned.expect("written").expect("there").state
    };
    assert_eq!(
        turn(BulkState::Cancelling, Some(ada())).await,
        BulkState::Cancelling
    );
    // Too late for that.
    assert_eq!(turn(BulkState::Finished, None).await, BulkState::Cancelling);
    let last = store
        .turn_to(
            added.id,
            &[BulkState::Cancelling],
            BulkState::Cancelled,
            None,
        )
        .await
        .expect("written")
        .expect("there");
    assert!(last.finished_at.is_some());
    assert_eq!(store.under_way().await.expect("read"), []);
    let lines = flownexus::store::AuditStore::list(&store, &samples::newest(10, None))
        .await
        .expect("read");
    assert_eq!(lines[0].action, "bulk.cancel");
    let nobody = store
        .turn_to(BulkId(99), &from, BulkState::Finished, None)
        .await;
    assert_eq!(nobody.expect("written"), None);
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn operations_are_found_by_everything_and_both_ways(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let a = device(&store, "a").await;
    let mut ids = Vec::new();
    for (number, (origin, path)) in [
        (Origin::User("ada".into()), Path::resource(3303, 0, 5700)),
        (
            Origin::Bulk(BulkId(12), "ada".into()),
            Path::instance(3303, 0),
        ),
        (Origin::User("a_a".into()), Path::instance(33030, 0)),
        (Origin::Bulk(BulkId(1), "lad\"a".into()), Path::object(3303)),
        (Origin::Template, Path::instance(3, 0)),
        (Origin::Firmware, Path::instance(5, 0)),
    ]
    .into_iter()
    .enumerate()
    {
        let mut one = operation(&store, a, "a");
        one.origin = origin;
        one.request.paths = vec![path];
        one.created_at = at(number as i64 * 1_000);
        ids.push(one.id);
        let save = Change::SaveOperation(Box::new(one));
        store.commit(commit([save])).await.expect("committed");
    }
    let search = async |query: OperationQuery| {
        let page = store.search(&OperationQuery { limit: 10, ..query }).await;
        let found = page.expect("read").rows;
        let place = |id| ids.iter().position(|one| *one == id).expect("one of them");
        found.iter().map(|one| place(one.id)).collect::<Vec<_>>()
    };
    let by = |by: &str| OperationQuery {
        by: Some(by.into()),
        ..OperationQuery::default()
    };
    let path = |text: &str| OperationQuery {
        path: Some(text.parse().expect("a path")),
        ..OperationQuery::default()
    };
    assert_eq!(search(by("ada")).await, [1, 0]);
    assert_eq!(search(by("a_a")).await, [2]);
    assert_eq!(search(by("lad\"a")).await, [3]);
    assert_eq!(search(by("template")).await, [4]);
    assert_eq!(search(by("firmware")).await, [5]);
    assert_eq!(search(by("%")).await, [0; 0]);
    assert_eq!(search(path("/3303")).await, [3, 1, 0]);
    assert_eq!(search(path("/3303/0")).await, [1, 0]);
    assert_eq!(search(path("/")).await.len(), 6);
    let then = OperationQuery {
        from: Some(at(1_000)),
        to: Some(at(3_000)),
        ..OperationQuery::default()
    };
    assert_eq!(search(then).await, [2, 1]);

    let page = async |place| {
        let query = OperationQuery {
            place,
            limit: 2,
            ..OperationQuery::default()
        };
        let page = store.search(&query).await.expect("read");
        let found: Vec<_> = page.rows.iter().map(|one| one.id).collect();
        (found, page.has_newer, page.has_older)
    };
    assert_eq!(page(None).await, (vec![ids[5], ids[4]], false, true));
    let older = page(Some(Place::OlderThan(ids[4]))).await;
    assert_eq!(older, (vec![ids[3], ids[2]], true, true));
    let last = page(Some(Place::OlderThan(ids[2]))).await;
    assert_eq!(last, (vec![ids[1], ids[0]], true, false));
    let back = page(Some(Place::NewerThan(ids[1]))).await;
    assert_eq!(back, (vec![ids[3], ids[2]], true, true));
    let first = page(Some(Place::NewerThan(ids[3]))).await;
    assert_eq!(first, (vec![ids[5], ids[4]], false, true));
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn what_comes_again_with_its_key_is_known_and_stored_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let key = IdempotencyKey {
        key: [1; 32],
        request: [2; 32],
    };
    let kept = Some(KeptKey {
        key,
        expires_at: at(100),
    });
    let add = |bulk, kept| BulkStore::add(&store, bulk, vec![name("a")], ada(), kept);
    let BulkAdded::New(first) = add(bulk(read()), kept).await.expect("added") else {
        panic!("it is new");
    };
    let known = |is_same| KnownBulk {
        bulk: first.clone(),
        is_same,
    };
    let again = add(bulk(BulkAction::Forget), kept).await.expect("read");
    assert_eq!(again, BulkAdded::Known(known(true)));
    let other = IdempotencyKey {
        request: [3; 32],
        ..key
    };
    let find = |key, now| store.known(key, at(now));
    assert_eq!(find(key, 99).await.expect("read"), Some(known(true)));
    assert_eq!(find(other, 99).await.expect("read"), Some(known(false)));
    assert_eq!(find(key, 100).await.expect("read"), None);
    let unknown = IdempotencyKey {
        key: [4; 32],
        ..key
    };
    assert_eq!(find(unknown, 0).await.expect("read"), None);
    let all = BulkStore::list(&store, None, 10).await.expect("read");
    assert_eq!(all, std::slice::from_ref(&first));

    // How it stands changes, the key stays; when it is over, it may stand for something else.
    let turned = store.turn_to(first.id, &[BulkState::Running], BulkState::Finished, None);
    let turned = turned.await.expect("turned").expect("there");
    let found = find(key, 99).await.expect("read").expect("known");
    assert_eq!(found.bulk, turned);
    let late = BulkOperation {
        created_at: at(100),
        ..bulk(read())
    };
    let kept = Some(KeptKey {
        key,
        expires_at: at(200),
    });
    let BulkAdded::New(second) = add(late, kept).await.expect("added") else {
        panic!("it is new");
    };
    let found = find(key, 150).await.expect("read").expect("known");
    assert_eq!(found.bulk.id, second.id);
    // Many without keys are no trouble.
    for _ in 0..2 {
        let added = add(bulk(read()), None).await.expect("added");
        assert!(matches!(added, BulkAdded::New(_)));
    }
    store.close().await;
}
