//! Who is asking: a Bearer token, else the session cookie.
//!
//! [`authenticate`] runs before every handler and notes what it found; the extractors of
//! [`Viewer`], [`Operator`] and [`Admin`] only read the note, so that a request without the right
//! is refused before anything of its body is looked at.

use std::future::{Ready, ready};
use std::net::IpAddr;

use actix_identity::IdentityExt as _;
use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, FromRequest, HttpMessage as _, HttpRequest};

use crate::config::{RequireTotp, Web};
use crate::domain::{Doer, Timestamp};
use crate::store::{Role, User, UserSource, WebSession};
use crate::web::error::{PASSWORD_CHANGE_REQUIRED, TOTP_SETUP_REQUIRED};
use crate::web::{ApiError, AppState};

use super::names::TOKEN_ACTOR;
use super::own::Myself;
use super::session;
use super::tokens;
use super::views::{Admin, Operator, Viewer, role_name};

/// Somebody who has proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A login name, or the name of a token.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// From where they ask.
    pub remote: IpAddr,
    /// What has to be done first; until then nothing but one's own account is open.
    pub duty: Option<Duty>,
    /// How they proved it.
    pub credential: Credential,
}

/// What somebody has to do before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Choose a password of their own.
    ChangePassword,
    /// Set up one-time codes, as `web.require_totp_for` wants it.
    SetUpTotp,
}

impl Duty {
    /// What this person has to do first.
    pub(super) fn of(user: &User, web: &Web) -> Option<Self> {
        if user.source == UserSource::Oidc {
            // Whoever vouches for them asks for what they need.
            return None;
        }
        if user.must_change_password {
            return Some(Self::ChangePassword);
        }
        let needed = match web.require_totp_for {
            RequireTotp::None => false,
            RequireTotp::Admin => user.role >= Role::Admin,
            RequireTotp::All => true,
        };
        (needed && !user.has_totp).then_some(Self::SetUpTotp)
    }

    fn refusal(self) -> ApiError {
        match self {
            Self::ChangePassword => ApiError::duty(
                PASSWORD_CHANGE_REQUIRED,
                "change the password first: at /account, or with PUT /api/v1/session/password",
            ),
            Self::SetUpTotp => ApiError::duty(
                TOTP_SETUP_REQUIRED,
                "set up one-time codes first: at /account, or with POST /api/v1/session/totp",
            ),
        }
    }
}

/// How somebody proved who they are; enough to ask again whether it still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// A session cookie: SHA-256 of its key.
    Session(Vec<u8>),
    /// A Bearer token: its SHA-256.
    Token(Vec<u8>),
}

impl Identity {
    /// The login name of a person; nothing for tokens.
    pub fn login(&self) -> Option<&str> {
        match self.credential {
            Credential::Session(_) => Some(&self.name),
            Credential::Token(_) => None,
        }
    }

    /// True when it is this session that asks.
    pub fn is_of(&self, session: &WebSession) -> bool {
        matches!(&self.credential, Credential::Session(hash) if *hash == session.key_hash)
    }

    /// The name in the audit log and at operations: a login, or `token:NAME`.
    pub fn actor(&self) -> String {
        match self.credential {
            Credential::Session(_) => self.name.clone(),
            Credential::Token(_) => format!("{TOKEN_ACTOR}{}", self.name),
        }
    }

    /// How the audit log names them.
    pub fn doer(&self) -> Doer {
        Doer {
            actor: self.actor(),
            remote: self.remote.to_string(),
        }
    }

    /// True while the session or token is in force and gives at least this role. For connections
    /// that live longer than a request.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn still_holds(&self, state: &AppState, role: Role) -> Result<bool, ApiError> {
        let now = Timestamp::system();
        let stores = &state.stores;
        match &self.credential {
            Credential::Token(hash) => {
                let Some(token) = stores.tokens.find(hash).await? else {
                    return Ok(false);
                };
                let may = tokens::role_now(&*stores.users, &token).await?;
                Ok(tokens::in_force(&token, now) && may.is_some_and(|may| may >= role))
            }
            Credential::Session(hash) => {
                let session = stores.sessions.find(hash, now).await?;
                if session.is_none_or(|session| session.user.as_deref() != Some(&self.name)) {
                    return Ok(false);
                }
                let user = stores.users.find(&self.name).await?;
                Ok(user.is_some_and(|user| user.role >= role && !user.disabled))
            }
        }
    }
}

/// The note that [`authenticate`] leaves.
#[derive(Clone)]
enum Note {
    Nobody(ApiError),
    Somebody(Identity),
}

/// Finds out who is asking and notes it for the extractors. It refuses nobody itself.
///
/// # Errors
/// Those of the handler.
pub async fn authenticate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let note = match find_identity(request.request()).await {
        Ok(identity) => Note::Somebody(identity),
        Err(refusal) => Note::Nobody(refusal),
    };
    request.extensions_mut().insert(note);
    next.call(request).await
}

async fn find_identity(request: &HttpRequest) -> Result<Identity, ApiError> {
    let state = app_state(request)?;
    let remote = super::proxies::client_address(request, &state.settings.web.trusted_proxies);
    if let Some(token) = bearer_token(request) {
        // A request that names a token is never taken for the session's.
        let token = tokens::verify(&*state.stores.tokens, token?, Timestamp::system()).await?;
        let role = tokens::role_now(&*state.stores.users, &token).await?;
        let role = role.ok_or_else(|| {
            ApiError::unauthorized("the person that this token belongs to may not log in")
        })?;
        return Ok(Identity {
            name: token.name,
            role,
            remote,
            duty: None,
            credential: Credential::Token(token.hash),
        });
    }
    let nobody =
        || ApiError::unauthorized("log in, or send a token as `Authorization: Bearer TOKEN`");
    let login = request
        .get_identity()
        .and_then(|identity| identity.id())
        .map_err(|_| nobody())?;
    let key_hash = session::presented_key_hash(request, &state).ok_or_else(nobody)?;
    let user = state.stores.users.find(&login).await?;
    let user = user.filter(|user| !user.disabled).ok_or_else(nobody)?;
    Ok(Identity {
        duty: Duty::of(&user, &state.settings.web),
        name: user.name,
        role: user.role,
        remote,
        credential: Credential::Session(key_hash),
    })
}

/// The text behind `Bearer`, if the request names credentials at all.
fn bearer_token(request: &HttpRequest) -> Option<Result<&str, ApiError>> {
    let value = request.headers().get(header::AUTHORIZATION)?;
    let token = value.to_str().ok().and_then(|text| {
        let (scheme, token) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    Some(
        token.ok_or_else(|| {
            ApiError::unauthorized("only `Authorization: Bearer TOKEN` is understood")
        }),
    )
}

/// What the handlers of this server share.
pub(in crate::web) fn app_state(request: &HttpRequest) -> Result<Data<AppState>, ApiError> {
    request
        .app_data::<Data<AppState>>()
        .cloned()
        .ok_or_else(|| ApiError::internal("the server was put together without its state"))
}

/// Who is asking, when they may do what `role` may.
pub(in crate::web) fn require(request: &HttpRequest, role: Role) -> Result<Viewer, ApiError> {
    let viewer = require_known(request)?;
    let identity = viewer.identity();
    if let Some(duty) = identity.duty {
        return Err(duty.refusal());
    }
    if identity.role < role {
        return Err(ApiError::forbidden(format!(
            "this needs the role {}, and {} has the role {}",
            role_name(role),
            identity.actor(),
            role_name(identity.role),
        )));
    }
    Ok(viewer)
}

/// Who is asking, whatever they have to do first.
fn require_known(request: &HttpRequest) -> Result<Viewer, ApiError> {
    let note = request.extensions().get::<Note>().cloned();
    match note {
        Some(Note::Somebody(identity)) => Ok(Viewer::new(identity, app_state(request)?)),
        Some(Note::Nobody(refusal)) => Err(refusal),
        None => Err(ApiError::internal("`authenticate` is not in the router")),
    }
}

impl FromRequest for Myself {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(require_known(request).map(Self::new))
    }
}

impl FromRequest for Viewer {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(require(request, Role::Viewer))
    }
}

impl FromRequest for Operator {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(require(request, Role::Operator).map(Self::new))
    }
}

impl FromRequest for Admin {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(require(request, Role::Admin).map(|viewer| Self::new(Operator::new(viewer))))
    }
}
