//! Samples of link format (Q2): what RFC 6690 allows is read without a word, what it does not allow
//! never costs more than the link or attribute that is wrong, and is always told.
//!
//! We are more tolerant than a strict parser on purpose: a device is not to be turned away because
//! of a comma. What can be told apart is kept; nothing is guessed.

use super::*;

/// What is read, in one line, and the codes of the warnings.
fn read(text: &str) -> (String, Vec<String>) {
    let (links, warnings) = parse(text);
    let shown: Vec<String> = links
        .iter()
        .map(|link| {
            let attributes: Vec<String> = link
                .attributes
                .iter()
                .map(|(name, value)| match value {
                    Some(value) => format!("{name}={value}"),
                    None => name.clone(),
                })
                .collect();
            format!("{} {}", link.target, attributes.join(" "))
                .trim_end()
                .to_owned()
        })
        .collect();
    let codes = warnings.into_iter().map(|warning| warning.code).collect();
    (shown.join(" | "), codes)
}

#[test]
fn q2_what_rfc_6690_allows_is_read_without_a_warning() {
    for (text, wanted) in [
        ("", ""),
        ("</>", "/"),
        ("<>", ""),
        ("</1/0>", "/1/0"),
        ("</1/0>,</3/0>", "/1/0 | /3/0"),
        ("</sensors>;ct=40", "/sensors ct=40"),
        (
            "</sensors/temp>;if=\"sensor\",</sensors/light>;if=\"sensor\"",
            "/sensors/temp if=sensor | /sensors/light if=sensor",
        ),
        (
            "</sensors>;ct=40;title=\"Sensor Index\"",
            "/sensors ct=40 title=Sensor Index",
        ),
        (
            "<http://www.example.com/sensors/t123>;anchor=\"/sensors/temp\";rel=\"describedby\"",
            "http://www.example.com/sensors/t123 anchor=/sensors/temp rel=describedby",
        ),
        (
            "</firmware/v2.1>;rt=\"firmware\";sz=262144",
            "/firmware/v2.1 rt=firmware sz=262144",
        ),
        (
            "</s>;rt=\"temperature-c light-lux\"",
            "/s rt=temperature-c light-lux",
        ),
        ("</t>;obs", "/t obs"),
        ("</t>;ct=\"0 41\"", "/t ct=0 41"),
        (
            "</t>;title*=UTF-8'de'%e2%82%ac",
            "/t title*=UTF-8'de'%e2%82%ac",
        ),
        ("</t>;title=\"a \\\"quote\\\"\"", "/t title=a \"quote\""),
        ("</t>;title=\"a, </b>; c=1\"", "/t title=a, </b>; c=1"),
        ("</t>;title=\"\"", "/t title="),
        ("</a%20b/%c3%a9>", "/a%20b/%c3%a9"),
        ("</t?q=1&r=2#f>", "/t?q=1&r=2#f"),
        ("</t>;foo=!#$&'*+-.^_`|~", "/t foo=!#$&'*+-.^_`|~"),
        (
            "</>;rt=\"oma.lwm2m\";ct=\"60 110 112 11542\",</1>;ver=1.1,</1/0>",
            "/ rt=oma.lwm2m ct=60 110 112 11542 | /1 ver=1.1 | /1/0",
        ),
    ] {
        assert_eq!(read(text), (wanted.to_owned(), vec![]), "{text}");
    }
}

#[test]
fn q2_what_rfc_6690_does_not_allow_costs_itself_alone_and_is_told() {
    for (text, wanted, code) in [
        // Between links.
        (",", "", "link_format"),
        ("</1>,", "/1", "link_format"),
        (",</1>", "/1", "link_format"),
        ("</1>,,</3>", "/1 | /3", "link_format"),
        ("</1>, </3>", "/1 | /3", "link_format"),
        ("</1>,\r\n</3>", "/1 | /3", "link_format"),
        ("</1></3>", "", "bad_link"),
        ("</1>;</3>", "/1", "bad_link_attribute"),
        // The target.
        ("/1", "", "bad_link"),
        ("<", "", "bad_link"),
        (">", "", "bad_link"),
        ("</1", "", "bad_link"),
        ("1>", "", "bad_link"),
        ("x</1>", "", "bad_link"),
        ("\"</1>\"", "", "bad_link"),
        ("<</1>>", "", "bad_link"),
        ("</1,</3>", "/3", "bad_link"),
        ("</1>x", "", "bad_link"),
        ("</1>ver=1.1", "", "bad_link"),
        ("</1>,x,</3>", "/1 | /3", "bad_link"),
        // Attributes.
        ("</1>;", "/1", "bad_link_attribute"),
        ("</1>;;ct=60", "/1 ct=60", "bad_link_attribute"),
        ("</1>;=60", "/1", "bad_link_attribute"),
        ("</1>;a b", "/1", "bad_link_attribute"),
        ("</1>;a b=1;ct=60", "/1 ct=60", "bad_link_attribute"),
        ("</1>;\u{e9}=1", "/1", "bad_link_attribute"),
        ("</1>;@=1;ct=60", "/1 ct=60", "bad_link_attribute"),
        ("</1>;a[b]=1", "/1", "bad_link_attribute"),
        ("</1>;\"a\"=1", "/1", "bad_link_attribute"),
        ("</1>;title=a\"b\"", "/1", "bad_link_attribute"),
        ("</1>;title=\"a\"b", "/1", "bad_link_attribute"),
        ("</1>;title=\"a", "/1", "bad_link"),
        ("</1>;title=\"a,</3>", "/1 | /3", "bad_link"),
        ("</1>;title=\"a\\\"", "/1", "bad_link"),
        ("</1>;title=\"a\\", "/1", "bad_link"),
        ("</1>;ver=\"1.1\"", "/1 ver=1.1", "quoted_version"),
    ] {
        let (links, codes) = read(text);
        assert_eq!(links, wanted, "{text}");
        assert!(codes.iter().any(|told| told == code), "{text}: {codes:?}");
        // Its neighbours are read all the same, unless an open bracket swallows the one behind it.
        let between = format!("</33>,{text},</44>");
        let (links, codes) = read(&between);
        assert!(links.starts_with("/33"), "{between}: {links}");
        assert!(links.ends_with("/44"), "{between}: {links}");
        assert!(!codes.is_empty(), "{between}");
    }
}

#[test]
fn q2_spaces_where_none_belong_are_forgiven_in_silence() {
    for (text, wanted) in [
        (" </1>", "/1"),
        ("</1> ", "/1"),
        ("</1> ;ct=60", "/1 ct=60"),
        ("</1>; ct=60", "/1 ct=60"),
        ("</1>;ct =60", "/1 ct=60"),
        ("</1>;ct= 60", "/1 ct=60"),
        ("< /1 >", "/1"),
    ] {
        let (links, codes) = read(text);
        assert_eq!(links, wanted, "{text}");
        assert!(
            codes.iter().all(|code| code == "link_format"),
            "{text}: {codes:?}"
        );
    }
}
