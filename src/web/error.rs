//! The one place that turns errors into HTTP: RFC 9457 problem documents.
//!
//! Messages of [`ApiError`]s are for the caller. Where something broke inside, the caller learns
//! only that, and the cause is logged here, once.

use std::fmt;
use std::io;
use std::time::Duration;

use actix_web::error::{JsonPayloadError, PathError, PayloadError, QueryPayloadError};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, ResponseError, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::idempotency::IDEMPOTENCY_KEY;
use super::unreadable;
use crate::registry::OperateError;
use crate::rollout::RolloutError;
use crate::store::{ReceiveError, StoreError};

/// What a failed request is answered with (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "code": "invalid",
    "detail": "\"warm\" is no value of type FLOAT (a number)",
    "field": "value"
}))]
pub struct Problem {
    /// Always `about:blank`: `title` says what the status code means.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status code in words.
    title: &'static str,
    /// The status code.
    status: u16,
    /// A short, stable name for programs, for example `not_found`.
    code: &'static str,
    /// What is wrong in this case.
    detail: String,
    /// The field or query parameter that is wrong; one that lies in others with theirs in front, as in
    /// `groups.0.percent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
}

/// The code of a refusal until somebody has chosen a password of their own.
pub(in crate::web) const PASSWORD_CHANGE_REQUIRED: &str = "password_change_required";

/// The code of a refusal until somebody has set up one-time codes.
pub(in crate::web) const TOTP_SETUP_REQUIRED: &str = "totp_setup_required";

/// A request that failed, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    field: Option<String>,
    retry_after: Option<Duration>,
    allow: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            field: None,
            retry_after: None,
            allow: None,
        }
    }

    /// 400: it cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 400: a query parameter is unknown or cannot be read.
    pub fn parameter(name: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::malformed(detail).about(name)
    }

    /// 422: it can be read, but a field has a value that makes no sense.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail).about(field)
    }

    /// 422: it can be read, but is not what is wanted as a whole.
    pub fn unprocessable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail)
    }

    /// 401: it is not known who asks.
    pub fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// 403: it is known who asks, and that is not enough.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 403: something has to be done first, as `code` says.
    pub fn duty(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, detail)
    }

    /// 401: the password is right, and a one-time code is wanted too.
    pub fn totp_required() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "totp_required",
            "a one-time code is needed too: send it as `totp`",
        )
    }

    /// 403: another site made the browser send this.
    pub fn cross_site() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "this request came from another site",
        )
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    /// 405: this path has other methods.
    pub fn method_not_allowed(allowed: &[String]) -> Self {
        let allowed = allowed.join(", ");
        Self {
            allow: Some(allowed.clone()),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("this path allows {allowed}"),
            )
        }
    }

    /// 409: not in the state that things are in.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 413: more bytes than are taken.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// 415: of a kind that is not read here.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        )
    }

    /// 429: too much of it.
    pub fn too_many(detail: impl Into<String>, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many", detail)
        }
    }

    /// 422: the `Idempotency-Key` came with another request, of which `made` was made.
    pub fn key_reused(made: &str) -> Self {
        let detail = format!(
            "this key came with another request, of which {made} was made; a new request needs a new key"
        );
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        Self::new(status, "idempotency_key_reused", detail).about(IDEMPOTENCY_KEY)
    }

    /// 503: not now.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after: Some(Duration::from_secs(1)),
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
        }
    }

    /// 507: no room for it.
    pub fn no_space(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INSUFFICIENT_STORAGE, "no_space", detail)
    }

    /// 500: our fault. The cause goes to the log.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(error = %cause, "A request failed: {cause}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "something went wrong in the server; its log says what",
        )
    }

    /// The same, naming the field or query parameter that is wrong.
    #[must_use]
    pub fn about(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Of storing something with a name, which may be taken.
    pub fn of_named(error: StoreError) -> Self {
        let field = matches!(error, StoreError::Exists(_)).then(|| "name".to_owned());
        Self {
            field,
            ..Self::from(error)
        }
    }

    /// The status code of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// True when something has to be done first; see [`duty`](Self::duty).
    pub fn is_duty(&self) -> bool {
        [PASSWORD_CHANGE_REQUIRED, TOTP_SETUP_REQUIRED].contains(&self.code)
    }

    /// What is wrong, for people.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The field or query parameter that is wrong, where there is one.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    fn problem(&self) -> Problem {
        Problem {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: self.detail.clone(),
            field: self.field.clone(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        response.content_type("application/problem+json");
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"flownexus\""));
        }
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response.insert_header((header::RETRY_AFTER, seconds.max(1)));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        let body = serde_json::to_vec(&self.problem()).unwrap_or_default();
        response.body(body)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists(_) => Self::conflict("exists", error.to_string()),
            StoreError::Full { .. } => Self::conflict("full", error.to_string()),
            StoreError::LastAdmin => Self::conflict("last_admin", error.to_string()),
            StoreError::NotTheirs(_) => Self::conflict("not_theirs", error.to_string()),
            StoreError::Busy { .. } => Self::unavailable("the store is busy, try again"),
            StoreError::Closed => Self::unavailable("the server is shutting down"),
            StoreError::Corrupt { .. }
            | StoreError::DataDir { .. }
            | StoreError::Database(_)
            | StoreError::InUse { .. } => Self::internal(error),
        }
    }
}

impl From<ReceiveError> for ApiError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Empty => Self::invalid("file", error.to_string()),
            ReceiveError::Io { .. } => Self::internal(error),
            ReceiveError::NoSpace => Self::no_space(error.to_string()),
            ReceiveError::TooLarge { .. } => Self::too_large(error.to_string()),
        }
    }
}

impl From<OperateError> for ApiError {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::AskedBefore { id, .. } => Self::key_reused(&format!("operation {id}")),
            OperateError::Busy => Self::unavailable(error.to_string()),
            OperateError::NotQueued(_) => Self::conflict("not_queued", error.to_string()),
            OperateError::Update(_) => Self::conflict("update_refused", error.to_string()),
            OperateError::Store(error) => error.into(),
            OperateError::TooMany { .. } | OperateError::TooManyEndpoints { .. } => {
                Self::too_many(error.to_string(), None)
            }
            OperateError::UnknownEndpoint(_) | OperateError::UnknownOperation(_) => {
                Self::not_found(error.to_string())
            }
        }
    }
}

impl From<RolloutError> for ApiError {
    fn from(error: RolloutError) -> Self {
        match error {
            RolloutError::Busy | RolloutError::InDoubt(_) => Self::unavailable(error.to_string()),
            RolloutError::Invalid(invalid) => Self::invalid(invalid.field, invalid.reason),
            RolloutError::NotNow { .. } => Self::conflict("not_now", error.to_string()),
            RolloutError::Store(error) => error.into(),
            RolloutError::TooMany { .. } => Self::conflict("too_many_rollouts", error.to_string()),
            RolloutError::Unknown(_) => Self::not_found(error.to_string()),
        }
    }
}

/// How JSON bodies are read: bounded, and refused with a problem document.
pub(super) fn json_config(max_bytes: usize) -> web::JsonConfig {
    web::JsonConfig::default()
        .limit(max_bytes)
        .error_handler(|error, _: &HttpRequest| json_error(&error).into())
}

/// How path segments are read.
pub(super) fn path_config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|error, _: &HttpRequest| path_error(&error).into())
}

/// How query strings are read.
pub(super) fn query_config() -> web::QueryConfig {
    web::QueryConfig::default().error_handler(|error, _: &HttpRequest| query_error(&error).into())
}

fn json_error(error: &JsonPayloadError) -> ApiError {
    match error {
        JsonPayloadError::Overflow { .. } | JsonPayloadError::OverflowKnownLength { .. } => {
            body_too_large()
        }
        JsonPayloadError::ContentType => not_json(),
        JsonPayloadError::Deserialize(error) if error.is_data() => {
            ApiError::unprocessable(error.to_string())
        }
        JsonPayloadError::Deserialize(error) => {
            ApiError::malformed(format!("the body is no JSON: {error}"))
        }
        JsonPayloadError::Payload(error) => body_error(error),
        _ => ApiError::malformed("the body cannot be read"),
    }
}

/// 413: a JSON body of too many bytes.
pub(super) fn body_too_large() -> ApiError {
    ApiError::too_large("the body is larger than web.max_json_bytes")
}

/// 415: a body that does not say that it is JSON.
pub(super) fn not_json() -> ApiError {
    ApiError::unsupported_media_type("the body must be JSON, with Content-Type: application/json")
}

/// A body of which not all came.
pub(super) fn body_error(error: &PayloadError) -> ApiError {
    match error {
        PayloadError::Io(error) if error.kind() == io::ErrorKind::TimedOut => ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "timed_out",
            "the body did not come within web.body_timeout_s",
        ),
        _ => ApiError::malformed("the body cannot be read"),
    }
}

fn path_error(error: &PathError) -> ApiError {
    match error {
        PathError::Deserialize(error) => ApiError::not_found(format!("no such path: {error}")),
        _ => ApiError::not_found("no such path"),
    }
}

fn query_error(error: &QueryPayloadError) -> ApiError {
    match error {
        QueryPayloadError::Deserialize(error) => unreadable::query(&error.to_string()),
        _ => ApiError::malformed("the query string cannot be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_broke_inside_is_not_told() {
        let error = ApiError::from(StoreError::Database("password=hunter2".into()));
        assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!error.detail().contains("hunter2"));
    }

    #[test]
    fn a_pause_is_told_in_whole_seconds_rounded_up() {
        let error = ApiError::too_many("slow down", Some(Duration::from_millis(1200)));
        let response = error.error_response();
        let after = response.headers().get(header::RETRY_AFTER);
        assert_eq!(after.and_then(|value| value.to_str().ok()), Some("2"));
    }
}
