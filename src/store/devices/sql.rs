//! The statements that find devices.

use flownexus_entity::{endpoint, registration};
use sea_orm::{QueryResult, Value as Bind};

use super::{DeviceFilter, DeviceQuery, DeviceSort, DeviceState, ListedDevice, Moment};
use crate::domain::check_tag;
use crate::store::StoreError;
use crate::store::endpoint::{like_pattern, row};
use crate::store::forgiven::Forgiven;
use crate::store::records::{text, to_json};

/// A statement that grows, with the values of its places.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Bind>,
}

impl Sql {
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    /// Adds the conditions of a filter.
    pub(super) fn filter(
        &mut self,
        filter: &DeviceFilter,
        at: Moment,
        forgiven: Forgiven,
    ) -> Result<(), StoreError> {
        self.text.push_str(" WHERE 1 = 1");
        if let Some(search) = &filter.search {
            self.search(search);
        }
        if let Some(state) = filter.state {
            self.text.push_str(" AND ");
            self.state(state, at, forgiven);
        }
        if let Some(tag) = &filter.tag {
            // As it stands in the array; see the list by tag in `endpoint.rs`.
            self.and(
                "REPLACE(endpoint.tags, ?, '') <> endpoint.tags",
                [to_json(&text(tag))?],
            );
        }
        if let Some(queue_mode) = filter.queue_mode {
            self.either(queue_mode, "registration.queue_mode");
        }
        if let Some(secure) = filter.secure {
            self.either(secure, "registration.transport LIKE 'dtls:%'");
        }
        if let Some(version) = filter.lwm2m_version {
            self.and("registration.lwm2m_version = ?", [version.to_string()]);
        }
        if let Some(firmware) = &filter.firmware {
            self.and(
                "endpoint.firmware_version = ?",
                [text(firmware).into_owned()],
            );
        }
        if let Some(object) = filter.object {
            self.object(object);
        }
        if let Some(warnings) = filter.warnings {
            let has = "COALESCE(registration.warnings, endpoint.gateway_warnings, '[]') <> '[]'";
            self.text.push_str(" AND ");
            self.text.push_str(if warnings { "" } else { "NOT " });
            self.text.push_str(&format!("({has})"));
        }
        Ok(())
    }

    fn and(&mut self, condition: &str, values: impl IntoIterator<Item = String>) {
        self.text.push_str(" AND ");
        self.text.push_str(condition);
        self.values.extend(values.into_iter().map(Bind::from));
    }

    /// Only registered devices of which this is so, or is not.
    fn either(&mut self, is: bool, condition: &str) {
        let not = if is { "" } else { "NOT " };
        self.text.push_str(&format!(
            " AND registration.endpoint_id IS NOT NULL AND {not}({condition})"
        ));
    }

    fn object(&mut self, object: u16) {
        // `{"path":"/3/0"…` or `{"path":"/3"…`.
        self.and(
            "(registration.objects LIKE ? OR registration.objects LIKE ?)",
            [format!("%\"/{object}/%"), format!("%\"/{object}\"%")],
        );
    }

    fn search(&mut self, search: &str) {
        if let Some(object) = search.strip_prefix('/').and_then(|id| id.parse().ok()) {
            return self.object(object);
        }
        let part = like_pattern(&text(&search.to_lowercase()));
        let mut columns = vec![
            "endpoint.search_name",
            "registration.address",
            "LOWER(endpoint.manufacturer)",
            "LOWER(endpoint.model_number)",
        ];
        // Anything else could be found between two tags.
        if check_tag(search).is_ok() {
            columns.push("LOWER(endpoint.tags)");
        }
        let likes: Vec<String> = columns
            .iter()
            .map(|column| format!("{column} LIKE ? ESCAPE '\\'"))
            .collect();
        let condition = format!("({})", likes.join(" OR "));
        self.and(&condition, columns.iter().map(|_| part.clone()));
    }

    /// Adds the condition of a state. It is true or false, never NULL.
    pub(super) fn state(&mut self, state: DeviceState, at: Moment, forgiven: Forgiven) {
        let now = at.now.as_millis();
        let awake = i64::try_from(at.awake.as_millis()).unwrap_or(i64::MAX);
        match state {
            DeviceState::Registered => self.text.push_str(REGISTERED),
            DeviceState::Offline => self.text.push_str(&format!("NOT {REGISTERED}")),
            DeviceState::Awake | DeviceState::Asleep => {
                let than = if state == DeviceState::Awake {
                    "<"
                } else {
                    ">="
                };
                self.text.push_str(&format!(
                    "(registration.endpoint_id IS NOT NULL AND registration.queue_mode AND \
                     ? - {SEEN} {than} COALESCE(endpoint.awake_s * 1000, ?))"
                ));
                self.values.extend([now.into(), awake.into()]);
            }
            DeviceState::Late => {
                self.text.push_str(
                    "(registration.endpoint_id IS NOT NULL AND CASE \
                     WHEN registration.queue_mode AND endpoint.late_at IS NOT NULL \
                     THEN endpoint.late_at < ? \
                     ELSE registration.expires_at - registration.lifetime_ms / 10 < ? END)",
                );
                self.values
                    .extend([now.into(), forgiven.served(at.now).into()]);
            }
        }
    }
}

/// Which ids stand on a page, with what they are sorted by.
pub(super) fn page_sql(
    query: &DeviceQuery,
    at: Moment,
    forgiven: Forgiven,
) -> Result<Sql, StoreError> {
    let sort = query.sort;
    let key = sort.key();
    let mut sql = Sql::new(&format!(
        "SELECT endpoint.id, {key} AS sort_key FROM {TABLES}"
    ));
    sql.filter(&query.filter, at, forgiven)?;
    let is_before = query.place.as_ref().is_some_and(|place| place.is_before);
    // A page that ends before a device is read backwards.
    let descends = query.descending != is_before;
    let (than, order) = if descends {
        ("<", "DESC")
    } else {
        (">", "ASC")
    };
    if let Some(place) = &query.place {
        let name = Bind::from(place.name.as_str());
        if sort == DeviceSort::Name {
            sql.text.push_str(&format!(" AND endpoint.name {than} ?"));
            sql.values.push(name);
        } else {
            sql.text
                .push_str(&format!(" AND ({key}, endpoint.name) {than} (?, ?)"));
            let key = if sort.is_text() {
                text(&place.key).into_owned().into()
            } else {
                // A cursor of ours has a number.
                place.key.parse::<i64>().unwrap_or(0).into()
            };
            sql.values.extend([key, name]);
        }
    }
    let keys = match sort {
        DeviceSort::Name => format!("endpoint.name {order}"),
        _ => format!("sort_key {order}, endpoint.name {order}"),
    };
    let limit = query.limit.saturating_add(1).min(i64::MAX as u64);
    sql.text
        .push_str(&format!(" ORDER BY {keys} LIMIT {limit}"));
    Ok(sql)
}

/// A row of [`page_sql`].
pub(super) struct Found {
    pub(super) id: i64,
    key: String,
}

impl Found {
    pub(super) fn read(row: &QueryResult, sort: DeviceSort) -> Result<Self, StoreError> {
        let key = if sort.is_text() {
            row.try_get_by_index::<String>(1)?
        } else {
            row.try_get_by_index::<i64>(1)?.to_string()
        };
        Ok(Self {
            id: row.try_get_by_index(0)?,
            key,
        })
    }
}

pub(super) fn listed(
    found: Found,
    (endpoint, registration): (endpoint::Model, Option<registration::Model>),
    forgiven: Forgiven,
) -> Result<ListedDevice, StoreError> {
    Ok(ListedDevice {
        key: found.key,
        manufacturer: endpoint.manufacturer.clone(),
        model_number: endpoint.model_number.clone(),
        firmware_version: endpoint.firmware_version.clone(),
        row: row((endpoint, registration), forgiven)?,
    })
}

/// What is listed.
pub(super) const TABLES: &str =
    "endpoint LEFT JOIN registration ON registration.endpoint_id = endpoint.id";

/// Registered here, or with a gateway. True or false, never NULL.
const REGISTERED: &str = "(registration.endpoint_id IS NOT NULL OR \
    (endpoint.gateway_registered_at IS NOT NULL AND (endpoint.gateway_unregistered_at IS NULL OR \
    endpoint.gateway_registered_at > endpoint.gateway_unregistered_at)))";

/// When a registered device was last heard of.
const SEEN: &str = "(CASE WHEN endpoint.last_seen_at > registration.updated_at \
    THEN endpoint.last_seen_at ELSE registration.updated_at END)";

/// When a device was last heard of, -1 for one that never was.
pub(super) const SEEN_OR_NEVER: &str = "(CASE WHEN registration.updated_at IS NULL OR \
    endpoint.last_seen_at > registration.updated_at \
    THEN COALESCE(endpoint.last_seen_at, -1) ELSE registration.updated_at END)";
