//! Which devices a rollout is for.

use std::time::Duration;

use crate::config;
use crate::domain::{
    EndpointId, EndpointName, FirmwareImage, InvalidRollout, Path, RolloutSpec, Selection,
    Timestamp, count,
};
use crate::store::{EndpointFilter, EndpointReader, EndpointRow, StoreError};

/// A device that can be updated.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Its row.
    pub(super) id: EndpointId,
    /// Its name.
    pub(super) name: EndpointName,
    /// When it can be talked to.
    pub(super) rhythm: Rhythm,
}

/// When a device can be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rhythm {
    /// At any time: it does not sleep.
    Always,
    /// It is not registered, and nobody knows when it comes.
    Unknown,
    /// It sleeps, and wakes then and after each further while; without that, nobody knows how often.
    Wakes {
        /// When next.
        next: Timestamp,
        /// After how long again.
        every: Option<Duration>,
    },
}

/// Devices that fit.
#[derive(Clone, Debug, Default)]
pub(super) struct Chosen {
    /// Those that can be updated, in the order of their names.
    pub(super) devices: Vec<Candidate>,
    /// So many registered without object 5.
    pub(super) without_object: usize,
    /// So many are known through an outside gateway only.
    pub(super) through_gateway: usize,
    /// So many are chosen by the rollout, but the image is not made for them.
    pub(super) not_meant: usize,
}

/// Chooses them out of all that are known.
pub(super) async fn choose(
    endpoints: &dyn EndpointReader,
    selection: &Selection,
    image: &FirmwareImage,
    now: Timestamp,
) -> Result<Chosen, StoreError> {
    let mut chosen = Chosen::default();
    let mut filter = EndpointFilter {
        limit: PAGE,
        ..EndpointFilter::default()
    };
    loop {
        let (rows, has_more) = endpoints.list(&filter).await?;
        filter.after = rows.last().map(|row| row.name.clone());
        for row in rows {
            chosen.look_at(&row, selection, image, now);
        }
        if !has_more {
            return Ok(chosen);
        }
    }
}

impl Chosen {
    fn look_at(
        &mut self,
        row: &EndpointRow,
        selection: &Selection,
        image: &FirmwareImage,
        now: Timestamp,
    ) {
        let selects = |selection: &Selection| selection.selects(&row.name, &row.profile.tags);
        if !selects(selection) {
            return;
        }
        let registration = row.registration.as_ref();
        if !selects(&image.selection) {
            self.not_meant += 1;
        } else if row.through_gateway().is_some() {
            self.through_gateway += 1;
        } else if registration.is_some_and(|registration| !registration.announces(&FIRMWARE_UPDATE))
        {
            // Of one that is not registered it is found out when it comes.
            self.without_object += 1;
        } else {
            self.devices.push(Candidate {
                id: row.id,
                name: row.name.clone(),
                rhythm: rhythm(row, now),
            });
        }
    }

    /// The ids and names of the devices.
    pub(super) fn named(&self) -> impl Iterator<Item = (EndpointId, EndpointName)> {
        self.devices.iter().map(|one| (one.id, one.name.clone()))
    }

    /// Who fits and is left out all the same, in plain words.
    pub(super) fn left_out(&self, image: &FirmwareImage) -> Vec<String> {
        let words = [
            (
                self.without_object,
                "object 5 (Firmware Update) is not announced".to_owned(),
            ),
            (
                self.through_gateway,
                "known through a gateway only, which cannot update anything".to_owned(),
            ),
            (
                self.not_meant,
                format!("{} is meant for {} only", image.version, image.selection),
            ),
        ];
        let said = |(many, why): &(usize, String)| {
            let devices = count(*many, "device");
            (*many > 0).then(|| format!("{devices} of the filter left out: {why}"))
        };
        words.iter().filter_map(said).collect()
    }

    /// Refuses none, and more than there may be.
    pub(super) fn check(
        &self,
        spec: &RolloutSpec,
        image: &FirmwareImage,
        limits: &config::Rollouts,
    ) -> Result<(), InvalidRollout> {
        let fault = |reason: String| InvalidRollout {
            field: "filter",
            reason,
        };
        let (many, most) = (self.devices.len(), limits.max_devices);
        if many > most {
            return Err(fault(format!(
                "{many} devices fit, and a rollout has at most {most} (rollouts.max_devices)"
            )));
        }
        // Whoever waits for newcomers may begin with none.
        if many > 0 || (spec.newcomers && self.left_out(image).is_empty()) {
            return Ok(());
        }
        let left_out = self.left_out(image);
        let mut why = format!("no device fits {}", spec.selection);
        if !left_out.is_empty() {
            why = format!(
                "no device of {} can be updated: {}",
                spec.selection,
                left_out.join("; ")
            );
        }
        Err(fault(why))
    }
}

fn rhythm(row: &EndpointRow, now: Timestamp) -> Rhythm {
    match (&row.registration, row.next_wake(now)) {
        (None, _) => Rhythm::Unknown,
        (Some(_), None) => Rhythm::Always,
        (Some(_), Some(wake)) => Rhythm::Wakes {
            next: wake.at,
            every: row.learned.interval(),
        },
    }
}

/// So many devices are read at a time.
const PAGE: u64 = 1_000;

/// The only instance of object 5.
const FIRMWARE_UPDATE: Path = Path::instance(5, 0);
