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
use openssl::bn::{BigNum, BigNumContext, BigNumRef};
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::hash::{MessageDigest, hash};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::{Padding, Rsa};
use openssl::sign::{RsaPssSaltlen, Signer};
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
    Elsewhere,
    Endless,
    ErrorPage,
    Expired,
    FromTheFuture,
    NoAlgorithm,
    NoName,
    NoSubject,
    NotYet,
    OtherAudience,
    OtherIssuer,
    OtherNonce,
    OtherParty,
    PlainKeys,
    PlainLogin,
    PlainTokens,
    Silent,
    SharedSecret,
    ShortKey,
    TwoAudiences,
    TwoAudiencesAndOtherParty,
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
    /// Wants the secret in the form, and not as a login of HTTP.
    pub(crate) secret_in_form: bool,
    /// Signs so, when nothing else is asked for.
    pub(crate) algorithm: Option<&'static str>,
    /// What the token says beside that.
    pub(crate) claims: Vec<(&'static str, Json)>,
    /// How often it was asked for what it says of itself.
    pub(crate) asked: usize,
    /// Codes that were given out: nonce and challenge.
    codes: BTreeMap<String, (String, String)>,
    rsa: PKey<Private>,
    short_rsa: PKey<Private>,
    ec: EcKey<Private>,
    larger_ec: EcKey<Private>,
    edwards: PKey<Private>,
    issuer: String,
}

/// A running provider.
#[derive(Clone)]
pub(crate) struct Provider(Arc<Mutex<Mind>>);

impl Provider {
    /// Starts one; it ends with the test.
    pub(crate) fn start() -> Self {
        let rsa = |bits| PKey::from_rsa(Rsa::generate(bits).expect("a key")).expect("a key");
        let ec = |curve| {
            let group = EcGroup::from_curve_name(curve).expect("a group");
            EcKey::generate(&group).expect("a key")
        };
        let provider = Self(Arc::new(Mutex::new(Mind {
            lie: Lie::None,
            subject: "u-1".to_owned(),
            name: "ada".to_owned(),
            groups: vec!["crew".to_owned()],
            elliptic: false,
            secret_in_form: false,
            algorithm: None,
            claims: Vec::new(),
            asked: 0,
            codes: BTreeMap::new(),
            rsa: rsa(2048),
            short_rsa: rsa(1024),
            ec: ec(Nid::X9_62_PRIME256V1),
            larger_ec: ec(Nid::SECP384R1),
            edwards: PKey::generate_ed25519().expect("a key"),
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
                .route("/elsewhere", web::get().to(elsewhere))
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
    let (issuer, lie, secret_in_form) = {
        let mut mind = provider.mind();
        mind.asked += 1;
        (mind.issuer.clone(), mind.lie, mind.secret_in_form)
    };
    let mut says = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize?a=b"),
        "token_endpoint": format!("{issuer}/token"),
        "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
    });
    if secret_in_form {
        says["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
    }
    // It answers there too, but not every system would send this to itself.
    let plain = issuer.replace("127.0.0.1", "0.0.0.0");
    match lie {
        Lie::Silent => std::future::pending().await,
        Lie::Endless => return HttpResponse::Ok().body(vec![b' '; 8 << 20]),
        Lie::Elsewhere => {
            return HttpResponse::Found()
                .insert_header(("location", "/elsewhere"))
                .json(says);
        }
        Lie::PlainKeys => says["jwks_uri"] = json!(format!("{plain}/keys")),
        Lie::PlainLogin => {
            says["authorization_endpoint"] = json!(format!("{plain}/authorize"));
        }
        Lie::PlainTokens => says["token_endpoint"] = json!(format!("{plain}/token")),
        _ => {}
    }
    HttpResponse::Ok().json(says)
}

/// The truth, but nobody may be led here.
async fn elsewhere(provider: Data<Provider>) -> HttpResponse {
    provider.mind().lie = Lie::None;
    configuration(provider).await
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
    let login = format!("{}:a+secret%2Fwith+signs", CLIENT.0);
    let login = format!("Basic {}", STANDARD.encode(login));
    let sent = request.headers().get("authorization");
    let sent = sent.and_then(|sent| sent.to_str().ok());
    let field = |name| form.get(name).map(String::as_str);
    let mut mind = provider.mind();
    let is_right = if mind.secret_in_form {
        sent.is_none()
            && (field("client_id"), field("client_secret")) == (Some(CLIENT.0), Some(CLIENT.1))
    } else {
        sent == Some(login.as_str()) && field("client_secret").is_none()
    };
    if !is_right {
        return HttpResponse::Unauthorized().json(json!({"error": "invalid_client"}));
    }
    if mind.lie == Lie::ErrorPage {
        return HttpResponse::BadGateway().body("<h1>out of order</h1>");
    }
    // A code works once.
    let kept = mind.codes.insert(form["code"].clone(), Default::default());
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
    match kept {
        Some((nonce, wanted)) if wanted == challenge => {
            let token = mind.token(&nonce);
            HttpResponse::Ok().json(json!({
                "access_token": "for nobody", "token_type": "Bearer", "id_token": token,
            }))
        }
        _ => HttpResponse::BadRequest().json(json!({"error": "invalid_grant"})),
    }
}

async fn keys(provider: Data<Provider>) -> HttpResponse {
    let mind = provider.mind();
    let rsa = |key: &PKey<Private>, mut json: Json| {
        let key = key.rsa().expect("a key");
        json["kty"] = json!("RSA");
        json["n"] = json!(URL_SAFE_NO_PAD.encode(key.n().to_vec()));
        json["e"] = json!(URL_SAFE_NO_PAD.encode(key.e().to_vec()));
        json
    };
    let ec = |key: &EcKey<Private>, bytes, curve, id| {
        let number = || BigNum::new().expect("a number");
        let (mut x, mut y) = (number(), number());
        let mut context = BigNumContext::new().expect("a context");
        key.public_key()
            .affine_coordinates(key.group(), &mut x, &mut y, &mut context)
            .expect("a point");
        let padded = |number: &BigNum| {
            URL_SAFE_NO_PAD.encode(number.to_vec_padded(bytes).expect("a small number"))
        };
        json!({"kty": "EC", "kid": id, "crv": curve, "x": padded(&x), "y": padded(&y)})
    };
    let edwards = mind.edwards.raw_public_key().expect("a key");
    HttpResponse::Ok().json(json!({"keys": [
        {"kty": "RSA", "kid": "r", "use": "enc", "n": "AQAB", "e": "AQAB"},
        rsa(&mind.rsa, json!({"kid": "r", "use": "sig", "alg": "RS256"})),
        rsa(&mind.rsa, json!({"kid": "R"})),
        rsa(&mind.short_rsa, json!({"kid": "s", "use": "sig", "alg": "RS256"})),
        ec(&mind.ec, 32, "P-256", "e"),
        ec(&mind.larger_ec, 48, "P-384", "E"),
        {"kty": "OKP", "kid": "o", "crv": "Ed25519", "x": "AQAB"},
        {"kty": "OKP", "kid": "O", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(edwards)},
        {"kty": "new", "kid": 5},
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
        for (name, claim) in &self.claims {
            claims[*name] = claim.clone();
        }
        match self.lie {
            Lie::Expired => (claims["iat"], claims["exp"]) = (json!(now - 600), json!(now - 300)),
            Lie::FromTheFuture => claims["iat"] = json!(now + 600),
            Lie::NoName => claims["preferred_username"] = Json::Null,
            Lie::NoSubject => claims["sub"] = json!(""),
            Lie::NotYet => claims["nbf"] = json!(now + 600),
            Lie::OtherAudience => claims["aud"] = json!(["another"]),
            Lie::OtherIssuer => claims["iss"] = json!("https://evil.example"),
            Lie::OtherNonce => claims["nonce"] = json!("another"),
            Lie::OtherParty => claims["azp"] = json!("another"),
            Lie::TwoAudiences => claims["aud"] = json!([CLIENT.0, "another"]),
            Lie::TwoAudiencesAndOtherParty => {
                (claims["aud"], claims["azp"]) = (json!([CLIENT.0, "another"]), json!("another"));
            }
            _ => {}
        }
        let (algorithm, key) = match (self.lie, self.algorithm, self.elliptic) {
            (Lie::NoAlgorithm, ..) => ("none", "r"),
            (Lie::SharedSecret, ..) => ("HS256", "r"),
            (Lie::ShortKey, ..) => ("RS256", "s"),
            (Lie::UnknownKey, ..) => ("RS256", "x"),
            (_, Some(algorithm @ "ES384"), _) => (algorithm, "E"),
            (_, Some(algorithm @ "EdDSA"), _) => (algorithm, "O"),
            (_, Some(algorithm), _) => (algorithm, "R"),
            (_, None, true) => ("ES256", "e"),
            (_, None, false) => ("RS256", "r"),
        };
        let header = json!({"alg": algorithm, "kid": key, "typ": "JWT"});
        let part = |json: &Json| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&header), part(&claims));
        let mut signature = self.signature(algorithm, signed.as_bytes());
        if self.lie == Lie::BadSignature
            && let Some(byte) = signature.last_mut()
        {
            *byte ^= 1;
        }
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, algorithm: &str, signed: &[u8]) -> Vec<u8> {
        let digest = match algorithm.get(2..) {
            Some("384") => MessageDigest::sha384(),
            Some("512") => MessageDigest::sha512(),
            _ => MessageDigest::sha256(),
        };
        let halves = |key: &EcKey<Private>, bytes| {
            let digest = hash(digest, signed).expect("a digest");
            let signature = EcdsaSig::sign(&digest, key).expect("signed");
            let half = |number: &BigNumRef| number.to_vec_padded(bytes).expect("a small number");
            [half(signature.r()), half(signature.s())].concat()
        };
        // The public key, as the secret of a signature that anybody can make.
        let public = self.rsa.public_key_to_pem().expect("a key");
        let secret = PKey::hmac(&public).expect("a key");
        let mut signer = match (algorithm, self.lie) {
            ("none", _) => return Vec::new(),
            ("ES256", _) => return halves(&self.ec, 32),
            ("ES384", _) => return halves(&self.larger_ec, 48),
            ("EdDSA", _) => Signer::new_without_digest(&self.edwards),
            ("HS256", _) => Signer::new(digest, &secret),
            (_, Lie::ShortKey) => Signer::new(digest, &self.short_rsa),
            _ => Signer::new(digest, &self.rsa),
        }
        .expect("a signer");
        if algorithm.starts_with("PS") {
            signer
                .set_rsa_padding(Padding::PKCS1_PSS)
                .expect("a padding");
            signer
                .set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)
                .expect("a salt");
        }
        signer.sign_oneshot_to_vec(signed).expect("signed")
    }
}
