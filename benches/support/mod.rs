//! A server to be measured: a process of its own on free ports of this machine.

#![allow(
    dead_code,
    reason = "which part is used depends on the benchmark that it is compiled into"
)]

pub(crate) mod fleet;
pub(crate) mod handshakes;
pub(crate) mod history;

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    process: Child,
    /// Where the API is served: `http://…`.
    pub(crate) dashboard: String,
    /// Where plain CoAP is served.
    pub(crate) coap: SocketAddr,
    /// Where CoAP over DTLS is served.
    pub(crate) coaps: SocketAddr,
}

/// `flownexus` with everything that it keeps in this folder.
pub(crate) fn flownexus(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flownexus"));
    command
        .env("FLOWNEXUS__DATA_DIR", folder)
        .env("FLOWNEXUS__WEB__LISTEN", "127.0.0.1:0")
        .env("FLOWNEXUS__COAP__LISTEN", "127.0.0.1:0")
        .env("FLOWNEXUS__COAPS__LISTEN", "127.0.0.1:0")
        .env("FLOWNEXUS__FIRMWARE__LISTEN", "127.0.0.1:0")
        .env("FLOWNEXUS__LOG__LEVEL", "error");
    command
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// The same, and what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout)?);
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
}

/// A token for the API of the server with this folder, of a name that none has yet.
pub(crate) fn token(folder: &Path, name: &str) -> Result<String> {
    let arguments = ["token", "create", "--name", name, "--role", "admin"];
    let token = output(flownexus(folder).args(arguments))?;
    Ok(token.trim().to_owned())
}

/// A pre-shared key for each of these devices, by the API; the identity is the name.
pub(crate) fn add_credentials(
    folder: &Path,
    server: &Server,
    names: impl IntoIterator<Item = String>,
    key: &str,
) -> Result<()> {
    let names: Vec<String> = names.into_iter().collect();
    let token = token(folder, names.first().ok_or("no names")?)?;
    actix_rt::System::new().block_on(async {
        let client = reqwest::Client::new();
        let url = format!("{}/api/v1/credentials", server.dashboard);
        for name in names {
            let psk = serde_json::json!({"identity": name, "key": key});
            let body = serde_json::json!({"endpoint": name, "psk": psk});
            let request = client.post(&url).bearer_auth(&token).json(&body);
            request.send().await?.error_for_status()?;
        }
        Ok(())
    })
}

impl Server {
    /// Starts one with further settings, by their names in the environment.
    pub(crate) fn start(folder: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let mut command = flownexus(folder);
        command.envs(settings.iter().copied()).arg("serve");
        let mut process = command.stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut dashboard = String::new();
        let (mut coap, mut coaps) = (None, None);
        for line in BufReader::new(output).lines() {
            let line = line?;
            if let Some(text) = line.strip_prefix("dashboard: ") {
                text.clone_into(&mut dashboard);
            } else if let Some(text) = line.strip_prefix("coap: ") {
                coap = Some(text.parse()?);
            } else if let Some(text) = line.strip_prefix("coaps: ") {
                coaps = Some(text.parse()?);
            }
            if let (Some(coap), Some(coaps)) = (coap, coaps) {
                return Ok(Self {
                    process,
                    dashboard,
                    coap,
                    coaps,
                });
            }
        }
        Err("the server has ended".into())
    }

    /// Processor time of each thread, in seconds, by its name; those of one name together.
    pub(crate) fn threads(&self) -> Result<BTreeMap<String, f64>> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // One that ends meanwhile has no more to say.
            let Ok(stat) = fs::read_to_string(task?.path().join("stat")) else {
                continue;
            };
            let name = stat
                .split_once('(')
                .and_then(|(_, rest)| rest.rsplit_once(')'));
            let (name, _) = name.ok_or("no stat")?;
            *threads.entry(name.to_owned()).or_default() += seconds(&stat)?;
        }
        Ok(threads)
    }

    /// Processor time of a thread, in seconds.
    pub(crate) fn thread_seconds(&self, name: &str) -> Result<f64> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.id()))?;
        for task in tasks {
            let stat = fs::read_to_string(task?.path().join("stat"))?;
            if stat
                .rsplit_once(')')
                .is_some_and(|(front, _)| front.ends_with(&format!("({name}")))
            {
                return seconds(&stat);
            }
        }
        Err(format!("the server has no thread {name}").into())
    }

    /// Processor time of the whole process, in seconds.
    pub(crate) fn seconds(&self) -> Result<f64> {
        seconds(&fs::read_to_string(format!(
            "/proc/{}/stat",
            self.process.id()
        ))?)
    }

    /// Waits until it calls itself ready.
    pub(crate) fn wait_until_ready(&self) -> Result<()> {
        let host = self.dashboard.strip_prefix("http://").ok_or("no http")?;
        let end = Instant::now() + READY;
        while Instant::now() < end {
            let mut stream = TcpStream::connect(host)?;
            stream.write_all(b"GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            if answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200") {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        Err("the server does not become ready".into())
    }

    /// Ends it in an orderly way.
    pub(crate) fn stop(mut self) -> Result<()> {
        run(Command::new("kill").arg(self.process.id().to_string()))?;
        self.process.wait()?;
        Ok(())
    }

    /// A number of its metrics.
    pub(crate) fn metric(&self, name: &str) -> Result<f64> {
        let text = actix_rt::System::new().block_on(async {
            let url = format!("{}/metrics", self.dashboard);
            reqwest::get(&url).await?.error_for_status()?.text().await
        })?;
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(value.ok_or_else(|| format!("no {name}"))?.parse()?)
    }

    /// Resident memory in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64> {
        resident_kib(self.id())
    }

    /// The process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

/// Resident memory of a process in KiB.
pub(crate) fn resident_kib(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.ok_or("no VmRSS")?.parse()?)
}

/// Processor time of a process that has not been waited for, in seconds.
pub(crate) fn process_seconds(id: u32) -> Result<f64> {
    seconds(&fs::read_to_string(format!("/proc/{id}/stat"))?)
}

/// proc(5): utime and stime are fields 14 and 15, in ticks of 10 ms.
fn seconds(stat: &str) -> Result<f64> {
    let (_, rest) = stat.rsplit_once(')').ok_or("no stat")?;
    let ticks: u64 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / 100.0)
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const READY: Duration = Duration::from_secs(60);
