//! `/metrics`, and what is counted of HTTP.

use std::borrow::Cow;
use std::time::Instant;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpRequest, HttpResponse, get};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::store::Role;

use super::auth::{access, proxies};
use super::{ApiError, AppState};

/// The content type of the `OpenMetrics` text format.
const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is counted of HTTP. Routes are patterns, so that their number is bounded.
#[derive(Clone, Debug)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: Cow<'static, str>,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    route: String,
}

impl Default for HttpMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            // 1 ms to 65 s; a request may wait for a device.
            durations: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.001, 4.0, 9))
            }),
        }
    }
}

impl HttpMetrics {
    /// Makes them known to `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let http = registry.sub_registry_with_prefix("flownexus_http");
        http.register("requests", "HTTP requests answered", self.requests.clone());
        http.register_with_unit(
            "request_duration",
            "Time until the head of the answer was ready",
            Unit::Seconds,
            self.durations.clone(),
        );
    }
}

/// Counts requests, and how long their answers take.
///
/// # Errors
/// Those of the handler.
pub(super) async fn measure<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let started = Instant::now();
    let state = request.app_data::<Data<AppState>>().cloned();
    let method = method_label(request.method().as_str());
    let answer = next.call(request).await;
    let Some(state) = state else {
        return answer;
    };
    let (route, status) = match &answer {
        Ok(response) => (
            response.request().match_pattern(),
            response.status().as_u16(),
        ),
        Err(error) => (None, error.as_response_error().status_code().as_u16()),
    };
    let route = route.unwrap_or_else(|| "unmatched".to_owned());
    let labels = DurationLabels {
        route: route.clone(),
    };
    state
        .http
        .durations
        .get_or_create(&labels)
        .observe(started.elapsed().as_secs_f64());
    let labels = RequestLabels {
        method,
        route,
        status,
    };
    state.http.requests.get_or_create(&labels).inc();
    answer
}

/// Methods are the client's choice, so only those that we know get a label of their own.
fn method_label(method: &str) -> Cow<'static, str> {
    let known = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];
    known
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or("other")
        .into()
}

/// Metrics for Prometheus
///
/// In the `OpenMetrics` text format. Needs no login from this machine when no proxy is between;
/// otherwise a viewer's token.
#[utoipa::path(
    get,
    path = "/metrics",
    impl_for = show_metrics,
    tag = "server",
    security((), ("token" = []), ("session" = [])),
    responses(
        (status = 200, description = "Every metric of the server", body = String,
         content_type = "application/openmetrics-text"),
        (status = 401, description = "Not from this machine, and no token", body = super::error::Problem,
         content_type = "application/problem+json"),
    ),
)]
#[get("/metrics")]
pub(super) async fn show_metrics(
    request: HttpRequest,
    state: Data<AppState>,
) -> Result<HttpResponse, ApiError> {
    if !proxies::is_local(&request) {
        access::require(&request, Role::Viewer)?;
    }
    let mut text = String::new();
    encode(&mut text, &state.metrics).map_err(ApiError::internal)?;
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, CONTENT_TYPE))
        .body(text))
}
