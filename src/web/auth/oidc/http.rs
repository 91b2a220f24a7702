//! Asks the provider over HTTP for `openidconnect`: https but on this machine, no redirects, a time limit, and no more
//! bytes than a provider needs.

use std::pin::Pin;
use std::time::Duration;

use actix_web::http::{Method, header};
use openidconnect::http::Response;
use openidconnect::http::header::CONTENT_TYPE;
use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};
use openssl::ssl::{SslConnector, SslMethod};
use serde::de::IgnoredAny;

use crate::config::{Oidc as Settings, is_safe};

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

/// How the provider is asked.
pub(super) struct Http {
    /// `oidc.ca_file`; empty: those of the system.
    ca_file: String,
    /// How long a question may take, all in all.
    limit: Duration,
}

/// Why there is no answer, for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoAnswer(String);

impl Http {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            ca_file: settings.ca_file.clone(),
            limit: Duration::from_millis(settings.timeout_ms),
        }
    }

    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
        let address = request.uri().to_string();
        if !is_safe(&address) {
            return Err(NoAnswer(format!("{address} is not https")));
        }
        let answer = tokio::time::timeout(self.limit, self.send(&address, request)).await;
        answer.unwrap_or_else(|_| {
            let seconds = self.limit.as_secs_f32();
            Err(NoAnswer(format!(
                "{address} does not answer within {seconds} s"
            )))
        })
    }

    async fn send(&self, address: &str, request: HttpRequest) -> Result<HttpResponse, NoAnswer> {
        let broken = |error: &dyn std::fmt::Display| NoAnswer(format!("{address}: {error}"));
        let mut connector = awc::Connector::new().timeout(self.limit);
        if address.starts_with("https://") {
            connector = connector.openssl(trust(&self.ca_file)?);
        }
        let client = awc::Client::builder()
            .connector(connector)
            .timeout(self.limit)
            .disable_redirects()
            .finish();
        // awc speaks in the types of an older `http`.
        let method = Method::from_bytes(request.method().as_str().as_bytes());
        let mut question = client.request(method.map_err(|error| broken(&error))?, address);
        for (name, value) in request.headers() {
            question = question.insert_header((name.as_str(), value.as_bytes()));
        }
        let answer = question.send_body(request.into_body()).await;
        let mut answer = answer.map_err(|error| broken(&error))?;
        let body = answer.body().limit(MAX_BYTES).await;
        let body = body.map_err(|error| broken(&error))?;
        let status = answer.status();
        // An error page of a proxy, for example: the library would not say so.
        serde_json::from_slice::<IgnoredAny>(&body)
            .map_err(|_| NoAnswer(format!("{address} answers {status} and no JSON")))?;
        let mut response = Response::builder().status(status.as_u16());
        // No other header means anything here.
        if let Some(kind) = answer.headers().get(header::CONTENT_TYPE) {
            response = response.header(CONTENT_TYPE, kind.as_bytes());
        }
        response.body(body.to_vec()).map_err(|error| broken(&error))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = NoAnswer;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, NoAnswer>> + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.ask(request))
    }
}

fn trust(ca_file: &str) -> Result<SslConnector, NoAnswer> {
    let wrong = |error: &dyn std::fmt::Display| NoAnswer(format!("oidc.ca_file: {error}"));
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
