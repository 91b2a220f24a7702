//! The registration interface (OMA-TS-LightweightM2M Core 6.2).

use serde_json::json;

use crate::support::device::ScriptedDevice;
use crate::support::server::{SOON, Server, eventually};
use flownexus::coap::{Code, MessageType, number};

#[tokio::test]
async fn a1_a2_a_device_registers_updates_leaves_and_comes_back() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("urn:imei:490154203237518", server.coap());
    for _ in 0..2 {
        device.register_now(300, "</>;ct=110,</1/0>,</9/0>;ver=2.0");
        let shown = server.api().endpoint(device.name()).await.expect("known");
        assert_eq!(shown["registered"], true);
        assert_eq!(shown["lwm2m_version"], "1.1");
        assert_eq!(shown["lifetime_s"], 300);
        assert_eq!(shown["secure"], false);
        assert_eq!(shown["address"], device.address().to_string());
        assert_eq!(shown["objects"], json!(["/1/0", "/9/0"]));
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
        let deregister = device.deregister();
        assert_eq!(device.ask(&deregister).code, Code::DELETED);
        let shown = server.api().endpoint(device.name()).await.expect("known");
        assert_eq!(shown["registered"], false);
    }
}

#[tokio::test]
async fn a3_registering_again_replaces_the_registration() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("again", server.coap());
    device.register_now(300, "</1/0>");
    let old = device.update();
    device.register_now(600, "</1/0>,</4/0>");
    assert_eq!(device.ask(&old).code, Code::NOT_FOUND);
    let shown = server.api().endpoint("again").await.expect("known");
    assert_eq!(shown["lifetime_s"], 600);
    assert_eq!(shown["objects"], json!(["/1/0", "/4/0"]));
}

#[tokio::test]
async fn what_is_wrong_with_a_register_decides_its_code() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("wrong", server.coap());
    let cases: [(&str, &[&str], &str, Code); 5] = [
        (
            "a7 without object list",
            &["lt=300", "lwm2m=1.1"],
            "",
            Code::BAD_REQUEST,
        ),
        (
            "a13 unknown version",
            &["lt=300", "lwm2m=9.9"],
            "</1/0>",
            Code::PRECONDITION_FAILED,
        ),
        (
            "lifetime that is no number",
            &["lt=soon", "lwm2m=1.1"],
            "</1/0>",
            Code::BAD_REQUEST,
        ),
        (
            "negative lifetime",
            &["lt=-1", "lwm2m=1.1"],
            "</1/0>",
            Code::BAD_REQUEST,
        ),
        (
            "a9 tolerated binding",
            &["lt=300", "lwm2m=1.1", "b=UQ"],
            "</1/0>",
            Code::CREATED,
        ),
    ];
    for (what, query, links, code) in cases {
        let query: Vec<String> = query.iter().map(|part| (*part).to_owned()).collect();
        let register = device.register_with(&query, links);
        assert_eq!(device.ask(&register).code, code, "{what}");
    }
    let mut nameless = device.register(300, "</1/0>");
    nameless.options.remove(number::URI_QUERY);
    nameless.options.add(number::URI_QUERY, b"lwm2m=1.1");
    assert_eq!(
        device.ask(&nameless).code,
        Code::FORBIDDEN,
        "a6 without a name"
    );
}

#[tokio::test]
async fn a14_a_register_that_is_not_confirmable_is_refused() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("careless", server.coap());
    let mut register = device.register(300, "</1/0>");
    register.kind = MessageType::NonConfirmable;
    device.send(&register);
    let answer = device.expect("a refusal");
    assert_eq!(
        (answer.code, answer.token),
        (Code::BAD_REQUEST, register.token)
    );
    assert_eq!(answer.kind, MessageType::NonConfirmable);
    assert!(server.api().endpoint("careless").await.is_none());
}

#[tokio::test]
async fn b3_a_device_that_stays_silent_is_taken_as_gone_after_its_lifetime() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("brief", server.coap());
    device.register_now(1, "</1/0>");
    assert_eq!(
        server.api().endpoint("brief").await.expect("known")["registered"],
        true
    );
    eventually("the registration expires", SOON, || async {
        let shown = server.api().endpoint("brief").await.expect("known");
        (shown["registered"] == json!(false)).then_some(())
    })
    .await;
    let update = device.update();
    assert_eq!(device.ask(&update).code, Code::NOT_FOUND);
}

#[tokio::test]
async fn a5_b5_links_and_parameters_are_read_tolerantly_with_a_warning() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("odd", server.coap());
    let query = ["lt=300", "lwm2m=1.1", "b=U", "key1=value1", "imei=42"].map(str::to_owned);
    let register = device.register_with(
        &query,
        "</lwm2m>;rt=\"oma.lwm2m\";ct=\"110 112\", </lwm2m/1/0>,</foo>,<broken,",
    );
    let answer = device.ask(&register);
    device.take_location(&answer);
    let shown = server.api().endpoint("odd").await.expect("known");
    assert_eq!(shown["objects"], json!(["/1/0"]));
    assert!(
        !shown["warnings"].as_array().expect("warnings").is_empty(),
        "{shown}"
    );
    let operation = server
        .api()
        .operate("odd", &json!({"kind": "read", "path": "/1/0/1"}))
        .await;
    let read = device.expect_request(Code::GET, "/lwm2m/1/0/1");
    device.answer_content(&read, 0, b"300");
    assert_eq!(server.api().ended(&operation).await["status"], "CONFIRMED");
}

#[tokio::test]
async fn a_copy_of_a_register_gets_the_same_answer() {
    let server = Server::start().await;
    let mut device = ScriptedDevice::new("twice", server.coap());
    let register = device.register(300, "</1/0>");
    device.ask(&register);
    let first = device.received_bytes().to_vec();
    device.ask(&register);
    assert_eq!(device.received_bytes(), first);
    let registered = server.api().read("/api/v1/data/ep_registered").await;
    assert_eq!(
        registered["items"].as_array().expect("items").len(),
        1,
        "{registered}"
    );
}

#[tokio::test]
async fn ipv6_and_ipv4_devices_share_one_port() {
    let server = Server::setup()
        .setting("coap.listen", "[::]:0")
        .start()
        .await;
    let port = server.coap().port();
    for (name, address) in [
        ("six", format!("[::1]:{port}")),
        ("four", format!("127.0.0.1:{port}")),
    ] {
        let mut device = ScriptedDevice::new(name, address.parse().expect("an address"));
        device.register_now(300, "</1/0>");
        let shown = server.api().endpoint(name).await.expect("known");
        assert_eq!(shown["address"], device.address().to_string());
    }
}
