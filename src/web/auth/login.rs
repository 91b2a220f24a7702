//! Sessions of people: logging in and out, changing one's password, the first admin.

use std::net::IpAddr;
use std::time::Duration;

use actix_identity::{Identity as SessionIdentity, IdentityExt as _};
use actix_session::SessionExt as _;
use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest};

use crate::domain::{Doer, Timestamp};
use crate::store::{Role, StoreError, User, UserSource, UserStore};
use crate::web::{ApiError, AppState};

use super::access::{Credential, Duty, Identity, app_state};
use super::limits::LoginLimits;
use super::{password, proxies, second_factor, session, tokens, views};

/// The login name of the account that the first start makes.
pub const FIRST_ADMIN: &str = "admin";

/// The actor of what the first start does.
const FIRST_START: &str = "first start";

/// The actor of a login with a name that nobody has.
pub(super) const NOBODY: &str = "unknown";

/// How long a code is waited for after the password.
const CODE_TIME: Duration = Duration::from_secs(300);

/// What is kept of how a browser calls itself.
const MAX_AGENT_CHARS: usize = 200;

/// Where a session keeps whose code is waited for.
const WAITING_KEY: &str = "waits_for_code";

/// Where a session keeps which password was right.
const PASSWORD_KEY: &str = "password_mark";

/// Why somebody could not log in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LoginError {
    /// The password is right, and a one-time code is wanted too.
    #[error("a one-time code is needed too")]
    CodeWanted,
    /// Nobody has this name and password, or the code does not fit. Which of them is wrong is not told.
    #[error("{}", .0.words())]
    Refused(Wrong),
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

/// What did not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The one-time or recovery code, or it was used before.
    Code,
    /// The name or the password.
    Password,
}

impl Wrong {
    fn words(self) -> &'static str {
        match self {
            Self::Code => "the code is wrong or was used before",
            Self::Password => "the name or the password is wrong",
        }
    }
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
/// begins no session yet, and whoever [`has_totp`](User::has_totp) has to give a code too: see [`check_code`]
/// and [`start_session`].
///
/// # Errors
/// See [`LoginError`].
pub async fn login(
    request: &HttpRequest,
    name: &str,
    password: String,
) -> Result<User, LoginError> {
    let state = app_state(request)?;
    let remote = count_attempt(request, &state, &state.login_limits, name).await?;
    let user = state.stores.users.find(name).await?;
    let hash = user
        .as_ref()
        .filter(|user| user.source == UserSource::Local)
        .map(|user| user.password_hash.clone());
    let right = state.passwords.verify(password, hash).await?;
    let known = user.as_ref().map(|user| user.name.clone());
    let Some(user) = user.filter(|user| right && !user.disabled) else {
        tracing::warn!(client.address = %remote, "A login from {remote} was refused");
        let detail = if right { "disabled" } else { "password" };
        note_failure(&state, remote, known.as_deref(), detail).await;
        return Err(LoginError::Refused(Wrong::Password));
    };
    state.login_limits.succeeded(name, remote);
    Ok(user)
}

/// Takes a one-time code, or a recovery code, of somebody whose password was right. Failures count as those of
/// passwords, and for an hour: three codes of a million fit at any moment, and whoever knows the password could try many.
///
/// # Errors
/// See [`LoginError`].
pub async fn check_code(request: &HttpRequest, user: &User, code: &str) -> Result<(), LoginError> {
    let state = app_state(request)?;
    let remote = count_attempt(request, &state, &state.login_limits, &user.name).await?;
    count_attempt(request, &state, &state.code_limits, &user.name).await?;
    let by = Doer {
        actor: user.name.clone(),
        remote: remote.to_string(),
    };
    let stores = &state.stores;
    if !second_factor::take(&*stores.totp, &state.totp, user, code, by).await? {
        tracing::warn!(client.address = %remote, "A one-time code from {remote} was refused");
        note_failure(&state, remote, Some(&user.name), "code").await;
        return Err(LoginError::Refused(Wrong::Code));
    }
    state.login_limits.succeeded(&user.name, remote);
    state.code_limits.succeeded(&user.name, remote);
    Ok(())
}

/// Counts an attempt before it is looked at, and returns from where it comes.
async fn count_attempt(
    request: &HttpRequest,
    state: &AppState,
    limits: &LoginLimits,
    name: &str,
) -> Result<IpAddr, LoginError> {
    let remote = proxies::client_address(request, &state.settings.web.trusted_proxies);
    if let Err(retry_after) = limits.attempt(name, remote) {
        let known = state.stores.users.find(name).await?;
        let known = known.map(|user| user.name);
        note_failure(state, remote, known.as_deref(), "too many").await;
        return Err(LoginError::TooMany { retry_after });
    }
    Ok(remote)
}

/// Writes a line about a login that was refused, as often as `web.audited_failures` allows. A name that nobody has
/// is not written: it may be a password in the wrong field.
pub(super) async fn note_failure(
    state: &AppState,
    remote: IpAddr,
    known: Option<&str>,
    detail: &str,
) {
    if !state.audited_failures.allows(remote) {
        return;
    }
    let by = Doer {
        actor: known.unwrap_or(NOBODY).to_owned(),
        remote: remote.to_string(),
    };
    let line = by.line("session.refused", known.unwrap_or_default(), detail);
    views::write(&state.stores, line).await;
}

/// How somebody proved who they are, in the words of the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvedBy {
    /// A password.
    Password,
    /// A password and a one-time code.
    PasswordAndCode,
    /// An OpenID Connect provider.
    Oidc,
}

impl ProvedBy {
    fn words(self) -> &'static str {
        match self {
            Self::Password => "by password",
            Self::PasswordAndCode => "by password and code",
            Self::Oidc => "by OpenID Connect",
        }
    }
}

/// Begins a session of somebody who has logged in, under a new key, and says what they have to do first.
///
/// # Errors
/// When the session cannot be made.
pub async fn start_session(
    request: &HttpRequest,
    user: &User,
    proof: ProvedBy,
) -> Result<Option<Duty>, ApiError> {
    let state = app_state(request)?;
    let now = Timestamp::system();
    let session = request.get_session();
    // Nothing of a session from before the login lives on.
    session.clear();
    let remote = proxies::client_address(request, &state.settings.web.trusted_proxies);
    let agent = request.headers().get(header::USER_AGENT);
    let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    let agent: String = agent
        .unwrap_or_default()
        .chars()
        .filter(|character| !character.is_control())
        .take(MAX_AGENT_CHARS)
        .collect();
    let deadline = session::deadline(&state.settings.web, now).as_millis();
    session
        .insert(session::DEADLINE_KEY, deadline)
        .and_then(|()| session.insert(session::BEGAN_KEY, now.as_millis()))
        .and_then(|()| session.insert(session::REMOTE_KEY, remote.to_string()))
        .and_then(|()| session.insert(session::AGENT_KEY, agent))
        .and_then(|()| session.insert(session::PROOF_KEY, proof.words()))
        .map_err(ApiError::internal)?;
    // Written when the answer goes out, with its line of the audit log.
    SessionIdentity::login(&request.extensions(), user.name.clone()).map_err(ApiError::internal)?;
    Ok(Duty::of(user, &state.settings.web))
}

/// Remembers that the password of somebody was right, for the minutes in which the code is waited for.
///
/// # Errors
/// When it cannot be remembered.
pub async fn await_code(request: &HttpRequest, user: &User) -> Result<(), ApiError> {
    let session = request.get_session();
    session.clear();
    let until = Timestamp::system().plus(CODE_TIME).as_millis();
    session
        .insert(session::DEADLINE_KEY, until)
        .and_then(|()| session.insert(WAITING_KEY, &user.name))
        .and_then(|()| session.insert(PASSWORD_KEY, password_mark(user)))
        .map_err(ApiError::internal)?;
    // Whoever knew the key before must not be a step further now.
    session.renew();
    Ok(())
}

/// Whose code is waited for in this session, if the password is still the one that was right.
///
/// # Errors
/// When the store fails.
pub async fn awaited(request: &HttpRequest) -> Result<Option<User>, ApiError> {
    let state = app_state(request)?;
    let session = request.get_session();
    let text = |key| session.get::<String>(key).ok().flatten();
    let (Some(name), Some(mark)) = (text(WAITING_KEY), text(PASSWORD_KEY)) else {
        return Ok(None);
    };
    let user = state.stores.users.find(&name).await?;
    Ok(user.filter(|user| !user.disabled && password_mark(user) == mark))
}

/// Tells one password from the next, without being its hash.
fn password_mark(user: &User) -> String {
    hex::encode(tokens::hash(&user.password_hash))
}

/// Ends the session of this request, if it has one.
///
/// # Errors
/// When the store fails: the session is then still there.
pub async fn end_session(request: &HttpRequest) -> Result<(), ApiError> {
    let state = app_state(request)?;
    let name = request
        .get_identity()
        .ok()
        .and_then(|identity| identity.id().ok());
    if let (Some(name), Some(key)) = (name, session::presented_key_hash(request, &state)) {
        let remote = proxies::client_address(request, &state.settings.web.trusted_proxies);
        let by = Doer {
            actor: name.clone(),
            remote: remote.to_string(),
        };
        let line = by.line("session.end", &name, "");
        state.stores.sessions.end(vec![key], line).await?;
        state.access.person(&name);
    }
    request.get_session().purge();
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
    let user = state.stores.users.find(&identity.name).await?;
    if user.is_some_and(|user| user.source == UserSource::Oidc) {
        let why = "this account has no password here: it logs in by OpenID Connect".to_owned();
        return Err(ChangePasswordError::Unusable(why));
    }
    password::check_new(&new).map_err(ChangePasswordError::Unusable)?;
    if new == present {
        let why = "the new password is the present one".to_owned();
        return Err(ChangePasswordError::Unusable(why));
    }
    let user = login(request, &identity.name, present).await?;
    let hash = state.passwords.hash_new(new).await?;
    let (users, by) = (&state.stores.users, identity.doer());
    if !users.set_password(&user.name, &hash, false, by).await? {
        return Err(LoginError::Refused(Wrong::Password).into());
    }
    state.access.person(&user.name);
    start_session(request, &user, ProvedBy::Password).await?;
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
        must_change_password: true,
        ..User::new(FIRST_ADMIN, Role::Admin, password::hash(&secret)?)
    };
    let by = Doer {
        actor: FIRST_START.to_owned(),
        remote: String::new(),
    };
    match users.add(user, by).await {
        Ok(_) => Ok(Some(secret)),
        // Another process was faster; it has told the password.
        Err(StoreError::Exists(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
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
            LoginError::CodeWanted => Self::totp_required(),
            LoginError::Refused(_) => Self::unauthorized(error.to_string()),
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
            ChangePasswordError::Unusable(why) => Self::invalid("new", why),
        }
    }
}
