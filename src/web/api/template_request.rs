//! The JSON of an observation template, checked before anything is stored.
//!
//! What a device's version or its objects do not allow is left out for that device; here is refused
//! what no device could be asked for.

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use utoipa::ToSchema;

use crate::domain::{Lwm2mVersion, OperationKind, Path, RefusedFormats, Selection};
use crate::lwm2m::attributes::{Attributes, check_request};
use crate::lwm2m::{Device, Models};
use crate::store::ObservationTemplate;
use crate::web::ApiError;

use super::filter::DeviceFilter;
use super::operation_request::{check_format, check_paths};

/// A template as it is made or replaced.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "kind": "observe", "path": "/3303/0/5700", "attributes": {"pmin": 10, "pmax": 300},
    "filter": {"tags": ["lab"]}
}))]
pub struct TemplateBody {
    /// `observe` (when missing), `observe_composite` or `read`.
    pub kind: Option<String>,
    /// Where.
    pub path: Option<String>,
    /// Where, for composites.
    pub paths: Option<Vec<String>>,
    /// Notification attributes that are written before the observation is made: `pmin`, `pmax`,
    /// `gt`, `lt`, `st`, `epmin`, `epmax`, `edge`, `con`, `hqmax`; as far as the device's version
    /// and the path allow.
    #[schema(value_type = Option<std::collections::HashMap<String, serde_json::Value>>)]
    pub attributes: Option<Map<String, Json>>,
    /// For which devices.
    pub filter: Option<DeviceFilter>,
    /// The format of notifications; chosen by the server when missing.
    pub format: Option<String>,
    /// Whether it counts; true when missing.
    pub enabled: Option<bool>,
}

/// Checks all of it. The template has no number yet.
///
/// # Errors
/// 422 with the field that is wrong.
pub fn check(body: &TemplateBody, models: &Models) -> Result<ObservationTemplate, ApiError> {
    let kind = match body.kind.as_deref() {
        None if body.paths.as_ref().is_some_and(|paths| paths.len() > 1) => {
            OperationKind::ObserveComposite
        }
        None | Some("observe") => OperationKind::Observe,
        Some("observe_composite") => OperationKind::ObserveComposite,
        Some("read") => OperationKind::Read,
        Some(_) => {
            let detail = "a template is `observe`, `observe_composite` or `read`";
            return Err(ApiError::invalid("kind", detail));
        }
    };
    let paths = check_paths(kind, body.path.as_deref(), body.paths.as_deref())?;
    let attributes = attributes(kind, &paths, body.attributes.as_ref(), models)?;
    let format = check_format(kind, &paths, &[], body.format.as_deref())?;
    let filter = body.filter.clone().unwrap_or_default();
    let selection = Selection {
        names: filter.names,
        tags: filter.tags,
    };
    selection
        .check()
        .map_err(|why| ApiError::invalid("filter", why))?;
    Ok(ObservationTemplate {
        id: 0,
        paths,
        kind,
        selection,
        attributes,
        format,
        enabled: body.enabled.unwrap_or(true),
        revision: 0,
    })
}

/// Attributes in the order in which a Discover shows them. Each must be possible on one of the paths
/// at least, for a device of LwM2M 1.2.
fn attributes(
    kind: OperationKind,
    paths: &[Path],
    given: Option<&Map<String, Json>>,
    models: &Models,
) -> Result<Vec<(String, String)>, ApiError> {
    let Some(given) = given.filter(|given| !given.is_empty()) else {
        return Ok(Vec::new());
    };
    let refuse = |detail: String| Err(ApiError::invalid("attributes", detail));
    if kind == OperationKind::Read {
        return refuse("only observations have attributes".to_owned());
    }
    let device = Device {
        version: Lwm2mVersion::V1_2,
        root: "",
        formats: &[],
        refused: &RefusedFormats::default(),
        objects: &[],
        models,
    };
    let mut all = Attributes::default();
    for (name, json) in given {
        let text = match json {
            Json::String(text) => text.clone(),
            Json::Bool(on) => u8::from(*on).to_string(),
            Json::Number(number) => number.to_string(),
            _ => {
                let name: String = name.chars().take(40).collect();
                return refuse(format!("`{name}` takes a number"));
            }
        };
        if let Err(error) = all.set(name, Some(&text)) {
            return refuse(error.to_string());
        }
        let one = [(name.clone(), Some(text))];
        let errors: Vec<_> = paths
            .iter()
            .filter_map(|path| check_request(path, &one, &device).err())
            .collect();
        if errors.len() == paths.len()
            && let Some(error) = errors.first()
        {
            return refuse(error.to_string());
        }
    }
    if let Err(error) = all.check() {
        return refuse(error.to_string());
    }
    let written = all.written().into_iter();
    Ok(written
        .map(|(name, value)| (name.to_owned(), value))
        .collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn template(body: Json) -> Result<ObservationTemplate, ApiError> {
        let body = serde_json::from_value(body).expect("a body");
        check(&body, &Models::builtin())
    }

    #[test]
    fn what_earlier_versions_took_is_taken_still() {
        let plain = template(json!({"path": "/3303/0/5700"})).expect("a template");
        assert_eq!(plain.kind, OperationKind::Observe);
        assert!(plain.enabled && plain.selection.is_everyone());
        let composite = template(json!({"paths": ["/4", "/3/0"]})).expect("a template");
        assert_eq!(composite.kind, OperationKind::ObserveComposite);
    }

    #[test]
    fn everything_can_be_said() {
        let all = template(json!({
            "kind": "observe_composite",
            "paths": ["/3303/0/5700", "/3/0"],
            "attributes": {"pmax": 300, "pmin": "10", "gt": 21.5, "con": true},
            "filter": {"names": ["a*"], "tags": ["lab"]},
            "format": "senml_cbor",
            "enabled": false,
        }))
        .expect("a template");
        let attributes: Vec<String> = all
            .attributes
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        assert_eq!(attributes, ["pmin=10", "pmax=300", "gt=21.5", "con=1"]);
        assert_eq!(all.selection.to_string(), "a* #lab");
        assert!(!all.enabled);
    }

    #[test]
    fn the_field_that_makes_no_sense_is_named() {
        for (body, field) in [
            (json!({"kind": "write", "path": "/3"}), "kind"),
            (json!({}), "path"),
            (json!({"path": "/"}), "path"),
            (
                json!({"path": "/3", "attributes": {"speed": 1}}),
                "attributes",
            ),
            (
                json!({"path": "/3", "attributes": {"pmin": null}}),
                "attributes",
            ),
            (
                json!({"path": "/3", "attributes": {"pmin": -1}}),
                "attributes",
            ),
            (json!({"path": "/3", "attributes": {"gt": 1}}), "attributes"),
            (
                json!({"path": "/3/0", "attributes": {"pmin": 9, "pmax": 5}}),
                "attributes",
            ),
            (
                json!({"path": "/3", "kind": "read", "attributes": {"pmin": 1}}),
                "attributes",
            ),
            (json!({"path": "/3", "format": "xml"}), "format"),
            (json!({"path": "/3", "format": "text"}), "format"),
            (json!({"path": "/3", "filter": {"tags": ["a b"]}}), "filter"),
            (json!({"path": "/3", "filter": {"names": [""]}}), "filter"),
        ] {
            let error = template(body.clone()).expect_err("a refusal");
            assert_eq!(error.field(), Some(field), "{body}: {}", error.detail());
        }
    }
}
