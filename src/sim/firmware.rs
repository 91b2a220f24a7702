//! Firmware of simulated devices: what a device has of object 5, how it misbehaves with it, and what it
//! tells of it. What it does is in [`device`](super::device).

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What a device has of object 5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirmwareSettings {
    /// What it runs when it is first switched on (3/0/3).
    pub version: String,
    /// Protocols that it downloads with (5/0/8): 0 CoAP, 1 `CoAPs`, 2 HTTP, 3 HTTPS. [`SimClient`](super::SimClient)
    /// adds 1 for a device with DTLS.
    pub protocols: Vec<u8>,
    /// How images come to it (5/0/9): 0 it pulls, 1 they are pushed, 2 both.
    pub delivery: u8,
    /// What a Package URI without a host is put behind, for example `https://fw.example.com:8443`; none: it
    /// is asked of the LwM2M server, in the device's own session.
    pub base: Option<String>,
    /// How long it takes to install an image.
    pub install_time: Duration,
}

impl Default for FirmwareSettings {
    /// Version 1.0.0, over CoAP and HTTPS and by push, within a second.
    fn default() -> Self {
        Self {
            version: "1.0.0".to_owned(),
            protocols: vec![0, 3],
            delivery: 2,
            base: None,
            install_time: Duration::from_secs(1),
        }
    }
}

/// How a device behaves with its firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirmwareBehaviour {
    /// Somebody at the device gives the update up when it is told to install: result 10, state 0.
    Cancelled,
    /// The server of the image cannot be reached, and a push ends in the middle: result 4.
    ConnectionLost,
    /// The first 5/0/2 is put off: result 11, the state stays 2. The second one is carried out.
    Deferred,
    /// As it should be.
    #[default]
    Good,
    /// The URI makes no sense to it: result 7.
    InvalidUri,
    /// The connection breaks off at half of the image.
    LostMidway(Midway),
    /// It takes the URI, and never begins.
    NeverStarts,
    /// It has no 3/0/3.
    NoVersion,
    /// No room for any image: result 2, and 4.13 to a push.
    NoStorage,
    /// It installs, restarts and reports success, and runs what it ran before.
    OldVersion,
    /// Memory ends at half of the image: result 3, and 5.00 to a push.
    OutOfMemory,
    /// 5/0/2 is answered with 4.05, or 5.00.
    RefusesUpdate {
        /// 5.00 in the place of 4.05.
        with_error: bool,
    },
    /// It tells each state and result twice.
    RepeatsStates,
    /// It restarts and reports nothing: state 0, result 0.
    SilentReboot {
        /// Whether it runs the new image afterwards.
        installs: bool,
    },
    /// It never shows the states 1 and 3.
    SkipsStates,
    /// It downloads so many bytes in a second, at least one.
    Slow(u32),
    /// At half of the image it asks for nothing more, for ever; blocks of a push stay without an answer.
    Stalls,
    /// The image is not made for it: result 6, and 5.00 to a push.
    UnsupportedImage,
    /// It does not speak the protocol of any URI: result 9.
    UnsupportedProtocol,
    /// It cannot install the image: result 8, the state is 2 again.
    UpdateFailed,
    /// It finds another checksum than it should: result 5.
    WrongHash,
}

/// What a device does whose download has broken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Midway {
    /// It reports: result 4, state 0.
    Reports,
    /// After so long it goes on where it was.
    Resumes(Duration),
    /// It is gone, and answers nothing any more.
    Silent,
}

impl FirmwareBehaviour {
    /// What [`FirmwareBehaviour::from_str`] takes.
    pub const NAMES: &str = "good, slow[=BYTES_PER_S], no-storage, out-of-memory, connection-lost, wrong-hash, \
        unsupported-image, invalid-uri, update-failed, unsupported-protocol, silent-reboot[=old|new], \
        lost-midway[=SECONDS|reports|silent], old-version, skips-states, repeats-states, never-starts, stalls, \
        refuses-update[=4.05|5.00], no-version, cancelled, deferred";
}

impl FromStr for FirmwareBehaviour {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, parameter) = match text.split_once('=') {
            Some((name, parameter)) => (name, Some(parameter)),
            None => (text, None),
        };
        let number = |default: u32| match parameter {
            None => Some(default),
            Some(digits) => digits.parse().ok().filter(|number| *number > 0),
        };
        let behaviour = match (name, parameter) {
            ("slow", _) => number(SLOW).map(Self::Slow),
            ("silent-reboot", None | Some("old")) => Some(Self::SilentReboot { installs: false }),
            ("silent-reboot", Some("new")) => Some(Self::SilentReboot { installs: true }),
            ("lost-midway", Some("reports")) => Some(Self::LostMidway(Midway::Reports)),
            ("lost-midway", Some("silent")) => Some(Self::LostMidway(Midway::Silent)),
            ("lost-midway", _) => number(PAUSE_S)
                .map(|seconds| Midway::Resumes(Duration::from_secs(seconds.into())))
                .map(Self::LostMidway),
            ("refuses-update", None | Some("4.05")) => {
                Some(Self::RefusesUpdate { with_error: false })
            }
            ("refuses-update", Some("5.00")) => Some(Self::RefusesUpdate { with_error: true }),
            (name, None) => PLAIN
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, behaviour)| *behaviour),
            _ => None,
        };
        behaviour.ok_or_else(|| format!("`{text}` is none of {}", Self::NAMES))
    }
}

impl fmt::Display for FirmwareBehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Slow(bytes) => write!(f, "slow={bytes}"),
            Self::SilentReboot { installs } => {
                write!(f, "silent-reboot={}", if *installs { "new" } else { "old" })
            }
            Self::LostMidway(Midway::Reports) => f.write_str("lost-midway=reports"),
            Self::LostMidway(Midway::Silent) => f.write_str("lost-midway=silent"),
            Self::LostMidway(Midway::Resumes(after)) => {
                write!(f, "lost-midway={}", after.as_secs())
            }
            Self::RefusesUpdate { with_error } => {
                let code = if *with_error { "5.00" } else { "4.05" };
                write!(f, "refuses-update={code}")
            }
            plain => {
                let name = PLAIN.iter().find(|(_, behaviour)| behaviour == plain);
                f.write_str(name.map_or("?", |(name, _)| name))
            }
        }
    }
}

/// The largest block that a device takes of a push and asks for in a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockLimit {
    /// A larger block is taken, and answered with this size (RFC 7959 section 2.3, figure 9).
    Asks(usize),
    /// A larger block is refused with 4.13 and this size (section 2.9.3).
    Insists(usize),
}

impl BlockLimit {
    /// Bytes.
    pub(super) fn size(self) -> usize {
        match self {
            Self::Asks(size) | Self::Insists(size) => size,
        }
    }
}

/// What a device tells of its firmware.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FirmwareReport {
    /// What it runs.
    pub version: String,
    /// 5/0/3, whether it shows that or not.
    pub state: u8,
    /// 5/0/5.
    pub result: i64,
    /// Bytes of the image that is on its way, or there.
    pub received: u64,
    /// Of the last image that came wholly, as the device has computed it, in hexadecimal.
    pub downloaded_sha256: Option<String>,
    /// Images that came wholly.
    pub downloads: u64,
    /// How often an image was begun anew in the middle: it had changed, or a block of a push was missing.
    pub restarts: u64,
    /// How often each version was installed.
    pub installs: BTreeMap<String, u64>,
}

/// Of `slow`, in bytes.
const SLOW: u32 = 16_384;
/// Of `lost-midway`, in seconds.
const PAUSE_S: u32 = 5;
const PLAIN: [(&str, FirmwareBehaviour); 17] = [
    ("good", FirmwareBehaviour::Good),
    ("no-storage", FirmwareBehaviour::NoStorage),
    ("out-of-memory", FirmwareBehaviour::OutOfMemory),
    ("connection-lost", FirmwareBehaviour::ConnectionLost),
    ("wrong-hash", FirmwareBehaviour::WrongHash),
    ("unsupported-image", FirmwareBehaviour::UnsupportedImage),
    ("invalid-uri", FirmwareBehaviour::InvalidUri),
    ("update-failed", FirmwareBehaviour::UpdateFailed),
    (
        "unsupported-protocol",
        FirmwareBehaviour::UnsupportedProtocol,
    ),
    ("old-version", FirmwareBehaviour::OldVersion),
    ("skips-states", FirmwareBehaviour::SkipsStates),
    ("repeats-states", FirmwareBehaviour::RepeatsStates),
    ("never-starts", FirmwareBehaviour::NeverStarts),
    ("stalls", FirmwareBehaviour::Stalls),
    ("no-version", FirmwareBehaviour::NoVersion),
    ("cancelled", FirmwareBehaviour::Cancelled),
    ("deferred", FirmwareBehaviour::Deferred),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_behaviour_has_a_name_that_is_understood() {
        for name in FirmwareBehaviour::NAMES.split(", ") {
            let bare = name.split('[').next().expect("a name");
            let behaviour: FirmwareBehaviour = bare.parse().expect(bare);
            assert!(behaviour.to_string().starts_with(bare), "{behaviour}");
            assert_eq!(behaviour.to_string().parse(), Ok(behaviour));
        }
        for text in [
            "slow=100",
            "silent-reboot=new",
            "lost-midway=9",
            "lost-midway=reports",
            "lost-midway=silent",
            "refuses-update=5.00",
        ] {
            let behaviour: FirmwareBehaviour = text.parse().expect(text);
            assert_eq!(behaviour.to_string(), text);
        }
        for text in ["", "slow=0", "slow=fast", "good=1", "lost-midway=-1", "bad"] {
            let error = text.parse::<FirmwareBehaviour>().expect_err(text);
            assert!(error.contains("lost-midway"), "{error}");
        }
    }
}
