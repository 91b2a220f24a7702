//! What admins may do with people, their sessions and second factors, tokens and the audit log.
//!
//! Each change is written with its line of the audit log, and live connections of whom it concerns look at once whether they
//! still may.

use std::time::Duration;

use crate::domain::{AuditEntry, Timestamp};
use crate::store::{ApiToken, AuditFilter, Role, User, UserChange, UserSource, WebSession};
use crate::web::ApiError;

use super::names::check_login_name;
use super::own::unknown_session;
use super::tokens::{self, TokenWish};
use super::views::Admin;

impl Admin {
    /// Everybody.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn users(&self) -> Result<Vec<User>, ApiError> {
        Ok(self.stores().users.list().await?)
    }

    /// Makes an account. The person has to change the password at the first login when `must_change` says so.
    ///
    /// # Errors
    /// 409 when the name is taken, 422 when the name or password cannot be used.
    pub async fn add_user(
        &self,
        name: &str,
        role: Role,
        password: String,
        must_change: bool,
    ) -> Result<User, ApiError> {
        check_login_name(name)?;
        let user = User {
            must_change_password: must_change,
            ..User::new(name, role, self.state.passwords.hash_new(password).await?)
        };
        let added = self.stores().users.add(user, self.identity().doer());
        added.await.map_err(ApiError::of_named)
    }

    /// Changes what a person may do. It counts at once: who is disabled has no session any more.
    ///
    /// # Errors
    /// 404 without such a person; 409 for the last admin who can log in, for disabling oneself, and for the role of
    /// somebody whose provider says it.
    pub async fn change_user(&self, name: &str, change: UserChange) -> Result<User, ApiError> {
        if change.disabled == Some(true) && self.identity().login() == Some(name) {
            let detail = "nobody can disable their own account";
            return Err(ApiError::conflict("own_account", detail));
        }
        if let Some(role) = change.role {
            let user = self.stores().users.find(name).await?;
            let user = user.ok_or_else(|| unknown_user(name))?;
            if user.source == UserSource::Oidc && user.role != role {
                let detail = "the role of this person comes from the OpenID Connect provider";
                return Err(ApiError::conflict("oidc", detail));
            }
        }
        let by = self.identity().doer();
        let changed = self.stores().users.change(name, change, by).await?;
        let user = changed.ok_or_else(|| unknown_user(name))?;
        self.state.access.person(name);
        Ok(user)
    }

    /// Sets somebody's password, which they have to change when `must_change` says so, and ends their sessions.
    ///
    /// # Errors
    /// 404 without such a person, 409 for one without a password, 422 when the password cannot be used.
    pub async fn set_password(
        &self,
        name: &str,
        password: String,
        must_change: bool,
    ) -> Result<(), ApiError> {
        let hash = self.state.passwords.hash_new(password).await?;
        let (users, by) = (&self.stores().users, self.identity().doer());
        if !users.set_password(name, &hash, must_change, by).await? {
            return Err(match users.find(name).await? {
                None => unknown_user(name),
                Some(_) => {
                    let detail = "this person logs in by OpenID Connect and has no password here";
                    ApiError::conflict("oidc", detail)
                }
            });
        }
        self.state.access.person(name);
        Ok(())
    }

    /// Removes an account with its sessions and tokens.
    ///
    /// # Errors
    /// 404 without such a person, 409 for oneself and for the last admin who can log in.
    pub async fn remove_user(&self, name: &str) -> Result<(), ApiError> {
        if self.identity().login() == Some(name) {
            let detail = "nobody can remove their own account";
            return Err(ApiError::conflict("own_account", detail));
        }
        let by = self.identity().doer();
        if !self.stores().users.remove(name, by).await? {
            return Err(unknown_user(name));
        }
        self.state.access.person(name);
        self.state.access.tokens();
        Ok(())
    }

    /// Removes somebody's second factor, who has lost it.
    ///
    /// # Errors
    /// 404 without such a person or second factor.
    pub async fn remove_second_factor(&self, name: &str) -> Result<(), ApiError> {
        let by = self.identity().doer();
        if !self.stores().totp.remove_totp(name, by).await? {
            let detail = format!("there is no user `{name}` with one-time codes");
            return Err(ApiError::not_found(detail));
        }
        Ok(())
    }

    /// Everybody's sessions, or those of one, the last used first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sessions(&self, user: Option<&str>) -> Result<Vec<WebSession>, ApiError> {
        let now = Timestamp::system();
        Ok(self.stores().sessions.list(user, now).await?)
    }

    /// Ends somebody's session, by its handle.
    ///
    /// # Errors
    /// 404 when there is none.
    pub async fn end_session(&self, handle: &str) -> Result<(), ApiError> {
        let sessions = self.sessions(None).await?;
        let session = sessions.into_iter().find(|one| one.handle() == handle);
        let session = session.ok_or_else(|| unknown_session(handle))?;
        let name = session.user.unwrap_or_default();
        let line = self.identity().doer().line("session.revoke", &name, handle);
        let keys = vec![session.key_hash];
        if self.stores().sessions.end(keys, line).await? == 0 {
            return Err(unknown_session(handle));
        }
        self.state.access.person(&name);
        Ok(())
    }

    /// The tokens, without what would let one use them.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tokens(&self) -> Result<Vec<ApiToken>, ApiError> {
        Ok(self.stores().tokens.list().await?)
    }

    /// Makes a token of the whole server; its text is returned this once and stored as a hash only.
    ///
    /// # Errors
    /// 409 when the name is taken, 422 when it cannot be used.
    pub async fn add_token(
        &self,
        name: &str,
        role: Role,
        expires_in: Option<Duration>,
    ) -> Result<(ApiToken, String), ApiError> {
        let wish = TokenWish {
            name,
            role,
            owner: None,
            expires_in,
        };
        tokens::create(&*self.stores().tokens, wish, self.identity().doer()).await
    }

    /// Removes a token, whoever's it is; it stops working at once.
    ///
    /// # Errors
    /// 404 without such a token.
    pub async fn remove_token(&self, id: i64) -> Result<(), ApiError> {
        let by = self.identity().doer();
        if !self.stores().tokens.remove(id, None, by).await? {
            return Err(ApiError::not_found(format!("there is no token {id}")));
        }
        self.state.access.tokens();
        Ok(())
    }

    /// Lines of the audit log, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn audit_log(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, ApiError> {
        Ok(self.stores().audit.list(filter).await?)
    }
}

fn unknown_user(name: &str) -> ApiError {
    ApiError::not_found(format!("there is no user `{name}`"))
}
