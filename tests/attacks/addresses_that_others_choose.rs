//! Attack 37: devices and people name addresses wherever they can, and the server calls none of them.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};

use reqwest::Method;
use reqwest::header::LOCATION;
use serde_json::json;

use super::{Siege, request};
use crate::support::device::{SENML_JSON, TEXT};
use flownexus::coap::{Code, number};

/// Something that would notice, at one port of this machine by TCP and UDP.
struct Bait {
    tcp: TcpListener,
    udp: UdpSocket,
    port: u16,
}

impl Bait {
    fn lay() -> Self {
        loop {
            let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
            let port = tcp.local_addr().expect("an address").port();
            // Perhaps somebody else has this one.
            let Ok(udp) = UdpSocket::bind(("127.0.0.1", port)) else {
                continue;
            };
            tcp.set_nonblocking(true).expect("a mode");
            udp.set_nonblocking(true).expect("a mode");
            return Self { tcp, udp, port };
        }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/latest/meta-data", self.port)
    }

    fn is_untouched(&self) {
        let waits = |error: std::io::Error| error.kind() == ErrorKind::WouldBlock;
        let caller = self.tcp.accept().map_err(waits);
        assert!(matches!(caller, Err(true)), "somebody called: {caller:?}");
        let sender = self.udp.recv_from(&mut [0; 100]).map_err(waits);
        assert!(matches!(sender, Err(true)), "somebody sent: {sender:?}");
    }

    fn would_notice(&self) {
        let _caller = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection");
        self.tcp.accept().expect("it is there at once");
    }
}

#[tokio::test]
async fn attack_37_nobody_is_called_whom_a_device_names() {
    let bait = Bait::lay();
    let siege = Siege::begin(|setup| setup).await;
    let api = siege.server.api();
    let (http, coap) = (bait.url("http"), bait.url("coap"));
    let mut device = siege.device(&http);
    let links = format!("<{coap}>,</1/0>;href=\"{http}\"");
    let register = device.register_with(&["lwm2m=1.1".into(), format!("uri={coap}")], &links);
    let answer = device.ask(&register);
    if answer.code == Code::CREATED {
        device.take_location(&answer);
    } else {
        device.register_now(300, "</1/0>");
    }
    // It is no proxy.
    let host = format!("127.0.0.1:{}", bait.port);
    for options in [
        vec![(number::PROXY_URI, coap.as_bytes())],
        vec![(number::PROXY_URI, http.as_bytes())],
        vec![
            (number::PROXY_SCHEME, b"coap"),
            (number::URI_HOST, host.as_bytes()),
        ],
    ] {
        let message = request(&mut device, Code::GET, "/rd", &options, b"");
        assert_eq!(device.ask(&message).code, Code::PROXYING_NOT_SUPPORTED);
    }
    // What it says of itself: where its packages come from, and what its server is called.
    let said = json!([{"n": "/5/0/1", "vs": http}, {"n": "/0/0/0", "vs": coap}]).to_string();
    let send = device.data_push(SENML_JSON, said.as_bytes());
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    // What somebody writes to it is the device's business.
    let name: String = http.bytes().map(|byte| format!("%{byte:02X}")).collect();
    let body = json!({"kind": "write", "path": "/5/0/1", "value": http});
    let operation = api.operate(&name, &body).await;
    let write = device.expect_request(Code::PUT, "/5/0/1");
    assert!(String::from_utf8_lossy(&write.payload).contains(&http));
    device.answer(&write, Code::CHANGED, Default::default(), b"");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    let operation = api
        .operate(&name, &json!({"kind": "read", "path": "/5/0/1"}))
        .await;
    let read = device.expect_request(Code::GET, "/5/0/1");
    device.answer_content(&read, TEXT, http.as_bytes());
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    siege.ends_well().await;
    bait.is_untouched();
    bait.would_notice();
}

#[tokio::test]
async fn attack_37_nobody_is_called_whom_people_name() {
    let bait = Bait::lay();
    let siege = Siege::begin(|setup| setup).await;
    let api = siege.server.api();
    let http = bait.url("http");
    // Object models that refer to something, as XML can.
    let model = |head: &str, root: &str| {
        format!(
            "<?xml version=\"1.0\"?>{head}<LWM2M {root}><Object ObjectType=\"MODefinition\"><Name>N</Name>\
             <Description1>{http}</Description1><ObjectID>33000</ObjectID><ObjectURN>{http}</ObjectURN>\
             <MultipleInstances>Single</MultipleInstances><Mandatory>Optional</Mandatory><Resources>\
             <Item ID=\"1\"><Name>R</Name><Operations>R</Operations><MultipleInstances>Single</MultipleInstances>\
             <Mandatory>Optional</Mandatory><Type>Integer</Type></Item></Resources></Object></LWM2M>"
        )
    };
    let schema = format!(
        "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:noNamespaceSchemaLocation=\"{http}\""
    );
    let entity = format!("<!DOCTYPE x [<!ENTITY e SYSTEM \"{http}\">]>");
    let style = format!("<?xml-stylesheet href=\"{http}\"?>");
    for (xml, status) in [
        (model(&entity, ""), 422),
        (
            model(&format!("<!DOCTYPE LWM2M SYSTEM \"{http}\">"), ""),
            422,
        ),
        (model(&style, &schema), 201),
    ] {
        let upload = api.request(Method::POST, "/api/v1/models");
        let upload = upload.header("content-type", "application/xml").body(xml);
        assert_eq!(upload.send().await.expect("an answer").status(), status);
    }
    // Bodies that ask for something to be fetched or told.
    for (path, body) in [
        ("/api/v1/firmware", json!({"url": http, "version": "1.0"})),
        (
            "/api/v1/firmware-updates",
            json!({"endpoint": "nobody", "url": http}),
        ),
        ("/api/v1/rules", json!({"name": "r", "webhook": http})),
        (
            "/api/v1/bulk-operations",
            json!({"filter": {}, "kind": "read", "path": "/3/0", "callback": http}),
        ),
    ] {
        let status = api.post(path, &body).await.status();
        assert!(status.is_client_error(), "{path}: {status}");
    }
    // Names of hosts that a proxy would follow, and a way back from the login that leads away.
    let address = siege.server.url("");
    let address = address.strip_prefix("http://").expect("plain HTTP");
    for head in [
        format!("GET {http} HTTP/1.1\r\nHost: {address}\r\n"),
        format!(
            "CONNECT 127.0.0.1:{} HTTP/1.1\r\nHost: {address}\r\n",
            bait.port
        ),
        format!("GET /health HTTP/1.1\r\nHost: 127.0.0.1:{}\r\n", bait.port),
        format!(
            "GET /devices HTTP/1.1\r\nHost: {address}\r\nX-Forwarded-Host: 127.0.0.1:{}\r\n",
            bait.port
        ),
    ] {
        let mut stream = TcpStream::connect(address).expect("a connection");
        let request = format!("{head}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        // Some are cut off without a word.
        _ = stream.read_to_string(&mut answer);
        let location = answer
            .lines()
            .find(|line| line.to_lowercase().starts_with("location:"));
        assert!(!location.unwrap_or_default().contains(&http), "{answer}");
    }
    let away = format!("/login?next={http}");
    let login = siege.server.anonymous().get(&away).await;
    assert_eq!(login.headers().get(LOCATION), None);
    siege.ends_well().await;
    bait.is_untouched();
    bait.would_notice();
}
