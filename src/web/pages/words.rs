//! How values, times and durations are written for people. `assets/js/words.js` does the same in
//! the browser.

use crate::domain::{Timestamp, UpdateMethod, Value};

/// How long before `now` that was, for example `3 min ago`.
pub(super) fn ago(time: Timestamp, now: Timestamp) -> String {
    if time > now {
        return match duration_seconds(time, now) {
            0..5 => "now".to_owned(),
            seconds => format!("in {}", duration(seconds)),
        };
    }
    match duration_seconds(now, time) {
        0..5 => "now".to_owned(),
        seconds => format!("{} ago", duration(seconds)),
    }
}

/// A duration in its largest unit, for example `45 s`, `3 min`, `5 h`, `12 d`; units change at two
/// of the next.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        172_800..63_072_000 => format!("{} d", seconds / 86_400),
        _ => format!("{} years", seconds / 31_536_000),
    }
}

/// Bytes in the largest unit that leaves at least one of it, for example `1.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    let (mut number, mut unit) = (bytes as f64, "bytes");
    for larger in ["KiB", "MiB", "GiB"] {
        if number < 1024.0 {
            break;
        }
        (number, unit) = (number / 1024.0, larger);
    }
    let digits = usize::from(unit != "bytes" && number < 100.0);
    let text = format!("{number:.digits$}");
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// A value as a table shows it: floats to seven digits, bytes in hexadecimal.
pub(super) fn value(value: &Value) -> String {
    match value {
        Value::Float(number) => float(*number),
        Value::Opaque(bytes) if bytes.is_empty() => "(empty)".to_owned(),
        Value::Opaque(bytes) => {
            let shown = bytes.get(..32).unwrap_or(bytes);
            let more = if shown.len() < bytes.len() { "…" } else { "" };
            format!("{}{more} ({} bytes)", hex::encode(shown), bytes.len())
        }
        Value::Time(seconds) => seconds
            .checked_mul(1000)
            .and_then(Timestamp::from_millis)
            .map_or_else(|| seconds.to_string(), moment),
        other => other.to_string(),
    }
}

/// How an image comes to a device, in words.
pub(super) fn way(method: UpdateMethod) -> &'static str {
    match method {
        UpdateMethod::PullCoap => "over CoAP",
        UpdateMethod::PullHttps => "over HTTPS",
        UpdateMethod::Push => "pushed in blocks",
    }
}

/// The ways of updates for a choice: what a program calls each, and its words.
pub(super) fn ways() -> [(&'static str, &'static str); 3] {
    UpdateMethod::ALL.map(|method| (method.name(), way(method)))
}

/// Units as people write them; devices and models write those of SenML (RFC 8428).
pub(super) fn units(units: &str) -> &str {
    match units {
        "/100" => "%",
        "%RH" => "% RH",
        "Cel" => "°C",
        "Ohm" => "Ω",
        "degF" => "°F",
        "lat" | "lon" | "deg" => "°",
        "m2" => "m²",
        "m3" => "m³",
        "m/s2" => "m/s²",
        other => other,
    }
}

/// `2026-01-31 12:00:00 UTC`; a device's time is not turned into the reader's.
pub(super) fn moment(time: Timestamp) -> String {
    let text = time.to_string();
    match text.split_once('T') {
        Some((date, rest)) => format!("{date} {} UTC", rest.get(..8).unwrap_or(rest)),
        None => text,
    }
}

/// Seven significant digits: what a 32-bit float holds, without its noise.
fn float(number: f64) -> String {
    if !number.is_finite() {
        return "not a number".to_owned();
    }
    let rounded: f64 = format!("{number:.6e}").parse().unwrap_or(number);
    if rounded != 0.0 && !(1e-6..1e15).contains(&rounded.abs()) {
        return format!("{rounded:e}");
    }
    rounded.to_string()
}

/// Percent-encodes all but the unreserved characters (RFC 3986 section 2.3).
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// A path with those parameters that have a value.
pub(super) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    let mut address = path.to_owned();
    for (name, value) in parameters.iter().filter(|(_, value)| !value.is_empty()) {
        let separator = if address.contains('?') { '&' } else { '?' };
        address.push_str(&format!("{separator}{name}={}", segment(value)));
    }
    address
}

/// What programs are told with backticks around what was given, in the quotes of people.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    let mut left = text;
    while let Some((before, rest)) = left.split_once('`')
        && let Some((inside, after)) = rest.split_once('`')
    {
        quoted.extend([before, "“", inside, "”"]);
        left = after;
    }
    quoted + left
}

/// An error's text for people: with a capital letter, a full stop, and quotes.
pub(super) fn sentence(text: &str) -> String {
    let text = quoted(text);
    let mut letters = text.chars();
    let mut sentence: String = letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

fn duration_seconds(later: Timestamp, earlier: Timestamp) -> u64 {
    later.since(earlier).as_secs()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_told_in_their_largest_unit() {
        let then = Timestamp::from_millis(1_700_000_000_000).expect("a time");
        for (seconds, text) in [
            (0, "now"),
            (4, "now"),
            (5, "5 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7_199, "119 min ago"),
            (7_200, "2 h ago"),
            (172_800, "2 d ago"),
            (63_072_000, "2 years ago"),
        ] {
            assert_eq!(ago(then, then.plus(Duration::from_secs(seconds))), text);
        }
        assert_eq!(ago(then.plus(Duration::from_secs(600)), then), "in 10 min");
    }

    #[test]
    fn values_are_written_without_noise() {
        for (number, text) in [
            (f64::from(21.4_f32), "21.4"),
            (21.0, "21"),
            (-0.5, "-0.5"),
            (0.0, "0"),
            (123_456.78, "123456.8"),
            (6.5e23, "6.5e23"),
            (f64::NAN, "not a number"),
        ] {
            assert_eq!(value(&Value::Float(number)), text);
        }
        assert_eq!(value(&Value::Opaque(vec![1, 255])), "01ff (2 bytes)");
        assert_eq!(value(&Value::Boolean(true)), "true");
        assert_eq!(
            value(&Value::Time(1_700_000_000)),
            "2023-11-14 22:13:20 UTC"
        );
    }

    #[test]
    fn sizes_are_told_in_their_largest_unit() {
        for (bytes, text) in [
            (0, "0 bytes"),
            (1_023, "1023 bytes"),
            (1_024, "1 KiB"),
            (1_536, "1.5 KiB"),
            (422_000, "412 KiB"),
            (67_108_864, "64 MiB"),
            (1_073_741_824, "1 GiB"),
            (5_000_000_000_000, "4657 GiB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn names_survive_a_url() {
        assert_eq!(
            segment("urn:imei:1 /?#ü"),
            "urn%3Aimei%3A1%20%2F%3F%23%C3%BC"
        );
    }

    #[test]
    fn errors_are_shown_as_sentences() {
        assert_eq!(sentence("it is too short"), "It is too short.");
        assert_eq!(sentence("`a` is no `b`, `c"), "“a” is no “b”, `c.");
        assert_eq!(sentence(""), ".");
    }
}
