//! What devices cost is added up by day and by what it was for.

use flownexus::domain::{Day, DayTraffic, EndpointName, Traffic, TrafficKind};
use flownexus::store::{EndpointReader, Store, TrafficStore as _};
use rstest::rstest;

use super::samples::{device, name};
use crate::support::database::{Engine, TestDatabase};

fn traffic(kind: TrafficKind, bytes: u64) -> DayTraffic {
    let mut day = DayTraffic::default();
    let one = Traffic {
        up_bytes: bytes,
        up_messages: 1,
        down_bytes: 2 * bytes,
        down_messages: 2,
    };
    day.add(kind, one);
    day
}

async fn add(store: &Store, of: &[(&str, i64, DayTraffic)]) -> Vec<EndpointName> {
    let rows = of
        .iter()
        .map(|(device, day, traffic)| (name(device), Day(*day), *traffic));
    store.add(rows.collect()).await.expect("added")
}

#[rstest]
#[tokio::test]
async fn days_are_added_up_and_removed(
    #[values(Engine::Sqlite, Engine::SqliteDirect, Engine::Postgres)] engine: Engine,
) {
    use TrafficKind::{Data, Handshake};
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (one, other) = (device(&store, "one").await, device(&store, "other").await);
    let unknown = add(
        &store,
        &[
            ("one", 10, traffic(Data, 5)),
            ("one", 10, traffic(Data, 1)),
            ("other", 10, traffic(Data, 7)),
            ("nobody", 10, traffic(Data, 1_000)),
            ("one", 11, traffic(Handshake, 100)),
        ],
    )
    .await;
    assert_eq!(unknown, [name("nobody")]);
    assert!(
        add(&store, &[("one", 10, traffic(Data, 4))])
            .await
            .is_empty()
    );

    let days = store.days(Some(one), Day(0), Day(20)).await.expect("read");
    assert_eq!(days.keys().copied().collect::<Vec<_>>(), [Day(10), Day(11)]);
    let tenth = days[&Day(10)].of(Data);
    assert_eq!((tenth.up_bytes, tenth.up_messages), (10, 3));
    assert_eq!((tenth.down_bytes, tenth.down_messages), (20, 6));
    let all = store.days(None, Day(10), Day(10)).await.expect("read");
    assert_eq!(all[&Day(10)].of(Data).up_bytes, 17);
    assert_eq!(all.len(), 1);

    // A device that is forgotten takes its own along, but not what all of them cost.
    EndpointReader::remove(&store, other, None)
        .await
        .expect("removed");
    let gone = store
        .days(Some(other), Day(0), Day(20))
        .await
        .expect("read");
    assert!(gone.is_empty());
    let all = store.days(None, Day(10), Day(10)).await.expect("read");
    assert_eq!(all[&Day(10)].of(Data).up_bytes, 17);

    store.remove_before(Day(11)).await.expect("removed");
    let days = store.days(Some(one), Day(0), Day(20)).await.expect("read");
    assert_eq!(days.keys().copied().collect::<Vec<_>>(), [Day(11)]);
    let all = store.days(None, Day(0), Day(20)).await.expect("read");
    assert_eq!(all.len(), 1);
    assert!(add(&store, &[]).await.is_empty());
    store.close().await;
}
