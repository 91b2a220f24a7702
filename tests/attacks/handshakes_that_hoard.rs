//! Attack 28 (CVE-2022-29189): peers that begin a handshake, never finish it, and send whatever the
//! server has to keep until then.

use std::net::Ipv4Addr;

use super::raw_handshakes::{
    CERTIFICATE, HANDSHAKE, PSK_CCM_8, RawPeer, fragment, hello, parts, record,
};
use super::resident_kb;
use crate::support::server::{SOON, Server, eventually};

const UNDER_WAY: &str = "flownexus_dtls_handshakes_under_way";
const DROPPED: &str = "flownexus_dtls_handshake_datagrams_dropped_total";
/// So many do it at once.
const PEERS: u8 = 40;
/// What OpenSSL takes: records for keys that are not there, and messages ahead of their turn.
const RECORDS: u8 = 100;
const MESSAGES: std::ops::RangeInclusive<u8> = 3..=12;
/// Fits into a record and into a datagram.
const LARGEST: usize = 16_000;
/// Fit into the smallest buffer that a kernel gives to a socket.
const AT_ONCE: usize = 4;
/// What OpenSSL takes for a message.
const LARGEST_MESSAGE: usize = 102_000;
/// A handshake without any of that, and what an allocator may keep.
const SLACK_KB: u64 = 200;

/// Begins a handshake and sends all that could be kept.
fn hoard(server: &Server, number: u8) -> RawPeer {
    let mut peer = RawPeer::new(Ipv4Addr::new(127, 0, 4, number).into(), server.coaps());
    peer.begin();
    let mut datagrams: Vec<Vec<u8>> = (0..RECORDS)
        .map(|sequence| record(23, 1, sequence, &[sequence; LARGEST]))
        .collect();
    // A fragment that lies, and messages in it where its bytes should be: not a way past the books.
    for sequence in MESSAGES {
        let hidden = &parts(CERTIFICATE, sequence, &[sequence; LARGEST_MESSAGE], 12_000)[0];
        let lying = fragment(CERTIFICATE, 2, [10, 9, 12_000], hidden);
        datagrams.push(peer.record(HANDSHAKE, &lying));
    }
    for sequence in MESSAGES {
        // The last part of each never comes.
        let mut all = parts(CERTIFICATE, sequence, &[sequence; LARGEST_MESSAGE], LARGEST);
        all.pop();
        datagrams.extend(all.iter().map(|part| peer.record(HANDSHAKE, part)));
    }
    let mut stranger = RawPeer::new(Ipv4Addr::new(127, 0, 5, number).into(), server.coaps());
    for some in datagrams.chunks(AT_ONCE) {
        some.iter().for_each(|datagram| peer.send(datagram));
        // A stranger comes behind those who have begun: when it is answered, all was read.
        let first = stranger.record(HANDSHAKE, &hello(0, [9; 32], &[], &[PSK_CCM_8]));
        stranger.send(&first);
        stranger.receive().expect("a HelloVerifyRequest");
    }
    peer
}

/// What each peer makes the server keep, in KB, with this budget; and how many datagrams were
/// dropped for it.
async fn kept(budget: usize) -> (u64, f64) {
    let setup = Server::setup()
        .setting("coaps.max_handshake_bytes", budget)
        .setting("log.level", "info");
    let server = setup.start().await;
    let mut good = server.secure_device("good-device");
    // The allocator has its arenas, and the metrics were rendered once.
    hoard(&server, 254).give_up();
    server.metric(UNDER_WAY).await;
    let before = resident_kb(&server);
    let mut peers: Vec<RawPeer> = (0..PEERS).map(|number| hoard(&server, number)).collect();
    let grown = resident_kb(&server).saturating_sub(before);
    let under_way = server.metric(UNDER_WAY).await;
    assert!(under_way >= f64::from(PEERS), "{under_way} are under way");
    good.handshake().expect("a handshake meanwhile");
    good.register_now(300, "</1/0>");
    for peer in &mut peers {
        peer.give_up();
    }
    eventually("no handshake is under way", SOON, || async {
        (server.metric(UNDER_WAY).await == 0.0).then_some(())
    })
    .await;
    (grown / u64::from(PEERS), server.metric(DROPPED).await)
}

#[tokio::test]
async fn attack_28_what_a_handshake_can_make_the_server_keep_is_bounded_by_a_setting() {
    // Without a bound to speak of: this is what is bounded.
    let (unbounded, dropped) = kept(1 << 26).await;
    println!("{unbounded} KB for each handshake without a budget");
    assert!(unbounded > 1_500, "{unbounded} KB");
    let lies = f64::from(PEERS + 1) * MESSAGES.count() as f64;
    assert_eq!(dropped, lies);
    for budget in [32_768, 262_144] {
        let (bounded, dropped) = kept(budget).await;
        println!("{bounded} KB for each handshake with a budget of {budget} bytes");
        let most = u64::try_from(budget / 1024).expect("small") + SLACK_KB;
        assert!(bounded < most, "{bounded} KB with {budget} bytes");
        let sent = f64::from(PEERS) * f64::from(RECORDS);
        assert!(dropped > sent / 2.0, "{dropped} datagrams were dropped");
    }
}
