//! What a chart shows, as the query of an address says it: series, time, and how they are laid out.
//! The page Charts, its data and pinned charts are asked for with the same words.
//!
//! A series is a path and a device with `@` between, the path first: it has no `@`, a name may have any.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use actix_web::web::Query;

use crate::domain::{EndpointName, Path, Timestamp, check_tag};
use crate::store::{EndpointFilter, EndpointRow};
use crate::web::ApiError;
use crate::web::auth::Viewer;

use super::query;

/// The presets of the page, which `chart_view.js` knows the lengths of.
pub(in crate::web) const RANGES: [&str; 11] = [
    "5m", "15m", "1h", "3h", "6h", "24h", "2d", "7d", "30d", "90d", "1y",
];

/// The longest time that one chart shows.
const MAX_RANGE_YEARS: i64 = 20;
const MAX_RANGE_MS: i64 = MAX_RANGE_YEARS * 366 * 24 * 3_600 * 1_000;

/// How far back it goes when nobody says.
const DEFAULT_RANGE_MS: i64 = 24 * 3_600 * 1_000;

/// Points of each series when nobody says, and at most: a screen has no more columns.
const DEFAULT_POINTS: usize = 500;
const MAX_POINTS: usize = 2_000;

/// Devices that are looked at to find those with a resource, at most, and how many at a time.
const MAX_LOOKED_AT: usize = 10_000;
const LOOKED_AT: u64 = 500;

/// A resource of a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeriesName {
    pub(super) path: Path,
    pub(super) endpoint: EndpointName,
}

impl FromStr for SeriesName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (path, endpoint) = resource_and_rest(text)?;
        let endpoint = EndpointName::new(endpoint).map_err(|error| error.to_string())?;
        Ok(Self { path, endpoint })
    }
}

impl fmt::Display for SeriesName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.path, self.endpoint)
    }
}

/// The resource before the `@`, and what stands behind it.
fn resource_and_rest(text: &str) -> Result<(Path, &str), String> {
    let shape = "a series is a resource and a device, such as /3303/0/5700@NAME";
    let (path, rest) = text.split_once('@').ok_or(shape)?;
    let path: Path = path.parse().map_err(|error| format!("{error}; {shape}"))?;
    if path.depth() < 3 {
        return Err(format!("{path} is no resource; {shape}"));
    }
    Ok((path, rest))
}

/// Which series.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Choice {
    /// Each by its name.
    named: Vec<SeriesName>,
    /// A resource on every device that has it and this tag; on every device with an empty tag.
    tagged: Vec<(Path, String)>,
}

/// What a chart is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) choice: Choice,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) points: usize,
}

/// A series that was chosen; its device may be gone.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) name: SeriesName,
    pub(super) row: Option<EndpointRow>,
}

/// The names and values of a query; names may stand there more than once.
fn pairs(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    Query::from_query(query)
        .map(Query::into_inner)
        .map_err(|error| ApiError::malformed(error.to_string()))
}

impl Choice {
    /// Takes a parameter; false when it is about something else.
    fn take(&mut self, name: &str, value: &str, limit: usize) -> Result<bool, ApiError> {
        match name {
            "series" => {
                let series = value
                    .parse()
                    .map_err(|error| ApiError::parameter("series", format!("`series`: {error}")))?;
                if !self.named.contains(&series) {
                    self.named.push(series);
                }
            }
            "tagged" => {
                let wrong = |error| ApiError::parameter("tagged", format!("`tagged`: {error}"));
                let (path, tag) = resource_and_rest(value).map_err(wrong)?;
                if !tag.is_empty() {
                    check_tag(tag).map_err(wrong)?;
                }
                let entry = (path, tag.to_owned());
                if !self.tagged.contains(&entry) {
                    self.tagged.push(entry);
                }
            }
            _ => return Ok(false),
        }
        if self.named.len() + self.tagged.len() > limit {
            let detail = format!("a chart has at most {limit} series (charts.max_series)");
            return Err(ApiError::parameter(name, detail));
        }
        Ok(true)
    }

    fn is_empty(&self) -> bool {
        self.named.is_empty() && self.tagged.is_empty()
    }

    /// The devices behind it, in the order of the choice, and whether there would be more series than a
    /// chart has.
    pub(super) async fn resolve(self, viewer: &Viewer) -> Result<(Vec<Chosen>, bool), ApiError> {
        let limit = viewer.settings().charts.max_series;
        let mut rows: BTreeMap<EndpointName, Option<EndpointRow>> = BTreeMap::new();
        let mut chosen = Vec::new();
        let mut seen: BTreeSet<SeriesName> = BTreeSet::new();
        for name in self.named {
            let row = match rows.get(&name.endpoint) {
                Some(row) => row.clone(),
                None => {
                    let row = viewer.find_endpoint(&name.endpoint).await?;
                    rows.insert(name.endpoint.clone(), row.clone());
                    row
                }
            };
            seen.insert(name.clone());
            chosen.push(Chosen { name, row });
        }
        for (path, tag) in self.tagged {
            let mut filter = EndpointFilter {
                tag: Some(tag).filter(|tag| !tag.is_empty()),
                limit: LOOKED_AT,
                ..EndpointFilter::default()
            };
            let mut looked_at = 0;
            loop {
                let (found, more) = viewer.endpoints(&filter).await?;
                looked_at += found.len();
                filter.after = found.last().map(|row| row.name.clone());
                let ids = found.iter().map(|row| row.id).collect();
                let latest = viewer.latest_at(ids, vec![path]).await?;
                let having: BTreeSet<_> = latest.iter().map(|one| one.endpoint_id).collect();
                for row in found.into_iter().filter(|row| having.contains(&row.id)) {
                    let name = SeriesName {
                        path,
                        endpoint: row.name.clone(),
                    };
                    if !seen.insert(name.clone()) {
                        continue;
                    }
                    if chosen.len() >= limit {
                        return Ok((chosen, true));
                    }
                    chosen.push(Chosen {
                        name,
                        row: Some(row),
                    });
                }
                if !more {
                    break;
                }
                if looked_at >= MAX_LOOKED_AT {
                    return Ok((chosen, true));
                }
            }
        }
        Ok((chosen, false))
    }
}

impl Wanted {
    /// Reads the query of a call for data.
    pub(super) fn read(query: &str, limit: usize, now: Timestamp) -> Result<Self, ApiError> {
        let mut choice = Choice::default();
        let (mut from, mut to, mut points) = (None, None, None);
        for (name, value) in pairs(query)? {
            if choice.take(&name, &value, limit)? {
                continue;
            }
            match name.as_str() {
                "from" => from = query::moment("from", Some(&value))?,
                "to" => to = query::moment("to", Some(&value))?,
                "points" => points = query::parse::<usize>("points", Some(&value))?,
                _ => return Err(unknown(&name)),
            }
        }
        if choice.is_empty() {
            let detail = "`series` is missing, such as /3303/0/5700@NAME";
            return Err(ApiError::parameter("series", detail));
        }
        let points = points.unwrap_or(DEFAULT_POINTS);
        if !(1..=MAX_POINTS).contains(&points) {
            let detail = format!("`points` must be from 1 to {MAX_POINTS}");
            return Err(ApiError::parameter("points", detail));
        }
        let to = to.unwrap_or(now);
        let from = from.unwrap_or_else(|| {
            Timestamp::clamped_from_millis(to.as_millis().saturating_sub(DEFAULT_RANGE_MS))
        });
        check_range(from, to)?;
        Ok(Self {
            choice,
            from,
            to,
            points,
        })
    }
}

/// Checks what a pinned chart is to show: the query of the address of a chart.
///
/// # Errors
/// Says which part makes no sense.
pub(super) fn check_view(view: &str, limit: usize) -> Result<(), ApiError> {
    let mut choice = Choice::default();
    let (mut from, mut to) = (None, None);
    for (name, value) in pairs(view)? {
        if choice.take(&name, &value, limit)? {
            continue;
        }
        let one_of = |words: &[&str]| match words.contains(&value.as_str()) {
            true => Ok(()),
            false => Err(ApiError::parameter(
                &name,
                format!("`{name}` must be one of {}", words.join(", ")),
            )),
        };
        match name.as_str() {
            "from" => from = query::moment("from", Some(&value))?,
            "to" => to = query::moment("to", Some(&value))?,
            "range" => one_of(&RANGES)?,
            "panels" => one_of(&["units", "series"])?,
            "follow" => one_of(&["true", "false"])?,
            _ => return Err(unknown(&name)),
        }
    }
    if choice.is_empty() {
        return Err(ApiError::parameter("series", "it shows no series"));
    }
    match (from, to) {
        (Some(from), Some(to)) => check_range(from, to),
        (None, None) => Ok(()),
        _ => Err(ApiError::parameter("from", "`from` and `to` go together")),
    }
}

fn check_range(from: Timestamp, to: Timestamp) -> Result<(), ApiError> {
    if from > to {
        return Err(ApiError::parameter("from", "`from` is after `to`"));
    }
    if to.as_millis().saturating_sub(from.as_millis()) > MAX_RANGE_MS {
        let detail = format!("`from` is more than {MAX_RANGE_YEARS} years before `to`");
        return Err(ApiError::parameter("from", detail));
    }
    Ok(())
}

fn unknown(name: &str) -> ApiError {
    ApiError::parameter(name, format!("there is no parameter `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Wanted, ApiError> {
        Wanted::read(query, 3, Timestamp::clamped_from_millis(1_700_000_000_000))
    }

    #[test]
    fn a_name_may_look_like_a_path_and_hold_any_character() {
        for text in ["/3303/0/5700@a@b/3/0", "/3/0/7/1@urn:imei:1", "/3/0/9@/3/0"] {
            let name: SeriesName = text.parse().expect(text);
            assert_eq!(name.to_string(), text);
        }
        for text in ["", "@a", "/3303@a", "/3303/0/5700", "/3303/0/5700@", "3@a"] {
            assert!(text.parse::<SeriesName>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (query, field) in [
            ("", "series"),
            ("series=x", "series"),
            ("series=/3/0/9@a&points=0", "points"),
            ("series=/3/0/9@a&points=-1", "points"),
            ("series=/3/0/9@a&points=NaN", "points"),
            ("series=/3/0/9@a&points=1000000000", "points"),
            ("series=/3/0/9@a&from=2&to=1", "from"),
            ("series=/3/0/9@a&from=NaN", "from"),
            ("series=/3/0/9@a&from=-4000000000000", "from"),
            ("series=/3/0/9@a&to=now", "to"),
            ("tagged=/3/0/9@a%20b", "tagged"),
            ("series=/3/0/9@a&filter=x", "filter"),
            (
                "series=/3/0/9@a&series=/3/0/9@b&tagged=/3/0/9@c&series=/3/0/9@d",
                "series",
            ),
        ] {
            let error = read(query).expect_err(query);
            assert_eq!(error.field(), Some(field), "{query}: {}", error.detail());
            assert!(error.detail().len() > 10);
        }
    }

    #[test]
    fn series_are_taken_once_and_time_has_a_default() {
        let wanted = read("series=/3/0/9@a&series=/3/0/9@a&tagged=/3/0/9@").expect("a chart");
        assert_eq!(wanted.choice.named.len(), 1);
        assert_eq!(
            wanted.choice.tagged,
            [(Path::resource(3, 0, 9), String::new())]
        );
        assert_eq!(
            wanted.to.as_millis() - wanted.from.as_millis(),
            DEFAULT_RANGE_MS
        );
        assert_eq!(wanted.points, DEFAULT_POINTS);
    }

    #[test]
    fn a_view_is_the_address_of_a_chart() {
        for view in [
            "series=/3/0/9@a&range=1h&panels=units&follow=true",
            "tagged=/3/0/9@lab&from=1&to=2",
        ] {
            check_view(view, 3).expect(view);
        }
        for view in [
            "",
            "range=1h",
            "series=/3/0/9@a&range=1s",
            "series=/3/0/9@a&from=1",
            "series=/3/0/9@a&color=red",
        ] {
            check_view(view, 3).expect_err(view);
        }
    }
}
