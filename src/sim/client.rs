//! One simulated device on the network: a UDP socket, a clock, and the [`Device`] between them. With
//! DTLS its datagrams go through its [`Relay`], which has the session.
//!
//! [`SimClient::start`] needs a `LocalSet` (an actix arbiter has one): the socket and its message
//! layer stay on the thread. The [`SimHandle`] may go anywhere.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::spawn_local;
use tracing::debug;

use crate::coap::{
    self, Event, ExchangeFailure, ExchangeId, NotificationKey, OutgoingRequest, RequestKey,
};
use crate::config::{self, Settings};
use crate::domain::{EndpointName, Now, Peer, Token};
use crate::lwm2m::Models;
use crate::net::CoapTransport;
use crate::net::https::Trust;

use super::counters::Counters;
use super::device::{Device, Happening, Input, Output};
use super::download::{Downloads, Means, SessionAsk};
use super::faults::Faults;
use super::handle::{Command, SimError, SimHandle, State};
use super::objects::models;
use super::quirks::Quirks;
use super::relay::{Relay, here};
use super::security::{Handshakes, SecureLink, SimSecurity};
use super::settings::DeviceSettings;

/// A device and the server that it speaks to.
#[derive(Clone, Debug)]
pub struct SimSettings {
    /// Where the server is.
    pub server: SocketAddr,
    /// How the device behaves.
    pub device: DeviceSettings,
    /// The message layer of the device; by default one with the times of RFC 7252 and little room.
    pub coap: config::Coap,
    /// Where it counts; shared by the devices of a fleet.
    pub counters: Arc<Counters>,
    /// The object models, made by [`models`] and shared.
    pub models: Arc<Models>,
    /// Whether its datagrams go through a relay that can spoil them and change its port, as they do
    /// anyway when the quirks of the device ask for it. Costs two sockets.
    pub relay: bool,
    /// DTLS, at the server's port for it; none: plain CoAP. Has a relay, whatever `relay` says.
    pub security: Option<SimSecurity>,
    /// Whom it believes that it downloads firmware from over HTTPS; none: any server.
    pub trust: Option<Trust>,
}

impl SimSettings {
    /// A device with this name, as [`DeviceSettings::new`] makes it.
    pub fn new(server: SocketAddr, name: EndpointName) -> Self {
        Self {
            server,
            device: DeviceSettings::new(name),
            coap: small_coap(),
            counters: Arc::default(),
            models: models(),
            relay: false,
            security: None,
            trust: None,
        }
    }
}

/// Starts devices.
#[derive(Debug)]
pub struct SimClient;

impl SimClient {
    /// Switches a device on, on this thread's `LocalSet`. It runs until it is stopped.
    ///
    /// # Errors
    /// There is no socket for it, often because the process may not open more files.
    ///
    /// # Panics
    /// Outside of a `LocalSet`.
    pub fn start(mut settings: SimSettings) -> Result<SimHandle, SimError> {
        if let (Some(firmware), Some(_)) = (&mut settings.device.firmware, &settings.security) {
            speak_coaps(&mut firmware.protocols);
        }
        let (server, any) = addresses(settings.server);
        let quirks = &settings.device.quirks;
        let has_relay = settings.relay || settings.security.is_some() || quirks.need_a_relay();
        let own = if has_relay { here(server) } else { any };
        let seed = getrandom::u64().map_err(SimError::Random)?;
        let transport =
            CoapTransport::bind_to(own, &settings.coap, coap::Counters::default(), seed)?;
        let (commands, has_commands) = mpsc::channel(COMMANDS);
        let (state, is_state) = watch::channel(State::Off);
        let (handshakes, has_handshakes) = watch::channel(Handshakes::default());
        let handle = SimHandle {
            name: settings.device.name.clone(),
            address: transport.address().unwrap_or(own),
            counters: Arc::clone(&settings.counters),
            commands,
            state: is_state,
            handshakes: has_handshakes,
        };
        if settings.device.firmware.is_some() {
            // An image is hashed as it comes, and the server may do other things between its blocks.
            transport.take_blocks_singly("/5/0/0");
        }
        let (events, has_events) = mpsc::channel(EVENTS);
        let is_secure = settings.security.is_some();
        let mut relay = None;
        let mut target = server;
        if has_relay {
            // Message ids of its own begin anywhere, as those of a device do.
            let faults = Faults::new(quirks.clone(), (seed >> 48) as u16);
            let session = settings.security.map(|security| {
                let counters = Arc::clone(&settings.counters);
                SecureLink::new(settings.device.name.clone(), security, counters, handshakes)
            });
            let (started, address) = Relay::start(server, faults, session)?;
            spawn_local(started.clone().run());
            relay = Some(started);
            target = address;
        }
        spawn_local(transport.clone().run(events));
        let (pieces, has_pieces) = mpsc::channel(PIECES);
        let (session, has_asks) = mpsc::channel(PIECES);
        let means = Means {
            trust: settings.trust,
            server,
            is_secure,
            session,
            pieces,
        };
        let downloading = Downloading {
            pieces: has_pieces,
            asks: has_asks,
        };
        // The seed of tokens is not that of values: two runs with the same values must not mix
        // their exchanges up on one server.
        let client = Client {
            device: Device::new(settings.device, settings.models, Now::system()),
            peer: Peer::udp(target),
            relay,
            response_timeout: settings.coap.response_timeout(),
            transport,
            counters: settings.counters,
            state,
            exchanges: HashMap::new(),
            next_token: seed,
            give_up_at: None,
            downloads: Downloads::new(means),
            fetches: HashMap::new(),
        };
        spawn_local(client.run(has_events, has_commands, downloading));
        Ok(handle)
    }
}

struct Client {
    device: Device,
    peer: Peer,
    relay: Option<Relay>,
    response_timeout: Duration,
    transport: CoapTransport,
    counters: Arc<Counters>,
    state: watch::Sender<State>,
    /// Our numbers of the exchanges under way.
    exchanges: HashMap<ExchangeId, u32>,
    next_token: u64,
    /// A Deregister is not awaited longer.
    give_up_at: Option<Instant>,
    downloads: Downloads,
    /// Blocks of an image that are asked for in the session.
    fetches: HashMap<ExchangeId, oneshot::Sender<Result<coap::Response, ExchangeFailure>>>,
}

/// What comes of downloads; their other ends are in [`Downloads`].
struct Downloading {
    pieces: mpsc::Receiver<Input>,
    asks: mpsc::Receiver<SessionAsk>,
}

/// Whether the device goes on.
enum Flow {
    Finished,
    Running,
}

impl Client {
    async fn run(
        mut self,
        mut events: mpsc::Receiver<Vec<Event>>,
        mut commands: mpsc::Receiver<Command>,
        mut downloading: Downloading,
    ) {
        let mut flow = self.feed(Input::Start, &mut None);
        // Without handles nobody can say anything any more, and the device simply runs on.
        let mut is_told = true;
        while matches!(flow, Flow::Running) {
            let timeout = [self.device.next_timeout(), self.give_up_at]
                .into_iter()
                .flatten()
                .min();
            flow = tokio::select! {
                batch = events.recv() => match batch {
                    Some(batch) => self.take(batch),
                    // The socket failed, which was logged.
                    None => Flow::Finished,
                },
                command = commands.recv(), if is_told => match command {
                    Some(command) => self.obey(command),
                    None => {
                        is_told = false;
                        Flow::Running
                    }
                },
                Some(piece) = downloading.pieces.recv() => self.feed(piece, &mut None),
                Some(ask) = downloading.asks.recv() => {
                    self.fetch(ask);
                    Flow::Running
                }
                () = sleep_until(timeout) => {
                    if self.give_up_at.is_some_and(|at| at <= Instant::now()) {
                        Flow::Finished
                    } else {
                        self.feed(Input::Timeout, &mut None)
                    }
                }
            };
        }
        if self.device.is_registered() {
            // Given up in the middle of a Deregister.
            self.counters.count(Happening::Failed);
            self.counters.count(Happening::Lost);
        }
        self.transport.stop();
        if let Some(relay) = &self.relay {
            relay.stop();
        }
        self.state.send_replace(State::Finished);
    }

    fn obey(&mut self, command: Command) -> Flow {
        match command {
            Command::Device(input, reply) => {
                if matches!(input, Input::Stop { .. }) {
                    self.give_up_at = Some(Instant::now() + FAREWELL);
                }
                let mut refused = None;
                let flow = self.feed(input, &mut refused);
                // Whoever asked may have gone.
                let _ = reply.send(refused.map_or(Ok(()), Err));
                flow
            }
            Command::Firmware(reply) => {
                let _ = reply.send(self.device.firmware());
                Flow::Running
            }
            Command::Location(reply) => {
                let _ = reply.send(self.device.location());
                Flow::Running
            }
            Command::Observations(reply) => {
                let _ = reply.send(self.device.observations());
                Flow::Running
            }
            Command::Quirks(quirks, reply) => {
                let _ = reply.send(self.change_quirks(quirks));
                Flow::Running
            }
            Command::Rebind { is_noticed, reply } => {
                let rebound = match &self.relay {
                    Some(relay) => relay.rebind(is_noticed).map_err(|error| error.to_string()),
                    None => Err(NO_RELAY.to_owned()),
                };
                let _ = reply.send(rebound);
                Flow::Running
            }
            Command::Value(path, reply) => {
                let _ = reply.send(self.device.value(&path).cloned());
                Flow::Running
            }
        }
    }

    fn change_quirks(&mut self, quirks: Quirks) -> Result<(), String> {
        match &self.relay {
            Some(relay) => relay.with_faults(|faults| faults.change(quirks.clone())),
            None if quirks.need_a_relay() => return Err(NO_RELAY.to_owned()),
            None => {}
        }
        self.device.set_quirks(quirks);
        Ok(())
    }

    fn take(&mut self, batch: Vec<Event>) -> Flow {
        for event in batch {
            if let Flow::Finished = self.take_event(event) {
                return Flow::Finished;
            }
        }
        Flow::Running
    }

    fn take_event(&mut self, event: Event) -> Flow {
        let input = match event {
            Event::Request { key, .. } if key.peer != self.peer => {
                // Only its server is heard.
                self.transport.drop_request(&key);
                return Flow::Running;
            }
            Event::Request { key, request } => return self.take_request(&key, request),
            Event::Response {
                exchange,
                response,
                acknowledge,
                ..
            } => {
                self.acknowledge(acknowledge);
                if let Some(reply) = self.fetches.remove(&exchange) {
                    let _ = reply.send(Ok(response));
                    return Flow::Running;
                }
                let Some(exchange) = self.exchanges.remove(&exchange) else {
                    return Flow::Running;
                };
                Input::Answered {
                    exchange,
                    answer: Ok(response),
                }
            }
            Event::Failed {
                exchange, failure, ..
            } => {
                if let ExchangeFailure::NotAcknowledged | ExchangeFailure::NotAnswered = failure {
                    self.server_is_silent();
                }
                if let Some(reply) = self.fetches.remove(&exchange) {
                    let _ = reply.send(Err(failure));
                    return Flow::Running;
                }
                let Some(exchange) = self.exchanges.remove(&exchange) else {
                    return Flow::Running;
                };
                debug!(endpoint.name = %self.device.settings().name, "A request of the device failed: {failure}");
                Input::Answered {
                    exchange,
                    answer: Err(failure),
                }
            }
            // Nobody notifies a device; a late answer means nothing any more.
            Event::Notification { key, .. } => {
                self.transport.reject(&key);
                return Flow::Running;
            }
            Event::NotificationAcknowledged { token, .. } => Input::NotificationAcknowledged(token),
            Event::NotificationReset { token, .. } => Input::NotificationReset(token),
            Event::NotificationTimedOut { token, .. } => {
                self.server_is_silent();
                Input::NotificationLost(token)
            }
            // The layer chooses the message ids.
            Event::MessageIdsExhausted { .. } => return Flow::Running,
        };
        self.feed(input, &mut None)
    }

    /// Perhaps it has lost the DTLS session, which it need not say.
    fn server_is_silent(&self) {
        if let Some(relay) = &self.relay {
            relay.renew_session();
        }
    }

    fn acknowledge(&self, key: Option<NotificationKey>) {
        if let Some(key) = key {
            self.transport.acknowledge(&key);
        }
    }

    fn take_request(&mut self, key: &RequestKey, request: coap::Request) -> Flow {
        let outputs = self.device.handle(
            Now::system(),
            Input::Request {
                token: key.token,
                request,
            },
        );
        let mut rest = outputs.into_iter();
        match rest.next() {
            Some(Output::Respond(response)) => self.transport.respond(key, response),
            _ => self.transport.drop_request(key),
        }
        self.carry_out(rest.collect(), &mut None)
    }

    fn feed(&mut self, input: Input, refused: &mut Option<String>) -> Flow {
        let outputs = self.device.handle(Now::system(), input);
        self.carry_out(outputs, refused)
    }

    fn carry_out(&mut self, outputs: Vec<Output>, refused: &mut Option<String>) -> Flow {
        let mut flow = Flow::Running;
        // What could not be sent comes back to the device, which may have something else to do then.
        let mut failed = Vec::new();
        for output in outputs {
            match output {
                Output::Ask { exchange, request } => {
                    let token = self.token();
                    let outgoing = OutgoingRequest::new(request, token, self.response_timeout);
                    match self.transport.request(self.peer, outgoing) {
                        Ok(id) => {
                            self.exchanges.insert(id, exchange);
                        }
                        Err(error) => {
                            debug!(endpoint.name = %self.device.settings().name, "Nothing was sent: {error}");
                            let answer = Err(ExchangeFailure::Cancelled);
                            failed.push(Input::Answered { exchange, answer });
                        }
                    }
                }
                Output::Denied { code, reason } => {
                    let name = &self.device.settings().name;
                    tracing::warn!(endpoint.name = %name, %code, reason,
                        "The server refuses the Register of {name}: {code} {reason}");
                }
                Output::Drop | Output::Respond(_) => {}
                Output::Fetch(fetch) => self.downloads.fetch(fetch),
                Output::HangUp { .. } => {
                    self.downloads.hang_up();
                    for (exchange, _) in self.fetches.drain() {
                        self.transport.cancel(exchange);
                    }
                }
                Output::Finished => flow = Flow::Finished,
                Output::Happened(happening) => self.happened(happening),
                Output::Notify {
                    token,
                    response,
                    confirmable,
                } => {
                    if self
                        .transport
                        .notify(self.peer, token, response, confirmable)
                        .is_err()
                    {
                        failed.push(Input::NotificationLost(token));
                    }
                }
                Output::Refused(reason) => *refused = Some(reason),
            }
        }
        for input in failed {
            if let Flow::Finished = self.feed(input, &mut None) {
                flow = Flow::Finished;
            }
        }
        flow
    }

    /// Asks for a block of an image.
    fn fetch(&mut self, ask: SessionAsk) {
        let token = self.token();
        let request = OutgoingRequest {
            token,
            ..ask.request
        };
        match self.transport.request(self.peer, request) {
            Ok(exchange) => {
                self.fetches.insert(exchange, ask.reply);
            }
            Err(error) => {
                debug!(endpoint.name = %self.device.settings().name, "Nothing was sent: {error}");
                let _ = ask.reply.send(Err(ExchangeFailure::Cancelled));
            }
        }
    }

    fn happened(&mut self, happening: Happening) {
        self.counters.count(happening);
        match happening {
            Happening::Lost => {
                // A device that begins anew hears no answers to what it asked before.
                for (exchange, _) in self.exchanges.drain() {
                    self.transport.cancel(exchange);
                }
                self.state.send_replace(State::Off);
            }
            Happening::Registered => {
                self.state.send_replace(State::Registered);
            }
            _ => {}
        }
    }

    /// Unpredictable start, and no token twice.
    fn token(&mut self) -> Token {
        self.next_token = self.next_token.wrapping_add(0x9e37_79b9_7f4a_7c15);
        Token::from(self.next_token.to_be_bytes())
    }
}

/// Where the server is, from here, and where to bind. Answers do not come from the unspecified
/// address, so it stands for this machine.
fn addresses(server: SocketAddr) -> (SocketAddr, SocketAddr) {
    let (loopback, any): (IpAddr, IpAddr) = match server.ip() {
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::UNSPECIFIED.into()),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::UNSPECIFIED.into()),
    };
    let reachable = if server.ip().is_unspecified() {
        SocketAddr::new(loopback, server.port())
    } else {
        server
    };
    (reachable, SocketAddr::new(any, 0))
}

/// A device with DTLS downloads over it too.
fn speak_coaps(protocols: &mut Vec<u8>) {
    const COAPS: u8 = 1;
    if !protocols.is_empty() && !protocols.contains(&COAPS) {
        protocols.push(COAPS);
        protocols.sort_unstable();
    }
}

pub(super) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// The settings of a message layer that has one peer: the same times, far less room.
pub(super) fn small_coap() -> config::Coap {
    config::Coap {
        max_transfers: 8,
        max_transfer_memory_bytes: 1 << 20,
        dedup_per_peer: 64,
        dedup_total: 64,
        max_exchanges: 128,
        max_pending_requests: 64,
        socket_buffer_bytes: 64 * 1024,
        ..Settings::defaults().coap
    }
}

/// Why datagrams cannot be spoilt.
const NO_RELAY: &str = "the device was started without a relay";
/// Commands that wait for a device.
const COMMANDS: usize = 8;
/// Pieces of an image that wait for a device, which asks for one at a time.
const PIECES: usize = 2;
/// Batches of events that wait for a device.
const EVENTS: usize = 4;
/// How long a device that is stopped has for its good-bye.
const FAREWELL: Duration = Duration::from_secs(5);
