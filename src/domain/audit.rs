//! The audit log: who did what.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::command::Operation;
use super::firmware::{FirmwareImage, FirmwareUpdate, UpdateMethod};
use super::ids::EndpointName;
use super::record::Profile;
use super::rollout::Rollout;
use super::time::Timestamp;

/// Who does something, as the audit log names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doer {
    /// A login or `token:NAME`, or [`COMMAND_LINE`](Doer::COMMAND_LINE).
    pub actor: String,
    /// From which address; empty for the command line, and for what the server goes on with later.
    pub remote: String,
}

impl Doer {
    /// The actor of what is done at the command line of the server's machine.
    pub const COMMAND_LINE: &str = "cli";

    /// Somebody at the command line of the server's machine.
    pub fn command_line() -> Self {
        Self::from_nowhere(Self::COMMAND_LINE)
    }

    /// Somebody who is at no address now.
    pub fn from_nowhere(actor: &str) -> Self {
        Self {
            actor: actor.to_owned(),
            remote: String::new(),
        }
    }

    /// A line of now about what this one does.
    pub fn line(self, action: &str, subject: &str, detail: impl Into<String>) -> AuditEntry {
        AuditEntry::new(self, Timestamp::system(), action, subject, detail.into())
    }
}

/// A line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its row; 0 before it is stored.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// Who: a login or `token:NAME`.
    pub actor: String,
    /// From which address.
    pub remote: String,
    /// What was done, for example `endpoint.delete`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// Anything else worth knowing, no secrets.
    pub detail: String,
}

impl AuditEntry {
    /// A line that is not stored yet.
    pub fn new(by: Doer, at: Timestamp, action: &str, subject: &str, detail: String) -> Self {
        Self {
            id: 0,
            at,
            actor: by.actor,
            remote: by.remote,
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail,
        }
    }

    /// Somebody wants something done.
    pub fn operation_created(by: Doer, operation: &Operation) -> Self {
        let request = &operation.request;
        let mut detail = format!("operation {}: {}", operation.id, request.kind);
        for path in &request.paths {
            detail.push(' ');
            detail.push_str(&path.to_string());
        }
        let subject = operation.endpoint.as_str();
        Self::new(
            by,
            operation.created_at,
            "operation.create",
            subject,
            detail,
        )
    }

    /// Somebody has taken an operation back.
    pub fn operation_cancelled(by: Doer, at: Timestamp, operation: &Operation) -> Self {
        let detail = format!("operation {}", operation.id);
        let subject = operation.endpoint.as_str();
        Self::new(by, at, "operation.cancel", subject, detail)
    }

    /// Somebody wants a device to run another firmware.
    pub fn update_created(by: Doer, update: &FirmwareUpdate, image: &FirmwareImage) -> Self {
        let way = update
            .method
            .map_or("as the device can", UpdateMethod::name);
        let detail = format!(
            "update {}: {} (image {}), {way}",
            update.id, image.version, image.id
        );
        let subject = update.endpoint.as_str();
        Self::new(
            by,
            update.created_at,
            "firmware_update.create",
            subject,
            detail,
        )
    }

    /// Somebody gives a firmware update up.
    pub fn update_cancelled(by: Doer, at: Timestamp, update: &FirmwareUpdate) -> Self {
        let detail = format!("update {}: {}", update.id, update.version);
        let subject = update.endpoint.as_str();
        Self::new(by, at, "firmware_update.cancel", subject, detail)
    }

    /// Somebody makes, steers or removes a rollout.
    pub fn of_rollout(
        by: Doer,
        at: Timestamp,
        action: &str,
        rollout: &Rollout,
        what: &str,
    ) -> Self {
        let detail = format!("rollout {}: {what}", rollout.id);
        Self::new(by, at, action, &rollout.spec.name, detail)
    }

    /// Somebody says something else of a device: this, now.
    pub fn endpoint_updated(
        by: Doer,
        at: Timestamp,
        endpoint: &EndpointName,
        profile: &Profile,
    ) -> Self {
        let seconds = |time: Option<Duration>| {
            time.map_or_else(|| "none".to_owned(), |time| format!("{} s", time.as_secs()))
        };
        let detail = format!(
            "tags {}, awake window {}, eDRX cycle {}",
            profile.tags.join(" "),
            seconds(profile.awake),
            seconds(profile.edrx_cycle)
        );
        Self::new(by, at, "endpoint.update", endpoint.as_str(), detail)
    }
}
