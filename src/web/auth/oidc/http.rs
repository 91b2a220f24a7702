//! Asks the provider over HTTP: no redirects, a time limit, and no more bytes than a provider needs.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use openssl::ssl::{SslConnector, SslMethod};

use super::OidcError;

/// The largest answer that is read.
const MAX_BYTES: usize = 256 * 1024;

/// Where systems keep the certificates of the authorities that they trust; the first that is there counts.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];

/// A question to the provider.
pub(super) struct Question<'q> {
    /// Where.
    pub(super) address: &'q str,
    /// The form that is posted; none: it is only read.
    pub(super) form: Option<String>,
    /// The name and secret of this server, for the token endpoint.
    pub(super) login: Option<(&'q str, &'q str)>,
    /// `oidc.ca_file`; empty: those of the system.
    pub(super) ca_file: &'q str,
    /// How long it may take, all in all.
    pub(super) limit: Duration,
}

/// Asks, and returns the answer's status and JSON.
pub(super) async fn ask(
    question: Question<'_>,
) -> Result<(StatusCode, serde_json::Value), OidcError> {
    let (address, limit) = (question.address.to_owned(), question.limit);
    let answer = tokio::time::timeout(limit, send(question)).await;
    answer.unwrap_or_else(|_| {
        let seconds = limit.as_secs_f32();
        Err(away(format!(
            "{address} does not answer within {seconds} s"
        )))
    })
}

async fn send(question: Question<'_>) -> Result<(StatusCode, serde_json::Value), OidcError> {
    let address = question.address;
    let mut connector = awc::Connector::new().timeout(question.limit);
    if address.starts_with("https://") {
        connector = connector.openssl(trust(question.ca_file)?);
    }
    let client = awc::Client::builder()
        .connector(connector)
        .timeout(question.limit)
        .disable_redirects()
        .finish();
    let broken = |error: &dyn std::fmt::Display| away(format!("{address}: {error}"));
    let mut answer = match question.form {
        None => client.get(address).send().await,
        Some(form) => {
            let mut request = client
                .post(address)
                .insert_header((header::CONTENT_TYPE, "application/x-www-form-urlencoded"));
            request = request.insert_header((header::ACCEPT, "application/json"));
            if let Some((name, secret)) = question.login {
                request = request.basic_auth(name, secret);
            }
            request.send_body(form).await
        }
    }
    .map_err(|error| broken(&error))?;
    let body = answer.body().limit(MAX_BYTES).await;
    let body = body.map_err(|error| broken(&error))?;
    let json = serde_json::from_slice(&body)
        .map_err(|_| away(format!("{address} answers {} and no JSON", answer.status())))?;
    Ok((answer.status(), json))
}

fn trust(ca_file: &str) -> Result<SslConnector, OidcError> {
    let wrong = |error: &dyn std::fmt::Display| away(format!("oidc.ca_file: {error}"));
    let mut builder =
        SslConnector::builder(SslMethod::tls_client()).map_err(|error| wrong(&error))?;
    let of_system = std::env::var("SSL_CERT_FILE").unwrap_or_default();
    let file = match (ca_file, of_system.as_str()) {
        ("", "") => BUNDLES
            .into_iter()
            .find(|bundle| std::path::Path::new(bundle).is_file()),
        ("", file) | (file, _) => Some(file),
    };
    let Some(file) = file else {
        return Err(wrong(
            &"there are no certificates of authorities on this system; name a file",
        ));
    };
    builder
        .set_ca_file(file)
        .map_err(|error| wrong(&format!("{file}: {error}")))?;
    Ok(builder.build())
}

/// The provider cannot be asked. What exactly is for the log, not for strangers.
pub(super) fn away(detail: String) -> OidcError {
    tracing::warn!(error = %detail, "The OpenID Connect provider cannot be asked: {detail}");
    let words =
        "the provider cannot be reached, or its answer makes no sense; the server's log says more";
    OidcError::Provider(words.to_owned())
}
