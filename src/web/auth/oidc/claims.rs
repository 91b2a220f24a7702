//! What the claims of an ID token say: who it is, and what they may do.

use serde_json::{Map, Value as Json};

use crate::config::{Oidc as Settings, OidcRole};
use crate::store::Role;

use super::OidcError;

/// Who it is to the provider.
pub(super) fn subject(claims: &Map<String, Json>) -> Result<&str, OidcError> {
    let subject = claims.get("sub").and_then(Json::as_str);
    subject
        .filter(|subject| !subject.is_empty() && subject.len() <= 255)
        .ok_or_else(|| refused("the provider does not say who it is (`sub`)"))
}

/// The login name, if it is allowed.
pub(super) fn name(settings: &Settings, claims: &Map<String, Json>) -> Result<String, OidcError> {
    let claim = &settings.name_claim;
    let name = at(claims, claim).and_then(Json::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(refused(&format!("the provider sends no `{claim}`")));
    }
    let fits = |pattern: &String| match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => name == pattern,
    };
    if !settings.allowed.is_empty() && !settings.allowed.iter().any(fits) {
        return Err(refused("this account may not log in here (oidc.allowed)"));
    }
    Ok(name.to_owned())
}

/// The largest role that a value of the claim gives, else the default.
pub(super) fn role(settings: &Settings, claims: &Map<String, Json>) -> Result<Role, OidcError> {
    let values: Vec<&str> = match at(claims, &settings.role_claim) {
        Some(Json::String(value)) => vec![value],
        Some(Json::Array(values)) => values.iter().filter_map(Json::as_str).collect(),
        Some(_) | None => Vec::new(),
    };
    let given = values.iter().filter_map(|value| settings.roles.get(*value));
    match given.max().copied().unwrap_or(settings.default_role) {
        OidcRole::None => Err(refused("this account has no role here (oidc.roles)")),
        OidcRole::Viewer => Ok(Role::Viewer),
        OidcRole::Operator => Ok(Role::Operator),
        OidcRole::Admin => Ok(Role::Admin),
    }
}

/// A claim by its name, or by a path with dots as some providers nest them.
fn at<'c>(claims: &'c Map<String, Json>, name: &str) -> Option<&'c Json> {
    if let Some(claim) = claims.get(name) {
        return Some(claim);
    }
    let (first, rest) = name.split_once('.')?;
    at(claims.get(first)?.as_object()?, rest)
}

fn refused(why: &str) -> OidcError {
    OidcError::Refused(why.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings() -> Settings {
        let mut settings = crate::config::Settings::defaults().oidc;
        settings.role_claim = "realm.groups".to_owned();
        settings.roles = [
            ("crew".to_owned(), OidcRole::Operator),
            ("boss".to_owned(), OidcRole::Admin),
            ("out".to_owned(), OidcRole::None),
        ]
        .into();
        settings
    }

    fn of(claims: Json) -> Map<String, Json> {
        claims.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn the_largest_role_counts_and_none_is_no_login() {
        let role = |claims: Json| role(&settings(), &of(claims)).ok();
        let groups = |groups: Json| json!({"realm": {"groups": groups}});
        assert_eq!(role(groups(json!(["crew", "boss", 5]))), Some(Role::Admin));
        assert_eq!(role(groups(json!("crew"))), Some(Role::Operator));
        assert_eq!(
            role(json!({"realm.groups": ["crew"]})),
            Some(Role::Operator)
        );
        for none in [
            groups(json!(["else"])),
            groups(json!("out")),
            json!({}),
            json!({"realm": 1}),
        ] {
            assert_eq!(role(none), None);
        }
    }

    #[test]
    fn a_name_is_there_and_allowed() {
        let mut settings = settings();
        settings.allowed = vec!["ada".to_owned(), "*@crew.example".to_owned()];
        let name = |name: Json| {
            let claims = of(json!({"preferred_username": name}));
            super::name(&settings, &claims).ok()
        };
        assert_eq!(name(json!("ada")).as_deref(), Some("ada"));
        assert_eq!(
            name(json!("b@crew.example")).as_deref(),
            Some("b@crew.example")
        );
        for stranger in [
            json!("b@crew.example.evil"),
            json!(""),
            json!(7),
            Json::Null,
        ] {
            assert_eq!(name(stranger), None);
        }
    }
}
