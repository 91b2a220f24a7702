//! What the views may do with object models.

use std::collections::BTreeMap;

use crate::domain::Timestamp;
use crate::lwm2m::ddf;
use crate::store::{AddedModel, ModelEntry, UploadedModel};
use crate::web::ApiError;
use crate::web::models::{limits, to_store};
use crate::web::upload::UploadedFile;

use super::{Operator, Viewer};

impl Viewer {
    /// The uploaded models, by object id.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn uploaded_models(&self) -> Result<Vec<ModelEntry>, ApiError> {
        Ok(self.state.models.store().list().await?)
    }

    /// The definition of one model as XML: as it was uploaded, or written from the built-in table.
    ///
    /// # Errors
    /// 404 without such a model.
    pub async fn model_definition(
        &self,
        object_id: u16,
        version: &str,
    ) -> Result<String, ApiError> {
        let stored = self.state.models.store().find(object_id, version).await?;
        match stored {
            Some(stored) => Ok(stored.source),
            None => self
                .models()
                .exact(object_id, version)
                .map(ddf::write)
                .ok_or_else(|| unknown(object_id, version)),
        }
    }
}

impl Operator {
    /// Stores every object of these files, or none, and puts them into force at once.
    ///
    /// # Errors
    /// 413 or 422 naming the file, the line and the element; 409 when a model is there already and
    /// `replace` is not wanted, or when there would be too many.
    pub(in crate::web) async fn add_models(
        &self,
        files: Vec<UploadedFile>,
        replace: bool,
    ) -> Result<Vec<AddedModel>, ApiError> {
        let limits = limits(&self.settings().models);
        let actor = self.identity().actor();
        // Megabytes of XML take their time, which the other requests of this thread do not have.
        let models = actix_web::web::block(move || read(files, &limits, &actor))
            .await
            .map_err(ApiError::internal)??;
        let max = self.settings().models.max_uploaded;
        let (store, by) = (self.state.models.store(), self.identity().doer());
        let added = store.add(models, replace, max, by).await?;
        self.models_changed().await;
        Ok(added)
    }

    /// Removes an uploaded model. Where it was in the place of a built-in one, that is back at once.
    ///
    /// # Errors
    /// 404 without such a model, 409 for one that is built in.
    pub async fn remove_model(&self, object_id: u16, version: &str) -> Result<(), ApiError> {
        let (store, by) = (self.state.models.store(), self.identity().doer());
        if !store.remove(object_id, version, by).await? {
            let models = self.models();
            return Err(match models.exact(object_id, version) {
                Some(model) if !models.is_uploaded(model) => ApiError::conflict(
                    "builtin",
                    format!("object {object_id} version {version} is built in and stays"),
                ),
                Some(_) | None => unknown(object_id, version),
            });
        }
        self.models_changed().await;
        Ok(())
    }

    /// What is stored comes into force; should that fail now, the regular look repeats it.
    async fn models_changed(&self) {
        if let Err(error) = self.state.models.refresh().await {
            tracing::warn!("The changed object models are not in force yet: {error}");
        }
    }
}

/// The objects of all files.
fn read(
    files: Vec<UploadedFile>,
    limits: &ddf::Limits,
    actor: &str,
) -> Result<Vec<UploadedModel>, ApiError> {
    let now = Timestamp::system();
    let mut models = Vec::new();
    let mut seen: BTreeMap<(u16, String), String> = BTreeMap::new();
    for file in files {
        let definitions =
            ddf::parse(&file.bytes, limits).map_err(|error| refusal(&file.name, &error))?;
        for definition in definitions {
            let model = to_store(definition, actor, now);
            let key = (model.entry.object_id, model.entry.version.clone());
            if let Some(other) = seen.insert(key, file.name.clone()) {
                let (object, version) = (model.entry.object_id, &model.entry.version);
                let detail = format!(
                    "`{other}` and `{}` both define object {object} version {version}",
                    file.name
                );
                return Err(ApiError::invalid("Object", detail));
            }
            models.push(model);
        }
    }
    Ok(models)
}

fn refusal(file: &str, error: &ddf::DdfError) -> ApiError {
    let detail = if file.is_empty() {
        error.to_string()
    } else {
        format!("`{file}`: {error}")
    };
    match error {
        ddf::DdfError::TooLarge { .. } => ApiError::too_large(detail),
        ddf::DdfError::Element { element, .. } => ApiError::invalid(element, detail),
        ddf::DdfError::Syntax { .. } => ApiError::invalid("file", detail),
    }
}

/// How the audit log names a model.
fn unknown(object_id: u16, version: &str) -> ApiError {
    ApiError::not_found(format!(
        "there is no model of object {object_id} version {version}"
    ))
}
