//! `/events/rules`: what makes events of values, or of their absence.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Form, Path};
use serde::{Deserialize, Serialize};

use super::chrome::{Page, see_other};
use super::mistake::Mistake;
use crate::domain::{Condition, Rule, RuleId, RuleSpec, Severity, Threshold, span};
use crate::web::ApiError;
use crate::web::api::{ConditionBody, DeviceFilter, RuleBody, check_rule};
use crate::web::auth::{Operator, Viewer};

/// The form as the person filled it in.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct RuleForm {
    name: String,
    /// Anything when the box is ticked.
    enabled: String,
    path: String,
    names: String,
    tags: String,
    kind: String,
    above: String,
    below: String,
    clear_above: String,
    clear_below: String,
    hysteresis: String,
    for_s: String,
    by: String,
    after_s: String,
    severity: String,
    event_type: String,
    include: String,
    cooldown_s: String,
}

/// `GET /events/rules`
pub(super) async fn page(viewer: Viewer) -> Result<HttpResponse, ApiError> {
    let form = RuleForm {
        enabled: "on".to_owned(),
        kind: "threshold".to_owned(),
        ..RuleForm::default()
    };
    render(&viewer, StatusCode::OK, None, &form, None).await
}

/// `GET /events/rules/{id}`
pub(super) async fn one(viewer: Viewer, id: Path<i64>) -> Result<HttpResponse, ApiError> {
    let rule = viewer.rule(RuleId(*id)).await?;
    let form = RuleForm::from(&rule.spec);
    render(&viewer, StatusCode::OK, Some(*id), &form, None).await
}

/// `POST /events/rules`
pub(super) async fn add(
    operator: Operator,
    form: Form<RuleForm>,
) -> Result<HttpResponse, ApiError> {
    let added = match read(&form) {
        Ok(spec) => operator.add_rule(spec).await.map(|_| ()),
        Err(error) => Err(error),
    };
    end(&operator, None, &form, added).await
}

/// `POST /events/rules/{id}`
pub(super) async fn replace(
    operator: Operator,
    id: Path<i64>,
    form: Form<RuleForm>,
) -> Result<HttpResponse, ApiError> {
    // An id that is gone is said so before anything of the form.
    operator.rule(RuleId(*id)).await?;
    let replaced = match read(&form) {
        Ok(spec) => operator.replace_rule(RuleId(*id), spec).await.map(|_| ()),
        Err(error) => Err(error),
    };
    end(&operator, Some(*id), &form, replaced).await
}

/// `POST /events/rules/{id}/enable`
pub(super) async fn enable(operator: Operator, id: Path<i64>) -> Result<HttpResponse, ApiError> {
    switch(&operator, RuleId(*id), true).await
}

/// `POST /events/rules/{id}/disable`
pub(super) async fn disable(operator: Operator, id: Path<i64>) -> Result<HttpResponse, ApiError> {
    switch(&operator, RuleId(*id), false).await
}

/// `POST /events/rules/{id}/remove`
pub(super) async fn remove(operator: Operator, id: Path<i64>) -> Result<HttpResponse, ApiError> {
    operator.remove_rule(RuleId(*id)).await?;
    Ok(see_other("/events/rules"))
}

async fn switch(operator: &Operator, id: RuleId, enabled: bool) -> Result<HttpResponse, ApiError> {
    let spec = operator.rule(id).await?.spec;
    operator
        .replace_rule(id, RuleSpec { enabled, ..spec })
        .await?;
    Ok(see_other("/events/rules"))
}

async fn end(
    operator: &Operator,
    id: Option<i64>,
    form: &RuleForm,
    result: Result<(), ApiError>,
) -> Result<HttpResponse, ApiError> {
    match result {
        Ok(()) => Ok(see_other("/events/rules")),
        Err(error) if error.status().is_client_error() => {
            let mistake = Mistake::from(&error);
            render(operator, error.status(), id, form, Some(mistake)).await
        }
        Err(error) => Err(error),
    }
}

async fn render(
    viewer: &Viewer,
    status: StatusCode,
    editing: Option<i64>,
    form: &RuleForm,
    error: Option<Mistake>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(viewer, "/events");
    let lines: Vec<RuleLine> = viewer.rules().await?.iter().map(RuleLine::new).collect();
    page.insert("rules", &lines);
    page.insert("form", form);
    page.insert("editing", &editing);
    page.insert("severities", &Severity::ALL.map(Severity::name));
    page.insert("error", &error);
    page.render_as(status, "pages/rules.html")
}

/// The rule that the form means.
fn read(form: &RuleForm) -> Result<RuleSpec, ApiError> {
    let some = |text: &str| {
        Some(text.trim())
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let words =
        |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
    let is = |kind: &str| form.kind == kind;
    let of = |kind: &str, field: &'static str, text: &str| {
        // What was filled in for another kind does not count.
        if is(kind) {
            number(field, text)
        } else {
            Ok(None)
        }
    };
    let condition = ConditionBody {
        kind: form.kind.clone(),
        above: of("threshold", "condition.above", &form.above)?,
        below: of("threshold", "condition.below", &form.below)?,
        clear_above: of("threshold", "condition.clear_above", &form.clear_above)?,
        clear_below: of("threshold", "condition.clear_below", &form.clear_below)?,
        hysteresis: of("threshold", "condition.hysteresis", &form.hysteresis)?,
        by: of("change", "condition.by", &form.by)?,
        for_s: match form.kind.as_str() {
            "threshold" => number("condition.for_s", &form.for_s)?,
            _ => None,
        },
        after_s: match form.kind.as_str() {
            "absence" => number("condition.after_s", &form.after_s)?,
            _ => None,
        },
    };
    let include = words(&form.include);
    check_rule(RuleBody {
        name: form.name.trim().to_owned(),
        enabled: Some(!form.enabled.is_empty()),
        path: form.path.trim().to_owned(),
        filter: Some(DeviceFilter {
            names: words(&form.names),
            tags: words(&form.tags),
        }),
        condition,
        severity: some(&form.severity),
        event_type: some(&form.event_type),
        include: Some(include),
        cooldown_s: number("cooldown_s", &form.cooldown_s)?,
    })
}

fn number<T: std::str::FromStr>(field: &'static str, text: &str) -> Result<Option<T>, ApiError> {
    match text.trim() {
        "" => Ok(None),
        text => {
            let number = text.replace(',', ".").parse().map(Some);
            number.map_err(|_| ApiError::invalid(field, format!("`{text}` is no such number")))
        }
    }
}

impl From<&RuleSpec> for RuleForm {
    fn from(spec: &RuleSpec) -> Self {
        let text = |number: Option<f64>| number.map(|number| number.to_string());
        let shown = |number: Option<f64>| text(number).unwrap_or_default();
        let mut form = Self {
            name: spec.name.clone(),
            enabled: if spec.enabled { "on" } else { "" }.to_owned(),
            path: spec.path.to_string(),
            names: spec.selection.names.join(" "),
            tags: spec.selection.tags.join(" "),
            kind: spec.condition.kind().to_owned(),
            severity: spec
                .severity
                .map(|severity| severity.name().to_owned())
                .unwrap_or_default(),
            event_type: spec.event_type.clone().unwrap_or_default(),
            include: spec
                .include
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            cooldown_s: nonzero(spec.cooldown_s),
            ..Self::default()
        };
        match &spec.condition {
            Condition::Absence { after_s } => form.after_s = after_s.to_string(),
            Condition::Change { by } => form.by = shown(*by),
            Condition::Threshold(Threshold {
                above,
                below,
                clear_above,
                clear_below,
                hysteresis,
                for_s,
            }) => {
                form.above = shown(*above);
                form.below = shown(*below);
                form.clear_above = shown(*clear_above);
                form.clear_below = shown(*clear_below);
                form.hysteresis = shown(*hysteresis);
                form.for_s = nonzero(*for_s);
            }
        }
        form
    }
}

fn nonzero(seconds: u64) -> String {
    if seconds == 0 {
        String::new()
    } else {
        seconds.to_string()
    }
}

#[derive(Debug, Serialize)]
struct RuleLine {
    id: i64,
    name: String,
    enabled: bool,
    path: String,
    condition: String,
    devices: String,
    severity: Option<&'static str>,
    event_type: String,
    cooldown: String,
}

impl RuleLine {
    fn new(rule: &Rule) -> Self {
        let spec = &rule.spec;
        Self {
            id: rule.id.0,
            name: spec.name.clone(),
            enabled: spec.enabled,
            path: spec.path.to_string(),
            condition: spec.condition.to_string(),
            devices: spec.selection.to_string(),
            severity: spec.severity.map(Severity::name),
            event_type: spec.event_type().to_owned(),
            cooldown: match spec.cooldown_s {
                0 => String::new(),
                seconds => span(seconds),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> RuleForm {
        RuleForm {
            name: " too warm ".to_owned(),
            enabled: "on".to_owned(),
            path: "/3303/*/5700".to_owned(),
            kind: "threshold".to_owned(),
            above: "30,5".to_owned(),
            // Left over from another kind.
            after_s: "x".to_owned(),
            names: "a* b*".to_owned(),
            ..RuleForm::default()
        }
    }

    #[test]
    fn a_form_means_a_rule_and_a_rule_fills_a_form() {
        let spec = read(&form()).expect("a rule");
        assert_eq!(spec.name, "too warm");
        assert_eq!(spec.selection.names, ["a*", "b*"]);
        assert!(matches!(&spec.condition, Condition::Threshold(threshold)
            if threshold.above == Some(30.5)));
        assert_eq!(read(&RuleForm::from(&spec)), Ok(spec));
        let absence = RuleForm {
            kind: "absence".to_owned(),
            after_s: "7200".to_owned(),
            above: "rubbish".to_owned(),
            ..form()
        };
        let spec = read(&absence).expect("a rule");
        assert_eq!(read(&RuleForm::from(&spec)), Ok(spec));
    }

    #[test]
    fn a_form_that_means_no_rule_is_told_where() {
        let blamed = |form: RuleForm| {
            let error = read(&form).expect_err("no rule");
            error.field().unwrap_or_default().to_owned()
        };
        let wrong = RuleForm {
            above: "warm".to_owned(),
            ..form()
        };
        assert_eq!(blamed(wrong), "condition.above");
        let wrong = RuleForm {
            for_s: "-1".to_owned(),
            ..form()
        };
        assert_eq!(blamed(wrong), "condition.for_s");
        let wrong = RuleForm {
            path: String::new(),
            ..form()
        };
        assert_eq!(blamed(wrong), "path");
    }
}
