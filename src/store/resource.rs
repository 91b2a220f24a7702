//! Values: the latest, over time, and by type.

use async_trait::async_trait;
use flownexus_entity::{endpoint, resource, resource_type};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseConnection, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _, Value as Bind,
};

use super::downsample::{Point, downsample};
use super::open::statement;
use super::records::{corrupt, name, narrow, time};
use super::values::node;
use super::{ResourceReader, ResourceType, Store, StoreError, StoredValue};
use crate::domain::{EndpointId, EndpointName, Path, Timestamp};

/// Up to so many values are read and thinned out here; of more, the database looks for the
/// extremes, so that memory is bounded whatever the range.
const FEW: usize = 20_000;

/// The most points that are asked of the database.
const MOST_POINTS: usize = 10_000;

/// A value as a point of a chart, null where it is none. Larger `UNSIGNED_INTEGER` values have
/// their approximation in `value_float`.
const NUMBER: &str = "COALESCE(value_float, CAST(value_integer AS DOUBLE PRECISION), \
    CASE WHEN value_boolean THEN 1.0 WHEN NOT value_boolean THEN 0.0 END)";

/// Object and resource as one number: what the index `resource_type_arrival` is on.
const TYPE: &str = "(CAST(object_id AS BIGINT) * 65536 + resource_id)";

#[async_trait]
impl ResourceReader for Store {
    async fn latest(&self, id: EndpointId) -> Result<Vec<StoredValue>, StoreError> {
        self.read(move |database| async move { latest(&database, id).await })
            .await
    }

    async fn history(
        &self,
        id: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        points: usize,
    ) -> Result<Vec<Point>, StoreError> {
        let series = Series { id, path };
        self.read(
            move |database| async move { history(&database, series, from, to, points, FEW).await },
        )
        .await
    }

    async fn by_type(
        &self,
        object_id: u16,
        resource_id: u16,
        limit: u64,
        before: Option<i64>,
    ) -> Result<Vec<(i64, StoredValue)>, StoreError> {
        let mut query = resource::Entity::find()
            .find_also_related(endpoint::Entity)
            .filter(Expr::cust(TYPE).eq(i64::from(object_id) * 65_536 + i64::from(resource_id)))
            // Rows are numbered in the order of arrival.
            .order_by_desc(resource::Column::Id)
            .limit(Ord::min(limit, i64::MAX as u64));
        if let Some(before) = before {
            query = query.filter(resource::Column::Id.lt(before));
        }
        self.read(move |database| async move {
            let rows = query.all(&database).await?.into_iter();
            rows.map(|(row, endpoint)| {
                let endpoint = endpoint.ok_or_else(|| {
                    corrupt("value", format!("row {} belongs to no endpoint", row.id))
                })?;
                Ok((row.id, stored_value(row, name(&endpoint.name)?)?))
            })
            .collect()
        })
        .await
    }

    async fn types(&self) -> Result<Vec<ResourceType>, StoreError> {
        self.read(|database| async move {
            let rows = resource_type::Entity::find()
                .order_by_asc(resource_type::Column::ObjectId)
                .order_by_asc(resource_type::Column::ResourceId)
                .all(&database)
                .await?;
            rows.into_iter().map(type_of).collect()
        })
        .await
    }
}

fn type_of(row: resource_type::Model) -> Result<ResourceType, StoreError> {
    const WHAT: &str = "resource type";
    Ok(ResourceType {
        object_id: narrow(WHAT, row.object_id)?,
        resource_id: narrow(WHAT, row.resource_id)?,
        name: row.name,
        value_type: row
            .value_type
            .map(|value_type| value_type.parse().map_err(|why: String| corrupt(WHAT, why)))
            .transpose()?,
    })
}

async fn latest(
    database: &DatabaseConnection,
    id: EndpointId,
) -> Result<Vec<StoredValue>, StoreError> {
    let Some(endpoint) = endpoint::Entity::find_by_id(id.0).one(database).await? else {
        return Ok(Vec::new());
    };
    let endpoint = name(&endpoint.name)?;
    let sql = "SELECT resource.* FROM latest_resource \
        JOIN resource ON resource.id = latest_resource.resource_row \
        WHERE latest_resource.endpoint_id = ?";
    let rows = resource::Entity::find()
        .from_raw_sql(statement(database, sql, [id.0.into()]))
        .all(database)
        .await?;
    let mut values = rows
        .into_iter()
        .map(|row| stored_value(row, endpoint.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    values.sort_by_key(|value| value.path);
    Ok(values)
}

fn stored_value(row: resource::Model, endpoint: EndpointName) -> Result<StoredValue, StoreError> {
    let (measured_at, received_at) = (time(row.measured_at), time(row.received_at));
    let node = node(row)?;
    Ok(StoredValue {
        endpoint,
        path: node.path,
        value: node.value,
        time: measured_at,
        received_at,
    })
}

/// One path of one device.
#[derive(Clone, Copy, Debug)]
struct Series {
    id: EndpointId,
    path: Path,
}

impl Series {
    /// The condition that the index `resource_path_time` serves, with its values: rows of this
    /// path with `from <= time < to` that are points of a chart.
    fn condition(&self, from: &str, to: &str) -> Option<(String, Vec<Bind>)> {
        let (levels, instance) = match *self.path.ids() {
            [object, instance, resource] => ([object, instance, resource], None),
            [object, instance, resource, id] => ([object, instance, resource], Some(id)),
            _ => return None,
        };
        let mut values: Vec<Bind> = vec![self.id.0.into()];
        values.extend(levels.map(|id| i32::from(id).into()));
        values.extend(instance.map(|id| i32::from(id).into()));
        let instance = if instance.is_some() { "= ?" } else { "IS NULL" };
        let sql = format!(
            "endpoint_id = ? AND object_id = ? AND object_instance_id = ? AND resource_id = ? \
            AND resource_instance_id {instance} \
            AND measured_at >= {from} AND measured_at < {to} \
            AND {NUMBER} BETWEEN -1.7976931348623157e308 AND 1.7976931348623157e308"
        );
        Some((sql, values))
    }
}

/// Values of a path as points, thinned out; more than `few` are thinned out by the database.
async fn history(
    database: &DatabaseConnection,
    series: Series,
    from: Timestamp,
    to: Timestamp,
    points: usize,
    few: usize,
) -> Result<Vec<Point>, StoreError> {
    let Some((condition, values)) = series.condition("?", "?") else {
        return Ok(Vec::new());
    };
    if points == 0 || from >= to {
        return Ok(Vec::new());
    }
    let values = |from: Timestamp, to: Timestamp| {
        let range = [from.as_millis().into(), to.as_millis().into()];
        values.clone().into_iter().chain(range)
    };
    let query = |order: &str, limit: usize| {
        format!(
            "SELECT measured_at, {NUMBER} FROM resource WHERE {condition} \
            ORDER BY measured_at {order}, id {order} LIMIT {limit}"
        )
    };
    let all = read_points(
        database,
        &query("ASC", few.saturating_add(1)),
        values(from, to),
    )
    .await?;
    if all.len() <= few {
        return Ok(downsample(&all, points));
    }
    let last = read_points(database, &query("DESC", 1), values(from, to)).await?;
    let (Some(first), Some(last)) = (all.first().copied(), last.first().copied()) else {
        return Ok(Vec::new());
    };
    drop(all);
    if points <= 2 {
        return Ok(downsample(&[first, last], points));
    }
    // The range where there are values, in stretches of the same duration.
    let stretches = (points.min(MOST_POINTS) - 2).div_ceil(2).max(1);
    let begin = first.0.as_millis();
    let span = last.0.as_millis().saturating_sub(begin).saturating_add(1);
    let border = |stretch: usize| {
        let offset = i128::from(span) * stretch as i128 / stretches as i128;
        begin.saturating_add(i64::try_from(offset).unwrap_or(span))
    };
    let mut found = vec![first, last];
    for stretch in 0..stretches {
        let (from, to) = (border(stretch), border(stretch + 1));
        if from == to {
            continue;
        }
        let range = || {
            values(
                Timestamp::clamped_from_millis(from),
                Timestamp::clamped_from_millis(to),
            )
        };
        // The smallest and the largest of the stretch, with their times. Each is one pass over
        // one range of the index that keeps one row.
        let extreme = |order: &str| {
            format!(
                "SELECT * FROM (SELECT measured_at, {NUMBER} AS number FROM resource \
                WHERE {condition} ORDER BY number {order}, measured_at, id LIMIT 1) AS {order}_one"
            )
        };
        let sql = format!("{} UNION ALL {}", extreme("ASC"), extreme("DESC"));
        let both = range().chain(range());
        found.extend(read_points(database, &sql, both).await?);
    }
    found.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
    found.dedup();
    // `first` and `last` are the ends also where other values have the same time.
    found.retain(|point| *point != first && *point != last);
    found.insert(0, first);
    if last != first {
        found.push(last);
    }
    Ok(downsample(&found, points))
}

async fn read_points(
    database: &DatabaseConnection,
    sql: &str,
    values: impl IntoIterator<Item = Bind>,
) -> Result<Vec<Point>, StoreError> {
    let rows = database
        .query_all_raw(statement(database, sql, values))
        .await?;
    rows.iter()
        .map(|row| {
            let time = time(row.try_get_by_index(0)?);
            Ok((time, row.try_get_by_index(1)?))
        })
        .collect()
}
