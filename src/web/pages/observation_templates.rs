//! `/templates`: what is observed on each registration.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::{Form, Path as UrlPath};
use serde::{Deserialize, Serialize};

use super::chrome::{Page, see_other};
use super::words::sentence;
use crate::domain::{OperationKind, Path, Selection};
use crate::lwm2m::Models;
use crate::store::ObservationTemplate;
use crate::web::ApiError;
use crate::web::auth::{Operator, Viewer};

#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct TemplateForm {
    kind: String,
    paths: String,
}

/// `GET /templates`
pub(super) async fn page(viewer: Viewer) -> Result<HttpResponse, ApiError> {
    render(&viewer, StatusCode::OK, &TemplateForm::default(), None).await
}

/// `POST /templates`
pub(super) async fn add(
    operator: Operator,
    form: Form<TemplateForm>,
) -> Result<HttpResponse, ApiError> {
    let added = match read(&form) {
        Ok(template) => operator.add_template(template).await.map(|_| ()),
        Err(why) => Err(ApiError::invalid("paths", why)),
    };
    match added {
        Ok(()) => Ok(see_other("/templates")),
        Err(error) if error.status().is_client_error() => {
            let text = Some(sentence(error.detail()));
            render(&operator, error.status(), &form, text).await
        }
        Err(error) => Err(error),
    }
}

/// `POST /templates/{id}/remove`
pub(super) async fn remove(operator: Operator, id: UrlPath<i64>) -> Result<HttpResponse, ApiError> {
    operator.remove_template(*id).await?;
    Ok(see_other("/templates"))
}

async fn render(
    viewer: &Viewer,
    status: StatusCode,
    form: &TemplateForm,
    error: Option<String>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(viewer, "/templates");
    let models = viewer.models();
    let lines: Vec<TemplateLine> = viewer
        .templates()
        .await?
        .iter()
        .map(|template| TemplateLine::new(template, &models))
        .collect();
    page.insert("templates", &lines);
    page.insert("form", form);
    page.insert("error", &error);
    page.render_as(status, "pages/templates.html")
}

/// The template that the form means, or why it means none.
fn read(form: &TemplateForm) -> Result<ObservationTemplate, String> {
    let kind: OperationKind = form.kind.parse()?;
    let paths: Vec<Path> = form
        .paths
        .split_whitespace()
        .map(|text| text.parse::<Path>().map_err(|error| error.to_string()))
        .collect::<Result<_, _>>()?;
    match (kind, paths.as_slice()) {
        (_, []) => Err("name at least one path".to_owned()),
        (_, paths) if paths.contains(&Path::ROOT) => {
            Err("a path names at least an object, for example /3303".to_owned())
        }
        (OperationKind::Read | OperationKind::Observe, [_]) => Ok(()),
        (OperationKind::Read | OperationKind::Observe, _) => {
            Err("several paths together need the composite kind".to_owned())
        }
        (OperationKind::ObserveComposite, _) => Ok(()),
        (kind, _) => Err(format!("`{kind}` cannot be asked by a template")),
    }?;
    Ok(ObservationTemplate {
        id: 0,
        paths,
        kind,
        selection: Selection::default(),
        attributes: Vec::new(),
        format: None,
        enabled: true,
        revision: 0,
    })
}

#[derive(Debug, Serialize)]
struct TemplateLine {
    id: i64,
    kind: &'static str,
    paths: Vec<PathLine>,
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
        }
    }
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

    #[test]
    fn a_form_that_means_no_template_is_told_why() {
        let form = |kind: &str, paths: &str| TemplateForm {
            kind: kind.to_owned(),
            paths: paths.to_owned(),
        };
        for (form, part) in [
            (form("observe", " "), "at least one"),
            (form("observe", "/"), "at least an object"),
            (form("observe", "/3/0/9 /3/0/13"), "composite"),
            (form("write", "/3/0/14"), "cannot be asked"),
            (form("sing", "/3"), "sing"),
            (form("read", "/3/x"), "/3/x"),
        ] {
            let why = read(&form).expect_err(part);
            assert!(why.contains(part), "{why}");
        }
        let template = read(&form("observe_composite", "/3303/0/5700\r\n/3/0/9\r\n"));
        assert_eq!(template.expect("two paths").paths.len(), 2);
    }
}
