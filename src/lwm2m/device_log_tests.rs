//! Logs as devices write them, and as nobody should.

use ciborium::cbor;
use proptest::prelude::*;

use super::*;

const LIMITS: LogLimits = LogLimits {
    max_line_bytes: 60,
    max_lines: 5,
};

fn read(bytes: &[u8]) -> Vec<String> {
    lines(&Value::Opaque(bytes.to_vec()), None, LIMITS)
        .into_iter()
        .map(|line| match line.level {
            Some(level) => format!("{level}|{}", line.text),
            None => line.text,
        })
        .collect()
}

fn encoded(value: &Cbor) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("CBOR");
    bytes
}

#[test]
fn levels_are_found_in_every_usual_form() {
    for (line, read_as) in [
        (
            "[00:00:12.345,678] <inf> app: started",
            "inf|[00:00:12.345,678] app: started",
        ),
        (
            "\u{1b}[1;31m[00:00:00.010,000] <err> net: down\u{1b}[0m",
            "err|[00:00:00.010,000] net: down",
        ),
        ("<wrn> lone: text", "wrn|lone: text"),
        ("[DEBUG] text", "dbg|text"),
        ("I: minimal", "inf|minimal"),
        ("W (1234) wifi: weak", "wrn|(1234) wifi: weak"),
        ("ERROR something broke", "err|something broke"),
        ("warning: low battery", "wrn|low battery"),
        (
            "<134>1 2026-01-01T00:00:00Z host app",
            "inf|1 2026-01-01T00:00:00Z host app",
        ),
        ("<11>disk", "err|disk"),
        (
            "[2026-01-01 12:00:00] [error] text",
            "err|[2026-01-01 12:00:00] text",
        ),
        // What only looks like one.
        ("I am here", "I am here"),
        ("information is missing", "information is missing"),
        ("error happened", "error happened"),
        ("<b>bold</b>", "<b>bold</b>"),
        ("[sensor] 21.5", "[sensor] 21.5"),
        ("[", "["),
        ("<", "<"),
        ("E", "E"),
        ("[12", "[12"),
    ] {
        assert_eq!(read(line.as_bytes()), [read_as], "{line:?}");
    }
}

#[test]
fn each_line_is_one_and_empty_ones_are_none() {
    assert_eq!(
        read(b"one\r\n\n  two\t2\x07 \nthree\0\0"),
        ["one", "  two\t2", "three"]
    );
    assert_eq!(read(b""), Vec::<String>::new());
    assert_eq!(read(b"\n\r\n \0"), Vec::<String>::new());
    let text = Value::String("a\nb".into());
    assert_eq!(lines(&text, None, LIMITS).len(), 2);
    assert_eq!(lines(&Value::Integer(7), None, LIMITS)[0].text, "7");
}

#[test]
fn cbor_is_unwrapped() {
    // Not UTF-8, so that it is not taken for text.
    let list = cbor!(["<inf> one", "two\nthree", {"t" => 12, "msg" => "four"}]);
    let bytes = encoded(&list.expect("a list"));
    assert!(std::str::from_utf8(&bytes).is_err());
    assert_eq!(
        read(&bytes),
        ["inf|one", "two", "three", "{t: 12, msg: four}"]
    );
    let bytes = Cbor::Bytes("<err> wrapped ü".as_bytes().to_vec());
    let mut twice = encoded(&Cbor::Tag(24, Box::new(bytes.clone())));
    twice.extend(encoded(&Cbor::Array(vec![
        bytes,
        Cbor::Null,
        Cbor::Bool(true),
    ])));
    assert_eq!(
        read(&twice),
        ["err|wrapped ü", "err|wrapped ü", "null", "true"]
    );
}

#[test]
fn what_the_device_calls_cbor_is_read_as_such_where_it_is() {
    let short = encoded(&Cbor::Text("<err> x".into()));
    let as_cbor = |bytes: &[u8]| lines(&Value::Opaque(bytes.to_vec()), Some(FORMAT_CBOR), LIMITS);
    assert_eq!(read(&short), ["g<err> x"], "without knowing");
    assert_eq!(as_cbor(&short)[0].level, Some(LogLevel::Error));
    assert_eq!(as_cbor(b"plain text")[0].text, "plain text");
}

#[test]
fn what_is_neither_text_nor_cbor_is_shown_in_hexadecimal() {
    assert_eq!(read(&[0xff, 0x00, 0xfe]), ["ff00fe"]);
    let long = read(&[0xff; 40]);
    assert_eq!(long.len(), 2);
    assert_eq!(long[1], "ff".repeat(8));
    // Cut short within an item, and with rubbish behind it.
    let mut list = encoded(&cbor!(["one", "two"]).expect("a list"));
    list.push(0xff);
    assert_eq!(read(&list), [hex::encode(&list)]);
}

#[test]
fn long_lines_and_many_lines_are_cut_and_say_so() {
    let long = "ü".repeat(100);
    assert_eq!(
        read(long.as_bytes()),
        [format!("{}… (140 bytes cut)", "ü".repeat(30))]
    );
    let many = "x\n\n".repeat(100);
    let read = read(many.as_bytes());
    assert_eq!(read.len(), 6);
    assert_eq!(read[5], "… (95 more lines left out)");
}

proptest! {
    #[test]
    fn nothing_breaks_the_limits(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        format in prop::option::of(0..6_i64),
    ) {
        let found = lines(&Value::Opaque(bytes), format, LIMITS);
        prop_assert!(found.len() <= LIMITS.max_lines + 1);
        for line in &found {
            prop_assert!(line.text.len() <= LIMITS.max_line_bytes + 40, "{:?}", line);
            let unclean = line.text.contains(['\n', '\0', '\u{1b}']);
            prop_assert!(!unclean, "{:?}", line);
        }
    }

    #[test]
    fn every_text_is_read(text in "\\PC{0,200}", letters in "[g-z]{1,20}") {
        for line in lines(&Value::String(text), None, LIMITS) {
            prop_assert!(!line.text.is_empty() || line.level.is_some());
        }
        let found = lines(&Value::Opaque(letters.clone().into_bytes()), None, LIMITS);
        prop_assert_eq!(&found[0].text, &letters);
    }
}
