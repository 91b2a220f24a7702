//! What a DTLS handshake costs the server, in processor time. For the memory of sessions see `sessions.rs`.
//!
//! `cargo bench --bench dtls` starts a server of its own on free ports of this machine, shakes hands
//! with it over real sockets, and reads what the server's handshake thread and the process have used
//! from `/proc`. In the same run the same handshakes are made in memory with nothing but OpenSSL, so
//! that the figures can be compared on any machine. Prints a table in Markdown.

use support::{Result, handshakes};

mod support;

fn main() -> Result<()> {
    println!("| handshake | server, per second and core | bare OpenSSL, both ends / 2 | ratio |");
    println!("|---|---|---|---|");
    for handshakes in handshakes::measure(1.0)? {
        let (name, ours, bare) = (handshakes.name, handshakes.server, handshakes.bare);
        println!("| {name} | {ours:.0} | {bare:.0} | {:.2} |", ours / bare);
    }
    Ok(())
}
