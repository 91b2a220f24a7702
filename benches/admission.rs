//! What it costs to keep books on who sends and who gets: processor time of a datagram, and memory of
//! addresses that were never proven.
//!
//! `cargo bench --bench admission` starts servers of its own on free ports of this machine and asks them
//! for a sign of life (CoAP ping, RFC 7252 section 4.3): the cheapest datagram that has an answer, so that
//! the books are as large a part as they can be. The same is asked of a server that keeps none, in the
//! same run. Prints tables in Markdown.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use support::{Result, Server};

mod support;

fn main() -> Result<()> {
    println!("| pings | books | answered a second | processor time each, µs |");
    println!("|---|---|---|---|");
    for sources in [1, 2_000] {
        for (name, settings) in [("kept", &KEPT[..]), ("not kept", &NOT_KEPT[..])] {
            let folder = tempfile::tempdir()?;
            let server = Server::start(folder.path(), settings)?;
            let sockets: Vec<UdpSocket> = (0..sources).map(socket).collect::<Result<_>>()?;
            let before = server.seconds()?;
            let begun = Instant::now();
            let answered = ping(&sockets, server.coap)?;
            let took = begun.elapsed().as_secs_f64();
            let each = (server.seconds()? - before) * 1e6 / f64::from(answered);
            let rate = f64::from(answered) / took;
            println!("| from {sources} addresses | {name} | {rate:.0} | {each:.1} |");
        }
    }

    println!();
    println!("| addresses that are not proven | resident, KiB | more, bytes an address |");
    println!("|---|---|---|");
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &[])?;
    // What the first datagrams make room for is not the books'.
    ping(&[socket(0)?], server.coap)?;
    let mut before = server.resident_kib()?;
    println!("| 1 | {before} | |");
    for step in 0..STEPS {
        for number in step * STEP..(step + 1) * STEP {
            let socket = socket(number + 1)?;
            socket.send_to(&PING, server.coap)?;
            if number % WINDOW == 0 {
                answer(&socket)?;
            }
        }
        let resident = server.resident_kib()?;
        let each = resident.saturating_sub(before) * 1024 / u64::from(STEP);
        println!("| {} | {resident} | {each} |", (step + 1) * STEP);
        before = resident;
    }
    Ok(())
}

/// Pings in turn from these sockets, some of them under way at once; how many were answered.
fn ping(sockets: &[UdpSocket], server: SocketAddr) -> Result<u32> {
    let mut answered = 0;
    for part in 0..PINGS / WINDOW {
        let of = |number: u32| {
            let at = (part * WINDOW + number) as usize % sockets.len();
            sockets.get(at).ok_or("no socket")
        };
        for number in 0..WINDOW {
            of(number)?.send_to(&PING, server)?;
        }
        for number in 0..WINDOW {
            answered += u32::from(answer(of(number)?)?);
        }
    }
    Ok(answered)
}

/// True when the server has answered; what it dropped is not waited for long.
fn answer(socket: &UdpSocket) -> Result<bool> {
    let mut buffer = [0; 64];
    match socket.recv(&mut buffer) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// A socket at an address of its own.
fn socket(number: u32) -> Result<UdpSocket> {
    let [_, a, b, c] = number.to_be_bytes();
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 64 + a, b, c), 0))?;
    socket.set_read_timeout(Some(Duration::from_millis(100)))?;
    Ok(socket)
}

/// An Empty message that is to be answered with a Reset.
const PING: [u8; 4] = [0x40, 0, 0x12, 0x34];
const PINGS: u32 = 400_000;
const WINDOW: u32 = 100;
/// Three times what there is room for by default.
const STEP: u32 = 100_000;
const STEPS: u32 = 6;
/// Every limit is on; none of them stands in the way.
const KEPT: [(&str, &str); 2] = [
    ("FLOWNEXUS__ADMISSION__SOURCE_DATAGRAMS_PER_S", "10000000"),
    ("FLOWNEXUS__ADMISSION__UNPROVEN_DATAGRAMS_PER_S", "10000000"),
];
const NOT_KEPT: [(&str, &str); 4] = [
    ("FLOWNEXUS__ADMISSION__SOURCE_DATAGRAMS_PER_S", "0"),
    ("FLOWNEXUS__ADMISSION__UNPROVEN_DATAGRAMS_PER_S", "0"),
    ("FLOWNEXUS__ADMISSION__UNPROVEN_BYTES_PER_S", "0"),
    ("FLOWNEXUS__ADMISSION__AMPLIFICATION", "0"),
];
