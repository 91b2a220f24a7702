//! What a DTLS handshake costs the server, in processor time. For the memory of sessions see `sessions.rs`.
//!
//! `cargo bench --bench dtls` starts a server of its own on free ports of this machine, shakes hands
//! with it over real sockets, and reads what the server's handshake thread and the process have used
//! from `/proc`. In the same run the same handshakes are made in memory with nothing but OpenSSL, so
//! that the figures can be compared on any machine. Prints a table in Markdown.

use support::{Result, handshakes};

mod support;

fn main() -> Result<()> {
    println!(
        "| handshake | server, {} at once, per second and core | one after the other | bare OpenSSL, both ends / 2 | \
        ratio | at once, a second of the clock |",
        handshakes::AT_ONCE
    );
    println!("|---|---|---|---|---|---|");
    for handshakes in handshakes::measure(1.0)? {
        let (name, at_once, bare) = (handshakes.name, handshakes.at_once, handshakes.bare);
        println!(
            "| {name} | {at_once:.0} | {:.0} | {bare:.0} | {:.2} | {:.0} |",
            handshakes.in_turn,
            at_once / bare,
            handshakes.rate
        );
    }
    Ok(())
}
