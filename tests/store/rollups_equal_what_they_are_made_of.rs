//! What is computed of minutes, hours and days is what a simple sum over all values gives, in whatever
//! order they came, however late, and whenever the server was killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};

use flownexus::domain::{EndpointId, Node, Path, Value};
use flownexus::store::{Change, EndpointReader, FleetWriter as _};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rstest::rstest;
use sea_orm::{ConnectionTrait as _, Statement};

use super::samples::{at, commit, device, name, values};
use crate::support::database::{Engine, TestDatabase, of_child};

const DAY: i64 = 86_400_000;

/// Device, path, bucket; samples, total, low, high, last, low at, high at, last at, whether it is divided.
type Rows = BTreeMap<(i64, i64, i64), (i64, [f64; 4], [i64; 3], bool)>;

/// Every table as it is.
async fn tables(database: &TestDatabase) -> [Rows; 3] {
    let connection = database.connection().await;
    let mut all = [Rows::new(), Rows::new(), Rows::new()];
    for (rows, (table, divided)) in all.iter_mut().zip([
        ("rollup_day", "divided"),
        ("rollup_hour", "divided"),
        ("rollup_minute", "FALSE"),
    ]) {
        let sql = format!(
            "SELECT endpoint_id, path, bucket, samples, total, low, high, last, low_at, high_at, last_at, \
            {divided} FROM {table}"
        );
        let statement = Statement::from_string(connection.get_database_backend(), sql);
        for row in connection.query_all_raw(statement).await.expect(table) {
            let number = |index| row.try_get_by_index::<i64>(index).expect("a number");
            let offset = |index| i64::from(row.try_get_by_index::<i32>(index).expect("a number"));
            let float = |index| row.try_get_by_index::<f64>(index).expect("a number");
            rows.insert(
                (number(0), number(1), number(2)),
                (
                    number(3),
                    [float(4), float(5), float(6), float(7)],
                    [offset(8), offset(9), offset(10)],
                    row.try_get_by_index(11).expect("true or false"),
                ),
            );
        }
    }
    connection.close().await.expect("an orderly end");
    all
}

/// The same of all values that are stored, one after the other.
async fn model(database: &TestDatabase) -> [Rows; 3] {
    let connection = database.connection().await;
    let sql = "SELECT endpoint_id, object_id, object_instance_id, resource_id, resource_instance_id, \
        measured_at, value_integer FROM resource WHERE value_integer IS NOT NULL ORDER BY measured_at, id";
    let statement = Statement::from_string(connection.get_database_backend(), sql);
    let mut series: BTreeMap<(i64, i64), Vec<(i64, f64)>> = BTreeMap::new();
    for row in connection.query_all_raw(statement).await.expect("values") {
        let id = |index| i64::from(row.try_get_by_index::<i32>(index).expect("an id"));
        let instance: Option<i32> = row.try_get_by_index(4).expect("an id or none");
        let last = instance.map_or(65_535, i64::from);
        let path = id(1) << 48 | id(2) << 32 | id(3) << 16 | last;
        let endpoint = row.try_get_by_index(0).expect("an id");
        let value: i64 = row.try_get_by_index(6).expect("a number");
        let at = row.try_get_by_index(5).expect("a time");
        series
            .entry((endpoint, path))
            .or_default()
            .push((at, value as f64));
    }
    connection.close().await.expect("an orderly end");
    let mut all = [Rows::new(), Rows::new(), Rows::new()];
    for ((endpoint, path), values) in series {
        let mut parts = vec![values];
        for (rows, (length, divided_from)) in
            all.iter_mut()
                .zip([(DAY, 48), (3_600_000, 120), (60_000, usize::MAX)])
        {
            let mut finer = Vec::new();
            for part in parts.into_iter().flat_map(|values| split(values, length)) {
                let divided = part.len() >= divided_from;
                let bucket = part[0].0.div_euclid(length);
                rows.insert(
                    (endpoint, path, bucket),
                    row(&part, bucket * length, divided),
                );
                if divided {
                    finer.push(part);
                }
            }
            parts = finer;
        }
    }
    all
}

fn split(values: Vec<(i64, f64)>, length: i64) -> Vec<Vec<(i64, f64)>> {
    let bucket = |value: &(i64, f64)| value.0.div_euclid(length);
    values
        .chunk_by(|one, two| bucket(one) == bucket(two))
        .map(<[(i64, f64)]>::to_vec)
        .collect()
}

/// Of values in the order of time and arrival.
fn row(values: &[(i64, f64)], start: i64, divided: bool) -> (i64, [f64; 4], [i64; 3], bool) {
    let mut low = values[0];
    let mut high = values[0];
    for value in values {
        if value.1 < low.1 {
            low = *value;
        }
        if value.1 > high.1 {
            high = *value;
        }
    }
    let last = values[values.len() - 1];
    (
        values.len() as i64,
        [
            values.iter().map(|value| value.1).sum(),
            low.1,
            high.1,
            last.1,
        ],
        [low.0, high.0, last.0].map(|at| at - start),
        divided,
    )
}

/// Something that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A device sends values of one path: each with its time and what it is.
    Send(usize, bool, Vec<(i64, i32)>),
    /// Everything is added up.
    RollUp,
    /// The server ends and starts again.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Some of a few minutes, some of a day, some of anywhere: hours and days with many values and with few.
    let moment = prop_oneof![
        6 => 0..200_000_i64,
        2 => -4_000_000..4_000_000_i64,
        1 => -2 * DAY..2 * DAY,
        1 => Just(0_i64),
    ];
    let sent = prop::collection::vec((moment, -9..9_i32), 1..120);
    prop::collection::vec(
        prop_oneof![
            6 => (0..2_usize, any::<bool>(), sent).prop_map(|(device, instance, values)| Step::Send(device, instance, values)),
            3 => Just(Step::RollUp),
            1 => Just(Step::Restart),
        ],
        1..16,
    )
}

fn nodes(with_instance: bool, values: &[(i64, i32)]) -> Vec<Node> {
    let path = if with_instance {
        Path::resource_instance(65_534, 1, 2, 65_534)
    } else {
        Path::resource(3303, 0, 5700)
    };
    values
        .iter()
        .map(|(time, value)| Node {
            path,
            value: Value::Integer((*value).into()),
            time: Some(at(*time)),
        })
        .collect()
}

#[rstest]
fn in_whatever_order_they_come(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let cases = match engine {
        Engine::Postgres => 6,
        Engine::Sqlite | Engine::SqliteDirect => 16,
    };
    let mut runner = TestRunner::new(Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 50,
        ..Config::default()
    });
    let result = runner.run(&steps(), |steps| {
        runtime.block_on(async {
            let Some(mut database) = TestDatabase::new(engine) else {
                return Ok(());
            };
            database.settings.history.window_values = 200;
            let mut store = database.open().await;
            let devices = [device(&store, "one").await, device(&store, "other").await];
            for step in steps {
                match step {
                    Step::Send(device, with_instance, sent) => {
                        let change = values(devices[device], nodes(with_instance, &sent), at(0));
                        store.commit(commit([change])).await.expect("committed");
                    }
                    Step::RollUp => store.roll_up().await.expect("added up"),
                    Step::Restart => {
                        store.close().await;
                        store = database.open().await;
                    }
                }
            }
            store.roll_up().await.expect("added up");
            store.close().await;
            prop_assert_eq!(tables(&database).await, model(&database).await);
            Ok(())
        })
    });
    result.expect("the tables are what the values say");
}

#[rstest]
#[tokio::test]
async fn and_numbers_as_large_as_there_are(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let id = device(&store, "sensor").await;
    for _ in 0..3 {
        let nodes = [f64::MAX, f64::INFINITY, f64::NAN, f64::MAX, -0.0].map(|value| Node {
            path: Path::resource(3303, 0, 5700),
            value: Value::Float(value),
            time: Some(at(0)),
        });
        let text = Node {
            path: Path::resource(3303, 0, 5700),
            value: Value::String("no number".into()),
            time: Some(at(0)),
        };
        let nodes = nodes.into_iter().chain([text]).collect();
        let change = values(id, nodes, at(0));
        store.commit(commit([change])).await.expect("committed");
        store.roll_up().await.expect("added up");
    }
    store.close().await;
    let [days, ..] = tables(&database).await;
    let (samples, [_, low, high, _], ..) = days.values().next().expect("one day");
    assert_eq!((*samples, *low, *high), (9, 0.0, f64::MAX));
}

#[rstest]
#[tokio::test]
async fn and_nothing_is_left_of_a_device_that_is_forgotten(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    let store = database.open().await;
    let (gone, stays) = (device(&store, "gone").await, device(&store, "stays").await);
    for id in [gone, stays] {
        let sent: Vec<(i64, i32)> = (0..500).map(|n| (n * 1_000, 1)).collect();
        let change = values(id, nodes(false, &sent), at(0));
        store.commit(commit([change])).await.expect("committed");
    }
    store.roll_up().await.expect("added up");
    EndpointReader::remove(&store, gone, None)
        .await
        .expect("removed");
    store.close().await;
    let tables = tables(&database).await;
    assert_eq!(tables, model(&database).await);
    for rows in &tables {
        assert!(!rows.is_empty() && rows.keys().all(|(id, ..)| *id == stays.0));
    }
}

/// Not a test of its own: what the killed process does.
#[tokio::test]
#[ignore = "a part of the test below, which starts it"]
async fn rolls_up_until_it_is_killed() {
    let Some(store) = of_child().await else {
        return;
    };
    let mut devices: Vec<EndpointId> = Vec::new();
    for number in 0..20 {
        let endpoint = format!("device-{number}");
        let known = EndpointReader::find(&store, &name(&endpoint))
            .await
            .expect("read");
        devices.push(match known {
            Some(row) => row.id,
            None => device(&store, &endpoint).await,
        });
    }
    println!("\nready");
    for round in 0_i64.. {
        let changes = devices.iter().map(|id| {
            let sent = (0..50).map(|n| ((n * 7_919 + round * 104_729) % (2 * DAY), n as i32));
            let sent: Vec<(i64, i32)> = sent.collect();
            values(*id, nodes(false, &sent), at(0))
        });
        let changes: Vec<Change> = changes.collect();
        store.commit(commit(changes)).await.expect("committed");
        println!("\nrolling up");
        store.roll_up().await.expect("added up");
    }
}

#[rstest]
#[tokio::test]
async fn and_whenever_the_server_is_killed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let Some(database) = TestDatabase::new(engine) else {
        return;
    };
    for round in 1..=4 {
        let mut child = database.child(module_path!(), "rolls_up_until_it_is_killed");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let begun = output
            .lines()
            .map_while(Result::ok)
            .filter(|line| line == "rolling up")
            .take(round)
            .count();
        // Right when it began to add up: some pieces are on disk, others are not.
        child.kill().expect("killed");
        let status = child.wait().expect("its end");
        assert!(!status.success() && begun == round, "{begun}: {status}");
    }
    let store = database.open().await;
    store.roll_up().await.expect("added up");
    store.close().await;
    let tables = tables(&database).await;
    assert!(tables.iter().all(|rows| !rows.is_empty()));
    assert_eq!(tables, model(&database).await);
}
