//! What a chart is drawn from: values where they are few, otherwise stretches of time with their
//! extremes, and always the values that the stretches do not hold yet.

use std::collections::{BTreeMap, HashSet};

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};

use super::keep::removed_before;
use super::merge::Progress;
use super::raw::{self, not_held};
use super::tier::{Bucket, Sample, SeriesKey, Sum, Tier};
use super::{Aggregate, Point};
use crate::store::sql::statement;
use crate::store::{StoreError, downsample};

/// Up to so many values are read one by one whatever the range.
const FEW_VALUES: i64 = 4_000;

/// Up to so many rows of a table of stretches are read; for more a coarser table is chosen.
const FEW_ROWS: i64 = 20_000;

/// Values that are read one by one inside of stretches that are not divided; of more, the extremes of
/// the stretches must do.
const FEW_SPARSE: i64 = 8_000;

/// So many values are kept one by one at most.
const MANY_VALUES: usize = 20_000;

/// Rows that are read at a time.
const PAGE: usize = 5_000;

/// The most points that are made.
const MOST_POINTS: usize = 10_000;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chart {
    pub(super) key: SeriesKey,
    /// In milliseconds since 1970; `to` is not included.
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) points: usize,
    pub(super) aggregate: Aggregate,
}

impl Chart {
    /// The points, in the order of time. Everything is read in one transaction, in which the tables and
    /// the mark agree.
    pub(super) async fn read(
        self,
        database: &DatabaseTransaction,
    ) -> Result<Vec<Point>, StoreError> {
        let points = self.points.min(MOST_POINTS);
        // Every value counts where they are few, and most of them are.
        let kept = match self.aggregate {
            Aggregate::MinMax => MANY_VALUES,
            _ => 0,
        };
        Ok(match self.gather(database, kept).await? {
            Gathered::Nothing => Vec::new(),
            Gathered::Values(few) => {
                let few: Vec<Point> = few.into_iter().map(Point::from).collect();
                downsample(&few, points)
            }
            Gathered::Sums(sink) => sink.points(self.aggregate, self.from, points),
        })
    }

    /// The values themselves where there are at most `points`, otherwise at most `points` stretches of the
    /// same length, with that length.
    pub(super) async fn stretches(
        mut self,
        database: &DatabaseTransaction,
    ) -> Result<Stretches, StoreError> {
        self.aggregate = Aggregate::Mean;
        let points = self.points.min(MOST_POINTS);
        Ok(match self.gather(database, points).await? {
            Gathered::Nothing | Gathered::Sums(Sink::Shape(_)) => Stretches::default(),
            Gathered::Values(few) => Stretches {
                step: None,
                sums: few.into_iter().map(|one| (one.at, one.into())).collect(),
            },
            Gathered::Sums(Sink::Grid(grid)) => Stretches {
                step: Some(grid.step),
                sums: grid.stretches(self.from, points),
            },
        })
    }

    /// What there is, one by one up to `kept` values where these are read, otherwise added up.
    async fn gather(
        self,
        database: &DatabaseTransaction,
        kept: usize,
    ) -> Result<Gathered, StoreError> {
        let points = self.points.min(MOST_POINTS);
        if points == 0 || self.from >= self.to {
            return Ok(Gathered::Nothing);
        }
        let progress = Progress::load(database).await?;
        let new = not_held(database, progress, self.key, self.from, self.to).await?;
        let Some(span) = self.span(database, &new).await? else {
            return Ok(Gathered::Nothing);
        };
        let step = self.aggregate.step(span.from, span.to, points);
        let are_whole = self.from >= removed_before(database, self.key).await?;
        let tier = span.tier(step, are_whole);
        let mut sink = match self.aggregate {
            Aggregate::MinMax => Sink::Shape(Shape::new(span.from, span.to, points)),
            _ => Sink::Grid(Grid {
                step: step.max(tier.map_or(1, Tier::millis)),
                sums: BTreeMap::new(),
            }),
        };
        let Some(tier) = tier else {
            let mut few = Vec::new();
            let mut are_few = true;
            raw::between(database, self.key, self.from, self.to, |found| {
                few.push(found.sample);
                are_few &= few.len() <= kept;
                if !are_few {
                    for sample in few.drain(..) {
                        sink.add(&Sum::from(sample));
                    }
                }
            })
            .await?;
            if are_few {
                return Ok(Gathered::Values(few));
            }
            return Ok(Gathered::Sums(sink));
        };
        let mut reader = Reader {
            database,
            chart: self,
            progress,
            sink: &mut sink,
            are_whole,
            cut: HashSet::new(),
            sparse_left: FEW_SPARSE,
        };
        reader.collect(tier).await?;
        if let (Sink::Shape(shape), Some(begin)) = (&mut sink, span.begin) {
            shape.add(begin);
        }
        for sample in &new {
            sink.add(&Sum::from(*sample));
        }
        Ok(Gathered::Sums(sink))
    }

    /// Where there are values; nothing without any.
    async fn span(
        &self,
        database: &DatabaseTransaction,
        new: &[Sample],
    ) -> Result<Option<Span>, StoreError> {
        let mut ends: Option<(i64, i64)> = None;
        let mut extend = |at: i64| {
            ends = Some(ends.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        };
        new.iter().for_each(|sample| extend(sample.at));
        let (mut days, mut values) = (0_i64, 0_i64);
        let last = Tier::Day.bucket(self.to.saturating_sub(1));
        let mut from = Tier::Day.bucket(self.from);
        loop {
            let rows = page(database, self.key, Tier::Day, from, last).await?;
            for (day, _) in &rows {
                for sample in [day.sum.low, day.sum.high, day.sum.last] {
                    // It may be of the part of the day that is not asked for.
                    extend(sample.at.clamp(self.from, self.to.saturating_sub(1)));
                }
                days = days.saturating_add(1);
                values = values.saturating_add(day.sum.samples);
                from = day.bucket.saturating_add(1);
            }
            if rows.len() < PAGE {
                break;
            }
        }
        // The first of a day is not in its row, but on disk, unless it was removed.
        let first = raw::first(database, self.key, self.from, self.to).await?;
        first.iter().for_each(|sample| extend(sample.at));
        let begin = first;
        let Some((first, last)) = ends else {
            return Ok(None);
        };
        // Of days at the ends only a part is asked for.
        let whole = days.saturating_mul(Tier::Day.millis()).max(1);
        let asked = self.to.saturating_sub(self.from).min(whole);
        let share = i128::from(values) * i128::from(asked) / i128::from(whole);
        let values = i64::try_from(share).unwrap_or(i64::MAX);
        let rows = |tier: Tier| (asked / tier.millis()).saturating_add(2).min(values);
        Ok(Some(Span {
            is_summed: days > 0,
            begin,
            from: first,
            to: last.saturating_add(1),
            hours: rows(Tier::Hour),
            minutes: rows(Tier::Minute),
            values: values.saturating_add(i64::try_from(new.len()).unwrap_or(i64::MAX)),
        }))
    }
}

/// What was read.
#[derive(Debug)]
enum Gathered {
    Nothing,
    Values(Vec<Sample>),
    Sums(Sink),
}

/// A series in stretches of the same length.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    /// How long each is, in milliseconds; none where each is a value.
    pub(super) step: Option<i64>,
    /// Each with its beginning, in milliseconds since 1970, by that.
    pub(super) sums: Vec<(i64, Sum)>,
}

/// Where in a range there are values, and about how many.
#[derive(Clone, Copy, Debug)]
struct Span {
    /// False when the table of days says nothing of it.
    is_summed: bool,
    /// The first value, unless it was removed.
    begin: Option<Sample>,
    /// The first moment.
    from: i64,
    /// The moment behind the last.
    to: i64,
    values: i64,
    /// Rows of hours and of minutes, at most.
    hours: i64,
    minutes: i64,
}

impl Span {
    /// Which table serves points so far apart, none for the values themselves, where these are whole: the
    /// finest that has not too many rows.
    fn tier(&self, step: i64, are_whole: bool) -> Option<Tier> {
        let suit = self.values <= FEW_VALUES || step < Tier::Minute.millis() / 4;
        if !self.is_summed || are_whole && suit {
            None
        } else if self.minutes <= FEW_ROWS {
            Some(Tier::Minute)
        } else if self.hours <= FEW_ROWS {
            Some(Tier::Hour)
        } else {
            Some(Tier::Day)
        }
    }
}

/// Reads stretches of one path.
struct Reader<'a> {
    database: &'a DatabaseTransaction,
    chart: Chart,
    progress: Progress,
    sink: &'a mut Sink,
    /// True when no value of the range was removed.
    are_whole: bool,
    /// Stretches that only begin or end in the range and count as a whole, as their values are gone.
    cut: HashSet<(Tier, i64)>,
    /// How many values may still be read one by one where there are stretches of them.
    sparse_left: i64,
}

impl Reader<'_> {
    /// Hands on what the tables hold of the range: stretches of `tier` where these are whole, and finer
    /// ones at the ends.
    async fn collect(&mut self, tier: Tier) -> Result<(), StoreError> {
        let mut ranges = vec![(self.chart.from, self.chart.to, Some(tier))];
        while let Some((from, to, tier)) = ranges.pop() {
            if from >= to {
                continue;
            }
            let Some(tier) = tier else {
                if self.are_whole {
                    for sample in self.values(from, to).await? {
                        self.sink.add(&Sum::from(sample));
                    }
                } else {
                    // Nothing finer is left: the minute of the end counts as a whole.
                    let minute = Tier::Minute;
                    let begin = minute.start(minute.bucket(from));
                    let end = minute.start(minute.bucket_from(to));
                    self.whole(begin, end, minute).await?;
                }
                continue;
            };
            let begin = tier.start(tier.bucket_from(from));
            let end = tier.start(tier.bucket(to));
            if begin >= end {
                ranges.push((from, to, tier.finer()));
            } else {
                ranges.push((from, begin, tier.finer()));
                ranges.push((end, to, tier.finer()));
                self.whole(begin, end, tier).await?;
            }
        }
        Ok(())
    }

    /// Values that the tables hold, one by one.
    async fn values(&self, from: i64, to: i64) -> Result<Vec<Sample>, StoreError> {
        let (progress, key) = (self.progress, self.chart.key);
        let mut values = Vec::new();
        raw::between(self.database, key, from, to, |found| {
            if progress.holds(found.id, key, found.sample.at) {
                values.push(found.sample);
            }
        })
        .await?;
        Ok(values)
    }

    /// Whole stretches of `tier`, and where a coarser one is not divided, what is in it.
    async fn whole(&mut self, from: i64, to: i64, tier: Tier) -> Result<(), StoreError> {
        let (first, last) = (from, to.saturating_sub(1));
        let mut level = Some(Tier::Day);
        while let Some(now) = level
            && now >= tier
        {
            let mut bucket = now.bucket(first);
            loop {
                let rows =
                    page(self.database, self.chart.key, now, bucket, now.bucket(last)).await?;
                for (row, divided) in &rows {
                    bucket = row.bucket.saturating_add(1);
                    if now == tier {
                        self.add(now, row);
                    } else if !divided {
                        self.sparse(from, to, now, row).await?;
                    }
                }
                if rows.len() < PAGE {
                    break;
                }
            }
            level = now.finer();
        }
        Ok(())
    }

    /// Of a stretch that is not divided the values are read; where these are gone or too many, its
    /// extremes must do.
    async fn sparse(
        &mut self,
        from: i64,
        to: i64,
        tier: Tier,
        row: &Bucket,
    ) -> Result<(), StoreError> {
        let start = tier.start(row.bucket);
        let end = start.saturating_add(tier.millis());
        let is_inside = start >= from && end <= to;
        if !self.are_whole || is_inside && self.sparse_left < row.sum.samples {
            self.add(tier, row);
            return Ok(());
        }
        self.sparse_left = self.sparse_left.saturating_sub(row.sum.samples);
        for sample in self.values(start.max(from), end.min(to)).await? {
            self.sink.add(&Sum::from(sample));
        }
        Ok(())
    }

    /// Adds a stretch, once.
    fn add(&mut self, tier: Tier, row: &Bucket) {
        let start = tier.start(row.bucket);
        let (from, to) = (self.chart.from, self.chart.to);
        let is_inside = start >= from && start.saturating_add(tier.millis()) <= to;
        if is_inside && self.are_whole || self.cut.insert((tier, row.bucket)) {
            self.sink.add_within(&row.sum, from, to);
        }
    }
}

/// At most [`PAGE`] rows of a table in order, each with whether it is divided.
async fn page(
    database: &DatabaseTransaction,
    key: SeriesKey,
    tier: Tier,
    first: i64,
    last: i64,
) -> Result<Vec<(Bucket, bool)>, StoreError> {
    let divided = if tier.finer().is_some() {
        "divided"
    } else {
        "FALSE"
    };
    let sql = format!(
        "SELECT bucket, samples, total, low, high, last, low_at, high_at, last_at, {divided} \
        FROM {} WHERE endpoint_id = ? AND path = ? AND bucket BETWEEN ? AND ? \
        ORDER BY bucket LIMIT {PAGE}",
        tier.table()
    );
    let values = [
        key.endpoint.into(),
        key.path.into(),
        first.into(),
        last.into(),
    ];
    let rows = database
        .query_all_raw(statement(database, &sql, values))
        .await?;
    rows.iter().map(|row| read(tier, row)).collect()
}

fn read(tier: Tier, row: &QueryResult) -> Result<(Bucket, bool), StoreError> {
    let bucket: i64 = row.try_get_by_index(0)?;
    let start = tier.start(bucket);
    let sample = |value: usize, at: usize| -> Result<Sample, StoreError> {
        let at: i32 = row.try_get_by_index(at)?;
        Ok(Sample {
            at: start.saturating_add(at.into()),
            value: row.try_get_by_index(value)?,
        })
    };
    let sum = Sum {
        samples: row.try_get_by_index(1)?,
        total: row.try_get_by_index(2)?,
        low: sample(3, 6)?,
        high: sample(4, 7)?,
        last: sample(5, 8)?,
    };
    Ok((Bucket { bucket, sum }, row.try_get_by_index(9)?))
}

/// Where values and stretches go.
#[derive(Debug)]
enum Sink {
    Grid(Grid),
    Shape(Shape),
}

impl Sink {
    fn add(&mut self, sum: &Sum) {
        match self {
            Self::Grid(grid) => grid.add(sum),
            Self::Shape(shape) => {
                for sample in [sum.low, sum.high, sum.last] {
                    shape.add(sample);
                }
            }
        }
    }

    /// Of a shape only what is in the range.
    fn add_within(&mut self, sum: &Sum, from: i64, to: i64) {
        match self {
            Self::Grid(grid) => grid.add(sum),
            Self::Shape(shape) => {
                for sample in [sum.low, sum.high, sum.last] {
                    if (from..to).contains(&sample.at) {
                        shape.add(sample);
                    }
                }
            }
        }
    }

    fn points(self, aggregate: Aggregate, from: i64, points: usize) -> Vec<Point> {
        match self {
            Self::Grid(grid) => grid.points(aggregate, from, points),
            Self::Shape(shape) => shape.points(points),
        }
    }
}

/// The first and the last point, and between them the smallest and the largest of stretches of the same
/// length.
#[derive(Debug)]
struct Shape {
    from: i64,
    span: i128,
    stretches: i128,
    first: Option<Sample>,
    last: Option<Sample>,
    extremes: BTreeMap<i128, (Sample, Sample)>,
}

impl Shape {
    fn new(from: i64, to: i64, points: usize) -> Self {
        Self {
            from,
            span: i128::from(to.saturating_sub(from)).max(1),
            stretches: (points.max(4) as i128 - 2) / 2,
            first: None,
            last: None,
            extremes: BTreeMap::new(),
        }
    }

    fn add(&mut self, sample: Sample) {
        if self.first.is_none_or(|first| sample.at < first.at) {
            self.first = Some(sample);
        }
        if self.last.is_none_or(|last| sample.at >= last.at) {
            self.last = Some(sample);
        }
        let offset = i128::from(sample.at) - i128::from(self.from);
        let stretch = offset * self.stretches / self.span;
        let (low, high) = self.extremes.entry(stretch).or_insert((sample, sample));
        let before = |one: Sample, two: Sample| one.value == two.value && one.at < two.at;
        if sample.value < low.value || before(sample, *low) {
            *low = sample;
        }
        if sample.value > high.value || before(sample, *high) {
            *high = sample;
        }
    }

    fn points(self, points: usize) -> Vec<Point> {
        let (Some(first), Some(last)) = (self.first, self.last) else {
            return Vec::new();
        };
        let mut found: Vec<Sample> = self
            .extremes
            .into_values()
            .flat_map(|(low, high)| [low, high])
            // These are the ends also where other values have the same time.
            .filter(|sample| *sample != first && *sample != last)
            .collect();
        found.sort_by(|one, two| one.at.cmp(&two.at).then(one.value.total_cmp(&two.value)));
        found.dedup();
        found.insert(0, first);
        if last != first {
            found.push(last);
        }
        let found: Vec<Point> = found.into_iter().map(Point::from).collect();
        downsample(&found, points)
    }
}

/// Stretches that begin at round moments.
#[derive(Debug)]
struct Grid {
    step: i64,
    sums: BTreeMap<i64, Sum>,
}

impl Grid {
    fn add(&mut self, sum: &Sum) {
        match self.sums.entry(sum.last.at.div_euclid(self.step)) {
            std::collections::btree_map::Entry::Occupied(mut is) => is.get_mut().add(sum),
            std::collections::btree_map::Entry::Vacant(place) => {
                place.insert(*sum);
            }
        }
    }

    /// At most `points` stretches, each with its beginning.
    fn stretches(self, from: i64, points: usize) -> Vec<(i64, Sum)> {
        let mut all: Vec<(i64, Sum)> = self.sums.into_iter().collect();
        // A range may begin and end inside of a stretch: then there is one too many.
        while all.len() > points
            && let Some((_, last)) = all.pop()
            && let Some((_, before)) = all.last_mut()
        {
            before.add(&last);
        }
        for (stretch, _) in &mut all {
            *stretch = stretch.saturating_mul(self.step).max(from);
        }
        all
    }

    fn points(self, aggregate: Aggregate, from: i64, points: usize) -> Vec<Point> {
        let all = self.stretches(from, points).into_iter();
        let points = all.map(|(start, sum)| {
            let at_start = |value| Sample { at: start, value };
            let sample = match aggregate {
                Aggregate::Count => at_start(sum.samples as f64),
                Aggregate::Last => sum.last,
                Aggregate::Max => sum.high,
                Aggregate::Mean => at_start(sum.mean()),
                Aggregate::Min | Aggregate::MinMax => sum.low,
            };
            sample.into()
        });
        points.collect()
    }
}
