//! What a restart needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use async_trait::async_trait;
use flownexus_entity::{
    endpoint, endpoint_operation, observation, registration, server_state, stored_answer,
    wanted_observation,
};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, DbBackend,
    EntityTrait as _, QueryFilter as _, QueryOrder as _, QueryResult,
};

use super::open::statement;
use super::records::{self, corrupt};
use super::sequence::save;
use super::{FleetLoader, Store, StoreError, StoredEndpoint, StoredFleet, StoredRoute, rule};
use crate::domain::{
    EndpointId, GatewayState, Observation, OperationStatus, RegistrationId, Timestamp, Token,
    Wanted,
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

    async fn load_endpoints(
        &self,
        ids: Vec<EndpointId>,
    ) -> Result<Vec<(EndpointId, StoredEndpoint)>, StoreError> {
        let devices = ids.clone();
        self.read_devices(&devices, move |database| async move {
            let mut all = Vec::with_capacity(ids.len());
            for part in ids.chunks(LOADED_AT_ONCE) {
                all.extend(load_endpoints(&database, part).await?);
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
    let mut fleet = StoredFleet {
        downtime,
        ..StoredFleet::default()
    };
    let mut busy = BTreeSet::new();
    routes(database, &mut fleet, &mut busy).await?;
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
    let sql = "SELECT DISTINCT endpoint_id FROM rule_state WHERE clock_at IS NOT NULL";
    busy.extend(ids(database, sql, []).await?);
    for part in asked.chunks(LOADED_AT_ONCE) {
        fleet.asked.extend(load_endpoints(database, part).await?);
    }
    fleet.busy.extend(busy);
    for row in stored_answer::Entity::find()
        .filter(stored_answer::Column::ExpiresAt.gt(now.as_millis()))
        .all(database)
        .await?
    {
        fleet.answers.push(records::answer(row)?);
    }
    Ok(fleet)
}

/// Names, locations, addresses and tokens of all devices. There may be a million, and a row costs more on its
/// way here than in the database: so the database puts many devices into one.
async fn routes(
    database: &DatabaseConnection,
    fleet: &mut StoredFleet,
    busy: &mut BTreeSet<EndpointId>,
) -> Result<(), StoreError> {
    let (hex, list, char) = match database.get_database_backend() {
        DbBackend::Postgres => ("encode(token, 'hex')", "string_agg", "chr"),
        _ => ("hex(token)", "group_concat", "char"),
    };
    let field = format!("|| {char}({}) ||", u32::from(FIELD));
    let sql = format!(
        "SELECT {list}(endpoint.id {field} endpoint.name {field} \
        coalesce(registration.location, '') {field} coalesce(registration.transport, '') {field} \
        coalesce(registration.address, '') {field} \
        CASE WHEN registration.queue_mode THEN 'Q' ELSE '' END {field} \
        coalesce(registration.expires_at, 0) {field} coalesce((\
        SELECT {list}({hex} || CASE WHEN staged IS NULL THEN '' ELSE '{STAGED}' END, ',') \
        FROM observation WHERE endpoint_id = endpoint.id), ''), {char}({})) \
        FROM endpoint LEFT JOIN registration ON registration.endpoint_id = endpoint.id \
        WHERE endpoint.id > ? AND endpoint.id <= ? GROUP BY endpoint.id / {TOGETHER}",
        u32::from(DEVICE)
    );
    let newest = "SELECT coalesce(max(id), 0) FROM endpoint";
    let newest = ids(database, newest, []).await?;
    let newest = newest.first().map_or(0, |id| id.0);
    let mut after = 0;
    while after < newest {
        let until = after.saturating_add(PAGE);
        let range = [after.into(), until.into()];
        for row in database
            .query_all_raw(statement(database, &sql, range))
            .await?
        {
            let all: String = row.try_get_by_index(0)?;
            for device in all.split(DEVICE) {
                route(device, fleet, busy)?;
            }
        }
        after = until;
    }
    Ok(())
}

/// Takes over one device of [`routes`].
fn route(
    device: &str,
    fleet: &mut StoredFleet,
    busy: &mut BTreeSet<EndpointId>,
) -> Result<(), StoreError> {
    const WHAT: &str = "registration";
    let mut fields = device.split(FIELD);
    let mut next = || {
        fields
            .next()
            .ok_or_else(|| corrupt(WHAT, "a field is missing"))
    };
    let id = EndpointId(records::parse(WHAT, next()?)?);
    let name = records::name(next()?)?;
    fleet.endpoints.push((id, name));
    let (location, transport, address) = (next()?, next()?, next()?);
    let (queue_mode, expires_at, tokens) = (next()?, next()?, next()?);
    if location.is_empty() {
        return Ok(());
    }
    if tokens.contains(STAGED) {
        busy.insert(id);
    }
    let token = |hex: &str| -> Result<Token, StoreError> {
        let hex = hex.trim_end_matches(STAGED);
        let bytes = hex::decode(hex).map_err(|error| corrupt("observation", error))?;
        records::token("observation", &bytes)
    };
    let tokens = tokens.split(',').filter(|hex| !hex.is_empty());
    fleet.registered.push(StoredRoute {
        endpoint_id: id,
        location: RegistrationId::from_text(location),
        peer: records::peer(WHAT, transport, address)?,
        queue_mode: !queue_mode.is_empty(),
        expires_at: records::time(records::parse(WHAT, expires_at)?),
        tokens: tokens.map(token).collect::<Result<_, _>>()?,
    });
    Ok(())
}

async fn ids(
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
/// Behind a token whose observation has the first block of a notification.
const STAGED: char = '!';
/// Between the fields of a device, and between devices: neither is in any name, location or address.
const FIELD: char = '\u{1f}';
const DEVICE: char = '\u{1e}';
/// So many devices are in one row…
const TOGETHER: i64 = 500;
/// …and so many in memory at a time.
const PAGE: i64 = 20_000;

async fn load_endpoints(
    database: &DatabaseConnection,
    ids: &[EndpointId],
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
            stored.registration = Some(records::registration(row, name)?);
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
    for state in rule::states(database, ids).await? {
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
