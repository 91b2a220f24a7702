//! What people want of one device, on its way to the device's actor.

use actix::dev::{MessageResponse, SendError, ToEnvelope};
use actix::prelude::*;
use tokio::sync::oneshot;

use super::actor::RegistryActor;
use super::handle::OperateError;
use crate::domain::{
    Doer, EndpointName, FirmwareUpdate, FirmwareUpdateId, NewOperation, NewUpdate, Operation,
    OperationId, Profile, ProfileChange,
};
use crate::endpoint::{
    AwaitEnd, Cancel, CancelUpdate, ChangeProfile, EndpointActor, Operate, UpdateFirmware,
};

/// How the one who asks is answered.
type Answer<T> = oneshot::Sender<Result<T, OperateError>>;

/// An operation from above.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct OperateOn {
    pub(super) endpoint: EndpointName,
    pub(super) operation: NewOperation,
    pub(super) accepted: Answer<Operation>,
    pub(super) finished: Option<oneshot::Sender<Operation>>,
}

/// The end of an operation is waited for.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct AwaitEndOn {
    pub(super) endpoint: EndpointName,
    pub(super) id: OperationId,
    pub(super) finished: oneshot::Sender<Operation>,
}

/// An operation is taken back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct CancelOn {
    pub(super) endpoint: EndpointName,
    pub(super) id: OperationId,
    pub(super) by: Option<Doer>,
    pub(super) answer: Answer<Operation>,
}

/// People say something else of a device.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct ProfileOf {
    pub(super) endpoint: EndpointName,
    pub(super) change: ProfileChange,
    pub(super) by: Option<Doer>,
    pub(super) answer: Answer<Profile>,
}

/// A device is to run another firmware.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct UpdateFirmwareOf {
    pub(super) endpoint: EndpointName,
    pub(super) new: Box<NewUpdate>,
    pub(super) answer: Answer<FirmwareUpdate>,
}

/// A firmware update is given up.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct CancelUpdateOf {
    pub(super) endpoint: EndpointName,
    pub(super) id: FirmwareUpdateId,
    pub(super) by: Option<Doer>,
    pub(super) answer: Answer<FirmwareUpdate>,
}

impl RegistryActor {
    /// Puts a message into the mailbox of a device's actor. Whoever asked is told at once when there
    /// is no such device, or no room.
    fn ask<M, T>(&mut self, endpoint: EndpointName, message: M, answer: fn(M) -> Answer<T>)
    where
        M: Message + Send + 'static,
        M::Result: MessageResponse<EndpointActor, M> + Send,
        EndpointActor: Handler<M>,
        Context<EndpointActor>: ToEnvelope<EndpointActor, M>,
    {
        let Some(door) = self.actor_of(&endpoint) else {
            let _ = answer(message).send(Err(OperateError::UnknownEndpoint(endpoint)));
            return;
        };
        if let Err(SendError::Full(lost) | SendError::Closed(lost)) = door.put(message) {
            self.links.metrics.refused.inc();
            let _ = answer(lost).send(Err(OperateError::Busy));
        }
    }
}

impl Handler<OperateOn> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: OperateOn, _: &mut Self::Context) {
        let operate = Operate {
            operation: message.operation,
            accepted: message.accepted,
            finished: message.finished,
        };
        self.ask(message.endpoint, operate, |lost| lost.accepted);
    }
}

impl Handler<AwaitEndOn> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: AwaitEndOn, _: &mut Self::Context) {
        let await_end = AwaitEnd {
            id: message.id,
            finished: message.finished,
        };
        // Without an actor, or room in its mailbox, whoever waits looks again when the time is over.
        if let Some(door) = self.actor_of(&message.endpoint) {
            let _ = door.put(await_end);
        }
    }
}

impl Handler<CancelOn> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: CancelOn, _: &mut Self::Context) {
        let cancel = Cancel {
            id: message.id,
            by: message.by,
            answer: message.answer,
        };
        self.ask(message.endpoint, cancel, |lost| lost.answer);
    }
}

impl Handler<UpdateFirmwareOf> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: UpdateFirmwareOf, _: &mut Self::Context) {
        let update = UpdateFirmware {
            new: message.new,
            answer: message.answer,
        };
        self.ask(message.endpoint, update, |lost| lost.answer);
    }
}

impl Handler<CancelUpdateOf> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: CancelUpdateOf, _: &mut Self::Context) {
        let cancel = CancelUpdate {
            id: message.id,
            by: message.by,
            answer: message.answer,
        };
        self.ask(message.endpoint, cancel, |lost| lost.answer);
    }
}

impl Handler<ProfileOf> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: ProfileOf, _: &mut Self::Context) {
        let change = ChangeProfile {
            change: message.change,
            by: message.by,
            answer: message.answer,
        };
        self.ask(message.endpoint, change, |lost| lost.answer);
    }
}
