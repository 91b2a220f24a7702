//! Values of a stretch of time as one row: how they are added up, without a database.
//!
//! There is a row for each day with values; a day with many values is divided into hours, an hour with
//! many into minutes. So the size of what is computed follows the density of the values, and where the
//! finer rows are missing there are so few values that a chart reads these.

use crate::domain::{EndpointId, Path, Timestamp};

/// A day with fewer values has no rows for its hours, and an hour with fewer none for its minutes: two
/// values for each row of a day, and two for each of an hour. A device that reports every ten minutes
/// costs one row for six values, one that reports every second one for 58.
const FEW: [i64; 2] = [48, 120];

/// The largest sum that is kept: of two of them PostgreSQL can still say which is larger. What is beyond
/// it stays there.
const MOST: f64 = 4e307;

/// How long a stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Tier {
    Minute,
    Hour,
    Day,
}

impl Tier {
    pub(super) const ALL: [Self; 3] = [Self::Minute, Self::Hour, Self::Day];

    pub(super) fn millis(self) -> i64 {
        match self {
            Self::Minute => 60_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    pub(super) fn table(self) -> &'static str {
        match self {
            Self::Minute => "rollup_minute",
            Self::Hour => "rollup_hour",
            Self::Day => "rollup_day",
        }
    }

    pub(super) fn finer(self) -> Option<Self> {
        match self {
            Self::Minute => None,
            Self::Hour => Some(Self::Minute),
            Self::Day => Some(Self::Hour),
        }
    }

    /// With so many values a stretch is divided; never when there is nothing finer.
    pub(super) fn divided_from(self) -> i64 {
        match self {
            Self::Minute => i64::MAX,
            Self::Hour => FEW[1],
            Self::Day => FEW[0],
        }
    }

    /// In which stretch a moment is.
    pub(super) fn bucket(self, millis: i64) -> i64 {
        millis.div_euclid(self.millis())
    }

    /// The first stretch that begins at or after this moment.
    pub(super) fn bucket_from(self, millis: i64) -> i64 {
        -(-millis).div_euclid(self.millis())
    }

    /// When a stretch begins.
    pub(super) fn start(self, bucket: i64) -> i64 {
        bucket.saturating_mul(self.millis())
    }
}

/// One path of one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SeriesKey {
    pub(super) endpoint: i64,
    /// See [`pack`].
    pub(super) path: i64,
}

impl SeriesKey {
    /// Nothing for what is no resource.
    pub(super) fn of(id: EndpointId, path: Path) -> Option<Self> {
        let endpoint = id.0;
        pack(path).map(|path| Self { endpoint, path })
    }
}

/// The four ids of a path as one number, the last 65535 where there is no resource instance (LwM2M
/// reserves it); nothing for what is no resource.
fn pack(path: Path) -> Option<i64> {
    let [object, instance, resource, rest @ ..] = path.ids() else {
        return None;
    };
    let last = rest.first().copied().unwrap_or(u16::MAX);
    let number = [*object, *instance, *resource, last]
        .into_iter()
        .fold(0_u64, |number, id| number << 16 | u64::from(id));
    Some(number.cast_signed())
}

/// The ids of a packed path, the last nothing where there is no resource instance.
pub(super) fn unpack(path: i64) -> ([i32; 3], Option<i32>) {
    let path = path.cast_unsigned();
    let id = |place: u32| i32::from((path >> (16 * place)) as u16);
    let last = Some(id(0)).filter(|id| *id != i32::from(u16::MAX));
    ([id(3), id(2), id(1)], last)
}

/// The same number in SQL, of a row of `resource`.
pub(super) const PACKED: &str = "((CAST(object_id AS BIGINT) << 48) | \
    (CAST(object_instance_id AS BIGINT) << 32) | (CAST(resource_id AS BIGINT) << 16) | \
    COALESCE(resource_instance_id, 65535))";

/// A value with its time, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) at: i64,
    pub(super) value: f64,
}

/// What is kept of several values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sum {
    pub(super) samples: i64,
    pub(super) total: f64,
    pub(super) low: Sample,
    pub(super) high: Sample,
    pub(super) last: Sample,
}

impl From<Sample> for Sum {
    fn from(sample: Sample) -> Self {
        Self {
            samples: 1,
            total: sample.value.clamp(-MOST, MOST),
            low: sample,
            high: sample,
            last: sample,
        }
    }
}

impl Sum {
    /// Adds what came after it. Of equal extremes the earlier stays; of values of the same time the one
    /// that came last is the last.
    pub(super) fn add(&mut self, other: &Self) {
        self.samples = self.samples.saturating_add(other.samples);
        self.total = (self.total + other.total).clamp(-MOST, MOST);
        let before = |one: Sample, two: Sample| one.value == two.value && one.at < two.at;
        if other.low.value < self.low.value || before(other.low, self.low) {
            self.low = other.low;
        }
        if other.high.value > self.high.value || before(other.high, self.high) {
            self.high = other.high;
        }
        if other.last.at >= self.last.at {
            self.last = other.last;
        }
    }

    pub(super) fn mean(&self) -> f64 {
        self.total / self.samples.max(1) as f64
    }
}

/// A stretch with what is kept of its values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bucket {
    pub(super) bucket: i64,
    pub(super) sum: Sum,
}

/// These values, which are in the order of time, by stretches.
pub(super) fn by_buckets(tier: Tier, samples: &[Sample]) -> Vec<Bucket> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for sample in samples {
        let bucket = tier.bucket(sample.at);
        let sum = Sum::from(*sample);
        match buckets.last_mut() {
            Some(last) if last.bucket == bucket => last.sum.add(&sum),
            _ => buckets.push(Bucket { bucket, sum }),
        }
    }
    buckets
}

/// The values of one stretch, of values in the order of time.
pub(super) fn within(tier: Tier, bucket: i64, samples: &[Sample]) -> &[Sample] {
    let begin = samples.partition_point(|sample| tier.bucket(sample.at) < bucket);
    let end = samples.partition_point(|sample| tier.bucket(sample.at) <= bucket);
    samples.get(begin..end).unwrap_or(&[])
}

/// A point of a chart.
impl From<Sample> for (Timestamp, f64) {
    fn from(sample: Sample) -> Self {
        (Timestamp::clamped_from_millis(sample.at), sample.value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_one_number_and_back() {
        for (path, ids) in [
            (Path::resource(3303, 0, 5700), ([3303, 0, 5700], None)),
            (Path::resource(65_534, 65_534, 65_534), ([65_534; 3], None)),
            (
                Path::resource_instance(65_534, 0, 1, 65_534),
                ([65_534, 0, 1], Some(65_534)),
            ),
            (Path::resource_instance(0, 0, 0, 0), ([0, 0, 0], Some(0))),
        ] {
            assert_eq!(unpack(pack(path).expect("a resource")), ids);
        }
        assert_eq!(pack(Path::instance(3, 0)), None);
    }

    #[test]
    fn stretches_hold_moments_before_1970_too() {
        assert_eq!(Tier::Day.bucket(-1), -1);
        assert_eq!(Tier::Day.start(-1), -86_400_000);
        assert_eq!(Tier::Minute.bucket_from(-1), 0);
        assert_eq!(Tier::Minute.bucket_from(-60_000), -1);
        assert_eq!(Tier::Minute.bucket_from(1), 1);
    }

    proptest! {
        /// However values are cut into parts, the parts add up to the same.
        #[test]
        fn parts_add_up(
            values in prop::collection::vec((0..200_i64, -50..50_i32), 1..60),
            cuts in prop::collection::vec(0..60_usize, 0..5),
        ) {
            let samples: Vec<Sample> = values
                .iter()
                .map(|(at, value)| Sample { at: *at, value: f64::from(*value) })
                .collect();
            let add = |samples: &[Sample]| {
                let mut sums = samples.iter().map(|sample| Sum::from(*sample));
                let first = sums.next()?;
                Some(sums.fold(first, |mut sum, next| { sum.add(&next); sum }))
            };
            let whole = add(&samples).expect("there are some");
            let mut cuts = cuts;
            cuts.sort_unstable();
            let mut parts: Option<Sum> = None;
            let mut begin = 0;
            for cut in cuts.into_iter().map(|cut| cut.min(samples.len())).chain([samples.len()]) {
                if let Some(part) = add(&samples[begin..cut]) {
                    match &mut parts {
                        Some(parts) => parts.add(&part),
                        None => parts = Some(part),
                    }
                }
                begin = cut;
            }
            prop_assert_eq!(parts, Some(whole));
            let low = values.iter().map(|(_, value)| *value).min().expect("some");
            prop_assert_eq!(whole.low.value, f64::from(low));
            let newest = values.iter().map(|(at, _)| *at).max().expect("some");
            let last = values.iter().rev().find(|(at, _)| *at == newest).expect("it is there");
            prop_assert_eq!(whole.last.value, f64::from(last.1));
        }
    }
}
