//! G. Create, Delete, Execute and Discover (OMA-TS-LightweightM2M Core 6.3.2, 6.3.5, 6.3.6, 6.3.7).

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{
    Asked, TLV, Transport, bytes, confirmed, nothing_was_sent, operate, refused, senml, server,
};
use crate::support::device::{LINK_FORMAT, SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::Api;
use flownexus::coap::{Code, Options, number};

/// 2.01 with the location of the new instance.
fn created(device: &mut ScriptedDevice, create: &flownexus::coap::Message, location: &[&str]) {
    let mut options = Options::new();
    for segment in location {
        options.add(number::LOCATION_PATH, segment.as_bytes());
    }
    device.answer(create, Code::CREATED, options, b"");
}

/// Sends an operation whose request is expected as it must be; the device refuses with this code.
async fn refuses(api: &Api, device: &mut ScriptedDevice, body: Json, asked: Asked, code: Code) {
    let ended = operate(api, device, body, |device| {
        let request = asked.expect_but_for_the_payload(device);
        device.answer(&request, code, Options::new(), b"");
    })
    .await;
    refused(&ended, &code.to_string());
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn g01_an_instance_is_created_with_or_without_an_id(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "g01");
    // The device chooses the id: the resources alone, in TLV.
    let value = json!({"1110": {"0": "a"}, "120": 7});
    let body = json!({"kind": "create", "path": "/3442", "value": value});
    let ended = operate(&api, &mut device, body, |device| {
        let create = Asked::post("/3442")
            .body(TLV, bytes("C1 78 07 A3 0456 41 00 61"))
            .expect(device);
        created(device, &create, &["3442", "9"]);
    })
    .await;
    confirmed(&ended, "2.01");
    assert_eq!(ended["result"]["location"], "/3442/9");
    // The server chooses: the instance around them.
    let body = json!({"kind": "create", "path": "/3442/5", "value": value, "format": "tlv"});
    let ended = operate(&api, &mut device, body, |device| {
        let create = Asked::post("/3442")
            .body(TLV, bytes("08 05 09 C1 78 07 A3 0456 41 00 61"))
            .expect(device);
        device.answer(&create, Code::CREATED, Options::new(), b"");
    })
    .await;
    confirmed(&ended, "2.01");
    // SenML names the instance in each path.
    let body = json!({"kind": "create", "path": "/3442/5", "value": value, "format": "senml_json"});
    let ended = operate(&api, &mut device, body, |device| {
        let create = Asked::post("/3442")
            .body(SENML_JSON, "")
            .expect_but_for_the_payload(device);
        assert_eq!(
            senml(110, &create.payload),
            [
                ("/3442/5/1110/0".to_owned(), json!({"vs": "a"})),
                ("/3442/5/120".to_owned(), json!({"v": 7})),
            ]
        );
        created(device, &create, &["3442", "5"]);
    })
    .await;
    confirmed(&ended, "2.01");
    assert_eq!(ended["result"]["location"], "/3442/5");
    // An instance that only has an id, and one that has nothing.
    for (path, payload) in [("/3442/5", "00 05"), ("/3442", "")] {
        let body = json!({"kind": "create", "path": path});
        let ended = operate(&api, &mut device, body, |device| {
            let create = Asked::post("/3442")
                .body(TLV, bytes(payload))
                .expect(device);
            created(device, &create, &["3442", "5"]);
        })
        .await;
        confirmed(&ended, "2.01");
    }
    // Mandatory resources are missing: the device says so.
    let body = json!({"kind": "create", "path": "/16/3", "format": "tlv"});
    let asked = Asked::post("/16").body(TLV, "");
    refuses(&api, &mut device, body, asked, Code::BAD_REQUEST).await;
}

/// Two instances in one request: their ids are those of `value`.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn g01_two_instances_are_created_by_one_request(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "g01-two");
    let values = json!({"/3442/5": {"120": 7}, "/3442/6": {"120": 8}});
    let body = json!({"kind": "create", "path": "/3442", "values": values, "format": "tlv"});
    let ended = operate(&api, &mut device, body, |device| {
        let create = Asked::post("/3442")
            .body(TLV, bytes("03 05 C1 78 07 03 06 C1 78 08"))
            .expect(device);
        device.answer(&create, Code::CREATED, Options::new(), b"");
    })
    .await;
    confirmed(&ended, "2.01");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn g02_a_create_that_the_device_refuses_fails_with_its_code(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "g02");
    for (path, object, code) in [
        ("/3/0", "/3", Code::BAD_REQUEST),
        ("/3/1", "/3", Code::BAD_REQUEST),
        ("/0/1", "/0", Code::NOT_FOUND),
        ("/4000/0", "/4000", Code::NOT_FOUND),
        ("/16/0", "/16", Code::METHOD_NOT_ALLOWED),
    ] {
        let body = json!({"kind": "create", "path": path});
        let asked = Asked::post(object).body(TLV, "");
        refuses(&api, &mut device, body, asked, code).await;
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn g03_an_instance_is_deleted_or_the_device_refuses(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "g03");
    let body = json!({"kind": "delete", "path": "/3442/5"});
    let ended = operate(&api, &mut device, body, |device| {
        let delete = Asked::delete("/3442/5").expect(device);
        device.answer(&delete, Code::DELETED, Options::new(), b"");
    })
    .await;
    confirmed(&ended, "2.02");
    for (path, code) in [
        ("/3442/5", Code::NOT_FOUND),
        ("/3/0", Code::METHOD_NOT_ALLOWED),
        ("/0/0", Code::NOT_FOUND),
    ] {
        let body = json!({"kind": "delete", "path": path});
        refuses(&api, &mut device, body, Asked::delete(path), code).await;
    }
    // What is no instance cannot be deleted: nothing is sent.
    for path in ["/3442", "/3442/0/120"] {
        let url = format!("/api/v1/endpoints/{}/operations", device.name());
        let body = json!({"kind": "delete", "path": path});
        assert_eq!(api.post(&url, &body).await.status().as_u16(), 422, "{path}");
    }
    nothing_was_sent(&mut device);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn g04_a_resource_is_executed_with_and_without_arguments(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "g04");
    let execute = |arguments: Option<&str>| {
        let mut body = json!({"kind": "execute", "path": "/3442/0/3"});
        if let Some(arguments) = arguments {
            body["arguments"] = json!(arguments);
        }
        body
    };
    let done = |device: &mut ScriptedDevice, asked: Asked| {
        let execute = asked.expect(device);
        device.answer(&execute, Code::CHANGED, Options::new(), b"");
    };
    let ended = operate(&api, &mut device, execute(None), |device| {
        done(device, Asked::post("/3442/0/3"));
    })
    .await;
    confirmed(&ended, "2.04");
    for arguments in ["5", "0='http://a/b?c=1&d'", "0,1='x',2=''"] {
        let ended = operate(&api, &mut device, execute(Some(arguments)), |device| {
            done(device, Asked::post("/3442/0/3").body(TEXT, arguments));
        })
        .await;
        confirmed(&ended, "2.04");
    }
    for (path, code) in [
        ("/3/0/0", Code::METHOD_NOT_ALLOWED),
        ("/1/0/1", Code::METHOD_NOT_ALLOWED),
        ("/3/0/9999", Code::NOT_FOUND),
        ("/4000/0/0", Code::NOT_FOUND),
        ("/0/0/0", Code::NOT_FOUND),
    ] {
        let body = json!({"kind": "execute", "path": path});
        refuses(&api, &mut device, body, Asked::post(path), code).await;
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn g05_a_discover_lists_what_is_there_on_each_level(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "g05");
    for (path, links) in [
        ("/3442", "</3442>;ver=1.0;pmin=10,</3442/0>,</3442/5>"),
        (
            "/3442/0",
            "</3442/0>;pmin=10,</3442/0/120>,</3442/0/130>;gt=20;lt=10",
        ),
        ("/3442/0/120", "</3442/0/120>;pmin=10;pmax=60"),
        // A resource with instances: how many, and which.
        (
            "/3442/0/1120",
            "</3442/0/1120>;dim=2;pmin=10,</3442/0/1120/0>,</3442/0/1120/300>",
        ),
    ] {
        let body = json!({"kind": "discover", "path": path});
        let ended = operate(&api, &mut device, body, |device| {
            let discover = Asked::get(path).accept(LINK_FORMAT).expect(device);
            device.answer_content(&discover, LINK_FORMAT, links.as_bytes());
        })
        .await;
        confirmed(&ended, "2.05");
        assert_eq!(ended["result"]["links"], links);
    }
    for path in ["/4000", "/3442/9", "/3442/0/9999", "/0"] {
        let body = json!({"kind": "discover", "path": path});
        let asked = Asked::get(path).accept(LINK_FORMAT);
        refuses(&api, &mut device, body, asked, Code::NOT_FOUND).await;
    }
}
