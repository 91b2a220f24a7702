//! D. The request engine, and devices that answer badly (RFC 7252 sections 4 and 5).
//!
//! Operations of this server are tried once, so that one bad answer ends them: what is wrong is
//! told apart in their error.

use std::time::{Duration, Instant};

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{
    Asked, Live, TLV, Transport, bytes, confirmed, failed, latest, nothing_was_sent, operate,
    senml, shown, values, warnings,
};
use crate::support::device::{SENML_CBOR, SENML_JSON, ScriptedDevice, TEXT};
use crate::support::server::{Api, Setup};
use crate::support::shared::SharedServer;
use flownexus::coap::{Code, Message, MessageType, Options, number};
use flownexus::domain::Token;

static SERVER: SharedServer = SharedServer::new(impatient);

/// How long a separate response is awaited.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The largest body that these tests take.
const MAX_BODY: usize = 16_384;

/// The longest value that these tests keep.
const MAX_VALUE: usize = 4096;

fn impatient(setup: Setup) -> Setup {
    setup
        .setting("coap.ack_timeout_ms", 100)
        .setting("coap.max_retransmit", 1)
        .setting("coap.response_timeout_s", RESPONSE_TIMEOUT.as_secs())
        .setting("coap.max_body_bytes", MAX_BODY)
        .setting("endpoint.max_value_bytes", MAX_VALUE)
        .setting("operations.max_attempts", 1)
}

fn read_lifetime() -> Json {
    json!({"kind": "read", "path": "/1/0/1", "format": "text"})
}

fn expect_read(device: &mut ScriptedDevice) -> Message {
    Asked::get("/1/0/1").accept(TEXT).expect(device)
}

/// After whatever happened, the device is asked and answers as if nothing had been.
async fn still_works(api: &Api, device: &mut ScriptedDevice) {
    nothing_was_sent(device);
    let ended = operate(api, device, read_lifetime(), |device| {
        let read = expect_read(device);
        device.answer_content(&read, TEXT, b"77");
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(values(&ended), json!([["/1/0/1", "INTEGER", 77]]));
}

/// A separate confirmable response.
fn separate(device: &mut ScriptedDevice, token: Token, format: u16, payload: &[u8]) -> Message {
    let mut response = device.notification(token, 0, format, payload);
    response.options.remove(number::OBSERVE);
    response
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d01_a_request_that_is_never_acknowledged_fails_after_its_retransmissions(
    #[case] over: Transport,
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d01");
    let begun = Instant::now();
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let read = expect_read(device);
        let again = device.expect("a retransmission");
        assert_eq!(again.encode(), read.encode(), "the same bytes");
    })
    .await;
    failed(&ended, &["did not acknowledge"]);
    assert_eq!(ended["attempts"], 1);
    // ACK_TIMEOUT, and twice as long again: 300 to 450 ms.
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300), "{took:?}");
    still_works(&api, &mut device).await;
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d02_an_empty_acknowledgement_and_then_nothing_fails_after_the_response_timeout(
    #[case] over: Transport,
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d02");
    let mut acknowledged = None;
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let read = expect_read(device);
        device.acknowledge(&read);
        acknowledged = Some(Instant::now());
    })
    .await;
    failed(&ended, &["acknowledged", "did not answer"]);
    let took = acknowledged.expect("a time").elapsed();
    assert!(took >= RESPONSE_TIMEOUT, "not earlier: {took:?}");
    still_works(&api, &mut device).await;
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d03_an_operation_ends_once_and_an_answer_that_is_too_late_changes_nothing(
    #[case] over: Transport,
) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d03");
    let mut live = Live::of(&server, &device).await;
    let mut read = None;
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let request = expect_read(device);
        device.acknowledge(&request);
        read = Some(request);
    })
    .await;
    failed(&ended, &["did not answer"]);
    // To the server a response to nothing: it says so with a Reset, and stores nothing.
    let read = read.expect("a request");
    let late = separate(&mut device, read.token, TEXT, b"666");
    device.send(&late);
    let answer = device.expect("a reset");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, late.message_id)
    );
    still_works(&api, &mut device).await;
    let path = format!("/api/v1/operations/{}", ended["id"]);
    assert_eq!(api.read(&path).await, ended, "as it was");
    let mut told = Vec::new();
    loop {
        let message = live.next("operation", |_| true).await;
        let status = message["status"].clone();
        if message["id"] == ended["id"] {
            told.push(status);
        } else if status == json!("CONFIRMED") {
            break;
        }
    }
    assert_eq!(told, ["QUEUED", "SENDING", "FAILED"], "each once");
}

/// Times of a device are kept, whatever brings them.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d04_timestamped_answers_keep_their_time(#[case] over: Transport) {
    const SAID: &str = "2023-11-14T22:13:20.000Z";
    const LATER: &str = "2023-11-14T22:14:20.000Z";
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d04");
    let one: &[u8] = br#"[{"bn":"/3442/0/130","bt":1700000000,"v":21.5}]"#;
    let timed = json!([{"path": "/3442/0/130", "type": "FLOAT", "value": 21.5, "time": SAID}]);

    let body = json!({"kind": "read", "path": "/3442/0/130", "format": "senml_json"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/3442/0/130").accept(SENML_JSON).expect(device);
        device.answer_content(&read, SENML_JSON, one);
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(ended["result"]["nodes"], timed);

    let paths = ["/3442/0/130", "/3442/0/120"];
    let body = json!({"kind": "read_composite", "paths": paths, "format": "senml_cbor"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::fetch()
            .accept(SENML_CBOR)
            .body(SENML_CBOR, "")
            .expect_but_for_the_payload(device);
        let named: Vec<String> = senml(SENML_CBOR, &read.payload)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(named, ["/3442/0/120", "/3442/0/130"]);
        // [{-2: "/3442/0/", -3: 1700000000, 0: "130", 2: 21.5}, {0: "120", 6: 60, 2: 7}]
        let answer = bytes(
            "82 A4 21 68 2F333434322F302F 22 1A 6553F100 00 63 313330 02 F9 4D60 \
                A3 00 63 313230 06 18 3C 02 07",
        );
        device.answer_content(&read, SENML_CBOR, &answer);
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(
        ended["result"]["nodes"],
        json!([
            {"path": "/3442/0/120", "type": "INTEGER", "value": 7, "time": LATER},
            {"path": "/3442/0/130", "type": "FLOAT", "value": 21.5, "time": SAID},
        ])
    );

    let body = json!({"kind": "observe", "path": "/3442/0/130", "format": "senml_json"});
    let mut token = None;
    let ended = operate(&api, &mut device, body, |device| {
        let observe = Asked::get("/3442/0/130")
            .observe(0)
            .accept(SENML_JSON)
            .expect(device);
        device.answer_observe(&observe, 1, SENML_JSON, one);
        token = Some(observe.token);
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(ended["result"]["nodes"], timed);

    let body = json!({"kind": "cancel_observe", "path": "/3442/0/130", "format": "senml_json"});
    let ended = operate(&api, &mut device, body, |device| {
        let cancel = Asked::get("/3442/0/130")
            .observe(1)
            .accept(SENML_JSON)
            .expect(device);
        assert_eq!(Some(cancel.token), token);
        device.answer_content(&cancel, SENML_JSON, one);
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(ended["result"]["nodes"], timed);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d05_a_device_that_answers_twice_is_heard_once(#[case] over: Transport) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d05");
    // Two piggybacked answers; the second contradicts the first.
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let read = expect_read(device);
        device.answer_content(&read, TEXT, b"60");
        device.answer_content(&read, TEXT, b"61");
    })
    .await;
    assert_eq!(values(&ended), json!([["/1/0/1", "INTEGER", 60]]));
    still_works(&api, &mut device).await;
    // A piggybacked one, and another in a message of its own.
    let mut token = None;
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let read = expect_read(device);
        device.answer_content(&read, TEXT, b"62");
        token = Some(read.token);
    })
    .await;
    assert_eq!(values(&ended), json!([["/1/0/1", "INTEGER", 62]]));
    let second = separate(&mut device, token.expect("a token"), TEXT, b"63");
    device.send(&second);
    assert_eq!(device.expect("a reset").kind, MessageType::Reset);
    still_works(&api, &mut device).await;
    // The same separate response again, as after a lost acknowledgement: acknowledged again.
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let read = expect_read(device);
        device.acknowledge(&read);
        let answer = separate(device, read.token, TEXT, b"64");
        for _ in 0..2 {
            device.send(&answer);
            device.expect_acknowledgement(&answer);
        }
    })
    .await;
    assert_eq!(values(&ended), json!([["/1/0/1", "INTEGER", 64]]));
    still_works(&api, &mut device).await;
    let shown = latest(&api, &device, "/1/0/1").await;
    assert_eq!(shown[0][2], 77, "{shown:?}");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d06_an_answer_with_the_wrong_token_is_named(#[case] over: Transport) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d06");
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let mut read = expect_read(device);
        read.token = Token::new(&[1, 2, 3, 4]).expect("four bytes");
        device.answer_content(&read, TEXT, b"666");
        // A server that takes this for no answer sends its request again: still wrong.
        if let Some(mut again) = device.receive(Duration::from_millis(400)) {
            again.token = read.token;
            device.answer_content(&again, TEXT, b"666");
        }
    })
    .await;
    failed(&ended, &["token"]);
    assert_eq!(latest(&api, &device, "/1/0/1").await, [json!(null); 0]);
    still_works(&api, &mut device).await;
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d07_an_answer_about_another_path_is_named_and_not_stored(#[case] over: Transport) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d07");
    let body = json!({"kind": "read", "path": "/3442/0/120", "format": "senml_json"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/3442/0/120").accept(SENML_JSON).expect(device);
        let answer = br#"[{"n":"/3442/0/120","v":1},{"n":"/3442/0/125","v":2}]"#;
        device.answer_content(&read, SENML_JSON, answer);
    })
    .await;
    failed(&ended, &["/3442/0/125", "/3442/0/120"]);
    let body = json!({"kind": "read", "path": "/3442/0/120", "format": "tlv"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/3442/0/120").accept(TLV).expect(device);
        // Resource 125 in the place of 120.
        device.answer_content(&read, TLV, &[0xC1, 125, 2]);
    })
    .await;
    failed(&ended, &["/3442/0/125", "/3442/0/120"]);
    assert_eq!(latest(&api, &device, "/3442").await, [json!(null); 0]);
    still_works(&api, &mut device).await;
}

/// 200 kB where two bytes were expected: at once in one datagram as large as they get, or promised
/// by its first block. Over UDP only: a record of DTLS holds 16 KB.
#[rstest]
#[case::udp(Transport::Udp)]
#[tokio::test]
async fn d08_an_answer_far_over_the_limit_is_named_and_costs_little(#[case] over: Transport) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d08");
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let read = expect_read(device);
        device.answer_content(&read, TEXT, &vec![b'9'; 60_000]);
    })
    .await;
    failed(&ended, &["larger than the configured limit"]);
    still_works(&api, &mut device).await;
    // Told by Size2: given up at the first block.
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let read = expect_read(device);
        let mut options = Options::new();
        options.add_uint(number::CONTENT_FORMAT, u32::from(TEXT));
        options.add_uint(number::SIZE2, 200_000);
        options.add_uint(number::BLOCK2, 0b1110);
        device.answer(&read, Code::CONTENT, options, &[b'9'; 1024]);
    })
    .await;
    failed(&ended, &["larger than the configured limit"]);
    still_works(&api, &mut device).await;
    // Not told: block after block until the limit, and not one more.
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let mut asked = expect_read(device);
        for block in 0..200_u32 {
            let mut options = Options::new();
            options.add_uint(number::CONTENT_FORMAT, u32::from(TEXT));
            options.add_uint(number::BLOCK2, (block << 4) | 0b1110);
            device.answer(&asked, Code::CONTENT, options, &[b'9'; 1024]);
            if usize::try_from(block).expect("few") * 1024 >= MAX_BODY {
                break;
            }
            asked = device.expect("the next block");
            assert_eq!(
                asked.options.uint(number::BLOCK2).map(|v| v >> 4),
                Some(block + 1)
            );
        }
    })
    .await;
    failed(&ended, &["larger than the configured limit"]);
    still_works(&api, &mut device).await;
    assert_eq!(shown(&api, &device).await["registered"], true);
}

/// Below the limit of a body, and still more than anybody wants of one value.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d08_a_value_over_the_limit_is_named_and_not_kept(#[case] over: Transport) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d08-value");
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let read = expect_read(device);
        device.answer_content(&read, TEXT, &[b'9'; MAX_VALUE + 1]);
    })
    .await;
    failed(&ended, &["/1/0/1", &MAX_VALUE.to_string()]);
    let long = "x".repeat(MAX_VALUE + 1);
    let pack = format!(r#"[{{"n":"/3442/0/110","vs":"{long}"}},{{"n":"/3442/0/120","v":7}}]"#);
    let send = device.data_push(SENML_JSON, pack.as_bytes());
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    assert_eq!(warnings(&api, &device).await, ["value_too_large"]);
    let kept = latest(&api, &device, "/3442").await;
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(kept[0][2], 7, "the rest is kept");
    still_works(&api, &mut device).await;
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d09_a_reset_in_the_place_of_an_answer_is_named(#[case] over: Transport) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d09");
    let ended = operate(&api, &mut device, read_lifetime(), |device| {
        let read = expect_read(device);
        device.reset(&read);
    })
    .await;
    failed(&ended, &["Reset"]);
    still_works(&api, &mut device).await;
}

/// Answers that are no answers to a Read.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn d10_an_answer_that_does_not_fit_the_request_is_named(#[case] over: Transport) {
    let server = SERVER.hold().await;
    let api = server.api();
    let mut device = over.registered(&server, "d10");
    for (code, format, payload, words) in [
        (Code::CREATED, None, &b""[..], &["2.01", "read"][..]),
        (Code::CONTENT, Some(65_000), b"x", &["65000"]),
        (Code::CONTENT, Some(SENML_CBOR), b"\xff", &["SenML"]),
        (Code::CONTENT, Some(TLV), b"\xc8\x01\x64", &["TLV"]),
    ] {
        let ended = operate(&api, &mut device, read_lifetime(), |device| {
            let read = expect_read(device);
            let mut options = Options::new();
            if let Some(format) = format {
                options.add_uint(number::CONTENT_FORMAT, u32::from(format));
            }
            device.answer(&read, code, options, payload);
        })
        .await;
        failed(&ended, words);
        still_works(&api, &mut device).await;
    }
}
