//! ID tokens: `openidconnect` checks signature, issuer, audience, expiry and nonce; what it leaves out is checked here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::core::{
    CoreIdToken, CoreIdTokenClaims, CoreJsonWebKey, CoreJsonWebKeySet, CoreJsonWebKeyType,
    CoreJwsSigningAlgorithm as Algorithm,
};
use openidconnect::{
    ClaimsVerificationError as Wrong, ClientId, IdTokenVerifier, IssuerUrl, JsonWebKey as _, Nonce,
    SignatureVerificationError,
};
use serde_json::{Map, Value as Json};

use super::OidcError;

/// How far the clocks of provider and server may be apart.
const CLOCKS_APART: TimeDelta = TimeDelta::seconds(60);

/// The smallest RSA key that is believed, in bits.
const MIN_RSA_BITS: usize = 2048;

/// How a token may be signed: with a key of the provider. Never `none`, and never with a secret that both know (HS256):
/// a public key could be taken for it.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
];

/// What a token has to say.
pub(super) struct Expected<'e> {
    pub(super) issuer: &'e IssuerUrl,
    pub(super) client_id: ClientId,
    pub(super) nonce: &'e Nonce,
    pub(super) now: DateTime<Utc>,
}

/// The claims of a token that is signed, meant for this login, and of now.
///
/// # Errors
/// When it is not; [`is_of_unknown_key`] tells whether newer keys may help.
pub(super) fn verify(
    token: &CoreIdToken,
    keys: CoreJsonWebKeySet,
    expected: &Expected<'_>,
) -> Result<Map<String, Json>, Wrong> {
    let now = expected.now;
    let (client_id, issuer) = (expected.client_id.clone(), expected.issuer.clone());
    // As one without a secret: so the library has no secret that it could take a signature for.
    let verifier = IdTokenVerifier::new_public_client(client_id, issuer, keys)
        .set_allowed_algs(ALGORITHMS)
        // With others in the audience the token has to name us as the party that it was issued to: see below.
        .set_other_audience_verifier_fn(|_| true)
        .set_time_fn(move || now - CLOCKS_APART);
    let claims = token.claims(&verifier, expected.nonce)?;
    let all = payload(token).ok_or_else(|| Wrong::Other("it has no claims".to_owned()))?;
    // What the library leaves out.
    if !is_issued_to(&expected.client_id, claims) {
        let why = "`azp` is not this server";
        return Err(Wrong::InvalidAudience(why.to_owned()));
    }
    let latest = now + CLOCKS_APART;
    let not_before = all.get("nbf").map(|at| at.as_f64().unwrap_or(f64::MAX));
    let is_early = not_before.is_some_and(|at| at > latest.timestamp() as f64);
    if claims.issue_time() > latest || is_early {
        return Err(Wrong::InvalidAuthTime(FUTURE.to_owned()));
    }
    Ok(all)
}

/// True when the party that it was issued to is the client that asked; others may be in the audience only when the
/// token says that party (OpenID Connect Core 3.1.3.7, 4 and 5).
fn is_issued_to(client_id: &ClientId, claims: &CoreIdTokenClaims) -> bool {
    match claims.authorized_party() {
        Some(party) => party == client_id,
        None => claims.audiences().len() == 1,
    }
}

/// All claims, as they were signed: the library keeps only those that the standard names.
fn payload(token: &CoreIdToken) -> Option<Map<String, Json>> {
    let token = token.to_string();
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&payload).ok()
}

/// True when it may be that the provider has newer keys.
pub(super) fn is_of_unknown_key(wrong: &Wrong) -> bool {
    matches!(
        wrong,
        Wrong::SignatureVerification(SignatureVerificationError::NoMatchingKey)
    )
}

/// Why a token was refused, for whoever wanted to log in.
pub(super) fn refusal(wrong: &Wrong) -> OidcError {
    use SignatureVerificationError::{AmbiguousKeyId, DisallowedAlg, NoMatchingKey, NoSignature};
    let why = match wrong {
        Wrong::Expired(_) => "the ID token has expired",
        Wrong::InvalidAudience(_) => "the ID token is for somebody else",
        Wrong::InvalidAuthTime(_) => FUTURE,
        Wrong::InvalidIssuer(_) => "the ID token comes from another issuer",
        Wrong::InvalidNonce(_) => "the ID token belongs to another login",
        Wrong::SignatureVerification(DisallowedAlg(_) | NoSignature) => {
            "the ID token is not signed with a key of the provider"
        }
        Wrong::SignatureVerification(NoMatchingKey) => {
            "the ID token is signed with a key that the provider does not show, or a short one"
        }
        Wrong::SignatureVerification(AmbiguousKeyId(_)) => {
            "the ID token does not say with which key of the provider it is signed"
        }
        Wrong::SignatureVerification(_) => "the signature of the ID token is wrong",
        _ => "the ID token wants what is not understood here",
    };
    tracing::warn!("An ID token was refused: {wrong}");
    OidcError::Refused(why.to_owned())
}

/// The keys that are long enough: the library takes RSA keys of any length.
pub(super) fn strong(keys: &CoreJsonWebKeySet) -> CoreJsonWebKeySet {
    let keys = keys.keys().iter().filter(|key| is_strong(key));
    CoreJsonWebKeySet::new(keys.cloned().collect())
}

fn is_strong(key: &CoreJsonWebKey) -> bool {
    if *key.key_type() != CoreJsonWebKeyType::RSA {
        return true;
    }
    // The library shows a modulus in no other way.
    let json = serde_json::to_value(key).unwrap_or_default();
    let modulus = json.get("n").and_then(Json::as_str).unwrap_or_default();
    let modulus = URL_SAFE_NO_PAD.decode(modulus).unwrap_or_default();
    let mut bytes = modulus.iter().skip_while(|byte| **byte == 0);
    let bits = match bytes.next() {
        Some(first) => bytes.count() * 8 + first.ilog2() as usize + 1,
        None => 0,
    };
    bits >= MIN_RSA_BITS
}

const FUTURE: &str = "the ID token is from the future: compare the clocks";
