//! The object models: those of the program with the uploaded ones over them, and how both are kept
//! in step with the store.
//!
//! Whoever changes the store lets the catalogue look at it again; what `flownexus models import`
//! does beside the running server is noticed by the composition root's regular look
//! ([`Catalogue::refresh`]).

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Mutex;

use crate::config;
use crate::domain::{Registration, Timestamp};
use crate::lwm2m::{ModelLibrary, ModelView, Models, ObjectModel, compare_versions, ddf};
use crate::store::{ModelEntry, ModelMark, ModelStore, StoreError, UploadedModel};

/// The models in force and where the uploaded ones are kept.
#[expect(missing_debug_implementations, reason = "it holds a trait object")]
pub struct Catalogue {
    library: ModelLibrary,
    store: Arc<dyn ModelStore>,
    /// Held while the store is read and the library replaced, so that an older look never follows
    /// a newer one.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// What the store said when it was last read.
    mark: Option<ModelMark>,
    /// The models by row; none for a definition that this version cannot read.
    rows: BTreeMap<i64, Option<ObjectModel>>,
}

impl Catalogue {
    /// The models of the program; the uploaded ones come with the first [`Catalogue::refresh`].
    pub fn new(store: Arc<dyn ModelStore>) -> Self {
        Self {
            library: ModelLibrary::from(Models::builtin()),
            store,
            known: Mutex::default(),
        }
    }

    /// The models for everybody who needs them.
    pub fn library(&self) -> &ModelLibrary {
        &self.library
    }

    /// Where the uploaded ones are kept: for the views, which write the audit log.
    pub(in crate::web) fn store(&self) -> &dyn ModelStore {
        &*self.store
    }

    /// Puts the uploaded models that are stored into force; true when they were not already. A
    /// definition that cannot be read is logged and left out.
    ///
    /// # Errors
    /// When the store fails; then the models stay as they are.
    pub async fn refresh(&self) -> Result<bool, StoreError> {
        let mut known = self.known.lock().await;
        if known.mark == Some(self.store.mark().await?) {
            return Ok(false);
        }
        let entries = self.store.list().await?;
        let mark = ModelMark {
            count: i64::try_from(entries.len()).unwrap_or(i64::MAX),
            newest: entries.iter().map(|entry| entry.id).max().unwrap_or(0),
        };
        // What the list names and is not found here was removed since; the next look sees that.
        let mut last = known.rows.keys().next_back().copied().unwrap_or(0);
        while last < mark.newest {
            let rows = self.store.newer_than(last, ROWS_AT_ONCE).await?;
            let Some(newest) = rows.last() else {
                break;
            };
            last = newest.entry.id;
            for row in rows {
                known.rows.insert(row.entry.id, read(&row));
            }
        }
        known
            .rows
            .retain(|id, _| entries.iter().any(|entry| entry.id == *id));
        let mut models = Models::builtin();
        for model in known.rows.values().flatten() {
            models.insert_uploaded(model.clone());
        }
        self.library.replace(models);
        known.mark = Some(mark);
        Ok(true)
    }
}

/// How much a file may hold.
pub fn limits(settings: &config::Models) -> ddf::Limits {
    ddf::Limits {
        max_bytes: settings.max_ddf_bytes,
        max_objects: settings.max_objects_per_file,
        max_resources: settings.max_resources_per_object,
    }
}

/// A definition as it is stored.
pub fn to_store(definition: ddf::Definition, created_by: &str, at: Timestamp) -> UploadedModel {
    UploadedModel {
        entry: ModelEntry {
            id: 0,
            object_id: definition.model.id,
            version: definition.model.version,
            name: definition.model.name,
            created_at: at,
            created_by: created_by.to_owned(),
        },
        source: definition.source,
    }
}

/// The models as a device means them: of the versions that it announced, as long as it is registered.
pub(super) fn of_device<'a>(
    models: &'a Models,
    registration: Option<&'a Registration>,
) -> ModelView<'a> {
    registration.map_or_else(
        || ModelView::newest(models),
        |registration| {
            ModelView::announced(models, registration.lwm2m_version, &registration.objects)
        },
    )
}

/// Which models to list.
#[derive(Debug, Default)]
pub(super) struct Filter {
    /// The beginning of the object id, or a part of the name in any case.
    pub(super) search: String,
    /// Only uploaded ones, or only the others.
    pub(super) uploaded: Option<bool>,
    /// Only those behind this object and version.
    pub(super) after: Option<(u16, String)>,
}

impl Filter {
    /// The models that match, by object id and version.
    pub(super) fn matching<'m>(
        &'m self,
        models: &'m Models,
    ) -> impl Iterator<Item = &'m ObjectModel> + 'm {
        let search = self.search.trim().to_lowercase();
        models.objects().filter(move |object| {
            let behind = self.after.as_ref().is_none_or(|(id, version)| {
                let versions = compare_versions(&object.version, version);
                object.id.cmp(id).then(versions).is_gt()
            });
            behind
                && self
                    .uploaded
                    .is_none_or(|wanted| models.is_uploaded(object) == wanted)
                && (object.id.to_string().starts_with(&search)
                    || object.name.to_lowercase().contains(&search))
        })
    }
}

/// The model of a stored definition.
fn read(row: &UploadedModel) -> Option<ObjectModel> {
    let (object, version) = (row.entry.object_id, &row.entry.version);
    match ddf::parse(row.source.as_bytes(), &ddf::Limits::ACCEPTED) {
        Ok(definitions) => definitions
            .into_iter()
            .map(|definition| definition.model)
            .find(|model| model.id == object && model.version == *version),
        Err(error) => {
            tracing::warn!(
                object.id = object,
                object.version = %version,
                error = %error,
                "The stored model of object {object} version {version} cannot be read: {error}"
            );
            None
        }
    }
}

/// Definitions that are in memory at once while they are read.
const ROWS_AT_ONCE: u64 = 16;
