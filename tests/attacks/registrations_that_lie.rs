//! Attacks 16 to 18, 23 and 31: registrations and what refers to them.

use std::net::{IpAddr, Ipv4Addr};

use super::{Siege, noise, request};
use crate::support::device::{SENML_JSON, ScriptedDevice};
use flownexus::coap::{Code, number};

/// Registers with exactly these parameters.
fn register(device: &mut ScriptedDevice, query: &[&[u8]], links: &[u8]) -> Code {
    let mut options: Vec<(u16, &[u8])> = query
        .iter()
        .map(|parameter| (number::URI_QUERY, *parameter))
        .collect();
    options.push((number::CONTENT_FORMAT, &[40]));
    let message = request(device, Code::POST, "/rd", &options, links);
    device.ask(&message).code
}

#[tokio::test]
async fn attack_16_registers_of_every_bad_kind_get_their_code() {
    let siege = Siege::begin(|setup| setup.setting("registration.max_objects", 100)).await;
    let api = siege.server.api();
    let mut device = siege.device("bad");
    let links: &[u8] = b"</1/0>,</4/0>";
    let many: String = (0..101).map(|id| format!("</16/{id}>,")).collect();
    let long_name = format!("ep={}", "n".repeat(250));
    let (bad, created) = (Code::BAD_REQUEST, Code::CREATED);
    let version = &b"lwm2m=1.1"[..];
    for (what, query, links, code) in [
        ("no name", &[version][..], links, Code::FORBIDDEN),
        ("an empty name", &[b"ep=", version], links, bad),
        ("a name of two lines", &[b"ep=a\nb", version], links, bad),
        ("a zero in the name", &[b"ep=a\0b", version], links, bad),
        (
            "a name that is no text",
            &[b"ep=\xff\xfe", version],
            links,
            bad,
        ),
        ("no list", &[b"ep=x", version], b"", bad),
        (
            "a list without objects",
            &[b"ep=x", version],
            b"</>;rt=oma.lwm2m",
            bad,
        ),
        (
            "a list that is no text",
            &[b"ep=x", version],
            b"</1/0>,<\xff>",
            bad,
        ),
        (
            "too many objects",
            &[b"ep=x", version],
            many.as_bytes(),
            Code::REQUEST_ENTITY_TOO_LARGE,
        ),
        (
            "a negative lifetime",
            &[b"ep=x", version, b"lt=-1"],
            links,
            bad,
        ),
        (
            "version 9.9",
            &[b"ep=x", b"lwm2m=9.9"],
            links,
            Code::PRECONDITION_FAILED,
        ),
        (
            "a binding that is a script",
            &[b"ep=x", version, b"b=<s>"],
            links,
            bad,
        ),
        (
            "a long name",
            &[long_name.as_bytes(), version],
            links,
            created,
        ),
        (
            "a name that is a script",
            &[b"ep=<script>alert(1)</script>", version],
            links,
            created,
        ),
        (
            "a name that is a path",
            &[b"ep=../../etc/passwd", version],
            links,
            created,
        ),
        (
            "a name that is SQL",
            &[b"ep=x'; DROP TABLE endpoint; --", version],
            links,
            created,
        ),
    ] {
        assert_eq!(register(&mut device, query, links), code, "{what}");
    }
    assert!(api.endpoint("x").await.is_none());
    let listed = api.read("/api/v1/endpoints?limit=100").await;
    let names: Vec<&str> = listed["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|item| item["name"].as_str())
        .collect();
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names.contains(&"<script>alert(1)</script>"), "{names:?}");
    siege.ends_well().await;
}

/// Without credentials a name is nobody's: the newest registration holds it, and the other device
/// learns it with its next Update, as its location is gone. Credentials change that (issue 4).
#[tokio::test]
async fn attack_17_a_name_taken_by_another_device_leaves_the_first_one_no_location() {
    let siege = Siege::begin(|setup| setup).await;
    let api = siege.server.api();
    let mut first = siege.device("wanted");
    first.register_now(300, "</1/0>");
    let mut second = siege.device("wanted");
    second.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
    second.register_now(300, "</1/0>");
    let endpoint = api.endpoint("wanted").await.expect("known");
    assert_eq!(endpoint["address"], second.address().to_string());
    let update = first.update();
    assert_eq!(first.ask(&update).code, Code::NOT_FOUND);
    let send = first.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":1}]"#);
    assert_eq!(first.ask(&send).code, Code::BAD_REQUEST);
    first.register_now(300, "</1/0>");
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_18_locations_cannot_be_guessed_and_do_not_work_from_elsewhere() {
    let siege = Siege::begin(|setup| setup).await;
    let api = siege.server.api();
    let mut device = siege.device("owner");
    device.register_now(300, "</1/0>");
    let location = device.location()[1].clone();
    let mut thief = siege.device("thief");
    let mut byte = noise(18);
    for attempt in 0..200 {
        // Near misses and random ones.
        let mut guess = location.clone().into_bytes();
        let at = usize::from(byte()) % guess.len();
        guess[at] = b"ABCXYZabcxyz0123456789-_"[usize::from(byte()) % 24];
        if guess == location.as_bytes() {
            continue;
        }
        let path = format!("/rd/{}", String::from_utf8(guess).expect("ASCII"));
        let code = [Code::POST, Code::DELETE][attempt % 2];
        let message = request(&mut thief, code, &path, &[], b"");
        assert_eq!(thief.ask(&message).code, Code::NOT_FOUND);
    }
    // The right one, overheard: of no use on another host.
    thief.move_to_host(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9)));
    for code in [Code::POST, Code::DELETE] {
        let path = format!("/rd/{location}");
        let message = request(&mut thief, code, &path, &[], b"");
        assert_eq!(thief.ask(&message).code, Code::NOT_FOUND);
    }
    let endpoint = api.endpoint("owner").await.expect("known");
    assert_eq!(
        (&endpoint["registered"], &endpoint["address"]),
        (
            &serde_json::json!(true),
            &serde_json::json!(device.address().to_string())
        )
    );
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_23_a_send_of_somebody_who_is_not_registered_leaves_nothing() {
    let siege = Siege::begin(|setup| setup).await;
    let api = siege.server.api();
    for at in 0..50 {
        let mut device = siege.device(&format!("nobody-{at}"));
        let send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":1}]"#);
        assert_eq!(device.ask(&send).code, Code::BAD_REQUEST);
    }
    let mut device = siege.device("left");
    device.register_now(300, "</1/0>");
    let deregister = device.deregister();
    assert_eq!(device.ask(&deregister).code, Code::DELETED);
    let send = device.data_push(SENML_JSON, br#"[{"n":"/1/0/1","v":1}]"#);
    assert_eq!(device.ask(&send).code, Code::BAD_REQUEST);
    let listed = api.read("/api/v1/endpoints?limit=100").await;
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    siege.ends_well().await;
}

#[tokio::test]
async fn attack_31_a_name_that_is_a_formula_is_a_text_in_the_table() {
    let siege = Siege::begin(|setup| setup).await;
    let formula = "=cmd|' /C calc'!A0";
    let mut device = siege.device(formula);
    device.register_now(300, "</1/0>");
    let table = siege.server.api().get("/api/v1/endpoints.csv").await;
    let table = table.text().await.expect("a table");
    let row = table.lines().nth(1).expect("a row");
    assert!(row.starts_with(&format!("'{formula},")), "{table}");
    siege.ends_well().await;
}
