//! What others may do with a running device: wait for it, look into it, change it, stop it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::domain::{EndpointName, Node, Path, Value};
use crate::net::BindError;

use super::counters::Counters;
use super::device::Input;
use super::firmware::FirmwareReport;
use super::quirks::Quirks;
use super::security::Handshakes;

/// A running device. Dropping every handle does not stop it.
#[derive(Clone, Debug)]
pub struct SimHandle {
    pub(super) name: EndpointName,
    pub(super) address: SocketAddr,
    pub(super) counters: Arc<Counters>,
    pub(super) commands: mpsc::Sender<Command>,
    pub(super) state: watch::Receiver<State>,
    pub(super) handshakes: watch::Receiver<Handshakes>,
}

impl SimHandle {
    /// The endpoint name.
    pub fn name(&self) -> &EndpointName {
        &self.name
    }

    /// Where its socket is bound; the address is that of any interface.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has done.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// True while it is registered, as far as it knows.
    pub fn is_registered(&self) -> bool {
        *self.state.borrow() == State::Registered
    }

    /// Waits until it is registered.
    ///
    /// # Errors
    /// It was stopped before.
    pub async fn registered(&self) -> Result<(), SimError> {
        let mut state = self.state.clone();
        match state
            .wait_for(|state| *state != State::Off)
            .await
            .as_deref()
        {
            Ok(State::Registered) => Ok(()),
            _ => Err(SimError::Stopped),
        }
    }

    /// How many DTLS handshakes of it have finished.
    pub fn handshakes(&self) -> u64 {
        self.handshakes.borrow().finished
    }

    /// How many DTLS handshakes of it have failed.
    pub fn handshakes_failed(&self) -> u64 {
        self.handshakes.borrow().failed
    }

    /// The device and why its last failed DTLS handshake has failed.
    pub(super) fn refusal(&self) -> Option<String> {
        let handshakes = self.handshakes.borrow();
        let error = handshakes.error.as_ref()?;
        Some(format!("{}: {error}", self.name))
    }

    /// Waits until so many DTLS handshakes of it have failed, and returns why the last of them did.
    ///
    /// # Errors
    /// It was stopped before, or speaks plain CoAP.
    pub async fn refused(&self, times: u64) -> Result<String, SimError> {
        let mut handshakes = self.handshakes.clone();
        let failed = handshakes.wait_for(|made| made.failed >= times).await;
        let error = failed.map_err(|_| SimError::Stopped)?.error.clone();
        Ok(error.unwrap_or_default())
    }

    /// Changes a value as the device itself would; observations of it are notified.
    ///
    /// # Errors
    /// There is no such resource, the value is of another type, or the device was stopped.
    pub async fn set(&self, path: Path, value: Value) -> Result<(), SimError> {
        self.tell(Input::Set(path, value)).await
    }

    /// The value of a resource or resource instance.
    pub async fn value(&self, path: Path) -> Option<Value> {
        let (reply, has_reply) = oneshot::channel();
        self.commands.send(Command::Value(path, reply)).await.ok()?;
        has_reply.await.ok().flatten()
    }

    /// How many observations the server has on it; none when it was stopped.
    pub async fn observations(&self) -> usize {
        let (reply, has_reply) = oneshot::channel();
        let sent = self.commands.send(Command::Observations(reply)).await;
        match sent {
            Ok(()) => has_reply.await.unwrap_or_default(),
            Err(_) => 0,
        }
    }

    /// What it tells of its firmware; nothing without object 5, or when it was stopped.
    pub async fn firmware(&self) -> Option<FirmwareReport> {
        let (reply, has_reply) = oneshot::channel();
        self.commands.send(Command::Firmware(reply)).await.ok()?;
        has_reply.await.ok().flatten()
    }

    /// Where its registration is, for example `rd/5a3f`; none while it is not registered.
    pub async fn location(&self) -> Option<String> {
        let (reply, has_reply) = oneshot::channel();
        self.commands.send(Command::Location(reply)).await.ok()?;
        has_reply.await.ok().flatten()
    }

    /// Measured values with the times at which they were measured: observations of them tell all
    /// of them, oldest first, in one notification.
    ///
    /// # Errors
    /// There is no such resource, a value is of another type, or the device was stopped.
    pub async fn record(&self, measured: Vec<Node>) -> Result<(), SimError> {
        self.tell(Input::Record(measured)).await
    }

    /// Has it send these values on its own accord, whatever it holds itself.
    ///
    /// # Errors
    /// The device was stopped.
    pub async fn send_values(&self, values: Vec<Node>) -> Result<(), SimError> {
        self.tell(Input::SendValues(values)).await
    }

    /// Has it give up an object, an instance, a resource or a resource instance.
    ///
    /// # Errors
    /// There is no such thing, or the device was stopped.
    pub async fn withdraw(&self, path: Path) -> Result<(), SimError> {
        self.tell(Input::Withdraw(path)).await
    }

    /// Other misbehaviour from now on.
    ///
    /// # Errors
    /// The quirks need a relay and the device was started without one, or the device was stopped.
    pub async fn set_quirks(&self, quirks: Quirks) -> Result<(), SimError> {
        self.command(|reply| Command::Quirks(quirks, reply)).await
    }

    /// Has it speak from another port, and know: it has another address. Over DTLS a session with
    /// connection ids (RFC 9146) goes on; without them what it says next begins another handshake.
    ///
    /// # Errors
    /// The device was started without a relay and without DTLS, there is no other port, or the device
    /// was stopped.
    pub async fn rebind(&self) -> Result<(), SimError> {
        self.command(|reply| Command::Rebind {
            is_noticed: true,
            reply,
        })
        .await
    }

    /// Has it speak from another port and not notice, as behind a NAT that forgot it: it keeps any DTLS
    /// session. Without connection ids the server does not know that, and stays silent until the device
    /// finds out.
    ///
    /// # Errors
    /// As those of [`SimHandle::rebind`].
    pub async fn rebind_unnoticed(&self) -> Result<(), SimError> {
        self.command(|reply| Command::Rebind {
            is_noticed: false,
            reply,
        })
        .await
    }

    /// Has it send these paths on its own accord (Send, 6.4.5) as soon as it can.
    ///
    /// # Errors
    /// The device was stopped.
    pub async fn send(&self, paths: Vec<Path>) -> Result<(), SimError> {
        self.tell(Input::Send(paths)).await
    }

    /// Has it send an Update as soon as it can.
    ///
    /// # Errors
    /// The device was stopped.
    pub async fn update(&self) -> Result<(), SimError> {
        self.tell(Input::Update).await
    }

    /// Switches it off and waits until it is off: with `deregister` it says good-bye first, for
    /// which it has a few seconds; without, it falls silent in the middle of things.
    pub async fn stop(&self, deregister: bool) {
        // Stopped already is as good.
        let _ = self.tell(Input::Stop { deregister }).await;
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| *state == State::Finished).await;
    }

    async fn tell(&self, input: Input) -> Result<(), SimError> {
        self.command(|reply| Command::Device(input, reply)).await
    }

    async fn command(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Command,
    ) -> Result<(), SimError> {
        let (reply, has_reply) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| SimError::Stopped)?;
        has_reply
            .await
            .map_err(|_| SimError::Stopped)?
            .map_err(SimError::Refused)
    }
}

/// Why something could not be had of a simulated device.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// It has no socket.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// Its relay has no socket.
    #[error("the relay of the device has no socket: {0}")]
    Relay(#[from] io::Error),
    /// No random numbers.
    #[error("the system has no random numbers: {0}")]
    Random(getrandom::Error),
    /// The device has no such resource, or not of this type.
    #[error("the device refuses: {0}")]
    Refused(String),
    /// It was stopped.
    #[error("the device has been stopped")]
    Stopped,
}

/// How far a device is, for those who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Off,
    Registered,
    Finished,
}

pub(super) enum Command {
    Device(Input, oneshot::Sender<Result<(), String>>),
    Firmware(oneshot::Sender<Option<FirmwareReport>>),
    Location(oneshot::Sender<Option<String>>),
    Observations(oneshot::Sender<usize>),
    Quirks(Quirks, oneshot::Sender<Result<(), String>>),
    Rebind {
        is_noticed: bool,
        reply: oneshot::Sender<Result<(), String>>,
    },
    Value(Path, oneshot::Sender<Option<Value>>),
}
