//! `/api/v1/rules`: what makes events of values, or of their absence.

use actix_web::http::header;
use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post, put};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{Condition, PathPattern, Rule, RuleId, RuleSpec, Threshold};
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, NotOperator};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;

use super::filter::DeviceFilter;
use super::object::Object;
use super::query::{self, NoQuery, Page};

/// A rule as it is wanted.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "too warm", "path": "/3303/*/5700", "filter": {"tags": ["cellar"]},
    "condition": {"kind": "threshold", "above": 30, "hysteresis": 2, "for_s": 60},
    "severity": "critical", "include": ["/3303/*/5700", "/3/0/9"], "cooldown_s": 600
}))]
pub struct RuleBody {
    /// Its name, unique.
    pub name: String,
    /// Only then it is looked at; true when missing.
    pub enabled: Option<bool>,
    /// Which values it is about: a path of one to four levels, each of which may be `*`. It fits
    /// everything that lies below it, and each path that fits is watched by itself.
    pub path: String,
    /// For which devices; every one when missing.
    pub filter: Option<DeviceFilter>,
    /// When there is an event.
    pub condition: ConditionBody,
    /// `info`, `warning` or `critical`.
    pub severity: Option<String>,
    /// The type of its events; the name of the rule when missing.
    pub event_type: Option<String>,
    /// Whose latest values go into the event beside the value itself, as paths like `path`; when
    /// missing the other resources of the same object instance.
    pub include: Option<Vec<String>>,
    /// Between two events of one device and path lie at least so many seconds; what happens in
    /// between and still holds afterwards is told then.
    pub cooldown_s: Option<u64>,
}

/// When there is an event. `threshold` has `above`, `below` or both; `change` may have `by`;
/// `absence` has `after_s`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "threshold", "above": 30, "hysteresis": 2, "for_s": 60}))]
pub struct ConditionBody {
    /// `threshold`: a number leaves a range; `change`: a value differs from the one that was told
    /// of last; `absence`: no value came.
    pub kind: String,
    /// `threshold`: more than this is outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// `threshold`: less than this is outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// `threshold`: after more than `above`, this or less is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear_above: Option<f64>,
    /// `threshold`: after less than `below`, this or more is back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clear_below: Option<f64>,
    /// `threshold`: how far inside of the range is back, in place of the two above.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hysteresis: Option<f64>,
    /// `threshold`: it must hold for so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// `change`: numbers must differ by at least so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<f64>,
    /// `absence`: no value for so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_s: Option<u64>,
}

/// A rule that is in force.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 1, "name": "too warm", "enabled": true, "path": "/3303/*/5700",
    "filter": {"names": [], "tags": []},
    "condition": {"kind": "threshold", "above": 30, "for_s": 0}, "severity": "critical",
    "event_type": "too warm", "include": [], "cooldown_s": 0
}))]
pub(super) struct RuleView {
    /// Its number.
    id: i64,
    /// Its name.
    name: String,
    /// Only then it is looked at.
    enabled: bool,
    /// Which values it is about.
    path: String,
    /// For which devices.
    filter: DeviceFilter,
    /// When there is an event.
    condition: ConditionBody,
    /// How bad that is.
    #[schema(required)]
    severity: Option<&'static str>,
    /// The type of its events.
    event_type: String,
    /// Whose latest values go into the event; empty for those of the same object instance.
    include: Vec<String>,
    /// Seconds between two events of one device and path.
    cooldown_s: u64,
}

impl From<Rule> for RuleView {
    fn from(rule: Rule) -> Self {
        let spec = rule.spec;
        Self {
            id: rule.id.0,
            event_type: spec.event_type().to_owned(),
            enabled: spec.enabled,
            path: spec.path.to_string(),
            filter: DeviceFilter::from(&spec.selection),
            condition: ConditionBody::from(&spec.condition),
            severity: spec.severity.map(|severity| severity.name()),
            include: spec.include.iter().map(ToString::to_string).collect(),
            cooldown_s: spec.cooldown_s,
            name: spec.name,
        }
    }
}

impl From<&Condition> for ConditionBody {
    fn from(condition: &Condition) -> Self {
        let kind = condition.kind().to_owned();
        match condition {
            Condition::Absence { after_s } => Self {
                kind,
                after_s: Some(*after_s),
                ..Self::default()
            },
            Condition::Change { by } => Self {
                kind,
                by: *by,
                ..Self::default()
            },
            Condition::Threshold(threshold) => Self {
                kind,
                above: threshold.above,
                below: threshold.below,
                clear_above: threshold.clear_above,
                clear_below: threshold.clear_below,
                hysteresis: threshold.hysteresis,
                for_s: Some(threshold.for_s),
                ..Self::default()
            },
        }
    }
}

/// Checks a rule.
///
/// # Errors
/// 422 with the field that is wrong.
pub fn check(body: RuleBody) -> Result<RuleSpec, ApiError> {
    let pattern = |field: &'static str, text: &str| {
        text.parse::<PathPattern>()
            .map_err(|reason| ApiError::invalid(field, reason))
    };
    let include = body.include.unwrap_or_default();
    let severity = body.severity.as_deref().map(str::parse).transpose();
    let spec = RuleSpec {
        path: pattern("path", &body.path)?,
        include: include
            .iter()
            .map(|text| pattern("include", text))
            .collect::<Result<_, _>>()?,
        name: body.name,
        enabled: body.enabled.unwrap_or(true),
        selection: body.filter.unwrap_or_default().into(),
        condition: condition(body.condition)?,
        severity: severity.map_err(|reason| ApiError::invalid("severity", reason))?,
        event_type: body.event_type,
        cooldown_s: body.cooldown_s.unwrap_or(0),
    };
    spec.check()
        .map_err(|error| ApiError::invalid(error.field, error.reason))?;
    Ok(spec)
}

fn condition(body: ConditionBody) -> Result<Condition, ApiError> {
    let threshold = [
        ("condition.above", body.above.is_some()),
        ("condition.below", body.below.is_some()),
        ("condition.clear_above", body.clear_above.is_some()),
        ("condition.clear_below", body.clear_below.is_some()),
        ("condition.hysteresis", body.hysteresis.is_some()),
        ("condition.for_s", body.for_s.is_some()),
    ];
    let change = [("condition.by", body.by.is_some())];
    let absence = [("condition.after_s", body.after_s.is_some())];
    let refuse = |kind: &str, others: &[&[(&'static str, bool)]]| {
        let given = others.iter().copied().flatten().find(|(_, given)| *given);
        given.map_or(Ok(()), |(field, _)| {
            Err(ApiError::invalid(
                *field,
                format!("does not belong to `{kind}`"),
            ))
        })
    };
    match body.kind.as_str() {
        "absence" => {
            refuse("absence", &[&threshold, &change])?;
            let after_s = body.after_s.ok_or_else(|| {
                ApiError::invalid("condition.after_s", "says after how many seconds")
            })?;
            Ok(Condition::Absence { after_s })
        }
        "change" => {
            refuse("change", &[&threshold, &absence])?;
            Ok(Condition::Change { by: body.by })
        }
        "threshold" => {
            refuse("threshold", &[&change, &absence])?;
            Ok(Condition::Threshold(Threshold {
                above: body.above,
                below: body.below,
                clear_above: body.clear_above,
                clear_below: body.clear_below,
                hysteresis: body.hysteresis,
                for_s: body.for_s.unwrap_or(0),
            }))
        }
        _ => {
            let detail = "a condition is `threshold`, `change` or `absence`";
            Err(ApiError::invalid("condition.kind", detail))
        }
    }
}

/// List rules
#[utoipa::path(
    get,
    path = "/rules",
    impl_for = list_rules,
    tag = "rules",
    responses(
        (status = 200, description = "All of them", body = Page<RuleView>),
        NotLoggedIn,
    ),
)]
#[get("/rules")]
pub(super) async fn list_rules(
    viewer: Viewer,
    _query: Query<NoQuery>,
) -> Result<Json<Page<RuleView>>, ApiError> {
    let rules = viewer.rules().await?;
    Ok(Json(Page::whole(
        rules.into_iter().map(RuleView::from).collect(),
    )))
}

/// Show a rule
#[utoipa::path(
    get,
    path = "/rules/{id}",
    impl_for = show_rule,
    tag = "rules",
    params(("id" = i64, Path, description = "The rule's number")),
    responses(
        (status = 200, description = "The rule", body = RuleView),
        (status = 404, description = "No rule has this number", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/rules/{id}")]
pub(super) async fn show_rule(
    viewer: Viewer,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<RuleView>, ApiError> {
    let id = RuleId(query::row_id("rule", &id)?);
    Ok(Json(viewer.rule(id).await?.into()))
}

/// Add a rule
///
/// It is in force when this is answered. A value that is outside of its range already is told of
/// when the next one arrives; what is missing is missed from now on.
#[utoipa::path(
    post,
    path = "/rules",
    impl_for = create_rule,
    tag = "rules",
    request_body = RuleBody,
    responses(
        (status = 201, description = "It is stored", body = RuleView),
        (status = 409, description = "The name is taken, or there are too many rules", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[post("/rules")]
pub(super) async fn create_rule(
    operator: Operator,
    _query: Query<NoQuery>,
    body: Object<RuleBody>,
) -> Result<HttpResponse, ApiError> {
    let rule = operator.add_rule(check(body.into_inner())?).await?;
    let location = format!("/api/v1/rules/{}", rule.id.0);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(RuleView::from(rule)))
}

/// Replace a rule
///
/// What is remembered of it (whether it was told of, how long it has held) counts on, unless its
/// path, its condition or whether it is enabled changes.
#[utoipa::path(
    put,
    path = "/rules/{id}",
    impl_for = replace_rule,
    tag = "rules",
    params(("id" = i64, Path, description = "The rule's number")),
    request_body = RuleBody,
    responses(
        (status = 200, description = "It is stored", body = RuleView),
        (status = 404, description = "No rule has this number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The name is taken", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[put("/rules/{id}")]
pub(super) async fn replace_rule(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
    body: Object<RuleBody>,
) -> Result<Json<RuleView>, ApiError> {
    let id = RuleId(query::row_id("rule", &id)?);
    let rule = operator.replace_rule(id, check(body.into_inner())?).await?;
    Ok(Json(rule.into()))
}

/// Remove a rule
///
/// Its events stay.
#[utoipa::path(
    delete,
    path = "/rules/{id}",
    impl_for = delete_rule,
    tag = "rules",
    params(("id" = i64, Path, description = "The rule's number")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "No rule has this number", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/rules/{id}")]
pub(super) async fn delete_rule(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    let id = RuleId(query::row_id("rule", &id)?);
    operator.remove_rule(id).await?;
    Ok(HttpResponse::NoContent().finish())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn blamed(change: serde_json::Value) -> String {
        let mut body = json!({
            "name": "too warm", "path": "/3303/*/5700",
            "condition": {"kind": "threshold", "above": 30},
        });
        for (key, value) in change.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let body = serde_json::from_value(body).expect("a body");
        let error = check(body).expect_err("no sense");
        error.field().expect("a field").to_owned()
    }

    #[test]
    fn the_field_that_makes_no_sense_is_named() {
        for (change, field) in [
            (json!({"name": ""}), "name"),
            (json!({"path": "/"}), "path"),
            (json!({"path": "/1/2/3/4/5"}), "path"),
            (json!({"include": ["/3", "x"]}), "include"),
            (json!({"severity": "fatal"}), "severity"),
            (json!({"event_type": "\n"}), "event_type"),
            (json!({"cooldown_s": u64::MAX}), "cooldown_s"),
            (json!({"filter": {"tags": ["a b"]}}), "filter"),
            (json!({"condition": {"kind": "sing"}}), "condition.kind"),
            (
                json!({"condition": {"kind": "threshold"}}),
                "condition.above",
            ),
            (
                json!({"condition": {"kind": "threshold", "above": 1, "by": 1}}),
                "condition.by",
            ),
            (
                json!({"condition": {"kind": "change", "above": 1}}),
                "condition.above",
            ),
            (
                json!({"condition": {"kind": "absence"}}),
                "condition.after_s",
            ),
            (
                json!({"condition": {"kind": "absence", "after_s": 0}}),
                "condition.after_s",
            ),
        ] {
            assert_eq!(blamed(change.clone()), field, "{change}");
        }
    }

    #[test]
    fn what_is_shown_can_be_sent_again() {
        let body = json!({
            "name": "too warm", "path": "3303/*/5700/", "filter": {"names": ["a*"]},
            "condition": {"kind": "threshold", "above": 30, "below": 10, "hysteresis": 2},
            "severity": "info", "include": ["/3"], "cooldown_s": 5,
        });
        let spec = check(serde_json::from_value(body).expect("a body")).expect("a rule");
        let rule = Rule {
            id: RuleId(1),
            revision: 1,
            spec: spec.clone(),
        };
        let mut shown = serde_json::to_value(RuleView::from(rule)).expect("JSON");
        shown.as_object_mut().expect("an object").remove("id");
        let again = check(serde_json::from_value(shown).expect("a body")).expect("a rule");
        assert_eq!(again.event_type.as_deref(), Some("too warm"));
        assert_eq!(
            RuleSpec {
                event_type: None,
                ..again
            },
            spec
        );
    }
}
