//! ID tokens: JWTs (RFC 7519) that the provider signed with RS256 or ES256, and its keys (RFC 7517).
//!
//! Only these two: no algorithm of the token's choice is ever taken that a public key could be a secret of, and `none` is
//! none. OpenSSL checks the signatures, as everywhere here.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Public};
use openssl::rsa::Rsa;
use openssl::sign::Verifier;
use serde_json::{Map, Value as Json};

use super::OidcError;
use super::http::away;

/// How far the clocks of provider and server may be apart, in seconds.
const CLOCKS_APART_S: i64 = 60;

/// The longest token that is read.
const MAX_BYTES: usize = 64 * 1024;

/// The smallest RSA key that is believed, in bits.
const MIN_RSA_BITS: u32 = 2048;

/// Bytes of each half of a signature with P-256.
const HALF: usize = 32;

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Es256,
    Rs256,
}

/// A token whose signature nobody has looked at yet.
pub(super) struct Unverified {
    algorithm: Algorithm,
    key_id: Option<String>,
    /// What is signed.
    signed: String,
    signature: Vec<u8>,
    claims: Map<String, Json>,
}

/// The keys of the provider that are for signatures.
#[derive(Clone, Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: PKey<Public>,
}

/// What a token has to say.
pub(super) struct Expected<'e> {
    pub(super) issuer: &'e str,
    pub(super) client_id: &'e str,
    pub(super) nonce: &'e str,
    /// Seconds since 1970.
    pub(super) now_s: i64,
}

/// Takes a token apart; nothing of it is believed yet.
pub(super) fn read(token: &str) -> Result<Unverified, OidcError> {
    let unreadable = || refused("the ID token cannot be read");
    if token.len() > MAX_BYTES {
        return Err(unreadable());
    }
    let mut parts = token.split('.');
    let (Some(head), Some(body), Some(signature), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(unreadable());
    };
    let json = |part: &str| -> Option<Map<String, Json>> {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    let header = json(head).ok_or_else(unreadable)?;
    let algorithm = match header.get("alg").and_then(Json::as_str) {
        Some("ES256") => Algorithm::Es256,
        Some("RS256") => Algorithm::Rs256,
        _ => return Err(refused("the ID token is not signed with RS256 or ES256")),
    };
    if header.contains_key("crit") {
        return Err(refused("the ID token wants what is not understood here"));
    }
    Ok(Unverified {
        algorithm,
        key_id: header.get("kid").and_then(Json::as_str).map(str::to_owned),
        signed: format!("{head}.{body}"),
        signature: URL_SAFE_NO_PAD
            .decode(signature)
            .map_err(|_| unreadable())?,
        claims: json(body).ok_or_else(unreadable)?,
    })
}

/// The claims of a token that is signed, meant for this login, and of now.
pub(super) fn verify(
    token: Unverified,
    keys: &Keys,
    expected: &Expected<'_>,
) -> Result<Map<String, Json>, OidcError> {
    let is_signed = keys.fitting(&token).any(|key| key.has_signed(&token));
    if !is_signed {
        return Err(refused("the signature of the ID token is wrong"));
    }
    let claims = token.claims;
    let text = |name: &str| claims.get(name).and_then(Json::as_str);
    let number = |name: &str| claims.get(name).and_then(Json::as_f64);
    if text("iss") != Some(expected.issuer) {
        return Err(refused("the ID token comes from another issuer"));
    }
    let audience: Vec<&str> = match claims.get("aud") {
        Some(Json::String(one)) => vec![one],
        Some(Json::Array(many)) => many.iter().filter_map(Json::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    let authorized = text("azp");
    let is_for_us = audience.contains(&expected.client_id)
        && (audience.len() == 1 || authorized.is_some())
        && authorized.is_none_or(|party| party == expected.client_id);
    if !is_for_us {
        return Err(refused("the ID token is for somebody else"));
    }
    if text("nonce") != Some(expected.nonce) {
        return Err(refused("the ID token belongs to another login"));
    }
    let apart = CLOCKS_APART_S as f64;
    let now = expected.now_s as f64;
    match (number("exp"), number("iat")) {
        (Some(end), Some(_)) if end + apart <= now => Err(refused("the ID token has expired")),
        (Some(_), Some(start)) if start - apart > now => Err(refused(
            "the ID token is from the future: compare the clocks",
        )),
        (Some(_), Some(_)) => Ok(claims),
        _ => Err(refused("the ID token does not say of when it is")),
    }
}

impl Keys {
    /// Those of a key set that can be used; a provider may have others too.
    pub(super) fn read(json: &Json) -> Result<Self, OidcError> {
        let all = json.get("keys").and_then(Json::as_array);
        let all = all.ok_or_else(|| away("the key set has no keys".to_owned()))?;
        Ok(Self(all.iter().filter_map(Key::read).collect()))
    }

    /// True when one of them may have signed the token.
    pub(super) fn has(&self, token: &Unverified) -> bool {
        self.fitting(token).next().is_some()
    }

    fn fitting<'k>(&'k self, token: &'k Unverified) -> impl Iterator<Item = &'k Key> {
        self.0.iter().filter(|key| {
            let same = token.key_id.is_none() || key.id == token.key_id;
            same && key.algorithm == token.algorithm
        })
    }
}

impl Key {
    fn read(json: &Json) -> Option<Self> {
        let text = |name: &str| json.get(name).and_then(Json::as_str);
        if text("use").is_some_and(|is| is != "sig") {
            return None;
        }
        let big = |name: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text(name)?).ok()?;
            BigNum::from_slice(&bytes).ok()
        };
        let (algorithm, key) = match text("kty")? {
            "RSA" => {
                let rsa = Rsa::from_public_components(big("n")?, big("e")?).ok()?;
                let key = PKey::from_rsa(rsa).ok()?;
                (key.bits() >= MIN_RSA_BITS).then_some((Algorithm::Rs256, key))?
            }
            "EC" if text("crv") == Some("P-256") => {
                let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).ok()?;
                let (x, y) = (big("x")?, big("y")?);
                let key = EcKey::from_public_key_affine_coordinates(&group, &x, &y).ok()?;
                (Algorithm::Es256, PKey::from_ec_key(key).ok()?)
            }
            _ => return None,
        };
        let wanted = match algorithm {
            Algorithm::Es256 => "ES256",
            Algorithm::Rs256 => "RS256",
        };
        if text("alg").is_some_and(|is| is != wanted) {
            return None;
        }
        Some(Self {
            id: text("kid").map(str::to_owned),
            algorithm,
            key,
        })
    }

    fn has_signed(&self, token: &Unverified) -> bool {
        let signature = match self.algorithm {
            Algorithm::Rs256 => Some(token.signature.clone()),
            Algorithm::Es256 => der(&token.signature),
        };
        let check = |signature: &[u8]| {
            let mut verifier = Verifier::new(MessageDigest::sha256(), &self.key)?;
            verifier.verify_oneshot(signature, token.signed.as_bytes())
        };
        signature.is_some_and(|signature| check(&signature).unwrap_or(false))
    }
}

/// A signature of P-256 as OpenSSL wants it; JWS has both halves one after the other.
fn der(signature: &[u8]) -> Option<Vec<u8>> {
    if signature.len() != 2 * HALF {
        return None;
    }
    let (r, s) = signature.split_at(HALF);
    let (r, s) = (BigNum::from_slice(r).ok()?, BigNum::from_slice(s).ok()?);
    EcdsaSig::from_private_components(r, s).ok()?.to_der().ok()
}

fn refused(why: &str) -> OidcError {
    OidcError::Refused(why.to_owned())
}
