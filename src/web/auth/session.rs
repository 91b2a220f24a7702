//! Web sessions in the database, for `actix-session`.
//!
//! The cookie carries 256 random bits, signed; the database holds their SHA-256 only, so that a
//! stolen backup opens no session. A session ends after `web.session_hours`, after
//! `web.session_idle_hours` without use, and at once when its row is removed.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use actix_session::SessionMiddleware;
use actix_session::config::{CookieContentSecurity, PersistentSession, TtlExtensionPolicy};
use actix_session::storage::{LoadError, SaveError, SessionKey, UpdateError};
use actix_web::HttpRequest;
use actix_web::cookie::time::Duration as CookieDuration;
use actix_web::cookie::{CookieJar, Key, SameSite};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::Web;
use crate::domain::{Doer, Timestamp};
use crate::store::{SessionStore, WebSession};
use crate::web::AppState;

use super::tokens::hash;

/// Where `actix-identity` keeps the login name in a session's state.
const LOGIN_KEY: &str = "actix_identity.user_id";

/// Where we keep the moment at which a login ends whatever happens, in milliseconds since 1970.
pub(super) const DEADLINE_KEY: &str = "deadline";

/// Where we keep since when a session is, in milliseconds since 1970.
pub(super) const BEGAN_KEY: &str = "began";

/// Where we keep from which address it was begun.
pub(super) const REMOTE_KEY: &str = "remote";

/// Where we keep what the browser called itself then.
pub(super) const AGENT_KEY: &str = "agent";

/// Where we keep by what the person was known, for the audit log.
pub(super) const PROOF_KEY: &str = "proof";

/// The end of an idle session is moved at most this often, so that reading does not write.
const TOUCH_INTERVAL: Duration = Duration::from_secs(60);

/// Bytes of a key that signs cookies.
const COOKIE_KEY_BYTES: usize = 64;

/// The key that signs session cookies: `session.key` in the data folder, made at the first start,
/// readable by its owner only.
///
/// # Errors
/// When the file cannot be read or written, or holds something else.
pub fn session_key(data_dir: &Path) -> io::Result<Key> {
    let file = data_dir.join("session.key");
    match fs::read(&file) {
        Ok(bytes) if bytes.len() == COOKIE_KEY_BYTES => Ok(Key::from(&bytes)),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{} is damaged; remove it to end all sessions",
                file.display()
            ),
        )),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; COOKIE_KEY_BYTES];
            getrandom::fill(&mut bytes).map_err(io::Error::other)?;
            let mut made = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&file)?;
            made.write_all(&bytes)?;
            made.sync_all()?;
            Ok(Key::from(&bytes))
        }
        Err(error) => Err(error),
    }
}

/// The session middleware of one worker.
pub(in crate::web) fn middleware(state: &AppState) -> SessionMiddleware<DatabaseSessions> {
    let web = &state.settings.web;
    let sessions = DatabaseSessions {
        store: state.stores.sessions.clone(),
        idle: hours(web.session_idle_hours),
    };
    let cookie_lives = i64::try_from(hours(web.session_hours).as_secs()).unwrap_or(i64::MAX);
    SessionMiddleware::builder(sessions, state.cookie_key.clone())
        .cookie_name(cookie_name(web).to_owned())
        .cookie_secure(web.is_https())
        .cookie_http_only(true)
        .cookie_same_site(SameSite::Lax)
        .cookie_path("/".to_owned())
        .cookie_content_security(CookieContentSecurity::Signed)
        .session_lifecycle(
            PersistentSession::default()
                .session_ttl(CookieDuration::seconds(cookie_lives))
                .session_ttl_extension_policy(TtlExtensionPolicy::OnStateChanges),
        )
        .build()
}

/// The SHA-256 of the session key that a request carries, if its signature is ours.
pub(super) fn presented_key_hash(request: &HttpRequest, state: &AppState) -> Option<Vec<u8>> {
    let name = cookie_name(&state.settings.web);
    let mut jar = CookieJar::new();
    jar.add_original(request.cookie(name)?);
    let key = jar.signed(&state.cookie_key).get(name)?;
    Some(hash(key.value()))
}

/// When a login of this moment ends whatever happens.
pub(super) fn deadline(web: &Web, now: Timestamp) -> Timestamp {
    now.plus(hours(web.session_hours))
}

/// `__Host-` binds a cookie to this very host, but needs HTTPS.
fn cookie_name(web: &Web) -> &'static str {
    if web.is_https() {
        "__Host-flownexus"
    } else {
        "flownexus"
    }
}

fn hours(hours: u64) -> Duration {
    Duration::from_secs(hours.saturating_mul(3600))
}

/// Our store in the shape that `actix-session` wants.
#[derive(Clone)]
pub(in crate::web) struct DatabaseSessions {
    store: Arc<dyn SessionStore>,
    idle: Duration,
}

type State = HashMap<String, String>;

/// A text of the state, which holds JSON.
fn text_of(state: &State, key: &str) -> Option<String> {
    serde_json::from_str(state.get(key)?).ok()
}

impl DatabaseSessions {
    fn session(&self, key: &str, state: &State, now: Timestamp) -> anyhow::Result<WebSession> {
        let began = state.get(BEGAN_KEY).and_then(|began| began.parse().ok());
        Ok(WebSession {
            key_hash: hash(key),
            state: serde_json::to_string(state)?,
            user: text_of(state, LOGIN_KEY),
            expires_at: self.end(state, now),
            began_at: began.map(Timestamp::clamped_from_millis),
            used_at: Some(now),
            remote: text_of(state, REMOTE_KEY).unwrap_or_default(),
            agent: text_of(state, AGENT_KEY).unwrap_or_default(),
        })
    }

    /// When a session that is used now ends.
    fn end(&self, state: &State, now: Timestamp) -> Timestamp {
        let idle = now.plus(self.idle);
        let deadline = state
            .get(DEADLINE_KEY)
            .and_then(|deadline| deadline.parse().ok())
            .map(Timestamp::clamped_from_millis);
        deadline.map_or(idle, |deadline| deadline.min(idle))
    }
}

impl actix_session::storage::SessionStore for DatabaseSessions {
    async fn load(&self, key: &SessionKey) -> Result<Option<State>, LoadError> {
        let now = Timestamp::system();
        let stored = self.store.find(&hash(key.as_ref()), now).await;
        let Some(session) = stored.map_err(|error| LoadError::Other(error.into()))? else {
            return Ok(None);
        };
        let state: State = serde_json::from_str(&session.state)
            .map_err(|error| LoadError::Deserialization(error.into()))?;
        let end = self.end(&state, now);
        let used = session.used_at.unwrap_or(session.expires_at);
        if end.since(session.expires_at) >= TOUCH_INTERVAL || now.since(used) >= TOUCH_INTERVAL {
            let touched = WebSession {
                expires_at: end,
                used_at: Some(now),
                ..session
            };
            // A session that cannot be lengthened is still a session.
            if let Err(error) = self.store.replace(touched).await {
                tracing::warn!(error = %error, "A session could not be lengthened: {error}");
            }
        }
        Ok(Some(state))
    }

    async fn save(&self, state: State, _: &CookieDuration) -> Result<SessionKey, SaveError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| SaveError::Other(anyhow::Error::msg(error.to_string())))?;
        let key = URL_SAFE_NO_PAD.encode(bytes);
        let session = self
            .session(&key, &state, Timestamp::system())
            .map_err(SaveError::Other)?;
        // A session of somebody gets a new key when it begins, and never again.
        let line = session.user.clone().map(|user| {
            let by = Doer {
                actor: user.clone(),
                remote: session.remote.clone(),
            };
            let proof = text_of(&state, PROOF_KEY).unwrap_or_default();
            by.line("session.start", &user, proof)
        });
        let saved = self.store.save(session, line).await;
        saved.map_err(|error| SaveError::Other(error.into()))?;
        SessionKey::try_from(key).map_err(|error| SaveError::Other(error.into()))
    }

    async fn update(
        &self,
        key: SessionKey,
        state: State,
        _: &CookieDuration,
    ) -> Result<SessionKey, UpdateError> {
        let session = self
            .session(key.as_ref(), &state, Timestamp::system())
            .map_err(UpdateError::Other)?;
        // Ended while the request ran, by a new password for example: it must not come back.
        let replaced = self.store.replace(session).await;
        replaced.map_err(|error| UpdateError::Other(error.into()))?;
        Ok(key)
    }

    /// Never called with [`TtlExtensionPolicy::OnStateChanges`]; loading a session does it.
    async fn update_ttl(&self, _: &SessionKey, _: &CookieDuration) -> anyhow::Result<()> {
        Ok(())
    }

    async fn delete(&self, key: &SessionKey) -> anyhow::Result<()> {
        Ok(self.store.remove(&hash(key.as_ref())).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_key_is_made_once_and_is_private() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().expect("a folder");
        let first = session_key(folder.path()).expect("a key");
        let again = session_key(folder.path()).expect("the key");
        assert_eq!(first.master(), again.master());
        let file = folder.path().join("session.key");
        let mode = fs::metadata(&file).expect("the file").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&file, "short").expect("a file");
        assert!(session_key(folder.path()).is_err());
    }
}
