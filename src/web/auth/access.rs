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

use crate::domain::{Doer, Timestamp};
use crate::store::Role;
use crate::web::{ApiError, AppState};

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
    /// True until the first password was changed; the pages insist on it.
    pub must_change_password: bool,
    /// How they proved it.
    pub credential: Credential,
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

    /// The name in the audit log and at operations: a login, or `token:NAME`.
    pub fn actor(&self) -> String {
        match self.credential {
            Credential::Session(_) => self.name.clone(),
            Credential::Token(_) => format!("token:{}", self.name),
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
                let token = stores.tokens.find(hash).await?;
                Ok(token.is_some_and(|token| tokens::in_force(&token, now) && token.role >= role))
            }
            Credential::Session(hash) => {
                let session = stores.sessions.find(hash, now).await?;
                if session.is_none_or(|session| session.user.as_deref() != Some(&self.name)) {
                    return Ok(false);
                }
                let user = stores.users.find(&self.name).await?;
                Ok(user.is_some_and(|user| user.role >= role))
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
        return Ok(Identity {
            name: token.name,
            role: token.role,
            remote,
            must_change_password: false,
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
    let user = state.stores.users.find(&login).await?.ok_or_else(nobody)?;
    Ok(Identity {
        name: user.name,
        role: user.role,
        remote,
        must_change_password: user.must_change_password,
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

fn app_state(request: &HttpRequest) -> Result<Data<AppState>, ApiError> {
    request
        .app_data::<Data<AppState>>()
        .cloned()
        .ok_or_else(|| ApiError::internal("the server was put together without its state"))
}

/// Who is asking, when they may do what `role` may.
pub(in crate::web) fn require(request: &HttpRequest, role: Role) -> Result<Viewer, ApiError> {
    let note = request.extensions().get::<Note>().cloned();
    let identity = match note {
        Some(Note::Somebody(identity)) => identity,
        Some(Note::Nobody(refusal)) => return Err(refusal),
        None => return Err(ApiError::internal("`authenticate` is not in the router")),
    };
    if identity.role < role {
        return Err(ApiError::forbidden(format!(
            "this needs the role {}, and {} has the role {}",
            role_name(role),
            identity.actor(),
            role_name(identity.role),
        )));
    }
    Ok(Viewer::new(identity, app_state(request)?))
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
