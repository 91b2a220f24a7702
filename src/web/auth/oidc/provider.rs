//! The provider: what it says of itself, its keys, where to log in, and tokens for codes. The protocol is that of
//! `openidconnect`; here is what is remembered, how often the provider is asked, and what of its answers is believed.

use std::time::{Duration, Instant};

use chrono::DateTime;
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreIdToken, CoreJsonWebKeySet,
    CoreProviderMetadata,
};
use openidconnect::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, TokenResponse as _,
};
use serde_json::{Map, Value as Json};
use tokio::sync::{Mutex, Semaphore};

use crate::config::{Oidc as Settings, is_safe};
use crate::domain::Timestamp;

use super::OidcError;
use super::http::Http;
use super::token::{self, Expected, is_of_unknown_key, refusal};

/// Unknown keys make it ask for the keys again at most this often.
const KEYS_PAUSE: Duration = Duration::from_secs(30);

/// A provider that could not be asked is left alone for so long: whoever begins logins meanwhile does not wait for it.
const FAILURE_PAUSE: Duration = Duration::from_secs(2);

/// Codes that are exchanged at once.
const MAX_EXCHANGES: usize = 16;

/// Bytes of randomness in a state and in a nonce.
const RANDOM_BYTES: u32 = 32;

/// This server at the provider, once it is known where to log in.
type ThisServer = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The provider of the settings.
pub(super) struct Provider {
    settings: Settings,
    http: Http,
    /// Where the provider sends people back to.
    back: String,
    exchanges: Semaphore,
    known: Mutex<Option<Known>>,
}

/// What was heard of the provider.
struct Known {
    asked: Instant,
    keys_asked: Instant,
    /// What it says of itself, its keys included; or why that is not known.
    says: Result<CoreProviderMetadata, OidcError>,
}

/// Where to log in, and what has to come back with it.
pub(super) struct Way {
    pub(super) address: String,
    pub(super) state: String,
    pub(super) nonce: String,
    pub(super) verifier: String,
}

impl Provider {
    /// Not asked yet. It sends people back to `back`.
    pub(super) fn new(settings: &Settings, back: String) -> Self {
        Self {
            settings: settings.clone(),
            http: Http::new(settings),
            back,
            exchanges: Semaphore::new(MAX_EXCHANGES),
            known: Mutex::new(None),
        }
    }

    /// Where somebody logs in.
    pub(super) async fn way(&self) -> Result<Way, OidcError> {
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let scopes = self.settings.scopes.iter().cloned().map(Scope::new);
        let (address, state, nonce) = self
            .this_server(self.metadata().await?, None)?
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                || CsrfToken::new_random_len(RANDOM_BYTES),
                || Nonce::new_random_len(RANDOM_BYTES),
            )
            .add_scopes(scopes)
            .set_pkce_challenge(challenge)
            .url();
        Ok(Way {
            address: address.into(),
            state: state.into_secret(),
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// The ID token for a code.
    pub(super) async fn exchange(
        &self,
        code: String,
        verifier: String,
    ) -> Result<CoreIdToken, OidcError> {
        let _place = self
            .exchanges
            .try_acquire()
            .map_err(|_| away("too many logins are under way at once"))?;
        let metadata = self.metadata().await?;
        // Basic is the default of the standard.
        let methods = metadata.token_endpoint_auth_methods_supported();
        let basic = methods.is_none_or(|methods| {
            methods.is_empty() || methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let kind = if basic {
            AuthType::BasicAuth
        } else {
            AuthType::RequestBody
        };
        let this_server = self.this_server(metadata, self.secret().await?)?;
        let answer = this_server
            .set_auth_type(kind)
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|error| away(&words(&error)))?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&self.http)
            .await;
        let error = match answer {
            Ok(answer) => {
                let token = answer.id_token().cloned();
                return token.ok_or_else(|| away("the token endpoint sent no id_token"));
            }
            Err(error) => error,
        };
        let why = match &error {
            RequestTokenError::ServerResponse(refusal) => {
                let error = refusal.error().as_ref();
                tracing::warn!("The OpenID Connect provider refused a code: {error}");
                "the provider does not take its own code: begin again"
            }
            RequestTokenError::Parse(..) => {
                let error = words(&error);
                tracing::warn!("The answer to a code, or the ID token in it: {error}");
                "the answer of the provider cannot be read, or the ID token in it"
            }
            _ => return Err(away(&words(&error))),
        };
        Err(OidcError::Refused(why.to_owned()))
    }

    /// The claims of an ID token that the provider signed for this login, now.
    pub(super) async fn verified(
        &self,
        token: &CoreIdToken,
        nonce: String,
    ) -> Result<Map<String, Json>, OidcError> {
        let now = DateTime::from_timestamp_millis(Timestamp::system().as_millis());
        let now = now.ok_or_else(|| away("the clock of this server makes no sense"))?;
        let expected = Expected {
            issuer: &self.issuer()?,
            client_id: self.client_id(),
            nonce: &Nonce::new(nonce),
            now,
        };
        let keys = self.metadata().await?.jwks().clone();
        let mut verified = token::verify(token, keys, &expected);
        if verified.as_ref().is_err_and(is_of_unknown_key)
            && let Some(keys) = self.newer_keys().await?
        {
            verified = token::verify(token, keys, &expected);
        }
        verified.map_err(|wrong| refusal(&wrong))
    }

    /// What the provider says of itself, not older than `oidc.cache_s`. Of several who ask at once one goes.
    async fn metadata(&self) -> Result<CoreProviderMetadata, OidcError> {
        let mut known = self.known.lock().await;
        if let Some(known) = &*known {
            let limit = match known.says {
                Ok(_) => Duration::from_secs(self.settings.cache_s),
                Err(_) => FAILURE_PAUSE,
            };
            if known.asked.elapsed() < limit {
                return known.says.clone();
            }
        }
        let says = self.discover().await;
        let now = Instant::now();
        *known = Some(Known {
            asked: now,
            keys_asked: now,
            says: says.clone(),
        });
        says
    }

    async fn discover(&self) -> Result<CoreProviderMetadata, OidcError> {
        let issuer = &self.settings.issuer;
        let asked = CoreProviderMetadata::discover_async(self.issuer()?, &self.http).await;
        let metadata = asked.map_err(|error| away(&format!("{issuer}: {}", words(&error))))?;
        let Some(token_endpoint) = metadata.token_endpoint() else {
            return Err(away(&format!("{issuer} says no token_endpoint")));
        };
        for address in [
            metadata.authorization_endpoint().url(),
            token_endpoint.url(),
        ] {
            if !is_safe(address.as_str()) {
                return Err(away(&format!("{address} is not https")));
            }
        }
        let keys = token::strong(metadata.jwks());
        Ok(metadata.set_jwks(keys))
    }

    /// The keys of now, or of a moment ago; none when the provider could not be asked meanwhile. Of several who ask at
    /// once one goes.
    async fn newer_keys(&self) -> Result<Option<CoreJsonWebKeySet>, OidcError> {
        let mut known = self.known.lock().await;
        let Some(Known {
            keys_asked,
            says: Ok(metadata),
            ..
        }) = &mut *known
        else {
            return Ok(None);
        };
        if keys_asked.elapsed() < KEYS_PAUSE {
            return Ok(Some(metadata.jwks().clone()));
        }
        let address = metadata.jwks_uri();
        let keys = CoreJsonWebKeySet::fetch_async(address, &self.http).await;
        let keys = keys.map_err(|error| away(&format!("{}: {}", **address, words(&error))))?;
        let keys = token::strong(&keys);
        *keys_asked = Instant::now();
        *metadata = metadata.clone().set_jwks(keys.clone());
        Ok(Some(keys))
    }

    fn this_server(
        &self,
        metadata: CoreProviderMetadata,
        secret: Option<ClientSecret>,
    ) -> Result<ThisServer, OidcError> {
        let back = RedirectUrl::new(self.back.clone());
        let back = back.map_err(|error| away(&format!("web.public_url: {error}")))?;
        let this_server = CoreClient::from_provider_metadata(metadata, self.client_id(), secret);
        // It stands in `oidc.scopes`.
        Ok(this_server.disable_openid_scope().set_redirect_uri(back))
    }

    fn client_id(&self) -> ClientId {
        ClientId::new(self.settings.client_id.clone())
    }

    fn issuer(&self) -> Result<IssuerUrl, OidcError> {
        let issuer = IssuerUrl::new(self.settings.issuer.clone());
        issuer.map_err(|error| away(&format!("oidc.issuer: {error}")))
    }

    /// The secret of this server at the provider; public clients have none.
    async fn secret(&self) -> Result<Option<ClientSecret>, OidcError> {
        let file = &self.settings.client_secret_file;
        if file.is_empty() {
            let secret = &self.settings.client_secret;
            return Ok((!secret.is_empty()).then(|| ClientSecret::new(secret.clone())));
        }
        let text = tokio::fs::read_to_string(file).await;
        let text =
            text.map_err(|error| away(&format!("oidc.client_secret_file: {file}: {error}")))?;
        Ok(Some(ClientSecret::new(text.trim().to_owned())))
    }
}

/// The provider cannot be asked. What exactly is for the log, not for strangers.
fn away(detail: &str) -> OidcError {
    tracing::warn!(error = %detail, "The OpenID Connect provider cannot be asked: {detail}");
    let words =
        "the provider cannot be reached, or its answer makes no sense; the server's log says more";
    OidcError::Provider(words.to_owned())
}

/// An error and what caused it: the library says the cause in no other way.
fn words(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use actix_web::web::{self, Data};
    use actix_web::{App, HttpResponse, HttpServer};
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    /// A provider whose keys are counted when they are asked for, and the settings for it.
    fn provider() -> (Provider, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let keys = Data::from(Arc::clone(&asked));
        let server = HttpServer::new(move || {
            let configuration = async |request: actix_web::HttpRequest| {
                let issuer = format!("http://{}", request.connection_info().host());
                HttpResponse::Ok().json(json!({
                    "issuer": issuer,
                    "authorization_endpoint": format!("{issuer}/authorize"),
                    "token_endpoint": format!("{issuer}/token"),
                    "jwks_uri": format!("{issuer}/keys"),
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }))
            };
            let keys_of_now = async |asked: Data<AtomicUsize>| {
                asked.fetch_add(1, Ordering::Relaxed);
                HttpResponse::Ok().json(json!({"keys": []}))
            };
            App::new()
                .app_data(keys.clone())
                .route(
                    "/.well-known/openid-configuration",
                    web::get().to(configuration),
                )
                .route("/keys", web::get().to(keys_of_now))
        });
        let server = server.workers(1).disable_signals();
        let server = server.bind(("127.0.0.1", 0)).expect("a free port");
        let mut settings = crate::config::Settings::defaults().oidc;
        settings.issuer = format!("http://{}", server.addrs()[0]);
        settings.client_id = "nexus".to_owned();
        actix_web::rt::spawn(server.run());
        let back = "http://nexus.example/back".to_owned();
        (Provider::new(&settings, back), asked)
    }

    #[actix_web::test]
    async fn an_unknown_key_asks_for_the_keys_again_but_not_every_time() {
        let (provider, asked) = provider();
        let part = |json: Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = part(json!({"alg": "RS256", "kid": "new"}));
        let claims = part(json!({
            "iss": provider.settings.issuer, "aud": "nexus", "sub": "u", "iat": 0, "exp": 0,
        }));
        let token: CoreIdToken = format!("{header}.{claims}.AA").parse().expect("a token");
        let refused_after = async |keys: usize| {
            let verified = provider.verified(&token, "n".to_owned()).await;
            assert!(matches!(verified, Err(OidcError::Refused(_))));
            assert_eq!(asked.load(Ordering::Relaxed), keys);
        };
        refused_after(1).await;
        refused_after(1).await;
        let long_ago = Instant::now().checked_sub(KEYS_PAUSE);
        let mut known = provider.known.lock().await;
        known.as_mut().expect("asked").keys_asked = long_ago.expect("up for so long");
        drop(known);
        refused_after(2).await;
        refused_after(2).await;
    }
}
