//! Which addresses of devices had shown that they receive what is sent to them, for the limit of what others get
//! (RFC 9175 section 2.4): so that a restart does not take it away from devices that are in the middle of something.
//!
//! Nothing is written for it. An Update came from the stored address and knew its location, which is random and was
//! sent there; so did whoever took the offer of an image, with the token of the request. Both are stored with their
//! time. It counts only for addresses to which nobody was followed without a proof: see [`Store::addresses_sure_since`].

use flownexus_entity::server_state;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DatabaseTransaction, EntityTrait as _};

use super::records::{from_json, time};
use super::sequence::save;
use super::sql::statement;
use super::{Store, StoreError, StoredFleet};
use crate::domain::{EndpointId, FirmwareUpdate, Timestamp, UpdatePhase};

impl Store {
    /// Since when each address of a registration is one that its device has registered from or has proven. `are_sure`:
    /// whether that is so from now on, as devices are not followed on their word (`registration.follow_addresses`,
    /// `registration.update_on_send`); to be told at each start. Nothing: it is not.
    ///
    /// # Errors
    /// The database fails.
    pub async fn addresses_sure_since(
        &self,
        now: Timestamp,
        are_sure: bool,
    ) -> Result<Option<Timestamp>, StoreError> {
        self.write(move |transaction| Box::pin(sure_since(transaction, now, are_sure)))
            .await
    }
}

impl StoredFleet {
    /// Forgets the proofs of before this moment, and those of a clock that was ahead.
    pub fn keep_proofs(&mut self, sure_since: Option<Timestamp>, now: Timestamp) {
        let counts = |at: &Timestamp| sure_since.is_some_and(|since| since < *at) && *at <= now;
        for route in &mut self.registered {
            route.proven_at = route.proven_at.filter(counts);
        }
    }
}

async fn sure_since(
    transaction: &DatabaseTransaction,
    now: Timestamp,
    are_sure: bool,
) -> Result<Option<Timestamp>, StoreError> {
    let row = server_state::Entity::find_by_id(SURE_SINCE.to_owned())
        .one(transaction)
        .await?;
    let known = row.map(|row| row.value).filter(|since| *since != NEVER);
    let since = match known {
        Some(since) if are_sure => return Ok(Some(time(since))),
        // A database of before, or one of a server that followed devices: what is stored is not sure.
        None if are_sure => now.as_millis(),
        _ => NEVER,
    };
    save(transaction, SURE_SINCE.to_owned(), since).await?;
    Ok(are_sure.then_some(now))
}

/// When the devices whose update is not over took the offer of an image, in the registration that they have; nothing
/// where they have not, or are past the download.
pub(super) async fn offers_taken(
    database: &DatabaseConnection,
) -> Result<Vec<(EndpointId, Timestamp)>, StoreError> {
    let sql = "SELECT firmware_update.endpoint_id, registration.registered_at, firmware_update.detail \
        FROM firmware_update JOIN registration ON registration.endpoint_id = firmware_update.endpoint_id \
        WHERE firmware_update.result = 'DEFAULT'";
    let rows = database.query_all_raw(statement(database, sql, [])).await?;
    let mut taken = Vec::new();
    for row in rows {
        let id = EndpointId(row.try_get_by_index(0)?);
        let registered_at = time(row.try_get_by_index(1)?);
        let detail: String = row.try_get_by_index(2)?;
        // One that cannot be read is told of when its device is loaded.
        let Ok(update) = from_json::<FirmwareUpdate>("firmware update", &detail) else {
            continue;
        };
        // The answer came later than that.
        let offered_at = update
            .offered_at
            .filter(|at| update.phase == UpdatePhase::Download && registered_at < *at);
        taken.extend(offered_at.map(|at| (id, at)));
    }
    Ok(taken)
}

/// The key in `server_state` of [`Store::addresses_sure_since`], in epoch milliseconds.
const SURE_SINCE: &str = "addresses_sure_since";
/// Its value while they are not.
const NEVER: i64 = i64::MAX;
