//! What the views may do with firmware images.

use crate::domain::{FirmwareId, FirmwareImage, Selection};
use crate::store::{IncomingFile, NewImage, ReceivedFile, Shelved, check_new_image};
use crate::web::ApiError;

use super::{Operator, Viewer};

impl Viewer {
    /// The images, newest first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn firmware_images(&self) -> Result<Vec<FirmwareImage>, ApiError> {
        Ok(self.state.firmware.store().list().await?)
    }

    /// One image.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn firmware_image(&self, id: FirmwareId) -> Result<FirmwareImage, ApiError> {
        let found = self.state.firmware.store().find(id).await?;
        found.ok_or_else(|| unknown(id))
    }

    /// Where devices find an image, by the setting in force: `/binaries/…`.
    pub fn firmware_path(&self, image: &FirmwareImage) -> String {
        self.state.firmware.path(image)
    }

    /// An image with its bytes.
    ///
    /// # Errors
    /// 404 when there is none of this id.
    pub async fn firmware_bytes(&self, id: FirmwareId) -> Result<Shelved, ApiError> {
        use crate::store::FirmwareShelf as _;
        // The row says 404; what is not on the shelf yet was added beside this server a moment ago.
        self.firmware_image(id).await?;
        let shelf = &self.state.firmware;
        if let Some(shelved) = shelf.image(id) {
            return Ok(shelved);
        }
        shelf.reload().await?;
        shelf.image(id).ok_or_else(|| {
            ApiError::internal(format!(
                "the file of the firmware image {id} cannot be read"
            ))
        })
    }
}

impl Operator {
    /// Begins to take a file for an image. It blocks.
    pub(in crate::web) fn receive_firmware(
        &self,
    ) -> impl FnOnce() -> Result<IncomingFile, ApiError> + Send + 'static {
        let folder = self.state.firmware.folder().clone();
        let limit = self.settings().firmware.max_image_bytes;
        move || Ok(folder.begin(limit)?)
    }

    /// Refuses what would be refused in the end, before a large file comes in vain.
    ///
    /// # Errors
    /// 409 when the version or the name is taken, or when there are too many.
    pub(in crate::web) async fn check_firmware_is_new(
        &self,
        version: Option<&str>,
        name: Option<&str>,
    ) -> Result<(), ApiError> {
        let images = self.firmware_images().await?;
        let limit = self.settings().firmware.max_images;
        Ok(check_new_image(&images, version, name, limit)?)
    }

    /// Makes an image of a file; devices find it at once.
    ///
    /// # Errors
    /// 422 naming the field that cannot be used, 409 when the version or the name is taken, or when there are too
    /// many.
    pub(in crate::web) async fn add_firmware(
        &self,
        new: NewImage,
        file: ReceivedFile,
    ) -> Result<FirmwareImage, ApiError> {
        new.check()
            .map_err(|(field, why)| ApiError::invalid(field, why))?;
        let limit = self.settings().firmware.max_images;
        let by = self.identity().doer();
        let store = self.state.firmware.store();
        let image = store.add(new, file, by, limit).await?;
        self.firmware_changed().await;
        Ok(image)
    }

    /// Changes what is said of an image; what is missing stays as it is.
    ///
    /// # Errors
    /// 404 when there is none of this id, 422 naming the field that cannot be used.
    pub async fn describe_firmware(
        &self,
        id: FirmwareId,
        notes: Option<String>,
        selection: Option<Selection>,
    ) -> Result<FirmwareImage, ApiError> {
        let before = self.firmware_image(id).await?;
        let notes = notes.unwrap_or(before.notes);
        let selection = selection.unwrap_or(before.selection);
        NewImage::check_description(&notes, &selection)
            .map_err(|(field, why)| ApiError::invalid(field, why))?;
        let by = self.identity().doer();
        let store = self.state.firmware.store();
        let described = store.describe(id, notes, selection, by).await?;
        self.firmware_changed().await;
        described.ok_or_else(|| unknown(id))
    }

    /// Removes an image. Whoever downloads it meanwhile gets all of it.
    ///
    /// # Errors
    /// 404 when there is none of this id, 409 while devices are on their way to it or a rollout needs it.
    pub async fn remove_firmware(&self, id: FirmwareId) -> Result<(), ApiError> {
        // One that begins in this moment ends in words that say that the image is gone.
        let active = self.stores().firmware_updates.count_active(id).await?;
        if active > 0 {
            let updates = if active == 1 {
                "update is"
            } else {
                "updates are"
            };
            let detail = format!(
                "{active} firmware {updates} under way with this image; cancel them or wait for their end"
            );
            return Err(ApiError::conflict("in_use", detail));
        }
        if let Some(rollout) = self.rollout_in_need_of(id).await? {
            let detail = format!("rollout {rollout} needs this image; stop or remove it first");
            return Err(ApiError::conflict("in_use", detail));
        }
        let by = self.identity().doer();
        let is_removed = self.state.firmware.store().remove(id, by).await?;
        self.firmware_changed().await;
        if is_removed { Ok(()) } else { Err(unknown(id)) }
    }

    /// What is stored comes into force; should that fail now, the regular look repeats it.
    async fn firmware_changed(&self) {
        if let Err(error) = self.state.firmware.reload().await {
            tracing::warn!("The changed firmware images are not in force yet: {error}");
        }
    }
}

fn unknown(id: FirmwareId) -> ApiError {
    ApiError::not_found(format!("there is no firmware image {id}"))
}
