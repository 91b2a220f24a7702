//! Events.

use std::collections::BTreeMap;
use std::slice;

use async_trait::async_trait;
use flownexus_entity::{endpoint, event};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::records::{corrupt, name, text, time};
use super::resource::rows;
use super::sql::{places, statement};
use super::values::node;
use super::{EventGlance, EventReader, Store, StoreError, StoredEvent};
use crate::domain::{EndpointId, EventId, Node};

#[async_trait]
impl EventReader for Store {
    async fn list(
        &self,
        endpoint: Option<EndpointId>,
        event_type: Option<&str>,
        limit: u64,
        before: Option<EventId>,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let mut query = event::Entity::find()
            .find_also_related(endpoint::Entity)
            .order_by_desc(event::Column::Id)
            .limit(limit.min(i64::MAX as u64));
        if let Some(endpoint) = endpoint {
            query = query.filter(event::Column::EndpointId.eq(endpoint.0));
        }
        if let Some(event_type) = event_type {
            query = query.filter(event::Column::EventType.eq(text(event_type).into_owned()));
        }
        if let Some(before) = before {
            query = query.filter(event::Column::Id.lt(before.0));
        }
        self.settled(endpoint.as_ref().map(slice::from_ref)).await?;
        self.read_tables(move |database| async move {
            let rows = query.all(&database).await?.into_iter();
            rows.map(stored_event).collect()
        })
        .await
    }

    async fn find(&self, id: EventId) -> Result<Option<(StoredEvent, Vec<Node>)>, StoreError> {
        self.read(move |database| async move {
            let Some(found) = event::Entity::find_by_id(id.0)
                .find_also_related(endpoint::Entity)
                .one(&database)
                .await?
            else {
                return Ok(None);
            };
            let sql = "SELECT resource_row FROM event_resource WHERE event_id = ?";
            let ids = database
                .query_all_raw(statement(&database, sql, [id.0.into()]))
                .await?
                .iter()
                .map(|row| row.try_get_by_index(0))
                .collect::<Result<Vec<i64>, _>>()?;
            let mut values = rows(&database, &ids).await?;
            values.sort_by_key(|row| row.id);
            let nodes = values.into_iter().map(node).collect::<Result<_, _>>()?;
            Ok(Some((stored_event(found)?, nodes)))
        })
        .await
    }

    async fn glance(&self, ids: Vec<EventId>, most: u64) -> Result<Vec<EventGlance>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.read(move |database| async move {
            let sql = format!(
                "SELECT event_id, resource_row, together FROM (SELECT event_id, resource_row, \
                 ROW_NUMBER() OVER (PARTITION BY event_id ORDER BY resource_row) AS place, \
                 COUNT(*) OVER (PARTITION BY event_id) AS together \
                 FROM event_resource WHERE event_id IN ({})) AS numbered WHERE place <= ?",
                places(ids.len())
            );
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            let values = ids.iter().map(|id| id.0).chain([most]);
            let found = database
                .query_all_raw(statement(&database, &sql, values.map(Into::into)))
                .await?;
            let mut events: BTreeMap<i64, (Vec<i64>, u64)> = BTreeMap::new();
            for row in found {
                let together: i64 = row.try_get_by_index(2)?;
                let event = events.entry(row.try_get_by_index(0)?).or_default();
                event.0.push(row.try_get_by_index(1)?);
                event.1 = u64::try_from(together).unwrap_or_default();
            }
            let all: Vec<i64> = events.values().flat_map(|event| event.0.clone()).collect();
            let mut nodes: BTreeMap<i64, Node> = BTreeMap::new();
            for row in rows(&database, &all).await? {
                nodes.insert(row.id, node(row)?);
            }
            let glances = events.into_iter().map(|(id, (mut first, count))| {
                first.sort_unstable();
                EventGlance {
                    id: EventId(id),
                    first: first.iter().filter_map(|row| nodes.remove(row)).collect(),
                    count,
                }
            });
            Ok(glances.collect())
        })
        .await
    }
}

fn stored_event(
    (row, endpoint): (event::Model, Option<endpoint::Model>),
) -> Result<StoredEvent, StoreError> {
    let endpoint = endpoint.ok_or_else(|| corrupt("event", "it belongs to no endpoint"))?;
    let severity = row.severity.map(|severity| severity.parse());
    Ok(StoredEvent {
        severity: severity
            .transpose()
            .map_err(|why: String| corrupt("event", why))?,
        rule: row.rule,
        message: row.message,
        id: EventId(row.id),
        endpoint: name(&endpoint.name)?,
        event_type: row.event_type,
        time: time(row.time),
    })
}
