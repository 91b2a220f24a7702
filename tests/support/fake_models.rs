//! Uploaded object models in memory.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flownexus::domain::Doer;
use flownexus::store::{AddedModel, ModelEntry, ModelMark, ModelStore, StoreError, UploadedModel};

use super::fake_people::People;

#[derive(Default)]
pub(crate) struct FakeModels(Mutex<Rows>, Arc<Mutex<People>>);

#[derive(Clone, Default)]
struct Rows {
    rows: Vec<UploadedModel>,
    last_id: i64,
}

impl FakeModels {
    /// None yet; changes are in the audit log of these people.
    pub(crate) fn told_to(people: &Arc<Mutex<People>>) -> Self {
        Self(Mutex::default(), Arc::clone(people))
    }

    fn note(&self, by: Doer, action: &str, object_id: u16, version: &str) {
        let mut people = self.1.lock().unwrap_or_else(PoisonError::into_inner);
        people.note(Some(by.line(
            action,
            &format!("/{object_id} {version}"),
            "",
        )));
    }

    fn with<T>(&self, work: impl FnOnce(&mut Rows) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is(row: &UploadedModel, object_id: u16, version: &str) -> bool {
    row.entry.object_id == object_id && row.entry.version == version
}

#[async_trait]
impl ModelStore for FakeModels {
    async fn list(&self) -> Result<Vec<ModelEntry>, StoreError> {
        let mut entries: Vec<ModelEntry> =
            self.with(|state| state.rows.iter().map(|row| row.entry.clone()).collect());
        entries.sort_by_key(|entry| (entry.object_id, entry.id));
        Ok(entries)
    }

    async fn newer_than(&self, id: i64, limit: u64) -> Result<Vec<UploadedModel>, StoreError> {
        Ok(self.with(|state| {
            let newer = state.rows.iter().filter(|row| row.entry.id > id);
            newer.take(limit as usize).cloned().collect()
        }))
    }

    async fn find(
        &self,
        object_id: u16,
        version: &str,
    ) -> Result<Option<UploadedModel>, StoreError> {
        Ok(self.with(|state| {
            let mut rows = state.rows.iter();
            rows.find(|row| is(row, object_id, version)).cloned()
        }))
    }

    async fn mark(&self) -> Result<ModelMark, StoreError> {
        Ok(self.with(|state| ModelMark {
            count: state.rows.len() as i64,
            newest: state.rows.last().map_or(0, |row| row.entry.id),
        }))
    }

    async fn add(
        &self,
        models: Vec<UploadedModel>,
        replace: bool,
        limit: u64,
        by: Doer,
    ) -> Result<Vec<AddedModel>, StoreError> {
        let added = self.with(|state| {
            let mut next = state.clone();
            let mut added = Vec::new();
            for mut model in models {
                let (object, version) = (model.entry.object_id, model.entry.version.clone());
                let before = next.rows.len();
                next.rows.retain(|row| !is(row, object, &version));
                let replaced = next.rows.len() < before;
                if replaced && !replace {
                    return Err(StoreError::Exists(format!("object {object} {version}")));
                }
                next.last_id += 1;
                model.entry.id = next.last_id;
                added.push(AddedModel {
                    entry: model.entry.clone(),
                    replaced,
                });
                next.rows.push(model);
            }
            if next.rows.len() as u64 > limit {
                return Err(StoreError::Full {
                    what: "uploaded object models",
                    limit,
                });
            }
            *state = next;
            Ok(added)
        })?;
        for AddedModel { entry, replaced } in &added {
            let action = match replaced {
                true => "model.replace",
                false => "model.create",
            };
            self.note(by.clone(), action, entry.object_id, &entry.version);
        }
        Ok(added)
    }

    async fn remove(&self, object_id: u16, version: &str, by: Doer) -> Result<bool, StoreError> {
        let removed = self.with(|state| {
            let before = state.rows.len();
            state.rows.retain(|row| !is(row, object_id, version));
            state.rows.len() < before
        });
        if removed {
            self.note(by, "model.delete", object_id, version);
        }
        Ok(removed)
    }
}
