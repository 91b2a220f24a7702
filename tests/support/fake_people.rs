//! People, sessions, tokens and the audit log in memory, for tests of the web room alone.

use std::collections::BTreeMap;

use flownexus::domain::{AuditEntry, Doer, Timestamp};
use flownexus::store::{
    ApiToken, AuditFilter, Outsider, Role, StoreError, Totp, User, UserChange, UserSource,
    WebSession,
};

/// Everything that is stored of them.
#[derive(Default)]
pub(crate) struct People {
    pub(crate) users: Vec<User>,
    pub(crate) sessions: Vec<WebSession>,
    pub(crate) tokens: Vec<ApiToken>,
    /// Oldest first.
    pub(crate) audit: Vec<AuditEntry>,
    /// How often a token's use was noted.
    pub(crate) uses: usize,
    /// Second factors by login name.
    pub(crate) factors: BTreeMap<String, Factor>,
    /// The subjects of those who come from elsewhere, by login name.
    subjects: BTreeMap<String, String>,
    last_id: i64,
}

/// A second factor.
#[derive(Clone, Debug)]
pub(crate) struct Factor {
    secret: Vec<u8>,
    step: i64,
    codes: Vec<Vec<u8>>,
}

impl People {
    fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// A line of the audit log, if there is one.
    pub(crate) fn note(&mut self, line: Option<AuditEntry>) {
        if let Some(line) = line {
            let id = self.next_id();
            self.audit.push(AuditEntry { id, ..line });
        }
    }

    pub(crate) fn user(&self, name: &str) -> Option<User> {
        self.users.iter().find(|user| user.name == name).cloned()
    }

    fn user_mut(&mut self, name: &str) -> Option<&mut User> {
        self.users.iter_mut().find(|user| user.name == name)
    }

    pub(crate) fn add_user(&mut self, user: User, by: Doer) -> Result<User, StoreError> {
        if self.user(&user.name).is_some() {
            return Err(StoreError::Exists(format!("user `{}`", user.name)));
        }
        let id = self.next_id();
        let user = User { id, ..user };
        self.users.push(user.clone());
        self.note(Some(by.line("user.create", &user.name, "")));
        Ok(user)
    }

    pub(crate) fn set_password(
        &mut self,
        name: &str,
        hash: &str,
        must_change: bool,
        by: Doer,
    ) -> bool {
        let Some(user) = self
            .user_mut(name)
            .filter(|user| user.source == UserSource::Local)
        else {
            return false;
        };
        hash.clone_into(&mut user.password_hash);
        user.must_change_password = must_change;
        self.end_sessions(name);
        self.note(Some(by.line("user.password", name, "")));
        true
    }

    fn end_sessions(&mut self, name: &str) {
        self.sessions
            .retain(|session| session.user.as_deref() != Some(name));
    }

    fn another_admin(&self, than: &str) -> Result<(), StoreError> {
        let mut others = self.users.iter().filter(|user| user.name != than);
        match others.any(|user| user.role == Role::Admin && !user.disabled) {
            true => Ok(()),
            false => Err(StoreError::LastAdmin),
        }
    }

    pub(crate) fn change(
        &mut self,
        name: &str,
        change: UserChange,
        by: Doer,
    ) -> Result<Option<User>, StoreError> {
        let Some(before) = self.user(name) else {
            return Ok(None);
        };
        let after = User {
            role: change.role.unwrap_or(before.role),
            disabled: change.disabled.unwrap_or(before.disabled),
            ..before.clone()
        };
        if after == before {
            return Ok(Some(after));
        }
        let could = before.role == Role::Admin && !before.disabled;
        if could && (after.role < Role::Admin || after.disabled) {
            self.another_admin(name)?;
        }
        if after.disabled {
            self.end_sessions(name);
        }
        if let Some(user) = self.user_mut(name) {
            *user = after.clone();
        }
        self.note(Some(by.line("user.update", name, "")));
        Ok(Some(after))
    }

    pub(crate) fn remove_user(&mut self, name: &str, by: Doer) -> Result<bool, StoreError> {
        let Some(user) = self.user(name) else {
            return Ok(false);
        };
        if user.role == Role::Admin && !user.disabled {
            self.another_admin(name)?;
        }
        self.users.retain(|user| user.name != name);
        self.tokens
            .retain(|token| token.owner.as_deref() != Some(name));
        self.factors.remove(name);
        self.end_sessions(name);
        self.note(Some(by.line("user.delete", name, "")));
        Ok(true)
    }

    pub(crate) fn of_subject(&self, subject: &str) -> Option<User> {
        let mut known = self.subjects.iter();
        let (name, _) = known.find(|(_, known)| *known == subject)?;
        self.user(name)
    }

    pub(crate) fn admit(&mut self, outsider: Outsider, by: Doer) -> Result<User, StoreError> {
        let known = self
            .subjects
            .iter()
            .find(|(_, subject)| **subject == outsider.subject)
            .map(|(name, _)| name.clone());
        let Some(name) = known else {
            if self.user(&outsider.name).is_some() {
                return Err(StoreError::NotTheirs(outsider.name));
            }
            let user = User {
                source: UserSource::Oidc,
                ..User::new(&outsider.name, outsider.role, String::new())
            };
            self.subjects.insert(outsider.name, outsider.subject);
            return self.add_user(user, by);
        };
        let user = self.user_mut(&name).expect("the user of the subject");
        let changed = user.role != outsider.role;
        user.role = outsider.role;
        let user = user.clone();
        if changed {
            self.note(Some(by.line("user.update", &name, "")));
        }
        Ok(user)
    }

    pub(crate) fn totp(&self, name: &str) -> Option<Totp> {
        let (user, factor) = (self.user(name)?, self.factors.get(name)?);
        Some(Totp {
            user_id: user.id,
            sealed_secret: factor.secret.clone(),
            confirmed: user.has_totp,
            recovery_codes: factor.codes.len() as u64,
        })
    }

    pub(crate) fn begin_totp(&mut self, name: &str, secret: Vec<u8>) -> bool {
        let may = self.user(name).is_some_and(|user| !user.has_totp);
        if may {
            let factor = Factor {
                secret,
                step: 0,
                codes: Vec::new(),
            };
            self.factors.insert(name.to_owned(), factor);
        }
        may
    }

    pub(crate) fn confirm_totp(
        &mut self,
        name: &str,
        secret: &[u8],
        step: i64,
        codes: Vec<Vec<u8>>,
        by: Doer,
    ) -> bool {
        if self.user(name).is_none_or(|user| user.has_totp) {
            return false;
        }
        let Some(factor) = self.factors.get_mut(name).filter(|it| it.secret == secret) else {
            return false;
        };
        (factor.step, factor.codes) = (step, codes);
        if let Some(user) = self.user_mut(name) {
            user.has_totp = true;
        }
        self.note(Some(by.line("totp.enable", name, "")));
        true
    }

    pub(crate) fn use_totp_step(&mut self, name: &str, secret: &[u8], step: i64) -> bool {
        let factor = self.factors.get_mut(name);
        let Some(factor) = factor.filter(|it| it.secret == secret && it.step < step) else {
            return false;
        };
        factor.step = step;
        true
    }

    pub(crate) fn use_recovery_code(&mut self, name: &str, hash: &[u8], by: Doer) -> bool {
        let Some(factor) = self.factors.get_mut(name) else {
            return false;
        };
        let before = factor.codes.len();
        factor.codes.retain(|code| code != hash);
        let used = factor.codes.len() < before;
        if used {
            self.note(Some(by.line("totp.recovery_code", name, "")));
        }
        used
    }

    pub(crate) fn remove_totp(&mut self, name: &str, by: Doer) -> bool {
        let Some(user) = self.user_mut(name).filter(|user| user.has_totp) else {
            return false;
        };
        user.has_totp = false;
        self.factors.remove(name);
        self.note(Some(by.line("totp.disable", name, "")));
        true
    }

    pub(crate) fn session(&self, key_hash: &[u8], now: Timestamp) -> Option<WebSession> {
        let mut sessions = self.sessions.iter();
        sessions
            .find(|session| session.key_hash == key_hash && session.expires_at > now)
            .cloned()
    }

    pub(crate) fn sessions_of(&self, user: Option<&str>, now: Timestamp) -> Vec<WebSession> {
        let mut sessions = self.sessions.clone();
        sessions.retain(|session| {
            session.expires_at > now
                && session.user.is_some()
                && user.is_none_or(|user| session.user.as_deref() == Some(user))
        });
        sessions
    }

    pub(crate) fn save_session(&mut self, session: WebSession, line: Option<AuditEntry>) {
        self.sessions
            .retain(|known| known.key_hash != session.key_hash);
        self.sessions.push(session);
        self.note(line);
    }

    pub(crate) fn replace_session(&mut self, session: WebSession) -> bool {
        let mut sessions = self.sessions.iter_mut();
        let known = sessions.find(|known| known.key_hash == session.key_hash);
        known.map(|known| *known = session).is_some()
    }

    pub(crate) fn end(&mut self, keys: &[Vec<u8>], line: AuditEntry) -> u64 {
        let before = self.sessions.len();
        self.sessions
            .retain(|session| !keys.contains(&session.key_hash));
        let ended = (before - self.sessions.len()) as u64;
        self.note((ended > 0).then_some(line));
        ended
    }

    pub(crate) fn add_token(&mut self, token: ApiToken, by: Doer) -> Result<ApiToken, StoreError> {
        if self.tokens.iter().any(|known| known.name == token.name) {
            return Err(StoreError::Exists(format!("token `{}`", token.name)));
        }
        let id = self.next_id();
        let token = ApiToken { id, ..token };
        self.tokens.push(token.clone());
        self.note(Some(by.line("token.create", &token.name, "")));
        Ok(token)
    }

    pub(crate) fn remove_token(&mut self, id: i64, owner: Option<&str>, by: Doer) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|token| {
            token.id != id || owner.is_some_and(|owner| token.owner.as_deref() != Some(owner))
        });
        let removed = self.tokens.len() < before;
        self.note(removed.then(|| by.line("token.delete", &id.to_string(), "")));
        removed
    }

    pub(crate) fn lines(&self, filter: &AuditFilter) -> Vec<AuditEntry> {
        let fits = |line: &&AuditEntry| {
            let actions = |action: &String| match action.ends_with('.') {
                true => line.action.starts_with(action),
                false => line.action == *action,
            };
            filter.before.is_none_or(|before| line.id < before)
                && filter.actor.as_ref().is_none_or(|is| line.actor == *is)
                && filter.action.as_ref().is_none_or(actions)
                && filter
                    .subject
                    .as_ref()
                    .is_none_or(|is| line.subject.contains(is))
                && filter.from.is_none_or(|from| line.at >= from)
                && filter.to.is_none_or(|to| line.at < to)
        };
        let lines = self.audit.iter().rev().filter(fits);
        lines.take(filter.limit as usize).cloned().collect()
    }
}

/// Lets a type with a `people` method keep them.
macro_rules! keeps_people {
    ($type:ty) => {
        const _: () = {
            use async_trait::async_trait;
            use flownexus::domain::{AuditEntry, Doer, Timestamp};
            use flownexus::store::{
                ApiToken, AuditFilter, AuditStore, Outsider, SessionStore, StoreError, TokenStore,
                Totp, TotpStore, User, UserChange, UserStore, WebSession,
            };

            #[async_trait]
            impl UserStore for $type {
                async fn list(&self) -> Result<Vec<User>, StoreError> {
                    Ok(self.people().users.clone())
                }
                async fn find(&self, name: &str) -> Result<Option<User>, StoreError> {
                    Ok(self.people().user(name))
                }
                async fn add(&self, user: User, by: Doer) -> Result<User, StoreError> {
                    self.people().add_user(user, by)
                }
                async fn set_password(
                    &self,
                    name: &str,
                    hash: &str,
                    must_change: bool,
                    by: Doer,
                ) -> Result<bool, StoreError> {
                    Ok(self.people().set_password(name, hash, must_change, by))
                }
                async fn change(
                    &self,
                    name: &str,
                    change: UserChange,
                    by: Doer,
                ) -> Result<Option<User>, StoreError> {
                    self.people().change(name, change, by)
                }
                async fn remove(&self, name: &str, by: Doer) -> Result<bool, StoreError> {
                    self.people().remove_user(name, by)
                }
                async fn of_subject(&self, subject: &str) -> Result<Option<User>, StoreError> {
                    Ok(self.people().of_subject(subject))
                }
                async fn admit(&self, outsider: Outsider, by: Doer) -> Result<User, StoreError> {
                    self.people().admit(outsider, by)
                }
            }

            #[async_trait]
            impl TotpStore for $type {
                async fn totp(&self, name: &str) -> Result<Option<Totp>, StoreError> {
                    Ok(self.people().totp(name))
                }
                async fn begin_totp(&self, name: &str, it: Vec<u8>) -> Result<bool, StoreError> {
                    Ok(self.people().begin_totp(name, it))
                }
                async fn confirm_totp(
                    &self,
                    name: &str,
                    secret: Vec<u8>,
                    step: i64,
                    codes: Vec<Vec<u8>>,
                    by: Doer,
                ) -> Result<bool, StoreError> {
                    Ok(self.people().confirm_totp(name, &secret, step, codes, by))
                }
                async fn use_totp_step(
                    &self,
                    name: &str,
                    secret: Vec<u8>,
                    step: i64,
                ) -> Result<bool, StoreError> {
                    Ok(self.people().use_totp_step(name, &secret, step))
                }
                async fn use_recovery_code(
                    &self,
                    name: &str,
                    hash: Vec<u8>,
                    by: Doer,
                ) -> Result<bool, StoreError> {
                    Ok(self.people().use_recovery_code(name, &hash, by))
                }
                async fn remove_totp(&self, name: &str, by: Doer) -> Result<bool, StoreError> {
                    Ok(self.people().remove_totp(name, by))
                }
            }

            #[async_trait]
            impl SessionStore for $type {
                async fn find(
                    &self,
                    key_hash: &[u8],
                    now: Timestamp,
                ) -> Result<Option<WebSession>, StoreError> {
                    Ok(self.people().session(key_hash, now))
                }
                async fn list(
                    &self,
                    user: Option<&str>,
                    now: Timestamp,
                ) -> Result<Vec<WebSession>, StoreError> {
                    Ok(self.people().sessions_of(user, now))
                }
                async fn save(
                    &self,
                    session: WebSession,
                    line: Option<AuditEntry>,
                ) -> Result<(), StoreError> {
                    self.people().save_session(session, line);
                    Ok(())
                }
                async fn replace(&self, session: WebSession) -> Result<bool, StoreError> {
                    Ok(self.people().replace_session(session))
                }
                async fn remove(&self, key_hash: &[u8]) -> Result<(), StoreError> {
                    self.people()
                        .sessions
                        .retain(|known| known.key_hash != key_hash);
                    Ok(())
                }
                async fn end(
                    &self,
                    keys: Vec<Vec<u8>>,
                    line: AuditEntry,
                ) -> Result<u64, StoreError> {
                    Ok(self.people().end(&keys, line))
                }
                async fn prune(&self, now: Timestamp) -> Result<u64, StoreError> {
                    let sessions = &mut self.people().sessions;
                    let before = sessions.len();
                    sessions.retain(|session| session.expires_at > now);
                    Ok((before - sessions.len()) as u64)
                }
            }

            #[async_trait]
            impl TokenStore for $type {
                async fn list(&self) -> Result<Vec<ApiToken>, StoreError> {
                    Ok(self.people().tokens.clone())
                }
                async fn find(&self, hash: &[u8]) -> Result<Option<ApiToken>, StoreError> {
                    let people = self.people();
                    let mut tokens = people.tokens.iter();
                    Ok(tokens.find(|token| token.hash == hash).cloned())
                }
                async fn add(&self, token: ApiToken, by: Doer) -> Result<ApiToken, StoreError> {
                    self.people().add_token(token, by)
                }
                async fn used(&self, id: i64, at: Timestamp) -> Result<(), StoreError> {
                    let mut people = self.people();
                    people.uses += 1;
                    let mut tokens = people.tokens.iter_mut();
                    if let Some(token) = tokens.find(|token| token.id == id) {
                        token.last_used_at = Some(at);
                    }
                    Ok(())
                }
                async fn remove(
                    &self,
                    id: i64,
                    owner: Option<&str>,
                    by: Doer,
                ) -> Result<bool, StoreError> {
                    Ok(self.people().remove_token(id, owner, by))
                }
            }

            #[async_trait]
            impl AuditStore for $type {
                async fn add(&self, entry: AuditEntry) -> Result<(), StoreError> {
                    self.people().note(Some(entry));
                    Ok(())
                }
                async fn list(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError> {
                    Ok(self.people().lines(filter))
                }
            }
        };
    };
}

pub(crate) use keeps_people;
