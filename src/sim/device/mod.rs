//! One LwM2M client without I/O: time and messages go in, messages come out.
//!
//! [`Device::handle`] is the whole interface. `lifecycle` registers and keeps the registration
//! alive, `operations` answers what the server asks, `observe` decides when to notify, `firmware`
//! downloads and installs;
//! [`objects`](super::objects) holds the values. Retransmission, message ids and blocks are the
//! business of [`crate::coap`]; sockets and clocks that of [`client`](super::client).
//!
//! ```text
//!   Input -> handle -> Output (Ask, Respond, Notify, Drop, Happened, …)
//!   next_timeout -> (time passes) -> handle(Timeout)
//! ```

mod firmware;
mod lifecycle;
mod observe;
mod operations;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::coap::{Code, ExchangeFailure, Request, Response};
use crate::domain::{Lwm2mVersion, Node, Now, Path, Token, Value};
use crate::lwm2m::Models;
use crate::lwm2m::register::Refusal;

use super::objects::{Environment, Objects, Table};
use super::quirks::Quirks;
use super::random::Random;
use super::settings::DeviceSettings;
use firmware::Firmware;
pub use firmware::{Fetch, FetchError, Piece};
use lifecycle::{Announce, Pending, Phase};
use observe::Observation;

/// What happens to a device.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// One of its requests ended.
    Answered {
        /// Which, as in [`Output::Ask`].
        exchange: u32,
        /// How.
        answer: Result<Response, ExchangeFailure>,
    },
    /// What became of an [`Output::Fetch`]. One comes for each, unless another download has begun.
    Fetched {
        /// The download that it belongs to.
        download: u32,
        /// What came.
        piece: Result<Piece, FetchError>,
    },
    /// Its confirmable notification was acknowledged.
    NotificationAcknowledged(Token),
    /// Its confirmable notification was never acknowledged, or could not be sent.
    NotificationLost(Token),
    /// Its notification was answered with a Reset.
    NotificationReset(Token),
    /// It measured these values at these times: observations of them tell all of them.
    Record(Vec<Node>),
    /// The server asks for something. Answered by exactly one [`Output::Respond`] or
    /// [`Output::Drop`], which is the first output.
    Request {
        /// The token of the request: observations are known by it.
        token: Token,
        /// The request.
        request: Request,
    },
    /// It is to send these paths on its own accord as soon as it can.
    Send(Vec<Path>),
    /// It is to send these values on its own accord as soon as it can.
    SendValues(Vec<Node>),
    /// A value changes, by its own doing.
    Set(Path, Value),
    /// It is switched on.
    Start,
    /// It is switched off.
    Stop {
        /// Whether it says good-bye, or just falls silent.
        deregister: bool,
    },
    /// Time has passed.
    Timeout,
    /// It is to send an Update as soon as it can.
    Update,
    /// It gives up an object, an instance, a resource or a resource instance.
    Withdraw(Path),
}

/// What a device does.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// It sends a confirmable request.
    Ask {
        /// To be repeated in [`Input::Answered`].
        exchange: u32,
        /// The request.
        request: Request,
    },
    /// The server refuses its Register. Said once for each code and reason, until it is registered.
    Denied {
        /// The code of the answer.
        code: Code,
        /// The diagnostic payload, shortened and without control characters; empty when there is none.
        reason: String,
    },
    /// It does not hear the request: it sleeps, or is switched off.
    Drop,
    /// It wants a piece of an image. There is at most one under way.
    Fetch(Fetch),
    /// It is off and does nothing more.
    Finished,
    /// It wants nothing more of a download for now: the connection is closed, and what is under way is not
    /// awaited.
    HangUp {
        /// As in [`Fetch`].
        download: u32,
    },
    /// To be counted.
    Happened(Happening),
    /// It sends a notification.
    Notify {
        /// Of which observation.
        token: Token,
        /// The notification, with its `Observe` option.
        response: Response,
        /// Whether it wants an acknowledgement.
        confirmable: bool,
    },
    /// An [`Input::Set`], [`Input::Record`] or [`Input::Withdraw`] was impossible, and why.
    Refused(String),
    /// It answers the request.
    Respond(Response),
}

/// Something worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Happening {
    /// The server confirmed the Deregister.
    Deregistered,
    /// A request of its own was refused or not answered, or a notification was lost.
    Failed,
    /// It has installed a firmware image.
    Installed,
    /// It is not registered any more: rebooted, switched off, or the server does not know it.
    Lost,
    /// A notification was acknowledged.
    NotificationAcknowledged,
    /// A notification went out.
    Notified,
    /// The server's request was carried out or refused.
    Operated,
    /// The server confirmed a Register.
    Registered,
    /// The server confirmed a Send.
    Sent,
    /// The server confirmed an Update.
    Updated,
}

/// A whole LwM2M client.
#[derive(Clone, Debug)]
pub struct Device {
    settings: DeviceSettings,
    objects: Objects,
    environment: Environment,
    random: Random,
    phase: Phase,
    /// Where the registration is; present while it is registered as far as it knows.
    location: Option<Vec<Vec<u8>>>,
    /// One confirmable request at a time (NSTART = 1, RFC 7252 section 4.7).
    pending: Option<Pending>,
    last_exchange: u32,
    /// Registers in a row that failed.
    failures: u32,
    /// How the server has refused it since it was last registered.
    denials: Vec<(Code, String)>,
    announce: Announce,
    update_at: Option<Instant>,
    update_wanted: bool,
    /// It is being switched off.
    stopping: bool,
    reboot_wanted: bool,
    /// The reboot is to forget everything that was written (3/0/5).
    reset_wanted: bool,
    /// It is to be away for a while (1/0/4).
    disable_wanted: bool,
    /// The lifetime that it was made with.
    first_lifetime: Duration,
    sends: VecDeque<Sending>,
    send_at: Option<Instant>,
    step_at: Option<Instant>,
    awake_until: Option<Instant>,
    /// Requests that it has heard since it last spoke on its own accord.
    heard: u32,
    observations: Vec<Observation>,
    /// The last value of an `Observe` option.
    sequence: u32,
    /// What a server has added to the clock, in seconds.
    clock_offset: i64,
    firmware: Firmware,
}

/// What waits to be sent on its own accord.
#[derive(Clone, Debug, PartialEq)]
enum Sending {
    /// The values that these paths have by then.
    Paths(Vec<Path>),
    Values(Vec<Node>),
}

impl Device {
    /// A device that is switched off. `models` are those of [`models`](super::models).
    pub fn new(settings: DeviceSettings, models: Arc<Models>, now: Now) -> Self {
        let mut objects = Objects::new(models, Self::table(&settings));
        let environment = Environment::begin(&settings, &mut objects, now.wall);
        let mut device = Self {
            firmware: Firmware::new(settings.firmware.as_ref()),
            random: Random::new(settings.seed.rotate_left(32)),
            objects,
            environment,
            phase: Phase::Off,
            location: None,
            pending: None,
            last_exchange: 0,
            failures: 0,
            announce: Announce::default(),
            denials: Vec::new(),
            update_at: None,
            update_wanted: false,
            stopping: false,
            reboot_wanted: false,
            reset_wanted: false,
            disable_wanted: false,
            first_lifetime: settings.lifetime,
            sends: VecDeque::new(),
            send_at: None,
            step_at: None,
            awake_until: None,
            heard: 0,
            observations: Vec::new(),
            sequence: 0,
            clock_offset: 0,
            settings,
        };
        device.show_firmware(now);
        device
    }

    /// What it is.
    pub fn settings(&self) -> &DeviceSettings {
        &self.settings
    }

    /// The value of a resource or resource instance.
    pub fn value(&self, path: &Path) -> Option<&Value> {
        self.objects.value(path)
    }

    /// True while it is registered, as far as it knows.
    pub fn is_registered(&self) -> bool {
        self.location.is_some()
    }

    /// Where its registration is, for example `rd/5a3f`; nothing while it is not registered.
    pub fn location(&self) -> Option<String> {
        let segments = self.location.as_ref()?;
        let text = |segment: &Vec<u8>| String::from_utf8_lossy(segment).into_owned();
        Some(segments.iter().map(text).collect::<Vec<_>>().join("/"))
    }

    /// Other misbehaviour from now on.
    pub fn set_quirks(&mut self, quirks: Quirks) {
        self.settings.quirks = quirks;
        self.show_version();
    }

    /// True when it hears what is sent to it.
    pub fn is_awake(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Off | Phase::Finished => false,
            Phase::Waiting(_) if self.reboot_wanted || self.disable_wanted => false,
            _ if self
                .settings
                .quirks
                .hears
                .is_some_and(|most| self.heard >= most) =>
            {
                false
            }
            _ if self.settings.queue_mode.is_none() => true,
            _ => {
                self.pending.is_some()
                    || self.observations.iter().any(Observation::is_in_flight)
                    || self.awake_until.is_some_and(|until| now < until)
            }
        }
    }

    /// How many observations the server has on it.
    pub fn observations(&self) -> usize {
        self.observations.len()
    }

    /// Takes what happened, and does what is due by now.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Output> {
        let mut outputs = Vec::new();
        self.keep_clock(now);
        match input {
            Input::Answered { exchange, answer } => {
                self.answered(now, exchange, answer, &mut outputs);
            }
            Input::Fetched { download, piece } => {
                self.fetched(now, download, piece, &mut outputs);
            }
            Input::NotificationAcknowledged(token) => {
                self.notification_acknowledged(token, &mut outputs)
            }
            Input::NotificationLost(token) => self.notification_lost(now, token, &mut outputs),
            Input::NotificationReset(token) => self.observations.retain(|one| one.token != token),
            Input::Request { token, request } => {
                let mut after = Vec::new();
                let is_awake = self.is_awake(now.instant);
                let answer = is_awake.then(|| {
                    self.heard = self.heard.saturating_add(1);
                    self.answer(now, token, &request, &mut after)
                });
                match answer.flatten() {
                    Some(response) => {
                        outputs.push(Output::Respond(response));
                        outputs.push(Output::Happened(Happening::Operated));
                    }
                    None => outputs.push(Output::Drop),
                }
                outputs.append(&mut after);
            }
            Input::Record(measured) => {
                let recorded = self.record(now, measured);
                outputs.extend(recorded.err().map(refused));
            }
            Input::Send(paths) => self.want_to_send(Sending::Paths(paths)),
            Input::SendValues(values) => self.want_to_send(Sending::Values(values)),
            Input::Set(path, value) => {
                if let Err(refusal) = self.objects.set(path, value) {
                    outputs.push(refused(refusal));
                } else {
                    self.react(now, &[path]);
                }
            }
            Input::Start => self.start(now),
            Input::Stop { deregister } => self.stop(deregister, &mut outputs),
            Input::Timeout => {}
            Input::Update => self.update_wanted = true,
            Input::Withdraw(path) => match self.objects.withdraw(path) {
                Ok(()) if path.depth() <= 2 => self.objects_changed(),
                Ok(()) => {}
                Err(refusal) => outputs.push(refused(refusal)),
            },
        }
        self.pass_time(now);
        self.work_on_firmware(now, &mut outputs);
        self.live(now, &mut outputs);
        self.notify(now, &mut outputs);
        outputs.extend(self.firmware.take_outputs());
        let speaks = |output: &Output| {
            matches!(
                output,
                Output::Ask { .. } | Output::Notify { .. } | Output::Respond(_)
            )
        };
        let begins = |output: &Output| matches!(output, Output::Ask { .. } | Output::Notify { .. });
        if outputs.iter().any(begins) {
            self.heard = 0;
        }
        if let Some(awake) = self.settings.queue_mode
            && outputs.iter().any(speaks)
        {
            self.awake_until = Some(now.instant + awake);
        }
        outputs
    }

    /// When [`Input::Timeout`] is due next.
    pub fn next_timeout(&self) -> Option<Instant> {
        if matches!(self.phase, Phase::Off | Phase::Finished) {
            return None;
        }
        let firmware = self.firmware.next_timeout();
        [self.step_at, self.live_at(), self.notify_at(), firmware]
            .into_iter()
            .flatten()
            .min()
    }

    fn table(settings: &DeviceSettings) -> Table {
        Table {
            version: settings.version,
            test_objects: settings.test_objects,
            firmware: settings.firmware.is_some(),
        }
    }

    fn want_to_send(&mut self, sending: Sending) {
        if self.sends.len() < MAX_SENDS {
            self.sends.push_back(sending);
        }
    }

    /// The values move on.
    fn pass_time(&mut self, now: Now) {
        let Some(mut at) = self.step_at else { return };
        let interval = self.settings.interval.max(SHORTEST_INTERVAL);
        let mut steps = 0;
        while at <= now.instant {
            self.environment.step(&mut self.objects, now.wall);
            at += interval;
            steps += 1;
            if steps >= MAX_STEPS_AT_ONCE {
                at = now.instant + interval;
            }
        }
        self.step_at = Some(at);
    }

    fn keep_clock(&mut self, now: Now) {
        let seconds = super::objects::seconds(now.wall);
        self.objects
            .set_clock(seconds.saturating_add(self.clock_offset));
    }

    /// What changed values mean for the device itself.
    fn react(&mut self, now: Now, changed: &[Path]) {
        for path in changed {
            match path.ids() {
                [1, _, 1] => {
                    if let Some(Value::Integer(seconds)) = self.objects.value(path) {
                        self.settings.lifetime =
                            Duration::from_secs(u64::try_from(*seconds).unwrap_or(1).max(1));
                        self.announce.lifetime = true;
                        self.update_wanted = true;
                    }
                }
                [1, _, 7] => {
                    self.announce.binding = true;
                    self.update_wanted = true;
                }
                [3, _, 13] => {
                    if let Some(Value::Time(set)) = self.objects.value(path) {
                        self.clock_offset = set.saturating_sub(super::objects::seconds(now.wall));
                    }
                }
                [5, _, 1] => self.uri_written(now),
                _ => {}
            }
        }
    }

    fn speaks(&self, version: Lwm2mVersion) -> bool {
        self.settings.version >= version
    }
}

fn refused(refusal: Refusal) -> Output {
    Output::Refused(refusal.reason)
}

/// Sends that wait for their turn.
const MAX_SENDS: usize = 16;
/// No interval of values is shorter.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
/// A device that was not looked after for long does not make up for all of it.
const MAX_STEPS_AT_ONCE: u32 = 10;
