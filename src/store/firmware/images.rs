//! The images: rows of a table, with their files beside it.

use async_trait::async_trait;
use flownexus_entity::firmware;
use sea_orm::{
    ActiveModelTrait as _, ActiveValue::Set, ColumnTrait as _, Condition, DatabaseTransaction,
    EntityTrait as _, PaginatorTrait as _, QueryFilter as _, QueryOrder as _, QuerySelect as _,
};

use super::folder::{FirmwareFolder, KeptFile, ReceiveError, ReceivedFile};
use super::{FirmwareStore, NewImage, check_new_image};
use crate::domain::{AuditEntry, Doer, FirmwareId, FirmwareImage, Selection, Timestamp};
use crate::store::audit;
use crate::store::records::{corrupt, from_json, text, time, to_json};
use crate::store::sequence::{count_up, load, next_id};
use crate::store::{Store, StoreError};

const WHAT: &str = "firmware image";

#[async_trait]
impl FirmwareStore for Store {
    async fn list(&self) -> Result<Vec<FirmwareImage>, StoreError> {
        self.read_tables(|database| async move {
            firmware::Entity::find()
                .order_by_desc(firmware::Column::Id)
                .all(&database)
                .await?
                .into_iter()
                .map(image)
                .collect()
        })
        .await
    }

    async fn find(&self, id: FirmwareId) -> Result<Option<FirmwareImage>, StoreError> {
        self.read_tables(move |database| async move {
            let row = firmware::Entity::find_by_id(id.0).one(&database).await?;
            row.map(image).transpose()
        })
        .await
    }

    async fn add(
        &self,
        new: NewImage,
        file: ReceivedFile,
        by: Doer,
        limit: u64,
    ) -> Result<FirmwareImage, StoreError> {
        let folder = self.firmware_folder()?;
        let store = self.clone();
        // Whoever asked may have gone; a file in its place is seen through to its row all the same.
        self.run(async move {
            let place = folder.path().to_owned();
            let kept = store.block(move || folder.keep(file)).await?;
            let kept = kept.map_err(|error| StoreError::DataDir {
                folder: place,
                why: match error {
                    ReceiveError::Io { source, .. } => source.to_string(),
                    other => other.to_string(),
                },
            })?;
            let row = row(new, &kept, &by.actor)?;
            let added = store
                .write(move |transaction| Box::pin(insert(transaction, row, by, limit)))
                .await;
            match &added {
                // Nothing was committed, for certain. Of another error nobody knows: a file without a row is
                // cleared away later, a row without its file would be for good.
                Err(StoreError::Exists(_) | StoreError::Full { .. } | StoreError::Busy { .. }) => {
                    store.block(move || kept.discard()).await?;
                }
                Ok(_) | Err(_) => drop(kept),
            }
            added
        })
        .await
    }

    async fn describe(
        &self,
        id: FirmwareId,
        notes: String,
        selection: Selection,
        by: Doer,
    ) -> Result<Option<FirmwareImage>, StoreError> {
        self.write(move |transaction| {
            Box::pin(async move {
                let Some(row) = firmware::Entity::find_by_id(id.0).one(transaction).await? else {
                    return Ok(None);
                };
                let version = row.version.clone();
                let mut row = firmware::ActiveModel::from(row);
                row.notes = Set(text(&notes).into_owned());
                row.selection = Set(text(&to_json(&selection)?).into_owned());
                let row = row.update(transaction).await?;
                let detail = format!("for {selection}, notes of {} bytes", row.notes.len());
                changed(transaction, by, "firmware.describe", &version, detail).await?;
                Ok(Some(image(row)?))
            })
        })
        .await
    }

    async fn remove(&self, id: FirmwareId, by: Doer) -> Result<bool, StoreError> {
        let store = self.clone();
        self.run(async move {
            let removed = store
                .write(move |transaction| {
                    Box::pin(async move {
                        let Some(row) = firmware::Entity::find_by_id(id.0).one(transaction).await?
                        else {
                            return Ok(None);
                        };
                        firmware::Entity::delete_by_id(id.0)
                            .exec(transaction)
                            .await?;
                        let detail = format!("{}, SHA-256 {}", row.name, row.sha256);
                        changed(transaction, by, "firmware.remove", &row.version, detail).await?;
                        Ok(Some(row.key))
                    })
                })
                .await?;
            let Some(key) = removed else {
                return Ok(false);
            };
            if let Ok(folder) = store.firmware_folder() {
                let gone = store.block(move || folder.remove(&key)).await?;
                if let Err(error) = gone {
                    tracing::warn!(%error, "Could not remove the file of a firmware image: {error}");
                }
            }
            Ok(true)
        })
        .await
    }

    async fn revision(&self) -> Result<i64, StoreError> {
        self.read_tables(|database| async move {
            Ok(load(&database, REVISION).await?.unwrap_or_default())
        })
        .await
    }
}

impl Store {
    /// Removes the files that belong to no image and to nobody who is about to make one of them. A failure is logged.
    pub(in crate::store) async fn clear_firmware(&self) {
        let Ok(folder) = self.firmware_folder() else {
            return;
        };
        if let Err(error) = self.clear_files(folder).await {
            tracing::warn!(%error, "Could not clear away files of firmware images: {error}");
        }
    }

    async fn clear_files(&self, folder: FirmwareFolder) -> Result<(), StoreError> {
        let there = folder.clone();
        let found = self.block(move || Ok((there.clear_parts()?, there.old_images()?)));
        let found: std::io::Result<(usize, Vec<String>)> = found.await?;
        let (parts, mut keys) = found.map_err(|error| unusable(&folder, error.to_string()))?;
        if parts > 0 {
            tracing::info!("Removed {parts} firmware files whose upload was broken off");
        }
        let known = self.known_keys().await?;
        keys.retain(|key| !known.contains(key));
        if keys.is_empty() {
            return Ok(());
        }
        if known.is_empty() {
            tracing::warn!(
                "{} files in {} belong to no firmware image of this database, which has none at all: they stay",
                keys.len(),
                folder.path().display()
            );
            return Ok(());
        }
        for key in keys {
            let there = folder.clone();
            let locked = self.block(move || there.lock(&key).map(|lock| (lock, key)));
            let Some((lock, key)) = locked.await? else {
                continue;
            };
            // Asked again: it may have become an image before it was locked.
            if !self.known_keys().await?.contains(&key) {
                let there = folder.clone();
                tracing::info!("Removing the file {key}.bin, which belongs to no firmware image");
                let gone = self.block(move || there.remove(&key)).await?;
                gone.map_err(|error| unusable(&folder, error.to_string()))?;
            }
            drop(lock);
        }
        Ok(())
    }

    async fn known_keys(&self) -> Result<Vec<String>, StoreError> {
        self.read_tables(|database| async move {
            Ok(firmware::Entity::find()
                .select_only()
                .column(firmware::Column::Key)
                .into_tuple()
                .all(&database)
                .await?)
        })
        .await
    }
}

async fn insert(
    transaction: &DatabaseTransaction,
    mut row: firmware::Model,
    by: Doer,
    limit: u64,
) -> Result<FirmwareImage, StoreError> {
    // First: who writes at the same time in another process waits for this one, so neither misses the other.
    row.id = next_id(transaction, "firmware").await?;
    let like_it = Condition::any()
        .add(firmware::Column::Version.eq(row.version.as_str()))
        .add(firmware::Column::Name.eq(row.name.as_str()));
    let like_it = firmware::Entity::find()
        .filter(like_it)
        .all(transaction)
        .await?;
    let like_it = like_it
        .into_iter()
        .map(image)
        .collect::<Result<Vec<_>, _>>()?;
    check_new_image(&like_it, Some(&row.version), Some(&row.name), u64::MAX)?;
    if firmware::Entity::find().count(transaction).await? >= limit {
        let what = "firmware images";
        return Err(StoreError::Full { what, limit });
    }
    let added = image(row.clone())?;
    let detail = format!(
        "{}, {} bytes, SHA-256 {}, for {}",
        added.name, added.size, added.sha256, added.selection
    );
    firmware::Entity::insert(firmware::ActiveModel::from(row))
        .exec_without_returning(transaction)
        .await?;
    changed(transaction, by, "firmware.add", &added.version, detail).await?;
    Ok(added)
}

/// Tells the audit log, and those who look whether something has changed.
async fn changed(
    transaction: &DatabaseTransaction,
    by: Doer,
    action: &str,
    version: &str,
    detail: String,
) -> Result<(), StoreError> {
    count_up(transaction, REVISION.to_owned()).await?;
    let line = AuditEntry::new(by, Timestamp::system(), action, version, detail);
    audit::insert(transaction, line).await
}

fn row(new: NewImage, file: &KeptFile, by: &str) -> Result<firmware::Model, StoreError> {
    Ok(firmware::Model {
        id: 0,
        version: new.version,
        name: new.name,
        key: file.key.clone(),
        sha256: file.sha256.clone(),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        notes: text(&new.notes).into_owned(),
        selection: text(&to_json(&new.selection)?).into_owned(),
        created_at: new.at.as_millis(),
        created_by: text(by).into_owned(),
    })
}

fn image(row: firmware::Model) -> Result<FirmwareImage, StoreError> {
    Ok(FirmwareImage {
        id: FirmwareId(row.id),
        size: u64::try_from(row.size).map_err(|error| corrupt(WHAT, error))?,
        selection: from_json(WHAT, &row.selection)?,
        version: row.version,
        name: row.name,
        key: row.key,
        sha256: row.sha256,
        notes: row.notes,
        created_at: time(row.created_at),
        created_by: row.created_by,
    })
}

fn unusable(folder: &FirmwareFolder, why: String) -> StoreError {
    StoreError::DataDir {
        folder: folder.path().to_owned(),
        why,
    }
}

/// Where the count of changes is kept.
const REVISION: &str = "firmware_revision";
