//! Charts are drawn from minutes, hours and days where there are many values, and nobody sees it.

use flownexus::domain::{EndpointId, Node, Path, Timestamp, Value};
use flownexus::store::{Aggregate, FleetWriter as _, HistoryStore as _, Point, Store};
use rstest::rstest;

use super::samples::{at, commit, device, values};
use crate::support::database::{Engine, TestDatabase};

const PATH: Path = Path::resource(3303, 0, 5700);
const HOUR: i64 = 3_600_000;

/// Three days: every 10 s by day, every 20 minutes by night, with a peak here and there.
fn sent() -> Vec<(i64, f64)> {
    let mut sent = Vec::new();
    let mut time = 0;
    let mut number = 0_i64;
    while time < 72 * HOUR {
        let value = match number % 997 {
            500 => 90.0,
            501 => -30.0,
            noise => 20.0 + (time as f64 / 1e7).sin() * 5.0 + noise as f64 / 1_000.0,
        };
        sent.push((time, value));
        number += 1;
        time += if (time / HOUR) % 24 < 14 {
            10_000
        } else {
            1_200_000
        };
    }
    sent
}

async fn store_values(store: &Store, id: EndpointId, sent: &[(i64, f64)]) {
    for sent in sent.chunks(2_000) {
        let nodes = sent.iter().map(|(time, value)| Node {
            path: PATH,
            value: Value::Float(*value),
            time: Some(at(*time)),
        });
        let change = values(id, nodes.collect(), at(0));
        store.commit(commit([change])).await.expect("committed");
    }
}

fn range(all: &[(i64, f64)], from: Timestamp, to: Timestamp) -> Vec<Point> {
    let points = all.iter().map(|(time, value)| (at(*time), *value));
    points
        .filter(|(time, _)| (from..to).contains(time))
        .collect()
}

fn extremes(points: &[Point]) -> (f64, f64) {
    let values = points.iter().map(|point| point.1);
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}

/// Everything that a chart promises, over several ranges.
async fn check(store: &Store, id: EndpointId, all: &[(i64, f64)]) {
    let mut all = all.to_vec();
    all.sort_by_key(|(time, _)| *time);
    for (from, to) in [
        (Timestamp::MIN, Timestamp::MAX),
        (at(0), at(24 * HOUR)),
        (at(7 * HOUR + 1_234), at(31 * HOUR + 56_789)),
        (at(13 * HOUR), at(26 * HOUR + 1)),
        (at(25 * HOUR + 30), at(25 * HOUR + 200_000)),
        (at(60 * HOUR), Timestamp::MAX),
        (at(200 * HOUR), at(300 * HOUR)),
    ] {
        let wanted = range(&all, from, to);
        for points in [1, 2, 3, 10, 1_000] {
            let chart = async |aggregate| {
                store
                    .history(id, PATH, from, to, points, aggregate)
                    .await
                    .expect("read")
            };
            let shown = chart(Aggregate::MinMax).await;
            let what = format!("{from} to {to}, {points} points of {}", wanted.len());
            assert!(shown.len() <= points, "{what}");
            assert!(shown.is_sorted_by_key(|point| point.0), "{what}");
            assert!(
                shown.iter().all(|point| wanted.contains(point)),
                "{what}: made up"
            );
            assert_eq!(shown.last(), wanted.last(), "{what}");
            if points >= 2 {
                assert_eq!(shown.first(), wanted.first(), "{what}");
            }
            if points >= 4 {
                assert_eq!(extremes(&shown), extremes(&wanted), "{what}");
            }
            let counts = chart(Aggregate::Count).await;
            assert!(counts.len() <= points, "{what}");
            assert_eq!(
                counts.iter().map(|point| point.1).sum::<f64>(),
                wanted.len() as f64,
                "{what}"
            );
            let means = chart(Aggregate::Mean).await;
            assert_eq!(means.len(), counts.len(), "{what}");
            let sum: f64 = means
                .iter()
                .zip(&counts)
                .map(|(mean, count)| mean.1 * count.1)
                .sum();
            let wanted_sum: f64 = wanted.iter().map(|point| point.1).sum();
            assert!(
                (sum - wanted_sum).abs() < 1e-6 * wanted_sum.abs().max(1.0),
                "{what}"
            );
            let (low, high) = extremes(&wanted);
            assert_eq!(extremes(&chart(Aggregate::Min).await).0, low, "{what}");
            assert_eq!(extremes(&chart(Aggregate::Max).await).1, high, "{what}");
            assert_eq!(chart(Aggregate::Last).await.last(), wanted.last(), "{what}");
        }
    }
}

#[rstest]
#[tokio::test]
async fn show_their_peaks_and_miss_nothing_that_is_new(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let other = device(&store, "other").await;
    let mut all = sent();
    // The first value is no extreme of its minute.
    all.extend([(1_000, 0.0), (2_000, 40.0)]);
    store_values(&store, id, &all).await;
    store_values(&store, other, &[(1, 1e9), (2, -1e9)]).await;
    check(&store, id, &all).await;
    store.roll_up().await.expect("added up");
    check(&store, id, &all).await;
    // Newer ones, ones that come late, and one of a day before.
    let new = [
        (72 * HOUR, 21.0),
        (73 * HOUR, 120.0),
        (5 * HOUR + 7, -70.0),
        (22 * HOUR + 1, 55.0),
        (-30 * HOUR, 3.0),
    ];
    store_values(&store, id, &new).await;
    all.extend(new);
    check(&store, id, &all).await;
    store.roll_up().await.expect("added up");
    check(&store, id, &all).await;
    store.close().await;
}

#[rstest]
#[tokio::test]
async fn have_round_stretches_for_means(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    let all: Vec<(i64, f64)> = (0..8_640).map(|n| (n * 10_000, (n / 360) as f64)).collect();
    store_values(&store, id, &all).await;
    store.roll_up().await.expect("added up");
    let begin = at(0).as_millis();
    let hour = Timestamp::clamped_from_millis(begin.div_euclid(HOUR) * HOUR + HOUR);
    let day = Timestamp::clamped_from_millis(hour.as_millis() + 10 * HOUR);
    let hours = store
        .history(id, PATH, hour, day, 10, Aggregate::Count)
        .await
        .expect("read");
    assert_eq!(hours.len(), 10);
    for (number, (time, count)) in (0..).zip(hours) {
        assert_eq!(time.as_millis(), hour.as_millis() + number * HOUR);
        assert_eq!(count, 360.0);
    }
    store.close().await;
}
