//! What the lists of operations and events have in common, which are newest first: of which device, since when, and the
//! way through their pages.

use actix_web::http::StatusCode;

use super::chrome::Page;
use crate::domain::{EndpointId, EndpointName, Timestamp};
use crate::store::{Found, Place};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::device_query::word;

/// Rows on one page.
pub(super) const LIMIT: u64 = 50;

/// The times that are offered, in hours.
pub(super) const HOURS: [(&str, &str); 4] = [
    ("1", "last hour"),
    ("24", "last day"),
    ("168", "last week"),
    ("720", "last 30 days"),
];

/// Of which device a list is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// Of all of them.
    Every,
    /// Of this one.
    One(EndpointId),
    /// Of a name that nothing has: the list is empty, and says so.
    Nobody,
}

impl Of {
    /// Whom a name means.
    ///
    /// # Errors
    /// When the store fails.
    pub(super) async fn device(viewer: &Viewer, name: &str) -> Result<Self, ApiError> {
        if name.is_empty() {
            return Ok(Self::Every);
        }
        let Ok(name) = EndpointName::new(name) else {
            return Ok(Self::Nobody);
        };
        match viewer.endpoint(&name).await {
            Ok(row) => Ok(Self::One(row.id)),
            Err(error) if error.status() == StatusCode::NOT_FOUND => Ok(Self::Nobody),
            Err(error) => Err(error),
        }
    }

    /// The row of the one device.
    pub(super) fn one(self) -> Option<EndpointId> {
        match self {
            Self::One(id) => Some(id),
            Self::Every | Self::Nobody => None,
        }
    }
}

/// The moment that lies so many hours back.
///
/// # Errors
/// 400 when that is no number.
pub(super) fn since(hours: &str) -> Result<Option<Timestamp>, ApiError> {
    let hours: Option<u32> = word("hours", hours)?;
    let now = Timestamp::system();
    Ok(hours.map(|hours| now.earlier_by_millis(i64::from(hours) * 3_600_000)))
}

/// Where a page begins.
pub(super) fn place<I>(
    before: Option<i64>,
    after: Option<i64>,
    id: impl Fn(i64) -> I,
) -> Option<Place<I>> {
    let older = before.map(&id).map(Place::OlderThan);
    older.or_else(|| after.map(id).map(Place::NewerThan))
}

/// Puts the ways to the pages beside this one onto the page; `address` makes that of the list from one more parameter,
/// and `id` is the number of a row.
pub(super) fn turn<T>(
    page: &mut Page,
    found: &Found<T>,
    id: impl Fn(&T) -> i64,
    address: impl Fn(&[(&str, &str)]) -> String,
) {
    let to = |name, row: &T| address(&[(name, &id(row).to_string())]);
    let older = found.rows.last().filter(|_| found.has_older);
    let newer = found.rows.first().filter(|_| found.has_newer);
    page.insert("first", &!found.has_newer);
    page.insert("first_href", &address(&[]));
    page.insert("older", &older.map(|row| to("before", row)));
    page.insert("newer", &newer.map(|row| to("after", row)));
}
