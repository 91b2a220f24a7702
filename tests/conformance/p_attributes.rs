//! P. Notification attributes (OMA-TS-LightweightM2M Core 5.1.2, 6.3.4). P3 and P4 are the
//! simulator's.

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{Asked, Transport, confirmed, nothing_was_sent, operate, refused, server};
use crate::support::device::LINK_FORMAT;
use flownexus::coap::{Code, Options};

fn write_attributes(path: &str, attributes: &Json) -> Json {
    json!({"kind": "write_attributes", "path": path, "attributes": attributes})
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn p01_attributes_are_written_on_every_level_removed_and_shown_by_discover(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "p01");
    for (path, attributes, query) in [
        ("/3442", json!({"pmin": 10}), &["pmin=10"][..]),
        (
            "/3442/0",
            json!({"pmin": 5, "pmax": 60}),
            &["pmax=60", "pmin=5"],
        ),
        (
            "/3442/0/130",
            json!({"gt": 30.5, "lt": -5, "st": 0.5, "epmin": 1, "epmax": 30}),
            &["epmax=30", "epmin=1", "gt=30.5", "lt=-5", "st=0.5"],
        ),
        ("/3442/0/1130/2", json!({"pmin": 1}), &["pmin=1"]),
        // Without a value: removed.
        (
            "/3442/0",
            json!({"pmin": null, "pmax": null}),
            &["pmax", "pmin"],
        ),
    ] {
        let body = write_attributes(path, &attributes);
        let ended = operate(&api, &mut device, body, |device| {
            let request = device.expect_request(Code::PUT, path);
            let mut parameters = request.options.uri_query().expect("text");
            parameters.sort_unstable();
            assert_eq!(parameters, query, "{path}");
            assert!(request.payload.is_empty());
            assert_eq!(request.options.content_format(), None, "no body");
            device.answer(&request, Code::CHANGED, Options::new(), b"");
        })
        .await;
        confirmed(&ended, "2.04");
    }
    // Discover shows what is set where; what is inherited is the reader's business (Core 5.1.2).
    let links = "</3442>;pmin=10,</3442/0>;pmin=5;pmax=60,</3442/0/130>;gt=30.5;lt=-5;st=0.5";
    let body = json!({"kind": "discover", "path": "/3442"});
    let ended = operate(&api, &mut device, body, |device| {
        let discover = Asked::get("/3442").accept(LINK_FORMAT).expect(device);
        device.answer_content(&discover, LINK_FORMAT, links.as_bytes());
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(ended["result"]["links"], links);
}

/// What contradicts itself is refused before anything is sent, in the API with 422 or as a FAILED
/// operation; a contradiction that only the device sees is its 4.00.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn p02_attributes_that_contradict_each_other_are_refused(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "p02");
    let url = format!("/api/v1/endpoints/{}/operations", device.name());
    for (attributes, word) in [
        (json!({"pmin": 10, "pmax": 5}), "pmax"),
        (json!({"epmin": 10, "epmax": 5}), "epmax"),
        (json!({"gt": 5, "lt": 10}), "lt"),
        (json!({"gt": 5, "lt": 5}), "lt"),
        (json!({"gt": 10, "lt": 5, "st": 3}), "st"),
        (json!({"gt": 10, "lt": 5, "st": 2.5}), "st"),
    ] {
        let answer = api
            .post(&url, &write_attributes("/3442/0/130", &attributes))
            .await;
        let status = answer.status().as_u16();
        let told: Json = answer.json().await.expect("JSON");
        if status == 422 {
            assert!(told["detail"].to_string().contains(word), "{told}");
            continue;
        }
        assert_eq!(status, 201, "{told}");
        let ended = api.ended(&told).await;
        super::bench::failed(&ended, &[word]);
        assert_eq!(ended["result"], json!(null), "{ended}");
    }
    nothing_was_sent(&mut device);
    // Set one after the other, they contradict each other on the device.
    let body = write_attributes("/3442/0/130", &json!({"pmax": 5}));
    let ended = operate(&api, &mut device, body, |device| {
        let request = Asked::put("/3442/0/130").query("pmax=5").expect(device);
        let reason = b"pmin is greater than pmax";
        device.answer(&request, Code::BAD_REQUEST, Options::new(), reason);
    })
    .await;
    refused(&ended, "4.00");
}
