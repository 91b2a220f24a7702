//! What people want of one device, on its way to the device's actor.

use actix::dev::SendError;
use actix::prelude::*;
use tokio::sync::oneshot;

use super::actor::RegistryActor;
use super::handle::OperateError;
use crate::domain::{EndpointName, NewOperation, Operation, OperationId, Profile, ProfileChange};
use crate::endpoint::{Cancel, ChangeProfile, Operate};

/// An operation from above.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct OperateOn {
    pub(super) endpoint: EndpointName,
    pub(super) operation: NewOperation,
    pub(super) accepted: oneshot::Sender<Result<Operation, OperateError>>,
    pub(super) finished: Option<oneshot::Sender<Operation>>,
}

impl Handler<OperateOn> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: OperateOn, _: &mut Self::Context) {
        let Some(address) = self.actor_of(&message.endpoint) else {
            let _ = message
                .accepted
                .send(Err(OperateError::UnknownEndpoint(message.endpoint)));
            return;
        };
        self.links.metrics.put();
        let operate = Operate {
            operation: message.operation,
            accepted: message.accepted,
            finished: message.finished,
        };
        if let Err(SendError::Full(lost) | SendError::Closed(lost)) = address.try_send(operate) {
            self.links.metrics.taken();
            self.links.metrics.refused.inc();
            let _ = lost.accepted.send(Err(OperateError::Busy));
        }
    }
}

/// An operation is taken back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct CancelOn {
    pub(super) endpoint: EndpointName,
    pub(super) id: OperationId,
    pub(super) answer: oneshot::Sender<Result<Operation, OperateError>>,
}

impl Handler<CancelOn> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: CancelOn, _: &mut Self::Context) {
        let Some(address) = self.actor_of(&message.endpoint) else {
            let _ = message
                .answer
                .send(Err(OperateError::UnknownEndpoint(message.endpoint)));
            return;
        };
        self.links.metrics.put();
        let cancel = Cancel {
            id: message.id,
            answer: message.answer,
        };
        if let Err(SendError::Full(lost) | SendError::Closed(lost)) = address.try_send(cancel) {
            self.links.metrics.taken();
            self.links.metrics.refused.inc();
            let _ = lost.answer.send(Err(OperateError::Busy));
        }
    }
}

/// People say something else of a device.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(super) struct ProfileOf {
    pub(super) endpoint: EndpointName,
    pub(super) change: ProfileChange,
    pub(super) answer: oneshot::Sender<Result<Profile, OperateError>>,
}

impl Handler<ProfileOf> for RegistryActor {
    type Result = ();

    fn handle(&mut self, message: ProfileOf, _: &mut Self::Context) {
        let Some(address) = self.actor_of(&message.endpoint) else {
            let _ = message
                .answer
                .send(Err(OperateError::UnknownEndpoint(message.endpoint)));
            return;
        };
        self.links.metrics.put();
        let change = ChangeProfile {
            change: message.change,
            answer: message.answer,
        };
        if let Err(SendError::Full(lost) | SendError::Closed(lost)) = address.try_send(change) {
            self.links.metrics.taken();
            self.links.metrics.refused.inc();
            let _ = lost.answer.send(Err(OperateError::Busy));
        }
    }
}
