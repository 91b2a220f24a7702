//! Events.

use std::collections::BTreeMap;
use std::slice;

use async_trait::async_trait;
use flownexus_entity::{endpoint, event};
use sea_orm::{ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, QueryFilter as _};

use super::place::{Found, from_place};
use super::records::{corrupt, name, text, time};
use super::resource::rows;
use super::sql::{places, statement};
use super::values::node;
use super::{EventGlance, EventQuery, EventReader, Store, StoreError, StoredEvent};
use crate::domain::{EventId, Node, Severity};

#[async_trait]
impl EventReader for Store {
    async fn search(&self, query: &EventQuery) -> Result<Found<StoredEvent>, StoreError> {
        use event::Column;
        let (place, limit) = (query.place.map(|place| place.row(|id| id.0)), query.limit);
        let select = event::Entity::find().find_also_related(endpoint::Entity);
        let mut select = from_place(select, Column::Id, place, limit);
        let is = |column: Column, is: &str| column.eq(text(is).into_owned());
        let so_bad = |least: Severity| {
            let all = Severity::ALL.into_iter();
            let bad = all.filter(|one| *one >= least).map(Severity::name);
            Column::Severity.is_in(bad)
        };
        let conditions = [
            query.endpoint.map(|id| Column::EndpointId.eq(id.0)),
            query
                .event_type
                .as_deref()
                .map(|of| is(Column::EventType, of)),
            query.rule.as_deref().map(|of| is(Column::Rule, of)),
            query.severity.map(so_bad),
            query.from.map(|from| Column::Time.gte(from.as_millis())),
            query.to.map(|to| Column::Time.lt(to.as_millis())),
        ];
        for condition in conditions.into_iter().flatten() {
            select = select.filter(condition);
        }
        let device = query.endpoint;
        self.settled(device.as_ref().map(slice::from_ref)).await?;
        self.read_tables(move |database| async move {
            let rows = select.all(&database).await?.into_iter();
            let found = rows.map(stored_event).collect::<Result<_, _>>()?;
            Ok(Found::cut(place, limit, found))
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
