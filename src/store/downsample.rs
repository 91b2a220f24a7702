//! Fewer points for a chart, so that it looks the same.

use crate::domain::Timestamp;

/// A point of a chart.
pub type Point = (Timestamp, f64);

/// At most `points` of these, in their order: the first, the last, and between them the smallest
/// and the largest of each stretch, so that no peak gets lost. Points that are no numbers (NaN)
/// are left out.
///
/// With 4 points or more, the smallest and the largest value of all are among them. With 3 it is
/// the one that stands out most; with 2 the first and the last, with 1 the last.
pub fn downsample(input: &[Point], points: usize) -> Vec<Point> {
    let numbers: Vec<Point> = input
        .iter()
        .copied()
        .filter(|(_, value)| !value.is_nan())
        .collect();
    if numbers.len() <= points {
        return numbers;
    }
    let (Some(first), Some(last)) = (numbers.first(), numbers.last()) else {
        return Vec::new();
    };
    match points {
        0 => Vec::new(),
        1 => vec![*last],
        2 => vec![*first, *last],
        points => {
            let inner = numbers.get(1..numbers.len() - 1).unwrap_or(&[]);
            let mut output = Vec::with_capacity(points);
            output.push(*first);
            if points == 3 {
                output.extend(farthest(inner, first.1.midpoint(last.1)));
            } else {
                let stretches = (points - 2) / 2;
                for stretch in 0..stretches {
                    output.extend(extremes(part(inner, stretch, stretches)));
                }
            }
            output.push(*last);
            output
        }
    }
}

/// One of `parts` parts of about the same length. There are more points than parts.
fn part(points: &[Point], part: usize, parts: usize) -> &[Point] {
    let border = |part: usize| {
        let border = points.len() as u128 * part as u128 / parts.max(1) as u128;
        usize::try_from(border).unwrap_or(points.len())
    };
    points.get(border(part)..border(part + 1)).unwrap_or(&[])
}

/// The smallest and the largest point in the order of time; one when they are the same, none of
/// none.
fn extremes(points: &[Point]) -> impl Iterator<Item = Point> + use<> {
    let mut lowest: Option<(usize, Point)> = None;
    let mut highest: Option<(usize, Point)> = None;
    for (index, point) in points.iter().copied().enumerate() {
        if lowest.is_none_or(|(_, lowest)| point.1 < lowest.1) {
            lowest = Some((index, point));
        }
        if highest.is_none_or(|(_, highest)| point.1 > highest.1) {
            highest = Some((index, point));
        }
    }
    let (one, other) = match (lowest, highest) {
        (Some(low), Some(high)) if low.0 < high.0 => (Some(low.1), Some(high.1)),
        (Some(low), Some(high)) if low.0 > high.0 => (Some(high.1), Some(low.1)),
        (low, _) => (low.map(|(_, point)| point), None),
    };
    one.into_iter().chain(other)
}

fn farthest(points: &[Point], from: f64) -> Option<Point> {
    let distance = |point: &Point| (point.1 - from).abs();
    points
        .iter()
        .copied()
        .max_by(|one, other| distance(one).total_cmp(&distance(other)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: i64, value: f64) -> Point {
        (Timestamp::clamped_from_millis(millis), value)
    }

    fn series(values: &[f64]) -> Vec<Point> {
        (0..).zip(values).map(|(t, v)| at(t, *v)).collect()
    }

    #[test]
    fn few_points_stay_as_they_are() {
        let input = series(&[3.0, 1.0, 2.0]);
        assert_eq!(downsample(&input, 3), input);
        assert_eq!(downsample(&input, usize::MAX), input);
        assert_eq!(downsample(&[], 0), []);
        assert_eq!(downsample(&[], usize::MAX), []);
    }

    #[test]
    fn very_few_points_are_safe() {
        let input = series(&[1.0, 9.0, 2.0, 3.0]);
        assert_eq!(downsample(&input, 0), []);
        assert_eq!(downsample(&input, 1), [at(3, 3.0)]);
        assert_eq!(downsample(&input, 2), [at(0, 1.0), at(3, 3.0)]);
        assert_eq!(downsample(&input, 3), [at(0, 1.0), at(1, 9.0), at(3, 3.0)]);
    }

    #[test]
    fn one_peak_among_many_points_stays() {
        let mut values = vec![20.0; 100_000];
        values[77_777] = 95.0;
        values[12_345] = -40.0;
        let output = downsample(&series(&values), 50);
        assert!(output.len() <= 50);
        assert!(output.contains(&at(77_777, 95.0)));
        assert!(output.contains(&at(12_345, -40.0)));
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let input = series(&[f64::NAN, 1.0, f64::NAN, 2.0, f64::NAN]);
        assert_eq!(downsample(&input, 2), [at(1, 1.0), at(3, 2.0)]);
        assert_eq!(downsample(&series(&[f64::NAN; 9]), 4), []);
    }

    proptest! {
        #[test]
        fn the_shape_is_kept(values in prop::collection::vec(-1e9..1e9_f64, 0..400), points in 0..500_usize) {
            let input = series(&values);
            let output = downsample(&input, points);
            prop_assert!(output.len() <= points.min(input.len()));
            prop_assert!(output.windows(2).all(|pair| pair[0].0 < pair[1].0), "in order, none twice");
            prop_assert!(output.iter().all(|point| input.contains(point)), "nothing is made up");
            if points >= 1 {
                prop_assert_eq!(output.last(), input.last());
            }
            if points >= 2 {
                prop_assert_eq!(output.first(), input.first());
            }
            if points >= 4 {
                let low = |points: &[Point]| points.iter().map(|point| point.1).reduce(f64::min);
                let high = |points: &[Point]| points.iter().map(|point| point.1).reduce(f64::max);
                prop_assert_eq!(low(&output), low(&input));
                prop_assert_eq!(high(&output), high(&input));
            }
        }
    }
}
