//! Files that mean harm: external entities, entities that expand, files that never end, that are
//! huge, deep or wide, or in no known encoding. Each is refused, quickly and with a reason.

use std::time::{Duration, Instant};

use super::*;
use crate::lwm2m::Models;

const LIMITS: Limits = Limits {
    max_bytes: 2 * 1024 * 1024,
    max_objects: 3,
    max_resources: 4,
};

/// The reason of the refusal; none of these files may cost more than a second, in a debug build.
fn refused(bytes: &[u8]) -> String {
    let begun = Instant::now();
    let error = parse(bytes, &LIMITS).expect_err("an attack");
    assert!(begun.elapsed() < Duration::from_secs(5), "{error}");
    let text = error.to_string();
    assert!(text.len() < 300, "{text}");
    text
}

#[test]
fn external_entities_are_refused_with_the_document_type() {
    for document_type in [
        "<!DOCTYPE LWM2M [<!ENTITY xxe SYSTEM \"file:///etc/passwd\">]>",
        "<!DOCTYPE LWM2M SYSTEM \"http://127.0.0.1:1/evil.dtd\">",
        "<!DOCTYPE LWM2M [<!ENTITY % p SYSTEM \"http://127.0.0.1:1/\"> %p;]>",
        "<!DOCTYPE LWM2M PUBLIC \"-//X//Y\" \"http://127.0.0.1:1/\">",
        "<!DOCTYPE LWM2M>",
    ] {
        let file = format!(
            "<?xml version=\"1.0\"?>\n{document_type}<LWM2M><Object><Name>&xxe;</Name>\
             <ObjectID>1</ObjectID></Object></LWM2M>"
        );
        let why = refused(file.as_bytes());
        assert_eq!(
            why,
            "line 2: a document type (DTD) is not allowed in a definition"
        );
    }
}

#[test]
fn a_billion_laughs_are_not_laughed() {
    let mut entities = String::from("<!ENTITY l0 \"lol\">");
    for level in 1..10 {
        let before = format!("&l{};", level - 1).repeat(10);
        entities.push_str(&format!("<!ENTITY l{level} \"{before}\">"));
    }
    let file = format!("<!DOCTYPE x [{entities}]><LWM2M>&l9;</LWM2M>");
    assert!(refused(file.as_bytes()).contains("document type"));
    let hidden = format!("<LWM2M><!DOCTYPE x [{entities}]>&l9;</LWM2M>");
    assert!(refused(hidden.as_bytes()).contains("well-formed"));
}

#[test]
fn an_entity_that_nobody_declared_is_not_read() {
    let file = "<LWM2M><Object><Name>&xxe;</Name><ObjectID>1</ObjectID></Object></LWM2M>";
    assert!(refused(file.as_bytes()).contains("xxe"));
}

#[test]
fn a_file_that_ends_anywhere_is_refused() {
    let file = write(Models::builtin().object(3, None).expect("object 3"));
    let whole = file.trim_end();
    for end in 0..whole.len() {
        assert!(parse(&whole.as_bytes()[..end], &LIMITS).is_err(), "{end}");
    }
    let cut = whole.len() / 2;
    assert!(refused(&whole.as_bytes()[..cut]).starts_with("line "));
    assert_eq!(refused(b" \n "), "line 1: the file is empty");
}

#[test]
fn a_file_above_the_limit_is_refused_unread() {
    let huge = vec![b'<'; LIMITS.max_bytes + 1];
    assert_eq!(refused(&huge), "the file has more than 2097152 bytes");
}

#[test]
fn too_many_objects_and_resources_are_refused() {
    let object = |id: u16| format!("<Object><Name>A</Name><ObjectID>{id}</ObjectID></Object>");
    let objects: String = (0..4).map(object).collect();
    let why = refused(format!("<LWM2M>{objects}</LWM2M>").as_bytes());
    assert_eq!(why, "line 1, <LWM2M>: it defines more than 3 objects");
    let items: String = (0..5)
        .map(|id| format!("<Item ID=\"{id}\"><Name>A</Name></Item>"))
        .collect();
    let file = format!(
        "<LWM2M><Object><Name>A</Name><ObjectID>1</ObjectID><Resources>{items}</Resources></Object></LWM2M>"
    );
    let why = refused(file.as_bytes());
    assert_eq!(why, "line 1, <Object>: it has more than 4 resources");
}

#[test]
fn elements_nested_too_deep_are_refused_however_deep() {
    for depth in [17, 40_000] {
        let file = format!(
            "<LWM2M>{}{}</LWM2M>",
            "<a>".repeat(depth),
            "</a>".repeat(depth)
        );
        let why = refused(file.as_bytes());
        assert!(why.contains("nested more than 16 deep"), "{why}");
    }
    let unclosed = "<a>".repeat(90_000);
    assert!(refused(unclosed.as_bytes()).contains("ends too early"));
}

/// The XML parser compares each attribute of an element with every other.
#[test]
fn an_element_with_very_many_attributes_is_not_even_parsed() {
    let attributes: String = (0..90_000)
        .map(|number| format!(" a{number}\n=\n''"))
        .collect();
    let why = refused(format!("<LWM2M{attributes}/>").as_bytes());
    assert_eq!(
        why,
        "line 1: the file has an element with more than 64 attributes"
    );
    // `>` may be part of a value.
    let attributes: String = (0..90_000)
        .map(|number| format!(" a{number}='>'"))
        .collect();
    assert!(refused(format!("<LWM2M{attributes}/>").as_bytes()).contains("64 attributes"));
}

/// The XML parser copies the namespaces in force to each element that declares one more.
#[test]
fn very_many_namespaces_are_not_even_parsed() {
    let nested: String = (0..40_000)
        .map(|number| format!("<a xmlns:n{number}='{number}'>"))
        .collect();
    let why = refused(format!("<LWM2M>{nested}").as_bytes());
    assert!(
        why.contains("more than 64 declarations of namespaces"),
        "{why}"
    );
}

#[test]
fn very_many_tags_are_not_even_parsed() {
    let why = refused(format!("<LWM2M>{}</LWM2M>", "<a/>".repeat(100_000)).as_bytes());
    assert!(why.contains("more than 100000 tags"), "{why}");
    let signs = "=".repeat(100_001);
    assert!(refused(format!("<LWM2M>{signs}</LWM2M>").as_bytes()).contains("equals signs"));
}

#[test]
fn other_encodings_are_refused_where_they_begin_to_differ() {
    let latin = b"<LWM2M>\n<Object>\n<Name>K\xfchler</Name></Object></LWM2M>";
    assert_eq!(refused(latin), "line 3: the file is not in UTF-8");
    let utf16: Vec<u8> = "<LWM2M/>"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert!(refused(&utf16).starts_with("line 1"));
    assert!(refused(b"\xff\xfe<\0").contains("UTF-8"));
    assert!(refused(b"\x1f\x8b\x08\0\0\0").contains("line 1"));
    assert!(refused(b"<LWM2M>\0</LWM2M>").contains("non-XML"));
}

#[test]
fn long_texts_are_refused_and_not_repeated() {
    let long = "x".repeat(100_000);
    for line in [
        format!("<Name>{long}</Name><ObjectID>1</ObjectID>"),
        format!("<Name>A</Name><ObjectID>{long}</ObjectID>"),
        format!("<Name>A</Name><ObjectID>1</ObjectID><ObjectVersion>{long}</ObjectVersion>"),
        format!("<Name>A</Name><ObjectID>1</ObjectID><Mandatory>{long}</Mandatory>"),
        format!("<{long}>"),
    ] {
        refused(format!("<LWM2M><Object>{line}</Object></LWM2M>").as_bytes());
    }
    refused(format!("<{long}/>").as_bytes());
}

/// Each object of a file repeats the root element in its own source.
#[test]
fn a_huge_root_element_is_not_copied_for_each_object() {
    let object = |id: u16| format!("<Object><Name>A</Name><ObjectID>{id}</ObjectID></Object>");
    let long = "x".repeat(1_000_000);
    let file = format!("<LWM2M a='{long}'>{}{}</LWM2M>", object(1), object(2));
    assert!(refused(file.as_bytes()).contains("more than 4096 bytes"));
}

/// Paths in names are names: nothing of a file becomes the name of a file.
#[test]
fn a_name_may_look_like_a_path_or_like_markup() {
    for name in [
        "../../etc/passwd",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "{{ 7 * 7 }}",
    ] {
        let file =
            format!("<LWM2M><Object><Name>{name}</Name><ObjectID>1</ObjectID></Object></LWM2M>");
        let definitions = parse(file.as_bytes(), &LIMITS).expect("a name");
        let model = &definitions[0].model;
        assert_eq!(model.name, name.replace("&lt;", "<").replace("&gt;", ">"));
        let again = parse(write(model).as_bytes(), &LIMITS).expect("written");
        assert_eq!(&again[0].model, model);
    }
}
