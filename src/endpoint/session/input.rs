//! What happens to a session.

use std::sync::Arc;

use crate::coap::{
    ExchangeFailure, ExchangeId, FirstBlock, MessageIds, NotificationKey, Request, RequestKey,
    Response,
};
use crate::domain::{
    Doer, FirmwareId, FirmwareUpdateId, GatewayReport, NewOperation, NewUpdate, OperationId,
    ProfileChange, Progress, RegistrationId,
};
use crate::lwm2m::register::{RegisterRequest, UpdateRequest};

/// Names who waits for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(pub u64);

/// What happens to a session.
#[derive(Debug)]
pub enum Input {
    /// The device registers, for the first time or again.
    Register {
        /// What to answer.
        key: RequestKey,
        /// What it announced.
        request: Box<RegisterRequest>,
    },
    /// The device updates its registration; the location is this session's.
    Update {
        /// What to answer.
        key: RequestKey,
        /// The location that the device used.
        location: RegistrationId,
        /// What changed.
        update: Box<UpdateRequest>,
    },
    /// The device leaves.
    Deregister {
        /// What to answer.
        key: RequestKey,
        /// The location that the device used.
        location: RegistrationId,
    },
    /// The device sends values of its own accord (LwM2M Send).
    Send {
        /// What to answer.
        key: RequestKey,
        /// What it says.
        request: Box<Request>,
    },
    /// A notification with a token that was this device's when it arrived.
    Notification {
        /// What to acknowledge.
        key: NotificationKey,
        /// What it says.
        response: Response,
        /// Present when only the first block came.
        more: Option<FirstBlock>,
    },
    /// The answer to a request of ours.
    Response {
        /// Which request.
        exchange: ExchangeId,
        /// The answer.
        response: Response,
        /// What to acknowledge, when the answer came as a message of its own.
        acknowledge: Option<NotificationKey>,
        /// Message ids that were not used.
        message_ids: Option<MessageIds>,
    },
    /// No answer to a request of ours.
    Failed {
        /// Which request.
        exchange: ExchangeId,
        /// Why.
        failure: ExchangeFailure,
        /// Message ids that were not used.
        message_ids: Option<MessageIds>,
    },
    /// A blockwise exchange needs more message ids.
    MessageIdsExhausted {
        /// Which request.
        exchange: ExchangeId,
    },
    /// Something answered with a token that nobody knows, from the address of the device.
    Stray,
    /// Somebody wants something done.
    Operate {
        /// What.
        operation: Box<NewOperation>,
        /// Who waits.
        ticket: Ticket,
    },
    /// Somebody says something else of the device.
    Profile {
        /// What is changed.
        change: ProfileChange,
        /// Whom the audit log names.
        by: Option<Doer>,
        /// Who waits.
        ticket: Ticket,
    },
    /// The templates may have been changed since this session last looked at them.
    Templates {
        /// Those that are new or not what they were.
        changed: Arc<[i64]>,
    },
    /// Somebody takes an operation back.
    Cancel {
        /// Which.
        id: OperationId,
        /// Whom the audit log names.
        by: Option<Doer>,
        /// Who waits.
        ticket: Ticket,
    },
    /// Somebody wants the device to run another firmware.
    UpdateFirmware {
        /// Which.
        new: Box<NewUpdate>,
        /// Who waits.
        ticket: Ticket,
    },
    /// Somebody gives a firmware update up.
    CancelUpdate {
        /// Which.
        id: FirmwareUpdateId,
        /// Whom the audit log names.
        by: Option<Doer>,
        /// Who waits.
        ticket: Ticket,
    },
    /// The device, or something at its address, has fetched a part of an image.
    Served {
        /// Which image.
        image: FirmwareId,
        /// How far it came.
        progress: Progress,
    },
    /// The commit in front of the next request is through: see whether one can go.
    Pump,
    /// An outside gateway reports something of the device.
    Report {
        /// What.
        report: Box<GatewayReport>,
        /// Who waits.
        ticket: Ticket,
    },
    /// A deadline may have passed.
    Tick,
}
