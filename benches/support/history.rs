//! A database with very many values: charts of a day and latest values from it, and what rolling them up costs.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flownexus::config::Settings;
use flownexus::domain::{EndpointId, Node, Path as ResourcePath, Timestamp, Value};
use flownexus::store::{
    Aggregate, Change, Commit, EndpointReader as _, FleetWriter as _, HistoryStore as _,
    ResourceReader as _, Store,
};
use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, Statement};

use super::Result;

const SENSOR: ResourcePath = ResourcePath::resource(3303, 0, 5700);

/// Devices of 100 million values, and how often each reports, in seconds.
const CLASSES: [(i64, i64); 4] = [(100, 1), (1_000, 10), (9_700, 60), (5_000, 600)];

/// Days of values.
const DAYS: i64 = 3;

/// Values in one statement, in seconds: a multiple of how often each reports.
const STRETCH: i64 = 600;

/// Devices of which the latest values are asked for, and paths of each.
const DEVICES: i64 = 500;
const PATHS: u16 = 20;

/// What was measured.
pub(crate) struct Figures {
    /// Values that are stored.
    pub(crate) values: i64,
    /// How long it took to store them, in seconds.
    pub(crate) fill_s: f64,
    /// Of the database for each value, with indices.
    pub(crate) bytes_each: i64,
    /// Charts and latest values.
    pub(crate) lines: Vec<Line>,
    /// How long rolling up took, in seconds, its processor time for a value in µs, and its bytes for a value.
    pub(crate) rolled: (f64, f64, f64),
    /// What is stored of each class of devices.
    pub(crate) tables: Vec<Table>,
}

/// How long one thing took, again and again.
pub(crate) struct Line {
    pub(crate) what: String,
    /// How often it was asked for.
    pub(crate) times: usize,
    /// `warm`: the second time; `cold`: after the operating system forgot the file.
    pub(crate) cache: &'static str,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    pub(crate) points: usize,
}

/// The values and rows of a class of devices.
pub(crate) struct Table {
    pub(crate) devices: i64,
    /// One value in so many seconds.
    pub(crate) seconds: i64,
    pub(crate) values: i64,
    /// Of minutes, hours and days.
    pub(crate) rows: [i64; 3],
}

/// Fills a database in this folder, or the one of this URL, with so many million values and asks for them.
pub(crate) fn measure(folder: &Path, url: &str, millions: i64) -> Result<Figures> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(run(folder, url, millions))
}

async fn run(folder: &Path, url: &str, millions: i64) -> Result<Figures> {
    let mut settings = Settings::defaults();
    settings.data_dir = folder.to_owned();
    settings.database.url = url.to_owned();
    // Nothing is rolled up before it is asked for.
    settings.history.roll_up_after_s = u64::MAX;
    settings.history.max_lag_s = u64::MAX;
    let bench = Bench {
        on_sqlite: settings.database.url.is_empty(),
        settings,
        classes: CLASSES.map(|(devices, seconds)| ((devices * millions / 100).max(1), seconds)),
    };
    bench.open().await?.close().await;
    let begun = Instant::now();
    let values = bench.fill().await?;
    let fill_s = begun.elapsed().as_secs_f64();
    let empty = bench.bytes().await?;
    let mut lines = Vec::new();

    let store = bench.open().await?;
    bench.devices(&store).await?;
    lines.extend(bench.charts(&store, "values alone", "warm", 3).await?);

    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    store.roll_up().await?;
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    store.close().await;
    let rolled = bench.bytes().await?.saturating_sub(empty);

    let store = bench.open().await?;
    lines.extend(bench.charts(&store, "24 h chart", "warm", 100).await?);
    lines.push(bench.latest(&store, "warm").await?);
    store.close().await;
    if bench.on_sqlite {
        for class in 0..bench.classes.len() {
            bench.forget_pages()?;
            let store = bench.open().await?;
            let chart = bench.chart(&store, class, "24 h chart", "cold", 20, false);
            lines.push(chart.await?);
            store.close().await;
        }
        bench.forget_pages()?;
        let store = bench.open().await?;
        lines.push(bench.latest(&store, "cold").await?);
        store.close().await;
    }
    let each = |amount: f64| amount / values as f64;
    Ok(Figures {
        values,
        fill_s,
        bytes_each: empty / values,
        lines,
        rolled: (wall, each(cpu * 1e6), each(rolled as f64)),
        tables: bench.tables().await?,
    })
}

struct Bench {
    settings: Settings,
    on_sqlite: bool,
    /// Devices, and how often each reports.
    classes: [(i64, i64); 4],
}

impl Bench {
    async fn open(&self) -> Result<Store> {
        Ok(Store::open(&self.settings, Arc::new(|_| {})).await?)
    }

    async fn connection(&self) -> Result<DatabaseConnection> {
        let mut options = if self.on_sqlite {
            let file = self.settings.data_dir.join("flownexus.db");
            ConnectOptions::new(format!("sqlite://{}", file.display()))
        } else {
            ConnectOptions::new(self.settings.database.url.as_str())
        };
        options.max_connections(1).sqlx_logging(false);
        Ok(Database::connect(options).await?)
    }

    /// The first device of a class.
    fn first(&self, class: usize) -> i64 {
        1 + self
            .classes
            .iter()
            .take(class)
            .map(|(devices, _)| devices)
            .sum::<i64>()
    }

    fn begin() -> i64 {
        let day = 86_400;
        (Timestamp::system().as_millis() / 1_000 / day - DAYS) * day
    }

    /// The values, in the order of time as they would arrive.
    async fn fill(&self) -> Result<i64> {
        let database = self.connection().await?;
        if self.on_sqlite {
            for pragma in [
                "synchronous = OFF",
                "journal_mode = WAL",
                "cache_size = -1000000",
            ] {
                database
                    .execute_unprepared(&format!("PRAGMA {pragma}"))
                    .await?;
            }
        }
        let devices: i64 = self.classes.iter().map(|(devices, _)| devices).sum();
        let numbers = |from: i64, to: i64| {
            if self.on_sqlite {
                format!(
                    "WITH RECURSIVE s(t) AS (SELECT {from} UNION ALL SELECT t + 1 FROM s WHERE t < {to}) "
                )
            } else {
                format!(
                    "WITH s AS (SELECT t FROM generate_series({from}::bigint, {to}::bigint) AS g(t)) "
                )
            }
        };
        let sql = format!(
            "INSERT INTO endpoint (id, name, search_name, created_at) {} \
            SELECT t, 'device-' || t, 'device-' || t, 0 FROM s",
            numbers(1, devices)
        );
        database.execute_unprepared(&sql).await?;
        let begin = Self::begin();
        let first = self.first_row(&database).await?;
        let mut next = first;
        for from in (begin..begin + DAYS * 86_400).step_by(STRETCH as usize) {
            let parts: Vec<String> = (0..)
                .zip(self.classes)
                .map(|(class, (devices, seconds))| {
                    let first = self.first(class);
                    let last = first + devices - 1;
                    format!(
                        "SELECT {from} + s.t * {seconds} + id % {seconds} AS t, id FROM endpoint, s \
                        WHERE id BETWEEN {first} AND {last} AND s.t < {}",
                        STRETCH / seconds
                    )
                })
                .collect();
            let sql = format!(
                "{} INSERT INTO resource (id, endpoint_id, object_id, object_instance_id, resource_id, \
                value_type, value_float, measured_at, measured_by_device, received_at) \
                SELECT {next} - 1 + row_number() OVER (ORDER BY t, id), id, 3303, 0, 5700, 'FLOAT', \
                20.0 + ((t * 7919 + id * 104729) % 1000) / 100.0, t * 1000, TRUE, t * 1000 + 50 \
                FROM ({}) AS arrived ORDER BY t, id",
                numbers(0, STRETCH - 1),
                parts.join(" UNION ALL ")
            );
            let done = database.execute_unprepared(&sql).await?;
            next += i64::try_from(done.rows_affected())?;
            if self.on_sqlite && (from - begin) % 36_000 == 0 {
                database
                    .execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)")
                    .await?;
            }
        }
        database
            .execute_unprepared(
                "INSERT INTO latest_resource (endpoint_id, path, resource_row, \"at\") \
                SELECT endpoint_id, '/3303/0/5700', MAX(id), MAX(measured_at) FROM resource GROUP BY endpoint_id",
            )
            .await?;
        if !self.on_sqlite {
            database.execute_unprepared("ANALYZE").await?;
        }
        database.close().await?;
        Ok(next - first)
    }

    /// Where row ids go on: on PostgreSQL in the partition of this day.
    async fn first_row(&self, database: &DatabaseConnection) -> Result<i64> {
        let sql = "SELECT value FROM server_state WHERE key = 'next_id.resource'";
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await?;
        Ok(row.ok_or("no mark")?.try_get_by_index(0)?)
    }

    /// Latest values of many paths of some devices, through the store.
    async fn devices(&self, store: &Store) -> Result<()> {
        for id in self.asked() {
            let path = |number| ResourcePath::resource(3, 0, number);
            let nodes = (0..PATHS).map(|number| Node::new(path(number), Value::Integer(7)));
            let change = Change::Resources {
                endpoint_id: EndpointId(id),
                nodes: nodes.collect(),
                at: Timestamp::system(),
                stale: false,
            };
            let commit = Commit {
                changes: vec![change],
                publish: Vec::new(),
            };
            store.commit(commit).await?;
        }
        Ok(())
    }

    /// Devices all over the fleet.
    fn asked(&self) -> impl Iterator<Item = i64> {
        let all: i64 = self.classes.iter().map(|(devices, _)| devices).sum();
        let step = (all / DEVICES).max(1);
        (1..=all).step_by(usize::try_from(step).unwrap_or(1))
    }

    async fn charts(
        &self,
        store: &Store,
        what: &str,
        cache: &'static str,
        series: i64,
    ) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for class in 0..self.classes.len() {
            lines.push(self.chart(store, class, what, cache, series, true).await?);
        }
        Ok(lines)
    }

    /// Charts of the last whole day of devices of one class.
    async fn chart(
        &self,
        store: &Store,
        class: usize,
        what: &str,
        cache: &'static str,
        series: i64,
        is_warm: bool,
    ) -> Result<Line> {
        let (devices, seconds) = self.classes.get(class).copied().ok_or("no such class")?;
        let end = (Self::begin() + DAYS * 86_400) * 1_000;
        let from = Timestamp::clamped_from_millis(end - 86_400_000 - 5_432_100);
        let to = Timestamp::clamped_from_millis(end - 5_432_100);
        let mut times = Vec::new();
        let mut points = 0;
        for number in 0..series.min(devices) {
            let id = EndpointId(self.first(class) + number * devices / series.min(devices));
            for pass in 0..1 + usize::from(is_warm) {
                let begun = Instant::now();
                let chart = store
                    .history(id, SENSOR, from, to, 1_000, Aggregate::MinMax)
                    .await?;
                points = chart.len();
                if pass == usize::from(is_warm) {
                    times.push(begun.elapsed());
                }
            }
        }
        let what = format!("{what}, one value in {seconds} s");
        Ok(line(what, cache, times, points))
    }

    async fn latest(&self, store: &Store, cache: &'static str) -> Result<Line> {
        let mut times = Vec::new();
        let mut found = 0;
        for id in self.asked() {
            if cache == "warm" {
                store.latest(EndpointId(id)).await?;
            }
            let begun = Instant::now();
            found = store.latest(EndpointId(id)).await?.len();
            times.push(begun.elapsed());
        }
        let (all, _) = store.count().await?;
        assert!(all > 0, "the fleet is there");
        let what = "latest values of a device".to_owned();
        Ok(line(what, cache, times, found))
    }

    /// Lets the operating system forget the pages of the database.
    fn forget_pages(&self) -> Result<()> {
        let file = self.settings.data_dir.join("flownexus.db");
        let done = Command::new("dd")
            .arg(format!("if={}", file.display()))
            .args(["iflag=nocache", "count=0", "status=none"])
            .status()?;
        if !done.success() {
            return Err("dd failed".into());
        }
        Ok(())
    }

    /// Size of the database.
    async fn bytes(&self) -> Result<i64> {
        if self.on_sqlite {
            let file = self.settings.data_dir.join("flownexus.db");
            return Ok(i64::try_from(std::fs::metadata(file)?.len())?);
        }
        let database = self.connection().await?;
        let sql = "SELECT pg_database_size(current_database())";
        let statement = Statement::from_string(database.get_database_backend(), sql);
        let row = database.query_one_raw(statement).await?.ok_or("no size")?;
        Ok(row.try_get_by_index(0)?)
    }

    /// How many rows there are.
    async fn tables(&self) -> Result<Vec<Table>> {
        let database = self.connection().await?;
        let mut tables = Vec::new();
        for (class, (devices, seconds)) in (0..).zip(self.classes) {
            let first = self.first(class);
            let (mut rows, mut values) = ([0; 3], 0);
            for (rows, table) in rows.iter_mut().zip(["minute", "hour", "day"]) {
                let sql = format!(
                    "SELECT COUNT(*), CAST(COALESCE(SUM(samples), 0) AS BIGINT) FROM rollup_{table} \
                    WHERE endpoint_id BETWEEN {first} AND {} AND path = {}",
                    first + devices - 1,
                    3303_i64 << 48 | 5700 << 16 | 65_535
                );
                let statement = Statement::from_string(database.get_database_backend(), sql);
                let row = database.query_one_raw(statement).await?.ok_or("no count")?;
                *rows = row.try_get_by_index::<i64>(0)?;
                // The last ones are the days, which have all values.
                values = row.try_get_by_index::<i64>(1)?;
            }
            tables.push(Table {
                devices,
                seconds,
                values,
                rows,
            });
        }
        database.close().await?;
        Ok(tables)
    }
}

fn line(what: String, cache: &'static str, mut times: Vec<Duration>, points: usize) -> Line {
    times.sort_unstable();
    let at = |share: usize| {
        let index = (times.len() * share / 100).min(times.len().saturating_sub(1));
        times
            .get(index)
            .map_or(0.0, |time| time.as_secs_f64() * 1e3)
    };
    Line {
        what,
        times: times.len(),
        cache,
        p50_ms: at(50),
        p99_ms: at(99),
        max_ms: at(100),
        points,
    }
}

/// User and system time of this process so far.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .map(|(_, fields)| fields.split_whitespace().collect())
        .unwrap_or_default();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<f64>().ok());
    Ok((ticks(11).unwrap_or(0.0) + ticks(12).unwrap_or(0.0)) / 100.0)
}
