//! `/templates`: what is wanted to be observed, and on which devices.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Form, Path as UrlPath, Query};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::chrome::{Page, see_other};
use super::mistake::Mistake;
use crate::domain::{ContentFormat, OperationKind, Path};
use crate::lwm2m::Models;
use crate::store::ObservationTemplate;
use crate::web::ApiError;
use crate::web::api::{DeviceFilter, TemplateBody, check_template};
use crate::web::auth::{Operator, Viewer};

/// The form for a new template and for one that is changed.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct TemplateForm {
    /// The template that is changed; nothing for a new one.
    id: Option<i64>,
    kind: String,
    /// Separated by spaces or lines.
    paths: String,
    /// `pmin=10 pmax=300`
    attributes: String,
    /// Patterns of names, separated by spaces or lines.
    names: String,
    /// Separated by spaces.
    tags: String,
    format: String,
    /// Present when the box is ticked.
    enabled: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TemplatesQuery {
    /// The template whose form is shown.
    edit: Option<i64>,
}

/// `GET /templates`
pub(super) async fn page(
    viewer: Viewer,
    query: Query<TemplatesQuery>,
) -> Result<HttpResponse, ApiError> {
    let form = match query.edit {
        None => TemplateForm {
            enabled: Some("on".to_owned()),
            ..TemplateForm::default()
        },
        Some(id) => TemplateForm::of(&find(&viewer, id).await?),
    };
    render(&viewer, StatusCode::OK, &form, None).await
}

/// `POST /templates`
pub(super) async fn add(
    operator: Operator,
    form: Form<TemplateForm>,
) -> Result<HttpResponse, ApiError> {
    let added = match form.read(&operator.models()) {
        Ok(template) => operator.add_template(template).await.map(|_| ()),
        Err(error) => Err(error),
    };
    answer(&operator, &form, added).await
}

/// `POST /templates/{id}`
pub(super) async fn replace(
    operator: Operator,
    id: UrlPath<i64>,
    form: Form<TemplateForm>,
) -> Result<HttpResponse, ApiError> {
    let form = TemplateForm {
        id: Some(*id),
        ..form.into_inner()
    };
    let replaced = match form.read(&operator.models()) {
        Ok(template) => {
            let template = ObservationTemplate {
                id: *id,
                ..template
            };
            operator.replace_template(template).await.map(|_| ())
        }
        Err(error) => Err(error),
    };
    answer(&operator, &form, replaced).await
}

/// `POST /templates/{id}/toggle`
pub(super) async fn toggle(operator: Operator, id: UrlPath<i64>) -> Result<HttpResponse, ApiError> {
    let mut template = find(&operator, *id).await?;
    template.enabled = !template.enabled;
    operator.replace_template(template).await?;
    Ok(see_other("/templates"))
}

/// `POST /templates/{id}/remove`
pub(super) async fn remove(operator: Operator, id: UrlPath<i64>) -> Result<HttpResponse, ApiError> {
    operator.remove_template(*id).await?;
    Ok(see_other("/templates"))
}

async fn find(viewer: &Viewer, id: i64) -> Result<ObservationTemplate, ApiError> {
    let templates = viewer.templates().await?;
    let found = templates.into_iter().find(|template| template.id == id);
    found.ok_or_else(|| ApiError::not_found(format!("there is no observation template {id}")))
}

/// The form again, with what is wrong, when the fault is the person's.
async fn answer(
    operator: &Operator,
    form: &TemplateForm,
    done: Result<(), ApiError>,
) -> Result<HttpResponse, ApiError> {
    match done {
        Ok(()) => Ok(see_other("/templates")),
        Err(error)
            if error.status().is_client_error() && error.status() != StatusCode::NOT_FOUND =>
        {
            let mistake = Mistake::from(&error);
            render(operator, error.status(), form, Some(mistake)).await
        }
        Err(error) => Err(error),
    }
}

async fn render(
    viewer: &Viewer,
    status: StatusCode,
    form: &TemplateForm,
    error: Option<Mistake>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(viewer, "/templates");
    let models = viewer.models();
    let lines: Vec<TemplateLine> = viewer
        .templates()
        .await?
        .iter()
        .map(|template| TemplateLine::new(template, &models))
        .collect();
    let formats = ContentFormat::ALL.map(ContentFormat::name);
    page.insert("templates", &lines);
    page.insert("formats", &formats);
    page.insert("form", form);
    page.insert("error", &error);
    page.render_as(status, "pages/templates.html")
}

impl TemplateForm {
    fn of(template: &ObservationTemplate) -> Self {
        let paths: Vec<String> = template.paths.iter().map(Path::to_string).collect();
        Self {
            id: Some(template.id),
            kind: template.kind.name().to_owned(),
            paths: paths.join("\n"),
            attributes: attributes(template),
            names: template.selection.names.join("\n"),
            tags: template.selection.tags.join(" "),
            format: template
                .format
                .map_or_else(String::new, |format| format.name().to_owned()),
            enabled: template.enabled.then(|| "on".to_owned()),
        }
    }

    /// The template that the form means.
    fn read(&self, models: &Models) -> Result<ObservationTemplate, ApiError> {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        let paths: Vec<String> = words(&self.paths);
        if paths.is_empty() {
            return Err(ApiError::invalid("paths", "name at least one path"));
        }
        if paths.len() > 1 && self.kind != OperationKind::ObserveComposite.name() {
            let detail = "several paths together need the composite kind";
            return Err(ApiError::invalid("paths", detail));
        }
        let mut attributes = Map::new();
        for word in self.attributes.split_whitespace() {
            let Some((name, value)) = word.split_once('=') else {
                let word: String = word.chars().take(40).collect();
                let detail = format!("`{word}` is no attribute, such as pmax=300");
                return Err(ApiError::invalid("attributes", detail));
            };
            let value = Value::String(value.to_owned());
            if attributes.insert(name.to_owned(), value).is_some() {
                let detail = format!("{name} is given twice");
                return Err(ApiError::invalid("attributes", detail));
            }
        }
        let body = TemplateBody {
            kind: Some(self.kind.clone()),
            path: None,
            paths: Some(paths),
            attributes: Some(attributes),
            filter: Some(DeviceFilter {
                names: words(&self.names),
                tags: words(&self.tags),
            }),
            format: Some(self.format.clone()).filter(|format| !format.is_empty()),
            enabled: Some(self.enabled.is_some()),
        };
        check_template(&body, models)
    }
}

#[derive(Debug, Serialize)]
struct TemplateLine {
    id: i64,
    kind: &'static str,
    paths: Vec<PathLine>,
    attributes: String,
    /// For which devices, in words.
    selection: String,
    format: Option<&'static str>,
    enabled: bool,
}

#[derive(Debug, Serialize)]
struct PathLine {
    path: String,
    name: String,
}

impl TemplateLine {
    fn new(template: &ObservationTemplate, models: &Models) -> Self {
        Self {
            id: template.id,
            kind: match template.kind {
                OperationKind::Read => "values, once",
                OperationKind::ObserveComposite => "notifications together",
                _ => "notifications",
            },
            paths: template
                .paths
                .iter()
                .map(|path| PathLine {
                    path: path.to_string(),
                    name: describe(path, models),
                })
                .collect(),
            attributes: attributes(template),
            selection: template.selection.to_string(),
            format: template.format.map(ContentFormat::name),
            enabled: template.enabled,
        }
    }
}

fn attributes(template: &ObservationTemplate) -> String {
    let written = template.attributes.iter();
    let written: Vec<String> = written
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    written.join(" ")
}

/// `Temperature, Sensor Value`, as far as the models know.
fn describe(path: &Path, models: &Models) -> String {
    let object = path.object_id().and_then(|id| models.object(id, None));
    let resource = path
        .object_id()
        .zip(path.resource_id())
        .and_then(|(object, resource)| models.resource(object, resource));
    match (object, resource) {
        (Some(object), Some(resource)) => format!("{}, {}", object.name, resource.name),
        (Some(object), None) => object.name.clone(),
        (None, _) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(kind: &str, paths: &str) -> TemplateForm {
        TemplateForm {
            kind: kind.to_owned(),
            paths: paths.to_owned(),
            enabled: Some("on".to_owned()),
            ..TemplateForm::default()
        }
    }

    #[test]
    fn a_form_that_means_no_template_is_told_why() {
        let models = Models::builtin();
        let with = |attributes: &str| TemplateForm {
            attributes: attributes.to_owned(),
            ..form("observe", "/3303/0/5700")
        };
        for (form, part) in [
            (form("observe", " "), "at least one"),
            (form("observe", "/"), "an object"),
            (form("observe", "/3/0/9 /3/0/13"), "composite"),
            (form("write", "/3/0/14"), "a template is"),
            (form("read", "/3/x"), "/3/x"),
            (with("pmin"), "`pmin`"),
            (with("pmin=5 pmin=6"), "twice"),
            (with("pmin=9 pmax=5"), "pmin is greater"),
            (
                TemplateForm {
                    tags: "la,b".to_owned(),
                    ..form("observe", "/3")
                },
                "la,b",
            ),
        ] {
            let error = form.read(&models).expect_err(part);
            assert!(error.detail().contains(part), "{}", error.detail());
        }
    }

    #[test]
    fn a_template_survives_its_form() {
        let models = Models::builtin();
        let all = TemplateForm {
            attributes: " pmin=5\tst=0.5 ".to_owned(),
            names: "urn:imei:35*\r\nlab-?".to_owned(),
            tags: "lab cold".to_owned(),
            format: "senml_cbor".to_owned(),
            enabled: None,
            ..form("observe_composite", "/3303/0/5700\r\n/3/0/9\r\n")
        };
        let template = all.read(&models).expect("a template");
        assert_eq!(template.paths.len(), 2);
        assert!(!template.enabled);
        let again = TemplateForm::of(&template).read(&models).expect("the same");
        assert_eq!(again, template);
    }
}
