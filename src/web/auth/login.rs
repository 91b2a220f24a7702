//! Sessions of people: logging in and out, changing one's password, the first admin.

use std::time::Duration;

use actix_identity::{Identity as SessionIdentity, IdentityExt as _};
use actix_session::SessionExt as _;
use actix_web::web::Data;
use actix_web::{HttpMessage as _, HttpRequest};

use crate::domain::{AuditEntry, Doer, Timestamp};
use crate::store::{Role, StoreError, User, UserStore};
use crate::web::{ApiError, AppState};

use super::access::{Credential, Identity};
use super::{password, proxies, session, views};

/// The login name of the account that the first start makes.
pub const FIRST_ADMIN: &str = "admin";

/// Why somebody could not log in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoginError {
    /// Nobody has this name and password. Which of them is wrong is not told.
    #[error("the name or the password is wrong")]
    Refused,
    /// Too many failures lately, for this name or from this address.
    #[error("too many failed logins, try again later")]
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The server could not look.
    #[error("{0}")]
    Server(ApiError),
}

/// Why a password was not changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ChangePasswordError {
    /// The present password is not right, or it was tried too often.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The new password cannot be used: why.
    #[error("{0}")]
    Unusable(String),
}

/// Finds the person with this name and password, as often as `web.login_attempts` allows. It
/// begins no session yet: see [`start_session`].
///
/// # Errors
/// See [`LoginError`].
pub async fn login(
    request: &HttpRequest,
    name: &str,
    password: String,
) -> Result<User, LoginError> {
    let state = app_state(request)?;
    let remote = proxies::client_address(request, &state.settings.web.trusted_proxies);
    state
        .login_limits
        .attempt(name, remote)
        .map_err(|retry_after| LoginError::TooMany { retry_after })?;
    let user = state.stores.users.find(name).await?;
    let hash = user.as_ref().map(|user| user.password_hash.clone());
    let right = state.passwords.verify(password, hash).await?;
    let Some(user) = user.filter(|_| right) else {
        tracing::warn!(client.address = %remote, "A login from {remote} was refused");
        return Err(LoginError::Refused);
    };
    state.login_limits.succeeded(name, remote);
    Ok(user)
}

/// Begins a session of somebody who has logged in, under a new key.
///
/// # Errors
/// When the session cannot be made.
pub async fn start_session(request: &HttpRequest, user: &User) -> Result<(), ApiError> {
    let state = app_state(request)?;
    let now = Timestamp::system();
    let session = request.get_session();
    // Nothing of a session from before the login lives on.
    session.clear();
    let deadline = session::deadline(&state.settings.web, now).as_millis();
    session
        .insert(session::DEADLINE_KEY, deadline)
        .map_err(ApiError::internal)?;
    SessionIdentity::login(&request.extensions(), user.name.clone()).map_err(ApiError::internal)?;
    audit(request, &state, &user.name, "session.start").await;
    Ok(())
}

/// Ends the session of this request, if it has one.
///
/// # Errors
/// Without the server's state.
pub async fn end_session(request: &HttpRequest) -> Result<(), ApiError> {
    let state = app_state(request)?;
    let name = request
        .get_identity()
        .ok()
        .and_then(|identity| identity.id().ok());
    request.get_session().purge();
    if let Some(name) = name {
        audit(request, &state, &name, "session.end").await;
    }
    Ok(())
}

/// Changes the password of the person who is asking. All their sessions end; this request's is
/// begun anew.
///
/// # Errors
/// See [`ChangePasswordError`].
pub async fn change_password(
    request: &HttpRequest,
    identity: &Identity,
    present: String,
    new: String,
) -> Result<(), ChangePasswordError> {
    let state = app_state(request)?;
    if !matches!(identity.credential, Credential::Session(_)) {
        let why = "a token has no password".to_owned();
        return Err(ChangePasswordError::Unusable(why));
    }
    password::check_new(&new).map_err(ChangePasswordError::Unusable)?;
    if new == present {
        let why = "the new password is the present one".to_owned();
        return Err(ChangePasswordError::Unusable(why));
    }
    let user = login(request, &identity.name, present).await?;
    let hash = state.passwords.hash_new(new).await?;
    if !state.stores.users.set_password(&user.name, &hash).await? {
        return Err(LoginError::Refused.into());
    }
    views::record(&state.stores, identity, "user.password", &user.name, "").await;
    start_session(request, &user).await?;
    Ok(())
}

/// Makes the account `admin` with a random password when there is nobody yet, and returns the
/// password, this once.
///
/// # Errors
/// When the store fails.
pub async fn ensure_admin(users: &dyn UserStore) -> Result<Option<String>, ApiError> {
    if !users.list().await?.is_empty() {
        return Ok(None);
    }
    let secret = password::random()?;
    let user = User {
        id: 0,
        name: FIRST_ADMIN.to_owned(),
        role: Role::Admin,
        password_hash: password::hash(&secret)?,
        must_change_password: true,
        created_at: Timestamp::system(),
    };
    match users.add(user).await {
        Ok(_) => Ok(Some(secret)),
        // Another process was faster; it has told the password.
        Err(StoreError::Exists(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn audit(request: &HttpRequest, state: &AppState, name: &str, action: &str) {
    let remote = proxies::client_address(request, &state.settings.web.trusted_proxies);
    let by = Doer {
        actor: name.to_owned(),
        remote: remote.to_string(),
    };
    let entry = AuditEntry::new(by, Timestamp::system(), action, name, String::new());
    views::write(&state.stores, entry).await;
}

fn app_state(request: &HttpRequest) -> Result<Data<AppState>, ApiError> {
    request
        .app_data::<Data<AppState>>()
        .cloned()
        .ok_or_else(|| ApiError::internal("the server was put together without its state"))
}

impl From<ApiError> for LoginError {
    fn from(error: ApiError) -> Self {
        Self::Server(error)
    }
}

impl From<StoreError> for LoginError {
    fn from(error: StoreError) -> Self {
        Self::Server(error.into())
    }
}

impl From<ApiError> for ChangePasswordError {
    fn from(error: ApiError) -> Self {
        Self::Login(error.into())
    }
}

impl From<StoreError> for ChangePasswordError {
    fn from(error: StoreError) -> Self {
        Self::Login(error.into())
    }
}

impl From<LoginError> for ApiError {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::Refused => Self::unauthorized(error.to_string()),
            LoginError::TooMany { retry_after } => {
                Self::too_many(error.to_string(), Some(retry_after))
            }
            LoginError::Server(error) => error,
        }
    }
}

impl From<ChangePasswordError> for ApiError {
    fn from(error: ChangePasswordError) -> Self {
        match error {
            ChangePasswordError::Login(error) => error.into(),
            ChangePasswordError::Unusable(why) => Self::invalid("password", why),
        }
    }
}
