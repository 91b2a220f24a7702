//! SenML-ETCH (RFC 8790): the paths of a FETCH, the changes of an iPATCH.

use super::tests::{models, node, path};
use super::*;

const ETCH_JSON: u16 = 320;
const ETCH_CBOR: u16 = 322;

fn json(text: &str) -> Result<Changes, CodecError> {
    decode_changes(ETCH_JSON, text.as_bytes(), models())
}

fn paths(texts: &[&str]) -> Vec<Path> {
    texts.iter().map(|text| path(text)).collect()
}

#[test]
fn q1_a_fetch_pack_names_paths() {
    // As in RFC 8790 section 3.1: base name, names, a time that is matched by nobody here.
    let text = br#"[{"bn":"/3311/0/","n":"5850","t":1.276020091e+09},{"n":"5851","v":1}]"#;
    assert_eq!(
        decode_paths(ETCH_JSON, text),
        Ok(paths(&["/3311/0/5850", "/3311/0/5851"]))
    );
    for format in [ContentFormat::SenmlEtchJson, ContentFormat::SenmlEtchCbor] {
        let wanted = paths(&["/3/0/9", "/1"]);
        let written = encode_paths(format, &wanted).expect("paths");
        let plain = encode_paths(format.of_answers(), &wanted).expect("paths");
        assert_eq!(written, plain, "the same bytes under another number");
        assert_eq!(decode_paths(format.code(), &written), Ok(wanted));
    }
}

#[test]
fn q1_a_patch_pack_writes_and_removes() {
    // RFC 8790 section 3.2, with names of LwM2M.
    let changes = json(
        r#"[{"bn":"/3442/0/","n":"140","vb":false},{"n":"1120/7","v":null},{"n":"1110/1"},
            {"bn":"/3442/0/1130/2","vs":null}]"#,
    )
    .expect("changes");
    assert_eq!(changes.nodes, [node("/3442/0/140", Value::Boolean(false))]);
    assert_eq!(
        changes.removed,
        paths(&["/3442/0/1120/7", "/3442/0/1110/1", "/3442/0/1130/2"])
    );
    let cbor = "82a2006b2f333434322f302f31343004f4a2006e2f333434322f302f313132302f3702f6";
    let wanted = Changes {
        nodes: changes.nodes,
        removed: paths(&["/3442/0/1120/7"]),
    };
    let payload = hex::decode(cbor).expect("hex");
    let read = decode_changes(ETCH_CBOR, &payload, models());
    assert_eq!(read.as_ref(), Ok(&wanted));
    let written = encode_changes(ContentFormat::SenmlEtchCbor, &wanted, models());
    assert_eq!(hex::encode(written.expect("writable")), cbor);
}

#[test]
fn only_resource_instances_are_removed_and_only_in_etch() {
    for name in ["/3442/0/1120", "/3442/0", "/3442", "/"] {
        let error = json(&format!(r#"[{{"n":"{name}","v":null}}]"#)).expect_err(name);
        assert!(
            error.to_string().contains("only those can be removed"),
            "{error}"
        );
    }
    assert!(json(r#"[{"n":"x","v":null}]"#).is_err());
    // A base name alone names nothing yet.
    assert_eq!(json(r#"[{"bn":"/3442/0/1120/"}]"#), Ok(Changes::default()));
    assert_eq!(
        json(r#"[{"bn":"/3442/0/1120/"},{"n":"7","v":null}]"#).map(|changes| changes.removed),
        Ok(paths(&["/3442/0/1120/7"]))
    );
    let removal = Changes {
        nodes: vec![],
        removed: paths(&["/3442/0/1120/7"]),
    };
    for format in ContentFormat::ALL {
        let written = encode_changes(format, &removal, models());
        assert_eq!(written.is_ok(), format.is_etch(), "{format:?}");
    }
    // In the other formats a null says that there is no value at present.
    let plain = br#"[{"n":"/3442/0/1120/7","v":null}]"#;
    assert_eq!(decode_changes(110, plain, models()), Ok(Changes::default()));
}
