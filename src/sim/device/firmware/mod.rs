//! The firmware of a device: the state machine of object 5 (OMA-TS-LightweightM2M Core E.6.1).
//!
//! `pull` downloads what a Package URI names, piece by piece: each is asked for by an
//! [`Output::Fetch`] and comes by an [`Input::Fetched`](super::Input::Fetched), so
//! that the device sets the pace. `push` takes the blocks that a server writes to 5/0/0. `image` knows
//! what came. Here is what both lead to: states, results, the update and its end. In each place a
//! [`FirmwareBehaviour`] may have it go wrong.

mod image;
mod pull;
mod push;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::coap::Code;
use crate::domain::{Node, Now, Path, Value};
use crate::lwm2m::register::Refusal;

use super::super::firmware::{FirmwareBehaviour, FirmwareReport, FirmwareSettings};
use super::super::objects::firmware as object;
use super::{Device, Happening, Output, Phase};
use image::{Image, Received};
use pull::Pull;
pub use pull::{Fetch, FetchError, Piece};
use push::Push;

/// What a device knows of its firmware.
#[derive(Clone, Debug)]
pub(super) struct Firmware {
    /// What runs.
    version: String,
    stage: Stage,
    /// What is told of it, and outlives restarts.
    history: History,
    last_download: u32,
    /// An update was put off already.
    is_deferred: bool,
    /// For the I/O, in this order.
    outputs: VecDeque<Output>,
}

#[derive(Clone, Debug, Default)]
struct History {
    downloaded_sha256: Option<String>,
    downloads: u64,
    restarts: u64,
    installs: BTreeMap<String, u64>,
}

#[derive(Clone, Debug)]
enum Stage {
    Idle,
    Pulling(Box<Pull>),
    Pushed(Box<Push>),
    Downloaded(Box<Arrived>),
    Updating {
        until: Instant,
        arrived: Box<Arrived>,
    },
}

/// An image that is there.
#[derive(Clone, Debug)]
struct Arrived {
    image: Image,
    /// Its last block, if it was pushed: a copy of that is answered as before.
    last_block: Option<push::LastBlock>,
}

impl Firmware {
    pub(super) fn new(settings: Option<&FirmwareSettings>) -> Self {
        Self {
            version: settings.map_or_else(String::new, |settings| settings.version.clone()),
            stage: Stage::Idle,
            history: History::default(),
            last_download: 0,
            is_deferred: false,
            outputs: VecDeque::new(),
        }
    }

    /// When [`Device::work_on_firmware`] has something to do.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match &self.stage {
            Stage::Pulling(pull) => pull.next_timeout(),
            Stage::Updating { until, .. } => Some(*until),
            Stage::Idle | Stage::Pushed(_) | Stage::Downloaded(_) => None,
        }
    }

    /// What there is for the I/O.
    pub(super) fn take_outputs(&mut self) -> impl Iterator<Item = Output> {
        self.outputs.drain(..)
    }

    fn state(&self) -> u8 {
        match &self.stage {
            Stage::Idle => IDLE,
            Stage::Pulling(_) | Stage::Pushed(_) => DOWNLOADING,
            Stage::Downloaded(_) => DOWNLOADED,
            Stage::Updating { .. } => UPDATING,
        }
    }

    fn received(&self) -> u64 {
        match &self.stage {
            Stage::Idle => 0,
            Stage::Pulling(pull) => pull.received(),
            Stage::Pushed(push) => push.received(),
            Stage::Downloaded(arrived) | Stage::Updating { arrived, .. } => arrived.image.size,
        }
    }
}

impl Device {
    /// What it tells of its firmware; nothing without object 5.
    pub fn firmware(&self) -> Option<FirmwareReport> {
        self.settings.firmware.as_ref()?;
        let firmware = &self.firmware;
        let history = firmware.history.clone();
        Some(FirmwareReport {
            version: firmware.version.clone(),
            state: firmware.state(),
            result: object::result(&self.objects),
            received: firmware.received(),
            downloaded_sha256: history.downloaded_sha256,
            downloads: history.downloads,
            restarts: history.restarts,
            installs: history.installs,
        })
    }

    pub(super) fn behaviour(&self) -> FirmwareBehaviour {
        self.settings.quirks.firmware
    }

    /// Whether a Write may do to the firmware what it wants to.
    ///
    /// # Errors
    /// 4.00 for another URI while an image is on its way or there, 4.05 for what cannot be done in this
    /// state or by this device.
    pub(super) fn check_firmware(&self, nodes: &[Node]) -> Result<(), Refusal> {
        for node in nodes {
            match (node.path.ids(), &node.value) {
                ([object::FIRMWARE, _, 0 | 1], _)
                    if matches!(self.firmware.stage, Stage::Updating { .. }) =>
                {
                    return Err(not_now("the firmware is being updated"));
                }
                ([object::FIRMWARE, _, 0], Value::Opaque(package)) if !is_nothing(package) => {
                    self.check_push()?;
                }
                ([object::FIRMWARE, _, 1], Value::String(uri)) if !uri.is_empty() => {
                    if self.delivery() == PUSH_ONLY {
                        return Err(not_now("this device is pushed to: it downloads nothing"));
                    }
                    if !matches!(self.firmware.stage, Stage::Idle) {
                        let reason = "an image is on its way or there: write an empty URI first";
                        return Err(Refusal::new(Code::BAD_REQUEST, reason));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// 5/0/1 was written.
    pub(super) fn uri_written(&mut self, now: Now) {
        let uri = object::uri(&self.objects).to_owned();
        match uri.is_empty() {
            true => self.end_firmware(now, 0),
            false => self.begin_pull(now, uri),
        }
    }

    /// 5/0/0 was written at once.
    ///
    /// # Errors
    /// As those of a push.
    pub(super) fn package_written(&mut self, now: Now, package: &[u8]) -> Result<(), Refusal> {
        if is_nothing(package) {
            object::clear_uri(&mut self.objects);
            self.end_firmware(now, 0);
            return Ok(());
        }
        self.push_whole(now, package)
    }

    /// 5/0/2
    ///
    /// # Errors
    /// 4.05 where there is nothing to install, and what a behaviour wants.
    pub(super) fn begin_update(&mut self, now: Now) -> Result<(), Refusal> {
        if let FirmwareBehaviour::RefusesUpdate { with_error } = self.behaviour() {
            let code = match with_error {
                true => Code::INTERNAL_SERVER_ERROR,
                false => Code::METHOD_NOT_ALLOWED,
            };
            return Err(Refusal::new(code, "this device does not update"));
        }
        let Stage::Downloaded(arrived) = &self.firmware.stage else {
            return Err(not_now("nothing has been downloaded"));
        };
        match self.behaviour() {
            FirmwareBehaviour::Cancelled => self.end_firmware(now, CANCELLED),
            FirmwareBehaviour::Deferred if !self.firmware.is_deferred => {
                self.firmware.is_deferred = true;
                object::show_result(&mut self.objects, DEFERRED);
            }
            _ => {
                let takes = self.settings.firmware.as_ref();
                let takes = takes.map_or(Duration::ZERO, |settings| settings.install_time);
                self.firmware.stage = Stage::Updating {
                    until: now.instant + takes,
                    arrived: arrived.clone(),
                };
                object::show_result(&mut self.objects, 0);
                self.show_state(now);
            }
        }
        Ok(())
    }

    /// 5/0/10
    ///
    /// # Errors
    /// 4.05 where there is nothing to cancel.
    pub(super) fn cancel_update(&mut self, now: Now) -> Result<(), Refusal> {
        match &self.firmware.stage {
            Stage::Pulling(_) | Stage::Pushed(_) | Stage::Downloaded(_) => {
                self.end_firmware(now, CANCELLED);
                Ok(())
            }
            Stage::Idle | Stage::Updating { .. } => Err(not_now("there is nothing to cancel")),
        }
    }

    /// Does what is due.
    pub(super) fn work_on_firmware(&mut self, now: Now, outputs: &mut Vec<Output>) {
        if !matches!(self.phase, Phase::Off | Phase::Finished) {
            self.work_on_pull(now);
            if let Stage::Updating { until, arrived } = &self.firmware.stage
                && *until <= now.instant
            {
                let arrived = arrived.clone();
                self.install(now, arrived, outputs);
            }
        }
    }

    /// It restarts for another reason: what was on its way is lost, what is there stays.
    pub(super) fn restart_firmware(&mut self, now: Now) {
        if matches!(self.firmware.stage, Stage::Pulling(_) | Stage::Pushed(_)) {
            self.end_firmware(now, 0);
        }
    }

    /// Its objects were made anew.
    pub(super) fn show_firmware(&mut self, now: Now) {
        if self.settings.firmware.is_none() {
            return;
        }
        self.show_version();
        self.show_state(now);
        if let Stage::Downloaded(arrived) | Stage::Updating { arrived, .. } = &self.firmware.stage {
            let image = &arrived.image;
            object::show_package(&mut self.objects, &image.name, &image.version);
        }
    }

    pub(super) fn show_version(&mut self) {
        if self.settings.firmware.is_some() {
            let hides = self.behaviour() == FirmwareBehaviour::NoVersion;
            let version = (!hides).then_some(self.firmware.version.as_str());
            object::show_version(&mut self.objects, version);
        }
    }

    fn show_state(&mut self, now: Now) {
        let state = self.firmware.state();
        let is_passed_over = self.behaviour() == FirmwareBehaviour::SkipsStates
            && matches!(state, DOWNLOADING | UPDATING);
        if !is_passed_over {
            object::show_state(&mut self.objects, state, now.wall);
        }
    }

    /// Back to the beginning, with this result.
    fn end_firmware(&mut self, now: Now, result: i64) {
        if let Stage::Pulling(pull) = &self.firmware.stage {
            let hang_up = pull.hang_up();
            self.firmware.outputs.push_back(hang_up);
        }
        self.firmware.stage = Stage::Idle;
        object::show_package(&mut self.objects, "", "");
        object::show_result(&mut self.objects, result);
        self.show_state(now);
    }

    /// An image came wholly.
    fn arrived(
        &mut self,
        now: Now,
        received: Received,
        uri: Option<&str>,
        last_block: Option<push::LastBlock>,
    ) {
        let image = received.finish(uri);
        let history = &mut self.firmware.history;
        history.downloads += 1;
        history.downloaded_sha256 = Some(image.sha256.clone());
        if !image.is_intact || self.behaviour() == FirmwareBehaviour::WrongHash {
            return self.end_firmware(now, INTEGRITY_FAILED);
        }
        object::show_package(&mut self.objects, &image.name, &image.version);
        object::show_result(&mut self.objects, 0);
        self.firmware.is_deferred = false;
        self.firmware.stage = Stage::Downloaded(Box::new(Arrived { image, last_block }));
        self.show_state(now);
    }

    /// The time is over that the installation takes.
    fn install(&mut self, now: Now, arrived: Box<Arrived>, outputs: &mut Vec<Output>) {
        let (installs, result) = match self.behaviour() {
            FirmwareBehaviour::UpdateFailed => {
                // "If the Update Resource failed, the state returns at Downloaded."
                self.firmware.stage = Stage::Downloaded(arrived);
                object::show_result(&mut self.objects, UPDATE_FAILED);
                return self.show_state(now);
            }
            FirmwareBehaviour::OldVersion => (false, SUCCESS),
            FirmwareBehaviour::SilentReboot { installs } => (installs, 0),
            _ => (true, SUCCESS),
        };
        if installs {
            let version = arrived.image.version;
            *self
                .firmware
                .history
                .installs
                .entry(version.clone())
                .or_default() += 1;
            self.firmware.version = version;
            self.show_version();
            outputs.push(Output::Happened(Happening::Installed));
        }
        self.end_firmware(now, result);
        self.reboot_wanted = true;
        self.reboot(now, outputs);
    }

    /// As if the battery were empty.
    fn fall_silent(&mut self, now: Now, outputs: &mut Vec<Output>) {
        if let Stage::Pulling(pull) = &self.firmware.stage {
            outputs.push(pull.hang_up());
        }
        self.firmware.stage = Stage::Idle;
        self.reboot_wanted = true;
        self.reboot(now, outputs);
        self.phase = Phase::Waiting(now.instant + FOR_EVER);
    }

    fn delivery(&self) -> u8 {
        let settings = self.settings.firmware.as_ref();
        settings.map_or(PULL_ONLY, |settings| settings.delivery)
    }

    /// An image of so many bytes does not fit: its result, and how much would.
    fn lacks_room(&self, size: u64) -> Option<u64> {
        if self.behaviour() == FirmwareBehaviour::NoStorage {
            return Some(0);
        }
        self.settings.quirks.storage.filter(|room| size > *room)
    }
}

/// An empty package, or the one with a NUL that E.6 writes of, puts everything back.
fn is_nothing(package: &[u8]) -> bool {
    matches!(package, [] | [0])
}

fn not_now(reason: &str) -> Refusal {
    Refusal::new(Code::METHOD_NOT_ALLOWED, reason)
}

/// True when at least half of an image has come; of one of unknown size, anything.
fn is_half(received: u64, total: Option<u64>) -> bool {
    total.is_none_or(|total| received.saturating_mul(2) >= total)
}

/// 5/0/0
pub(super) const PACKAGE: Path = Path::resource(object::FIRMWARE, 0, 0);
/// Of 5/0/3.
const IDLE: u8 = 0;
const DOWNLOADING: u8 = 1;
const DOWNLOADED: u8 = 2;
const UPDATING: u8 = 3;
/// Of 5/0/5.
const SUCCESS: i64 = 1;
const NO_STORAGE: i64 = 2;
const OUT_OF_MEMORY: i64 = 3;
const CONNECTION_LOST: i64 = 4;
const INTEGRITY_FAILED: i64 = 5;
const UNSUPPORTED_IMAGE: i64 = 6;
const INVALID_URI: i64 = 7;
const UPDATE_FAILED: i64 = 8;
const UNSUPPORTED_PROTOCOL: i64 = 9;
const CANCELLED: i64 = 10;
const DEFERRED: i64 = 11;
/// Of 5/0/9.
const PULL_ONLY: u8 = 0;
const PUSH_ONLY: u8 = 1;
/// Ten years.
const FOR_EVER: Duration = Duration::from_secs(315_360_000);
