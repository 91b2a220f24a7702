//! What no route takes: 405 where the path has other methods, 404 elsewhere.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, ResponseError as _};

use super::{ApiError, openapi};

/// The paths and methods of the API document, which are those that the router has.
static ROUTES: LazyLock<Vec<(Vec<String>, Vec<String>)>> = LazyLock::new(|| {
    let document = openapi::document();
    let paths = document.paths.paths.iter();
    paths
        .map(|(path, item)| {
            let segments = path.split('/').map(str::to_owned).collect();
            (segments, methods(item))
        })
        .collect()
});

/// Answers what no route takes.
pub(super) async fn not_found(request: HttpRequest) -> HttpResponse {
    refusal(request.path()).error_response()
}

fn refusal(path: &str) -> ApiError {
    let segments: Vec<&str> = path.split('/').collect();
    let known = ROUTES.iter().find(|(pattern, _)| {
        pattern.len() == segments.len()
            && pattern
                .iter()
                .zip(&segments)
                .all(|(wanted, found)| wanted.starts_with('{') || wanted == found)
    });
    match known {
        Some((_, methods)) => ApiError::method_not_allowed(methods),
        None => ApiError::not_found("there is nothing at this path"),
    }
}

fn methods(item: &utoipa::openapi::PathItem) -> Vec<String> {
    let operations = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("PUT", &item.put),
        ("PATCH", &item.patch),
        ("DELETE", &item.delete),
    ];
    operations
        .iter()
        .filter(|(_, operation)| operation.is_some())
        .map(|(method, _)| (*method).to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use actix_web::http::StatusCode;

    use super::*;

    #[test]
    fn a_known_path_with_another_method_is_405_and_names_the_methods() {
        let error = refusal("/api/v1/endpoints/urn:imei:1");
        assert_eq!(error.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(error.detail(), "this path allows GET, PATCH, DELETE");
        assert_eq!(refusal("/api/v1/nothing").status(), StatusCode::NOT_FOUND);
    }
}
