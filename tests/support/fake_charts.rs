//! Charts of [`FakeStore`]: series of what it holds, and charts that are pinned in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flownexus::domain::{Doer, EndpointId, Path, Timestamp};
use flownexus::store::{
    HistoryStore as _, LatestValue, PinChange, PinnedChart, RawValue, ResourceReader as _, Series,
    SeriesPoint, SeriesReader, StoreError, Summary,
};

use super::fake_store::FakeStore;
use super::fake_updates::reads_updates;

reads_updates!(FakeStore);
keeps_pins!(FakeStore);

/// Pinned charts in memory, with who has done what to them.
#[derive(Default)]
pub(crate) struct FakePins(Mutex<(Vec<PinnedChart>, i64)>);

impl FakePins {
    fn pins(&self) -> MutexGuard<'_, (Vec<PinnedChart>, i64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn list(&self) -> Vec<PinnedChart> {
        self.pins().0.clone()
    }

    pub(crate) fn add(
        &self,
        title: String,
        view: String,
        by: Doer,
        limit: u64,
    ) -> Result<PinnedChart, StoreError> {
        let mut pins = self.pins();
        if pins.0.len() as u64 >= limit {
            let what = "pinned charts";
            return Err(StoreError::Full { what, limit });
        }
        pins.1 += 1;
        let pin = PinnedChart {
            id: pins.1,
            title,
            view,
            created_by: by.actor,
            created_at: Timestamp::system(),
        };
        pins.0.push(pin.clone());
        Ok(pin)
    }

    pub(crate) fn change(&self, id: i64, change: PinChange) -> Option<PinnedChart> {
        let mut pins = self.pins();
        let at = pins.0.iter().position(|pin| pin.id == id)?;
        let mut pin = pins.0.remove(at);
        pin.title = change.title.unwrap_or(pin.title);
        pin.view = change.view.unwrap_or(pin.view);
        let place = change.place.unwrap_or(at).min(pins.0.len());
        pins.0.insert(place, pin.clone());
        Some(pin)
    }

    pub(crate) fn remove(&self, id: i64) -> bool {
        let mut pins = self.pins();
        let before = pins.0.len();
        pins.0.retain(|pin| pin.id != id);
        pins.0.len() < before
    }
}

/// Keeps the pinned charts of something that has a field for them.
macro_rules! keeps_pins {
    ($type:ty) => {
        #[async_trait::async_trait]
        impl flownexus::store::PinStore for $type {
            async fn list(
                &self,
            ) -> Result<Vec<flownexus::store::PinnedChart>, flownexus::store::StoreError> {
                Ok(self.pins.list())
            }

            async fn add(
                &self,
                title: String,
                view: String,
                by: flownexus::domain::Doer,
                limit: u64,
            ) -> Result<flownexus::store::PinnedChart, flownexus::store::StoreError> {
                self.pins.add(title, view, by, limit)
            }

            async fn change(
                &self,
                id: i64,
                change: flownexus::store::PinChange,
                _: flownexus::domain::Doer,
            ) -> Result<Option<flownexus::store::PinnedChart>, flownexus::store::StoreError> {
                Ok(self.pins.change(id, change))
            }

            async fn remove(
                &self,
                id: i64,
                _: flownexus::domain::Doer,
            ) -> Result<bool, flownexus::store::StoreError> {
                Ok(self.pins.remove(id))
            }
        }
    };
}

pub(crate) use keeps_pins;

/// A series of these values, each a point.
pub(crate) fn series_of(values: &[(Timestamp, f64)]) -> Series {
    let point = |(time, value): &(Timestamp, f64)| SeriesPoint {
        time: *time,
        mean: *value,
        min: *value,
        max: *value,
    };
    let numbers = || values.iter().map(|(_, value)| *value);
    Series {
        step_ms: None,
        points: values.iter().map(point).collect(),
        summary: values.last().map(|(last_at, last)| Summary {
            count: values.len() as u64,
            mean: numbers().sum::<f64>() / values.len() as f64,
            min: numbers().fold(f64::INFINITY, f64::min),
            max: numbers().fold(f64::NEG_INFINITY, f64::max),
            last: *last,
            last_at: *last_at,
        }),
    }
}

#[async_trait]
impl SeriesReader for FakeStore {
    async fn series(
        &self,
        wanted: Vec<(EndpointId, Path)>,
        from: Timestamp,
        to: Timestamp,
        points: usize,
    ) -> Result<Vec<Series>, StoreError> {
        let mut all = Vec::new();
        for (id, path) in wanted {
            let values = self.history(id, path, from, to, points, Default::default());
            all.push(series_of(&values.await?));
        }
        Ok(all)
    }

    async fn raw_values(
        &self,
        _: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        after: Option<(Timestamp, i64)>,
        limit: u64,
    ) -> Result<Vec<RawValue>, StoreError> {
        let tables = self.tables();
        let values = (0..).zip(&tables.values);
        let wanted = values.filter(|(row, value)| {
            value.path == path
                && (from..to).contains(&value.time)
                && after.is_none_or(|after| (value.time, *row) > after)
        });
        let values = wanted.map(|(row, value)| RawValue {
            row,
            time: value.time,
            value: value.value.clone(),
        });
        Ok(values.take(limit as usize).collect())
    }

    async fn paths(&self, ids: Vec<EndpointId>) -> Result<Vec<(EndpointId, Path)>, StoreError> {
        let mut all = Vec::new();
        for id in ids {
            let latest = self.latest(id).await?;
            all.extend(latest.iter().map(|value| (id, value.path)));
        }
        all.sort_unstable();
        Ok(all)
    }

    async fn latest_at(
        &self,
        ids: Vec<EndpointId>,
        paths: Vec<Path>,
    ) -> Result<Vec<LatestValue>, StoreError> {
        let mut all = Vec::new();
        for id in ids {
            let latest = self.latest(id).await?.into_iter();
            let wanted = latest.filter(|value| paths.contains(&value.path));
            all.extend(wanted.map(|value| LatestValue {
                endpoint_id: id,
                path: value.path,
                value: value.value,
                time: value.time,
            }));
        }
        all.sort_by_key(|value| (value.endpoint_id, value.path));
        Ok(all)
    }
}
