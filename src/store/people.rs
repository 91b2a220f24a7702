//! What is kept of people and programs that may log in: accounts, sessions, tokens, second factors, and
//! the audit log. Every change is written with its line of the audit log, in one transaction.

use async_trait::async_trait;

use super::StoreError;
use crate::domain::{AuditEntry, Doer, Timestamp};

/// What somebody may do. Each role may do all that the ones before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Operates devices too.
    Operator,
    /// Manages people, credentials and settings too.
    Admin,
}

/// Who vouches for a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserSource {
    /// The password that is stored here.
    #[default]
    Local,
    /// An OpenID Connect provider; there is no password.
    Oidc,
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its row.
    pub id: i64,
    /// The login name, unique.
    pub name: String,
    /// What the person may do.
    pub role: Role,
    /// The password as a PHC string (Argon2id); empty without one.
    pub password_hash: String,
    /// True until the first password was changed.
    pub must_change_password: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// True while the person may not log in.
    pub disabled: bool,
    /// Who vouches for the person.
    pub source: UserSource,
    /// True when a login needs a one-time code too.
    pub has_totp: bool,
}

impl User {
    /// Somebody with a password, who is made now. The row is given when it is stored.
    pub fn new(name: &str, role: Role, password_hash: String) -> Self {
        Self {
            id: 0,
            name: name.to_owned(),
            role,
            password_hash,
            must_change_password: false,
            created_at: Timestamp::system(),
            disabled: false,
            source: UserSource::Local,
            has_totp: false,
        }
    }
}

/// What becomes different about a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserChange {
    /// Another role.
    pub role: Option<Role>,
    /// May no longer log in, or may again.
    pub disabled: Option<bool>,
}

/// Somebody for whom an OpenID Connect provider vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outsider {
    /// Who it is to the provider: its issuer and the subject there. Unique, and the same for ever.
    pub subject: String,
    /// The login name, of the first time; later ones are ignored.
    pub name: String,
    /// What the person may do from now on.
    pub role: Role,
}

/// Reads and changes people.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// Everybody, by name.
    async fn list(&self) -> Result<Vec<User>, StoreError>;
    /// One person by login name.
    async fn find(&self, name: &str) -> Result<Option<User>, StoreError>;
    /// Stores a new person (the id is ignored); [`StoreError::Exists`] when the name is taken.
    async fn add(&self, user: User, by: Doer) -> Result<User, StoreError>;
    /// Sets a new password, which the person has to change at the next login when `must_change` says so; false
    /// when nobody of this name has one. Ends the person's sessions.
    async fn set_password(
        &self,
        name: &str,
        hash: &str,
        must_change: bool,
        by: Doer,
    ) -> Result<bool, StoreError>;
    /// Changes what a person may do; nothing when there is nobody of this name. Who is disabled has no session
    /// afterwards. [`StoreError::LastAdmin`] when no admin would be left who can log in.
    async fn change(
        &self,
        name: &str,
        change: UserChange,
        by: Doer,
    ) -> Result<Option<User>, StoreError>;
    /// Removes a person with sessions, tokens and second factor; false when there is nobody of this name.
    /// [`StoreError::LastAdmin`] as with [`change`](UserStore::change).
    async fn remove(&self, name: &str, by: Doer) -> Result<bool, StoreError>;
    /// The account of whom a provider knows by this subject.
    async fn of_subject(&self, subject: &str) -> Result<Option<User>, StoreError>;
    /// The account of somebody for whom a provider vouches, made at the first time, with the role of now;
    /// [`StoreError::NotTheirs`] when the name of a new one is taken. A change is written as done by `by`.
    async fn admit(&self, outsider: Outsider, by: Doer) -> Result<User, StoreError>;
}

/// A second factor: one-time codes by time (RFC 6238).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totp {
    /// The row of the person.
    pub user_id: i64,
    /// The shared secret, sealed.
    pub sealed_secret: Vec<u8>,
    /// False until the person has shown a code of it; until then no login needs one.
    pub confirmed: bool,
    /// How many recovery codes are left.
    pub recovery_codes: u64,
}

/// Keeps second factors.
#[async_trait]
pub trait TotpStore: Send + Sync {
    /// The second factor of a person.
    async fn totp(&self, name: &str) -> Result<Option<Totp>, StoreError>;
    /// Keeps a secret that is not confirmed yet, in the place of another such; false when there is nobody of this
    /// name or the second factor is in force already.
    async fn begin_totp(&self, name: &str, sealed_secret: Vec<u8>) -> Result<bool, StoreError>;
    /// Puts the second factor in force with the code of this step, which counts as used, and keeps the hashes of
    /// the recovery codes; false when it is in force already, or another secret was begun meanwhile.
    async fn confirm_totp(
        &self,
        name: &str,
        sealed_secret: Vec<u8>,
        step: i64,
        recovery: Vec<Vec<u8>>,
        by: Doer,
    ) -> Result<bool, StoreError>;
    /// Takes the code of a step of this secret, in one conditional update; false when it, or one of a later step,
    /// was used before, or the secret is another one by now.
    async fn use_totp_step(
        &self,
        name: &str,
        sealed_secret: Vec<u8>,
        step: i64,
    ) -> Result<bool, StoreError>;
    /// Takes a recovery code; false when there is none like it. Each works once.
    async fn use_recovery_code(
        &self,
        name: &str,
        hash: Vec<u8>,
        by: Doer,
    ) -> Result<bool, StoreError>;
    /// Removes the second factor with its recovery codes; false when there is none.
    async fn remove_totp(&self, name: &str, by: Doer) -> Result<bool, StoreError>;
}

/// A session of the web pages; the key is stored as a hash only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSession {
    /// SHA-256 of the session key.
    pub key_hash: Vec<u8>,
    /// The session's state, a JSON object of strings.
    pub state: String,
    /// The person, once logged in.
    pub user: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When it began; unknown of sessions of an older version.
    pub began_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub used_at: Option<Timestamp>,
    /// From which address it was begun.
    pub remote: String,
    /// What the browser called itself then (`User-Agent`), shortened.
    pub agent: String,
}

impl WebSession {
    /// What tells it from others without opening it: the first eight bytes of the hash, in hex.
    pub fn handle(&self) -> String {
        hex::encode(self.key_hash.get(..8).unwrap_or(&self.key_hash))
    }
}

/// Keeps web sessions.
#[async_trait]
pub trait SessionStore: Send + Sync {
    /// One session that has not ended.
    async fn find(&self, key_hash: &[u8], now: Timestamp)
    -> Result<Option<WebSession>, StoreError>;
    /// The sessions of people that have not ended, or those of one, the last used first; at most 1,000.
    async fn list(&self, user: Option<&str>, now: Timestamp)
    -> Result<Vec<WebSession>, StoreError>;
    /// Stores or replaces one. One of a person is a login, and the line says so.
    async fn save(&self, session: WebSession, line: Option<AuditEntry>) -> Result<(), StoreError>;
    /// Overwrites one that is there; false when it is not. One that was ended meanwhile, by a new
    /// password for example, does not come back by this.
    async fn replace(&self, session: WebSession) -> Result<bool, StoreError>;
    /// Forgets one, whoever's it was.
    async fn remove(&self, key_hash: &[u8]) -> Result<(), StoreError>;
    /// Ends these sessions of one person; the line is written when there was one. Returns how many there were.
    async fn end(&self, key_hashes: Vec<Vec<u8>>, line: AuditEntry) -> Result<u64, StoreError>;
    /// Removes those that have ended; returns how many.
    async fn prune(&self, now: Timestamp) -> Result<u64, StoreError>;
}

/// A token for programs; only its hash is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiToken {
    /// Its row.
    pub id: i64,
    /// What it is for, unique.
    pub name: String,
    /// What it may do, at most.
    pub role: Role,
    /// SHA-256 of the token.
    pub hash: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// The person it belongs to: it may do no more than that person, and goes with the account. One of nobody
    /// is of the whole server.
    pub owner: Option<String>,
}

/// Keeps API tokens.
#[async_trait]
pub trait TokenStore: Send + Sync {
    /// All of them, by name.
    async fn list(&self) -> Result<Vec<ApiToken>, StoreError>;
    /// The one with this hash, ended or not.
    async fn find(&self, hash: &[u8]) -> Result<Option<ApiToken>, StoreError>;
    /// Stores a new one (the id is ignored); [`StoreError::Exists`] when the name is taken.
    async fn add(&self, token: ApiToken, by: Doer) -> Result<ApiToken, StoreError>;
    /// Notes a use.
    async fn used(&self, id: i64, at: Timestamp) -> Result<(), StoreError>;
    /// Removes one, of this person only where one is named; false when there is none of this id.
    async fn remove(&self, id: i64, owner: Option<&str>, by: Doer) -> Result<bool, StoreError>;
}

/// Which lines of the audit log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only what this one did: a login, `token:NAME` or `cli`.
    pub actor: Option<String>,
    /// Only this, or all that begins with it where it ends with a dot: `user.` is `user.create` and the others.
    pub action: Option<String>,
    /// A part of what it was done to, upper and lower case alike.
    pub subject: Option<String>,
    /// Not before this time.
    pub from: Option<Timestamp>,
    /// Before this time.
    pub to: Option<Timestamp>,
    /// Only lines before this one (the last of the page before).
    pub before: Option<i64>,
    /// At most so many.
    pub limit: u64,
}

/// Keeps the audit log.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Adds a line; it is on disk when this returns.
    async fn add(&self, entry: AuditEntry) -> Result<(), StoreError>;
    /// Lines, newest first.
    async fn list(&self, filter: &AuditFilter) -> Result<Vec<AuditEntry>, StoreError>;
}
