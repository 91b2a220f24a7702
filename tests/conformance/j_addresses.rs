//! J. Devices whose address changes (NAT). J4 is about OSCORE and disabled upstream too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{ALERT, Asked, LINKS, Transport, confirmed, latest, operate, server, shown};
use super::credentials::{authority, connected, credential, x509};
use crate::support::certificates::Holder;
use crate::support::device::{SENML_JSON, ScriptedDevice, TEXT};
use crate::support::secure::Credentials;
use crate::support::server::{Api, Server};
use flownexus::coap::{Code, Message, Options};
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

/// A device gets another port while it observes and has not answered a Read: the token of the observation,
/// the operation and its request, and where it was.
async fn moved_while_asked(
    api: &Api,
    device: &mut ScriptedDevice,
) -> (Token, Json, Message, SocketAddr) {
    let token = observed(api, device).await;
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let operation = api.operate(device.name(), &body).await;
    let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
    let before = device.address();
    device.move_keeping_session();
    (token, operation, read, before)
}

/// How a device comes back from behind a NAT that has forgotten it.
#[derive(Clone, Copy, Debug)]
enum Back {
    /// A handshake from nothing.
    Anew,
    /// By the ticket of its session.
    Resumed,
}

/// RFC 7252 section 9.1: what was asked in one session is not answered in another. So what was under
/// way is asked again in the new one.
#[rstest]
#[case::psk_anew("psk", Back::Anew)]
#[case::psk_resumed("psk", Back::Resumed)]
#[case::x509_anew("x509", Back::Anew)]
#[case::x509_resumed("x509", Back::Resumed)]
#[tokio::test]
async fn j05_observations_and_what_is_under_way_go_on_in_the_next_session_at_another_port(
    #[case] kind: &str,
    #[case] back: Back,
) {
    let server = ALERT.hold().await;
    let api = server.api();
    let name = format!("j05-{kind}-{back:?}");
    let mut device = match kind {
        "psk" => server.secure_device(&name),
        _ => connected(
            &server,
            &name,
            x509(&authority(&server).sign(&name), &server),
        ),
    };
    device.register_now(3600, LINKS);
    let (token, operation, read, before) = moved_while_asked(&api, &mut device).await;
    match back {
        Back::Anew => device.handshake().expect("a session"),
        Back::Resumed => assert_eq!(device.resume(), Ok(true)),
    }
    assert_ne!(device.address(), before);
    // Under the old token from the new session.
    device.notify(token, 2, TEXT, b"61");
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 61);
    // The answer to the request of the session before is none.
    device.answer_content(&read, TEXT, b"666");
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let again = Asked::get("/1/0/1").accept(TEXT).expect(&mut device);
    assert_ne!(again.token, read.token);
    device.answer_content(&again, TEXT, b"62");
    let ended = api.ended(&operation).await;
    confirmed(&ended, "2.05");
    assert_eq!(
        ended["attempts"], 1,
        "its session was lost, not the device: {ended}"
    );
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 62);
    device.notify(token, 3, TEXT, b"63");
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 63);
}

/// The port that the NAT took away goes to another device of the same network.
#[tokio::test]
async fn j05_another_identity_at_the_port_of_a_device_that_has_moved_speaks_for_itself_only() {
    let server = ALERT.hold().await;
    let api = server.api();
    let mut device = server.secure_device("j05-moved");
    let mut heir = server.secure_device("j05-heir");
    for device in [&mut device, &mut heir] {
        device.register_now(3600, LINKS);
    }
    let (token, operation, read, before) = moved_while_asked(&api, &mut device).await;
    assert_eq!(device.resume(), Ok(true));
    let socket = UdpSocket::bind(before).expect("the port is free again");
    heir.session(|session| session.move_to(socket));
    assert_eq!(heir.resume(), Ok(true));
    assert_eq!(heir.address(), before);
    // It knows the token, the message id, even the location of the device before it.
    let notification = heir.notification(token, 9, TEXT, b"666");
    heir.send(&notification);
    heir.answer_content(&read, TEXT, b"666");
    let mut options = Options::new();
    options.add_uri_path(&device.location().join("/"));
    let update = heir.request(Code::POST, options, &[]);
    assert_eq!(heir.ask(&update).code, Code::FORBIDDEN);
    let newest = latest(&api, &device, "/1/0/1").await;
    assert_eq!(newest[0][2], 60);
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::CHANGED);
    let again = Asked::get("/1/0/1").accept(TEXT).expect(&mut device);
    device.answer_content(&again, TEXT, b"61");
    confirmed(&api.ended(&operation).await, "2.05");
    device.notify(token, 2, TEXT, b"62");
    assert_eq!(latest(&api, &device, "/1/0/1").await[0][2], 62);
    let update = heir.update();
    assert_eq!(heir.ask(&update).code, Code::CHANGED);
}
