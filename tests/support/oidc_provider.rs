//! A small OpenID Connect provider on a real socket: it logs in whoever is set, and lies where a test wants it to.

#![allow(
    dead_code,
    reason = "which part of the harness is used depends on the tests that are compiled in"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::web::{self, Data, Form, Query};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use openssl::bn::{BigNum, BigNumContext};
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::sign::Signer;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

/// The name and secret of the server at the provider.
pub(crate) const CLIENT: (&str, &str) = ("nexus", "a secret/with signs");

/// How the provider lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lie {
    #[default]
    None,
    BadSignature,
    Endless,
    Expired,
    FromTheFuture,
    NoAlgorithm,
    NoName,
    NoSubject,
    OtherAudience,
    OtherIssuer,
    OtherNonce,
    Silent,
    SharedSecret,
    TwoAudiences,
    UnknownKey,
}

/// What the provider is set to.
pub(crate) struct Mind {
    pub(crate) lie: Lie,
    pub(crate) subject: String,
    pub(crate) name: String,
    pub(crate) groups: Vec<String>,
    /// Signs with P-256 and not with RSA.
    pub(crate) elliptic: bool,
    /// How often it was asked for what it says of itself.
    pub(crate) asked: usize,
    /// Codes that were given out: nonce and challenge.
    codes: BTreeMap<String, (String, String)>,
    rsa: PKey<Private>,
    ec: EcKey<Private>,
    issuer: String,
}

/// A running provider.
#[derive(Clone)]
pub(crate) struct Provider(Arc<Mutex<Mind>>);

impl Provider {
    /// Starts one; it ends with the test.
    pub(crate) fn start() -> Self {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a group");
        let provider = Self(Arc::new(Mutex::new(Mind {
            lie: Lie::None,
            subject: "u-1".to_owned(),
            name: "ada".to_owned(),
            groups: vec!["crew".to_owned()],
            elliptic: false,
            asked: 0,
            codes: BTreeMap::new(),
            rsa: PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key"),
            ec: EcKey::generate(&group).expect("a key"),
            issuer: String::new(),
        })));
        let data = Data::new(provider.clone());
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .route(
                    "/.well-known/openid-configuration",
                    web::get().to(configuration),
                )
                .route("/authorize", web::get().to(authorize))
                .route("/token", web::post().to(token))
                .route("/keys", web::get().to(keys))
        })
        .workers(1)
        .disable_signals()
        .bind(("127.0.0.1", 0))
        .expect("a free port");
        let address = server.addrs()[0];
        provider.mind().issuer = format!("http://{address}");
        actix_web::rt::spawn(server.run());
        provider
    }

    pub(crate) fn mind(&self) -> MutexGuard<'_, Mind> {
        self.0.lock().expect("nobody panicked")
    }

    pub(crate) fn issuer(&self) -> String {
        self.mind().issuer.clone()
    }
}

async fn configuration(provider: Data<Provider>) -> HttpResponse {
    let (issuer, lie) = {
        let mut mind = provider.mind();
        mind.asked += 1;
        (mind.issuer.clone(), mind.lie)
    };
    match lie {
        Lie::Silent => std::future::pending().await,
        Lie::Endless => HttpResponse::Ok().body(vec![b' '; 8 << 20]),
        _ => HttpResponse::Ok().json(json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize?a=b"),
            "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"),
        })),
    }
}

/// Whoever asks is logged in at once.
async fn authorize(
    provider: Data<Provider>,
    query: Query<BTreeMap<String, String>>,
) -> HttpResponse {
    for (name, value) in [
        ("a", "b"),
        ("response_type", "code"),
        ("client_id", CLIENT.0),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(query.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(query["scope"].split(' ').any(|scope| scope == "openid"));
    let mut mind = provider.mind();
    let code = format!("code-{}", mind.codes.len());
    let kept = (query["nonce"].clone(), query["code_challenge"].clone());
    mind.codes.insert(code.clone(), kept);
    let (back, state) = (&query["redirect_uri"], &query["state"]);
    HttpResponse::Found()
        .insert_header(("location", format!("{back}?code={code}&state={state}")))
        .finish()
}

async fn token(
    provider: Data<Provider>,
    request: HttpRequest,
    form: Form<BTreeMap<String, String>>,
) -> HttpResponse {
    let login = format!("{}:a%20secret%2Fwith%20signs", CLIENT.0);
    let login = format!("Basic {}", STANDARD.encode(login));
    let sent = request.headers().get("authorization");
    if sent.and_then(|sent| sent.to_str().ok()) != Some(login.as_str()) {
        return HttpResponse::Unauthorized().json(json!({"error": "invalid_client"}));
    }
    let mut mind = provider.mind();
    // A code works once.
    let kept = mind.codes.insert(form["code"].clone(), Default::default());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    match kept {
        Some((nonce, wanted)) if wanted == challenge => {
            let token = mind.token(&nonce);
            HttpResponse::Ok().json(json!({"token_type": "Bearer", "id_token": token}))
        }
        _ => HttpResponse::BadRequest().json(json!({"error": "invalid_grant"})),
    }
}

async fn keys(provider: Data<Provider>) -> HttpResponse {
    let mind = provider.mind();
    let number = |number: &openssl::bn::BigNumRef| URL_SAFE_NO_PAD.encode(number.to_vec());
    let rsa = mind.rsa.rsa().expect("a key");
    let (mut x, mut y) = (
        BigNum::new().expect("a number"),
        BigNum::new().expect("a number"),
    );
    let mut context = BigNumContext::new().expect("a context");
    let point = mind.ec.public_key();
    point
        .affine_coordinates(mind.ec.group(), &mut x, &mut y, &mut context)
        .expect("a point");
    let padded =
        |number: &BigNum| URL_SAFE_NO_PAD.encode(number.to_vec_padded(32).expect("a small number"));
    HttpResponse::Ok().json(json!({"keys": [
        {"kty": "RSA", "kid": "r", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256", "n": number(rsa.n()), "e": number(rsa.e())},
        {"kty": "EC", "kid": "e", "crv": "P-256", "x": padded(&x), "y": padded(&y)},
        {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AQAB"},
    ]}))
}

impl Mind {
    fn token(&self, nonce: &str) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("after 1970");
        let now = now.as_secs();
        let mut claims = json!({
            "iss": self.issuer, "aud": CLIENT.0, "sub": self.subject, "nonce": nonce,
            "iat": now, "exp": now + 300,
            "preferred_username": self.name, "groups": self.groups,
        });
        match self.lie {
            Lie::Expired => (claims["iat"], claims["exp"]) = (json!(now - 600), json!(now - 300)),
            Lie::FromTheFuture => claims["iat"] = json!(now + 600),
            Lie::NoName => claims["preferred_username"] = Json::Null,
            Lie::NoSubject => claims["sub"] = json!(""),
            Lie::OtherAudience => claims["aud"] = json!(["another"]),
            Lie::OtherIssuer => claims["iss"] = json!("https://evil.example"),
            Lie::OtherNonce => claims["nonce"] = json!("another"),
            Lie::TwoAudiences => claims["aud"] = json!([CLIENT.0, "another"]),
            _ => {}
        }
        let (algorithm, key) = match (self.lie, self.elliptic) {
            (Lie::NoAlgorithm, _) => ("none", "r"),
            (Lie::SharedSecret, _) => ("HS256", "r"),
            (Lie::UnknownKey, _) => ("RS256", "x"),
            (_, true) => ("ES256", "e"),
            (_, false) => ("RS256", "r"),
        };
        let header = json!({"alg": algorithm, "kid": key, "typ": "JWT"});
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = match algorithm {
            "ES256" => {
                let digest = Sha256::digest(signed.as_bytes());
                let signature = EcdsaSig::sign(&digest, &self.ec).expect("signed");
                let half = |number: &openssl::bn::BigNumRef| {
                    number.to_vec_padded(32).expect("a small number")
                };
                [half(signature.r()), half(signature.s())].concat()
            }
            "none" => Vec::new(),
            "HS256" => {
                // The public key, as the secret of a signature that anybody can make.
                let public = self.rsa.public_key_to_pem().expect("a key");
                let key = PKey::hmac(&public).expect("a key");
                let mut signer = Signer::new(MessageDigest::sha256(), &key).expect("a signer");
                signer
                    .sign_oneshot_to_vec(signed.as_bytes())
                    .expect("signed")
            }
            _ => {
                let mut signer = Signer::new(MessageDigest::sha256(), &self.rsa).expect("a signer");
                signer
                    .sign_oneshot_to_vec(signed.as_bytes())
                    .expect("signed")
            }
        };
        if self.lie == Lie::BadSignature
            && let Some(byte) = signature.last_mut()
        {
            *byte ^= 1;
        }
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
