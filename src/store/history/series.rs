//! Several histories at once, for a chart of many lines, and what is needed to choose them.

use async_trait::async_trait;
use flownexus_entity::resource;
use sea_orm::{ConnectionTrait as _, EntityTrait as _};

use super::chart::{Chart, Stretches};
use super::raw;
use super::tier::{SeriesKey, Sum};
use super::{Aggregate, snapshot};
use crate::domain::{EndpointId, Path, Timestamp, Value};
use crate::store::records::{parse, time};
use crate::store::resource::rows;
use crate::store::sql::{places, statement};
use crate::store::values::node;
use crate::store::{Store, StoreError};

/// So many devices are named in one statement.
const DEVICES: usize = 500;

/// A point of a series: a value, or a stretch of time with its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SeriesPoint {
    /// When it was measured, or the beginning of the stretch.
    pub time: Timestamp,
    /// The value, or the mean of the values.
    pub mean: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

/// What all values of a series in a range have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// How many there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The last.
    pub last: f64,
    /// When that was measured.
    pub last_at: Timestamp,
}

/// A path of a device over time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// How long the stretches are, in milliseconds; none where each point is a value.
    pub step_ms: Option<i64>,
    /// By time.
    pub points: Vec<SeriesPoint>,
    /// Of all values in the range; none where there are none.
    pub summary: Option<Summary>,
}

impl From<Stretches> for Series {
    fn from(stretches: Stretches) -> Self {
        let point = |(at, sum): &(i64, Sum)| SeriesPoint {
            time: time(*at),
            mean: sum.mean(),
            min: sum.low.value,
            max: sum.high.value,
        };
        let all = stretches.sums.iter().map(|(_, sum)| *sum);
        let all = all.reduce(|mut all, sum| {
            all.add(&sum);
            all
        });
        Self {
            step_ms: stretches.step,
            points: stretches.sums.iter().map(point).collect(),
            summary: all.map(|all| Summary {
                count: all.samples.unsigned_abs(),
                mean: all.mean(),
                min: all.low.value,
                max: all.high.value,
                last: all.last.value,
                last_at: time(all.last.at),
            }),
        }
    }
}

/// The latest value at a path.
#[derive(Clone, Debug, PartialEq)]
pub struct LatestValue {
    /// Of which device.
    pub endpoint_id: EndpointId,
    /// Where.
    pub path: Path,
    /// What.
    pub value: Value,
    /// When it was measured; where the device did not say, when it arrived.
    pub time: Timestamp,
}

/// A value as it came, with its row.
#[derive(Clone, Debug, PartialEq)]
pub struct RawValue {
    /// Its row: of values of the same time, the later one came later.
    pub row: i64,
    /// When it was measured; where the device did not say, when it arrived.
    pub time: Timestamp,
    /// What.
    pub value: Value,
}

/// Reads many histories, and what devices have values of.
#[async_trait]
pub trait SeriesReader: Send + Sync {
    /// The numbers of each of these paths with `from <= time < to`, in at most `points` points each, in the
    /// order asked for and all of one moment.
    async fn series(
        &self,
        wanted: Vec<(EndpointId, Path)>,
        from: Timestamp,
        to: Timestamp,
        points: usize,
    ) -> Result<Vec<Series>, StoreError>;

    /// The numbers of one path with `from <= time < to` as they came, by time and then row, at most `limit`
    /// of them, behind `after` (time and row of the last one of the page before).
    async fn raw_values(
        &self,
        id: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        after: Option<(Timestamp, i64)>,
        limit: u64,
    ) -> Result<Vec<RawValue>, StoreError>;

    /// Of which paths these devices have values, by device and path.
    async fn paths(&self, ids: Vec<EndpointId>) -> Result<Vec<(EndpointId, Path)>, StoreError>;

    /// The latest values of these devices at these paths, by device and path.
    async fn latest_at(
        &self,
        ids: Vec<EndpointId>,
        paths: Vec<Path>,
    ) -> Result<Vec<LatestValue>, StoreError>;
}

#[async_trait]
impl SeriesReader for Store {
    async fn series(
        &self,
        wanted: Vec<(EndpointId, Path)>,
        from: Timestamp,
        to: Timestamp,
        points: usize,
    ) -> Result<Vec<Series>, StoreError> {
        let devices: Vec<EndpointId> = wanted.iter().map(|(id, _)| *id).collect();
        self.read_devices(&devices, move |database| async move {
            let transaction = snapshot(&database).await?;
            let mut all = Vec::with_capacity(wanted.len());
            for (id, path) in wanted {
                let Some(key) = SeriesKey::of(id, path) else {
                    all.push(Series::default());
                    continue;
                };
                let chart = Chart {
                    key,
                    from: from.as_millis(),
                    to: to.as_millis(),
                    points,
                    aggregate: Aggregate::Mean,
                };
                all.push(chart.stretches(&transaction).await?.into());
            }
            transaction.rollback().await?;
            Ok(all)
        })
        .await
    }

    async fn raw_values(
        &self,
        id: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        after: Option<(Timestamp, i64)>,
        limit: u64,
    ) -> Result<Vec<RawValue>, StoreError> {
        let Some(key) = SeriesKey::of(id, path) else {
            return Ok(Vec::new());
        };
        let (condition, mut values) = raw::condition(key);
        let limit = limit.min(i64::MAX as u64);
        let sql = format!(
            "SELECT * FROM resource WHERE {condition} AND measured_at >= ? AND measured_at < ? \
            AND (measured_at > ? OR id > ?) ORDER BY measured_at, id LIMIT {limit}"
        );
        let (first, row) = after.map_or((from.as_millis(), i64::MIN), |(at, row)| {
            (at.as_millis(), row)
        });
        values.extend([
            first.into(),
            to.as_millis().into(),
            first.into(),
            row.into(),
        ]);
        self.read_devices(&[id], move |database| async move {
            let found = resource::Entity::find().from_raw_sql(statement(&database, &sql, values));
            let found = found.all(&database).await?.into_iter();
            found
                .map(|row| {
                    Ok(RawValue {
                        row: row.id,
                        time: time(row.measured_at),
                        value: node(row)?.value,
                    })
                })
                .collect()
        })
        .await
    }

    async fn paths(&self, ids: Vec<EndpointId>) -> Result<Vec<(EndpointId, Path)>, StoreError> {
        let devices = ids.clone();
        self.read_devices(&devices, move |database| async move {
            let mut all = Vec::new();
            for part in ids.chunks(DEVICES) {
                let places = places(part.len());
                let sql = format!(
                    "SELECT endpoint_id, path FROM latest_resource WHERE endpoint_id IN ({places})"
                );
                let values = part.iter().map(|id| id.0.into());
                let rows = database
                    .query_all_raw(statement(&database, &sql, values))
                    .await?;
                for row in rows {
                    let path: String = row.try_get_by_index(1)?;
                    let path = parse("latest value", &path)?;
                    all.push((EndpointId(row.try_get_by_index(0)?), path));
                }
            }
            all.sort_unstable();
            Ok(all)
        })
        .await
    }

    async fn latest_at(
        &self,
        ids: Vec<EndpointId>,
        paths: Vec<Path>,
    ) -> Result<Vec<LatestValue>, StoreError> {
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let devices = ids.clone();
        self.read_devices(&devices, move |database| async move {
            let transaction = snapshot(&database).await?;
            let mut found: Vec<i64> = Vec::new();
            for part in ids.chunks(DEVICES) {
                let sql = format!(
                    "SELECT resource_row FROM latest_resource \
                    WHERE endpoint_id IN ({}) AND path IN ({})",
                    places(part.len()),
                    places(paths.len())
                );
                let values = part.iter().map(|id| id.0.into());
                let values = values.chain(paths.iter().map(|path| path.to_string().into()));
                let rows = transaction
                    .query_all_raw(statement(&transaction, &sql, values))
                    .await?;
                for row in rows {
                    found.push(row.try_get_by_index(0)?);
                }
            }
            let rows = rows(&transaction, &found).await?;
            transaction.rollback().await?;
            let mut latest = rows
                .into_iter()
                .map(|row| {
                    let (endpoint_id, at) = (EndpointId(row.endpoint_id), time(row.measured_at));
                    let node = node(row)?;
                    Ok(LatestValue {
                        endpoint_id,
                        path: node.path,
                        value: node.value,
                        time: at,
                    })
                })
                .collect::<Result<Vec<_>, StoreError>>()?;
            latest.sort_by_key(|latest| (latest.endpoint_id, latest.path));
            Ok(latest)
        })
        .await
    }
}
