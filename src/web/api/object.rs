//! JSON bodies that are objects.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::mime::JSON;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use futures_util::StreamExt as _;
use futures_util::future::{FutureExt as _, LocalBoxFuture};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};

use crate::web::auth::access::app_state;
use crate::web::{ApiError, error, unreadable};

/// A JSON body that has to be an object. Serde by itself also takes a list of what the fields hold, in the order in
/// which they happen to be written down.
pub(super) struct Object<T>(T);

impl<T> Object<T> {
    /// What its fields hold.
    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Object<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for Object<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        async move { read(&whole(&request, payload).await?) }.boxed_local()
    }
}

/// The bytes of a body that says it is JSON, up to `web.max_json_bytes`.
async fn whole(request: &HttpRequest, mut payload: Payload) -> Result<Vec<u8>, ApiError> {
    let mime = request.mime_type().ok().flatten();
    let is_json = mime.is_some_and(|mime| mime.subtype() == JSON || mime.suffix() == Some(JSON));
    if !is_json {
        return Err(error::not_json());
    }
    let most = app_state(request)?.settings.web.max_json_bytes;
    let announced = request.headers().get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(error::body_too_large());
    }
    // Only what has come takes room, not what was announced.
    let mut bytes = Vec::new();
    while let Some(part) = payload.next().await {
        let part = part.map_err(|error| error::body_error(&error))?;
        if bytes.len().saturating_add(part.len()) > most {
            return Err(error::body_too_large());
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// What a body holds, or which field of it is wrong.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<Object<T>, ApiError> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let no_json =
        |error: &serde_json::Error| ApiError::malformed(format!("the body is no JSON: {error}"));
    let object = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        match error.inner().is_data() {
            true => unreadable::body(error.path(), &error.inner().to_string()),
            false => no_json(error.inner()),
        }
    })?;
    json.end().map_err(|error| no_json(&error))?;
    Ok(object)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Fields(PhantomData))
    }
}

struct Fields<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(fields)).map(Object)
    }
}
