//! Devices on plain CoAP that register and are observed: a few lines each around [`Message`], with an address
//! of their own in 127.64.0.0/10, so that what is measured is the server.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use flownexus::coap::{Code, Message, MessageType, Options, Token, number};

use super::{Result, Server, token};

/// The third observation; two more are asked for by the templates that are there from the start.
pub(crate) fn add_template(folder: &Path, server: &Server) -> Result<()> {
    let token = token(folder, "templates")?;
    let body = serde_json::json!({"kind": "observe", "path": "/3316/0/5700"});
    actix_rt::System::new().block_on(async {
        let client = reqwest::Client::new();
        let url = format!("{}/api/v1/observation-templates", server.dashboard);
        let request = client.post(&url).bearer_auth(token).json(&body);
        request.send().await?.error_for_status()?;
        Ok(())
    })
}

/// Where a device is registered: the segments of its path.
pub(crate) type Location = Vec<Vec<u8>>;

/// Registers devices, some of them at the same time; the last one and where it is registered.
pub(crate) fn register(server: &Server, numbers: Range<u32>) -> Result<Option<(u32, Location)>> {
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
pub(crate) fn register_one(number: u32, server: SocketAddr) -> Result<Location> {
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
pub(crate) fn update(server: &Server, number: u32, location: &Location) -> Result<()> {
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

/// A confirmable POST with nothing in it.
pub(crate) fn request(message_id: u16) -> Message {
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

/// The address of a device, which is the same each time.
pub(crate) fn address(number: u32) -> Ipv4Addr {
    let [_, a, b, c] = number.to_be_bytes();
    Ipv4Addr::new(127, 64 + a, b, c)
}

/// A socket at an address of its own, which is the same each time.
fn socket(number: u32) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((address(number), PORT))?;
    socket.set_read_timeout(Some(Duration::from_millis(200)))?;
    Ok(socket)
}

/// 20 objects.
const LINKS: &str = "</>;rt=\"oma.lwm2m\";ct=110,</1/0>;ver=1.1,</3/0>;ver=1.1,</4/0>,</6/0>,</7/0>,\
    </3300/0>,</3301/0>,</3302/0>,</3303/0>,</3304/0>,</3305/0>,</3306/0>,</3308/0>,</3310/0>,\
    </3311/0>,</3312/0>,</3313/0>,</3315/0>,</3316/0>,</3323/0>";
const OBSERVED: usize = 3;
/// Of every device.
pub(crate) const PORT: u16 = 6_000;
/// Devices that are registered at the same time.
const AT_ONCE: usize = 64;
const RETRY: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(120);
