//! Live values to many sockets, which listen to the fleet as the pages do: gathered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use flownexus::domain::Timestamp;
use futures_util::StreamExt as _;
use serde_json::Value as Json;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Message, http};

use crate::goals::{Goal, Row, grouped};
use crate::load::{NOTIFY, load_and_tell};
use crate::machine::quantile;
use crate::support::{Result, Server, token};
use crate::{Plan, Report};

pub(crate) fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[])?;
    let listeners = Listeners::start(&server, &token(folder.path(), "live")?)?;
    let seconds = plan.duration().as_secs_f64() * 2.0;
    let memory = Memory::watch(&server);
    let result = load_and_tell(
        &server,
        &[
            &NOTIFY[..],
            &[
                "--clients",
                &plan.clients().to_string(),
                "--rate",
                &RATE.to_string(),
                "--duration",
                &seconds.to_string(),
                "--ceiling",
                "0",
            ],
        ]
        .concat(),
        || listeners.is_counting.store(true, Ordering::Relaxed),
    )?;
    let memory = memory.end()?;
    let heard = listeners.end()?;
    let mut delays = heard.delays_ms;
    let (half, most) = (quantile(&mut delays, 0.5), quantile(&mut delays, 0.99));
    let rate = result.figures.rate_per_s;
    let [before, then] = memory.peaks_kib();
    let is_complete = heard.resyncs == 0 && rate >= 0.98 * f64::from(RATE);
    report.rows.push(
        Row::new(
            Goal::Live,
            format!("{most:.0} ms"),
            most <= 250.0 && is_complete && then.saturating_sub(before) <= GROWTH_KIB,
        )
        .cost(result.cost)
        .note(format!(
            "p50 {half:.0} ms; {} values/s stored; {:.0} messages in {:.0} frames a second and socket; {} times told to \
            start anew; resident memory {} KiB at most in the third quarter of the run and {} in the last one; of the \
            generator's processor time none is of the sockets",
            grouped(rate),
            heard.messages as f64 / seconds / f64::from(SOCKETS),
            heard.frames as f64 / seconds / f64::from(SOCKETS),
            heard.resyncs,
            grouped(before as f64),
            grouped(then as f64),
        )),
    );
    Ok(())
}

/// Sockets in a thread of their own.
struct Listeners {
    /// What comes before the load has begun is not counted: the server is busy with registrations then.
    is_counting: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<std::result::Result<Heard, String>>,
}

/// What they heard.
#[derive(Clone, Default)]
struct Heard {
    frames: u64,
    messages: u64,
    resyncs: u64,
    /// From when a value came to the server until it came to a socket, of some of the sockets.
    delays_ms: Vec<f64>,
}

impl Listeners {
    /// All of them listen when this returns.
    fn start(server: &Server, token: &str) -> Result<Self> {
        let host = server
            .dashboard
            .strip_prefix("http://")
            .ok_or("no http")?
            .to_owned();
        let is_over = Arc::new(AtomicBool::new(false));
        let (seen, token) = (Arc::clone(&is_over), token.to_owned());
        let is_counting = Arc::new(AtomicBool::new(false));
        let counts = Arc::clone(&is_counting);
        let ready = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&ready);
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .map_err(|error| error.to_string())?;
            runtime.block_on(listen(&host, &token, &seen, &counts, &count))
        });
        while ready.load(Ordering::Relaxed) < u64::from(SOCKETS) {
            if thread.is_finished() {
                let result = thread.join().map_err(|_| "a thread has panicked")?;
                return Err(result.err().unwrap_or_default().into());
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Self {
            is_counting,
            is_over,
            thread,
        })
    }

    fn end(self) -> Result<Heard> {
        self.is_over.store(true, Ordering::Relaxed);
        Ok(self.thread.join().map_err(|_| "a thread has panicked")??)
    }
}

async fn listen(
    host: &str,
    token: &str,
    is_over: &AtomicBool,
    is_counting: &Arc<AtomicBool>,
    ready: &AtomicU64,
) -> std::result::Result<Heard, String> {
    let mut sockets = Vec::new();
    for number in 0..SOCKETS {
        let url = format!("ws://{host}/api/v1/live?topics=fleet&gathered=true");
        let mut request = url
            .into_client_request()
            .map_err(|error| error.to_string())?;
        let value = http::HeaderValue::from_str(&format!("Bearer {token}"))
            .map_err(|error| error.to_string())?;
        request.headers_mut().insert("Authorization", value);
        let (socket, _) = tokio_tungstenite::connect_async(request)
            .await
            .map_err(|error| error.to_string())?;
        sockets.push((number, socket));
        ready.fetch_add(1, Ordering::Relaxed);
    }
    let local = tokio::task::LocalSet::new();
    let mut tasks = Vec::new();
    let (over, _) = tokio::sync::watch::channel(false);
    for (number, mut socket) in sockets {
        let mut over = over.subscribe();
        let is_counting = Arc::clone(is_counting);
        tasks.push(local.spawn_local(async move {
            let mut heard = Heard::default();
            loop {
                let message = tokio::select! {
                    message = socket.next() => message,
                    _ = over.changed() => return heard,
                };
                let Some(Ok(message)) = message else {
                    return heard;
                };
                if let Message::Text(text) = message
                    && is_counting.load(Ordering::Relaxed)
                {
                    heard.take(&text, number % SAMPLED == 0);
                }
            }
        }));
    }
    local
        .run_until(async {
            while !is_over.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let _ = over.send(true);
            let mut all = Heard::default();
            for task in tasks {
                let heard = task.await.map_err(|error| error.to_string())?;
                all.frames += heard.frames;
                all.messages += heard.messages;
                all.resyncs += heard.resyncs;
                all.delays_ms.extend(heard.delays_ms);
            }
            Ok(all)
        })
        .await
}

impl Heard {
    /// One frame. Only some are read as JSON: that would be the largest part of what is measured.
    fn take(&mut self, text: &str, is_sampled: bool) {
        self.frames += 1;
        self.messages += text.matches("{\"seq\":").count() as u64;
        if text.contains("\"kind\":\"resync\"") {
            self.resyncs += 1;
        }
        if !is_sampled {
            return;
        }
        let now = Timestamp::system().as_millis();
        let messages = match serde_json::from_str(text) {
            Ok(Json::Array(messages)) => messages,
            Ok(message) => vec![message],
            Err(_) => return,
        };
        for message in messages {
            if message.get("kind").and_then(Json::as_str) != Some("resource") {
                continue;
            }
            let time = message.get("time").and_then(Json::as_str);
            let time = time.and_then(|time| time.parse::<jiff::Timestamp>().ok());
            if let Some(time) = time {
                self.delays_ms.push((now - time.as_millisecond()) as f64);
            }
        }
    }
}

/// The resident memory of a server, time after time.
struct Memory {
    id: u32,
    is_over: Arc<AtomicBool>,
    thread: thread::JoinHandle<Vec<u64>>,
}

/// What was read.
struct Readings(Vec<u64>);

impl Memory {
    fn watch(server: &Server) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let (seen, id) = (Arc::clone(&is_over), server.id());
        let thread = thread::spawn(move || {
            let mut readings = Vec::new();
            while !seen.load(Ordering::Relaxed) {
                readings.extend(crate::support::resident_kib(id).ok());
                thread::sleep(Duration::from_millis(250));
            }
            readings
        });
        Self {
            id,
            is_over,
            thread,
        }
    }

    fn end(self) -> Result<Readings> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut readings = self.thread.join().map_err(|_| "a thread has panicked")?;
        readings.push(crate::support::resident_kib(self.id)?);
        Ok(Readings(readings))
    }
}

impl Readings {
    /// The largest of the third and of the last quarter: what waits to be folded rises and falls every few seconds.
    fn peaks_kib(&self) -> [u64; 2] {
        let (_, last_half) = self.0.split_at(self.0.len() / 2);
        let (third, last) = last_half.split_at(last_half.len() / 2);
        [third, last].map(|quarter| quarter.iter().copied().max().unwrap_or(0))
    }
}

const SOCKETS: u32 = 200;
/// Each so many sockets one is read as JSON.
const SAMPLED: u32 = 20;
const RATE: u32 = 10_000;
/// What caches of the database may still take in five seconds.
const GROWTH_KIB: u64 = 16_384;
