//! What a session wants to be done, and in which order.

use std::time::Duration;

use super::firmware::UpdateRefusal;
use super::input::Ticket;
use crate::coap::{
    Code, ExchangeId, MessageIds, NotificationKey, OutgoingRequest, RequestKey, Response, Window,
};
use crate::domain::{
    Denied, FirmwareUpdate, Operation, OperationId, Peer, Profile, RegistrationId, Token,
    UpdateResult,
};
use crate::store::Commit;

/// One thing to do for a session, in order.
#[derive(Debug)]
pub enum Step {
    /// Do it now.
    Do(Action),
    /// Write, then do.
    Commit(Box<CommitStep>),
    /// Do it once all that was to be written before is on disk: what is told of another's work is not told before it is
    /// true.
    InTurn(Action),
}

/// Changes and what waits for them.
#[derive(Debug, Default)]
pub struct CommitStep {
    /// What is written and told.
    pub commit: Commit,
    /// Once it is on disk.
    pub then: Vec<Action>,
    /// If it could not be written; afterwards the session starts anew from the store.
    pub otherwise: Vec<Action>,
}

/// What the actor does for its session.
#[derive(Debug)]
pub enum Action {
    /// Answers a device's request; the answer is remembered in the same commit, so that a copy of
    /// the request gets it again.
    Respond(RequestKey, Response),
    /// Answers a request of somebody who may not speak for the device. It has no effect, so a copy
    /// may be answered anew.
    Deny(RequestKey, Code, Denied),
    /// Stays silent to a notification of somebody who may not speak for the device.
    Distrust(NotificationKey, Denied),
    /// Acknowledges a notification or a separate response.
    Acknowledge(NotificationKey),
    /// Answers a notification with a Reset, which ends the observation on the device.
    Reject(NotificationKey),
    /// Stays silent: the device will send its notification again.
    Ignore(NotificationKey),
    /// Sends a request, unless the attempt was given up meanwhile.
    Transmit {
        /// Which attempt of the session.
        attempt: u64,
        /// To whom.
        peer: Peer,
        /// What.
        request: Box<OutgoingRequest>,
    },
    /// Waits for the answer to a request of the time before a restart.
    Await {
        /// Which attempt of the session.
        attempt: u64,
        /// From whom.
        peer: Peer,
        /// With this token.
        token: Token,
        /// For so long.
        timeout: Duration,
    },
    /// Forgets an exchange.
    CancelExchange(ExchangeId),
    /// The device listens for longer, or for less long, than an exchange thought.
    SetWindow(ExchangeId, Option<Window>),
    /// Gives an exchange more message ids.
    ExtendMessageIds(ExchangeId, MessageIds),
    /// Notifications with this token are for this session.
    Watch(Token),
    /// They no longer are.
    Unwatch(Token),
    /// The peer has shown something random from the address that was sent it.
    Proven(Peer),
    /// The device is registered here.
    Registered(RegistrationId, Peer),
    /// It no longer is; the actor ends unless something is left to do.
    Unregistered,
    /// The operation is stored.
    Accepted(Ticket, Box<Operation>),
    /// The operation was not taken.
    Refused(Ticket, Refusal),
    /// The report of a gateway is stored.
    Reported(Ticket),
    /// The report of a gateway could not be stored.
    NotReported(Ticket),
    /// The profile is stored.
    Profiled(Ticket, Box<Profile>),
    /// The operation reached its final status.
    Finished(Box<Operation>),
    /// The firmware update is stored, as it is now.
    UpdateAccepted(Ticket, Box<FirmwareUpdate>),
    /// The firmware update was not begun, or not given up.
    UpdateRefused(Ticket, UpdateRefusal),
    /// The firmware update is over.
    UpdateEnded(UpdateResult),
    /// Feed [`Input::Pump`](super::Input::Pump).
    Pump,
}

/// Why a session does not take an operation or does not take it back.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// Too many wait.
    TooMany {
        /// The limit in force.
        limit: usize,
    },
    /// It was asked for before, with the same key. `same`: so was the same.
    AskedBefore {
        /// What was made of it.
        id: OperationId,
        /// False when something else was asked with this key.
        same: bool,
    },
    /// It is on its way.
    NotQueued(Box<Operation>),
    /// It is not one of those that wait.
    NotWaiting(OperationId),
}
