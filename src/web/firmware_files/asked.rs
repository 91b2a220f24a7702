//! What a request for an image asks for: all of it, a part, or to be told that nothing has changed.
//!
//! Conditions come before ranges (RFC 9110 section 13.2.2). There is no date of a change, so conditions on dates are
//! not fulfilled or not looked at, as section 13.1 wants. Pure: headers in, an answer out.

use std::ops::Range;

use actix_http::header::{self, HeaderMap, HeaderName};

/// What is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All bytes.
    Whole,
    /// These bytes; never none.
    Part(Range<u64>),
    /// If-None-Match names what is there.
    Unchanged,
    /// If-Match does not name what is there.
    Other,
    /// The range begins behind the end.
    Unsatisfiable,
}

/// Looks at the headers of a GET or, where ranges do not count, of a HEAD.
pub(super) fn asked(headers: &HeaderMap, is_get: bool, etag: &str, size: u64) -> Asked {
    if headers.contains_key(header::IF_MATCH)
        && !tags(headers, header::IF_MATCH).any(|tag| tag == "*" || tag == etag)
    {
        return Asked::Other;
    }
    if tags(headers, header::IF_NONE_MATCH).any(|tag| tag == "*" || strong(tag) == etag) {
        return Asked::Unchanged;
    }
    if !is_get || !is_range_fresh(headers, etag) {
        return Asked::Whole;
    }
    let mut ranges = headers.get_all(header::RANGE);
    match (ranges.next(), ranges.next()) {
        (Some(range), None) => range.to_str().map_or(Asked::Whole, |text| part(text, size)),
        _ => Asked::Whole,
    }
}

/// False when what the client has a part of is something else by now; a weak tag never fits.
fn is_range_fresh(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get(header::IF_RANGE)
        .is_none_or(|tag| tag.to_str().is_ok_and(|tag| tag.trim() == etag))
}

fn tags(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    headers
        .get_all(name)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// A tag in the weak comparison: `W/"a"` names `"a"` as well.
fn strong(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// What a Range header selects. What is no single range of bytes is not looked at (section 14.2).
fn part(text: &str, size: u64) -> Asked {
    let Some((unit, range)) = text.split_once('=') else {
        return Asked::Whole;
    };
    let Some((first, last)) = range.trim().split_once('-') else {
        return Asked::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Asked::Whole;
    }
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.trim().is_empty() => first..size,
        (None, Some(length)) if first.trim().is_empty() => size.saturating_sub(length)..size,
        _ => return Asked::Whole,
    };
    if range.is_empty() {
        Asked::Unsatisfiable
    } else {
        Asked::Part(range)
    }
}

/// Digits alone; what is beyond every file is beyond every number too.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use actix_http::header::HeaderValue;
    use rstest::rstest;

    use super::*;

    const ETAG: &str = "\"0011223344556677\"";

    fn get(headers: &[(&str, &str)]) -> Asked {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
            map.append(name, HeaderValue::from_str(value).expect("a value"));
        }
        asked(&map, true, ETAG, 1000)
    }

    #[rstest]
    #[case("bytes=0-499", Asked::Part(0..500))]
    #[case("bytes=500-", Asked::Part(500..1000))]
    #[case("bytes=-300", Asked::Part(700..1000))]
    #[case("bytes=-5000", Asked::Part(0..1000))]
    #[case("bytes=999-999", Asked::Part(999..1000))]
    #[case("Bytes = 10 - 19", Asked::Part(10..20))]
    #[case("bytes=900-99999999999999999999999", Asked::Part(900..1000))]
    #[case("bytes=0-18446744073709551615", Asked::Part(0..1000))]
    #[case("bytes=1000-", Asked::Unsatisfiable)]
    #[case("bytes=99999999999999999999999-", Asked::Unsatisfiable)]
    #[case("bytes=-0", Asked::Unsatisfiable)]
    #[case("bytes=20-10", Asked::Whole)]
    #[case("bytes=0-1,5-6", Asked::Whole)]
    #[case("bytes=-", Asked::Whole)]
    #[case("bytes=+1-2", Asked::Whole)]
    #[case("bytes=a-b", Asked::Whole)]
    #[case("bytes", Asked::Whole)]
    #[case("blocks=0-1", Asked::Whole)]
    fn a_single_range_selects_and_anything_else_is_not_looked_at(
        #[case] range: &str,
        #[case] expected: Asked,
    ) {
        assert_eq!(get(&[("range", range)]), expected, "{range}");
    }

    #[test]
    fn an_image_of_no_bytes_has_no_part() {
        for range in ["bytes=0-", "bytes=-1"] {
            assert_eq!(part(range, 0), Asked::Unsatisfiable);
        }
    }

    #[test]
    fn a_range_goes_on_only_with_what_it_began_with() {
        let range = ("range", "bytes=500-");
        assert_eq!(get(&[range, ("if-range", ETAG)]), Asked::Part(500..1000));
        for other in [
            "\"another\"",
            "W/\"0011223344556677\"",
            "Mon, 30 Nov 2026 09:56:39 GMT",
            "*",
        ] {
            assert_eq!(get(&[range, ("if-range", other)]), Asked::Whole, "{other}");
        }
    }

    #[test]
    fn conditions_come_before_ranges() {
        let range = ("range", "bytes=5000-");
        for same in [ETAG, "*", "\"a\", W/\"0011223344556677\""] {
            assert_eq!(get(&[range, ("if-none-match", same)]), Asked::Unchanged);
        }
        assert_eq!(get(&[("if-none-match", "\"another\"")]), Asked::Whole);
        assert_eq!(get(&[("if-match", ETAG)]), Asked::Whole);
        assert_eq!(get(&[("if-match", "*")]), Asked::Whole);
        assert_eq!(
            get(&[("if-match", "\"a\""), ("if-match", ETAG)]),
            Asked::Whole
        );
        assert_eq!(get(&[range, ("if-match", "\"another\"")]), Asked::Other);
        // The strong comparison.
        assert_eq!(get(&[("if-match", "W/\"0011223344556677\"")]), Asked::Other);
    }

    #[test]
    fn two_ranges_in_two_lines_are_two_ranges() {
        let [one, two] = [("range", "bytes=0-1"), ("range", "bytes=5-6")];
        assert_eq!(get(&[one, two]), Asked::Whole);
    }
}
