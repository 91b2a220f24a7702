//! What a start waits for: names, locations, addresses and tokens of all devices, and answers. There may be a
//! million, and a row costs more on its way here than in the database: so the database puts many of them into one.
//! Ranges of devices are read by two connections at a time, and taken apart beside each other.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, DbBackend};

use super::forgiven::Forgiven;
use super::records::{self, corrupt};
use super::sql::statement;
use super::{StoreError, StoredFleet, StoredRoute, fleet};
use crate::domain::{EndpointId, EndpointName, RegistrationId, StoredAnswer, Timestamp, Token};

/// Reads them into the fleet, in the order of their ids.
pub(super) async fn read(
    database: &DatabaseConnection,
    forgiven: Forgiven,
    fleet: &mut StoredFleet,
) -> Result<(), StoreError> {
    let newest = "SELECT coalesce(max(id), 0) FROM endpoint";
    let newest = fleet::ids(database, newest, []).await?;
    let newest = newest.first().map_or(0, |id| id.0);
    let beginnings = (0..).map(|range: i64| range.saturating_mul(TOGETHER));
    let parts = beginnings.take_while(|after| *after < newest).map(|after| {
        let database = database.clone();
        tokio::spawn(async move { Part::read(&database, after, forgiven).await })
    });
    let mut parts = stream::iter(parts).buffered(AT_ONCE);
    while let Some(part) = parts.try_next().await.map_err(|_| StoreError::Closed)? {
        let part = part?;
        fleet.endpoints.extend(part.endpoints);
        fleet.registered.extend(part.registered);
    }
    Ok(())
}

/// The answers whose copies can still be asked for at this time, the oldest first. After minutes of many requests there are more of them
/// than devices.
pub(super) async fn answers(
    database: &DatabaseConnection,
    now: Timestamp,
) -> Result<Vec<StoredAnswer>, StoreError> {
    let joined = joined(
        database,
        &[
            "transport",
            "address",
            "message_id",
            "hash",
            &hex(database, "answer"),
            "expires_at",
        ],
    );
    let sql = format!(
        "SELECT {joined} FROM stored_answer WHERE expires_at > ? GROUP BY message_id / {MESSAGE_IDS}"
    );
    let rows = database
        .query_all_raw(statement(database, &sql, [now.as_millis().into()]))
        .await?;
    let mut answers = Vec::new();
    for row in rows {
        for row in Rows(row.try_get_by_index(0)?).iter() {
            let mut row = Row::new("stored answer", row);
            answers.push(StoredAnswer {
                peer: records::peer(row.what, row.text()?, row.text()?)?,
                message_id: records::parse(row.what, row.text()?)?,
                hash: row.number()?,
                answer: row.bytes()?,
                expires_at: records::time(row.number()?),
            });
        }
    }
    answers.sort_by_key(|answer| answer.expires_at);
    Ok(answers)
}

/// A range of devices.
#[derive(Default)]
struct Part {
    endpoints: Vec<(EndpointId, EndpointName)>,
    registered: Vec<StoredRoute>,
}

impl Part {
    /// Those with the next few ids.
    async fn read(
        database: &DatabaseConnection,
        after: i64,
        forgiven: Forgiven,
    ) -> Result<Self, StoreError> {
        let range = Range { database, after };
        let mut part = Self::default();
        let rows = range.rows("endpoint", "id", &["name"]).await?;
        for row in rows.iter() {
            let mut row = Row::new("endpoint", row);
            let id = EndpointId(row.number()?);
            part.endpoints.push((id, records::name(row.text()?)?));
        }
        part.endpoints.sort_unstable_by_key(|(id, _)| *id);
        let columns = [
            "location",
            "transport",
            "address",
            "CASE WHEN queue_mode THEN 1 ELSE 0 END",
            "expires_at",
            "CASE WHEN updated_at > registered_at THEN updated_at ELSE 0 END",
        ];
        let rows = range.rows("registration", "endpoint_id", &columns).await?;
        for row in rows.iter() {
            let mut row = Row::new("registration", row);
            part.registered.push(StoredRoute {
                endpoint_id: EndpointId(row.number()?),
                location: RegistrationId::from_text(row.text()?),
                peer: records::peer(row.what, row.text()?, row.text()?)?,
                queue_mode: row.number()? != 0,
                expires_at: forgiven.time(row.number()?),
                proven_at: Some(row.number()?).filter(|at| *at != 0).map(records::time),
                tokens: Vec::new(),
            });
        }
        part.registered
            .sort_unstable_by_key(|registered| registered.endpoint_id);
        // From the index alone, in which they lie side by side.
        let token = hex(database, "token");
        let rows = range.rows("observation", "endpoint_id", &[&token]).await?;
        for row in rows.iter() {
            let mut row = Row::new("observation", row);
            let id = EndpointId(row.number()?);
            let token = row.token()?;
            if let Ok(at) = part
                .registered
                .binary_search_by_key(&id, |registered| registered.endpoint_id)
                && let Some(registered) = part.registered.get_mut(at)
            {
                registered.tokens.push(token);
            }
        }
        Ok(part)
    }
}

/// The devices with an id above this one, at most [`TOGETHER`].
struct Range<'a> {
    database: &'a DatabaseConnection,
    after: i64,
}

impl Range<'_> {
    /// The device and these columns of its rows in a table, in no order.
    async fn rows(&self, table: &str, key: &str, columns: &[&str]) -> Result<Rows, StoreError> {
        let joined = joined(self.database, &[&[key], columns].concat());
        let sql = format!("SELECT {joined} FROM {table} WHERE {key} > ? AND {key} <= ?");
        let values = [
            self.after.into(),
            self.after.saturating_add(TOGETHER).into(),
        ];
        let row = self
            .database
            .query_one_raw(statement(self.database, &sql, values))
            .await?;
        Ok(Rows(match row {
            Some(row) => row.try_get_by_index(0)?,
            None => None,
        }))
    }
}

/// These columns of all rows in one text.
fn joined(database: &DatabaseConnection, columns: &[&str]) -> String {
    let (list, char) = match database.get_database_backend() {
        DbBackend::Postgres => ("string_agg", "chr"),
        _ => ("group_concat", "char"),
    };
    let fields = columns.join(&format!(" || {char}({}) || ", u32::from(FIELD)));
    format!("{list}({fields}, {char}({}))", u32::from(ROW))
}

/// Bytes as a text.
fn hex(database: &DatabaseConnection, column: &str) -> String {
    match database.get_database_backend() {
        DbBackend::Postgres => format!("encode({column}, 'hex')"),
        _ => format!("hex({column})"),
    }
}

/// Rows, each behind the other; nothing when there is none.
struct Rows(Option<String>);

impl Rows {
    fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|all| all.split(ROW))
    }
}

/// The fields of a row, from the first to the last.
struct Row<'a> {
    what: &'static str,
    fields: std::str::Split<'a, char>,
}

impl<'a> Row<'a> {
    fn new(what: &'static str, row: &'a str) -> Self {
        let fields = row.split(FIELD);
        Self { what, fields }
    }

    fn text(&mut self) -> Result<&'a str, StoreError> {
        self.fields
            .next()
            .ok_or_else(|| corrupt(self.what, "a field is missing"))
    }

    fn number(&mut self) -> Result<i64, StoreError> {
        records::parse(self.what, self.text()?)
    }

    fn bytes(&mut self) -> Result<Vec<u8>, StoreError> {
        ::hex::decode(self.text()?).map_err(|error| corrupt(self.what, error))
    }

    fn token(&mut self) -> Result<Token, StoreError> {
        records::token(self.what, &self.bytes()?)
    }
}

/// Between the fields of a row, and between rows: neither is in any name, location or address.
const FIELD: char = '\u{1f}';
const ROW: char = '\u{1e}';
/// So many devices are read at a time…
const TOGETHER: i64 = 2_000;
/// … by so many connections.
const AT_ONCE: usize = 2;
/// Answers to requests with so many message ids are in one text.
const MESSAGE_IDS: u32 = 64;
