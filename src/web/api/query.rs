//! Query parameters and pages of lists, the same for every resource.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::domain::{EndpointId, EndpointName, Timestamp};
use crate::store::{Found, Place};
use crate::web::ApiError;
use crate::web::auth::Viewer;
use crate::web::unreadable;

/// Rows of a page when nobody says.
const DEFAULT_LIMIT: u64 = 100;

/// The query of a call that has none: anything in it is an error.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoQuery {}

/// The query of a list that can only be turned over.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    pub(super) limit: Option<String>,
    /// `next` of the page before.
    pub(super) cursor: Option<String>,
}

/// A page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The rows.
    pub(super) items: Vec<T>,
    /// The `cursor` of the next page; null on the last one.
    #[schema(required)]
    pub(super) next: Option<String>,
}

impl<T> Page<T> {
    /// A list that has one page only.
    pub(super) fn whole(items: Vec<T>) -> Self {
        Self { items, next: None }
    }

    /// A page of what was asked for with one row more than `limit`: the row too many says that
    /// there is another page. `key` is what of the last row the cursor holds.
    pub(super) fn cut<R, K: Display>(
        mut rows: Vec<R>,
        limit: u64,
        key: impl FnOnce(&R) -> K,
        item: impl FnMut(R) -> T,
    ) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| cursor(key(row)));
        Self {
            items: rows.into_iter().map(item).collect(),
            next,
        }
    }

    /// A page of a search.
    pub(super) fn found<R, K: Display>(
        found: Found<R>,
        key: impl FnOnce(&R) -> K,
        item: impl FnMut(R) -> T,
    ) -> Self {
        let last = found.rows.last().filter(|_| found.has_older);
        Self {
            next: last.map(|row| cursor(key(row))),
            items: found.rows.into_iter().map(item).collect(),
        }
    }
}

/// What was given. A parameter without a value, as forms send their empty fields, is one that was not.
pub(super) fn given(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// Reads a parameter, naming it when it cannot be read.
pub(super) fn parse<T>(name: &'static str, text: Option<&str>) -> Result<Option<T>, ApiError>
where
    T: FromStr<Err: Display>,
{
    given(text)
        .map(|text| {
            text.parse().map_err(|error: T::Err| {
                let words = unreadable::parameter(name, text, &error.to_string());
                ApiError::parameter(name, words)
            })
        })
        .transpose()
}

/// Reads a moment: RFC 3339, or milliseconds since 1970 as the charts have them.
pub(super) fn moment(
    name: &'static str,
    text: Option<&str>,
) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = given(text) else {
        return Ok(None);
    };
    match text.parse::<i64>() {
        Ok(millis) => Ok(Some(Timestamp::clamped_from_millis(millis))),
        // The `+` of an offset, which a query that was not encoded brings as a space.
        Err(_) if text.contains('T') => parse(name, Some(&text.replace(' ', "+"))),
        Err(_) => parse(name, Some(text)),
    }
}

/// Reads a number that is not negative, as far as every reader of JSON can follow.
pub(super) fn count(name: &'static str, text: Option<&str>) -> Result<Option<u64>, ApiError> {
    let count: Option<i64> = parse(name, text)?;
    let count = count.map(|count| {
        u64::try_from(count)
            .map_err(|_| ApiError::parameter(name, format!("`{name}` must not be negative")))
    });
    count.transpose()
}

/// Reads `limit`: at least 1; more than `web.max_page_rows` counts as that.
pub(super) fn limit(viewer: &Viewer, text: Option<&str>) -> Result<u64, ApiError> {
    let limit = parse("limit", text)?.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 {
        return Err(ApiError::parameter("limit", "`limit` must be at least 1"));
    }
    // The document says `int64`.
    if i64::try_from(limit).is_err() {
        return Err(ApiError::parameter(
            "limit",
            "`limit` is too large a number",
        ));
    }
    Ok(limit.min(viewer.settings().web.max_page_rows.max(1)))
}

/// Hides what a cursor holds, so that nobody builds one.
pub(super) fn cursor(key: impl Display) -> String {
    URL_SAFE_NO_PAD.encode(key.to_string())
}

/// Reads a cursor that [`cursor`] made.
pub(super) fn read_cursor<T: FromStr>(text: Option<&str>) -> Result<Option<T>, ApiError> {
    let Some(text) = given(text) else {
        return Ok(None);
    };
    let key = URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|key| key.parse().ok());
    match key {
        Some(key) => Ok(Some(key)),
        None => Err(ApiError::parameter(
            "cursor",
            "`cursor` is not one that this list gave out",
        )),
    }
}

/// Where a page begins whose cursor is the number of the last row of the one before.
pub(super) fn place<I>(
    cursor: Option<&str>,
    id: impl FnOnce(i64) -> I,
) -> Result<Option<Place<I>>, ApiError> {
    let row = read_cursor(cursor)?;
    Ok(row.map(id).map(Place::OlderThan))
}

/// The device that a parameter names, if one does.
pub(super) async fn device(
    viewer: &Viewer,
    name: Option<&str>,
) -> Result<Option<EndpointId>, ApiError> {
    match given(name) {
        Some(name) => Ok(Some(viewer.endpoint(&endpoint_name(name)?).await?.id)),
        None => Ok(None),
    }
}

/// The device that a path segment names.
pub(super) fn endpoint_name(text: &str) -> Result<EndpointName, ApiError> {
    EndpointName::new(text).map_err(|error| ApiError::not_found(error.to_string()))
}

/// A number in a path segment; anything else names nothing.
pub(super) fn row_id(what: &str, text: &str) -> Result<i64, ApiError> {
    text.parse()
        .map_err(|_| ApiError::not_found(format!("there is no {what} `{text}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_and_rubbish_does_not() {
        let made = cursor("urn:imei:1 é");
        assert_eq!(
            read_cursor::<String>(Some(&made)),
            Ok(Some("urn:imei:1 é".to_owned()))
        );
        assert_eq!(read_cursor::<i64>(Some("")), Ok(None));
        assert!(read_cursor::<i64>(Some(&made)).is_err());
        assert!(read_cursor::<String>(Some("%%%")).is_err());
    }

    #[test]
    fn the_row_too_many_makes_a_next_page() {
        let page = Page::cut(vec![3, 2, 1], 2, |row| *row, |row| row);
        assert_eq!(page.items, [3, 2]);
        assert_eq!(read_cursor(page.next.as_deref()), Ok(Some(2)));
        let page = Page::cut(vec![3, 2], 2, |row: &i32| *row, |row| row);
        assert_eq!(page.next, None);
    }

    #[test]
    fn moments_are_rfc_3339_or_milliseconds() {
        let wanted = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(moment("from", Some("1700000000000")), Ok(wanted));
        assert_eq!(moment("from", Some("2023-11-14T22:13:20Z")), Ok(wanted));
        assert_eq!(
            moment("from", Some("2023-11-15T00:13:20+02:00")),
            Ok(wanted)
        );
        assert_eq!(
            moment("from", Some("2023-11-15T00:13:20 02:00")),
            Ok(wanted)
        );
        assert_eq!(moment("from", Some("")), Ok(None));
        let error = moment("from", Some("yesterday")).expect_err("no time");
        assert_eq!(error.field(), Some("from"));
    }
}
