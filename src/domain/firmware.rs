//! Firmware: images, and what becomes of one on one device (object 5, OMA-TS-LightweightM2M Core E.6).

use std::fmt;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ids::{EndpointId, EndpointName, FirmwareId, FirmwareUpdateId, OperationId, RolloutId};
use super::names::names;
use super::rollout::RolloutStep;
use super::selection::Selection;
use super::time::Timestamp;

/// An image that devices can be given. Its bytes never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirmwareImage {
    /// Its row.
    pub id: FirmwareId,
    /// What a device that runs it says in 3/0/3; unique.
    pub version: String,
    /// The name of its file, as devices ask for it; unique.
    pub name: String,
    /// 32 random hexadecimal digits, for names that cannot be guessed.
    pub key: String,
    /// Of its bytes, in hexadecimal.
    pub sha256: String,
    /// Bytes.
    pub size: u64,
    /// What people should know of it.
    pub notes: String,
    /// The devices it is made for; another one is not given it.
    pub selection: Selection,
    /// When it was uploaded.
    pub created_at: Timestamp,
    /// By whom: a login or `token:NAME`, or `command line`.
    pub created_by: String,
}

impl FirmwareImage {
    /// The longest version, in bytes.
    pub const MAX_VERSION_BYTES: usize = 64;
    /// The longest name, in bytes: with the longest host in front, a Package URI has at most 255 bytes.
    pub const MAX_NAME_BYTES: usize = 100;
    /// The longest notes, in bytes.
    pub const MAX_NOTES_BYTES: usize = 4096;

    /// Checks a version: 1 to [`FirmwareImage::MAX_VERSION_BYTES`] bytes of letters, digits, `.`, `-`, `_` and `+`,
    /// the first of them a letter or a digit.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check_version(version: &str) -> Result<(), String> {
        check_word("version", version, Self::MAX_VERSION_BYTES)
    }

    /// Checks a name: 1 to [`FirmwareImage::MAX_NAME_BYTES`] bytes of letters, digits, `.`, `-`, `_` and `+`, the first
    /// of them a letter or a digit. So it is neither a path nor hidden.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn check_name(name: &str) -> Result<(), String> {
        check_word("file name", name, Self::MAX_NAME_BYTES)
    }

    /// True when a device that says this of itself (3/0/3) runs this image: the version, white space and a leading
    /// `v` apart, or the version with a build behind it (`0.1.0+7` for `0.1.0`, as MCUboot and semantic versioning
    /// write it).
    pub fn is_what_runs(version: &str, running: &str) -> bool {
        let (version, running) = (plain(version), plain(running));
        let build = || running.strip_prefix(version)?.strip_prefix('+');
        version == running || build().is_some()
    }
}

fn plain(version: &str) -> &str {
    let version = version.trim();
    version
        .strip_prefix(['v', 'V'])
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        .unwrap_or(version)
}

fn check_word(what: &str, text: &str, longest: usize) -> Result<(), String> {
    if text.is_empty() || text.len() > longest {
        return Err(format!(
            "a {what} has 1 to {longest} bytes, this one has {}",
            text.len()
        ));
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err(format!(
            "a {what} begins with a letter or a digit, `{text}` does not"
        ));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '+');
    match text.chars().find(|c| !legal(*c)) {
        Some(c) => Err(format!(
            "a {what} is made of letters, digits, `.`, `-`, `_` and `+`, but `{text}` has {c:?}"
        )),
        None => Ok(()),
    }
}

/// The bytes of an image, read in parts by many at once.
pub trait ImageBytes: Send + Sync + fmt::Debug {
    /// How many there are.
    fn size(&self) -> u64;

    /// Tells them from all others: the first eight bytes of their SHA-256 (an entity tag, RFC 7252 section 5.10.6).
    fn tag(&self) -> [u8; 8];

    /// Fills the buffer from there on; fewer bytes only at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// How an image comes to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateMethod {
    /// The device fetches it over CoAP or CoAPS (5/0/1).
    PullCoap,
    /// The device fetches it over HTTPS (5/0/1).
    PullHttps,
    /// The server writes it to 5/0/0, block by block.
    Push,
}

names!(UpdateMethod, "way of a firmware update", {
    PullCoap = "pull_coap",
    PullHttps = "pull_https",
    Push = "push",
});

/// Where the device stands (5/0/3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpdateState {
    /// 0: nothing happens.
    Idle,
    /// 1: the image is on its way.
    Downloading,
    /// 2: the image is there.
    Downloaded,
    /// 3: the image is being installed.
    Updating,
}

names!(UpdateState, "state of a firmware update", {
    Idle = "IDLE",
    Downloading = "DOWNLOADING",
    Downloaded = "DOWNLOADED",
    Updating = "UPDATING",
});

impl UpdateState {
    /// What a value of 5/0/3 means.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }
}

/// How an update went (5/0/5). DEFAULT: it is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpdateResult {
    /// 0: not over.
    Default,
    /// 1: the device runs the image.
    Success,
    /// 2: no storage for the image.
    NoStorage,
    /// 3: out of memory while it was downloaded.
    OutOfMem,
    /// 4: the connection was lost while it was downloaded.
    ConnectionLost,
    /// 5: the image arrived changed.
    IntegrityFailed,
    /// 6: no image for this device.
    UnsupFw,
    /// 7: the URI cannot be used.
    InvalidUri,
    /// 8: the image could not be installed.
    UpdateFailed,
    /// 9: the protocol of the URI is not spoken.
    UnsupProto,
    /// 10, since version 1.1 of the object: given up because somebody said so.
    Cancelled,
    /// 11, since version 1.1 of the object: the device puts it off.
    Deferred,
}

names!(UpdateResult, "result of a firmware update", {
    Default = "DEFAULT",
    Success = "SUCCESS",
    NoStorage = "NO_STORAGE",
    OutOfMem = "OUT_OF_MEM",
    ConnectionLost = "CONNECTION_LOST",
    IntegrityFailed = "INTEGRITY_FAILED",
    UnsupFw = "UNSUP_FW",
    InvalidUri = "INVALID_URI",
    UpdateFailed = "UPDATE_FAILED",
    UnsupProto = "UNSUP_PROTO",
    Cancelled = "CANCELLED",
    Deferred = "DEFERRED",
});

impl UpdateResult {
    /// What a value of 5/0/5 means.
    pub fn from_code(code: i64) -> Option<Self> {
        Self::ALL.get(usize::try_from(code).ok()?).copied()
    }

    /// The number of 5/0/5.
    pub fn code(self) -> i64 {
        self as i64
    }

    /// True when nothing more will happen.
    pub fn is_final(self) -> bool {
        self != Self::Default
    }

    /// What it means, in words, of a device that says so.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Default => "nothing yet",
            Self::Success => "the new firmware runs",
            Self::NoStorage => "not enough storage for the image",
            Self::OutOfMem => "out of memory during the download",
            Self::ConnectionLost => "the connection was lost during the download",
            Self::IntegrityFailed => "the image arrived changed (its checksum does not fit)",
            Self::UnsupFw => "the image is not made for this device",
            Self::InvalidUri => "the URI cannot be used",
            Self::UpdateFailed => "the image could not be installed",
            Self::UnsupProto => "the protocol of the URI is not spoken",
            Self::Cancelled => "it was cancelled",
            Self::Deferred => "the device puts it off",
        }
    }
}

/// What the server is at, one step after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdatePhase {
    /// The device is asked what it can do and where it stands (reads 5/0).
    Examine,
    /// The device is asked which firmware runs (reads 3/0/3).
    ExamineVersion,
    /// What is left of an earlier update is put away (an empty 5/0/1).
    Reset,
    /// The device is asked to tell of its state (observes 5/0/3).
    WatchState,
    /// … and of its result (observes 5/0/5).
    WatchResult,
    /// The URI, or the image itself, is written.
    Deliver,
    /// The device downloads.
    Download,
    /// The device is told to install (executes 5/0/2).
    Install,
    /// It is not known whether it does: before it is told again it is asked (reads 5/0).
    Check,
    /// The device installs, and mostly restarts.
    Restart,
    /// The device is asked how it went (reads 5/0).
    Verify,
    /// … and which firmware runs (reads 3/0/3).
    VerifyVersion,
    /// Somebody has given it up; the device is told (an empty 5/0/1).
    Cancel,
    /// Nothing more happens.
    Over,
}

names!(UpdatePhase, "step of a firmware update", {
    Examine = "examine",
    ExamineVersion = "examine_version",
    Reset = "reset",
    WatchState = "watch_state",
    WatchResult = "watch_result",
    Deliver = "deliver",
    Download = "download",
    Install = "install",
    Check = "check",
    Restart = "restart",
    Verify = "verify",
    VerifyVersion = "verify_version",
    Cancel = "cancel",
    Over = "over",
});

/// What the device has said of itself during an update.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeviceSays {
    /// 5/0/3.
    pub state: Option<i64>,
    /// 5/0/5.
    pub result: Option<i64>,
    /// 5/0/5 as it was before the image was offered: what is left of the update before this one.
    pub stale_result: Option<i64>,
    /// 5/0/7: the version of the package that was downloaded.
    pub package_version: Option<String>,
    /// 5/0/8: protocols that it can download with; none: it does not say.
    pub protocols: Vec<i64>,
    /// 5/0/9: 0 pull, 1 push, 2 both.
    pub delivery: Option<i64>,
    /// 3/0/3 before.
    pub version_before: Option<String>,
    /// 3/0/3 as last read.
    pub version: Option<String>,
    /// True when 3/0/3 cannot be read.
    pub has_no_version: bool,
    /// True when it was seen to begin since the image was last offered, by its word or by what it fetched.
    pub has_begun: bool,
    /// The code and the words with which it refused the URI, until it has said where it stands: it may have taken it
    /// at an earlier attempt, whose answer was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<(String, String)>,
    /// True when it tells of its state (5/0/3) by itself.
    pub is_observed: bool,
    /// How often it has registered since it was told to install.
    pub restarts: u32,
    /// Since when it is seen to run what it ran before, idle and without a result, although it has registered anew.
    pub fell_back_at: Option<Timestamp>,
}

/// How much of the image went to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes.
    pub done: u64,
    /// Bytes of the whole image.
    pub total: u64,
    /// Bytes in a block; 0 where it does not go in blocks.
    pub block: u32,
}

impl Progress {
    /// 0 to 100.
    pub fn percent(&self) -> u8 {
        let done = u128::from(self.done.min(self.total));
        match (done * 100).checked_div(u128::from(self.total)) {
            Some(percent) => percent as u8,
            None => 100,
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match u64::from(self.block) {
            0 => write!(f, "{} of {} bytes", self.done, self.total),
            block => write!(
                f,
                "block {} of {}",
                self.done.div_ceil(block),
                self.total.div_ceil(block)
            ),
        }
    }
}

/// One image on its way to one device. At most one of a device is not over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirmwareUpdate {
    /// Its row.
    pub id: FirmwareUpdateId,
    /// The device.
    pub endpoint_id: EndpointId,
    /// Its name.
    pub endpoint: EndpointName,
    /// The image.
    pub firmware_id: FirmwareId,
    /// What the device should run in the end.
    pub version: String,
    /// How the image comes to it; none until the device has said what it can do.
    pub method: Option<UpdateMethod>,
    /// Where the device stands.
    pub state: UpdateState,
    /// How it went.
    pub result: UpdateResult,
    /// What the server is at.
    pub phase: UpdatePhase,
    /// The operation that this step waits for.
    pub operation: Option<OperationId>,
    /// What is awaited, in plain words.
    pub awaited: String,
    /// Until when, where there is an end.
    pub until: Option<Timestamp>,
    /// How much of the image went to the device.
    pub progress: Option<Progress>,
    /// How often the image was offered.
    pub offers: u32,
    /// When it was last offered.
    pub offered_at: Option<Timestamp>,
    /// How often the device was told to install it.
    pub installs: u32,
    /// Until when it is to be through with that.
    pub install_by: Option<Timestamp>,
    /// How often this step went wrong, or brought nothing new.
    pub tries: u32,
    /// Lines of its timeline.
    pub steps: u32,
    /// What the device has said.
    pub device: DeviceSays,
    /// Why the server is at this step, for the words at its end.
    pub because: Option<String>,
    /// Why it ended as it did, in plain words.
    pub reason: Option<String>,
    /// The rollout that it belongs to.
    pub rollout: Option<RolloutId>,
    /// True when its rollout gives the device back what it ran before.
    #[serde(default)]
    pub is_roll_back: bool,
    /// Only while the device runs this version (3/0/3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_from: Option<String>,
    /// Who asked for it.
    pub created_by: String,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When something last happened.
    pub updated_at: Timestamp,
    /// When it was over.
    pub finished_at: Option<Timestamp>,
}

impl FirmwareUpdate {
    /// The longest timeline, in lines: a device that goes to and fro for ever does not make it longer.
    pub const MAX_STEPS: u32 = 200;

    /// An update that was asked for just now.
    pub fn new(
        id: FirmwareUpdateId,
        (endpoint_id, endpoint): (EndpointId, EndpointName),
        new: &NewUpdate,
        now: Timestamp,
    ) -> Self {
        let step = new.rollout.as_ref();
        Self {
            id,
            endpoint_id,
            endpoint,
            firmware_id: new.image.id,
            version: new.image.version.clone(),
            method: new.method,
            state: UpdateState::Idle,
            result: UpdateResult::Default,
            phase: UpdatePhase::Examine,
            operation: None,
            awaited: String::new(),
            until: None,
            progress: None,
            offers: 0,
            offered_at: None,
            installs: 0,
            install_by: None,
            tries: 0,
            steps: 0,
            device: DeviceSays::default(),
            because: None,
            reason: None,
            rollout: step.map(|step| step.id),
            is_roll_back: step.is_some_and(|step| step.is_back),
            only_from: step.and_then(|step| step.only_from.clone()),
            created_by: new.created_by.clone(),
            created_at: now,
            updated_at: now,
            finished_at: None,
        }
    }

    /// True while something more may happen.
    pub fn is_active(&self) -> bool {
        !self.result.is_final()
    }
}

/// One line of the timeline of an update.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateStep {
    /// When it happened.
    pub at: Timestamp,
    /// What kind of thing: the step that the server was at.
    pub phase: UpdatePhase,
    /// What happened, in plain words.
    pub text: String,
}

/// An update that is about to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct NewUpdate {
    /// The image.
    pub image: FirmwareImage,
    /// How it is to come to the device; none: as the device says that it can.
    pub method: Option<UpdateMethod>,
    /// The rollout that it belongs to.
    pub rollout: Option<RolloutStep>,
    /// Who asks.
    pub created_by: String,
    /// Whom the audit log names, in the same commit.
    pub by: Option<super::audit::Doer>,
}

/// Times and numbers of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpdateLimits {
    /// A device that is not heard of for so long is given up.
    pub wait_for_device: Duration,
    /// A device that took the URI begins to download within this time.
    pub start: Duration,
    /// A download that stands still for so long is looked at.
    pub stall: Duration,
    /// A device that was told to install is back within this time.
    pub install: Duration,
    /// A device that came back with what it ran before and says nothing may still do so for this time.
    pub report: Duration,
    /// So often a step is tried.
    pub tries: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_paths_or_hidden_are_refused_with_words() {
        for name in [
            "../../etc/passwd",
            "..",
            ".hidden",
            "a/b",
            "a\\b",
            "a b",
            "ä.bin",
            "",
            "a\0b",
            "-rf",
        ] {
            let error = FirmwareImage::check_name(name).expect_err(name);
            assert!(error.contains("file name"), "{error}");
        }
        for name in ["v0.1.0.bin", "app_update.bin", "a", "zephyr-2.1.0+rc1.bin"] {
            assert_eq!(FirmwareImage::check_name(name), Ok(()));
        }
        assert!(FirmwareImage::check_name(&"a".repeat(101)).is_err());
    }

    #[test]
    fn a_version_is_known_with_and_without_v_and_build() {
        for running in ["0.1.0", "v0.1.0", " 0.1.0 ", "0.1.0+4711", "V0.1.0"] {
            assert!(FirmwareImage::is_what_runs("v0.1.0", running), "{running}");
            assert!(FirmwareImage::is_what_runs("0.1.0", running), "{running}");
        }
        for running in ["0.1.1", "0.1.0-rc1", "0.1.01", "", "v", "10.1.0"] {
            assert!(!FirmwareImage::is_what_runs("0.1.0", running), "{running}");
        }
        assert!(!FirmwareImage::is_what_runs("0.1.0+2", "0.1.0"));
        assert!(FirmwareImage::is_what_runs("vega", "vega"));
        assert!(!FirmwareImage::is_what_runs("vega", "ega"));
    }

    #[test]
    fn codes_and_names_are_those_of_object_5() {
        assert_eq!(UpdateState::from_code(2), Some(UpdateState::Downloaded));
        assert_eq!(UpdateState::from_code(4), None);
        for (code, result) in UpdateResult::ALL.into_iter().enumerate() {
            assert_eq!(UpdateResult::from_code(code as i64), Some(result));
            assert_eq!(result.code(), code as i64);
            assert_eq!(result.name().parse(), Ok(result));
        }
        assert_eq!(UpdateResult::from_code(-1), None);
        assert_eq!(
            UpdateResult::from_code(9).map(UpdateResult::name),
            Some("UNSUP_PROTO")
        );
    }

    #[test]
    fn progress_is_told_in_blocks() {
        let progress = |done, total, block| Progress { done, total, block };
        assert_eq!(
            progress(412 * 1024, 1024 * 1024, 1024).to_string(),
            "block 412 of 1024"
        );
        assert_eq!(progress(5, 10, 0).to_string(), "5 of 10 bytes");
        assert_eq!(progress(5, 10, 0).percent(), 50);
        assert_eq!(progress(0, 0, 0).percent(), 100);
        assert_eq!(progress(u64::MAX, u64::MAX, 0).percent(), 100);
    }
}
