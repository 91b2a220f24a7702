//! Takes a firmware image out of a form: its file goes to disk as it comes, in parts, and is hashed on the way. What
//! is refused is read on and thrown away, up to a limit, so that the client hears why.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::web::{self, Bytes, Payload};
use actix_web::{HttpMessage as _, HttpRequest};
use futures_util::{Stream, StreamExt as _};

use crate::domain::{FirmwareImage, Selection, Timestamp};
use crate::store::{IncomingFile, NewImage, ReceivedFile};

use super::ApiError;
use super::api::DeviceFilter;
use super::auth::Operator;

/// Takes the form.
///
/// # Errors
/// 400 when it cannot be read or the file is not what `sha256` says, 409 when the version or the name is taken, 413
/// for too much, 415 for another content type, 422 naming the part that is missing or cannot be used.
pub(super) async fn read(
    request: &HttpRequest,
    payload: Payload,
    operator: &Operator,
) -> Result<(NewImage, ReceivedFile), ApiError> {
    if !request
        .content_type()
        .eq_ignore_ascii_case("multipart/form-data")
    {
        return Err(ApiError::unsupported_media_type(
            "the body must be a form (multipart/form-data) with the parts `version` and `file`",
        ));
    }
    let limit = operator.settings().firmware.max_image_bytes;
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let body = Body(Rc::new(RefCell::new(payload)));
    let taken = if announced.is_some_and(|bytes| bytes > limit.saturating_add(MAX_OTHER_BYTES)) {
        let detail =
            format!("the body is larger than an image of {limit} bytes (firmware.max_image_bytes)");
        Err(ApiError::too_large(detail))
    } else {
        let form = Multipart::new(request.headers(), body.clone());
        take(form, operator).await
    };
    if taken.is_err() {
        body.throw_away(limit.saturating_add(MAX_OTHER_BYTES)).await;
    }
    taken
}

/// What has come so far.
#[derive(Default)]
struct Parts {
    version: Option<String>,
    name: Option<String>,
    notes: Option<String>,
    selection: Option<Selection>,
    sha256: Option<String>,
    /// With the name that the client gave it.
    file: Option<(String, ReceivedFile)>,
}

async fn take(
    mut form: Multipart,
    operator: &Operator,
) -> Result<(NewImage, ReceivedFile), ApiError> {
    let mut parts = Parts::default();
    let mut count = 0;
    while let Some(field) = in_time(form.next()).await? {
        let mut field = field.map_err(|error| bad_form(&error))?;
        count += 1;
        if count > MAX_PARTS {
            return Err(ApiError::malformed(format!(
                "the form has more than {MAX_PARTS} parts"
            )));
        }
        parts.take(&mut field, operator).await?;
    }
    parts.finish()
}

impl Parts {
    async fn take(&mut self, field: &mut Field, operator: &Operator) -> Result<(), ApiError> {
        let name = field.name().unwrap_or_default().to_owned();
        match name.as_str() {
            "file" => self.take_file(field, operator).await,
            "name" => {
                let text = text(field, &name, FirmwareImage::MAX_NAME_BYTES).await?;
                let check = FirmwareImage::check_name(&text);
                check.map_err(|why| ApiError::invalid("name", why))?;
                operator.check_firmware_is_new(None, Some(&text)).await?;
                set(&mut self.name, &name, text)
            }
            "notes" => {
                let text = text(field, &name, FirmwareImage::MAX_NOTES_BYTES).await?;
                set(&mut self.notes, &name, text)
            }
            "selection" => {
                let text = text(field, &name, MAX_SELECTION_BYTES).await?;
                let filter: DeviceFilter = serde_json::from_str(&text).map_err(|error| {
                    let detail = format!("`selection` is no {{\"names\", \"tags\"}}: {error}");
                    ApiError::invalid("selection", detail)
                })?;
                let selection = Selection::from(filter);
                let check = selection.check();
                check.map_err(|why| ApiError::invalid("selection", why))?;
                set(&mut self.selection, &name, selection)
            }
            "sha256" => {
                let text = text(field, &name, MAX_HASH_BYTES).await?;
                let hash = text.trim().to_ascii_lowercase();
                if hash.len() != 64 || !hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    let detail = "a SHA-256 is 64 hexadecimal digits";
                    return Err(ApiError::invalid("sha256", detail));
                }
                set(&mut self.sha256, &name, hash)
            }
            "version" => {
                let text = text(field, &name, FirmwareImage::MAX_VERSION_BYTES).await?;
                let check = FirmwareImage::check_version(&text);
                check.map_err(|why| ApiError::invalid("version", why))?;
                operator.check_firmware_is_new(Some(&text), None).await?;
                set(&mut self.version, &name, text)
            }
            _ => {
                let name = shown(&name);
                let detail = format!(
                    "the form has a part `{name}`; `version`, `file`, `name`, `notes`, \
                     `selection` and `sha256` are known"
                );
                Err(ApiError::invalid(name, detail))
            }
        }
    }

    async fn take_file(&mut self, field: &mut Field, operator: &Operator) -> Result<(), ApiError> {
        let name = field
            .content_disposition()
            .and_then(|disposition| disposition.get_filename())
            .unwrap_or_default()
            .to_owned();
        // Before the bytes come: whoever sends the name of the file sends it here at the latest.
        if self.name.is_none() && FirmwareImage::check_name(&name).is_ok() {
            operator.check_firmware_is_new(None, Some(&name)).await?;
        }
        let mut file = blocking(operator.receive_firmware()).await?;
        let mut gathered = Vec::with_capacity(WRITE_BYTES);
        let mut is_empty = true;
        while let Some(chunk) = in_time(field.next()).await? {
            let chunk = chunk.map_err(|error| bad_form(&error))?;
            is_empty &= chunk.is_empty();
            gathered.extend_from_slice(&chunk);
            if gathered.len() >= WRITE_BYTES {
                (file, gathered) = write(file, gathered).await?;
            }
        }
        // A browser sends such a part when no file was chosen.
        if is_empty && name.is_empty() {
            return Err(ApiError::invalid("file", "choose a file"));
        }
        let (file, _) = write(file, gathered).await?;
        let file = blocking(move || Ok(file.finish()?)).await?;
        set(&mut self.file, "file", (name, file))
    }

    fn finish(self) -> Result<(NewImage, ReceivedFile), ApiError> {
        let missing = |part: &str| {
            let detail = format!("the form has no part `{part}`");
            ApiError::invalid(part, detail)
        };
        let version = self.version.ok_or_else(|| missing("version"))?;
        let (file_name, file) = self.file.ok_or_else(|| missing("file"))?;
        if let Some(said) = self.sha256
            && said != file.sha256()
        {
            let is = file.sha256();
            let detail = format!(
                "the file has arrived with the SHA-256 {is}, but `sha256` says that it is {said}"
            );
            return Err(ApiError::malformed(detail).about("sha256"));
        }
        let name = self
            .name
            .unwrap_or_else(|| NewImage::name_of(&file_name, &version));
        let new = NewImage {
            version,
            name,
            notes: self.notes.unwrap_or_default(),
            selection: self.selection.unwrap_or_default(),
            at: Timestamp::system(),
        };
        Ok((new, file))
    }
}

/// Writes on a thread that may wait for the disk, and gives both back, the buffer empty.
async fn write(
    mut file: IncomingFile,
    mut bytes: Vec<u8>,
) -> Result<(IncomingFile, Vec<u8>), ApiError> {
    blocking(move || {
        file.write(&bytes)?;
        bytes.clear();
        Ok((file, bytes))
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    web::block(work).await.map_err(ApiError::internal)?
}

async fn text(field: &mut Field, name: &str, longest: usize) -> Result<String, ApiError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = in_time(field.next()).await? {
        bytes.extend_from_slice(&chunk.map_err(|error| bad_form(&error))?);
        if bytes.len() > longest {
            let detail = format!("`{name}` has more than {longest} bytes");
            return Err(ApiError::invalid(name, detail));
        }
    }
    String::from_utf8(bytes)
        .map_err(|_| ApiError::invalid(name, format!("`{name}` is no text in UTF-8")))
}

fn set<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), ApiError> {
    if place.replace(value).is_some() {
        let detail = format!("the form has two parts `{name}`");
        return Err(ApiError::invalid(name, detail));
    }
    Ok(())
}

/// Whoever sends nothing for too long is not waited for.
async fn in_time<T>(next: impl Future<Output = T>) -> Result<T, ApiError> {
    let pause = actix_web::rt::time::timeout(PATIENCE, next);
    pause.await.map_err(|_| {
        ApiError::malformed(format!("nothing came for {} seconds", PATIENCE.as_secs()))
    })
}

fn bad_form(error: &MultipartError) -> ApiError {
    ApiError::malformed(format!("the form cannot be read: {error}"))
}

/// A name that a client chose, short and without what a line cannot show.
fn shown(name: &str) -> String {
    name.chars()
        .filter(|character| !character.is_control())
        .take(MAX_SHOWN)
        .collect()
}

/// The body, which the form reads and which is read on when the form is given up.
#[derive(Clone)]
struct Body(Rc<RefCell<Payload>>);

impl Body {
    /// Reads on, at most so many bytes.
    async fn throw_away(mut self, mut most: u64) {
        while let Ok(Some(Ok(chunk))) = in_time(self.next()).await {
            let Some(left) = most.checked_sub(chunk.len() as u64) else {
                return;
            };
            most = left;
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// Bytes that are written at once.
const WRITE_BYTES: usize = 256 * 1024;
/// Parts of a form; each may be there once.
const MAX_PARTS: usize = 6;
/// Bytes of `selection`: as many patterns and tags as there may be, with room.
const MAX_SELECTION_BYTES: usize = 64 * 1024;
/// Bytes of `sha256`, with white space around it.
const MAX_HASH_BYTES: usize = 80;
/// Bytes of a form beside the file.
const MAX_OTHER_BYTES: u64 = 128 * 1024;
/// Characters of a name in a message.
const MAX_SHOWN: usize = 100;
/// How long a client may send nothing.
const PATIENCE: Duration = Duration::from_secs(60);
