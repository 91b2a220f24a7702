//! What the registry sends to an endpoint's actor.

use std::sync::{Arc, mpsc};

use actix::Message;
use tokio::sync::oneshot;

use super::session::Input;
use crate::coap::NotificationKey;
use crate::domain::{
    Doer, FirmwareUpdate, FirmwareUpdateId, GatewayReport, NewOperation, NewUpdate, Operation,
    OperationId, Profile, ProfileChange,
};
use crate::registry::OperateError;

/// Something arrived for the device.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Deliver {
    /// What.
    pub input: Input,
    /// Lets the device try again when this message is lost.
    pub guard: Guard,
}

impl Deliver {
    /// A message whose loss is told to `lost`.
    pub fn new(input: Input, lost: &mpsc::Sender<Lost>) -> Self {
        let arrival = match &input {
            Input::Register { key, .. }
            | Input::Update { key, .. }
            | Input::Deregister { key, .. }
            | Input::Send { key, .. } => Some(Lost(key.message())),
            Input::Notification { key, .. }
            | Input::Response {
                acknowledge: Some(key),
                ..
            } => Some(Lost(*key)),
            _ => None,
        };
        Self {
            input,
            guard: Guard {
                arrival,
                lost: lost.clone(),
            },
        }
    }
}

/// An arrival that nobody took care of, a request or not. The message layer forgets it, so that the device's
/// copy counts as new: see [`Wire::ignore`](super::Wire::ignore).
#[derive(Clone, Copy, Debug)]
pub struct Lost(pub NotificationKey);

/// As long as it lives, nobody has taken care of what arrived. Dropped with its message (a full
/// mailbox, an actor that stops or panics), it says so.
#[derive(Debug)]
pub struct Guard {
    arrival: Option<Lost>,
    lost: mpsc::Sender<Lost>,
}

impl Guard {
    /// The session has taken it.
    pub fn taken(mut self) {
        self.arrival = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(arrival) = self.arrival.take() {
            // Without a registry there is no message layer either.
            let _ = self.lost.send(arrival);
        }
    }
}

/// Somebody wants something done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Operate {
    /// What.
    pub operation: NewOperation,
    /// Told when it is stored, or why it was not taken.
    pub accepted: oneshot::Sender<Result<Operation, OperateError>>,
    /// Told its final status, if somebody waits for that.
    pub finished: Option<oneshot::Sender<Operation>>,
}

/// Somebody waits for the end of an operation. Where it has ended before, nobody is told.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AwaitEnd {
    /// Which one.
    pub id: OperationId,
    /// Told its final status.
    pub finished: oneshot::Sender<Operation>,
}

/// Somebody says something else of the device.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ChangeProfile {
    /// What is changed.
    pub change: ProfileChange,
    /// Whom the audit log names.
    pub by: Option<Doer>,
    /// Told the whole profile once it is stored.
    pub answer: oneshot::Sender<Result<Profile, OperateError>>,
}

/// The observation templates may have been changed since the device's actor last looked at them.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct LookAtTemplates {
    /// Those that are new or not what they were.
    pub changed: Arc<[i64]>,
}

/// There are more actors than there shall be: the device's actor rests now, unless something came for it since it
/// was last looked at, or it is needed.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct MakeRoom;

/// Somebody takes an operation back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Cancel {
    /// Which.
    pub id: OperationId,
    /// Whom the audit log names.
    pub by: Option<Doer>,
    /// Told how it ended.
    pub answer: oneshot::Sender<Result<Operation, OperateError>>,
}

/// Somebody wants the device to run another firmware.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct UpdateFirmware {
    /// Which.
    pub new: Box<NewUpdate>,
    /// Told the update once it is stored, or why it was not begun.
    pub answer: oneshot::Sender<Result<FirmwareUpdate, OperateError>>,
}

/// Somebody gives a firmware update up.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CancelUpdate {
    /// Which.
    pub id: FirmwareUpdateId,
    /// Whom the audit log names.
    pub by: Option<Doer>,
    /// Told the update as it is then.
    pub answer: oneshot::Sender<Result<FirmwareUpdate, OperateError>>,
}

/// The device is forgotten: the actor ends as soon as its commits are through.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Forget {
    /// Dropped with the actor.
    pub done: oneshot::Sender<()>,
}

/// Why a report of a gateway was not stored.
#[derive(Debug)]
pub enum NotTaken {
    /// The actor ended before it looked at it: another may be asked.
    Unread(Box<GatewayReport>),
    /// The actor took it, and the store failed.
    NotStored,
}

/// How a [`Report`] went, told to who sent it.
pub(super) type Taken = oneshot::Sender<Result<(), NotTaken>>;

/// An outside gateway reports something of the device. Dropped unread, with its mailbox, it goes
/// back to who sent it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Report {
    report: Option<Box<GatewayReport>>,
    answer: Option<oneshot::Sender<Result<(), NotTaken>>>,
}

impl Report {
    /// A report, and what tells how it went.
    pub fn new(report: Box<GatewayReport>) -> (Self, oneshot::Receiver<Result<(), NotTaken>>) {
        let (answer, is_answered) = oneshot::channel();
        let message = Self {
            report: Some(report),
            answer: Some(answer),
        };
        (message, is_answered)
    }

    /// Takes it: from here on nobody else may.
    pub(super) fn take(mut self) -> Option<(Box<GatewayReport>, Taken)> {
        Some((self.report.take()?, self.answer.take()?))
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let (Some(report), Some(answer)) = (self.report.take(), self.answer.take()) {
            // Who does not wait any more has given up.
            let _ = answer.send(Err(NotTaken::Unread(report)));
        }
    }
}
