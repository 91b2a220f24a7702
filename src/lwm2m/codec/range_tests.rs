//! How far numbers and times may go (Q3).

use super::tests::{node, read, read_hex};
use super::*;

const TEXT: u16 = 0;
const CBOR: u16 = 60;
const SENML_JSON: u16 = 110;
const SENML_CBOR: u16 = 112;
const JSON: u16 = 11_543;
const TLV: u16 = 11_542;

/// The time of one record in SenML-JSON.
fn time(fields: &str) -> Result<Option<i64>, CodecError> {
    let text = format!(r#"[{{"n":"/3/0/9","v":1,{fields}}}]"#);
    let nodes = read(SENML_JSON, "/", text.as_bytes())?;
    Ok(nodes[0].time.map(Timestamp::as_millis))
}

#[test]
fn q3_timestamps_are_read_to_the_millisecond() {
    for (fields, millis) in [
        (r#""t":1700000000"#, 1_700_000_000_000),
        (r#""t":1700000000.123"#, 1_700_000_000_123),
        (r#""t":1700000000.1234567"#, 1_700_000_000_123),
        (r#""t":1.7e9"#, 1_700_000_000_000),
        (r#""bt":1700000000,"t":0.5"#, 1_700_000_000_500),
        (r#""bt":1700000000.25,"t":-0.5"#, 1_699_999_999_750),
        (r#""bt":1700000000"#, 1_700_000_000_000),
    ] {
        assert_eq!(time(fields), Ok(Some(millis)), "{fields}");
    }
    for nothing in [r#""t":0"#, r#""bt":0"#, r#""bt":5,"t":-5"#, r#""x":1"#] {
        assert_eq!(time(nothing), Ok(None), "{nothing}");
    }
}

#[test]
fn q3_timestamps_outside_of_the_years_0_to_9999_are_refused() {
    let last = 253_402_300_799_i64;
    let first = -62_167_219_200_i64;
    assert_eq!(time(&format!(r#""t":{last}"#)), Ok(Some(last * 1000)));
    assert_eq!(time(&format!(r#""t":{first}"#)), Ok(Some(first * 1000)));
    for fields in [
        format!(r#""t":{}"#, last + 1),
        format!(r#""t":{}"#, first - 1),
        format!(r#""bt":{last},"t":1"#),
        format!(r#""bt":{first},"t":-1"#),
        // Milliseconds in the place of seconds.
        r#""t":1700000000000000"#.to_owned(),
        r#""t":9223372036854775807"#.to_owned(),
        r#""t":-9223372036854775808"#.to_owned(),
        r#""t":1e300"#.to_owned(),
        r#""bt":1e308,"t":1e308"#.to_owned(),
    ] {
        let error = time(&fields).expect_err(&fields).to_string();
        assert!(error.contains("outside the years 0 to 9999"), "{error}");
    }
    // Infinite and not a number, which only CBOR can say.
    for item in ["f97c00", "f9fc00", "f97e00", "fb7ff0000000000000"] {
        let hex = format!("81a30066 2f332f302f39 06{item} 0201");
        assert!(read_hex(SENML_CBOR, "/", &hex).is_err(), "{item}");
    }
}

#[test]
fn q3_times_as_values_are_whole_seconds_of_64_bits() {
    let at = "/3442/0/160";
    for (text, seconds) in [
        ("0", 0),
        ("-1", -1),
        ("1367491215", 1_367_491_215),
        ("1367491215.9", 1_367_491_215),
        ("9223372036854775807", i64::MAX),
    ] {
        assert_eq!(
            read(TEXT, at, text.as_bytes()),
            Ok(vec![node(at, Value::Time(seconds))]),
            "{text}"
        );
    }
    for text in ["", "now", "9223372036854775808", "1e30", "NaN", "0x10"] {
        assert!(read(TEXT, at, text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn q3_unsigned_integers_have_64_bits_in_every_format() {
    let at = "/3442/0/125";
    for number in [
        0,
        1,
        255,
        1 << 31,
        1 << 32,
        (1 << 53) + 1,
        1 << 63,
        u64::MAX,
    ] {
        let wanted = vec![node(at, Value::UnsignedInteger(number))];
        let text = number.to_string();
        let senml = format!(r#"[{{"n":"{at}","v":{number}}}]"#);
        let json = format!(r#"{{"bn":"{at}","e":[{{"v":{number}}}]}}"#);
        assert_eq!(read(TEXT, at, text.as_bytes()), Ok(wanted.clone()));
        assert_eq!(read(SENML_JSON, at, senml.as_bytes()), Ok(wanted.clone()));
        assert_eq!(read(JSON, at, json.as_bytes()), Ok(wanted.clone()));
        let item = format!("1b{number:016x}");
        assert_eq!(read_hex(CBOR, at, &item), Ok(wanted.clone()));
        let lwm2m = format!("a1190d72a100a1187d{item}");
        assert_eq!(read_hex(11_544, at, &lwm2m), Ok(wanted.clone()));
        assert_eq!(
            read_hex(TLV, at, &format!("c87d08{number:016x}")),
            Ok(wanted)
        );
    }
    for wrong in [
        "-1",
        "18446744073709551616",
        "1.5",
        "1e20",
        "",
        "+-1",
        "1_0",
    ] {
        assert!(read(TEXT, at, wrong.as_bytes()).is_err(), "{wrong}");
        let senml = format!(r#"[{{"n":"{at}","v":{wrong}}}]"#);
        assert!(read(SENML_JSON, at, senml.as_bytes()).is_err(), "{wrong}");
    }
    // -1, 1.5, 2^64 as bignum.
    for wrong in ["20", "f93e00", "c249010000000000000000"] {
        assert!(read_hex(CBOR, at, wrong).is_err(), "{wrong}");
    }
    // Three bytes are no length of a number in TLV.
    assert!(read_hex(TLV, at, "c37d000001").is_err());
}

#[test]
fn q3_integers_are_never_wrapped() {
    let at = "/3442/0/120";
    for number in [i64::MIN, -1, 0, i64::MAX] {
        let wanted = Ok(vec![node(at, Value::Integer(number))]);
        assert_eq!(read(TEXT, at, number.to_string().as_bytes()), wanted);
        let senml = format!(r#"[{{"n":"{at}","v":{number}}}]"#);
        assert_eq!(read(SENML_JSON, at, senml.as_bytes()), wanted);
    }
    for wrong in ["9223372036854775808", "-9223372036854775809", "1e19", "0.5"] {
        assert!(read(TEXT, at, wrong.as_bytes()).is_err(), "{wrong}");
        let senml = format!(r#"[{{"n":"{at}","v":{wrong}}}]"#);
        assert!(read(SENML_JSON, at, senml.as_bytes()).is_err(), "{wrong}");
    }
    assert!(read_hex(CBOR, at, "1b8000000000000000").is_err());
    assert!(read_hex(CBOR, at, "3b8000000000000000").is_err());
}
