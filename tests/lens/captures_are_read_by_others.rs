//! The messages of a device as a pcap file.

use flownexus::coap::Code;
use rstest::rstest;
use serde_json::json;

use super::messages;
use super::pcap_file::packets;
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::Server;

#[rstest]
#[case::ipv4("127.0.0.1:0", false)]
#[case::ipv6("[::1]:0", false)]
#[case::everywhere("0.0.0.0:0", false)]
#[case::dtls("127.0.0.1:0", true)]
#[tokio::test]
async fn a_capture_has_real_addresses_and_right_checksums(
    #[case] listen: &str,
    #[case] is_secure: bool,
) {
    let server = Server::setup()
        .setting("coap.listen", listen)
        .setting("credentials.reload_s", 1)
        .start()
        .await;
    let mut address = server.coap();
    if address.ip().is_unspecified() {
        address.set_ip([127, 0, 0, 1].into());
    }
    let mut device = match is_secure {
        true => server.secure_device("pump"),
        false => ScriptedDevice::new("pump", address),
    };
    let register = device.register(300, "</1/0>");
    let answer = device.ask(&register);
    device.take_location(&answer);
    let read = json!({"kind": "read", "path": "/1/0/1"});
    let operation = server.api().operate("pump", &read).await;
    let request = device.expect_request(Code::GET, "/1/0/1");
    device.answer_content(&request, TEXT, b"87");
    server.api().ended(&operation).await;

    let file = server
        .api()
        .get("/api/v1/endpoints/pump/messages.pcap")
        .await;
    assert_eq!(
        file.headers()["content-type"],
        "application/vnd.tcpdump.pcap"
    );
    let file = file.bytes().await.expect("a file");
    if let Ok(path) = std::env::var("LENS_PCAP") {
        std::fs::write(path, &file).expect("written");
    }
    let packets = packets(&file);
    let all = messages(&server, "pump", "").await;
    assert_eq!(packets.len(), all.len());
    // What went through DTLS is where plain CoAP is looked for.
    if is_secure {
        address.set_port(5683);
    }
    for (packet, message) in packets.iter().zip(&all) {
        let (device, server) = match message["direction"] == "up" {
            true => (packet.from, packet.to),
            false => (packet.to, packet.from),
        };
        assert_eq!(
            device.to_string(),
            message["address"].as_str().expect("an address")
        );
        assert_eq!(server, address);
    }
    assert_eq!(packets[0].payload, register.encode());
    assert_eq!(packets[2].payload, request.encode());
    // By its location anybody could speak for the device.
    let created = answer.encode();
    let location = device.location()[1].as_bytes();
    assert_eq!(packets[1].payload.len(), created.len());
    assert!(packets[1].payload.ends_with(&vec![0; location.len()]));
    assert!(created.ends_with(location));
    assert!(packets.is_sorted_by_key(|packet| packet.micros));
}
