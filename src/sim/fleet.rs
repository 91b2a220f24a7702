//! Many simulated devices on one thread.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{sleep, timeout};

use crate::domain::Lwm2mVersion;
use crate::lwm2m::Models;
use crate::net::https::Trust;

use super::client::{SimClient, SimSettings, small_coap};
use super::counters::Counters;
use super::firmware::{FirmwareBehaviour, FirmwareSettings};
use super::handle::SimHandle;
use super::name::endpoint_name;
use super::objects::models;
use super::quirks::Quirks;
use super::security::FleetSecurity;
use super::settings::{AWAKE, DeviceSettings};

/// Which devices there are, and how they behave.
#[derive(Clone, Debug, PartialEq)]
pub struct FleetSettings {
    /// Where the server is.
    pub server: SocketAddr,
    /// How many devices.
    pub count: usize,
    /// The number of the first device; the others follow.
    pub first: u64,
    /// Of these only those with these numbers; none: all.
    pub only: Option<BTreeSet<u64>>,
    /// Names are this and the number; `None`: `urn:imei:` and 15 digits.
    pub prefix: Option<String>,
    /// Between the starts of two devices.
    pub delay: Duration,
    /// How often the values of a device change.
    pub interval: Duration,
    /// How often a device sends what it measures and where it is on its own accord; none: it is asked.
    pub send_interval: Option<Duration>,
    /// The lifetime of the registrations.
    pub lifetime: Duration,
    /// Queue mode, with [`AWAKE`].
    pub queue_mode: bool,
    /// The version of LwM2M that they speak.
    pub lwm2m_version: Lwm2mVersion,
    /// Whether they have [the objects for tests](DeviceSettings::test_objects).
    pub test_objects: bool,
    /// DTLS; none: plain CoAP.
    pub security: Option<FleetSecurity>,
    /// Object 5; none: they do not have it.
    pub firmware: Option<FirmwareSettings>,
    /// How they behave with their firmware.
    pub behaviour: FirmwareBehaviour,
    /// Of a hundred devices so many cannot install any image (result 8), by their numbers; at most 100.
    pub failing_percent: u8,
    /// Whom they believe that they download firmware from over HTTPS; none: any server.
    pub trust: Option<Trust>,
}

impl FleetSettings {
    /// So many devices with the behaviour of [`DeviceSettings::new`], started quickly.
    pub fn new(server: SocketAddr, count: usize) -> Self {
        Self {
            server,
            count,
            first: 1,
            only: None,
            prefix: None,
            delay: Duration::from_millis(10),
            interval: Duration::from_secs(10),
            send_interval: None,
            lifetime: Duration::from_secs(300),
            queue_mode: false,
            lwm2m_version: Lwm2mVersion::V1_1,
            test_objects: false,
            security: None,
            firmware: Some(FirmwareSettings::default()),
            behaviour: FirmwareBehaviour::Good,
            failing_percent: 0,
            trust: None,
        }
    }

    /// The settings of one of the devices.
    fn device(&self, number: u64) -> Result<DeviceSettings, String> {
        let name =
            endpoint_name(self.prefix.as_deref(), number).map_err(|error| error.to_string())?;
        Ok(DeviceSettings {
            seed: number,
            version: self.lwm2m_version,
            lifetime: self.lifetime,
            interval: self.interval,
            send_interval: self.send_interval,
            queue_mode: self.queue_mode.then_some(AWAKE),
            test_objects: self.test_objects,
            firmware: self.firmware.clone(),
            quirks: Quirks {
                firmware: self.behaviour(number),
                ..Quirks::default()
            },
            // A server that is started again meets thousands at once: it is given time.
            retry_min: Duration::from_secs(4),
            ..DeviceSettings::new(name)
        })
    }

    /// How a device behaves with its firmware. Those that fail are spread evenly.
    fn behaviour(&self, number: u64) -> FirmwareBehaviour {
        let percent = u128::from(self.failing_percent.min(100));
        let index = u128::from(number.saturating_sub(self.first));
        let failing_among = |count: u128| count * percent / 100;
        match failing_among(index + 1) > failing_among(index) {
            true => FirmwareBehaviour::UpdateFailed,
            false => self.behaviour,
        }
    }
}

/// How far a fleet is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Devices that were switched on.
    pub started: usize,
    /// Of these, registered at present.
    pub registered: u64,
    /// Why no more could be switched on.
    pub error: Option<String>,
    /// A device that the server refuses a DTLS session, and why.
    pub refusal: Option<String>,
}

/// Running devices. Dropping it leaves them running; [`Fleet::stop`] stops them.
#[derive(Debug)]
pub struct Fleet {
    counters: Arc<Counters>,
    shared: Rc<RefCell<Shared>>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    handles: Vec<SimHandle>,
    error: Option<String>,
}

impl Fleet {
    /// Starts the devices one after the other on this thread's `LocalSet`, and returns at once.
    pub fn start(settings: FleetSettings) -> Self {
        Self::start_with_models(settings, models())
    }

    /// Like [`Fleet::start`], and tells whenever there was progress, a few times a second at most.
    pub fn start_and_report(
        settings: FleetSettings,
        mut report: impl FnMut(&Progress) + 'static,
    ) -> Self {
        let mut fleet = Self::start(settings);
        let (counters, shared) = (Arc::clone(&fleet.counters), Rc::clone(&fleet.shared));
        fleet.tasks.push(spawn_local(async move {
            let mut last = None;
            loop {
                let progress = progress(&counters, &shared.borrow());
                if last.as_ref() != Some(&progress) {
                    report(&progress);
                    last = Some(progress);
                }
                sleep(REPORT_EVERY).await;
            }
        }));
        fleet
    }

    fn start_with_models(settings: FleetSettings, models: Arc<Models>) -> Self {
        let counters = Arc::<Counters>::default();
        let shared = Rc::<RefCell<Shared>>::default();
        let starting = start_all(settings, models, Arc::clone(&counters), Rc::clone(&shared));
        Self {
            counters,
            shared,
            tasks: vec![spawn_local(starting)],
        }
    }

    /// What the devices have done, all together.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How far the fleet is.
    pub fn progress(&self) -> Progress {
        progress(&self.counters, &self.shared.borrow())
    }

    /// The devices that were started so far.
    pub fn devices(&self) -> Vec<SimHandle> {
        self.shared.borrow().handles.clone()
    }

    /// Starts no more devices, and has the others deregister. Waits for them, but not for ever:
    /// each has a few seconds, all together half a minute.
    pub async fn stop(self) {
        for task in &self.tasks {
            task.abort();
        }
        let handles = std::mem::take(&mut self.shared.borrow_mut().handles);
        let farewell =
            stream::iter(handles).for_each_concurrent(FAREWELLS_AT_ONCE, async |handle| {
                handle.stop(true).await;
            });
        // Who has not been heard by now will be found missing when its lifetime ends.
        let _ = timeout(FAREWELL, farewell).await;
    }
}

async fn start_all(
    settings: FleetSettings,
    models: Arc<Models>,
    counters: Arc<Counters>,
    shared: Rc<RefCell<Shared>>,
) {
    let coap = small_coap();
    for number in (settings.first..).take(settings.count) {
        if settings
            .only
            .as_ref()
            .is_some_and(|only| !only.contains(&number))
        {
            continue;
        }
        let started = settings.device(number).and_then(|device| {
            let security = settings.security.as_ref();
            let security = security.map(|security| security.of(&device.name, number));
            let settings = SimSettings {
                server: settings.server,
                device,
                coap: coap.clone(),
                counters: Arc::clone(&counters),
                models: Arc::clone(&models),
                relay: false,
                security: security.transpose()?,
                trust: settings.trust.clone(),
            };
            SimClient::start(settings).map_err(|error| error.to_string())
        });
        match started {
            Ok(handle) => shared.borrow_mut().handles.push(handle),
            Err(error) => {
                tracing::error!("No more simulated devices: {error}");
                shared.borrow_mut().error = Some(error);
                return;
            }
        }
        if !settings.delay.is_zero() {
            sleep(settings.delay).await;
        } else if number.is_multiple_of(YIELD_EVERY) {
            tokio::task::yield_now().await;
        }
    }
}

fn progress(counters: &Counters, shared: &Shared) -> Progress {
    Progress {
        started: shared.handles.len(),
        registered: counters.registered_now(),
        error: shared.error.clone(),
        refusal: (counters.handshakes_failed() > 0)
            .then(|| shared.handles.iter().find_map(SimHandle::refusal))
            .flatten(),
    }
}

/// How often progress is looked at.
const REPORT_EVERY: Duration = Duration::from_millis(100);
/// More at once would only lose datagrams.
const FAREWELLS_AT_ONCE: usize = 200;
/// For the good-bye of all devices.
const FAREWELL: Duration = Duration::from_secs(30);
/// Devices that are started without pause let the others have a turn.
const YIELD_EVERY: u64 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_of_a_hundred_fail_always_the_same_and_evenly_spread() {
        let server = SocketAddr::from(([127, 0, 0, 1], 5683));
        for (percent, expected) in [(0, 0), (3, 30), (30, 300), (100, 1000), (200, 1000)] {
            let settings = FleetSettings {
                first: 17,
                failing_percent: percent,
                ..FleetSettings::new(server, 1000)
            };
            let failing: Vec<u64> = (17..1017)
                .filter(|number| settings.behaviour(*number) == FirmwareBehaviour::UpdateFailed)
                .collect();
            assert_eq!(failing.len(), expected, "{percent} %");
            if let [first, second, ..] = failing.as_slice() {
                assert!(second - first >= 100 / u64::from(percent.min(100)));
            }
        }
    }
}
