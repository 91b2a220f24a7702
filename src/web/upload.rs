//! Reads uploaded definition files, as one body or as the parts of a form. Nothing is written to
//! disk, and nothing is named after what a client says.

use std::cell::Cell;
use std::rc::Rc;

use actix_multipart::{Field, Multipart, MultipartError};
use actix_web::error::PayloadError;
use actix_web::web::{Bytes, Payload};
use actix_web::{HttpMessage as _, HttpRequest};
use futures_util::{Stream, StreamExt as _};

use crate::config;

use super::ApiError;

/// What somebody uploaded.
#[derive(Debug, Default)]
pub(super) struct Upload {
    /// The files; at least one.
    pub(super) files: Vec<UploadedFile>,
    /// The field `replace` of a form.
    pub(super) replace: bool,
}

/// One file.
#[derive(Debug)]
pub(in crate::web) struct UploadedFile {
    /// What the client calls it, for messages; empty for a body that is the file.
    pub(super) name: String,
    /// What is in it.
    pub(super) bytes: Vec<u8>,
}

/// Reads the body.
///
/// # Errors
/// 415 for another content type, 413 for too much, 422 when there is no file, 400 when the form
/// cannot be read.
pub(super) async fn read(
    request: &HttpRequest,
    payload: Payload,
    settings: &config::Models,
) -> Result<Upload, ApiError> {
    let body = bounded(payload, settings.max_upload_bytes);
    match request.content_type().to_ascii_lowercase().as_str() {
        "application/xml" | "text/xml" => {
            let mut file = Growing::new(String::new(), settings);
            let mut body = std::pin::pin!(body);
            while let Some(chunk) = body.next().await {
                file.push(&chunk.map_err(|error| broken(&error, settings))?);
            }
            Ok(Upload {
                files: vec![file.finish()?],
                replace: false,
            })
        }
        "multipart/form-data" => form(Multipart::new(request.headers(), body), settings).await,
        _ => Err(ApiError::unsupported_media_type(
            "the body must be a definition, with Content-Type: application/xml, or a form with \
             files (multipart/form-data)",
        )),
    }
}

async fn form(mut form: Multipart, settings: &config::Models) -> Result<Upload, ApiError> {
    let mut upload = Upload::default();
    while let Some(field) = form.next().await {
        let mut field = field.map_err(|error| bad_form(&error, settings))?;
        let file_name = field
            .content_disposition()
            .and_then(|disposition| disposition.get_filename())
            .map(shown);
        match (file_name, field.name()) {
            (Some(name), _) => {
                let empty = name.is_empty();
                let file = part(&mut field, name, settings).await?;
                // A browser sends such a part when no file was chosen.
                if !(empty && file.bytes.is_empty()) {
                    upload.files.push(file);
                }
            }
            (None, Some("replace")) => {
                let value = part(&mut field, "replace".to_owned(), settings).await?;
                upload.replace = matches!(value.bytes.as_slice(), b"true" | b"on" | b"1");
            }
            (None, name) => {
                let name = shown(name.unwrap_or_default());
                let detail = format!("the form has a field `{name}` that is no file");
                return Err(ApiError::invalid(name, detail));
            }
        }
        if upload.files.len() > MAX_FILES {
            let detail = format!("the form has more than {MAX_FILES} files");
            return Err(ApiError::too_large(detail));
        }
    }
    if upload.files.is_empty() {
        return Err(ApiError::invalid("file", "choose a file"));
    }
    Ok(upload)
}

async fn part(
    field: &mut Field,
    name: String,
    settings: &config::Models,
) -> Result<UploadedFile, ApiError> {
    let mut file = Growing::new(name, settings);
    while let Some(chunk) = field.next().await {
        file.push(&chunk.map_err(|error| bad_form(&error, settings))?);
    }
    file.finish()
}

/// A file that is arriving. What is beyond its limit is read on and thrown away, so that the client
/// hears why it is refused.
struct Growing {
    file: UploadedFile,
    limit: usize,
    exceeded: bool,
}

impl Growing {
    fn new(name: String, settings: &config::Models) -> Self {
        Self {
            file: UploadedFile {
                name,
                bytes: Vec::new(),
            },
            limit: settings.max_ddf_bytes,
            exceeded: false,
        }
    }

    fn push(&mut self, chunk: &[u8]) {
        self.exceeded |= self.file.bytes.len() + chunk.len() > self.limit;
        if self.exceeded {
            self.file.bytes = Vec::new();
        } else {
            self.file.bytes.extend_from_slice(chunk);
        }
    }

    fn finish(self) -> Result<UploadedFile, ApiError> {
        if !self.exceeded {
            return Ok(self.file);
        }
        let limit = self.limit;
        Err(ApiError::too_large(match self.file.name.as_str() {
            "" => format!("the file has more than {limit} bytes (models.max_ddf_bytes)"),
            name => format!("`{name}` has more than {limit} bytes (models.max_ddf_bytes)"),
        }))
    }
}

/// The body, which breaks off behind so many bytes.
fn bounded(
    payload: Payload,
    max_bytes: usize,
) -> impl Stream<Item = Result<Bytes, PayloadError>> + 'static {
    let left = Rc::new(Cell::new(max_bytes));
    payload.map(move |chunk| {
        let chunk = chunk?;
        let rest = left.get().checked_sub(chunk.len());
        left.set(rest.unwrap_or(0));
        rest.map(|_| chunk).ok_or(PayloadError::Overflow)
    })
}

fn bad_form(error: &MultipartError, settings: &config::Models) -> ApiError {
    match error {
        MultipartError::Payload(error) => broken(error, settings),
        other => ApiError::malformed(format!("the form cannot be read: {other}")),
    }
}

fn broken(error: &PayloadError, settings: &config::Models) -> ApiError {
    match error {
        PayloadError::Overflow => {
            let limit = settings.max_upload_bytes;
            let detail = format!("the body has more than {limit} bytes (models.max_upload_bytes)");
            ApiError::too_large(detail)
        }
        other => ApiError::malformed(format!("the body cannot be read: {other}")),
    }
}

/// A name that a client chose, short and without what a line cannot show.
fn shown(name: &str) -> String {
    name.chars()
        .filter(|character| !character.is_control())
        .take(MAX_NAME)
        .collect()
}

/// Files of one form.
const MAX_FILES: usize = 1000;
/// Characters of the name of a file.
const MAX_NAME: usize = 100;
