//! Attacks 7 to 9 and 15: strangers, copies, other people's answers, storms.

use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::{Siege, expect_nothing, quickly, request};
use crate::support::device::{ScriptedDevice, TEXT};
use crate::support::server::{SOON, eventually};
use flownexus::coap::{Code, MessageType, number};

#[tokio::test]
async fn attack_07_strangers_who_look_around_get_one_small_answer_each_and_no_log_line() {
    let siege = Siege::begin(|setup| setup.setting("log.level", "info")).await;
    let before = siege.server.output();
    let began = Instant::now();
    let (mut sent, mut received) = (0, 0);
    for stranger in 0..20 {
        let mut device = siege.device(&format!("stranger-{stranger}"));
        for _ in 0..25 {
            for (path, code) in [("/", Code::NOT_FOUND), ("/.well-known/core", Code::CONTENT)] {
                let get = request(&mut device, Code::GET, path, &[], b"");
                assert_eq!(device.ask(&get).code, code);
                sent += get.encode().len();
                received += device.received_bytes().len();
                expect_nothing(&mut device, path);
            }
        }
    }
    quickly(began, "1,000 questions");
    // RFC 9175 section 2.4: at most three times what an address sends until it is proven.
    assert!(received <= 3 * sent, "{received} bytes for {sent}");
    let log = siege.server.output();
    let lines = log.lines().count().saturating_sub(before.lines().count());
    assert!(lines < 10, "{lines} lines:\n{log}");
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_08_copies_have_one_effect_and_a_message_id_may_come_back_with_other_bytes() {
    let siege = Siege::begin(|setup| setup).await;
    let api = siege.server.api();
    let mut device = siege.device("copies");
    let register = device.register(300, "</1/0>");
    // Three copies before the first answer, and one after it.
    for _ in 0..3 {
        device.send(&register);
    }
    let answer = device.expect("an answer");
    device.take_location(&answer);
    let first = device.received_bytes().to_vec();
    device.ask(&register);
    assert_eq!(device.received_bytes(), first, "the same answer");
    let mut more = request(&mut device, Code::GET, "/.well-known/core", &[], b"");
    // A copy may have been answered before it was swallowed; what counts is the effect.
    device.send(&more);
    while device.expect("the answer").message_id != more.message_id {}
    let registered = api.read("/api/v1/data/ep_registered").await;
    assert_eq!(registered["items"].as_array().map(Vec::len), Some(1));
    // The same message id, token and path with another body is another message.
    let mut changed = device.register(600, "</1/0>,</4/0>");
    changed.message_id = register.message_id;
    let answer = device.ask(&changed);
    assert_ne!(device.received_bytes(), first);
    device.take_location(&answer);
    let endpoint = api.endpoint("copies").await.expect("known");
    assert_eq!(endpoint["lifetime_s"], 600);
    // Another device with the same message id and token is another message too.
    let mut other = siege.device("other");
    more.message_id = register.message_id;
    more.token = register.token;
    assert_eq!(other.ask(&more).code, Code::CONTENT);
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_08_nobody_answers_for_another_device() {
    let siege = Siege::begin(|setup| setup).await;
    let api = siege.server.api();
    let mut device = siege.device("asked");
    device.register_now(300, "</1/0>");
    let mut liar = siege.device("liar");
    liar.register_now(300, "</1/0>");
    let body = json!({"kind": "read", "path": "/1/0/1"});
    let operation = api.operate("asked", &body).await;
    let read = device.expect_request(Code::GET, "/1/0/1");
    // Message id and token are right, the sender is not.
    liar.answer_content(&read, TEXT, b"666");
    liar.acknowledge(&read);
    liar.reset(&read);
    expect_nothing(&mut liar, "answers to somebody else's request");
    let mut separate = liar.notification(read.token, 0, TEXT, b"666");
    separate.options.remove(number::OBSERVE);
    liar.send(&separate);
    let answer = liar.expect("a reset");
    assert_eq!(
        (answer.kind, answer.message_id),
        (MessageType::Reset, separate.message_id)
    );
    device.answer_content(&read, TEXT, b"300");
    let ended = api.ended(&operation).await;
    assert_eq!(ended["result"]["nodes"][0]["value"], 300, "{ended}");
    siege.ends_well().await;
}

/// Devices that never acknowledge anything: what is under way is bounded, the rest waits.
#[tokio::test]
async fn attack_09_requests_that_nobody_acknowledges_are_bounded_and_end() {
    const DEVICES: usize = 8;
    let siege = Siege::begin(|setup| {
        setup
            .setting("coap.max_exchanges", 3)
            .setting("coap.ack_timeout_ms", 300)
            .setting("coap.max_retransmit", 2)
            .setting("operations.max_attempts", 1)
    })
    .await;
    let api = siege.server.api();
    let mut devices = Vec::new();
    for at in 0..DEVICES {
        let mut device = siege.device(&format!("mute-{at}"));
        device.register_now(300, "</1/0>");
        devices.push(device);
    }
    let body = json!({"kind": "read", "path": "/1/0/1"});
    let mut operations = Vec::new();
    for device in &devices {
        operations.push(api.operate(device.name(), &body).await);
    }
    let dropped = "flownexus_coap_dropped_by_limit_total";
    eventually("the limit bites", SOON, || async {
        (siege.server.metric(dropped).await > 0.0).then_some(())
    })
    .await;
    assert!(siege.server.metric("flownexus_coap_exchanges").await <= 3.0);
    eventually("all are given up", SOON, || async {
        (siege.server.metric("flownexus_coap_exchanges").await < 1.0).then_some(())
    })
    .await;
    // Three were sent and are FAILED; what could not be sent was not tried, and waits.
    let mut waiting = Vec::new();
    for (device, operation) in devices.into_iter().zip(operations) {
        let path = format!("/api/v1/operations/{}", operation["id"]);
        let now = eventually("it is given up", SOON, || async {
            let now = api.read(&path).await;
            (now["status"] != "SENDING").then_some(now)
        })
        .await;
        match now["status"].as_str() {
            Some("FAILED") => {}
            Some("QUEUED") if now["attempts"] == 0 => waiting.push((device, operation)),
            _ => panic!("{now}"),
        }
    }
    assert_eq!(waiting.len(), DEVICES - 3);
    for (mut device, operation) in waiting {
        let update = device.update();
        assert_eq!(device.ask(&update).code, Code::CHANGED);
        let read = device.expect_request(Code::GET, "/1/0/1");
        device.answer_content(&read, TEXT, b"300");
        assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    }
    siege.ends_well().await;
}

/// Registers and has a resource observed; the token.
async fn observed(siege: &Siege, device: &mut ScriptedDevice) -> flownexus::domain::Token {
    let api = siege.server.api();
    device.register_now(300, "</1/0>");
    let body = json!({"kind": "observe", "path": "/1/0/1"});
    let operation = api.operate(device.name(), &body).await;
    let observe = device.expect_request(Code::GET, "/1/0/1");
    device.answer_observe(&observe, 10, TEXT, b"10");
    assert_eq!(api.ended(&operation).await["status"], "CONFIRMED");
    observe.token
}

async fn latest(siege: &Siege, device: &ScriptedDevice) -> Json {
    let path = format!("/api/v1/endpoints/{}/resources", device.name());
    let shown = siege.server.api().read(&path).await;
    let items = shown["items"].as_array().expect("items");
    let found = items.iter().find(|item| item["path"] == "/1/0/1");
    found.expect("a value")["value"].clone()
}

#[tokio::test]
async fn attack_15_notifications_out_of_order_never_overtake_and_their_numbers_may_wrap() {
    let siege = Siege::begin(|setup| setup).await;
    let mut device = siege.device("order");
    let token = observed(&siege, &mut device).await;
    device.notify(token, 12, TEXT, b"12");
    device.notify(token, 11, TEXT, b"11");
    assert_eq!(latest(&siege, &device).await, 12, "older, so history only");
    // 24 bits; half of them ahead is newer, across the wrap too (RFC 7641 section 3.4).
    for sequence in [8_000_000, 16_000_000, 16_777_215, 0, 5] {
        device.notify(token, sequence, TEXT, sequence.to_string().as_bytes());
        assert_eq!(latest(&siege, &device).await, sequence, "newer");
    }
    device.notify(token, 16_777_215, TEXT, b"99");
    assert_eq!(latest(&siege, &device).await, 5, "before the wrap");
    // A number of more than 24 bits is no number: the option is elective and left out.
    let mut long = device.notification(token, 0, TEXT, b"77");
    long.options.set(number::OBSERVE, &[1, 0, 0, 0]);
    device.send(&long);
    let answer = device.expect("an answer");
    assert_eq!(answer.message_id, long.message_id);
    // An unknown token ends there.
    let stranger = device.next_token();
    let unknown = device.notification(stranger, 1, TEXT, b"1");
    device.send(&unknown);
    assert_eq!(device.expect("a reset").kind, MessageType::Reset);
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_15_a_flood_of_notifications_neither_blocks_others_nor_loses_the_last() {
    let siege = Siege::begin(|setup| setup).await;
    let mut device = siege.device("flood");
    let token = observed(&siege, &mut device).await;
    let began = Instant::now();
    let mut sequence = 10;
    for round in 0..20 {
        for _ in 0..100 {
            sequence += 1;
            let mut notification =
                device.notification(token, sequence, TEXT, sequence.to_string().as_bytes());
            notification.kind = MessageType::NonConfirmable;
            device.send(&notification);
        }
        // Somebody else is served in between.
        let mut other = siege.device(&format!("other-{round}"));
        other.register_now(300, "</1/0>");
    }
    sequence += 1;
    // Confirmable, so the device sends it until it is acknowledged.
    let last = device.notification(token, sequence, TEXT, sequence.to_string().as_bytes());
    let acknowledged = |device: &mut ScriptedDevice| {
        device.send(&last);
        let answer = device.receive(Duration::from_millis(500));
        answer.is_some_and(|answer| answer.message_id == last.message_id)
    };
    while !acknowledged(&mut device) {
        quickly(began, "the last one is acknowledged");
    }
    quickly(began, "2,000 notifications");
    assert_eq!(latest(&siege, &device).await, sequence);
    siege.ends_well().await;
}
