//! What the machine does without this program: a bare echo of datagrams, bare insertion into SQLite, OpenSSL.

use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ToSql, params};

use crate::support::{Result, flownexus, output, run};
use crate::{Plan, Report};

/// What was measured, a second; what could not be has nothing.
#[derive(Default)]
pub(crate) struct Limits {
    /// Echoes of an Update, the generator included: measured by the generator before it begins.
    pub(crate) echo: Option<f64>,
    /// Requests by what they write.
    pub(crate) notifications: Option<f64>,
    pub(crate) updates: Option<f64>,
    pub(crate) registrations: Option<f64>,
    pub(crate) sends: Option<f64>,
    /// 100 bytes at the end of a table without an index.
    pub(crate) appended: Option<f64>,
    /// Records of 128 bytes, AES-128-CCM.
    pub(crate) records: Option<f64>,
    pub(crate) signatures: Option<f64>,
    pub(crate) verifications: Option<f64>,
    /// Why OpenSSL was not measured.
    pub(crate) no_openssl: Option<String>,
}

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let limits = &mut report.limits;
    let folder = tempfile::tempdir()?;
    run(flownexus(folder.path()).arg("migrate"))?;
    let database = Connection::open(folder.path().join("flownexus.db"))?;
    let devices = i64::from(plan.clients());
    fill(&database, devices)?;
    let time = plan.duration().div_f64(3.0);
    let each = |statements: &[(&str, i64)]| insert(&database, devices, statements, time);
    limits.notifications = Some(each(&[(VALUE, 1), (LATEST, 1), (OBSERVED, 1)])?);
    limits.updates = Some(each(&[(UPDATED, 1), (SEEN, 1)])?);
    limits.registrations = Some(each(&[(REGISTERED, 1), (SEEN, 1), (OBSERVE, 4)])?);
    limits.sends = Some(each(&[(VALUE, 60), (LATEST, 1)])?);
    limits.appended = Some(each(&[(APPENDED, 1)])?);
    if let Err(error) = openssl(plan, limits) {
        limits.no_openssl = Some(error.to_string());
    }
    Ok(())
}

/// Devices with a registration and four observations each, in tables as the program has them.
fn fill(database: &Connection, devices: i64) -> Result<()> {
    database.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; \
        PRAGMA cache_size = -65536; CREATE TABLE journal (id INTEGER PRIMARY KEY, record BLOB NOT NULL); BEGIN",
    )?;
    let mut endpoint = database.prepare(
        "INSERT INTO endpoint (id, name, search_name, created_at) VALUES (?1, ?2, ?2, 0)",
    )?;
    let mut registration = database.prepare(REGISTERED)?;
    let mut observation = database.prepare(OBSERVE)?;
    for device in 0..devices {
        endpoint.execute(params![device, format!("load-{device}")])?;
        registration.execute(params![device, device])?;
        for part in 0..4 {
            observation.execute(params![device, device, part])?;
        }
    }
    database.execute_batch("COMMIT")?;
    Ok(())
}

/// Groups of as many requests as the server has in one transaction at most, and how many requests a second that
/// is. Each statement gets a number that grows, a device, and how often it was done for this request before.
fn insert(
    database: &Connection,
    devices: i64,
    statements: &[(&str, i64)],
    time: Duration,
) -> Result<f64> {
    let mut prepared = Vec::new();
    for (sql, times) in statements {
        prepared.push((database.prepare(sql)?, *times));
    }
    let (begun, mut done) = (Instant::now(), 0_i64);
    while begun.elapsed() < time {
        database.execute_batch("BEGIN IMMEDIATE")?;
        for _ in 0..GROUP {
            // Devices in turn, each somewhere else in the tables than the one before.
            let device = done * 7_919 % devices;
            for (statement, times) in &mut prepared {
                for part in 0..*times {
                    let values: [&dyn ToSql; 3] = [&done, &device, &part];
                    let count = statement.parameter_count();
                    statement.execute(values.get(..count).unwrap_or_default())?;
                }
            }
            done += 1;
        }
        database.execute_batch("COMMIT")?;
    }
    Ok(done as f64 / begun.elapsed().as_secs_f64())
}

fn openssl(plan: &Plan, limits: &mut Limits) -> Result<()> {
    let seconds = if plan.quick { "1" } else { "3" };
    let speed = |arguments: &[&str]| -> Result<String> {
        let mut command = Command::new("openssl");
        command.args(["speed", "-mr", "-seconds", seconds]);
        output(command.args(arguments)).map_err(|error| format!("`openssl speed`: {error}").into())
    };
    // A line `+F:…` has bytes a second, `+F4:…` signatures and verifications a second.
    let last = |text: &str, mark: &str, from_end: usize| -> Result<f64> {
        let line = text.lines().find(|line| line.starts_with(mark));
        let field = line.and_then(|line| line.rsplit(':').nth(from_end));
        Ok(field
            .ok_or("`openssl speed` says something else than it did")?
            .parse()?)
    };
    let records = speed(&["-bytes", "128", "-aead", "-evp", "aes-128-ccm"])?;
    limits.records = Some(last(&records, "+F:", 0)? / 128.0);
    let curve = speed(&["ecdsap256"])?;
    limits.signatures = Some(last(&curve, "+F4:", 1)?);
    limits.verifications = Some(last(&curve, "+F4:", 0)?);
    Ok(())
}

/// As `store.batch_commits` is by default.
const GROUP: usize = 1_000;

const VALUE: &str = "INSERT INTO resource (endpoint_id, object_id, object_instance_id, resource_id, value_type, \
    value_float, measured_at, measured_by_device, received_at) \
    VALUES (?2, 3303, 0, 5700, 'FLOAT', 21.5, 1764000000000 + ?1, FALSE, 1764000000000 + ?1)";
const LATEST: &str = "INSERT INTO latest_resource (endpoint_id, path, resource_row, at) \
    VALUES (?2, '/3303/0/5700', ?1, 1764000000000 + ?1) \
    ON CONFLICT (endpoint_id, path) DO UPDATE SET resource_row = excluded.resource_row, at = excluded.at";
const OBSERVED: &str = "UPDATE observation SET last_sequence = ?1, last_message_id = ?1, last_hash = ?1, \
    notified_at = 1764000000000 + ?1, notifications = notifications + 1 WHERE id = ?2 * 4";
const UPDATED: &str = "UPDATE registration SET address = '127.0.0.1:40000', updated_at = 1764000000000 + ?1, \
    expires_at = 1764086400000 + ?1 WHERE endpoint_id = ?2";
const SEEN: &str = "UPDATE endpoint SET last_seen_at = 1764000000000 + ?1 WHERE id = ?2";
const OBSERVE: &str = "INSERT OR REPLACE INTO observation (id, endpoint_id, token, paths, composite, state, created_at) \
    VALUES (?2 * 4 + ?3, ?2, randomblob(8), '[\"/3303/0/5700\"]', FALSE, 'ACTIVE', 1764000000000 + ?1)";
const REGISTERED: &str = "INSERT OR REPLACE INTO registration (endpoint_id, location, transport, address, lwm2m_version, \
    binding, queue_mode, lifetime_ms, root, objects, formats, attributes, warnings, raw_links, registered_at, \
    updated_at, expires_at, message_id_mark) \
    VALUES (?2, hex(randomblob(8)), 'UDP', '127.0.0.1:40000', '1.1', 'U', FALSE, 86400000, '', \
    printf('%.600c', 'o'), '[112]', '{}', '[]', printf('%.250c', 'l'), ?1, 1764000000000 + ?1, 1764086400000 + ?1, 256)";
const APPENDED: &str = "INSERT INTO journal (record) VALUES (randomblob(100) || CAST(?1 AS BLOB))";
