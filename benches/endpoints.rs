//! What an idle registered endpoint costs, and how soon the server serves again after a crash.
//!
//! `cargo bench --bench endpoints [COUNT…]` starts a server of its own on free ports of this machine and
//! registers devices on plain CoAP: 10,000 and then 100,000 of them, or so many as are named. Each has a
//! name, an address and a port of its own, announces 20 objects, and answers the three observations that
//! templates ask for; it is a few lines around [`flownexus::coap::Message`], so that what is measured is
//! the server. Then nothing happens any more; the resident memory of the server comes from `/proc`, once
//! right then and once when every actor had time to rest (`endpoint.idle_s`). In the end the server is
//! killed and started again: until the Update of one of the devices is answered it does not serve.
//! Prints tables in Markdown.
//!
//! `cargo bench --bench endpoints -- stored [COUNT]` takes a fleet that is in the database already, 1,000,000
//! devices or so many: how soon the server serves them, what they need at rest, and Updates of all of them, one
//! after the other, twice.
//!
//! `ENDPOINTS_SETTLE_S` changes how long is waited; `ENDPOINTS_HOLD` keeps the server running until a line
//! is read, so that it can be looked at.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flownexus::coap::{Code, Message, MessageType, Options, Token, number};
use support::{Result, Server, flownexus, output};

#[path = "endpoints/stored.rs"]
mod stored;
mod support;
#[path = "endpoints/updates.rs"]
mod updates;

fn main() -> Result<()> {
    let counts: Vec<u32> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let counts = if counts.is_empty() {
        COUNTS.to_vec()
    } else {
        counts
    };
    let settle = match std::env::var("ENDPOINTS_SETTLE_S") {
        Ok(text) => Duration::from_secs(text.parse()?),
        Err(_) => SETTLE,
    };
    let folder = tempfile::tempdir()?;
    if std::env::args().any(|argument| argument == "stored") {
        let count = counts.last().copied().unwrap_or(1_000_000);
        return stored::measure(folder.path(), count, settle);
    }
    let begun = Instant::now();
    let server = Server::start(folder.path(), &[])?;
    let first = begun.elapsed().as_millis();
    drop(server);
    let begun = Instant::now();
    let server = Server::start(folder.path(), &[])?;
    let empty = begun.elapsed().as_millis();
    println!(
        "ready: {first} ms the first time, {empty} ms with nothing in it, {} KiB resident",
        server.resident_kib()?
    );
    println!();
    add_template(folder.path(), &server)?;

    println!(
        "| endpoints | registered a second | resident, KiB | slope, bytes an endpoint | at rest, KiB | slope, \
         bytes an endpoint |"
    );
    println!("|---|---|---|---|---|---|");
    let mut before: Option<(u32, [u64; 2])> = None;
    let mut devices = 0;
    let mut last = None;
    for count in counts {
        let begun = Instant::now();
        last = register(&server, devices..count)?.or(last);
        let rate = f64::from(count.saturating_sub(devices)) / begun.elapsed().as_secs_f64();
        devices = devices.max(count);
        thread::sleep(MOMENT);
        let busy = server.resident_kib()?;
        thread::sleep(settle);
        let resident = [busy, server.resident_kib()?];
        let slopes = before.map(|(few, some)| {
            let more = f64::from(count.saturating_sub(few).max(1));
            let slope = |at: usize| {
                let [now, then] = [&resident, &some].map(|both| both.get(at).copied());
                let grown = now.unwrap_or(0).saturating_sub(then.unwrap_or(0));
                format!("{:.0}", grown as f64 * 1024.0 / more)
            };
            [slope(0), slope(1)]
        });
        let [moving, resting] = slopes.unwrap_or_default();
        let [busy, idle] = resident;
        println!("| {count} | {rate:.0} | {busy} | {moving} | {idle} | {resting} |");
        before = Some((count, resident));
    }
    if std::env::var("ENDPOINTS_HOLD").is_ok() {
        std::io::stdin().read_line(&mut String::new())?;
    }

    // Dropped, it is killed.
    drop(server);
    let Some((number, location)) = last else {
        return Ok(());
    };
    println!();
    println!(
        "| endpoints | listening after, ms | serving again after, ms | resident, KiB | after {} s, KiB |",
        settle.as_secs()
    );
    println!("|---|---|---|---|---|");
    let begun = Instant::now();
    let server = Server::start(folder.path(), &[])?;
    let listening = begun.elapsed().as_millis();
    update(&server, number, &location)?;
    let serving = begun.elapsed().as_millis();
    let at_once = server.resident_kib()?;
    thread::sleep(settle);
    let later = server.resident_kib()?;
    println!("| {devices} | {listening} | {serving} | {at_once} | {later} |");
    Ok(())
}

/// The third observation; two more are asked for by the templates that are there from the start.
fn add_template(folder: &Path, server: &Server) -> Result<()> {
    let token =
        output(flownexus(folder).args(["token", "create", "--name", "bench", "--role", "admin"]))?;
    let body = serde_json::json!({"kind": "observe", "path": "/3316/0/5700"});
    actix_rt::System::new().block_on(async {
        let client = reqwest::Client::new();
        let url = format!("{}/api/v1/observation-templates", server.dashboard);
        let request = client.post(&url).bearer_auth(token.trim()).json(&body);
        request.send().await?.error_for_status()?;
        Ok(())
    })
}

/// Where a device is registered: the segments of its path.
type Location = Vec<Vec<u8>>;

/// Registers devices, some of them at the same time; the last one and where it is registered.
fn register(server: &Server, numbers: Range<u32>) -> Result<Option<(u32, Location)>> {
    let address = server.coap;
    let next = AtomicU32::new(numbers.start);
    let some = || -> std::result::Result<Option<(u32, Location)>, String> {
        let mut last = None;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= numbers.end {
                return Ok(last);
            }
            let location = register_one(number, address).map_err(|error| error.to_string())?;
            last = Some((number, location));
        }
    };
    let done: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(some)).collect();
        threads.into_iter().map(|thread| thread.join()).collect()
    });
    let mut last = None;
    for one in done {
        last = one.map_err(|_| "a thread has panicked")??.or(last);
    }
    Ok(last)
}

/// Registers a device and answers what it is asked until all of it is observed.
fn register_one(number: u32, server: SocketAddr) -> Result<Location> {
    let socket = socket(number)?;
    let request = registration(number).encode();
    socket.send_to(&request, server)?;
    let mut sent = Instant::now();
    let (mut location, mut observed) = (None, 0);
    let mut buffer = [0; 2048];
    let end = Instant::now() + PATIENCE;
    while location.is_none() || observed < OBSERVED {
        if Instant::now() > end {
            return Err(format!("device {number} is not served").into());
        }
        let length = match socket.recv(&mut buffer) {
            Ok(length) => length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                if location.is_none() && sent.elapsed() > RETRY {
                    socket.send_to(&request, server)?;
                    sent = Instant::now();
                }
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let message = Message::decode(buffer.get(..length).unwrap_or_default())?;
        if message.code == Code::CREATED {
            let path = message.options.all(number::LOCATION_PATH);
            location = Some(path.map(<[u8]>::to_vec).collect());
        } else if message.code.is_request() {
            observed += usize::from(message.options.observe() == Some(0));
            socket.send_to(&answer(&message).encode(), server)?;
        } else if message.code != Code::EMPTY {
            let text = String::from_utf8_lossy(&message.payload).into_owned();
            return Err(format!("device {number}: {} {text}", message.code).into());
        }
    }
    Ok(location.ok_or("no location")?)
}

/// Sends an Update until it is answered.
fn update(server: &Server, number: u32, location: &Location) -> Result<()> {
    let socket = socket(number)?;
    let mut message = request(2);
    for segment in location {
        message.options.add(number::URI_PATH, segment);
    }
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; 2048];
    while Instant::now() < end {
        socket.send_to(&message.encode(), server.coap)?;
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let answer = Message::decode(buffer.get(..length).unwrap_or_default())?;
        if answer.message_id == message.message_id && answer.kind == MessageType::Acknowledgement {
            if answer.code == Code::CHANGED {
                return Ok(());
            }
            return Err(format!("the Update was answered with {}", answer.code).into());
        }
    }
    Err("the Update is not answered".into())
}

fn registration(number: u32) -> Message {
    let mut message = request(1);
    message.options.add_uri_path("/rd");
    message.options.add_uint(number::CONTENT_FORMAT, 40);
    for query in [
        &format!("ep=urn:imei:{number:015}"),
        "lt=864000",
        "lwm2m=1.1",
        "b=U",
    ] {
        message.options.add(number::URI_QUERY, query.as_bytes());
    }
    message.payload = LINKS.as_bytes().to_vec();
    message
}

fn request(message_id: u16) -> Message {
    Message {
        kind: MessageType::Confirmable,
        code: Code::POST,
        message_id,
        token: Token::from([0, 0, 0, 0, 0, 0, 0, 1]),
        options: Options::new(),
        payload: Vec::new(),
    }
}

/// Whatever is asked for, there is a value.
fn answer(request: &Message) -> Message {
    let mut options = Options::new();
    if request.options.observe() == Some(0) {
        options.add_uint(number::OBSERVE, 1);
    }
    let path = request.options.uri_path().unwrap_or_default().join("/");
    // SenML JSON (RFC 8428): Device is read as a whole, the others are numbers.
    let payload = if path.starts_with('3') && path.len() < 4 {
        r#"[{"bn":"/3/0/","n":"0","vs":"bench"}]"#.to_owned()
    } else {
        format!(r#"[{{"n":"/{path}","v":21.5}}]"#)
    };
    options.add_uint(number::CONTENT_FORMAT, 110);
    Message {
        kind: MessageType::Acknowledgement,
        code: Code::CONTENT,
        message_id: request.message_id,
        token: request.token,
        options,
        payload: payload.into_bytes(),
    }
}

fn address(number: u32) -> Ipv4Addr {
    let [_, a, b, c] = number.to_be_bytes();
    Ipv4Addr::new(127, 64 + a, b, c)
}

/// A socket at an address of its own, which is the same each time.
fn socket(number: u32) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((address(number), PORT))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(socket)
}

const COUNTS: [u32; 2] = [10_000, 100_000];
/// 20 objects.
const LINKS: &str = "</>;rt=\"oma.lwm2m\";ct=110,</1/0>;ver=1.1,</3/0>;ver=1.1,</4/0>,</6/0>,</7/0>,\
    </3300/0>,</3301/0>,</3302/0>,</3303/0>,</3304/0>,</3305/0>,</3306/0>,</3308/0>,</3310/0>,\
    </3311/0>,</3312/0>,</3313/0>,</3315/0>,</3316/0>,</3323/0>";
const OBSERVED: usize = 3;
const PORT: u16 = 6_000;
/// Devices that are registered at the same time.
const AT_ONCE: usize = 64;
const RETRY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(120);
/// What is on its way to the store.
const MOMENT: Duration = Duration::from_secs(5);
/// Timers of exchanges, copies of requests (`EXCHANGE_LIFETIME` is 247 s), and time to rest.
const SETTLE: Duration = Duration::from_secs(330);
