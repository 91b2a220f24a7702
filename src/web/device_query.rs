//! The list of devices as an address says it: the same words in the API, on the page and in files.

use std::time::Duration;

use actix_web::web::Query;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::ApiError;
use crate::domain::{EndpointName, Timestamp};
use crate::store::{
    DeviceFilter, DevicePage, DevicePlace, DeviceQuery, DeviceSort, DeviceState, EndpointRow,
    ListedDevice,
};

/// Which devices are meant. Without anything every device is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, IntoParams, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
#[schema(example = json!({"tag": "lab", "state": "registered", "firmware": "1.4.0"}))]
pub struct DeviceWords {
    /// A part of the name, address, a tag, the manufacturer or the model number, upper and lower case alike;
    /// `/3303` finds devices that announced that object.
    pub search: String,
    /// `registered`, `awake`, `asleep`, `late` or `offline`.
    pub state: String,
    /// A tag that they have.
    pub tag: String,
    /// `true` or `false`: registered with queue mode.
    pub queue_mode: String,
    /// `true` or `false`: registered over DTLS.
    pub secure: String,
    /// The version of LwM2M that they registered with, such as `1.1`.
    pub lwm2m_version: String,
    /// The version of their firmware (3/0/3), exactly.
    pub firmware: String,
    /// The number of an object that they announced.
    pub object: String,
    /// `true` or `false`: they do something wrong that was forgiven.
    pub warnings: String,
}

impl DeviceWords {
    /// The filter that they mean.
    ///
    /// # Errors
    /// 400 naming the word that makes no sense.
    pub fn filter(&self) -> Result<DeviceFilter, ApiError> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(DeviceFilter {
            search: text(&self.search),
            state: word::<DeviceState>("state", &self.state)?,
            tag: text(&self.tag),
            queue_mode: flag("queue_mode", &self.queue_mode)?,
            secure: flag("secure", &self.secure)?,
            lwm2m_version: word("lwm2m_version", &self.lwm2m_version)?,
            firmware: text(&self.firmware),
            object: word("object", &self.object)?,
            warnings: flag("warnings", &self.warnings)?,
        })
    }

    /// The words with their values, in the order in which addresses have them.
    pub fn pairs(&self) -> [(&'static str, &str); 9] {
        [
            ("search", &self.search),
            ("state", &self.state),
            ("tag", &self.tag),
            ("queue_mode", &self.queue_mode),
            ("secure", &self.secure),
            ("lwm2m_version", &self.lwm2m_version),
            ("firmware", &self.firmware),
            ("object", &self.object),
            ("warnings", &self.warnings),
        ]
    }
}

/// Devices on one page of the list, as one may choose.
pub const PAGE_SIZES: [u64; 3] = [50, 100, 500];

/// The columns of the list that can be hidden: what addresses and scripts call them, and their heads. The name is
/// always there.
pub const COLUMNS: [(&str, &str); 13] = [
    ("tags", "Tags"),
    ("state", "State"),
    ("seen", "Last seen"),
    ("temperature", "Temperature"),
    ("humidity", "Humidity"),
    ("address", "Address"),
    ("lwm2m", "LwM2M"),
    ("lifetime", "Lifetime"),
    ("registered", "Registered at"),
    ("end", "Lifetime end"),
    ("firmware", "Firmware"),
    ("model", "Model"),
    ("warnings", "Warnings"),
];

/// What an address leaves as it is, of texts.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The list of devices as the address of its page says it, without the place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListView {
    words: DeviceWords,
    sort: String,
    limit: String,
    columns: String,
}

impl ListView {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// 400 saying what in it makes no sense.
    pub fn read(query: &str) -> Result<Self, ApiError> {
        let pairs: Query<Vec<(String, String)>> = Query::from_query(query)
            .map_err(|error| ApiError::malformed(format!("it is no query: {error}")))?;
        let mut words = serde_json::Map::new();
        let mut view = Self::default();
        for (name, value) in pairs.into_inner() {
            let value = value.trim().to_owned();
            let place = match name.as_str() {
                "sort" => &mut view.sort,
                "limit" => &mut view.limit,
                "columns" => &mut view.columns,
                _ => {
                    if words.insert(name.clone(), value.into()).is_some() {
                        return Err(twice(&name));
                    }
                    continue;
                }
            };
            if !place.is_empty() {
                return Err(twice(&name));
            }
            *place = value;
        }
        view.words = serde_json::from_value(words.into())
            .map_err(|error| ApiError::malformed(error.to_string()))?;
        view.words.filter()?;
        sort(&view.sort)?;
        limit(&view.limit)?;
        columns(&view.columns)?;
        Ok(view)
    }

    /// The query that says it, always in the same order.
    pub fn query(&self) -> String {
        let pairs = self.words.pairs().into_iter();
        let pairs = pairs.chain([
            ("sort", &*self.sort),
            ("limit", &*self.limit),
            ("columns", &*self.columns),
        ]);
        let pairs = pairs.filter(|(_, value)| !value.is_empty());
        let pairs = pairs.map(|(name, value)| {
            let value = utf8_percent_encode(value, PLAIN);
            format!("{name}={value}")
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn twice(name: &str) -> ApiError {
    ApiError::parameter(name, format!("`{name}` stands there twice"))
}

/// Reads how many devices a page has; nothing of an empty text.
///
/// # Errors
/// 400 naming `limit`.
pub fn limit(text: &str) -> Result<Option<u64>, ApiError> {
    let limit = word::<u64>("limit", text)?;
    match limit.is_none_or(|limit| PAGE_SIZES.contains(&limit)) {
        true => Ok(limit),
        false => Err(ApiError::parameter(
            "limit",
            "`limit` is 50, 100 or 500, the devices of one page",
        )),
    }
}

/// Reads the columns that are to be shown, such as `name,state,seen`; nothing of an empty text.
///
/// # Errors
/// 400 naming `columns`.
pub fn columns(text: &str) -> Result<Option<Vec<&'static str>>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut shown = Vec::new();
    for name in text
        .split(',')
        .map(str::trim)
        .filter(|name| *name != "name")
    {
        let known = COLUMNS.iter().find(|(known, _)| *known == name);
        let Some((known, _)) = known else {
            let all = COLUMNS.map(|(name, _)| name).join(", ");
            let detail = format!("`columns`: there is no column `{name}`, only name, {all}");
            return Err(ApiError::parameter("columns", detail));
        };
        shown.push(*known);
    }
    Ok(Some(shown))
}

/// Reads `last_seen`, or `-last_seen` for the other way round.
///
/// # Errors
/// 400 naming `sort`.
pub fn sort(text: &str) -> Result<(DeviceSort, bool), ApiError> {
    let (descending, text) = match text.strip_prefix('-') {
        Some(text) => (true, text),
        None => (false, text),
    };
    // The fields of a device have these names too.
    let text = match text {
        "expires_at" => DeviceSort::LifetimeEnd.name(),
        "last_seen_at" => DeviceSort::Seen.name(),
        other => other,
    };
    Ok((word("sort", text)?.unwrap_or_default(), descending))
}

/// Where a page begins that comes after a device, or ends that comes before it.
pub fn cursor(device: &ListedDevice, is_before: bool) -> String {
    let place = (device.key.as_str(), device.row.name.as_str(), is_before);
    let json = serde_json::to_string(&place).unwrap_or_default();
    URL_SAFE_NO_PAD.encode(json)
}

/// Reads what [`cursor`] made; nothing of an empty text.
///
/// # Errors
/// 400 when this list did not give it out.
pub fn place(text: &str) -> Result<Option<DevicePlace>, ApiError> {
    if text.is_empty() {
        return Ok(None);
    }
    let read = || {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (key, name, is_before): (String, String, bool) = serde_json::from_slice(&bytes).ok()?;
        Some(DevicePlace {
            key,
            name: EndpointName::new(&name).ok()?,
            is_before,
        })
    };
    match read() {
        Some(place) => Ok(Some(place)),
        None => Err(ApiError::parameter(
            "cursor",
            "`cursor` is not one that this list gave out",
        )),
    }
}

/// Where the page after this one begins; nothing when it is the last one.
pub fn after(page: &DevicePage) -> Option<DevicePlace> {
    let last = page.devices.last().filter(|_| page.has_next)?;
    Some(DevicePlace {
        key: last.key.clone(),
        name: last.row.name.clone(),
        is_before: false,
    })
}

/// Whether a device can be reached, in one word. One in queue mode listens for a while after it
/// was heard of.
pub fn state(row: &EndpointRow, now: Timestamp, awake: Duration) -> &'static str {
    match &row.registration {
        None if row.through_gateway().is_some() => "registered",
        None => "offline",
        Some(registration) if !registration.queue_mode => "registered",
        Some(registration) => {
            let seen = row.last_seen_at.map_or(registration.updated_at, |at| {
                at.max(registration.updated_at)
            });
            if now.since(seen) < awake {
                "awake"
            } else {
                "asleep"
            }
        }
    }
}

/// The query for the pages of a list from its beginning to its end.
pub fn from_the_start(filter: DeviceFilter, limit: u64) -> DeviceQuery {
    DeviceQuery {
        filter,
        sort: DeviceSort::Name,
        descending: false,
        place: None,
        limit,
    }
}

/// Reads a word that a list is filtered by; nothing of an empty one.
///
/// # Errors
/// 400 naming it.
pub fn word<T>(name: &'static str, text: &str) -> Result<Option<T>, ApiError>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let read = text.parse().map(Some);
    read.map_err(|error| ApiError::parameter(name, format!("`{name}`: {error}")))
}

fn flag(name: &'static str, text: &str) -> Result<Option<bool>, ApiError> {
    match text.trim() {
        "" => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        other => Err(ApiError::parameter(
            name,
            format!("`{name}` is `true` or `false`, not `{other}`"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_a_filter_and_nonsense_is_named() {
        let words = DeviceWords {
            search: " lamp ".into(),
            state: "late".into(),
            lwm2m_version: "1.1".into(),
            object: "3303".into(),
            warnings: "true".into(),
            ..DeviceWords::default()
        };
        let filter = words.filter().expect("a filter");
        assert_eq!(filter.search.as_deref(), Some("lamp"));
        assert_eq!(filter.state, Some(DeviceState::Late));
        assert_eq!((filter.object, filter.warnings), (Some(3303), Some(true)));
        for (name, value) in [
            ("state", "tired"),
            ("queue_mode", "yes"),
            ("lwm2m_version", "9.9"),
            ("object", "70000"),
        ] {
            let json = serde_json::json!({ name: value });
            let words: DeviceWords = serde_json::from_value(json).expect("words");
            assert_eq!(words.filter().expect_err("nonsense").field(), Some(name));
        }
        assert!(DeviceWords::default().filter().expect("all").is_everyone());
    }

    #[test]
    fn a_sort_has_a_direction() {
        assert_eq!(sort(""), Ok((DeviceSort::Name, false)));
        assert_eq!(sort("-last_seen"), Ok((DeviceSort::Seen, true)));
        assert_eq!(sort("-last_seen_at"), Ok((DeviceSort::Seen, true)));
        assert_eq!(sort("expires_at"), Ok((DeviceSort::LifetimeEnd, false)));
        assert_eq!(sort("size").expect_err("none").field(), Some("sort"));
    }

    #[test]
    fn a_list_is_what_its_address_says() {
        let text =
            "columns=name,state,seen&limit=&sort=-last_seen&tag=floor+2%20%26&state=asleep&search=";
        let view = ListView::read(text).expect("a list");
        let said = "state=asleep&tag=floor%202%20%26&sort=-last_seen&columns=name%2Cstate%2Cseen";
        assert_eq!(view.query(), said);
        assert_eq!(ListView::read(said).expect("the same"), view);
        assert_eq!(ListView::read("").expect("every device").query(), "");
        for (text, word) in [
            ("cursor=x", "cursor"),
            ("tag=a&tag=b", "tag"),
            ("sort=name&sort=name", "sort"),
            ("sort=size", "sort"),
            ("limit=7", "limit"),
            ("columns=name,size", "size"),
            ("state=tired", "state"),
            ("x=%3Cscript%3E", "x"),
        ] {
            let error = ListView::read(text).expect_err(text);
            assert!(error.detail().contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        assert_eq!(place(""), Ok(None));
        for text in ["%%", "WzFd", "bnVsbA"] {
            assert_eq!(place(text).expect_err("none").field(), Some("cursor"));
        }
    }
}
