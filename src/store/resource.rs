//! Values: the latest, over time, and by type.

use async_trait::async_trait;
use flownexus_entity::{endpoint, resource, resource_type};
use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait, DatabaseConnection, EntityTrait as _, QueryFilter as _,
    QueryOrder as _, QuerySelect as _,
};

use super::history::snapshot;
use super::records::{corrupt, name, narrow, time};
use super::sql::{places, statement};
use super::values::node;
use super::{ResourceReader, ResourceType, Store, StoreError, StoredValue};
use crate::domain::{EndpointId, EndpointName};

/// Object and resource as one number: what the index `resource_type_arrival` is on.
pub(super) const TYPE: &str = "(CAST(object_id AS BIGINT) * 65536 + resource_id)";

#[async_trait]
impl ResourceReader for Store {
    async fn latest(&self, id: EndpointId) -> Result<Vec<StoredValue>, StoreError> {
        self.read_devices(
            &[id],
            move |database| async move { latest(&database, id).await },
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
        self.read_tables(|database| async move {
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

pub(super) fn type_of(row: resource_type::Model) -> Result<ResourceType, StoreError> {
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
    let snapshot = snapshot(database).await?;
    let sql = "SELECT resource_row FROM latest_resource WHERE endpoint_id = ?";
    let ids = snapshot
        .query_all_raw(statement(&snapshot, sql, [id.0.into()]))
        .await?
        .iter()
        .map(|row| row.try_get_by_index(0))
        .collect::<Result<Vec<i64>, _>>()?;
    let rows = rows(&snapshot, &ids).await?;
    snapshot.rollback().await?;
    let mut values = rows
        .into_iter()
        .map(|row| stored_value(row, endpoint.clone()))
        .collect::<Result<Vec<_>, _>>()?;
    values.sort_by_key(|value| value.path);
    Ok(values)
}

/// Ids in one statement, largest first: the databases keep few statements prepared.
const CHUNKS: [usize; 5] = [512, 128, 32, 8, 1];

/// These rows, in any order. By their ids and not by a join: PostgreSQL then looks into the partitions
/// where they are, whatever it knows of the tables.
pub(super) async fn rows(
    database: &impl ConnectionTrait,
    ids: &[i64],
) -> Result<Vec<resource::Model>, StoreError> {
    let mut rows = Vec::with_capacity(ids.len());
    let mut left = ids;
    for chunk in CHUNKS {
        while let Some((now, rest)) = left.split_at_checked(chunk) {
            let places = places(chunk);
            let sql = format!("SELECT * FROM resource WHERE id IN ({places})");
            let values = now.iter().map(|id| (*id).into());
            let found = resource::Entity::find().from_raw_sql(statement(database, &sql, values));
            rows.extend(found.all(database).await?);
            left = rest;
        }
    }
    Ok(rows)
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
