//! J. Devices whose address changes (NAT). J4 is about OSCORE and disabled upstream too.

use std::net::{IpAddr, Ipv4Addr};

use rstest::rstest;
use serde_json::json;

use super::bench::{ALERT, Asked, LINKS, Transport, confirmed, latest, operate, server, shown};
use super::credentials::{authority, connected, credential, x509};
use crate::support::certificates::Holder;
use crate::support::device::{SENML_JSON, ScriptedDevice, TEXT};
use crate::support::secure::Credentials;
use crate::support::server::{Api, Server};
use flownexus::coap::Code;
use flownexus::domain::Token;

/// Without credentials an address proves little: the port may change, as behind a NAT that forgot the
/// device, the host may not.
#[rstest]
#[case::udp(Transport::Udp)]
#[tokio::test]
async fn j01_without_credentials_another_host_is_nobody_and_another_port_the_same_device(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "j01");
    let token = observed(&api, &mut device).await;

    device.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)));
    let notification = device.notification(token, 2, TEXT, b"666");
    device.send(&notification);
    let send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":666}]"#);
    // The answer to the Send is the first thing that comes: the notification is ignored.
    assert_eq!(device.ask(&send).code, Code::BAD_REQUEST);
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 60);

    // Another port of the host: the notification's token says who it is, and it is followed there.
    device.move_to_new_address();
    device.notify(token, 3, TEXT, b"61");
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 61);
    let endpoint = shown(&api, &device).await;
    assert_eq!(endpoint["address"], device.address().to_string());
    let send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":62}]"#);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"63");
    })
    .await;
    confirmed(&ended, "2.05");

    // From another host a device has to register again, which always helps.
    device.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)));
    device.register_now(3600, LINKS);
    let endpoint = shown(&api, &device).await;
    assert_eq!(endpoint["address"], device.address().to_string());
    // What somebody observes is asked for again, there.
    let again = Asked::get("/1/0/1")
        .observe(0)
        .accept(TEXT)
        .expect(&mut device);
    assert_ne!(again.token, token);
    device.answer_observe(&again, 1, TEXT, b"63");
    let send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":64}]"#);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
}

/// `registration.follow_addresses` trusts whoever knows the location or a token of a device.
#[rstest]
#[case::udp(Transport::Udp)]
#[tokio::test]
async fn j01_by_a_setting_a_device_is_followed_to_another_host(#[case] over: Transport) {
    let server = Server::setup()
        .setting("registration.follow_addresses", true)
        .start()
        .await;
    let api = server.api();
    let mut device = over.registered(&server, "j01-followed");
    let token = observed(&api, &mut device).await;

    let mut host = 3;
    let mut move_on = |device: &mut ScriptedDevice| {
        host += 1;
        device.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)));
    };
    move_on(&mut device);
    device.notify(token, 2, TEXT, b"61");
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 61);
    let address = shown(&api, &device).await["address"].clone();
    assert_eq!(address, device.address().to_string());

    move_on(&mut device);
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let address = shown(&api, &device).await["address"].clone();
    assert_eq!(address, device.address().to_string());
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"62");
    })
    .await;
    confirmed(&ended, "2.05");

    // A Send names nobody: without an Update before it, it is still a stranger's.
    move_on(&mut device);
    let send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":63}]"#);
    assert_eq!(device.ask(&send).code, Code::BAD_REQUEST);
}

/// Observes `/1/0/1`.
async fn observed(api: &Api, device: &mut ScriptedDevice) -> Token {
    let body = json!({"kind": "observe", "path": "/1/0/1", "format": "text"});
    let mut token = None;
    let ended = operate(api, device, body, |device| {
        let observe = Asked::get("/1/0/1").observe(0).accept(TEXT).expect(device);
        device.answer_observe(&observe, 1, TEXT, b"60");
        token = Some(observe.token);
    })
    .await;
    confirmed(&ended, "2.05");
    token.expect("a token")
}

/// A device with credentials is itself wherever it is; requests go where it registered or last
/// updated.
#[tokio::test]
async fn j02_with_credentials_a_device_is_itself_at_every_address() {
    let server = ALERT.hold().await;
    let api = server.api();
    let raw = Holder::authority("j02-rpk");
    let pem = String::from_utf8(raw.public_key().0).expect("text");
    credential(&server, &["add", "j02-rpk", "--rpk", "-"], &pem);
    let signed = authority(&server).sign("j02-x509");
    let devices = [
        server.secure_device("j02-psk"),
        connected(
            &server,
            "j02-rpk",
            Credentials::raw_public_key(&raw.key(), None),
        ),
        connected(&server, "j02-x509", x509(&signed, &server)),
    ];
    for mut device in devices {
        device.register_now(3600, LINKS);
        let registered_at = device.address().to_string();
        let token = observed(&api, &mut device).await;
        for host in [3, 4] {
            device.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)));
            device.notify(token, host.into(), TEXT, format!("6{host}").as_bytes());
            let newest = latest(&api, &device, "/1/0/1").await;
            assert_eq!(newest[0][2], 60 + i32::from(host));
            let send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":70}]"#);
            assert_eq!(device.ask(&send).code, Code::CHANGED);
            assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 70);
            let address = shown(&api, &device).await["address"].clone();
            assert_eq!(address, registered_at);
        }
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
        let address = shown(&api, &device).await["address"].clone();
        assert_eq!(address, device.address().to_string());
    }
}

#[rstest]
#[case::by_notifications("registration.update_on_notification")]
#[case::by_sends("registration.update_on_send")]
#[tokio::test]
async fn j03_by_a_setting_requests_follow_a_device_with_credentials(#[case] setting: &str) {
    let server = Server::setup().setting(setting, true).start().await;
    let api = server.api();
    let mut device = server.secure_device("j03");
    device.register_now(3600, LINKS);
    let before = device.address().to_string();
    let token = observed(&api, &mut device).await;
    device.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3)));
    let by_notifications = setting.ends_with("notification");
    let says = |device: &mut ScriptedDevice, by_notification: bool| {
        if by_notification {
            device.notify(token, 2, TEXT, b"61");
        } else {
            let send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":62}]"#);
            assert_eq!(device.ask(&send).code, Code::CHANGED);
        }
    };
    // The other one does not move it.
    says(&mut device, !by_notifications);
    assert_eq!(shown(&api, &device).await["address"], before);
    says(&mut device, by_notifications);
    let address = shown(&api, &device).await["address"].clone();
    assert_eq!(address, device.address().to_string());
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"63");
    })
    .await;
    confirmed(&ended, "2.05");
}
