//! The provider: what it says of itself (OpenID Connect Discovery), its keys, and codes for tokens.

use std::time::{Duration, Instant};

use actix_web::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value as Json};
use tokio::sync::{Mutex, Semaphore};

use crate::config::{Oidc as Settings, is_safe};
use crate::domain::Timestamp;

use super::http::{Question, ask, away};
use super::token::{self, Keys};
use super::{OidcError, encoded};

/// Unknown keys make it ask for the keys again at most this often.
const KEYS_PAUSE: Duration = Duration::from_secs(30);

/// What the provider says of itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
}

/// A provider that could not be asked is left alone for so long: whoever begins logins meanwhile does not wait for it.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// Codes that are exchanged at once.
const MAX_EXCHANGES: usize = 16;

/// The provider of the settings.
pub(super) struct Provider {
    settings: Settings,
    metadata: Mutex<Option<(Instant, Result<Metadata, OidcError>)>>,
    exchanges: Semaphore,
    keys: Mutex<Option<(Instant, Keys)>>,
}

impl Provider {
    /// Not asked yet.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            settings: settings.clone(),
            metadata: Mutex::new(None),
            exchanges: Semaphore::new(MAX_EXCHANGES),
            keys: Mutex::new(None),
        }
    }

    /// What the provider says of itself, not older than `oidc.cache_s`. Of several who ask at once one goes.
    pub(super) async fn metadata(&self) -> Result<Metadata, OidcError> {
        let mut known = self.metadata.lock().await;
        if let Some((at, metadata)) = &*known {
            let limit = match metadata {
                Ok(_) => self.cached_for(),
                Err(_) => FAILURE_PAUSE,
            };
            if at.elapsed() < limit {
                return metadata.clone();
            }
        }
        let metadata = self.ask_metadata().await;
        *known = Some((Instant::now(), metadata.clone()));
        metadata
    }

    async fn ask_metadata(&self) -> Result<Metadata, OidcError> {
        let issuer = self.settings.issuer.trim_end_matches('/');
        let address = format!("{issuer}/.well-known/openid-configuration");
        let json = self.read(&address).await?;
        let metadata: Metadata =
            serde_json::from_value(json).map_err(|error| away(format!("{address}: {error}")))?;
        if metadata.issuer != self.settings.issuer {
            let (says, wanted) = (&metadata.issuer, &self.settings.issuer);
            return Err(away(format!(
                "{address} says that it is `{says}`, and oidc.issuer is `{wanted}`"
            )));
        }
        for address in [
            &metadata.authorization_endpoint,
            &metadata.token_endpoint,
            &metadata.jwks_uri,
        ] {
            if !is_safe(address) {
                return Err(away(format!("{address} is not https")));
            }
        }
        Ok(metadata)
    }

    /// The ID token for a code.
    pub(super) async fn exchange(
        &self,
        code: &str,
        verifier: &str,
        redirect_uri: &str,
    ) -> Result<String, OidcError> {
        let _place = self
            .exchanges
            .try_acquire()
            .map_err(|_| away("too many logins are under way at once".to_owned()))?;
        let metadata = self.metadata().await?;
        let secret = self.secret().await?;
        let id = self.settings.client_id.as_str();
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        // Basic is the default of the standard.
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let basic = methods.is_empty() || methods.iter().any(|is| is == "client_secret_basic");
        let login = match secret.as_deref() {
            Some(secret) if basic => Some((super::encoded_value(id), super::encoded_value(secret))),
            Some(secret) => {
                form.extend([("client_id", id), ("client_secret", secret)]);
                None
            }
            None => {
                form.push(("client_id", id));
                None
            }
        };
        let question = Question {
            address: &metadata.token_endpoint,
            form: Some(encoded(&form)),
            login: login
                .as_ref()
                .map(|(id, secret)| (id.as_str(), secret.as_str())),
            ca_file: &self.settings.ca_file,
            limit: self.limit(),
        };
        let (status, answer) = ask(question).await?;
        match (status, answer.get("id_token").and_then(Json::as_str)) {
            (StatusCode::OK, Some(token)) => Ok(token.to_owned()),
            (StatusCode::OK, None) => Err(away("the token endpoint sent no id_token".to_owned())),
            (status, _) => {
                let error = answer.get("error").and_then(Json::as_str);
                let error = error.unwrap_or("no reason");
                tracing::warn!("The OpenID Connect provider refused a code: {status}, {error}");
                let why = "the provider does not take its own code: begin again";
                Err(OidcError::Refused(why.to_owned()))
            }
        }
    }

    /// The claims of an ID token that the provider signed for this login, now.
    pub(super) async fn verified(
        &self,
        token: &str,
        nonce: &str,
    ) -> Result<Map<String, Json>, OidcError> {
        let read = token::read(token)?;
        let keys = self.keys(&read).await?;
        let expected = token::Expected {
            issuer: &self.settings.issuer,
            client_id: &self.settings.client_id,
            nonce,
            now_s: Timestamp::system().as_millis() / 1000,
        };
        token::verify(read, &keys, &expected)
    }

    /// The provider's keys; asked for again when they are old, or do not have the one that is looked for.
    async fn keys(&self, token: &token::Unverified) -> Result<Keys, OidcError> {
        let metadata = self.metadata().await?;
        let mut known = self.keys.lock().await;
        if let Some((at, keys)) = &*known {
            let fresh = at.elapsed() < self.cached_for();
            if fresh && (keys.has(token) || at.elapsed() < KEYS_PAUSE) {
                return Ok(keys.clone());
            }
        }
        let json = self.read(&metadata.jwks_uri).await?;
        let keys = Keys::read(&json)?;
        *known = Some((Instant::now(), keys.clone()));
        Ok(keys)
    }

    async fn read(&self, address: &str) -> Result<Json, OidcError> {
        let question = Question {
            address,
            form: None,
            login: None,
            ca_file: &self.settings.ca_file,
            limit: self.limit(),
        };
        match ask(question).await? {
            (StatusCode::OK, json) => Ok(json),
            (status, _) => Err(away(format!("{address} answers {status}"))),
        }
    }

    /// The secret of this server at the provider; public clients have none.
    async fn secret(&self) -> Result<Option<String>, OidcError> {
        let file = &self.settings.client_secret_file;
        if file.is_empty() {
            let secret = &self.settings.client_secret;
            return Ok(Some(secret.clone()).filter(|secret| !secret.is_empty()));
        }
        let text = tokio::fs::read_to_string(file).await;
        let text =
            text.map_err(|error| away(format!("oidc.client_secret_file: {file}: {error}")))?;
        Ok(Some(text.trim().to_owned()))
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.settings.timeout_ms)
    }

    fn cached_for(&self) -> Duration {
        Duration::from_secs(self.settings.cache_s)
    }
}
