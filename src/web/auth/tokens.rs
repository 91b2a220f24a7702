//! Tokens for programs: `fnx_` and 256 random bits; only their SHA-256 is stored.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::domain::{Doer, Timestamp};
use crate::store::{ApiToken, Role, StoreError, TokenStore, UserStore};
use crate::web::ApiError;

use super::names::check_token_name;

/// What every token begins with, so that scanners for leaked secrets know it.
pub const PREFIX: &str = "fnx_";

/// The longest life of a token that ends, in days.
const MAX_DAYS: u64 = 36_500;

/// The prefix and 32 bytes of base64.
const LENGTH: usize = 47;

/// The time of the last use is exact to this.
const USE_INTERVAL: Duration = Duration::from_secs(60);

/// What somebody wants of a new token.
#[derive(Clone, Debug)]
pub struct TokenWish<'a> {
    /// What it is for.
    pub name: &'a str,
    /// What it may do.
    pub role: Role,
    /// Whose it is.
    pub owner: Option<&'a str>,
    /// After this time it ends.
    pub expires_in: Option<Duration>,
}

/// How long a token lives that ends after so many days, as `field` says.
///
/// # Errors
/// 422 when that is no time or too long.
pub(in crate::web) fn lifetime(field: &'static str, days: u64) -> Result<Duration, ApiError> {
    if !(1..=MAX_DAYS).contains(&days) {
        let detail = format!("a token lives from 1 to {MAX_DAYS} days");
        return Err(ApiError::invalid(field, detail));
    }
    Ok(Duration::from_secs(days * 24 * 3600))
}

/// Makes and stores a token; its text is returned this once.
///
/// # Errors
/// 422 when the name cannot be used, 409 when it is taken, and when the store fails.
pub async fn create(
    store: &dyn TokenStore,
    wish: TokenWish<'_>,
    by: Doer,
) -> Result<(ApiToken, String), ApiError> {
    check_token_name(wish.name)?;
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    let text = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
    let now = Timestamp::system();
    let token = ApiToken {
        id: 0,
        name: wish.name.to_owned(),
        role: wish.role,
        hash: hash(&text),
        created_at: now,
        expires_at: wish.expires_in.map(|time| now.plus(time)),
        last_used_at: None,
        owner: wish.owner.map(str::to_owned),
    };
    Ok((store.add(token, by).await?, text))
}

/// The token with this text, if it is in force. Notes its use, at most once a minute.
///
/// # Errors
/// 401 when there is none or its time is over.
pub async fn verify(
    store: &dyn TokenStore,
    text: &str,
    now: Timestamp,
) -> Result<ApiToken, ApiError> {
    let unknown = || ApiError::unauthorized("this token is not known");
    if text.len() != LENGTH || !text.starts_with(PREFIX) {
        return Err(unknown());
    }
    let token = store.find(&hash(text)).await?.ok_or_else(unknown)?;
    if !in_force(&token, now) {
        return Err(ApiError::unauthorized("this token has expired"));
    }
    let used_lately = token
        .last_used_at
        .is_some_and(|last| now.since(last) < USE_INTERVAL);
    if !used_lately {
        match store.used(token.id, now).await {
            Ok(()) => {}
            // Reading must go on when the writer is behind.
            Err(error @ (StoreError::Busy { .. } | StoreError::Closed)) => {
                tracing::debug!(error = %error, "The use of a token was not noted: {error}");
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(token)
}

/// What a token may do now: no more than the person it belongs to may, and nothing without that person.
///
/// # Errors
/// When the store fails.
pub(super) async fn role_now(
    users: &dyn UserStore,
    token: &ApiToken,
) -> Result<Option<Role>, StoreError> {
    let Some(owner) = &token.owner else {
        return Ok(Some(token.role));
    };
    let owner = users.find(owner).await?;
    Ok(owner
        .filter(|owner| !owner.disabled)
        .map(|owner| owner.role.min(token.role)))
}

/// True before the token's end.
pub fn in_force(token: &ApiToken, now: Timestamp) -> bool {
    token.expires_at.is_none_or(|end| now < end)
}

/// What is stored of a token or session key.
pub(super) fn hash(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}
