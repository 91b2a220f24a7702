//! Tolerance with memory: what a device does wrong is accepted where that is safe, and listed in the
//! `warnings` of its endpoint. (Bindings of another version: A9; a Send of what was not announced:
//! K4; notifications that tell nothing: H7 and I4.)

use rstest::rstest;
use serde_json::{Value as Json, json};

use super::bench::{
    Asked, LINKS, Transport, confirmed, history, latest, operate, server, shown, values, warnings,
};
use crate::support::device::{SENML_JSON, ScriptedDevice, TEXT};
use flownexus::coap::{Code, number};

/// Registers with these parameters beside version and name; the code of the answer.
fn register(device: &mut ScriptedDevice, query: &[&str], links: &str) -> Code {
    let mut query: Vec<String> = query.iter().map(|part| (*part).to_owned()).collect();
    if !query.iter().any(|part| part.starts_with("lwm2m=")) {
        query.push("lwm2m=1.1".to_owned());
    }
    let register = device.register_with(&query, links);
    let answer = device.ask(&register);
    if answer.code == Code::CREATED {
        device.take_location(&answer);
    }
    answer.code
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_bad_links_are_passed_over_and_told_apart(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    for (at, (links, codes)) in [
        ("</1/0>, </16/0>", &["link_format"][..]),
        ("</1/0>,</16/0>,", &["link_format"]),
        ("</1/0>,,</16/0>", &["link_format"]),
        ("</1/0>,<broken,</16/0>", &["bad_link"]),
        ("</1/0>,nonsense,</16/0>", &["bad_link"]),
        (
            "</1/0>,</16/0>;ver=\"1",
            &["bad_link", "bad_link_attribute"],
        ),
        ("</1/0>,</16/0>;a b=c", &["bad_link_attribute"]),
        ("</1/0>,</16/0>,</1/0>", &["duplicate_link"]),
        ("</1/0>,</16/0>,</3/0/1>", &["foreign_link"]),
        ("</1/0>,</16/0>,</foo>", &["foreign_link"]),
        ("</1/0>,</16/0>,</65535/0>", &["foreign_link"]),
        ("</1/0>,</16>;ver=x,</16/0>", &["bad_version"]),
        (
            "</l>;rt=\"oma.lwm2m\",</l/1/0>,</l/16/0>,</3/0>",
            &["outside_root"],
        ),
        (
            "</>;rt=\"oma.lwm2m\";ct=\"110 x\",</1/0>,</16/0>",
            &["bad_ct"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut device = over.device(&server, &format!("links-{at}"));
        assert_eq!(register(&mut device, &[], links), Code::CREATED, "{links}");
        let mut found = warnings(&api, &device).await;
        found.dedup();
        assert_eq!(found, codes, "{links}");
        let endpoint = shown(&api, &device).await;
        let objects = endpoint["objects"].as_array().expect("objects");
        for path in ["/1/0", "/16/0"] {
            assert!(objects.contains(&json!(path)), "{links}: {endpoint}");
        }
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_attributes_in_the_wrong_place_or_form_are_understood(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    for (id, links, code) in [
        (
            "ct-twice",
            "</>;rt=\"oma.lwm2m\";ct=110;ct=112,</1/0>,</16/0>",
            "duplicate_ct",
        ),
        (
            "ver-on-instance",
            "</>;rt=\"oma.lwm2m\";ct=\"110 112\",</1/0>,</16/0>;ver=1.1",
            "instance_version",
        ),
        (
            "ver-quoted",
            "</>;rt=\"oma.lwm2m\";ct=\"110 112\",</1/0>,</16>;ver=\"1.1\",</16/0>",
            "quoted_version",
        ),
    ] {
        let mut device = over.device(&server, id);
        assert_eq!(register(&mut device, &[], links), Code::CREATED, "{id}");
        assert_eq!(warnings(&api, &device).await, [code], "{id}");
        let endpoint = shown(&api, &device).await;
        assert_eq!(endpoint["formats"], json!([110, 112]), "{id}");
    }
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_a_root_that_nobody_named_is_found(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.device(&server, "root");
    let links = "</lwm2m>;ct=110,</lwm2m/1/0>,</lwm2m/16/0>";
    assert_eq!(register(&mut device, &[], links), Code::CREATED);
    assert_eq!(warnings(&api, &device).await, ["root_without_rt"]);
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/lwm2m/1/0/1").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"300");
    })
    .await;
    confirmed(&ended, "2.05");
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_unknown_letters_of_the_binding_are_left_out(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    for (at, (given, taken, queue_mode)) in [
        ("b=X", "U", false),
        ("b=", "U", false),
        ("b=UX", "U", false),
        ("b=uq", "UQ", true),
    ]
    .into_iter()
    .enumerate()
    {
        let mut device = over.device(&server, &format!("binding-{at}"));
        let query = ["lwm2m=1.0", given];
        assert_eq!(register(&mut device, &query, LINKS), Code::CREATED);
        assert_eq!(
            warnings(&api, &device).await,
            ["unknown_binding"],
            "{given}"
        );
        let endpoint = shown(&api, &device).await;
        assert_eq!(
            (&endpoint["binding"], &endpoint["queue_mode"]),
            (&json!(taken), &json!(queue_mode)),
            "{given}"
        );
    }
    let mut device = over.device(&server, "binding-bad");
    for given in ["b=<script>", "b=UUUUUUUUU", "b=U 1"] {
        let code = register(&mut device, &[given], LINKS);
        assert_eq!(code, Code::BAD_REQUEST, "{given}");
    }
}

/// Missing is the default of the specification and 0 infinite, which 1.2 defines. What is no number
/// of seconds is refused: the device would count on something that nobody else knows.
#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_lifetimes_are_taken_where_they_can_be_understood(#[case] over: Transport) {
    const TEN_YEARS: u64 = 315_360_000;
    let server = server().await;
    let api = server.api();
    for (at, (query, seconds, codes)) in [
        (&["lwm2m=1.1"][..], 86_400, &[][..]),
        (&["lwm2m=1.1", "lt=1"], 1, &[]),
        (&["lwm2m=1.2", "lt=0"], TEN_YEARS, &[]),
        (&["lwm2m=1.1", "lt=0"], TEN_YEARS, &["infinite_lifetime"]),
        (
            &["lwm2m=1.1", "lt=9223372036854775808"],
            TEN_YEARS,
            &["lifetime_too_long"],
        ),
        (
            &["lwm2m=1.1", "lt=99999999999999999999999"],
            TEN_YEARS,
            &["lifetime_too_long"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut device = over.device(&server, &format!("lt-{at}"));
        assert_eq!(register(&mut device, query, LINKS), Code::CREATED);
        let endpoint = shown(&api, &device).await;
        assert_eq!(endpoint["lifetime_s"], seconds, "{query:?}");
        assert_eq!(warnings(&api, &device).await, codes, "{query:?}");
    }
    let mut device = over.device(&server, "lt-bad");
    for given in ["lt=-1", "lt=soon", "lt=1.5", "lt=", "lt= 1", "lt=0x10"] {
        let code = register(&mut device, &[given], LINKS);
        assert_eq!(code, Code::BAD_REQUEST, "{given}");
    }
    assert!(api.endpoint(device.name()).await.is_none());
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_of_a_parameter_that_comes_twice_the_first_counts(#[case] over: Transport) {
    let server = server().await;
    let api = server.api();
    let mut device = over.device(&server, "twice");
    let query = ["lt=300", "lt=600", "k=1", "k=2", "ep=somebody-else"];
    assert_eq!(register(&mut device, &query, LINKS), Code::CREATED);
    assert_eq!(warnings(&api, &device).await, ["duplicate_parameter"; 3]);
    let endpoint = shown(&api, &device).await;
    assert_eq!(
        (&endpoint["lifetime_s"], &endpoint["attributes"]),
        (&json!(300), &json!({"k": "1"}))
    );
    assert!(api.endpoint("somebody-else").await.is_none());
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_a_value_of_another_type_than_the_model_says_is_kept_as_it_came(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.registered(&server, "types");
    let body = json!({"kind": "read", "path": "/1/0/1", "format": "text"});
    let ended = operate(&api, &mut device, body, |device| {
        let read = Asked::get("/1/0/1").accept(TEXT).expect(device);
        device.answer_content(&read, TEXT, b"a day");
    })
    .await;
    confirmed(&ended, "2.05");
    assert_eq!(values(&ended), json!([["/1/0/1", "STRING", "a day"]]));
    let send = device.data_push(SENML_JSON, br#"[{"n":"/3442/0/110","v":1.5}]"#);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    assert_eq!(latest(&api, &device, "/3442/0/110").await[0][1], "FLOAT");
    assert_eq!(warnings(&api, &device).await, ["wrong_type"; 2]);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_times_in_milliseconds_become_seconds(#[case] over: Transport) {
    const SAID: &str = "2023-11-14T22:13:20.000Z";
    let server = server().await;
    let api = server.api();
    // The value of a TIME resource.
    let mut device = over.registered(&server, "ms-value");
    let send = device.data_push(SENML_JSON, br#"[{"n":"/3442/0/160","v":1700000000000}]"#);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    assert_eq!(latest(&api, &device, "/3442/0/160").await[0][2], SAID);
    assert_eq!(warnings(&api, &device).await, ["time_in_ms"]);
    // The time of a record: beyond the year 9999 when read as seconds.
    let mut device = over.registered(&server, "ms-record");
    let pack = br#"[{"n":"/3442/0/120","bt":1700000000000,"v":1}]"#;
    let send = device.data_push(SENML_JSON, pack);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    assert_eq!(latest(&api, &device, "/3442/0/120").await[0][3], SAID);
    assert_eq!(warnings(&api, &device).await, ["time_in_ms"]);
    // The clock of a device that counts from its start, in milliseconds: the year 2165 as seconds.
    let mut device = over.registered(&server, "ms-uptime");
    let pack = br#"[{"n":"/3442/0/130","bt":6172345678,"v":1}]"#;
    let send = device.data_push(SENML_JSON, pack);
    assert_eq!(device.ask(&send).code, Code::CHANGED);
    let days = ("1970-01-01T00:00:00Z", "1971-01-01T00:00:00Z");
    assert_eq!(
        history(&api, &device, "/3442/0/130", days).await,
        json!([[6_172_345_678_i64, 1.0]])
    );
    assert_eq!(warnings(&api, &device).await, ["time_in_ms"]);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_an_instance_that_only_its_object_was_announced_of_is_noticed(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.device(&server, "instance");
    assert_eq!(register(&mut device, &[], "</1/0>,</3442>"), Code::CREATED);
    assert_eq!(warnings(&api, &device).await, [""; 0], "it may have none");
    let pack = br#"[{"n":"/3442/0/120","v":1},{"n":"/3442/2/120","v":2},{"n":"/1/0/1","v":3}]"#;
    for _ in 0..2 {
        let send = device.data_push(SENML_JSON, pack);
        assert_eq!(device.ask(&send).code, Code::CHANGED);
    }
    assert_eq!(latest(&api, &device, "/3442/2/120").await[0][2], 2);
    assert_eq!(warnings(&api, &device).await, ["instance_not_announced"; 2]);
}

#[rstest]
#[case::udp(Transport::Udp)]
#[case::dtls(Transport::Dtls)]
#[tokio::test]
async fn tolerance_warnings_are_told_once_survive_updates_and_end_with_the_registration(
    #[case] over: Transport,
) {
    let server = server().await;
    let api = server.api();
    let mut device = over.device(&server, "memory");
    let links = "</1/0>,</16/0>,</foo>";
    assert_eq!(register(&mut device, &[], links), Code::CREATED);
    assert_eq!(warnings(&api, &device).await, ["foreign_link"]);
    let mut update = |query: &str, links: &str| {
        let mut update = device.update();
        if !query.is_empty() {
            update.options.add(number::URI_QUERY, query.as_bytes());
        }
        if !links.is_empty() {
            update.options.add_uint(number::CONTENT_FORMAT, 40);
            update.payload = links.as_bytes().to_vec();
        }
        assert_eq!(device.ask(&update).code, Code::CHANGED);
    };
    update("", "");
    update("", links);
    update("", links);
    update("b=X", "");
    // As many as a device likes, of which only some are kept.
    for round in 0..20 {
        let bad: Vec<String> = (0..5).map(|at| format!(",</bad{round}x{at}>")).collect();
        update("", &format!("</1/0>,</16/0>{}", bad.concat()));
    }
    let found = warnings(&api, &device).await;
    assert_eq!(found.len(), 50);
    assert_eq!(
        found[..3],
        ["foreign_link", "unknown_binding", "foreign_link"]
    );
    let endpoint = shown(&api, &device).await;
    let told: Vec<String> = endpoint["warnings"]
        .as_array()
        .expect("a list")
        .iter()
        .map(Json::to_string)
        .collect();
    let mut once = told.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), told.len(), "each is told once");
    // A new registration begins without.
    device.register_now(300, LINKS);
    assert_eq!(warnings(&api, &device).await, [""; 0]);
}
