//! What an idle device costs in memory: on plain CoAP, over DTLS, and over DTLS with a suite whose
//! connections stay with OpenSSL.
//!
//! As many credentials are in force each time. `cargo bench --bench sessions` starts servers of its own on free ports of this machine, has 1,000 and
//! then 10,000 devices of `flownexus simulate` register with each, waits until nothing happens any more, and
//! reads the resident memory of the server from `/proc`. Prints a table in Markdown; the slope between the two
//! is the cost of a device. `SESSIONS_MOST` changes the 10,000.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use support::{Result, Server, add_credentials};

mod support;

fn main() -> Result<()> {
    let most = match std::env::var("SESSIONS_MOST") {
        Ok(text) => text.parse()?,
        Err(_) => MOST,
    };
    println!(
        "| devices | suite | resident with {FEW}, KiB | with {most}, KiB | slope, bytes a device | beyond plain \
         CoAP |"
    );
    println!("|---|---|---|---|---|---|");
    let mut plain = None;
    for (name, suite) in [
        ("plain CoAP", None),
        ("DTLS, our record layer", Some("TLS_PSK_WITH_AES_128_CCM_8")),
        (
            "DTLS, OpenSSL's connections",
            Some("TLS_PSK_WITH_AES_128_CBC_SHA256"),
        ),
    ] {
        let [few, many] = resident(suite, most)?;
        let slope = many.saturating_sub(few) as f64 * 1024.0 / (most - FEW) as f64;
        let beyond = slope - *plain.get_or_insert(slope);
        let suite = suite.unwrap_or_default();
        println!("| {name} | {suite} | {few} | {many} | {slope:.0} | {beyond:.0} |");
    }
    Ok(())
}

/// Resident memory with the first few devices and with all of them, in KiB.
fn resident(suite: Option<&str>, most: u32) -> Result<[u64; 2]> {
    let folder = tempfile::tempdir()?;
    let suites = suite.unwrap_or("TLS_PSK_WITH_AES_128_CCM_8");
    let server = Server::start(
        folder.path(),
        &[
            ("FLOWNEXUS__COAPS__CIPHER_SUITES", suites),
            ("FLOWNEXUS__COAPS__MAX_LARGE_SESSIONS", "1000000"),
            // The last flights are a matter of the first minute.
            ("FLOWNEXUS__COAPS__LAST_FLIGHT_S", "1"),
        ],
    )?;
    let mut fleets = Vec::new();
    let mut counted = [0; 2];
    let mut begun = 0;
    for (counted, until) in counted.iter_mut().zip([FEW, most]) {
        while begun < until {
            let count = (until - begun).min(FLEET);
            let prefix = format!("device-{begun}-");
            // Credentials have a price of their own, which is not that of sessions: those on plain CoAP pay
            // it too, for devices that are not there.
            let of = if suite.is_some() { "" } else { "other-" };
            let names = (1..=count).map(|number| format!("{of}{prefix}{number}"));
            add_credentials(folder.path(), &server, names, KEY)?;
            fleets.push(Fleet::start(&server, &prefix, count, suite.is_some())?);
            begun += count;
            wait_for(&server, begun)?;
        }
        // Timers of exchanges, and batches of the store.
        thread::sleep(SETTLE);
        *counted = server.resident_kib()?;
    }
    Ok(counted)
}

/// Waits until so many devices are registered, and nothing more is asked of them.
fn wait_for(server: &Server, count: u32) -> Result<()> {
    let end = Instant::now() + START;
    let runtime = actix_rt::System::new();
    runtime.block_on(async {
        loop {
            let url = format!("{}/metrics", server.dashboard);
            let metrics = reqwest::get(&url).await?.error_for_status()?.text().await?;
            let value = |name: &str| -> Option<f64> {
                let line = metrics.lines().find(|line| line.starts_with(name))?;
                line.rsplit(' ').next()?.parse().ok()
            };
            let registered = value("flownexus_registrations ").unwrap_or_default();
            if registered >= f64::from(count) {
                return Ok(());
            }
            if Instant::now() > end {
                return Err(format!("{registered} of {count} devices have registered").into());
            }
            actix_rt::time::sleep(POLL).await;
        }
    })
}

/// Simulated devices in a process of their own, killed when this is dropped.
struct Fleet(Child);

impl Fleet {
    fn start(server: &Server, prefix: &str, count: u32, is_secure: bool) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flownexus"));
        let (scheme, address) = if is_secure {
            ("coaps", server.coaps)
        } else {
            ("coap", server.coap)
        };
        command.arg("simulate").arg("--server");
        command.arg(format!("{scheme}://{address}"));
        // Nothing happens after the registration for as long as this takes. Slowly, so that little waits: what
        // waited for a moment is memory that the process keeps.
        command.args(["--interval", "86400", "--lifetime", "864000"]);
        command.args(["--delay-ms", "5", "--prefix", prefix]);
        command.args(["-n", &count.to_string()]);
        if is_secure {
            command.args(["--psk", &format!("{prefix}{{n}}:{KEY}")]);
        }
        Ok(Self(command.stdout(Stdio::null()).spawn()?))
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const FEW: u32 = 1_000;
const MOST: u32 = 10_000;
/// Devices of one process: each has a few sockets.
const FLEET: u32 = 3_000;
const KEY: &str = "000102030405060708090a0b0c0d0e0f";
const START: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(500);
const SETTLE: Duration = Duration::from_secs(20);
