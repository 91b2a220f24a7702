//! What charts and the map show of the fleet: waves of two devices, and places that make sense or not.

use async_trait::async_trait;
use flownexus::domain::{EndpointId, Path, Timestamp, Value};
use flownexus::store::{
    HistoryStore as _, LatestValue, RawValue, Series, SeriesReader, StoreError,
};

use super::{Fleet, ago, path};
use crate::support::fake_charts::{keeps_pins, series_of};

keeps_pins!(Fleet);

/// From this range on there are stretches instead of values.
const LONG_MS: i64 = 2 * 86_400_000;

/// Places by device: Berlin, Oslo, no longitude, and beyond the pole.
fn places() -> [(i64, &'static str, f64); 7] {
    [
        (1, "/6/0/0", 52.5163),
        (1, "/6/0/1", 13.3777),
        (1, "/6/0/3", 250.0),
        (2, "/6/0/0", 59.9139),
        (2, "/6/0/1", 10.7522),
        (3, "/6/0/0", 48.0),
        (4, "/6/0/0", 91.0),
    ]
}

#[async_trait]
impl SeriesReader for Fleet {
    async fn series(
        &self,
        wanted: Vec<(EndpointId, Path)>,
        from: Timestamp,
        to: Timestamp,
        points: usize,
    ) -> Result<Vec<Series>, StoreError> {
        let mut all = Vec::new();
        for (id, at) in wanted {
            let history = self.history(id, at, from, to, points, Default::default());
            let mut values = history.await?;
            if !matches!(id.0, 1 | 2) {
                values.clear();
            }
            if at.object_id() == Some(6) {
                // It has walked here from the south-west.
                let (_, _, place) = places()
                    .into_iter()
                    .find(|(device, of, _)| *device == id.0 && path(of) == at)
                    .expect("a place");
                let end = values.len() as f64;
                for (step, value) in (1..).zip(&mut values) {
                    value.1 = place - (end - f64::from(step)) * 0.0005;
                }
            } else if at.resource_id() != Some(5850) {
                let off = (id.0 - 1) as f64 * 3.0;
                values.iter_mut().for_each(|value| value.1 += off);
            }
            let mut series = series_of(&values);
            if to.as_millis() - from.as_millis() > LONG_MS {
                series.step_ms = values
                    .windows(2)
                    .next()
                    .map(|two| two[1].0.as_millis() - two[0].0.as_millis());
                for point in &mut series.points {
                    point.min -= 1.0;
                    point.max += 1.0;
                }
            }
            all.push(series);
        }
        Ok(all)
    }

    async fn raw_values(
        &self,
        id: EndpointId,
        path: Path,
        from: Timestamp,
        to: Timestamp,
        after: Option<(Timestamp, i64)>,
        limit: u64,
    ) -> Result<Vec<RawValue>, StoreError> {
        let values = self.history(id, path, from, to, 2000, Default::default());
        let values = (0..).zip(values.await?);
        let left =
            values.filter(|(row, (time, _))| after.is_none_or(|after| (*time, *row) > after));
        let left = left.map(|(row, (time, value))| RawValue {
            row,
            time,
            value: Value::Float(value),
        });
        Ok(left.take(limit as usize).collect())
    }

    async fn paths(&self, ids: Vec<EndpointId>) -> Result<Vec<(EndpointId, Path)>, StoreError> {
        let mut all = Vec::new();
        for id in ids {
            match id.0 {
                1 => {
                    let state = self.lock();
                    all.extend(state.values.iter().map(|value| (id, value.path)));
                }
                2 => all.push((id, path("/3303/0/5700"))),
                _ => {}
            }
        }
        all.sort_unstable();
        Ok(all)
    }

    async fn latest_at(
        &self,
        ids: Vec<EndpointId>,
        paths: Vec<Path>,
    ) -> Result<Vec<LatestValue>, StoreError> {
        let mut all: Vec<LatestValue> = places()
            .into_iter()
            .map(|(id, at, value)| LatestValue {
                endpoint_id: EndpointId(id),
                path: path(at),
                value: Value::Float(value),
                time: ago(90),
            })
            .collect();
        let of_first = self.lock().values.clone();
        all.extend(of_first.into_iter().map(|value| LatestValue {
            endpoint_id: EndpointId(1),
            path: value.path,
            value: value.value,
            time: value.time,
        }));
        let there = !self.lock().rows.is_empty();
        all.retain(|value| {
            there && ids.contains(&value.endpoint_id) && paths.contains(&value.path)
        });
        all.sort_by_key(|value| (value.endpoint_id, value.path));
        Ok(all)
    }
}
