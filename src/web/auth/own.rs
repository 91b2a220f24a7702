//! One's own account: sessions, the second factor, tokens. [`Myself`] is given also to those who have something
//! to do first, which they do here.

use std::time::Duration;

use actix_web::HttpRequest;

use crate::domain::Timestamp;
use crate::store::{ApiToken, Role, User, UserSource, WebSession};
use crate::web::ApiError;

use super::access::Identity;
use super::login::{LoginError, login};
use super::second_factor::{self, Enrolment};
use super::tokens::{self, TokenWish};
use super::views::{Viewer, role_name};

/// Whoever is asking, with what is theirs, whatever they have to do first.
#[expect(missing_debug_implementations, reason = "it holds trait objects")]
pub struct Myself(Viewer);

/// How far somebody's second factor is.
#[expect(missing_debug_implementations, reason = "it may hold a secret")]
pub enum SecondFactor {
    /// There is none.
    Absent,
    /// A secret was shown, and waits for its first code.
    Begun(Enrolment),
    /// In force, with so many recovery codes left.
    InForce(u64),
}

impl Myself {
    /// For the extractor.
    pub(super) fn new(viewer: Viewer) -> Self {
        Self(viewer)
    }

    /// Who is asking.
    pub fn identity(&self) -> &Identity {
        self.0.identity()
    }

    /// For what surrounds a page; what it would show of devices is not for those with a duty.
    pub(in crate::web) fn viewer(&self) -> &Viewer {
        &self.0
    }

    /// The account.
    ///
    /// # Errors
    /// 403 for tokens, which have none.
    pub async fn account(&self) -> Result<User, ApiError> {
        let name = self.login()?;
        let user = self.0.stores().users.find(name).await?;
        user.ok_or_else(|| ApiError::unauthorized("this account is gone"))
    }

    /// One's sessions that have not ended, the last used first.
    ///
    /// # Errors
    /// 403 for tokens, which have none.
    pub async fn sessions(&self) -> Result<Vec<WebSession>, ApiError> {
        let name = self.login()?;
        let now = Timestamp::system();
        Ok(self.0.stores().sessions.list(Some(name), now).await?)
    }

    /// Ends one of one's sessions, by its handle.
    ///
    /// # Errors
    /// 404 when there is none.
    pub async fn end_session(&self, handle: &str) -> Result<(), ApiError> {
        let sessions = self.sessions().await?;
        let chosen = sessions
            .into_iter()
            .filter(|session| session.handle() == handle)
            .collect();
        if self.end(chosen, handle).await? == 0 {
            return Err(unknown_session(handle));
        }
        Ok(())
    }

    /// Ends all of one's sessions but this one; says how many.
    ///
    /// # Errors
    /// 403 for tokens, which have none.
    pub async fn end_other_sessions(&self) -> Result<u64, ApiError> {
        let mut others = self.sessions().await?;
        others.retain(|session| !self.identity().is_of(session));
        self.end(others, "all others").await
    }

    async fn end(&self, sessions: Vec<WebSession>, detail: &str) -> Result<u64, ApiError> {
        let name = self.login()?;
        let keys = sessions.into_iter().map(|session| session.key_hash);
        let line = self.identity().doer().line("session.revoke", name, detail);
        let stores = self.0.stores();
        let ended = stores.sessions.end(keys.collect(), line).await?;
        self.0.state.access.person(name);
        Ok(ended)
    }

    /// How far one's second factor is.
    ///
    /// # Errors
    /// 403 for tokens; 500 when its secret does not open.
    pub async fn second_factor(&self) -> Result<SecondFactor, ApiError> {
        let user = self.account().await?;
        Ok(match self.0.stores().totp.totp(&user.name).await? {
            None => SecondFactor::Absent,
            Some(totp) if totp.confirmed => SecondFactor::InForce(totp.recovery_codes),
            Some(totp) => {
                let sealer = &self.0.state.totp;
                SecondFactor::Begun(second_factor::enrolment(sealer, &totp, &user)?)
            }
        })
    }

    /// Makes a secret for one-time codes; it is in force once a code was shown.
    ///
    /// # Errors
    /// 409 when there is a second factor, or OpenID Connect is in the place of it.
    pub async fn begin_second_factor(&self) -> Result<Enrolment, ApiError> {
        let user = self.account().await?;
        if user.source == UserSource::Oidc {
            let detail = "this account logs in by OpenID Connect, and so does its second factor";
            return Err(ApiError::conflict("oidc", detail));
        }
        let (sealer, store) = (&self.0.state.totp, &self.0.stores().totp);
        let secret = second_factor::new_secret(sealer, &user)?;
        if !store.begin_totp(&user.name, secret).await? {
            return Err(in_force());
        }
        match self.second_factor().await? {
            SecondFactor::Begun(enrolment) => Ok(enrolment),
            SecondFactor::Absent | SecondFactor::InForce(_) => Err(in_force()),
        }
    }

    /// Puts the second factor in force with a first code; returns the recovery codes, this once.
    ///
    /// # Errors
    /// 409 when none was begun, 422 when the code does not fit, 429 after too many.
    pub async fn confirm_second_factor(&self, code: &str) -> Result<Vec<String>, ApiError> {
        let user = self.account().await?;
        let store = &self.0.stores().totp;
        let Some(totp) = store.totp(&user.name).await? else {
            let detail = "no second factor was begun: ask for a secret first";
            return Err(ApiError::conflict("not_begun", detail));
        };
        if totp.confirmed {
            return Err(in_force());
        }
        let state = &self.0.state;
        let remote = self.identity().remote;
        let attempt = state.login_limits.attempt(&user.name, remote);
        attempt.map_err(|retry_after| ApiError::from(LoginError::TooMany { retry_after }))?;
        let step = second_factor::step_of(&state.totp, &totp, code, Timestamp::system())?;
        let Some(step) = step else {
            let detail = "this is not the code of now; is the clock of your phone right?";
            return Err(ApiError::invalid("code", detail));
        };
        state.login_limits.succeeded(&user.name, remote);
        let (codes, hashes) = second_factor::recovery_codes(user.id)?;
        let (by, secret) = (self.identity().doer(), totp.sealed_secret);
        let confirmed = store.confirm_totp(&user.name, secret, step, hashes, by);
        if !confirmed.await? {
            return Err(in_force());
        }
        Ok(codes)
    }

    /// Switches the second factor off, with the password.
    ///
    /// # Errors
    /// 401 when the password is wrong, 409 when there is none. Where it is required, setting up another one is what has
    /// to be done next.
    pub async fn remove_second_factor(
        &self,
        request: &HttpRequest,
        password: String,
    ) -> Result<(), LoginError> {
        let name = self.login()?.to_owned();
        login(request, &name, password).await?;
        let store = &self.0.stores().totp;
        if !store.remove_totp(&name, self.identity().doer()).await? {
            let detail = "there is no second factor";
            return Err(ApiError::conflict("no_totp", detail).into());
        }
        Ok(())
    }

    /// The name of the account, which tokens have not.
    fn login(&self) -> Result<&str, ApiError> {
        self.identity().login().ok_or_else(no_account)
    }
}

/// Tokens of one's own are for those who have done what they have to do first.
impl Viewer {
    /// One's own tokens, without what would let one use them.
    ///
    /// # Errors
    /// 403 for tokens, which have none.
    pub async fn own_tokens(&self) -> Result<Vec<ApiToken>, ApiError> {
        let name = self.identity().login().ok_or_else(no_account)?;
        let mut tokens = self.stores().tokens.list().await?;
        tokens.retain(|token| token.owner.as_deref() == Some(name));
        Ok(tokens)
    }

    /// Makes a token of one's own; its text is returned this once and stored as a hash only.
    ///
    /// # Errors
    /// 403 for more than one's own role and for tokens, 409 when the name is taken or there are too many, 422 when it
    /// cannot be used.
    pub async fn add_own_token(
        &self,
        name: &str,
        role: Role,
        expires_in: Option<Duration>,
    ) -> Result<(ApiToken, String), ApiError> {
        let identity = self.identity();
        let owner = identity.login().ok_or_else(no_account)?;
        if role > identity.role {
            let (wanted, own) = (role_name(role), role_name(identity.role));
            let detail = format!("a token of yours may do what you may ({own}), not {wanted}");
            return Err(ApiError::forbidden(detail));
        }
        let _counting = self.state.counting.lock().await;
        let most = self.settings().web.max_own_tokens;
        if self.own_tokens().await?.len() >= most {
            let detail = format!("you have {most} tokens already (web.max_own_tokens)");
            return Err(ApiError::conflict("full", detail));
        }
        let wish = TokenWish {
            name,
            role,
            owner: Some(owner),
            expires_in,
        };
        tokens::create(&*self.stores().tokens, wish, identity.doer()).await
    }

    /// Removes a token of one's own; it stops working at once.
    ///
    /// # Errors
    /// 404 without such a token.
    pub async fn remove_own_token(&self, id: i64) -> Result<(), ApiError> {
        let owner = self.identity().login().ok_or_else(no_account)?;
        let by = self.identity().doer();
        if !self.stores().tokens.remove(id, Some(owner), by).await? {
            return Err(ApiError::not_found(format!("you have no token {id}")));
        }
        self.state.access.tokens();
        Ok(())
    }
}

fn in_force() -> ApiError {
    ApiError::conflict(
        "totp_in_force",
        "there is a second factor already; switch it off first",
    )
}

fn no_account() -> ApiError {
    ApiError::forbidden("a token has no account of its own: log in for this")
}

/// No session has this handle.
pub(super) fn unknown_session(handle: &str) -> ApiError {
    ApiError::not_found(format!("there is no session `{handle}`"))
}
