//! What a restart needs.

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use flownexus_entity::{
    endpoint, endpoint_operation, observation, registration, server_state, stored_answer,
    wanted_observation,
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseConnection, DatabaseTransaction,
    EntityTrait as _, QueryFilter as _, QueryOrder as _,
};

use super::open::statement;
use super::records::{self, corrupt};
use super::sequence::save;
use super::{FleetLoader, KnownEndpoint, Store, StoreError, StoredEndpoint, StoredFleet, rule};
use crate::domain::{
    EndpointId, EndpointName, GatewayState, Observation, OperationStatus, Timestamp, Wanted,
};

/// The key in `server_state` of the last sign of life.
const HEARTBEAT: &str = "heartbeat";

/// That of their number.
pub(super) const BEATS: &str = "heartbeats";

#[async_trait]
impl FleetLoader for Store {
    async fn load(&self, grace: Duration) -> Result<StoredFleet, StoreError> {
        let now = Timestamp::system();
        let downtime = self
            .write(move |transaction| Box::pin(forgive_downtime(transaction, now, grace)))
            .await?;
        self.read(move |database| async move { load(&database, now, downtime).await })
            .await
    }

    async fn load_endpoint(&self, endpoint_id: EndpointId) -> Result<StoredEndpoint, StoreError> {
        self.read(move |database| async move { load_endpoint(&database, endpoint_id).await })
            .await
    }

    async fn load_gateway(&self, endpoint_id: EndpointId) -> Result<GatewayState, StoreError> {
        self.read(move |database| async move {
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
/// the same, and returns the downtime.
async fn forgive_downtime(
    transaction: &DatabaseTransaction,
    now: Timestamp,
    grace: Duration,
) -> Result<Duration, StoreError> {
    let heartbeat = server_state::Entity::find_by_id(HEARTBEAT.to_owned())
        .one(transaction)
        .await?;
    let downtime = heartbeat.map_or(Duration::ZERO, |row| now.since(records::time(row.value)));
    let more = i64::try_from(downtime.saturating_add(grace).as_millis()).unwrap_or(i64::MAX);
    let latest = Timestamp::MAX.as_millis();
    let sql = "UPDATE registration SET expires_at = \
        CASE WHEN expires_at > ? THEN ? ELSE expires_at + ? END";
    let values = [
        latest.saturating_sub(more).into(),
        latest.into(),
        more.into(),
    ];
    transaction
        .execute_raw(statement(transaction, sql, values))
        .await?;
    rule::remove_void_states(transaction).await?;
    let sql = "UPDATE rule_state SET clock_at = clock_at + ? WHERE clock_at <= ?";
    let values = [more.into(), latest.saturating_sub(more).into()];
    transaction
        .execute_raw(statement(transaction, sql, values))
        .await?;
    save(transaction, HEARTBEAT.to_owned(), now.as_millis()).await?;
    Ok(downtime)
}

async fn load(
    database: &DatabaseConnection,
    now: Timestamp,
    downtime: Duration,
) -> Result<StoredFleet, StoreError> {
    let mut endpoints = Vec::new();
    for row in endpoint::Entity::find()
        .order_by_asc(endpoint::Column::Id)
        .all(database)
        .await?
    {
        endpoints.push(known(row)?);
    }
    // Names are looked up here: a join would send each of them again with every row.
    let names: HashMap<i64, EndpointName> = endpoints
        .iter()
        .map(|endpoint| (endpoint.id.0, endpoint.name.clone()))
        .collect();
    let name = |what: &'static str, id: i64| {
        names
            .get(&id)
            .cloned()
            .ok_or_else(|| corrupt(what, format!("endpoint {id} is missing")))
    };

    let mut registrations = Vec::new();
    for row in registration::Entity::find().all(database).await? {
        let name = name("registration", row.endpoint_id)?;
        registrations.push(records::registration(row, name)?);
    }
    let mut observations = Vec::new();
    for row in observation::Entity::find()
        .order_by_asc(observation::Column::Id)
        .all(database)
        .await?
    {
        observations.push(records::observation(row)?);
    }
    let mut wanted = Vec::new();
    for row in wanted_observation::Entity::find()
        .order_by_asc(wanted_observation::Column::Id)
        .all(database)
        .await?
    {
        wanted.push(records::wanted(row)?);
    }
    let mut operations = Vec::new();
    for row in pending_operations().all(database).await? {
        let name = name("operation", row.endpoint_id)?;
        operations.push(records::operation(row, name)?);
    }
    let rule_states = rule::states(database, None).await?;
    let mut answers = Vec::new();
    for row in stored_answer::Entity::find()
        .filter(stored_answer::Column::ExpiresAt.gt(now.as_millis()))
        .all(database)
        .await?
    {
        answers.push(records::answer(row)?);
    }
    Ok(StoredFleet {
        registrations,
        observations,
        operations,
        rule_states,
        wanted,
        answers,
        endpoints,
        downtime,
    })
}

async fn load_endpoint(
    database: &DatabaseConnection,
    id: EndpointId,
) -> Result<StoredEndpoint, StoreError> {
    let Some(row) = endpoint::Entity::find_by_id(id.0).one(database).await? else {
        return Ok(StoredEndpoint::default());
    };
    let KnownEndpoint {
        name,
        profile,
        learned,
        periods,
        ..
    } = known(row)?;
    let registration = registration::Entity::find_by_id(id.0)
        .one(database)
        .await?
        .map(|row| records::registration(row, name.clone()))
        .transpose()?;
    let observations = observations(database, id).await?;
    let wanted = wanted(database, id).await?;
    let operations = pending_operations()
        .filter(endpoint_operation::Column::EndpointId.eq(id.0))
        .all(database)
        .await?
        .into_iter()
        .map(|row| records::operation(row, name.clone()))
        .collect::<Result<_, _>>()?;
    Ok(StoredEndpoint {
        profile,
        learned,
        registration,
        observations,
        operations,
        rule_states: rule::states(database, Some(id)).await?,
        wanted,
        periods,
    })
}

fn known(row: endpoint::Model) -> Result<KnownEndpoint, StoreError> {
    Ok(KnownEndpoint {
        id: EndpointId(row.id),
        name: records::name(&row.name)?,
        profile: records::profile(&row)?,
        learned: records::learned(row.learned.as_deref()),
        periods: records::from_json("endpoint", &row.periods)?,
    })
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
