//! How calls refuse, where many do it alike, for the OpenAPI document: by name in their `responses(…)`, or added to
//! every call of a kind.

use std::collections::BTreeMap;

use utoipa::IntoResponses;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    ContentBuilder, PathItem, Ref, RefOr, Response, ResponseBuilder, ResponsesBuilder,
};

use super::examples::calls;

/// 401: nobody is logged in.
pub(in crate::web) enum NotLoggedIn {}

/// 401 and 403: nobody is logged in who may operate devices.
pub(in crate::web) enum NotOperator {}

/// 401 and 403: no admin is logged in.
pub(in crate::web) enum NotAdmin {}

/// 403: a token asks for what only an account has, or something has to be done first.
pub(in crate::web) enum NotAToken {}

/// 400: a part of the query.
pub(in crate::web) enum UnreadableParameter {}

/// 404: an endpoint.
pub(in crate::web) enum NoDevice {}

type Responses = BTreeMap<String, RefOr<Response>>;

impl IntoResponses for NotLoggedIn {
    fn responses() -> Responses {
        problems(&[NOT_LOGGED_IN])
    }
}

impl IntoResponses for NotOperator {
    fn responses() -> Responses {
        problems(&[NOT_LOGGED_IN, NEEDS_OPERATOR])
    }
}

impl IntoResponses for NotAdmin {
    fn responses() -> Responses {
        problems(&[NOT_LOGGED_IN, NEEDS_ADMIN])
    }
}

impl IntoResponses for NotAToken {
    fn responses() -> Responses {
        problems(&[NO_ACCOUNT])
    }
}

impl IntoResponses for UnreadableParameter {
    fn responses() -> Responses {
        problems(&[("400", "A parameter cannot be read")])
    }
}

impl IntoResponses for NoDevice {
    fn responses() -> Responses {
        problems(&[("404", "No device has this name")])
    }
}

fn problems(all: &[(&str, &str)]) -> Responses {
    let each = all.iter().map(|(status, description)| {
        let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
        let response = ResponseBuilder::new()
            .description(*description)
            .content("application/problem+json", problem.build());
        (*status, response.build())
    });
    ResponsesBuilder::new()
        .responses_from_iter(each)
        .build()
        .into()
}

const NOT_LOGGED_IN: (&str, &str) = ("401", "Not logged in");
const NEEDS_OPERATOR: (&str, &str) = ("403", "Needs the role operator");
const NEEDS_ADMIN: (&str, &str) = ("403", "Needs the role admin");
const NO_ACCOUNT: (&str, &str) = ("403", "A token has no account, or its role is too small");

/// Adds what every call of a kind may be refused with, where the call has not said it better: whoever calls it
/// without rights, a body that cannot be read, a store that does not answer; and for whom it is.
pub(in crate::web) fn add_common(path: &str, item: &mut PathItem) {
    for operation in calls(item) {
        let mut also = Vec::new();
        // Health and the login need nobody; everything else says so itself.
        let needs_somebody = operation.responses.responses.contains_key("401");
        if needs_somebody && operation.security.is_none() {
            say_for_whom(operation);
            also.push(FORBIDDEN);
        }
        if !path.starts_with("/health") {
            also.extend(FAILED);
        }
        if let Some(RefOr::T(body)) = &operation.request_body
            && body.content.contains_key("application/json")
        {
            also.extend(UNREADABLE_BODY);
        }
        for (status, response) in problems(&also) {
            let responses = &mut operation.responses.responses;
            responses.entry(status).or_insert(response);
        }
    }
}

/// Says which role a call needs: for programs as OpenAPI 3.1 has it, where the list of a security requirement may hold
/// roles, and for people in its description.
fn say_for_whom(operation: &mut Operation) {
    let refused = |(status, words): (&str, &str)| {
        let response = operation.responses.responses.get(status);
        matches!(response, Some(RefOr::T(response)) if response.description == words)
    };
    let (role, words) = if refused(NEEDS_ADMIN) {
        ("admin", Some("Needs the role admin."))
    } else if refused(NEEDS_OPERATOR) {
        ("operator", Some("Needs the role operator."))
    } else if refused(NO_ACCOUNT) {
        ("viewer", Some("Needs a session: a token has no account."))
    } else {
        ("viewer", None)
    };
    let mut security = vec![SecurityRequirement::new("session", [role])];
    if !refused(NO_ACCOUNT) {
        security.insert(0, SecurityRequirement::new("token", [role]));
    }
    operation.security = Some(security);
    if let Some(words) = words {
        let said = operation.description.take().unwrap_or_default();
        operation.description = Some(format!("{said}\n\n{words}").trim().to_owned());
    }
}

const FORBIDDEN: (&str, &str) = ("403", "Logged in without the right to do this");
const FAILED: [(&str, &str); 2] = [
    ("500", "Something broke in the server; its log says what"),
    ("503", "The server is busy, or shutting down"),
];
const UNREADABLE_BODY: [(&str, &str); 5] = [
    ("400", "The body is no JSON"),
    ("408", "The body did not come within `web.body_timeout_s`"),
    ("413", "The body is larger than `web.max_json_bytes`"),
    ("415", "The body is something else than JSON"),
    ("422", "A field makes no sense"),
];
