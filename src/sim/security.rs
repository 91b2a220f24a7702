//! DTLS of a simulated device: a session with the server that is made when there is something to say,
//! made again when it has ended, and tried again, ever later, when the server refuses.
//!
//! No I/O: the relay has the socket and the clock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tracing::debug;

use crate::domain::EndpointName;
use crate::net::dtls::{Client, ClientError, ClientEvent, ClientSettings};

use super::counters::Counters;

/// How a device proves itself.
#[derive(Clone, Debug)]
pub struct SimSecurity {
    /// Its credentials, and whom it believes.
    pub client: ClientSettings,
    /// A handshake that takes longer has failed.
    pub handshake_timeout: Duration,
    /// The first wait after a failed handshake; doubles each time.
    pub retry_min: Duration,
    /// The longest such wait.
    pub retry_max: Duration,
}

impl SimSecurity {
    /// As patient as a real device. It offers an empty connection id (RFC 9146), as constrained devices do
    /// that have one server; who wants another one, or none, says so in `client` afterwards.
    pub fn new(client: ClientSettings) -> Self {
        Self {
            client: ClientSettings {
                connection_id: Some(0),
                ..client
            },
            handshake_timeout: Duration::from_secs(30),
            retry_min: Duration::from_secs(5),
            retry_max: Duration::from_secs(300),
        }
    }
}

/// How each device of a fleet proves itself: by its name and number.
#[derive(Clone)]
pub struct FleetSecurity(Arc<Choose>);

type Choose = dyn Fn(&EndpointName, u64) -> Result<SimSecurity, String>;

impl FleetSecurity {
    /// Asked once for each device. The error says what is wrong with a device's credentials.
    pub fn new(
        choose: impl Fn(&EndpointName, u64) -> Result<SimSecurity, String> + 'static,
    ) -> Self {
        Self(Arc::new(choose))
    }

    /// The same without connection ids (RFC 9146): a session ends for a device that gets another address.
    #[must_use]
    pub fn without_connection_ids(self) -> Self {
        Self::new(move |name, number| {
            let mut security = self.of(name, number)?;
            security.client.connection_id = None;
            Ok(security)
        })
    }

    /// How one of the devices does.
    ///
    /// # Errors
    /// Its credentials cannot be used.
    pub fn of(&self, name: &EndpointName, number: u64) -> Result<SimSecurity, String> {
        (self.0)(name, number)
    }
}

impl std::fmt::Debug for FleetSecurity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FleetSecurity").finish_non_exhaustive()
    }
}

impl PartialEq for FleetSecurity {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// How far a device is with its session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Handshakes {
    pub(super) finished: u64,
    pub(super) failed: u64,
    /// Of the last failure.
    pub(super) error: Option<String>,
}

/// The session of one device.
pub(super) struct SecureLink {
    name: EndpointName,
    settings: SimSecurity,
    /// None before the first handshake only.
    client: Option<Client>,
    phase: Phase,
    /// What the device said while there was no session.
    waiting: VecDeque<Vec<u8>>,
    /// Failures since the last session.
    failures: u32,
    counters: Arc<Counters>,
    handshakes: watch::Sender<Handshakes>,
}

enum Phase {
    /// The next datagram of the device begins a handshake.
    Idle,
    Handshaking {
        until: Instant,
    },
    Connected,
    /// What the device says meanwhile is lost. Then it tries again, even if it says nothing.
    Refused {
        until: Instant,
    },
}

impl SecureLink {
    pub(super) fn new(
        name: EndpointName,
        settings: SimSecurity,
        counters: Arc<Counters>,
        handshakes: watch::Sender<Handshakes>,
    ) -> Self {
        Self {
            name,
            settings,
            client: None,
            phase: Phase::Idle,
            waiting: VecDeque::new(),
            failures: 0,
            counters,
            handshakes,
        }
    }

    /// Something that the device says.
    pub(super) fn send(&mut self, now: Instant, datagram: Vec<u8>) {
        match self.phase {
            Phase::Connected => {
                if let Some(client) = &mut self.client {
                    client.send(&datagram);
                }
            }
            Phase::Refused { .. } => {}
            Phase::Handshaking { .. } => self.keep(datagram),
            Phase::Idle => {
                self.keep(datagram);
                self.connect(now);
            }
        }
    }

    /// A datagram of the server; what it says to the device.
    pub(super) fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Vec<Vec<u8>> {
        let events = self.client.as_mut().map(|it| it.handle_datagram(datagram));
        self.take(now, events.unwrap_or_default())
    }

    /// The next datagram for the server.
    pub(super) fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.client.as_mut()?.poll_transmit()
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let resend = self.client.as_ref().and_then(Client::next_timeout);
        match self.phase {
            Phase::Handshaking { until } => Some(resend.map_or(until, |at| at.min(until))),
            Phase::Connected => resend,
            Phase::Refused { until } => Some(until),
            Phase::Idle => None,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Idle => {}
            Phase::Refused { until } if until <= now => self.connect(now),
            Phase::Refused { .. } => {}
            Phase::Handshaking { until } if until <= now => {
                self.failed(now, ClientError::TimedOut.to_string());
            }
            Phase::Connected | Phase::Handshaking { .. } => {
                let events = self.client.as_mut().map(Client::handle_timeout);
                // Time alone brings no data.
                self.take(now, events.unwrap_or_default());
            }
        }
    }

    /// The address has changed, and the device knows: a session that the server knows by a connection id
    /// goes on, any other is worth nothing any more.
    pub(super) fn move_on(&mut self) {
        let goes_on = self.client.as_ref().is_some_and(Client::has_connection_id);
        if !goes_on {
            self.renew();
        }
    }

    /// The session is worth nothing any more: the address has changed, or the server is silent. What
    /// the device says next begins another handshake, in which the old session is offered.
    pub(super) fn renew(&mut self) {
        if matches!(self.phase, Phase::Connected | Phase::Handshaking { .. }) {
            self.phase = Phase::Idle;
        }
    }

    /// The good-bye, which can be polled.
    pub(super) fn close(&mut self) {
        if let (Phase::Connected, Some(client)) = (&self.phase, &mut self.client) {
            client.close();
        }
        self.phase = Phase::Idle;
    }

    fn keep(&mut self, datagram: Vec<u8>) {
        // A retransmission says nothing new.
        if self.waiting.len() < WAITING && !self.waiting.contains(&datagram) {
            self.waiting.push_back(datagram);
        }
    }

    fn connect(&mut self, now: Instant) {
        let begun = match &mut self.client {
            Some(client) => client.reconnect(),
            None => Client::new(self.settings.client.clone()).map(|client| {
                self.client = Some(client);
            }),
        };
        match begun {
            Ok(()) => {
                let until = now + self.settings.handshake_timeout;
                self.phase = Phase::Handshaking { until };
            }
            Err(error) => self.failed(now, error.to_string()),
        }
    }

    fn take(&mut self, now: Instant, events: Vec<ClientEvent>) -> Vec<Vec<u8>> {
        let mut received = Vec::new();
        for event in events {
            match event {
                ClientEvent::Connected => self.connected(),
                ClientEvent::Received(data) => received.push(data),
                ClientEvent::Closed(reason) => match (&self.phase, reason) {
                    (Phase::Handshaking { .. }, reason) => {
                        let why = reason.map(|error| error.to_string());
                        self.failed(now, why.unwrap_or_else(|| CLOSED.to_owned()));
                    }
                    (Phase::Connected, reason) => {
                        debug!(endpoint.name = %self.name, ?reason, "The DTLS session of {} has ended", self.name);
                        self.phase = Phase::Idle;
                    }
                    (Phase::Idle | Phase::Refused { .. }, _) => {}
                },
            }
        }
        received
    }

    fn connected(&mut self) {
        self.phase = Phase::Connected;
        self.failures = 0;
        self.counters.count_handshake(true);
        self.handshakes.send_modify(|made| made.finished += 1);
        if let Some(client) = &mut self.client {
            debug!(
                endpoint.name = %self.name,
                cipher = client.cipher(),
                resumed = client.is_resumed(),
                connection_id = client.has_connection_id(),
                "{} has a DTLS session",
                self.name
            );
            for datagram in self.waiting.drain(..) {
                client.send(&datagram);
            }
        }
    }

    fn failed(&mut self, now: Instant, error: String) {
        debug!(endpoint.name = %self.name, "The DTLS handshake of {} has failed: {error}", self.name);
        let doubled = 2_u32.saturating_pow(self.failures);
        let wait = self.settings.retry_min.saturating_mul(doubled);
        let until = now + wait.min(self.settings.retry_max);
        self.phase = Phase::Refused { until };
        self.failures = self.failures.saturating_add(1);
        self.waiting.clear();
        self.counters.count_handshake(false);
        self.handshakes.send_modify(|made| {
            made.failed += 1;
            made.error = Some(error);
        });
    }
}

/// More than a device says before its first answer.
const WAITING: usize = 8;
const CLOSED: &str = "the server closes the session within the handshake";
