//! Why an operation is still QUEUED: the same words in the API and on the pages.

use std::collections::HashMap;
use std::fmt;

use crate::domain::{EndpointName, Operation, OperationId, OperationStatus, Timestamp};
use crate::store::EndpointRow;

use super::ApiError;
use super::auth::Viewer;

/// What a QUEUED operation waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waits {
    /// In words.
    pub(super) what: &'static str,
    /// When that should be, where it can be told.
    pub(super) about: Option<Timestamp>,
}

impl fmt::Display for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        match self.about {
            Some(about) => write!(f, ", about {about}"),
            None => Ok(()),
        }
    }
}

/// What those of these operations wait for that are QUEUED.
///
/// # Errors
/// When the store fails.
pub(super) async fn waits(
    viewer: &Viewer,
    operations: &[Operation],
) -> Result<HashMap<OperationId, Waits>, ApiError> {
    let mut devices: HashMap<&EndpointName, Option<(EndpointRow, bool)>> = HashMap::new();
    let mut waits = HashMap::new();
    for operation in operations {
        if operation.status != OperationStatus::Queued {
            continue;
        }
        if !devices.contains_key(&operation.endpoint) {
            let device = match viewer.endpoint(&operation.endpoint).await {
                Ok(row) => {
                    let awake = viewer.awake(&row).await;
                    Some((row, awake))
                }
                // Forgotten since the operation was read.
                Err(error) if error.status() == actix_web::http::StatusCode::NOT_FOUND => None,
                Err(error) => return Err(error),
            };
            devices.insert(&operation.endpoint, device);
        }
        if let Some(Some((row, awake))) = devices.get(&operation.endpoint) {
            let reason = reason(operation, row, *awake, Timestamp::system());
            waits.insert(operation.id, reason);
        }
    }
    Ok(waits)
}

/// What an operation waits for that is QUEUED; nothing for others, and for one that is gone.
///
/// # Errors
/// When the store fails.
pub(super) async fn waits_of(viewer: &Viewer, id: OperationId) -> Result<Option<Waits>, ApiError> {
    match viewer.operation(id).await {
        Ok(operation) => Ok(waits(viewer, &[operation]).await?.remove(&id)),
        Err(error) if error.status() == actix_web::http::StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error),
    }
}

fn reason(operation: &Operation, row: &EndpointRow, awake: bool, now: Timestamp) -> Waits {
    let (what, about) = if row.through_gateway().is_some() {
        (THROUGH_GATEWAY, None)
    } else if row.registration.is_none() {
        (NOT_REGISTERED, None)
    } else if !awake {
        (
            "the device's next wake",
            row.next_wake(now).map(|wake| wake.at),
        )
    } else if operation.attempts > 0 {
        (
            "a message of the device, which did not answer the last attempt",
            None,
        )
    } else {
        ("its turn: a device is asked one thing at a time", None)
    };
    Waits { what, about }
}

/// Nothing goes through a gateway.
const THROUGH_GATEWAY: &str = "the device to register here: it is registered through a gateway, and \
                               nothing can be sent to it from here";
const NOT_REGISTERED: &str = "the device to register";
