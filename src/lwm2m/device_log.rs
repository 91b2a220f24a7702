//! Log data of devices (object 20, Event Log, and texts that are marked as logs) as lines.
//!
//! Resource 4015 (`LogDataFormat`) may say that it is CBOR, but says nothing of how a line looks, and
//! most devices do not have it. So the content is looked at: text is text, CBOR is unwrapped,
//! anything else is shown as hexadecimal digits. Nothing is refused: a log that cannot be read well
//! is better than none.

use ciborium::Value as Cbor;

use crate::domain::{LogLevel, LogLine, Value};

/// What is kept of one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogLimits {
    /// Of one line, in bytes; longer ones are cut, with a mark.
    pub max_line_bytes: usize,
    /// Of one value; what is more is left out, and a line says so.
    pub max_lines: usize,
}

/// `LogDataFormat` of CBOR.
pub const FORMAT_CBOR: i64 = 3;

/// The lines of a value, in their order; `format` is its `LogDataFormat`, where that is known.
pub fn lines(value: &Value, format: Option<i64>, limits: LogLimits) -> Vec<LogLine> {
    let mut lines = Lines {
        lines: Vec::new(),
        left_out: 0,
        limits,
    };
    match value {
        Value::Corelink(text) | Value::String(text) => lines.text(text),
        Value::Opaque(bytes) => lines.bytes(bytes, format),
        other => lines.text(&other.to_string()),
    }
    lines.finish()
}

struct Lines {
    lines: Vec<LogLine>,
    left_out: usize,
    limits: LogLimits,
}

impl Lines {
    fn bytes(&mut self, bytes: &[u8], format: Option<i64>) {
        let text = std::str::from_utf8(bytes).ok();
        let items = match (format, text) {
            // A short CBOR text is also a text with a letter in front.
            (Some(FORMAT_CBOR), _) | (_, None) => cbor(bytes),
            _ => None,
        };
        if let Some(items) = items {
            for item in &items {
                self.cbor(item);
            }
        } else if let Some(text) = text {
            self.text(text);
        } else {
            for chunk in bytes.chunks(BYTES_IN_A_LINE) {
                self.push(None, &hex::encode(chunk));
            }
        }
    }

    /// The items of a list are lines; so are the lines of a text.
    fn cbor(&mut self, item: &Cbor) {
        match item {
            Cbor::Array(items) => {
                for item in items {
                    match item {
                        Cbor::Text(text) => self.text(text),
                        item => {
                            let line = shown(item, self.limits.max_line_bytes);
                            self.text(&line);
                        }
                    }
                }
            }
            Cbor::Text(text) => self.text(text),
            Cbor::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => self.text(text),
                Err(_) => self.push(None, &hex::encode(bytes)),
            },
            item => {
                let line = shown(item, self.limits.max_line_bytes);
                self.text(&line);
            }
        }
    }

    fn text(&mut self, text: &str) {
        for line in text.split(['\n', '\r', '\0']) {
            if self.lines.len() >= self.limits.max_lines && !line.trim().is_empty() {
                // Not even looked at: a value may be all line ends.
                self.left_out = self.left_out.saturating_add(1);
                continue;
            }
            let line = plain(line);
            let line = line.trim_end();
            if !line.trim_start().is_empty() {
                let (level, text) = level(line);
                self.push(level, &text);
            }
        }
    }

    fn push(&mut self, level: Option<LogLevel>, text: &str) {
        if self.lines.len() >= self.limits.max_lines {
            self.left_out = self.left_out.saturating_add(1);
            return;
        }
        let most = self.limits.max_line_bytes;
        let text = if text.len() > most {
            let kept = text.floor_char_boundary(most);
            let cut = text.len().saturating_sub(kept);
            format!(
                "{}… ({cut} bytes cut)",
                text.get(..kept).unwrap_or_default()
            )
        } else {
            text.to_owned()
        };
        self.lines.push(LogLine { level, text });
    }

    fn finish(mut self) -> Vec<LogLine> {
        if self.left_out > 0 {
            self.lines.push(LogLine {
                level: None,
                text: format!("… ({} more lines left out)", self.left_out),
            });
        }
        self.lines
    }
}

/// All of these bytes as CBOR, one item after the other (RFC 8742); nothing when they are none, or
/// nothing that somebody would put a log into.
fn cbor(mut bytes: &[u8]) -> Option<Vec<Cbor>> {
    let mut items = Vec::new();
    while !bytes.is_empty() {
        let item: Cbor = ciborium::from_reader(&mut bytes).ok()?;
        let container = matches!(
            item,
            Cbor::Array(_) | Cbor::Bytes(_) | Cbor::Map(_) | Cbor::Tag(..) | Cbor::Text(_)
        );
        if !container || items.len() >= MAX_ITEMS {
            return None;
        }
        items.push(item);
    }
    (!items.is_empty()).then_some(items)
}

/// An item on one line, not much longer than `most` bytes.
fn shown(item: &Cbor, most: usize) -> String {
    let mut line = String::new();
    show(item, most, &mut line);
    line
}

/// The decoder bounds the depth.
fn show(item: &Cbor, most: usize, line: &mut String) {
    if line.len() > most {
        return;
    }
    match item {
        Cbor::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                line.push_str(if index == 0 { "[" } else { ", " });
                show(item, most, line);
            }
            line.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Cbor::Bool(on) => line.push_str(if *on { "true" } else { "false" }),
        Cbor::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => line.push_str(text),
            Err(_) => line.push_str(&hex::encode(bytes)),
        },
        Cbor::Float(number) => line.push_str(&number.to_string()),
        Cbor::Integer(number) => line.push_str(&i128::from(*number).to_string()),
        Cbor::Map(entries) => {
            for (index, (key, value)) in entries.iter().enumerate() {
                line.push_str(if index == 0 { "{" } else { ", " });
                show(key, most, line);
                line.push_str(": ");
                show(value, most, line);
            }
            line.push_str(if entries.is_empty() { "{}" } else { "}" });
        }
        Cbor::Null => line.push_str("null"),
        Cbor::Tag(_, item) => show(item, most, line),
        Cbor::Text(text) => line.push_str(text),
        _ => line.push('?'),
    }
}

/// A line without what colours it on a terminal (ECMA-48 control sequences) and without other
/// control characters; tabs stay.
fn plain(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' {
            if letters.next_if_eq(&'[').is_some() {
                // Parameters and intermediates, up to the final byte.
                while letters
                    .next_if(|letter| ('\u{20}'..='\u{3f}').contains(letter))
                    .is_some()
                {}
                letters.next_if(|letter| ('\u{40}'..='\u{7e}').contains(letter));
            }
        } else if letter == '\t' || !letter.is_control() {
            plain.push(letter);
        }
    }
    plain
}

/// The level that a line names, and the line without it. Known: Zephyr
/// (`[00:00:12.345,678] <inf> module: text`, and `I: text` of its minimal mode), ESP-IDF
/// (`I (1234) tag: text`), syslog (`<134>1 …`, RFC 5424 section 6.2.1), and words at the beginning.
fn level(line: &str) -> (Option<LogLevel>, String) {
    let unchanged = || (None, line.to_owned());
    let (stamp, rest) = stamped(line);
    let rest = rest.trim_start();
    let without = |level, after: &str| {
        let after = after.trim_start();
        let text = if stamp.is_empty() || after.is_empty() {
            format!("{stamp}{after}")
        } else {
            format!("{stamp} {after}")
        };
        (Some(level), text)
    };
    for (open, close) in [('<', '>'), ('[', ']')] {
        let Some((word, after)) = rest
            .strip_prefix(open)
            .and_then(|inner| inner.split_once(close))
        else {
            continue;
        };
        if let Some(level) = LogLevel::from_word(word.trim()) {
            return without(level, after);
        }
        if let ('<', Ok(priority)) = (open, word.parse::<u8>()) {
            return without(syslog(priority), after);
        }
    }
    let end = rest
        .find(|letter: char| !letter.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    let Some(level) = LogLevel::from_word(word) else {
        return unchanged();
    };
    if let Some(after) = after.strip_prefix(':') {
        return without(level, after);
    }
    // A letter alone is a level only where a number in brackets follows; a word only in capitals.
    let counted = word.len() == 1 && after.starts_with(" (");
    let shouted = word.len() > 1 && word.chars().all(|letter| letter.is_ascii_uppercase());
    if counted || (shouted && (after.starts_with(' ') || after.starts_with('\t'))) {
        return without(level, after);
    }
    unchanged()
}

/// The time in brackets in front of a line, and the rest.
fn stamped(line: &str) -> (&str, &str) {
    let end = line
        .strip_prefix('[')
        .and_then(|inner| inner.find(']'))
        .map(|end| end.saturating_add(2));
    let Some((stamp, rest)) = end.and_then(|end| line.split_at_checked(end)) else {
        return ("", line);
    };
    let is_time = stamp.bytes().any(|byte| byte.is_ascii_digit())
        && stamp
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"[]:.,- TZ+".contains(&byte));
    if is_time { (stamp, rest) } else { ("", line) }
}

/// RFC 5424 section 6.2.1: the three lowest bits are the severity.
fn syslog(priority: u8) -> LogLevel {
    match priority & 7 {
        0..=3 => LogLevel::Error,
        4 => LogLevel::Warning,
        5 | 6 => LogLevel::Info,
        _ => LogLevel::Debug,
    }
}

/// Bytes that are no text, in one line.
const BYTES_IN_A_LINE: usize = 32;
/// CBOR items one after the other.
const MAX_ITEMS: usize = 10_000;

#[cfg(test)]
#[path = "device_log_tests.rs"]
mod tests;
