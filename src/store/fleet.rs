//! What a restart needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use flownexus_entity::{
    endpoint, endpoint_operation, observation, registration, server_state, wanted_observation,
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseConnection, DatabaseTransaction,
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QueryResult,
};

use super::firmware_update;
use super::forgiven::Forgiven;
use super::records::{self, corrupt};
use super::sequence::save;
use super::sql::statement;
use super::{
    FleetLoader, Loaded, Store, StoreError, StoredEndpoint, StoredFleet, proof, routes, rule,
};
use crate::domain::{EndpointId, GatewayState, Observation, OperationStatus, Timestamp, Wanted};

/// The key in `server_state` of the last sign of life.
const HEARTBEAT: &str = "heartbeat";

/// That of their number.
pub(super) const BEATS: &str = "heartbeats";

#[async_trait]
impl FleetLoader for Store {
    async fn load(&self, grace: Duration) -> Result<StoredFleet, StoreError> {
        let now = Timestamp::system();
        let (downtime, forgiven) = self
            .write(move |transaction| Box::pin(forgive_downtime(transaction, now, grace)))
            .await?;
        self.forgiven().is(forgiven);
        self.read(move |database| async move {
            let mut fleet = load(&database, now, forgiven).await?;
            fleet.downtime = downtime;
            Ok(fleet)
        })
        .await
    }

    async fn load_endpoints(&self, ids: Vec<EndpointId>) -> Result<Vec<Loaded>, StoreError> {
        let devices = ids.clone();
        let forgiven = self.forgiven().now();
        self.read_devices(&devices, move |database| async move {
            let mut all = Vec::with_capacity(ids.len());
            for part in ids.chunks(LOADED_AT_ONCE) {
                all.extend(load_each(&database, part, forgiven).await?);
            }
            Ok(all)
        })
        .await
    }

    async fn load_gateway(&self, endpoint_id: EndpointId) -> Result<GatewayState, StoreError> {
        self.read_devices(&[endpoint_id], move |database| async move {
            let row = endpoint::Entity::find_by_id(endpoint_id.0)
                .one(&database)
                .await?;
            row.as_ref()
                .map_or_else(|| Ok(GatewayState::default()), records::gateway)
        })
        .await
    }

    async fn heartbeat(&self, at: Timestamp) -> Result<i64, StoreError> {
        self.write(move |transaction| Box::pin(beat(transaction, at)))
            .await
    }
}

async fn beat(transaction: &DatabaseTransaction, at: Timestamp) -> Result<i64, StoreError> {
    let before = server_state::Entity::find_by_id(BEATS.to_owned())
        .one(transaction)
        .await?;
    let beats = before.map_or(0, |row| row.value).saturating_add(1);
    save(transaction, BEATS.to_owned(), beats).await?;
    save(transaction, HEARTBEAT.to_owned(), at.as_millis()).await?;
    Ok(beats)
}

/// Lets every registration live longer by the downtime and `grace`, sets the clocks of rules on by
/// the same, and returns the downtime and what was forgiven altogether.
async fn forgive_downtime(
    transaction: &DatabaseTransaction,
    now: Timestamp,
    grace: Duration,
) -> Result<(Duration, Forgiven), StoreError> {
    let heartbeat = server_state::Entity::find_by_id(HEARTBEAT.to_owned())
        .one(transaction)
        .await?;
    let downtime = heartbeat.map_or(Duration::ZERO, |row| now.since(records::time(row.value)));
    let forgiven = Forgiven::add(transaction, downtime.saturating_add(grace)).await?;
    rule::remove_void_states(transaction).await?;
    save(transaction, HEARTBEAT.to_owned(), now.as_millis()).await?;
    Ok((downtime, forgiven))
}

async fn load(
    database: &DatabaseConnection,
    now: Timestamp,
    forgiven: Forgiven,
) -> Result<StoredFleet, StoreError> {
    let mut fleet = StoredFleet::default();
    let answers = routes::answers(database, now);
    let routes = routes::read(database, forgiven, &mut fleet);
    let (answers, ()) = tokio::try_join!(answers, routes)?;
    fleet.answers = answers;
    for (id, at) in proof::offers_taken(database).await? {
        if let Ok(found) = fleet
            .registered
            .binary_search_by_key(&id, |route| route.endpoint_id)
            && let Some(route) = fleet.registered.get_mut(found)
        {
            route.proven_at = route.proven_at.max(Some(at));
        }
    }
    // Those that have the first block of a notification.
    let sql = "SELECT DISTINCT endpoint_id FROM observation WHERE staged IS NOT NULL";
    let mut busy: BTreeSet<EndpointId> = ids(database, sql, []).await?.into_iter().collect();
    let mut asked = Vec::new();
    let pending = OperationStatus::ALL.iter().filter(|one| !one.is_final());
    for status in pending {
        let sql = "SELECT DISTINCT endpoint_id FROM endpoint_operation WHERE status = ?";
        let ids = ids(database, sql, [status.name().into()]).await?;
        if *status == OperationStatus::Sending {
            asked.extend(ids.iter().copied());
        }
        busy.extend(ids);
    }
    let sql = "SELECT endpoint_id FROM firmware_update WHERE result = 'DEFAULT'";
    busy.extend(ids(database, sql, []).await?);
    let sql = "SELECT DISTINCT endpoint_id FROM rule_state WHERE clock_at IS NOT NULL";
    busy.extend(ids(database, sql, []).await?);
    for part in asked.chunks(LOADED_AT_ONCE) {
        for (id, stored) in load_each(database, part, forgiven).await? {
            match stored {
                Ok(stored) => fleet.asked.push((id, stored)),
                // It is among the busy ones too, so it is tried again.
                Err(error) => {
                    tracing::error!(%error, "Device {id} cannot be read at the start: {error}");
                }
            }
        }
    }
    fleet.busy.extend(busy);
    Ok(fleet)
}

/// What each of these devices needs to go on: one that cannot be read must not keep the others from theirs.
async fn load_each(
    database: &DatabaseConnection,
    ids: &[EndpointId],
    forgiven: Forgiven,
) -> Result<Vec<Loaded>, StoreError> {
    match load_endpoints(database, ids, forgiven).await {
        Ok(loaded) => {
            let each = loaded.into_iter().map(|(id, stored)| (id, Ok(stored)));
            return Ok(each.collect());
        }
        Err(StoreError::Corrupt { .. }) => {}
        Err(error) => return Err(error),
    }
    let mut each = Vec::with_capacity(ids.len());
    for id in ids {
        match load_endpoints(database, std::slice::from_ref(id), forgiven).await {
            Ok(one) => each.extend(one.into_iter().map(|(id, stored)| (id, Ok(stored)))),
            Err(error @ StoreError::Corrupt { .. }) => each.push((*id, Err(error))),
            Err(error) => return Err(error),
        }
    }
    Ok(each)
}

pub(super) async fn ids(
    database: &DatabaseConnection,
    sql: &str,
    values: impl IntoIterator<Item = sea_orm::Value>,
) -> Result<Vec<EndpointId>, StoreError> {
    let rows = database
        .query_all_raw(statement(database, sql, values))
        .await?;
    let id = |row: &QueryResult| Ok(EndpointId(row.try_get_by_index(0)?));
    rows.iter().map(id).collect()
}

/// So many devices are read in one set of queries; SQLite takes 32,766 variables.
const LOADED_AT_ONCE: usize = 500;

async fn load_endpoints(
    database: &DatabaseConnection,
    ids: &[EndpointId],
    forgiven: Forgiven,
) -> Result<Vec<(EndpointId, StoredEndpoint)>, StoreError> {
    let keys = || ids.iter().map(|id| id.0);
    let mut names = HashMap::new();
    let mut all: BTreeMap<EndpointId, StoredEndpoint> = BTreeMap::new();
    for row in endpoint::Entity::find()
        .filter(endpoint::Column::Id.is_in(keys()))
        .all(database)
        .await?
    {
        names.insert(row.id, records::name(&row.name)?);
        let stored = StoredEndpoint {
            profile: records::profile(&row)?,
            learned: records::learned(row.learned.as_deref()),
            periods: records::from_json("endpoint", &row.periods)?,
            ..StoredEndpoint::default()
        };
        all.insert(EndpointId(row.id), stored);
    }
    let name = |what: &'static str, id: i64| {
        names
            .get(&id)
            .cloned()
            .ok_or_else(|| corrupt(what, format!("endpoint {id} is missing")))
    };
    for row in registration::Entity::find()
        .filter(registration::Column::EndpointId.is_in(keys()))
        .all(database)
        .await?
    {
        let name = name("registration", row.endpoint_id)?;
        if let Some(stored) = all.get_mut(&EndpointId(row.endpoint_id)) {
            stored.registration = Some(records::registration(row, name, forgiven)?);
        }
    }
    for row in observation::Entity::find()
        .filter(observation::Column::EndpointId.is_in(keys()))
        .order_by_asc(observation::Column::Id)
        .all(database)
        .await?
    {
        if let Some(stored) = all.get_mut(&EndpointId(row.endpoint_id)) {
            stored.observations.push(records::observation(row)?);
        }
    }
    for row in wanted_observation::Entity::find()
        .filter(wanted_observation::Column::EndpointId.is_in(keys()))
        .order_by_asc(wanted_observation::Column::Id)
        .all(database)
        .await?
    {
        if let Some(stored) = all.get_mut(&EndpointId(row.endpoint_id)) {
            stored.wanted.push(records::wanted(row)?);
        }
    }
    for row in pending_operations()
        .filter(endpoint_operation::Column::EndpointId.is_in(keys()))
        .all(database)
        .await?
    {
        let name = name("operation", row.endpoint_id)?;
        if let Some(stored) = all.get_mut(&EndpointId(row.endpoint_id)) {
            stored.operations.push(records::operation(row, name)?);
        }
    }
    for update in firmware_update::active_of(database, keys()).await? {
        if let Some(stored) = all.get_mut(&update.endpoint_id) {
            stored.update = Some(update);
        }
    }
    for state in rule::states(database, ids, forgiven).await? {
        if let Some(stored) = all.get_mut(&state.endpoint_id) {
            stored.rule_states.push(state);
        }
    }
    Ok(all.into_iter().collect())
}

/// The observations of a device, oldest first.
pub(super) async fn observations(
    database: &DatabaseConnection,
    id: EndpointId,
) -> Result<Vec<Observation>, StoreError> {
    observation::Entity::find()
        .filter(observation::Column::EndpointId.eq(id.0))
        .order_by_asc(observation::Column::Id)
        .all(database)
        .await?
        .into_iter()
        .map(records::observation)
        .collect()
}

/// What is wanted to be observed on a device, oldest first.
pub(super) async fn wanted(
    database: &DatabaseConnection,
    id: EndpointId,
) -> Result<Vec<Wanted>, StoreError> {
    wanted_observation::Entity::find()
        .filter(wanted_observation::Column::EndpointId.eq(id.0))
        .order_by_asc(wanted_observation::Column::Id)
        .all(database)
        .await?
        .into_iter()
        .map(records::wanted)
        .collect()
}

/// Operations that are not final, oldest first.
fn pending_operations() -> sea_orm::Select<endpoint_operation::Entity> {
    let pending = OperationStatus::ALL
        .into_iter()
        .filter(|status| !status.is_final())
        .map(OperationStatus::name);
    endpoint_operation::Entity::find()
        .filter(endpoint_operation::Column::Status.is_in(pending))
        .order_by_asc(endpoint_operation::Column::Id)
}
