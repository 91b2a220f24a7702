//! A handshake from the address of a session runs beside it (RFC 6347 section 4.2.8): whoever sends a hello
//! in the name of a device must not end what the device has, and a device that has lost its keys must get in.

use flownexus::coap::Code;
use flownexus::net::dtls::{Client, ClientCredentials, ClientEvent, ClientSettings};

use crate::support::server::{DEVICE_KEY, SOON, Server, eventually};

const SESSIONS: &str = "flownexus_dtls_sessions";
const UNDER_WAY: &str = "flownexus_dtls_handshakes_under_way";

#[tokio::test]
async fn the_session_before_goes_on_until_the_new_one_is_there() {
    let server = Server::start().await;
    let mut device = server.secure_device("forgetful");
    device.register_now(3600, "</1/0>");
    let key = ClientCredentials::psk("forgetful", DEVICE_KEY.to_vec()).expect("a key");
    let settings = ClientSettings {
        ciphers: Some("PSK-AES128-CCM8".to_owned()),
        ..ClientSettings::new(key)
    };
    let mut client = Client::new(settings).expect("a client");
    // From the same socket, up to the last flight of the device.
    let last_flight = loop {
        let mut flight = Vec::new();
        while let Some(datagram) = client.poll_transmit() {
            flight.push(datagram);
        }
        let is_hello = |datagram: &Vec<u8>| datagram[0] == 22 && datagram[13] == 1;
        if !flight.iter().all(is_hello) {
            break flight;
        }
        for datagram in flight {
            device.send_datagram(&datagram);
        }
        let answer = device.receive_datagram(SOON).expect("an answer");
        client.handle_datagram(&answer);
    };
    eventually("a handshake is under way", SOON, || async {
        (server.metric(UNDER_WAY).await > 0.5).then_some(())
    })
    .await;
    for _ in 0..3 {
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
    }
    assert!((server.metric(SESSIONS).await - 1.0).abs() < 0.5);

    for datagram in last_flight {
        device.send_datagram(&datagram);
    }
    let is_connected = (0..9).any(|_| {
        let answer = device.receive_datagram(SOON).expect("the last flight");
        let events = client.handle_datagram(&answer);
        matches!(events[..], [ClientEvent::Connected, ..])
    });
    assert!(is_connected);
    // The new one is heard, and is the only one.
    let update = device.update();
    assert!(client.send(&update.encode()));
    let sealed = client.poll_transmit().expect("a record");
    device.send_datagram(&sealed);
    let answer = device.receive_datagram(SOON).expect("an answer");
    let events = client.handle_datagram(&answer);
    assert!(
        matches!(events[..], [ClientEvent::Received(_)]),
        "{events:?}"
    );
    eventually("one session", SOON, || async {
        let now = server.metric(SESSIONS).await;
        ((now - 1.0).abs() < 0.5).then_some(())
    })
    .await;
}
