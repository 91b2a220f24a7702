//! Register, Update, Deregister and Send (OMA-TS-LightweightM2M Core 6.2 and 6.4.5): when each is
//! due, what it says, and what its answer means.

use std::time::{Duration, Instant};

use crate::coap::{Code, ExchangeFailure, Options, Request, Response, number};
use crate::domain::{ContentFormat, Lwm2mVersion, Now, Path, Timestamp, Value};
use crate::lwm2m::{codec, link_format};

use super::super::objects::{Environment, Objects};
use super::{Device, Happening, Output, Sending};

/// Where the device is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Not yet switched on.
    Off,
    /// Registers at this time: after a failure, or a reboot.
    Waiting(Instant),
    /// A Register is under way.
    Registering,
    /// The server has confirmed the registration.
    Registered,
    /// Switched off for good.
    Finished,
}

/// The request of ours that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) exchange: u32,
    purpose: Purpose,
    /// What it announces, to be announced again if it fails.
    announce: Announce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Deregister,
    Register,
    Send,
    Update,
}

/// What the next Update has to tell; nothing at all for one that only keeps the registration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Announce {
    pub(super) binding: bool,
    pub(super) lifetime: bool,
    pub(super) objects: bool,
}

impl Device {
    pub(super) fn start(&mut self, now: Now) {
        if self.phase != Phase::Off {
            return;
        }
        self.phase = Phase::Waiting(now.instant);
        self.step_at = Some(now.instant + self.settings.interval);
        self.send_at = self
            .settings
            .send_interval
            .map(|interval| now.instant + interval);
    }

    pub(super) fn stop(&mut self, deregister: bool, outputs: &mut Vec<Output>) {
        if self.phase == Phase::Finished {
            return;
        }
        self.stopping = true;
        let nothing_to_say = self.location.is_none() && self.phase != Phase::Registering;
        if !deregister || nothing_to_say {
            self.finish(outputs);
        }
    }

    /// 3/0/4: everything but the values is forgotten, then it registers anew. After 3/0/5 the values
    /// are those of a device that was just made.
    pub(super) fn reboot(&mut self, now: Now, outputs: &mut Vec<Output>) {
        self.forget_registration(outputs);
        self.restart_firmware(now);
        self.pending = None;
        self.failures = 0;
        self.clock_offset = 0;
        self.phase = Phase::Waiting(now.instant + self.settings.reboot_time);
        if std::mem::take(&mut self.reset_wanted) {
            self.settings.lifetime = self.first_lifetime;
            let table = Self::table(&self.settings);
            self.objects = Objects::new(self.objects.shared_models(), table);
            self.environment = Environment::begin(&self.settings, &mut self.objects, now.wall);
            self.show_firmware(now);
        }
    }

    /// Does what is due: at most one request at a time.
    pub(super) fn live(&mut self, now: Now, outputs: &mut Vec<Output>) {
        if self.reboot_wanted && self.phase == Phase::Registered {
            // The answer to the Execute goes first.
            self.reboot(now, outputs);
        }
        if let Some(at) = self.send_at
            && at <= now.instant
        {
            self.send_at = self
                .settings
                .send_interval
                .map(|interval| now.instant + interval);
            if self.sends.is_empty() {
                self.sends.push_back(Sending::Paths(SENSORS.to_vec()));
            }
        }
        if self.pending.is_some() {
            return;
        }
        match self.phase {
            Phase::Waiting(at) if at <= now.instant => self.register(now, outputs),
            Phase::Registered if self.stopping || self.disable_wanted => {
                self.ask(now, Purpose::Deregister, outputs);
            }
            Phase::Registered
                if self.update_wanted || self.update_at.is_some_and(|at| at <= now.instant) =>
            {
                self.ask(now, Purpose::Update, outputs);
            }
            Phase::Registered => {
                // What is muted or holds no value is passed over.
                while self.pending.is_none() && !self.sends.is_empty() {
                    self.ask(now, Purpose::Send, outputs);
                }
            }
            _ => {}
        }
    }

    pub(super) fn live_at(&self) -> Option<Instant> {
        if self.pending.is_some() {
            return None;
        }
        match self.phase {
            Phase::Waiting(at) => Some(at),
            Phase::Registered => [self.update_at, self.send_at].into_iter().flatten().min(),
            Phase::Off | Phase::Registering | Phase::Finished => None,
        }
    }

    /// One of our requests ended; answers to what was given up meanwhile mean nothing.
    pub(super) fn answered(
        &mut self,
        now: Now,
        exchange: u32,
        answer: Result<Response, ExchangeFailure>,
        outputs: &mut Vec<Output>,
    ) {
        let Some(pending) = self.pending.take_if(|pending| pending.exchange == exchange) else {
            return;
        };
        match pending.purpose {
            Purpose::Deregister => {
                if answer.is_ok_and(|response| response.code == Code::DELETED) {
                    outputs.push(Output::Happened(Happening::Deregistered));
                } else {
                    outputs.push(Output::Happened(Happening::Failed));
                }
                if self.stopping {
                    self.finish(outputs);
                } else {
                    self.forget_registration(outputs);
                    self.phase = Phase::Waiting(now.instant + self.disable_time());
                }
            }
            Purpose::Register => self.register_answered(now, answer, outputs),
            Purpose::Send => match answer {
                Ok(response) if response.code.is_success() => {
                    outputs.push(Output::Happened(Happening::Sent));
                }
                _ => outputs.push(Output::Happened(Happening::Failed)),
            },
            Purpose::Update => self.update_answered(now, pending, answer, outputs),
        }
    }

    fn register(&mut self, now: Now, outputs: &mut Vec<Output>) {
        // A server that is told anew of a device has forgotten what it observed (Core 6.4.1).
        self.observations.clear();
        self.reboot_wanted = false;
        self.disable_wanted = false;
        self.update_wanted = false;
        self.announce = Announce::default();
        self.phase = Phase::Registering;
        self.ask(now, Purpose::Register, outputs);
    }

    fn register_answered(
        &mut self,
        now: Now,
        answer: Result<Response, ExchangeFailure>,
        outputs: &mut Vec<Output>,
    ) {
        let mut patience = None;
        if let Ok(response) = &answer {
            let location: Vec<Vec<u8>> = response
                .options
                .all(number::LOCATION_PATH)
                .map(<[u8]>::to_vec)
                .collect();
            if response.code == Code::CREATED && !location.is_empty() {
                self.location = Some(location);
                self.phase = Phase::Registered;
                self.failures = 0;
                self.denials.clear();
                self.update_at = Some(now.instant + self.update_after());
                outputs.push(Output::Happened(Happening::Registered));
                return;
            }
            patience = max_age(response);
            self.denied(response, outputs);
        }
        outputs.push(Output::Happened(Happening::Failed));
        if self.stopping {
            self.finish(outputs);
            return;
        }
        let wait = self.backoff().max(patience.unwrap_or_default());
        self.phase = Phase::Waiting(now.instant + wait);
    }

    /// Tells that the server refuses, unless that was told already.
    fn denied(&mut self, response: &Response, outputs: &mut Vec<Output>) {
        if response.code.is_success() {
            return;
        }
        let reason = diagnostic(&response.payload);
        let denial = (response.code, reason.clone());
        if self.denials.contains(&denial) || self.denials.len() >= DENIALS {
            return;
        }
        self.denials.push(denial);
        outputs.push(Output::Denied {
            code: response.code,
            reason,
        });
    }

    fn update_answered(
        &mut self,
        now: Now,
        pending: Pending,
        answer: Result<Response, ExchangeFailure>,
        outputs: &mut Vec<Output>,
    ) {
        match answer {
            Ok(response) if response.code == Code::CHANGED => {
                self.failures = 0;
                self.update_at = Some(now.instant + self.update_after());
                outputs.push(Output::Happened(Happening::Updated));
            }
            // The server is busy: what there was to tell is told later.
            Ok(response) if response.code.class() == 5 => {
                outputs.push(Output::Happened(Happening::Failed));
                self.announce = Announce {
                    binding: self.announce.binding || pending.announce.binding,
                    lifetime: self.announce.lifetime || pending.announce.lifetime,
                    objects: self.announce.objects || pending.announce.objects,
                };
                let wait = self.backoff().max(max_age(&response).unwrap_or_default());
                self.update_at = Some(now.instant + wait);
            }
            // Not known any more (4.04), not understood, or nobody there: from the beginning.
            other => {
                if !matches!(&other, Ok(response) if response.code == Code::NOT_FOUND) {
                    outputs.push(Output::Happened(Happening::Failed));
                }
                self.forget_registration(outputs);
                if self.stopping {
                    self.finish(outputs);
                } else {
                    self.phase = Phase::Waiting(now.instant);
                }
            }
        }
    }

    fn forget_registration(&mut self, outputs: &mut Vec<Output>) {
        self.observations.clear();
        if self.location.take().is_some() {
            outputs.push(Output::Happened(Happening::Lost));
        }
    }

    fn finish(&mut self, outputs: &mut Vec<Output>) {
        self.forget_registration(outputs);
        self.pending = None;
        self.phase = Phase::Finished;
        outputs.push(Output::Finished);
    }

    fn ask(&mut self, now: Now, purpose: Purpose, outputs: &mut Vec<Output>) {
        let announce = std::mem::take(&mut self.announce);
        let request = match purpose {
            Purpose::Deregister => Some(Request {
                options: self.location_options(),
                ..Request::new(Code::DELETE)
            }),
            Purpose::Register => Some(self.register_request()),
            Purpose::Send => {
                self.announce = announce;
                self.sends
                    .pop_front()
                    .and_then(|sending| self.send_request(now.wall, sending))
            }
            Purpose::Update => {
                self.update_wanted = false;
                Some(self.update_request(announce))
            }
        };
        let Some(request) = request else { return };
        self.last_exchange = self.last_exchange.wrapping_add(1);
        self.pending = Some(Pending {
            exchange: self.last_exchange,
            purpose,
            announce,
        });
        outputs.push(Output::Ask {
            exchange: self.last_exchange,
            request,
        });
    }

    fn register_request(&self) -> Request {
        let mut request = Request::new(Code::POST);
        let options = &mut request.options;
        options.add_uri_path("rd");
        let mut query = |text: String| options.add(number::URI_QUERY, text.as_bytes());
        query(format!("ep={}", self.settings.name));
        query(format!("lwm2m={}", self.settings.version));
        query(format!("lt={}", self.settings.lifetime.as_secs().max(1)));
        query(format!("b={}", self.binding()));
        if self.settings.queue_mode.is_some() && self.speaks(Lwm2mVersion::V1_1) {
            query("Q".to_owned());
        }
        self.add_links(&mut request);
        request
    }

    fn update_request(&self, announce: Announce) -> Request {
        let mut request = Request {
            options: self.location_options(),
            ..Request::new(Code::POST)
        };
        let mut query = |text: String| request.options.add(number::URI_QUERY, text.as_bytes());
        if announce.lifetime {
            query(format!("lt={}", self.settings.lifetime.as_secs().max(1)));
        }
        if announce.binding {
            query(format!("b={}", self.binding()));
            if self.settings.queue_mode.is_some() && self.speaks(Lwm2mVersion::V1_1) {
                query("Q".to_owned());
            }
        }
        if announce.objects {
            self.add_links(&mut request);
        }
        request
    }

    /// SenML with the time of each value. None when it may not or need not be sent.
    fn send_request(&self, wall: Timestamp, sending: Sending) -> Option<Request> {
        if !self.speaks(Lwm2mVersion::V1_1) || self.is_muted() {
            return None;
        }
        let nodes = match sending {
            Sending::Paths(paths) => {
                let mut nodes = self.objects.collect_all(&paths);
                for node in &mut nodes {
                    node.time = Some(wall);
                }
                nodes
            }
            Sending::Values(nodes) => nodes,
        };
        let format = ContentFormat::SenmlCbor;
        let payload = codec::encode(format, Path::ROOT, &nodes, self.objects.view()).ok()?;
        let mut request = Request::new(Code::POST);
        request.options.add_uri_path("dp");
        request
            .options
            .add_uint(number::CONTENT_FORMAT, format.code().into());
        request.payload = payload;
        (!nodes.is_empty()).then_some(request)
    }

    /// 1/0/23
    fn is_muted(&self) -> bool {
        self.objects.value(&Path::resource(1, 0, 23)) == Some(&Value::Boolean(true))
    }

    fn add_links(&self, request: &mut Request) {
        request
            .options
            .add_uint(number::CONTENT_FORMAT, LINK_FORMAT.into());
        let links = link_format::announce("", self.settings.formats(), &self.objects.announced());
        request.payload = links.into_bytes();
    }

    fn location_options(&self) -> Options {
        let segments = self.location.iter().flatten();
        segments
            .map(|segment| (number::URI_PATH, segment.as_slice()))
            .collect()
    }

    fn binding(&self) -> &str {
        match self.objects.value(&Path::resource(1, 0, 7)) {
            Some(Value::String(binding)) => binding,
            _ => "U",
        }
    }

    /// 1/0/5
    fn disable_time(&self) -> Duration {
        match self.objects.value(&Path::resource(1, 0, 5)) {
            Some(Value::Integer(seconds)) => {
                Duration::from_secs(u64::try_from(*seconds).unwrap_or(0)).min(LONGEST_DISABLED)
            }
            _ => DISABLED,
        }
    }

    /// Before the lifetime is over, with time for retransmissions.
    fn update_after(&self) -> Duration {
        self.settings
            .update_interval
            .unwrap_or_else(|| self.settings.lifetime.mul_f64(0.8))
    }

    /// Longer after each failure, and not the same for all devices.
    fn backoff(&mut self) -> Duration {
        let doubled = self
            .settings
            .retry_min
            .saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1).min(16);
        doubled
            .min(self.settings.retry_max)
            .mul_f64(self.random.between(0.75, 1.25))
    }
}

fn max_age(response: &Response) -> Option<Duration> {
    let seconds = response.options.uint(number::MAX_AGE)?;
    Some(Duration::from_secs(seconds.into()).min(LONGEST_PATIENCE))
}

/// A diagnostic payload (RFC 7252 section 5.5.2) as one line.
fn diagnostic(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload)
        .chars()
        .map(|one| if one.is_control() { ' ' } else { one })
        .take(DIAGNOSTIC_CHARS)
        .collect()
}

/// A server that never says the same twice is not listened to for ever.
const DENIALS: usize = 8;
/// Of a diagnostic payload so much is shown.
const DIAGNOSTIC_CHARS: usize = 200;
/// `application/link-format`
pub(super) const LINK_FORMAT: u16 = 40;
/// However long a server asks to be left alone.
const LONGEST_PATIENCE: Duration = Duration::from_secs(3600);
/// How long it is away when 1/0/5 does not say (Core appendix E.2).
const DISABLED: Duration = Duration::from_secs(86_400);
/// However long 1/0/5 says.
const LONGEST_DISABLED: Duration = Duration::from_secs(315_360_000);
/// What goes out by itself: the sensors' values.
const SENSORS: [Path; 6] = [
    Path::resource(3303, 0, 5700),
    Path::resource(3304, 0, 5700),
    // Where it is: latitude, longitude, radius and the time of them.
    Path::resource(6, 0, 0),
    Path::resource(6, 0, 1),
    Path::resource(6, 0, 3),
    Path::resource(6, 0, 5),
];
