//! Firmware images in memory: rows without files.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flownexus::config::Settings;
use flownexus::domain::{Doer, FirmwareId, FirmwareImage, Selection};
use flownexus::store::{FirmwareStore, NewImage, ReceivedFile, Shelf, StoreError};

#[derive(Default)]
pub(crate) struct FakeFirmware(Mutex<Rows>);

#[derive(Default)]
struct Rows {
    rows: Vec<FirmwareImage>,
    revision: i64,
}

/// The shelf above these rows, oldest first.
pub(crate) fn fake_firmware_with(settings: &Settings, rows: Vec<FirmwareImage>) -> Arc<Shelf> {
    let store = FakeFirmware::default();
    store.with(|state| state.rows = rows);
    Arc::new(Shelf::new(Arc::new(store), settings))
}

impl FakeFirmware {
    fn with<T>(&self, work: impl FnOnce(&mut Rows) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl FirmwareStore for FakeFirmware {
    async fn list(&self) -> Result<Vec<FirmwareImage>, StoreError> {
        Ok(self.with(|state| state.rows.iter().rev().cloned().collect()))
    }

    async fn find(&self, id: FirmwareId) -> Result<Option<FirmwareImage>, StoreError> {
        Ok(self.with(|state| state.rows.iter().find(|row| row.id == id).cloned()))
    }

    async fn add(
        &self,
        new: NewImage,
        file: ReceivedFile,
        by: Doer,
        limit: u64,
    ) -> Result<FirmwareImage, StoreError> {
        self.with(|state| {
            let is_taken = |row: &FirmwareImage| row.version == new.version || row.name == new.name;
            if state.rows.iter().any(is_taken) {
                return Err(StoreError::Exists(format!("an image like {}", new.version)));
            }
            if state.rows.len() as u64 >= limit {
                let what = "firmware images";
                return Err(StoreError::Full { what, limit });
            }
            state.revision += 1;
            let image = FirmwareImage {
                id: FirmwareId(state.revision),
                version: new.version,
                name: new.name,
                key: format!("{:032x}", state.revision),
                sha256: file.sha256().to_owned(),
                size: file.size(),
                notes: new.notes,
                selection: new.selection,
                created_at: new.at,
                created_by: by.actor,
            };
            state.rows.push(image.clone());
            Ok(image)
        })
    }

    async fn describe(
        &self,
        id: FirmwareId,
        notes: String,
        selection: Selection,
        _by: Doer,
    ) -> Result<Option<FirmwareImage>, StoreError> {
        Ok(self.with(|state| {
            state.revision += 1;
            let row = state.rows.iter_mut().find(|row| row.id == id)?;
            row.notes = notes;
            row.selection = selection;
            Some(row.clone())
        }))
    }

    async fn remove(&self, id: FirmwareId, _by: Doer) -> Result<bool, StoreError> {
        Ok(self.with(|state| {
            state.revision += 1;
            let before = state.rows.len();
            state.rows.retain(|row| row.id != id);
            state.rows.len() < before
        }))
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        Ok(self.with(|state| state.revision))
    }
}
