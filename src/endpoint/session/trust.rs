//! Who may speak for the device, and whether it can be spoken to.
//!
//! On DTLS a device is who its credential says, in whatever session and at whatever address. On plain
//! CoAP it is taken for itself on any port of the address that it registered from, and not at all
//! once it has credentials. Requests go to the session of the registration and to no other.

use std::sync::Arc;

use super::{Action, CommitStep, Env, Input, Job, Session, Step};
use crate::coap::{Code, RequestKey};
use crate::domain::{
    Denied, EndpointName, Identity, OperationFailure, Peer, Reach, Registration, Unreachable,
};
use crate::store::Commit;

/// What a session may ask about the other side, at this moment.
pub trait Gate {
    /// See [`Wire::identity`](crate::endpoint::Wire::identity).
    fn identity(&self, peer: Peer) -> Option<Arc<Identity>>;
    /// See [`Wire::reach`](crate::endpoint::Wire::reach).
    fn reach(&self, peer: Peer) -> Reach;
    /// See [`Wire::connect`](crate::endpoint::Wire::connect).
    ///
    /// # Errors
    /// No session can be begun.
    fn connect(&self, peer: Peer, endpoint: &EndpointName) -> Result<(), Unreachable>;
    /// True when the endpoint has credentials.
    fn has_credentials(&self, endpoint: &EndpointName) -> bool;
}

/// What becomes of a request that is about to be sent.
#[derive(Debug)]
pub enum Departure {
    /// It goes out.
    Go,
    /// It does not: this is what that means.
    Stay(Vec<Step>),
}

impl Input {
    /// Whose message it is; nothing where it does not say so: an answer that came with the acknowledgement of
    /// its request is of whom was asked.
    pub fn peer(&self) -> Option<Peer> {
        match self {
            Self::Register { key, .. }
            | Self::Update { key, .. }
            | Self::Deregister { key, .. }
            | Self::Send { key, .. } => Some(key.peer),
            Self::Notification { key, .. } => Some(key.peer),
            Self::Response { acknowledge, .. } => acknowledge.as_ref().map(|key| key.peer),
            _ => None,
        }
    }
}

impl Session {
    /// Where the device is registered, and asked.
    pub fn peer(&self) -> Option<Peer> {
        Some(self.registration.as_ref()?.peer)
    }

    /// Whether a Register of this peer is refused although its identity is right: over plain CoAP
    /// nothing takes a device's place that is registered over DTLS, or anybody could.
    pub(super) fn refuses_register(&self, env: &Env<'_>, peer: Peer) -> Option<Denied> {
        if peer.is_secure() {
            return is_proven(env, &self.name, peer).err();
        }
        if env.gate.has_credentials(&self.name) {
            return Some(Denied::HasCredentials);
        }
        self.registration
            .as_ref()
            .filter(|registration| registration.peer.is_secure())
            .map(|_| Denied::RegisteredSecurely)
    }

    /// A way to the device as things are: of its registration, in its session, with its credential.
    fn reach(&self, env: &Env<'_>, registration: &Registration) -> Reach {
        let peer = registration.peer;
        match env.gate.reach(peer) {
            // The credential has just been taken away, and the session is about to end.
            Reach::Open if peer.is_secure() && is_proven(env, &self.name, peer).is_err() => {
                Reach::Closed
            }
            reach => reach,
        }
    }

    /// False while nothing may be sent although the device may be awake: its session is over and
    /// only it can begin another, or it has got credentials and is still registered without.
    pub(super) fn may_be_asked(&self, env: &Env<'_>) -> bool {
        let Some(registration) = &self.registration else {
            return false;
        };
        if !registration.peer.is_secure() {
            return !env.gate.has_credentials(&self.name);
        }
        !self.is_queue_mode() || self.reach(env, registration) != Reach::Closed
    }

    /// False when no answer to a request of the time before a restart can come any more.
    pub(super) fn may_still_answer(&self, env: &Env<'_>, registration: &Registration) -> bool {
        self.reach(env, registration) != Reach::Closed
    }

    /// A request is committed and about to be sent: says whether it can be. A device in queue mode
    /// is not called; to the others a session is begun, in which the request waits for the end of
    /// the handshake.
    pub fn depart(&mut self, env: &Env<'_>, attempt: u64) -> Departure {
        let Some(registration) = &self.registration else {
            return Departure::Go;
        };
        if self.reach(env, registration) != Reach::Closed {
            return Departure::Go;
        }
        if self.is_queue_mode() {
            return Departure::Stay(self.back_to_queue(env, attempt));
        }
        let begun = if env.gate.reach(registration.peer) == Reach::Open {
            // There is a session, but nobody behind it who may be spoken to.
            Err(Unreachable::NoCredential)
        } else {
            env.gate.connect(registration.peer, &self.name)
        };
        match begun {
            Ok(()) => {
                if let Some(in_flight) = &mut self.in_flight {
                    in_flight.connecting = true;
                }
                Departure::Go
            }
            // It goes when the device is heard, as a request on plain CoAP would.
            Err(Unreachable::Unproven | Unreachable::Blocked) => {
                Departure::Stay(self.not_sent(env, attempt))
            }
            Err(reason) => Departure::Stay(self.unreachable(env, attempt, reason)),
        }
    }

    /// The session ended before the commit of the request was through: it has its turn again when
    /// the device speaks, and this was no attempt.
    fn back_to_queue(&mut self, env: &Env<'_>, attempt: u64) -> Vec<Step> {
        let Some(job) = self.take_attempt(attempt) else {
            return Vec::new();
        };
        let mut commit = Commit::default();
        match job {
            Job::Operation(mut operation) => {
                operation.attempts = operation.attempts.saturating_sub(1);
                self.requeue(env, *operation, &mut commit);
            }
            Job::Block => {}
            Job::Fetch(fetch) => self.fetches.push_front(fetch),
        }
        let mut steps = vec![Step::Commit(Box::new(CommitStep {
            commit,
            ..CommitStep::default()
        }))];
        self.write_waiting(env, &mut steps);
        steps
    }

    /// No session can be begun. That counts, or an operation would be tried for ever; but nothing
    /// was sent, so every kind of operation may be tried again.
    fn unreachable(&mut self, env: &Env<'_>, attempt: u64, reason: Unreachable) -> Vec<Step> {
        let Some(job) = self.take_attempt(attempt) else {
            return Vec::new();
        };
        let mut commit = Commit::default();
        let mut then = Vec::new();
        match job {
            Job::Operation(operation) => {
                let reason = OperationFailure::Unreachable(reason);
                self.try_again(env, *operation, reason, &mut commit, &mut then);
            }
            Job::Block => {
                let why = OperationFailure::Unreachable(reason).to_string();
                then.extend(self.block_failed(env, false, &why, &mut commit));
            }
            Job::Fetch(fetch) => self.unstage(&fetch, &mut commit),
        }
        if reason == Unreachable::TooManyHandshakes {
            // Many are called at once: this one comes later.
            self.silent = true;
            self.retry_at = env.now.instant.checked_add(env.settings.connect_pause);
        }
        then.push(Action::Pump);
        vec![Step::Commit(Box::new(CommitStep {
            commit,
            then,
            otherwise: Vec::new(),
        }))]
    }

    fn take_attempt(&mut self, attempt: u64) -> Option<Job> {
        let in_flight = self
            .in_flight
            .take_if(|in_flight| in_flight.attempt == attempt)?;
        if let Some(lease) = in_flight.lease {
            // Nothing of it was used.
            self.message_ids.next = lease;
        }
        Some(in_flight.job)
    }
}

/// Whether this peer may speak for the registered device.
pub(super) fn may_speak_for(
    env: &Env<'_>,
    registration: &Registration,
    peer: Peer,
) -> Result<(), Denied> {
    let here = registration.peer;
    if peer.is_secure() {
        is_proven(env, &registration.endpoint, peer)?;
        return if here.is_secure() {
            Ok(())
        } else {
            Err(Denied::RegisteredInPlain)
        };
    }
    if env.gate.has_credentials(&registration.endpoint) {
        return Err(Denied::HasCredentials);
    }
    if here.is_secure() {
        return Err(Denied::RegisteredSecurely);
    }
    // NAT gives new ports (OMA int-105). Another address has to register again, unless
    // `registration.follow_addresses` trusts whoever knows its location or token.
    if here.address.ip() == peer.address.ip() || env.settings.follow_addresses {
        Ok(())
    } else {
        Err(Denied::OtherAddress)
    }
}

fn is_proven(env: &Env<'_>, endpoint: &EndpointName, peer: Peer) -> Result<(), Denied> {
    match env.gate.identity(peer) {
        None => Err(Denied::NoIdentity),
        Some(identity) if identity.speaks_for(endpoint) => Ok(()),
        Some(_) => Err(Denied::OtherEndpoint),
    }
}

/// The answer to a Register, an Update or a Deregister of somebody who may not: 4.04 makes a device
/// register again where that helps, 4.03 says that it would not.
pub(super) fn denial(key: RequestKey, reason: Denied) -> Action {
    let code = match reason {
        Denied::OtherAddress | Denied::RegisteredInPlain => Code::NOT_FOUND,
        _ => Code::FORBIDDEN,
    };
    Action::Deny(key, code, reason)
}
