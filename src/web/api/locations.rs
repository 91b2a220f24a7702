//! `/api/v1/locations`: where devices say that they are (object 6).

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::get;
use actix_web::web::{Json, Query};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{EndpointId, EndpointName, Path, Timestamp, Value};
use crate::store::{EndpointFilter, LatestValue};
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, UnreadableParameter};
use crate::web::auth::Viewer;
use crate::web::device_query::state;

use super::query::{self, Page};

const LATITUDE: Path = Path::resource(6, 0, 0);
const LONGITUDE: Path = Path::resource(6, 0, 1);
const RADIUS: Path = Path::resource(6, 0, 3);
const MEASURED: Path = Path::resource(6, 0, 5);

/// Where a device is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "endpoint": "tracker-1", "state": "registered", "latitude": 52.5163, "longitude": 13.3777,
    "radius_m": 25.0, "time": "2026-11-30T12:00:00.000Z", "problem": null
}))]
pub(super) struct Location {
    /// The device.
    endpoint: String,
    /// Whether it can be reached: `registered`, `awake`, `asleep` or `offline`.
    state: &'static str,
    /// Degrees north; null where the device told none that makes sense.
    #[schema(required)]
    latitude: Option<f64>,
    /// Degrees east; null where the device told none that makes sense.
    #[schema(required)]
    longitude: Option<f64>,
    /// How far off it may be, in metres.
    #[schema(required)]
    radius_m: Option<f64>,
    /// When it was measured, or else when it arrived.
    #[schema(format = DateTime)]
    time: String,
    /// Why it cannot be drawn, in words.
    #[schema(required)]
    problem: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LocationsQuery {
    /// How many devices are looked at at most, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List where devices are
///
/// The latest locations of devices that report object 6, by name. A page looks at `limit` devices and lists those
/// that have one: it may be empty although there is a next one.
#[utoipa::path(
    get,
    path = "/locations",
    impl_for = list_locations,
    tag = "values",
    params(LocationsQuery),
    responses(
        (status = 200, description = "A page of locations", body = Page<Location>),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/locations")]
pub(super) async fn list_locations(
    viewer: Viewer,
    query: Query<LocationsQuery>,
) -> Result<Json<Page<Location>>, ApiError> {
    let after = query::read_cursor::<String>(query.cursor.as_deref())?;
    let after = after
        .map(|name| EndpointName::new(&name))
        .transpose()
        .map_err(|_| {
            ApiError::parameter("cursor", "`cursor` is not one that this list gave out")
        })?;
    let filter = EndpointFilter {
        limit: query::limit(&viewer, query.limit.as_deref())?,
        after,
        ..EndpointFilter::default()
    };
    let (rows, more) = viewer.endpoints(&filter).await?;
    let ids = rows.iter().map(|row| row.id).collect();
    let paths = vec![LATITUDE, LONGITUDE, RADIUS, MEASURED];
    let mut latest: BTreeMap<EndpointId, Told> = BTreeMap::new();
    for value in viewer.latest_at(ids, paths).await? {
        latest.entry(value.endpoint_id).or_default().take(value);
    }
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| query::cursor(&last.name));
    let now = Timestamp::system();
    let usual = Duration::from_secs(viewer.settings().queue_mode.awake_s);
    let items = rows.into_iter().filter_map(|row| {
        let told = latest.remove(&row.id).filter(Told::is_location)?;
        let awake = row.profile.awake.unwrap_or(usual);
        let latitude = told.degrees("latitude", LATITUDE, 90.0);
        let longitude = told.degrees("longitude", LONGITUDE, 180.0);
        let problem = [&latitude, &longitude];
        let problem = problem
            .into_iter()
            .find_map(|degrees| degrees.as_ref().err().cloned());
        Some(Location {
            state: state(&row, now, awake),
            latitude: latitude.ok(),
            longitude: longitude.ok(),
            radius_m: told.number(RADIUS).filter(|radius| *radius >= 0.0),
            time: told.time().unwrap_or(row.created_at).to_string(),
            problem,
            endpoint: row.name.to_string(),
        })
    });
    Ok(Json(Page {
        items: items.collect(),
        next,
    }))
}

/// What a device told of its place.
#[derive(Debug, Default)]
struct Told(BTreeMap<Path, (Value, Timestamp)>);

impl Told {
    fn take(&mut self, value: LatestValue) {
        self.0.insert(value.path, (value.value, value.time));
    }

    fn is_location(&self) -> bool {
        self.0.contains_key(&LATITUDE) || self.0.contains_key(&LONGITUDE)
    }

    fn number(&self, path: Path) -> Option<f64> {
        let number = self.0.get(&path)?.0.as_number()?;
        Some(number).filter(|number| number.is_finite())
    }

    fn degrees(&self, what: &str, path: Path, most: f64) -> Result<f64, String> {
        if !self.0.contains_key(&path) {
            return Err(format!("it has told no {what} ({path})"));
        }
        let degrees = self
            .number(path)
            .ok_or_else(|| format!("its {what} is not a number"))?;
        if degrees.abs() > most {
            return Err(format!(
                "its {what} {degrees} is not from -{most} to {most}"
            ));
        }
        Ok(degrees)
    }

    /// The device's own time of it, unless that makes no sense, or when the place came.
    fn time(&self) -> Option<Timestamp> {
        let own = match self.0.get(&MEASURED) {
            Some((Value::Time(seconds), _)) if *seconds > 0 => {
                Timestamp::from_millis(seconds.saturating_mul(1_000))
            }
            _ => None,
        };
        let came = [LATITUDE, LONGITUDE];
        let came = came
            .iter()
            .filter_map(|path| Some(self.0.get(path)?.1))
            .max();
        own.or(came)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(values: &[(Path, Value)]) -> Told {
        let mut told = Told::default();
        for (path, value) in values {
            told.take(LatestValue {
                endpoint_id: EndpointId(1),
                path: *path,
                value: value.clone(),
                time: Timestamp::clamped_from_millis(5_000),
            });
        }
        told
    }

    #[test]
    fn what_is_no_place_is_said_in_words() {
        let degrees = |value| told(&[(LATITUDE, value)]).degrees("latitude", LATITUDE, 90.0);
        assert_eq!(degrees(Value::Float(-90.0)), Ok(-90.0));
        assert_eq!(degrees(Value::Integer(7)), Ok(7.0));
        let beyond = degrees(Value::Float(91.0)).expect_err("beyond the pole");
        assert_eq!(beyond, "its latitude 91 is not from -90 to 90");
        assert!(degrees(Value::Float(f64::NAN)).is_err());
        assert!(degrees(Value::String("north".into())).is_err());
        let missing = told(&[]).degrees("longitude", LONGITUDE, 180.0);
        assert!(missing.expect_err("none").contains("/6/0/1"));
    }

    #[test]
    fn the_time_is_that_of_the_device_where_it_has_one() {
        let place = (LATITUDE, Value::Float(1.0));
        assert_eq!(
            told(&[place.clone(), (MEASURED, Value::Time(60))]).time(),
            Timestamp::from_millis(60_000)
        );
        assert_eq!(
            told(&[place, (MEASURED, Value::Time(0))]).time(),
            Timestamp::from_millis(5_000)
        );
    }
}
