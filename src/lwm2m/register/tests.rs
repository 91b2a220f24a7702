//! Register, Update and the other calls, good and bad.

use proptest::prelude::*;

use super::*;
use crate::domain::Path;
use crate::lwm2m::link_format;

const LINKS: &str = "</>;rt=\"oma.lwm2m\";ct=\"110 112\",</1/0>,</3/0>,</3303>;ver=1.1,</3303/0>";

fn asked(code: Code, path: &str, query: &[&str], payload: &str) -> Request {
    let mut request = Request::new(code);
    request.options.add_uri_path(path);
    for parameter in query {
        request.options.add(number::URI_QUERY, parameter.as_bytes());
    }
    if !payload.is_empty() {
        request.options.add_uint(number::CONTENT_FORMAT, 40);
    }
    request.payload = payload.as_bytes().to_vec();
    request
}

fn call(request: &Request) -> Result<Call, Refusal> {
    classify(request, true, &Limits::default())
}

fn register(query: &[&str], payload: &str) -> Result<RegisterRequest, Refusal> {
    match call(&asked(Code::POST, "/rd", query, payload))? {
        Call::Register(register) => Ok(register),
        other => panic!("{other:?}"),
    }
}

fn update(query: &[&str], payload: &str) -> Result<UpdateRequest, Refusal> {
    match call(&asked(Code::POST, "/rd/abc", query, payload))? {
        Call::Update { location, update } => {
            assert_eq!(location.as_str(), "abc");
            Ok(update)
        }
        other => panic!("{other:?}"),
    }
}

fn code(result: Result<impl std::fmt::Debug, Refusal>) -> Code {
    result.expect_err("a refusal").code
}

fn warnings(register: &RegisterRequest) -> Vec<&str> {
    register
        .warnings
        .iter()
        .map(|warning| warning.code.as_str())
        .collect()
}

fn objects(register: &RegisterRequest) -> Vec<String> {
    let shown = |object: &AnnouncedObject| match &object.version {
        Some(version) => format!("{}={version}", object.path),
        None => object.path.to_string(),
    };
    register.objects.iter().map(shown).collect()
}

#[test]
fn a1_a_register_says_everything_about_a_device() {
    let query = [
        "ep=urn:imei:1",
        "lt=300",
        "lwm2m=1.1",
        "b=U",
        "Q",
        "sms=4911",
    ];
    let register = register(&query, LINKS).expect("a Register");
    assert_eq!(
        register.endpoint,
        Some(EndpointName::new("urn:imei:1").expect("name"))
    );
    assert_eq!(register.version, Lwm2mVersion::V1_1);
    assert_eq!(
        (register.binding.as_str(), register.queue_mode),
        ("U", true)
    );
    assert_eq!(register.lifetime, Some(Duration::from_secs(300)));
    assert_eq!(register.sms_number.as_deref(), Some("4911"));
    assert_eq!(register.root, "");
    assert_eq!(register.formats, [110, 112]);
    assert_eq!(objects(&register), ["/1/0", "/3/0", "/3303=1.1", "/3303/0"]);
    assert_eq!(register.raw_links, LINKS);
    assert_eq!(register.warnings, []);
    assert!(register.attributes.is_empty());
}

#[test]
fn b1_without_parameters_the_defaults_hold() {
    let register = register(&["lwm2m=1.0", "ep=a"], "</3/0>").expect("a Register");
    assert_eq!(register.lifetime, None);
    assert_eq!(DEFAULT_LIFETIME.as_secs(), 86_400);
    assert_eq!(
        (register.binding.as_str(), register.queue_mode),
        ("U", false)
    );
    assert!(register.formats.is_empty());
}

#[test]
fn a5_parameters_that_lwm2m_does_not_define_are_kept() {
    let query = [
        "lwm2m=1.0",
        "key1=value1",
        "imei=490154203237518",
        "flag",
        "a=b=c",
    ];
    let register = register(&query, LINKS).expect("a Register");
    let wanted = [
        ("a", "b=c"),
        ("flag", ""),
        ("imei", "490154203237518"),
        ("key1", "value1"),
    ];
    let kept: Vec<(&str, &str)> = register
        .attributes
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(kept, wanted);
}

#[test]
fn a6_whether_a_name_is_needed_is_decided_above() {
    assert_eq!(
        register(&["lwm2m=1.1"], LINKS)
            .expect("a Register")
            .endpoint,
        None
    );
}

#[test]
fn a7_a_register_without_objects_or_version_is_refused() {
    assert_eq!(
        code(register(&["ep=a", "lwm2m=1.1"], "")),
        Code::BAD_REQUEST
    );
    assert_eq!(code(register(&["ep=a"], LINKS)), Code::BAD_REQUEST);
    assert_eq!(
        code(register(&["ep=a", "lwm2m=1.1"], "</>;rt=\"oma.lwm2m\"")),
        Code::BAD_REQUEST
    );
    assert_eq!(
        code(register(&["ep=a", "lwm2m=1.1"], "nonsense")),
        Code::BAD_REQUEST
    );
}

#[test]
fn a8_queue_mode_is_told_by_the_binding_in_1_0_and_by_a_parameter_later() {
    let old = register(&["lwm2m=1.0", "b=UQ"], LINKS).expect("a Register");
    assert!(old.queue_mode && old.warnings.is_empty());
    let new = register(&["lwm2m=1.1", "b=UT"], LINKS).expect("a Register");
    assert!(!new.queue_mode && new.warnings.is_empty());
    assert!(
        register(&["lwm2m=1.2", "b=U", "Q"], LINKS)
            .expect("a Register")
            .queue_mode
    );
}

#[test]
fn a9_bindings_of_another_version_are_forgiven_with_a_warning() {
    let new = register(&["lwm2m=1.1", "b=UQ"], LINKS).expect("a Register");
    assert_eq!((new.queue_mode, warnings(&new)), (true, vec!["binding"]));
    let old = register(&["lwm2m=1.0", "b=UT"], LINKS).expect("a Register");
    assert_eq!((old.queue_mode, warnings(&old)), (false, vec!["binding"]));
    let flagged = register(&["lwm2m=1.0", "Q"], LINKS).expect("a Register");
    assert_eq!(
        (flagged.queue_mode, warnings(&flagged)),
        (true, vec!["queue_parameter"])
    );
    let update = update(&["b=UT"], "").expect("an Update");
    assert!(update.binding_warning(Lwm2mVersion::V1_0).is_some());
    assert!(update.binding_warning(Lwm2mVersion::V1_1).is_none());
}

#[test]
fn attack_16_bindings_that_are_no_words_are_refused() {
    for binding in ["b=UUUUUUUUU", "b=<script>", "b=U\u{7}", "b=U1", "b=ü"] {
        assert_eq!(
            code(register(&["lwm2m=1.1", binding], LINKS)),
            Code::BAD_REQUEST,
            "{binding}"
        );
    }
}

#[test]
fn a9_letters_of_no_binding_are_left_out_with_a_warning() {
    for (text, binding, queue_mode) in [
        ("b=X", "U", false),
        ("b=", "U", false),
        ("b=u", "U", false),
        ("b=uq", "UQ", true),
        ("b=UX", "U", false),
        ("b=XQ", "Q", true),
    ] {
        let register = register(&["lwm2m=1.0", text], LINKS).expect(text);
        assert_eq!(
            (register.binding.as_str(), register.queue_mode),
            (binding, queue_mode),
            "{text}"
        );
        assert_eq!(warnings(&register), ["unknown_binding"], "{text}");
    }
    let update = update(&["b=X"], "").expect("an Update");
    assert_eq!(update.binding, None, "what was known stays");
    assert_eq!(update.warnings[0].code, "unknown_binding");
}

#[test]
fn a12_unknown_paths_and_methods_are_told_apart() {
    for (method, path, code) in [
        (Code::POST, "/", Code::NOT_FOUND),
        (Code::POST, "/bs", Code::NOT_FOUND),
        (Code::GET, "/3/0", Code::NOT_FOUND),
        (Code::POST, "/rd/a/b", Code::NOT_FOUND),
        (Code::POST, "/RD", Code::NOT_FOUND),
        (Code::GET, "/rd", Code::METHOD_NOT_ALLOWED),
        (Code::PUT, "/rd", Code::METHOD_NOT_ALLOWED),
        (Code::GET, "/rd/a", Code::METHOD_NOT_ALLOWED),
        (Code::PUT, "/rd/a", Code::METHOD_NOT_ALLOWED),
        (Code::DELETE, "/rd", Code::METHOD_NOT_ALLOWED),
        (Code::GET, "/dp", Code::METHOD_NOT_ALLOWED),
        (Code::POST, "/.well-known/core", Code::METHOD_NOT_ALLOWED),
        (Code::FETCH, "/rd/a", Code::METHOD_NOT_ALLOWED),
    ] {
        let request = asked(method, path, &["ep=a", "lwm2m=1.1"], LINKS);
        assert_eq!(
            call(&request).expect_err(path).code,
            code,
            "{method} {path}"
        );
    }
    let long = format!("/rd/{}", "x".repeat(100));
    assert_eq!(
        call(&asked(Code::DELETE, &long, &[], ""))
            .expect_err("long")
            .code,
        Code::NOT_FOUND
    );
    let mut request = Request::new(Code::POST);
    request.options.add(number::URI_PATH, b"rd\xff");
    assert_eq!(
        call(&request).expect_err("no UTF-8").code,
        Code::BAD_REQUEST
    );
}

#[test]
fn every_call_is_told_by_its_path_and_method() {
    let location = RegistrationId::from_text("abc");
    assert_eq!(
        call(&asked(Code::DELETE, "/rd/abc", &[], "")),
        Ok(Call::Deregister { location })
    );
    assert_eq!(call(&asked(Code::POST, "/dp", &[], "x")), Ok(Call::Send));
    assert_eq!(
        call(&asked(Code::GET, "/.well-known/core", &[], "")),
        Ok(Call::Discovery)
    );
    let mut slash = asked(Code::POST, "/rd", &["ep=a", "lwm2m=1.1"], LINKS);
    slash.options.add(number::URI_PATH, b"");
    assert!(
        matches!(call(&slash), Ok(Call::Register(_))),
        "a slash at the end is forgiven"
    );
}

#[test]
fn a13_versions_that_we_do_not_speak_get_4_12() {
    for version in [
        "9.9", "2.0", "1.3", "0.9", "1", "", "1.10", "one", "1.0.x", "1.1.",
    ] {
        let parameter = format!("lwm2m={version}");
        assert_eq!(
            code(register(&[&parameter], LINKS)),
            Code::PRECONDITION_FAILED,
            "{version}"
        );
    }
    for (text, version) in [
        ("1.0", Lwm2mVersion::V1_0),
        ("1.1", Lwm2mVersion::V1_1),
        ("1.2", Lwm2mVersion::V1_2),
    ] {
        let register = register(&[&format!("lwm2m={text}")], LINKS).expect("a version");
        assert_eq!((register.version, register.warnings), (version, vec![]));
    }
    let edition = register(&["lwm2m=1.1.1"], LINKS).expect("an edition");
    assert_eq!(
        (edition.version, warnings(&edition)),
        (Lwm2mVersion::V1_1, vec!["version"])
    );
}

#[test]
fn a14_a_register_must_be_confirmable_and_nothing_else_must() {
    let limits = Limits::default();
    let register = asked(Code::POST, "/rd", &["ep=a", "lwm2m=1.1"], LINKS);
    assert_eq!(code(classify(&register, false, &limits)), Code::BAD_REQUEST);
    assert!(classify(&asked(Code::POST, "/rd/a", &[], ""), false, &limits).is_ok());
    assert!(classify(&asked(Code::POST, "/dp", &[], ""), false, &limits).is_ok());
}

#[test]
fn b2_an_update_changes_only_what_it_says() {
    assert_eq!(update(&[], ""), Ok(UpdateRequest::default()));
    let query = ["lt=60", "b=UQ", "sms=1", "x=y"];
    let update = update(&query, "</1/0>,</3/0>").expect("an Update");
    assert_eq!(update.lifetime, Some(Duration::from_secs(60)));
    assert_eq!(update.binding.as_deref(), Some("UQ"));
    assert_eq!(update.sms_number.as_deref(), Some("1"));
    assert_eq!(update.attributes.get("x").map(String::as_str), Some("y"));
    assert_eq!(update.objects.expect("a list").objects.len(), 2);
}

#[test]
fn an_update_keeps_queue_mode_unless_it_says_otherwise() {
    let after = |query: &[&str], version, before| {
        update(query, "")
            .expect("an Update")
            .queue_mode(version, before)
    };
    assert!(after(&[], Lwm2mVersion::V1_0, true));
    assert!(!after(&["b=U"], Lwm2mVersion::V1_0, true));
    assert!(after(&["b=UQ"], Lwm2mVersion::V1_0, false));
    assert!(after(&["b=U"], Lwm2mVersion::V1_1, true));
    assert!(after(&["Q"], Lwm2mVersion::V1_1, false));
    assert!(!after(&["b=U"], Lwm2mVersion::V1_1, false));
}

#[test]
fn an_update_with_parameters_of_a_register_is_forgiven() {
    let update = update(&["ep=a", "lwm2m=1.1"], "").expect("an Update");
    assert_eq!(update.warnings.len(), 2);
    assert_eq!(
        super::update(&asked(Code::POST, "/rd/a", &[], "x"), &Limits::default())
            .map(|_| ())
            .expect_err("no list")
            .code,
        Code::BAD_REQUEST
    );
}

#[test]
fn attack_16_lifetimes_are_numbers_of_seconds() {
    let lifetime = |text: &str| {
        register(&["lwm2m=1.2", &format!("lt={text}")], LINKS).map(|register| register.lifetime)
    };
    assert_eq!(lifetime("1"), Ok(Some(Duration::from_secs(1))));
    assert_eq!(lifetime("0"), Ok(Some(INFINITE_LIFETIME)));
    assert_eq!(lifetime("4294967295"), Ok(Some(INFINITE_LIFETIME)));
    for text in ["", "-1", "+1", "1.5", "x", " 1", "1e3", "0x10"] {
        assert_eq!(code(lifetime(text)), Code::BAD_REQUEST, "{text}");
    }
    for long in [
        "4294967296",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999",
    ] {
        let register = register(&["lwm2m=1.2", &format!("lt={long}")], LINKS).expect(long);
        assert_eq!(register.lifetime, Some(INFINITE_LIFETIME), "{long}");
        assert_eq!(warnings(&register), ["lifetime_too_long"], "{long}");
    }
    let old = register(&["lwm2m=1.0", "lt=0"], LINKS).expect("a Register");
    assert_eq!(warnings(&old), ["infinite_lifetime"]);
}

#[test]
fn attack_16_names_are_checked() {
    let long = format!("ep={}", "x".repeat(256));
    for name in ["ep=", "ep=a\u{1}b", "ep=a\nb", "ep", long.as_str()] {
        assert_eq!(
            code(register(&[name, "lwm2m=1.1"], LINKS)),
            Code::BAD_REQUEST,
            "{name}"
        );
    }
    let name = "ep=<script>alert('grüezi')</script>";
    assert!(
        register(&[name, "lwm2m=1.1"], LINKS).is_ok(),
        "escaping is the pages' business"
    );
}

#[test]
fn attack_16_of_parameters_that_come_twice_the_first_counts() {
    let query = [
        "ep=a",
        "ep=b",
        "lwm2m=1.1",
        "lwm2m=9.9",
        "lt=1",
        "lt=x",
        "k=1",
        "k=2",
    ];
    let register = register(&query, LINKS).expect("a Register");
    assert_eq!(
        register.endpoint,
        Some(EndpointName::new("a").expect("name"))
    );
    assert_eq!(register.lifetime, Some(Duration::from_secs(1)));
    assert_eq!(register.attributes["k"], "1");
    assert_eq!(warnings(&register), ["duplicate_parameter"; 4]);
}

#[test]
fn attack_16_more_than_the_limits_is_refused_or_left_out() {
    let limits = Limits {
        max_objects: 3,
        max_links_bytes: 100,
        max_attributes: 2,
    };
    let query = ["lwm2m=1.1", "a=1", "b2=2", "c=3", "d=\u{7}"];
    let request = asked(Code::POST, "/rd", &query, "</1/0>,</2/0>,</3/0>");
    let Ok(Call::Register(register)) = classify(&request, true, &limits) else {
        panic!("a Register")
    };
    assert_eq!(register.attributes.len(), 2);
    assert_eq!(
        warnings(&register),
        ["too_many_parameters", "bad_parameter"]
    );
    let four = asked(Code::POST, "/rd", &["lwm2m=1.1"], "</1>,</2>,</3>,</4>");
    assert_eq!(
        code(classify(&four, true, &limits)),
        Code::REQUEST_ENTITY_TOO_LARGE
    );
    let long = asked(
        Code::POST,
        "/rd",
        &["lwm2m=1.1"],
        &format!("</1>;x={}", "1".repeat(100)),
    );
    assert_eq!(
        code(classify(&long, true, &limits)),
        Code::REQUEST_ENTITY_TOO_LARGE
    );
    let mut request = asked(Code::POST, "/rd", &["lwm2m=1.1"], "");
    request.payload = b"</1/0>,<\xff>".to_vec();
    assert_eq!(code(call(&request)), Code::BAD_REQUEST);
    request.payload = b"</1/0>;x=\"\0\"".to_vec();
    let Ok(Call::Register(register)) = call(&request) else {
        panic!("a Register")
    };
    assert_eq!(
        register.raw_links, "</1/0>;x=\"\u{FFFD}\"",
        "databases store no zero bytes"
    );
}

#[test]
fn b5_the_root_is_found_and_taken_off() {
    for (links, root) in [
        ("</1/0>,</3/0>", ""),
        ("</>;rt=\"oma.lwm2m\",</1/0>,</3/0>", ""),
        ("</>;rt=oma.lwm2m,</1/0>,</3/0>", ""),
        ("</>;ct=11543,</1/0>,</3/0>", ""),
        (
            "</lwm2m>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3/0>",
            "/lwm2m",
        ),
        (
            "</lwm2m/>;rt=\"oma.lwm2m\",</lwm2m/1/0>,</lwm2m/3/0>",
            "/lwm2m",
        ),
        ("</a/b>;rt=\"x oma.lwm2m\",</a/b/1/0>,</a/b/3/0>", "/a/b"),
        ("</lwm2m/1/0>,</lwm2m/3/0>,</lwm2m>;rt=oma.lwm2m", "/lwm2m"),
        (
            "</lwm2m>;rt=oma.lwm2m,</lwm2m/1/0>,</lwm2m/3/0>,</foo>;title=\"other\",</a/b/c>",
            "/lwm2m",
        ),
    ] {
        let register = register(&["lwm2m=1.1"], links).expect(links);
        assert_eq!(
            (register.root.as_str(), objects(&register)),
            (root, vec!["/1/0".to_owned(), "/3/0".to_owned()]),
            "{links}"
        );
        assert_eq!(register.warnings, [], "{links}");
    }
}

#[test]
fn b5_a_root_that_no_link_names_is_what_all_links_have_in_common() {
    for (links, root, formats) in [
        ("</lwm2m/1/0>,</lwm2m/3/0>", "/lwm2m", &[][..]),
        (
            "</lwm2m>;ct=112,</lwm2m/1/0>,</lwm2m/3>,</lwm2m/3/0>",
            "/lwm2m",
            &[112],
        ),
        ("</>;ct=110,</a/b/1/0>,</a/b/3/0>,</foo>", "/a/b", &[110]),
    ] {
        let register = register(&["lwm2m=1.1"], links).expect(links);
        assert_eq!(register.root, root, "{links}");
        assert!(objects(&register).contains(&"/3/0".to_owned()), "{links}");
        assert_eq!(register.formats, formats, "{links}");
        assert!(warnings(&register).contains(&"root_without_rt"), "{links}");
    }
    // With an object below `/` that is the root, whatever else there is.
    let below = register(&["lwm2m=1.1"], "</1/0>,</lwm2m/3/0>").expect("one object");
    assert_eq!(
        (below.root.as_str(), objects(&below)),
        ("", vec!["/1/0".to_owned()])
    );
    assert_eq!(warnings(&below), ["foreign_link"]);
    // Without a common one there is none, and no object either.
    for links in ["</a/1/0>,</b/3/0>", "</a/1/0/5>", "</a>", "<1>x"] {
        assert_eq!(
            code(register(&["lwm2m=1.1"], links)),
            Code::BAD_REQUEST,
            "{links}"
        );
    }
}

#[test]
fn b5_content_formats_are_read_in_every_spelling() {
    for (ct, formats) in [
        ("ct=112", vec![112]),
        ("ct=\"112\"", vec![112]),
        ("ct=\"110 112\"", vec![110, 112]),
        ("ct=\"110,112 110\"", vec![110, 112]),
        ("obs", vec![]),
    ] {
        let links = format!("</>;rt=\"oma.lwm2m\";{ct},</3/0>");
        let register = register(&["lwm2m=1.1"], &links).expect(ct);
        assert_eq!(
            (register.formats.clone(), warnings(&register)),
            (formats, vec![]),
            "{ct}"
        );
    }
    let twice = register(&["lwm2m=1.1"], "</>;rt=oma.lwm2m;ct=110;ct=112,</3/0>").expect("twice");
    assert_eq!(
        (twice.formats.clone(), warnings(&twice)),
        (vec![110, 112], vec!["duplicate_ct"])
    );
    let bad = register(&["lwm2m=1.1"], "</>;rt=oma.lwm2m;ct=\"x 112 70000\",</3/0>").expect("bad");
    assert_eq!(
        (bad.formats.clone(), warnings(&bad)),
        (vec![112], vec!["bad_ct", "bad_ct"])
    );
}

#[test]
fn b5_versions_are_read_quoted_and_not() {
    let links = "</1>;ver=1.1,</3>;ver=\"1.2\",</5>;ver=x,</6/0>;ver=1.0,</7>;ver=\"\"";
    let register = register(&["lwm2m=1.1"], links).expect("a Register");
    assert_eq!(
        objects(&register),
        ["/1=1.1", "/3=1.2", "/5", "/6/0=1.0", "/7"]
    );
    assert_eq!(
        warnings(&register),
        [
            "quoted_version",
            "quoted_version",
            "bad_version",
            "instance_version",
            "bad_version"
        ]
    );
}

#[test]
fn b5_bad_links_are_warnings_and_never_a_refusal() {
    let links = "</1/0>, </3/0>,</foo>,</3/0/1>,bad,</3/0>,</65535>,</5>;ver=1.0;;,";
    let register = register(&["lwm2m=1.1"], links).expect("a Register");
    assert_eq!(objects(&register), ["/1/0", "/3/0", "/5=1.0"]);
    let mut codes = warnings(&register);
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(
        codes,
        [
            "bad_link",
            "bad_link_attribute",
            "duplicate_link",
            "foreign_link",
            "link_format"
        ]
    );
    let hostile = format!(
        "</3/0>,{}",
        (0..5000).map(|id| format!("</x{id}>,")).collect::<String>()
    );
    let register = self::register(&["lwm2m=1.1"], &hostile).expect("hostile");
    assert!(register.warnings.len() <= link_format::MAX_WARNINGS);
}

#[test]
fn the_list_of_objects_should_be_in_link_format() {
    let mut request = asked(Code::POST, "/rd", &["lwm2m=1.1"], LINKS);
    request.options.set_uint(number::CONTENT_FORMAT, 0);
    let Ok(Call::Register(register)) = call(&request) else {
        panic!("a Register")
    };
    assert_eq!(warnings(&register), ["content_format"]);
}

#[test]
fn answers_are_as_the_specification_wants_them() {
    let response = registered(&RegistrationId::from_text("5a3f"));
    assert_eq!(response.code, Code::CREATED);
    let location: Vec<&[u8]> = response.options.all(number::LOCATION_PATH).collect();
    assert_eq!(location, [b"rd".as_slice(), b"5a3f".as_slice()]);
    assert_eq!(updated().code, Code::CHANGED);
    assert_eq!(deregistered().code, Code::DELETED);
    assert_eq!(sent().code, Code::CHANGED);
    let response = discovery();
    assert_eq!(
        (response.code, response.options.content_format()),
        (Code::CONTENT, Some(40))
    );
    assert!(
        response.payload.len() < 60,
        "strangers get no more than three times what they send"
    );
    let text = String::from_utf8(response.payload).expect("UTF-8");
    assert_eq!(link_format::parse(&text).1, []);
    let refused = Response::from(Refusal::new(Code::FORBIDDEN, "no"));
    assert_eq!(
        (refused.code, refused.payload.as_slice()),
        (Code::FORBIDDEN, b"no".as_slice())
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn classifying_never_panics(
        path in prop::sample::select(vec!["/rd", "/rd/x", "/dp", "/.well-known/core"]),
        query in prop::collection::vec("(ep|lt|lwm2m|b|Q|sms|x)=?[^=]{0,6}", 0..6),
        payload in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let query: Vec<&str> = query.iter().map(String::as_str).collect();
        let mut request = asked(Code::POST, path, &query, "x");
        request.payload = payload;
        let _ = call(&request);
    }

    #[test]
    fn what_is_announced_is_understood(
        root in prop::sample::select(vec!["", "/lwm2m", "/a/b"]),
        formats in prop::collection::btree_set(any::<u16>(), 0..8),
        ids in prop::collection::btree_map((0..=Path::MAX_ID, prop::option::of(0..=Path::MAX_ID)), prop::option::of("[0-9]\\.[0-9]"), 1..20),
    ) {
        let objects: Vec<AnnouncedObject> = ids
            .into_iter()
            .map(|((object, instance), version)| match instance {
                None => AnnouncedObject { path: Path::object(object), version },
                Some(instance) => AnnouncedObject { path: Path::instance(object, instance), version: None },
            })
            .collect();
        let formats: Vec<u16> = formats.into_iter().collect();
        let register = register(&["lwm2m=1.1"], &link_format::announce(root, &formats, &objects)).expect("ours");
        prop_assert_eq!(register.objects, objects);
        prop_assert_eq!(register.formats, formats);
        prop_assert_eq!(register.root, root);
        prop_assert_eq!(register.warnings, vec![]);
    }
}
