//! What somebody asks of many devices at once.

use std::time::Duration;

use super::names::names;
use super::{BulkId, EndpointName, OperationId, OperationRequest, OperationStatus, Timestamp};

/// What is done with each of the devices.
#[derive(Clone, Debug, PartialEq)]
pub enum BulkAction {
    /// It is forgotten, with its data.
    Forget,
    /// It is asked to do this.
    Operate(Box<OperationRequest>),
    /// It is given tags, beside those that it has.
    Tag(Vec<String>),
    /// Tags are taken away from it.
    Untag(Vec<String>),
}

impl BulkAction {
    /// The name of its kind in the API; that of the operation where devices are asked something.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Forget => "forget",
            Self::Operate(request) => request.kind.name(),
            Self::Tag(_) => "tag",
            Self::Untag(_) => "untag",
        }
    }
}

/// How something that is asked of many devices stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BulkState {
    /// Somebody has taken it back, and what was taken back of it was all that could be.
    Cancelled,
    /// Somebody takes it back: what no device was sent yet is cancelled.
    Cancelling,
    /// Every device had its turn. Operations that were made may still wait for theirs.
    Finished,
    /// Devices have their turns.
    Running,
}

names!(BulkState, "state of a bulk operation", {
    Cancelled = "CANCELLED",
    Cancelling = "CANCELLING",
    Finished = "FINISHED",
    Running = "RUNNING",
});

/// How it stands with one of the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BulkItemState {
    /// An operation was made for it.
    Asked,
    /// It was taken back before its turn.
    Cancelled,
    /// It was done; there is no operation for it.
    Done,
    /// It waits for its turn.
    Pending,
    /// It was not taken.
    Refused,
}

names!(BulkItemState, "state of a device in a bulk operation", {
    Asked = "ASKED",
    Cancelled = "CANCELLED",
    Done = "DONE",
    Pending = "PENDING",
    Refused = "REFUSED",
});

/// What somebody asks of many devices at once.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkOperation {
    /// Its number; 0 before it is stored.
    pub id: BulkId,
    /// What is done with each device.
    pub action: BulkAction,
    /// Who asked: a login or `token:NAME`.
    pub requested_by: String,
    /// How it stands.
    pub state: BulkState,
    /// How many devices it is about.
    pub devices: u64,
    /// Its operations are given up after this time; none keeps them for ever.
    pub expires_in: Option<Duration>,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When every device had had its turn, or it was taken back.
    pub finished_at: Option<Timestamp>,
}

/// One of the devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkItem {
    /// Its place among them, from 0.
    pub position: u64,
    /// Its name. It may have been forgotten since.
    pub endpoint: EndpointName,
    /// How it stands.
    pub state: BulkItemState,
    /// The operation that was made for it.
    pub operation: Option<OperationId>,
    /// How that stands; nothing when it is gone with its device.
    pub status: Option<OperationStatus>,
    /// Why it was not taken, or why the operation failed.
    pub error: Option<String>,
}

/// How many devices stand how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the states of items and operations by their names"
)]
pub struct BulkCounts {
    pub pending: u64,
    pub done: u64,
    pub refused: u64,
    pub cancelled: u64,
    pub queued: u64,
    pub sending: u64,
    pub confirmed: u64,
    pub failed: u64,
    pub expired: u64,
}

impl BulkCounts {
    /// Adds so many of this state; `status` is that of the operation where there is one.
    pub fn add(&mut self, state: BulkItemState, status: Option<OperationStatus>, many: u64) {
        let place = match (state, status) {
            (BulkItemState::Pending, _) => &mut self.pending,
            (BulkItemState::Done, _) => &mut self.done,
            (BulkItemState::Refused, _) => &mut self.refused,
            (BulkItemState::Cancelled, _) => &mut self.cancelled,
            // Its device was forgotten, and the operation with it.
            (BulkItemState::Asked, None | Some(OperationStatus::Cancelled)) => &mut self.cancelled,
            (BulkItemState::Asked, Some(OperationStatus::Queued)) => &mut self.queued,
            (BulkItemState::Asked, Some(OperationStatus::Sending)) => &mut self.sending,
            (BulkItemState::Asked, Some(OperationStatus::Confirmed)) => &mut self.confirmed,
            (BulkItemState::Asked, Some(OperationStatus::Failed)) => &mut self.failed,
            (BulkItemState::Asked, Some(OperationStatus::Expired)) => &mut self.expired,
        };
        *place += many;
    }

    /// How many devices nothing more will happen with.
    pub fn over(&self) -> u64 {
        self.done + self.refused + self.cancelled + self.confirmed + self.failed + self.expired
    }
}
