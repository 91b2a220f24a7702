//! `Idempotency-Key`: who sends a request again with the same key finds what was made of the first
//! (draft-ietf-httpapi-idempotency-key-header).

use actix_web::HttpRequest;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::ApiError;
use super::auth::Identity;
use crate::domain::IdempotencyKey;

/// The header.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Says in an answer that nothing was done now, since it had been before.
pub(super) const REPLAYED: &str = "Idempotent-Replayed";

/// A key is as long as this at most.
const MOST_BYTES: usize = 255;

/// The key that came with a request of this person or token for `what`.
///
/// # Errors
/// 400 when there are several, or one is no key.
pub(super) fn key(
    request: &HttpRequest,
    who: &Identity,
    what: &impl Serialize,
) -> Result<Option<IdempotencyKey>, ApiError> {
    let mut values = request.headers().get_all(IDEMPOTENCY_KEY);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(wrong("was sent twice"));
    }
    let text = read(value.as_bytes())?;
    let what = serde_json::to_vec(what).map_err(ApiError::internal)?;
    Ok(Some(IdempotencyKey {
        // No actor's name has a zero in it.
        key: hash(&[who.actor().as_bytes(), &[0], &text]),
        request: hash(&[&what]),
    }))
}

/// What is between the quotes, if there are some: many clients leave them out.
fn read(value: &[u8]) -> Result<Vec<u8>, ApiError> {
    let trimmed = value.trim_ascii();
    let text = match trimmed {
        [b'"', inner @ .., b'"'] => unescape(inner)?,
        [b'"', ..] => return Err(wrong("has no closing quote")),
        bare => bare.to_vec(),
    };
    if text.is_empty() {
        return Err(wrong("is empty"));
    }
    if text.len() > MOST_BYTES {
        return Err(wrong(&format!("is longer than {MOST_BYTES} bytes")));
    }
    if !text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(wrong("has a character that is not printable ASCII"));
    }
    Ok(text)
}

/// A string of structured fields (RFC 9651 section 3.3.3).
fn unescape(inner: &[u8]) -> Result<Vec<u8>, ApiError> {
    let mut text = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => match bytes.next() {
                Some(&escaped @ (b'"' | b'\\')) => text.push(escaped),
                _ => {
                    return Err(wrong(
                        "has a backslash before neither a quote nor a backslash",
                    ));
                }
            },
            b'"' => return Err(wrong("has a quote in it without a backslash")),
            _ => text.push(byte),
        }
    }
    Ok(text)
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}

fn wrong(why: &str) -> ApiError {
    ApiError::parameter(IDEMPOTENCY_KEY, format!("`{IDEMPOTENCY_KEY}` {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_with_quotes_and_without() {
        for (sent, is) in [
            ("abc", "abc"),
            ("\"abc\"", "abc"),
            (" \"a b\" ", "a b"),
            (r#""a\"b\\c""#, r#"a"b\c"#),
            (
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
        ] {
            assert_eq!(read(sent.as_bytes()), Ok(is.as_bytes().to_vec()), "{sent}");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_reason() {
        let long = "x".repeat(256);
        for (sent, why) in [
            ("", "is empty"),
            ("\"\"", "is empty"),
            ("\"", "closing quote"),
            ("\"abc", "closing quote"),
            (r#""a"b""#, "without a backslash"),
            (r#""a\n""#, "backslash before"),
            ("a\u{e9}", "printable"),
            ("a\tb", "printable"),
            (&long, "longer than 255 bytes"),
        ] {
            let error = read(sent.as_bytes()).expect_err(sent).to_string();
            assert!(error.contains(why), "{sent}: {error}");
        }
    }
}
