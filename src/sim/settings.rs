//! How one simulated device behaves.

use std::time::Duration;

use crate::domain::{EndpointName, Lwm2mVersion};

use super::firmware::FirmwareSettings;
use super::quirks::Quirks;

/// The behaviour of one device.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceSettings {
    /// Its endpoint name.
    pub name: EndpointName,
    /// Values, jitter and tokens come from it: the same seed gives the same device.
    pub seed: u64,
    /// The version of LwM2M that it announces.
    pub version: Lwm2mVersion,
    /// The lifetime that it registers with, at least a second (`lt`, resource 1/0/1).
    pub lifetime: Duration,
    /// How often it sends an Update; `None`: after four fifths of the lifetime.
    pub update_interval: Option<Duration>,
    /// How often its values change.
    pub interval: Duration,
    /// Queue mode, and how long it listens after each of its messages.
    pub queue_mode: Option<Duration>,
    /// Every so many notifications of an observation one is confirmable; 1: each, 0 counts as 1.
    pub confirmable_every: u32,
    /// How often it sends its sensor values on its own accord (Send, not in LwM2M 1.0).
    pub send_interval: Option<Duration>,
    /// The first wait after a refused or unanswered Register; doubles each time.
    pub retry_min: Duration,
    /// The longest such wait.
    pub retry_max: Duration,
    /// How long a reboot (3/0/4, and after an update of the firmware) takes.
    pub reboot_time: Duration,
    /// Whether it has the objects that only tests of a server need: 20 (Event Log), 3347 (Push
    /// button) and 3442 (LwM2M v1.1 Test Object, every type, single and multiple).
    pub test_objects: bool,
    /// Object 5, Firmware Update; none: the device does not have it.
    pub firmware: Option<FirmwareSettings>,
    /// What it does wrong on purpose.
    pub quirks: Quirks,
}

impl DeviceSettings {
    /// A device that speaks LwM2M 1.1, is always reachable, registers for five minutes and has new
    /// values every ten seconds, all notifications confirmable, and takes firmware in every way.
    pub fn new(name: EndpointName) -> Self {
        Self {
            name,
            seed: 1,
            version: Lwm2mVersion::V1_1,
            lifetime: Duration::from_secs(300),
            update_interval: None,
            interval: Duration::from_secs(10),
            queue_mode: None,
            confirmable_every: 1,
            send_interval: None,
            retry_min: Duration::from_secs(2),
            retry_max: Duration::from_secs(120),
            reboot_time: Duration::from_secs(1),
            test_objects: false,
            firmware: Some(FirmwareSettings::default()),
            quirks: Quirks::default(),
        }
    }

    /// The content formats that it announces, the preferred one first.
    pub(super) fn formats(&self) -> &'static [u16] {
        match self.version {
            Lwm2mVersion::V1_0 => &[11_542, 11_543, 0, 42],
            Lwm2mVersion::V1_1 => &[112, 110, 60, 11_542, 11_543, 0, 42, 322, 320],
            Lwm2mVersion::V1_2 => &[112, 110, 11_544, 60, 11_542, 11_543, 0, 42, 322, 320],
        }
    }
}

/// How long a device in queue mode listens when nothing else is asked for: `MAX_TRANSMIT_WAIT`
/// (OMA-TS-LightweightM2M Core 6.5, RFC 7252 section 4.8.2).
pub const AWAKE: Duration = Duration::from_secs(93);
