//! Logging in by OpenID Connect: the authorisation code flow with PKCE, state and nonce.
//!
//! Between the two requests of a login nothing is kept here: what has to come back unchanged lies sealed in a cookie of
//! the browser, so that strangers who begin logins take no room. The provider is asked when somebody logs in, and what it
//! says of itself is kept for `oidc.cache_s`; when it is away, passwords go on working.

mod claims;
mod http;
mod provider;
mod token;

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::cookie::time::Duration as CookieDuration;
use actix_web::cookie::{Cookie, SameSite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::domain::{Doer, Timestamp};
use crate::store::{Outsider, StoreError, User};
use crate::web::{ApiError, AppState};

use super::access::app_state;
use super::login::note_failure;
use super::names::check_login_name;
use super::proxies;
use provider::Provider;

/// How long somebody may take at the provider.
const TIME: std::time::Duration = std::time::Duration::from_secs(600);

/// The cookie that goes to the provider and back.
const COOKIE: &str = "flownexus_oidc";

/// The same over HTTPS: nobody but this very host can set it, so that no neighbour's page makes somebody end a login that
/// another has begun.
const SECURE_COOKIE: &str = "__Host-flownexus_oidc";

/// Where the provider sends people back to, below `web.public_url`.
const RETURN_PATH: &str = "/login/oidc/return";

/// What the sealed cookie is bound to.
const BOUND_TO: &[u8] = b"flownexus oidc login";

/// Logging in by a provider.
pub struct Oidc {
    settings: Arc<Settings>,
    provider: Provider,
}

/// Why nobody was logged in.
#[derive(Clone, Debug, thiserror::Error)]
pub enum OidcError {
    /// The server has a fault, or is stopping.
    #[error("{0}")]
    Server(ApiError),
    /// The provider cannot be reached, or says what makes no sense. The details are in the log.
    #[error("{0}")]
    Provider(String),
    /// What came back is not what was asked for, or not in time.
    #[error("{0}")]
    Refused(String),
}

/// A login that was begun.
#[expect(
    missing_debug_implementations,
    reason = "it holds what proves the login"
)]
pub struct Begun {
    /// Where to go.
    pub address: String,
    /// What to take along.
    pub cookie: Cookie<'static>,
}

/// What has to come back unchanged.
#[derive(Serialize, Deserialize)]
struct Pending {
    state: String,
    nonce: String,
    verifier: String,
    next: String,
    until: i64,
}

/// What the provider sends back.
#[derive(Debug, Default, Deserialize)]
pub struct Returned {
    /// The code, when it went well.
    pub code: Option<String>,
    /// What was sent along.
    pub state: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Oidc {
    /// By these settings; nothing when there is no provider in them.
    pub fn new(settings: &Arc<Settings>) -> Option<Self> {
        settings.oidc.is_on().then(|| Self {
            settings: Arc::clone(settings),
            provider: Provider::new(
                &settings.oidc,
                format!("{}{RETURN_PATH}", settings.web.public_url),
            ),
        })
    }

    /// What the button says.
    pub fn label(&self) -> &str {
        &self.settings.oidc.label
    }
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oidc").finish_non_exhaustive()
    }
}

/// Begins a login that leads to `next` in the end.
///
/// # Errors
/// When there is no provider, or it cannot be reached.
pub async fn begin(request: &HttpRequest, next: &str) -> Result<Begun, OidcError> {
    let state = app_state(request).map_err(OidcError::Server)?;
    let oidc = of(&state)?;
    let way = oidc.provider.way().await?;
    let pending = Pending {
        state: way.state,
        nonce: way.nonce,
        verifier: way.verifier,
        next: next.to_owned(),
        until: Timestamp::system().plus(TIME).as_millis(),
    };
    let text = serde_json::to_vec(&pending).map_err(fault)?;
    let sealed = state.totp.seal(BOUND_TO, &text).map_err(fault)?;
    Ok(Begun {
        address: way.address,
        cookie: cookie(&state, URL_SAFE_NO_PAD.encode(sealed), TIME.as_secs()),
    })
}

/// Ends a login: the account, and where it was to lead. The account is made at the first time, and its role is that of
/// the claims of now.
///
/// # Errors
/// When anything is not as it was asked for; a line of the audit log says so.
pub async fn finish(
    request: &HttpRequest,
    returned: Returned,
) -> Result<(User, String), OidcError> {
    let state = app_state(request).map_err(OidcError::Server)?;
    let remote = proxies::client_address(request, &state.settings.web.trusted_proxies);
    let ended = try_finish(request, &state, returned, &remote.to_string()).await;
    if let Err(error) = &ended {
        tracing::warn!(client.address = %remote, error = %error,
            "A login by OpenID Connect from {remote} was refused: {error}");
        let detail = format!("OpenID Connect: {error}");
        note_failure(&state, remote, None, &detail).await;
    }
    ended
}

async fn try_finish(
    request: &HttpRequest,
    state: &AppState,
    returned: Returned,
    remote: &str,
) -> Result<(User, String), OidcError> {
    let oidc = of(state)?;
    let refused = |why: &str| OidcError::Refused(why.to_owned());
    let pending = pending(request, state)
        .ok_or_else(|| refused("this login was not begun in this browser, or too long ago"))?;
    // Sealed with the nonce and the verifier: whoever does not have the cookie does not know it either.
    if returned.state.as_deref() != Some(pending.state.as_str()) {
        return Err(refused(
            "the answer of the provider belongs to another login",
        ));
    }
    if let Some(error) = returned.error {
        let shown: String = error
            .chars()
            .filter(|letter| letter.is_ascii_graphic())
            .take(60)
            .collect();
        return Err(refused(&format!("the provider says: {shown}")));
    }
    let code = returned.code.filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| refused("the provider sent no code"))?;
    let token = oidc.provider.exchange(code, pending.verifier).await?;
    let claims = oidc.provider.verified(&token, pending.nonce).await?;
    let settings = &oidc.settings.oidc;
    let name = claims::name(settings, &claims)?;
    let role = claims::role(settings, &claims)?;
    let subject = format!("{} {}", settings.issuer, claims::subject(&claims)?);
    let users = &state.stores.users;
    // What somebody is called at the provider by now is no name here: it may be another's.
    let actor = match users.of_subject(&subject).await.map_err(fault)? {
        Some(known) => known.name,
        None => {
            check_login_name(&name).map_err(|error| OidcError::Refused(error.to_string()))?;
            name.clone()
        }
    };
    let outsider = Outsider {
        subject,
        name,
        role,
    };
    let by = Doer {
        actor,
        remote: remote.to_owned(),
    };
    let user = match users.admit(outsider, by).await {
        Ok(user) => user,
        Err(error @ StoreError::NotTheirs(_)) => {
            let why = format!("{error}, which OpenID Connect does not take over");
            return Err(OidcError::Refused(why));
        }
        Err(error) => return Err(OidcError::Server(error.into())),
    };
    // Another role may be less than what a live page shows.
    state.access.person(&user.name);
    if user.disabled {
        return Err(refused("this account is disabled"));
    }
    Ok((user, pending.next))
}

/// The cookie of a login that has ended: none.
pub fn without_cookie(request: &HttpRequest) -> Option<Cookie<'static>> {
    let state = app_state(request).ok()?;
    Some(cookie(&state, String::new(), 0))
}

fn cookie(state: &AppState, value: String, seconds: u64) -> Cookie<'static> {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Cookie::build(cookie_name(state), value)
        // `__Host-` wants the whole host.
        .path("/")
        .http_only(true)
        .secure(state.settings.web.is_https())
        // The provider's page leads back here: a request from another site, but one of the whole window.
        .same_site(SameSite::Lax)
        .max_age(CookieDuration::seconds(seconds))
        .finish()
}

fn cookie_name(state: &AppState) -> &'static str {
    match state.settings.web.is_https() {
        true => SECURE_COOKIE,
        false => COOKIE,
    }
}

fn pending(request: &HttpRequest, state: &AppState) -> Option<Pending> {
    let sealed = URL_SAFE_NO_PAD
        .decode(request.cookie(cookie_name(state))?.value())
        .ok()?;
    let text = state.totp.open(BOUND_TO, &sealed)?;
    let pending: Pending = serde_json::from_slice(&text).ok()?;
    (Timestamp::system().as_millis() < pending.until).then_some(pending)
}

fn of(state: &AppState) -> Result<&Oidc, OidcError> {
    state
        .oidc
        .as_ref()
        .ok_or_else(|| OidcError::Refused("logging in by OpenID Connect is not set up".to_owned()))
}

fn fault(error: impl std::fmt::Display) -> OidcError {
    OidcError::Server(ApiError::internal(error))
}
