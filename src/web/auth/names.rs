//! How people and tokens may be called, so that a line of the audit log says of whom it is.

use crate::domain::Doer;
use crate::web::ApiError;

use super::login::NOBODY;

/// What stands before the name of a token where people and tokens are told apart.
pub(super) const TOKEN_ACTOR: &str = "token:";

/// Nobody is called so: the audit log and operations name by them what no account has done, now or perhaps later.
const TAKEN_WORDS: [&str; 6] = [
    Doer::COMMAND_LINE,
    "firmware",
    "server",
    "system",
    "template",
    NOBODY,
];

/// How a person may be called who is new: as [`check_token_name`] says, and like no other actor of the audit log.
/// Accounts from before this rule go on with their names.
///
/// # Errors
/// 422 naming `name`.
pub fn check_login_name(name: &str) -> Result<(), ApiError> {
    check_token_name(name)?;
    let lower = name.to_lowercase();
    if lower.starts_with(TOKEN_ACTOR) {
        let detail =
            "a login name does not begin with `token:`: so tokens are called in the audit log";
        return Err(ApiError::invalid("name", detail));
    }
    if TAKEN_WORDS.contains(&lower.as_str()) {
        let detail = format!(
            "nobody is called `{name}`: the audit log and operations name by it what no account has done"
        );
        return Err(ApiError::invalid("name", detail));
    }
    Ok(())
}

/// How a token may be called: 1 to 64 visible characters, so that a log line shows them as they are and no two names
/// look alike by what cannot be seen.
///
/// # Errors
/// 422 naming `name`.
pub fn check_token_name(name: &str) -> Result<(), ApiError> {
    let fits = (1..=64).contains(&name.chars().count());
    let escaped_though_visible = ['\'', '"', '\\'];
    let rest: String = name
        .chars()
        .filter(|character| !escaped_though_visible.contains(character))
        .collect();
    let visible = !rest.chars().any(char::is_whitespace) && rest.escape_debug().eq(rest.chars());
    if fits && visible {
        return Ok(());
    }
    let detail =
        "a name has 1 to 64 characters, none of them a space, a control character or invisible";
    Err(ApiError::invalid("name", detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_can_be_seen_and_told_apart() {
        for name in [
            "ada",
            "a",
            "o'hara",
            "DOM\\ada",
            "ada@example.com",
            "José",
            "Jose\u{301}",
            "王",
            "tokens",
        ] {
            assert_eq!(check_login_name(name), Ok(()), "{name}");
        }
        let long = "x".repeat(65);
        for name in [
            "",
            " ",
            "a b",
            "a\nb",
            "a\0",
            "admin\u{200b}",
            "\u{202e}nimda",
            "\u{feff}admin",
            "a\u{ad}",
            &long,
        ] {
            let error = check_token_name(name).expect_err(name);
            assert_eq!(error.field(), Some("name"), "{name:?}");
            assert!(check_login_name(name).is_err(), "{name:?}");
        }
        for name in [
            "cli", "CLI", "unknown", "System", "template", "token:ci", "TOKEN:ci", "token:",
        ] {
            let error = check_login_name(name).expect_err(name);
            assert_eq!(error.field(), Some("name"), "{name}");
            assert!(error.detail().contains("audit log"), "{name}");
            assert_eq!(check_token_name(name), Ok(()), "{name}");
        }
    }
}
