//! `/api/v1/series`: many histories in one call, their values as a file, and what there is to choose from.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use actix_web::web::{Json, Query};
use actix_web::{HttpRequest, HttpResponse, get};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{EndpointId, Path, REGISTRATION_EVENTS, Timestamp, Value, ValueType};
use crate::lwm2m::{ModelView, Models};
use crate::store::{EndpointFilter, EndpointRow, LatestValue, Series, SeriesPoint, Summary};
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, UnreadableParameter};
use crate::web::auth::Viewer;
use crate::web::csv::{self, Rows};
use crate::web::models::of_device;

use super::chart_choice::{Chosen, SeriesName, Wanted};
use super::query;

/// The resource in which a sensor tells the units of its values, and the values that it is about.
const SENSOR_UNITS: u16 = 5701;
const IN_SENSOR_UNITS: [u16; 5] = [5601, 5602, 5603, 5604, 5700];

/// The first id of objects that are not about device management.
const FIRST_APPLICATION_OBJECT: u16 = 3200;

/// Rows of the file that are read at a time.
const ROWS: u64 = 2_000;

/// Hits of a search when nobody says, and at most.
const DEFAULT_HITS: usize = 20;
const MAX_HITS: usize = 100;

/// The longest text to search for, in characters, and its words at most.
const MAX_SEARCH: usize = 200;
const MAX_WORDS: usize = 8;

/// Devices that a search looks at, at most, and how many at a time.
const MAX_SEARCHED: usize = 2_000;
const SEARCHED: u64 = 250;

/// A point of a series.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum PointView {
    /// Time (milliseconds since 1970) and value.
    Value(i64, f64),
    /// Beginning of a stretch of time, and mean, smallest and largest of its values.
    Stretch(i64, f64, f64, f64),
}

/// What all values of a series have in common.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SummaryView {
    /// How many there are.
    count: u64,
    /// Their mean.
    mean: f64,
    /// The smallest.
    min: f64,
    /// The largest.
    max: f64,
    /// The last.
    last: f64,
    /// When that was measured.
    #[schema(format = DateTime)]
    last_at: String,
}

impl From<Summary> for SummaryView {
    fn from(summary: Summary) -> Self {
        Self {
            count: summary.count,
            mean: summary.mean,
            min: summary.min,
            max: summary.max,
            last: summary.last,
            last_at: summary.last_at.to_string(),
        }
    }
}

/// What a series is called.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct SeriesWords {
    /// The device.
    endpoint: String,
    /// Where.
    path: String,
    /// What the model calls the object.
    #[schema(required)]
    object: Option<String>,
    /// What the model calls the resource.
    #[schema(required)]
    name: Option<String>,
    /// Its units, where the model or the device names some.
    #[schema(required)]
    units: Option<String>,
    /// The type of its values, for example `FLOAT`.
    #[serde(rename = "type")]
    #[schema(required)]
    value_type: Option<&'static str>,
}

/// A resource of a device over time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SeriesView {
    #[serde(flatten)]
    words: SeriesWords,
    /// How long the stretches are that the points stand for, in milliseconds; null where each point is a value.
    #[schema(required)]
    step_ms: Option<i64>,
    /// By time: pairs of time and value, or time, mean, smallest and largest of a stretch.
    #[schema(value_type = Vec<Vec<f64>>, example = json!([[1_700_000_000_000_i64, 21.5]]))]
    points: Vec<PointView>,
    /// Of all values in the range; null where there are none.
    #[schema(required)]
    summary: Option<SummaryView>,
    /// Why there can be nothing, for example that the device was forgotten.
    #[schema(required)]
    error: Option<String>,
}

/// Several series in one time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "from": "2026-11-23T00:00:00.000Z", "to": "2026-11-24T00:00:00.000Z",
    "series": [{
        "endpoint": "urn:imei:490154203237518", "path": "/3303/0/5700", "object": "Temperature",
        "name": "Sensor Value", "units": "Cel", "type": "FLOAT", "step_ms": null,
        "points": [[1_795_392_000_000_i64, 21.5], [1_795_392_060_000_i64, 22.5]],
        "summary": {
            "count": 2, "mean": 22.0, "min": 21.5, "max": 22.5, "last": 22.5,
            "last_at": "2026-11-23T00:01:00.000Z"
        },
        "error": null
    }],
    "cut": false, "limit": 20
}))]
pub(super) struct SeriesAnswer {
    /// The first moment.
    #[schema(format = DateTime)]
    from: String,
    /// The moment behind the last.
    #[schema(format = DateTime)]
    to: String,
    /// The series, in the order asked for.
    series: Vec<SeriesView>,
    /// True when devices were left out, since a chart has at most `limit` series.
    cut: bool,
    /// `charts.max_series`.
    limit: usize,
}

/// Show several series
///
/// Numbers and switches only. A series with at most `points` values shows them; of others there is the mean, the
/// smallest and the largest of stretches of the same length, which begin at round moments.
#[utoipa::path(
    get,
    path = "/series",
    impl_for = list_series,
    tag = "values",
    params(
        ("series" = Option<Vec<String>>, Query, description = "A resource and a device, such as `/3303/0/5700@NAME`; may be given several times", example = json!(["/3303/0/5700@urn:imei:490154203237518"])),
        ("tagged" = Option<Vec<String>>, Query, description = "A resource on every device with a tag, such as `/3303/0/5700@lab`, or on every device with nothing behind the `@`", example = json!(["/3303/0/5700@lab"])),
        ("from" = Option<String>, Query, description = "The first moment, RFC 3339 or milliseconds since 1970; a day before `to` when missing"),
        ("to" = Option<String>, Query, description = "The moment behind the last; now when missing"),
        ("points" = Option<u32>, Query, description = "How many points each series has at most, from 1 to 2000; 500 when missing", example = 500),
    ),
    responses(
        (status = 200, description = "The series", body = SeriesAnswer),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/series")]
pub(super) async fn list_series(
    viewer: Viewer,
    request: HttpRequest,
) -> Result<Json<SeriesAnswer>, ApiError> {
    let limit = viewer.settings().charts.max_series;
    let wanted = Wanted::read(request.query_string(), limit, Timestamp::system())?;
    let (from, to, points) = (wanted.from, wanted.to, wanted.points);
    let (chosen, cut) = wanted.choice.resolve(&viewer).await?;
    let words = describe(&viewer, &chosen).await?;
    let known = chosen
        .iter()
        .filter_map(|one| Some((one.row.as_ref()?.id, one.name.path)));
    let found = viewer.series(known.collect(), from, to, points).await?;
    let mut found = found.into_iter();
    let series = chosen.iter().zip(words).map(|(one, words)| {
        let error = match one.row {
            Some(_) => None,
            None => Some(format!("there is no endpoint `{}`", one.name.endpoint)),
        };
        let series = match one.row {
            Some(_) => found.next().unwrap_or_default(),
            None => Series::default(),
        };
        let point = |point: &SeriesPoint| {
            let at = point.time.as_millis();
            match series.step_ms {
                None => PointView::Value(at, point.mean),
                Some(_) => PointView::Stretch(at, point.mean, point.min, point.max),
            }
        };
        SeriesView {
            words,
            step_ms: series.step_ms,
            points: series.points.iter().map(point).collect(),
            summary: series.summary.map(SummaryView::from),
            error,
        }
    });
    Ok(Json(SeriesAnswer {
        from: from.to_string(),
        to: to.to_string(),
        series: series.collect(),
        cut,
        limit,
    }))
}

/// Download the values of several series
///
/// As CSV (RFC 4180): every value of the time as it came, series by series, by time. Texts that a spreadsheet
/// would take for a formula have an apostrophe in front.
#[utoipa::path(
    get,
    path = "/series.csv",
    impl_for = download_series,
    tag = "values",
    params(
        ("series" = Option<Vec<String>>, Query, description = "As of `GET /series`", example = json!(["/3303/0/5700@urn:imei:490154203237518"])),
        ("tagged" = Option<Vec<String>>, Query, description = "As of `GET /series`", example = json!(["/3303/0/5700@lab"])),
        ("from" = Option<String>, Query, description = "As of `GET /series`"),
        ("to" = Option<String>, Query, description = "As of `GET /series`"),
    ),
    responses(
        (status = 200, description = "The columns `time`, `endpoint`, `path`, `name`, `units`, `value`", body = String, content_type = "text/csv"),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/series.csv")]
pub(super) async fn download_series(
    viewer: Viewer,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let limit = viewer.settings().charts.max_series;
    let wanted = Wanted::read(request.query_string(), limit, Timestamp::system())?;
    let (from, to) = (wanted.from, wanted.to);
    let (chosen, _) = wanted.choice.resolve(&viewer).await?;
    let words = describe(&viewer, &chosen).await?;
    let left = chosen.iter().zip(words).filter_map(|(one, words)| {
        Some(Exported {
            id: one.row.as_ref()?.id,
            path: one.name.path,
            words,
            after: None,
        })
    });
    let left: Vec<Exported> = left.collect();
    let start = Export {
        viewer,
        left: left.into_iter(),
        under_way: None,
        from,
        to,
    };
    let pages = stream::try_unfold(start, |mut export| async move {
        let rows = export.next().await?;
        Ok::<_, ApiError>(rows.map(|rows| (rows, export)))
    });
    let columns = ["time", "endpoint", "path", "name", "units", "value"];
    let name = format!("values-{from}-{to}.csv");
    Ok(csv::download(&name, &columns, pages))
}

/// A file that is being written.
struct Export {
    viewer: Viewer,
    left: std::vec::IntoIter<Exported>,
    /// The one whose values are read now.
    under_way: Option<Exported>,
    from: Timestamp,
    to: Timestamp,
}

/// A series in a file.
struct Exported {
    id: EndpointId,
    path: Path,
    words: SeriesWords,
    /// Time and row of the last value that was read.
    after: Option<(Timestamp, i64)>,
}

impl Export {
    /// The next rows; nothing behind the last.
    async fn next(&mut self) -> Result<Option<Rows>, ApiError> {
        loop {
            let Some(mut series) = self.under_way.take().or_else(|| self.left.next()) else {
                return Ok(None);
            };
            let (from, to) = (self.from, self.to);
            let values = self
                .viewer
                .raw_values(series.id, series.path, from, to, series.after, ROWS)
                .await?;
            let Some(last) = values.last() else {
                continue;
            };
            series.after = Some((last.time, last.row));
            let words = &series.words;
            let name = [words.object.as_deref(), words.name.as_deref()];
            let name: Vec<&str> = name.into_iter().flatten().collect();
            let name = name.join(": ");
            let units = words.units.as_deref().unwrap_or_default();
            let row = |time: Timestamp, value: &Value| {
                let value = match value.to_json() {
                    serde_json::Value::String(text) => text,
                    json => json.to_string(),
                };
                vec![
                    time.to_string(),
                    words.endpoint.clone(),
                    words.path.clone(),
                    name.clone(),
                    units.to_owned(),
                    value,
                ]
            };
            let rows = values.iter().map(|value| row(value.time, &value.value));
            let rows = rows.collect();
            if values.len() as u64 == ROWS {
                self.under_way = Some(series);
            }
            return Ok(Some(rows));
        }
    }
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SearchQuery {
    /// Parts of the device's name, of the object's or resource's name, or of the path, with spaces between: each
    /// must be somewhere. Everything when missing.
    search: Option<String>,
    /// How many at most.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 20)]
    limit: Option<String>,
}

/// What a search found.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "items": [{
        "endpoint": "urn:imei:490154203237518", "path": "/3303/0/5700", "object": "Temperature",
        "name": "Sensor Value", "units": "Cel", "type": "FLOAT"
    }],
    "more": false
}))]
pub(super) struct SearchAnswer {
    /// By device and path, what devices are for before what is about themselves.
    items: Vec<SeriesWords>,
    /// True when there may be more: say more of it.
    more: bool,
}

/// Search for series
///
/// What devices have reported numbers or switches of.
#[utoipa::path(
    get,
    path = "/series/search",
    impl_for = search_series,
    tag = "values",
    params(SearchQuery),
    responses(
        (status = 200, description = "What was found", body = SearchAnswer),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/series/search")]
pub(super) async fn search_series(
    viewer: Viewer,
    query: Query<SearchQuery>,
) -> Result<Json<SearchAnswer>, ApiError> {
    let limit = query::parse("limit", query.limit.as_deref())?.unwrap_or(DEFAULT_HITS);
    if !(1..=MAX_HITS).contains(&limit) {
        let detail = format!("`limit` must be from 1 to {MAX_HITS}");
        return Err(ApiError::parameter("limit", detail));
    }
    let text = query.search.as_deref().unwrap_or_default().to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    if text.chars().count() > MAX_SEARCH || words.len() > MAX_WORDS {
        let detail = format!("`search` has at most {MAX_SEARCH} characters and {MAX_WORDS} words");
        return Err(ApiError::parameter("search", detail));
    }
    let models = viewer.models();
    let mut labels = Labels::new(&models);
    // A word that no model and no path has must be of the device's name, which the store finds.
    let of_names = words.iter().filter(|word| !labels.may_hold(word));
    let mut filter = EndpointFilter {
        search: of_names
            .max_by_key(|word| word.len())
            .map(|word| (*word).to_owned()),
        limit: SEARCHED,
        ..EndpointFilter::default()
    };
    let mut hits: Vec<Chosen> = Vec::new();
    let mut searched = 0;
    let more = loop {
        let (rows, more) = viewer.endpoints(&filter).await?;
        searched += rows.len();
        filter.after = rows.last().map(|row| row.name.clone());
        let mut paths: BTreeMap<EndpointId, Vec<Path>> = BTreeMap::new();
        for (id, path) in viewer
            .paths(rows.iter().map(|row| row.id).collect())
            .await?
        {
            paths.entry(id).or_default().push(path);
        }
        for row in rows {
            let name = row.name.as_str().to_lowercase();
            let mut of_device: Vec<Path> = paths.remove(&row.id).unwrap_or_default();
            of_device.retain(|path| {
                labels.of(*path).is_some_and(|label| {
                    let holds = |word: &&str| name.contains(*word) || label.contains(*word);
                    words.iter().all(holds)
                })
            });
            of_device.sort_by_key(|path| {
                let about_itself = path.object_id() < Some(FIRST_APPLICATION_OBJECT);
                (about_itself, *path)
            });
            hits.extend(of_device.into_iter().map(|path| Chosen {
                name: SeriesName {
                    path,
                    endpoint: row.name.clone(),
                },
                row: Some(row.clone()),
            }));
            if hits.len() > limit {
                break;
            }
        }
        if hits.len() > limit || more && searched >= MAX_SEARCHED {
            break true;
        }
        if !more {
            break false;
        }
    };
    hits.truncate(limit);
    let items = describe(&viewer, &hits).await?;
    Ok(Json(SearchAnswer { items, more }))
}

/// What paths are called, in lower case.
struct Labels<'a> {
    models: ModelView<'a>,
    /// Every name and number of objects and resources.
    names: Vec<String>,
    ids: BTreeSet<u16>,
    labels: HashMap<Path, Option<String>>,
}

impl<'a> Labels<'a> {
    fn new(models: &'a Models) -> Self {
        let (mut names, mut ids) = (Vec::new(), BTreeSet::new());
        for object in models.objects() {
            ids.insert(object.id);
            names.push(object.name.to_lowercase());
            for resource in object.resources.values() {
                ids.insert(resource.id);
                names.push(resource.name.to_lowercase());
            }
        }
        Self {
            models: ModelView::newest(models),
            names,
            ids,
            labels: HashMap::new(),
        }
    }

    /// Whether a word may be of a path or its name.
    fn may_hold(&self, word: &str) -> bool {
        word.contains('/')
            || word.parse().is_ok_and(|id| self.ids.contains(&id))
            || self.names.iter().any(|name| name.contains(word))
    }

    /// The label of a path; nothing where its values are no numbers.
    fn of(&mut self, path: Path) -> Option<&str> {
        let models = self.models;
        let label = self.labels.entry(path).or_insert_with(|| {
            let object = path.object_id().filter(|id| *id != REGISTRATION_EVENTS)?;
            let model = models.at(&path);
            let is_number = |model: &crate::lwm2m::ResourceModel| {
                model.value_type.is_some_and(ValueType::is_numeric)
            };
            if path.depth() < 3 || model.is_some_and(|model| !is_number(model)) {
                return None;
            }
            let object = models.object(object).map_or("", |model| &model.name);
            let name = model.map_or("", |model| &model.name);
            Some(format!("{object} {name} {path}").to_lowercase())
        });
        label.as_deref()
    }
}

/// What each of these is called, by the models of its device.
async fn describe(viewer: &Viewer, chosen: &[Chosen]) -> Result<Vec<SeriesWords>, ApiError> {
    let models = viewer.models();
    let units_of = |path: &Path| {
        let told = path.resource_id().filter(|id| IN_SENSOR_UNITS.contains(id));
        told.and_then(|_| path.truncated(2).child(SENSOR_UNITS))
    };
    let ids: BTreeSet<EndpointId> = chosen
        .iter()
        .filter_map(|one| Some(one.row.as_ref()?.id))
        .collect();
    let paths: BTreeSet<Path> = chosen
        .iter()
        .flat_map(|one| [Some(one.name.path), units_of(&one.name.path)])
        .flatten()
        .collect();
    let latest = viewer
        .latest_at(ids.into_iter().collect(), paths.into_iter().collect())
        .await?;
    let at = |row: &EndpointRow, path: Path| -> Option<&LatestValue> {
        let key = (row.id, path);
        let found = latest.binary_search_by_key(&key, |one| (one.endpoint_id, one.path));
        latest.get(found.ok()?)
    };
    let words = chosen.iter().map(|one| {
        let path = one.name.path;
        let row = one.row.as_ref();
        let view = of_device(&models, row.and_then(|row| row.registration.as_ref()));
        let model = view.at(&path);
        let told = row
            .zip(units_of(&path))
            .and_then(|(row, path)| at(row, path));
        let told = told.and_then(|told| match &told.value {
            Value::String(units) if !units.is_empty() => Some(units.clone()),
            _ => None,
        });
        let of_value = row
            .and_then(|row| at(row, path))
            .map(|latest| latest.value.value_type());
        SeriesWords {
            endpoint: one.name.endpoint.to_string(),
            path: path.to_string(),
            object: path
                .object_id()
                .and_then(|id| view.object(id))
                .map(|object| object.name.clone()),
            name: model.map(|model| model.name.clone()),
            units: model.and_then(|model| model.units.clone()).or(told),
            value_type: model
                .and_then(|model| model.value_type)
                .or(of_value)
                .map(ValueType::name),
        }
    });
    Ok(words.collect())
}
