//! Who waits for what, and for how long.

use std::sync::Arc;

use super::*;
use crate::domain::Timestamp;
use crate::store::{Change, Commit};

const AGE: Duration = Duration::from_millis(20);

/// An entry that is about one device.
fn entry(number: u64, device: i64) -> Entry {
    let seen = Change::Seen {
        endpoint_id: EndpointId(device),
        at: Timestamp::MIN,
    };
    let commit = Commit {
        changes: vec![seen],
        publish: Vec::new(),
    };
    Entry {
        number,
        commits: vec![commit],
        ..Entry::default()
    }
}

/// The numbers of what is to be folded now.
async fn fold(pending: &Pending) -> Vec<u64> {
    match pending.next(AGE, 10, Duration::from_secs(60)).await {
        Work::Fold(entries, _) => entries.iter().map(|entry| entry.number).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn who_reads_waits_for_what_is_acknowledged_and_for_no_more() {
    let pending = Arc::new(Pending::new(7, 1_000, Gauge::default()));
    pending.settled().await.expect("nothing is pending");
    pending.push(entry(8, 1), 100);
    let reader = tokio::spawn({
        let pending = Arc::clone(&pending);
        async move { pending.settled().await }
    });
    assert_eq!(fold(&pending).await, [8]);
    // What comes meanwhile is none of the reader's business.
    pending.push(entry(9, 1), 100);
    pending.done(8, 100);
    reader.await.expect("no panic").expect("settled");
    assert_eq!((pending.folded(), pending.gauge.get()), (8, 100));
}

#[tokio::test]
async fn a_reader_of_other_devices_waits_for_nothing() {
    let pending = Pending::new(0, 1_000, Gauge::default());
    pending.push(entry(1, 5), 100);
    pending
        .settled_for(&[EndpointId(4)])
        .await
        .expect("at once");
    let waits = pending.settled_for(&[EndpointId(4), EndpointId(5)]);
    let waited = tokio::time::timeout(Duration::from_millis(1), waits).await;
    assert!(waited.is_err(), "it is pending");
    // Also while it is being folded, and not any more behind that.
    assert_eq!(fold(&pending).await, [1]);
    let waits = pending.settled_for(&[EndpointId(5)]);
    let waited = tokio::time::timeout(Duration::from_millis(1), waits).await;
    assert!(waited.is_err(), "it is being folded");
    pending.push(entry(2, 6), 100);
    pending.done(1, 100);
    pending
        .settled_for(&[EndpointId(5)])
        .await
        .expect("at once");
}

#[tokio::test]
async fn a_failure_is_told_to_those_who_wait_and_the_end_to_everybody() {
    let pending = Arc::new(Pending::new(0, 100, Gauge::default()));
    pending.push(entry(1, 1), 100);
    let reader = |pending: &Arc<Pending>| {
        let pending = Arc::clone(pending);
        tokio::spawn(async move { pending.settled().await })
    };
    let first = reader(&pending);
    assert_eq!(fold(&pending).await, [1]);
    while pending.state().asked < 1 {
        tokio::task::yield_now().await;
    }
    pending.failed(StoreError::Closed);
    assert!(first.await.expect("no panic").is_err());
    pending.end();
    assert!(reader(&pending).await.expect("no panic").is_err());
    assert!(!pending.room().await, "there will be none");
}

#[tokio::test]
async fn a_full_journal_makes_its_front_wait() {
    let pending = Arc::new(Pending::new(0, 100, Gauge::default()));
    pending.push(entry(1, 1), 100);
    let room = tokio::spawn({
        let pending = Arc::clone(&pending);
        async move { pending.room().await }
    });
    assert_eq!(fold(&pending).await, [1], "at once: half of it is full");
    tokio::task::yield_now().await;
    assert!(!room.is_finished());
    pending.done(1, 100);
    assert!(room.await.expect("no panic"));
}

#[tokio::test]
async fn what_nobody_waits_for_is_folded_when_it_is_old_and_all_at_the_end() {
    let pending = Pending::new(0, 1_000, Gauge::default());
    let idle = pending.next(AGE, 10, Duration::from_millis(1)).await;
    assert!(matches!(idle, Work::Idle));
    pending.push(entry(1, 1), 10);
    pending.push(entry(2, 1), 10);
    assert_eq!(fold(&pending).await, [1, 2]);
    for number in 3..15 {
        pending.push(entry(number, 1), 10);
    }
    assert_eq!(
        fold(&pending).await.len(),
        10,
        "as many as one transaction has"
    );
    pending.close();
    assert_eq!(fold(&pending).await, [13, 14]);
    assert!(matches!(pending.next(AGE, 10, AGE).await, Work::End));
}

#[tokio::test]
async fn one_transaction_takes_a_share_of_what_may_be_pending_so_that_there_is_room_soon() {
    let pending = Pending::new(0, 1_000, Gauge::default());
    for number in 1..=9 {
        pending.push(entry(number, 1), 100);
    }
    assert_eq!(
        fold(&pending).await,
        [1, 2, 3],
        "250 bytes, and what begins in them"
    );
    pending.done(3, 300);
    pending.push(entry(10, 1), 5_000);
    pending.close();
    for expected in [&[4, 5, 6][..], &[7, 8, 9], &[10]] {
        assert_eq!(fold(&pending).await, expected);
    }
}
