//! A fleet that is in the database already: one device registers, and its rows are multiplied there. So it can be as
//! large as is wanted in seconds, and its rows are what the server writes.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use sea_orm::{ConnectOptions, ConnectionTrait as _, Database, Statement};

use super::support::fleet::{PORT, add_template, register_one, update};
use super::support::{Result, Server};
use super::updates::{self, Updates};

/// Measures so many devices: the start, the memory at rest, and Updates of all of them.
pub(super) fn measure(folder: &Path, count: u32, settle: Duration) -> Result<()> {
    let server = Server::start(folder, &[])?;
    add_template(folder, &server)?;
    let location = register_one(0, server.coap)?;
    thread::sleep(super::MOMENT);
    server.stop()?;
    let begun = Instant::now();
    actix_rt::System::new().block_on(multiply(folder, count))?;
    eprintln!("{count} devices are stored after {:.0?}", begun.elapsed());

    println!(
        "| endpoints | listening after, ms | serving again after, ms | resident, KiB | after {} s, KiB | bytes \
         an endpoint |",
        settle.as_secs()
    );
    println!("|---|---|---|---|---|---|");
    let begun = Instant::now();
    let server = Server::start(folder, &[])?;
    let listening = begun.elapsed().as_millis();
    update(&server, 0, &location)?;
    let serving = begun.elapsed().as_millis();
    let at_once = server.resident_kib()?;
    thread::sleep(settle);
    let later = server.resident_kib()?;
    let each = later as f64 * 1024.0 / f64::from(count.max(1));
    println!("| {count} | {listening} | {serving} | {at_once} | {later} | {each:.0} |");

    println!();
    println!(
        "| Updates | seconds | acknowledged a second | sent again | processor time each, µs | actors | resident, KiB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for what in ["first round", "second round"] {
        let before = server.seconds()?;
        let Updates {
            acknowledged,
            repeated,
            took,
        } = updates::send(server.coap, count, location_of(&location))?;
        let each = (server.seconds()? - before) * 1e6 / f64::from(acknowledged.max(1));
        println!(
            "| {what} | {:.0} | {:.0} | {repeated} | {each:.0} | {} | {} |",
            took.as_secs_f64(),
            f64::from(acknowledged) / took.as_secs_f64(),
            server.metric("flownexus_actors")?,
            server.resident_kib()?
        );
    }
    thread::sleep(settle);
    println!(
        "\n{} s later: {} actors, {} KiB resident",
        settle.as_secs(),
        server.metric("flownexus_actors")?,
        server.resident_kib()?
    );
    Ok(())
}

/// The location of a device: that of the first one, with its number at the end.
fn location_of(first: &[Vec<u8>]) -> impl Fn(u32) -> Vec<Vec<u8>> {
    let mut segments = first.to_vec();
    let id = segments.pop().unwrap_or_default();
    move |number| {
        let mut id = id.clone();
        if number > 0 {
            id.extend(format!("-{number}").into_bytes());
        }
        let mut segments = segments.clone();
        segments.push(id);
        segments
    }
}

/// Copies the rows of the only device, for each number up to this one.
async fn multiply(folder: &Path, count: u32) -> Result<()> {
    let file = folder.join("flownexus.db");
    let mut options = ConnectOptions::new(format!("sqlite://{}", file.display()));
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await?;
    database
        .execute_unprepared("PRAGMA synchronous = OFF")
        .await?;
    // What differs from device to device; `n` is its number.
    let id = "(SELECT id FROM endpoint LIMIT 1) + n";
    let name = "printf('urn:imei:%015d', n)";
    let address = format!(
        "printf('127.%d.%d.%d:{}', 64 + (n >> 16), (n >> 8) & 255, n & 255)",
        PORT
    );
    let own = |column: &str, table: &str| match (table, column) {
        ("endpoint", "id") | (_, "endpoint_id") => Some(id.to_owned()),
        ("endpoint", "name" | "search_name") => Some(name.to_owned()),
        ("registration", "location") => Some("location || '-' || n".to_owned()),
        ("registration", "address") => Some(address.clone()),
        ("observation", "token") => Some("randomblob(8)".to_owned()),
        // There are a few for each device.
        (_, "id") => Some("id + 100 * n".to_owned()),
        _ => None,
    };
    for table in TABLES {
        let sql = format!("SELECT name FROM pragma_table_info('{table}')");
        let backend = database.get_database_backend();
        let rows = database
            .query_all_raw(Statement::from_string(backend, sql))
            .await?;
        let columns = rows
            .iter()
            .map(|row| row.try_get_by_index::<String>(0))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let values: Vec<String> = columns
            .iter()
            .map(|column| own(column, table).unwrap_or_else(|| format!("\"{column}\"")))
            .collect();
        let names: Vec<String> = columns.iter().map(|name| format!("\"{name}\"")).collect();
        let sql = format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {}) \
             INSERT INTO {table} ({}) SELECT {} FROM numbers, (SELECT * FROM {table})",
            count.saturating_sub(1),
            names.join(", "),
            values.join(", ")
        );
        database.execute_unprepared(&sql).await?;
    }
    database
        .execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)")
        .await?;
    database.close().await?;
    Ok(())
}

/// Where a device has rows.
const TABLES: [&str; 4] = [
    "endpoint",
    "registration",
    "observation",
    "wanted_observation",
];
