//! The LwM2M protocol without I/O (OMA-TS-LightweightM2M Core 1.0 to 1.2).
//!
//! Owns what the bytes mean: object models, the payload formats, link format, what a Register says,
//! how an operation becomes a CoAP request and what its answer holds. It never keeps state, never
//! reads a clock and never chooses tokens or message ids; those are the business of the rooms above
//! and of [`crate::coap`]. The server and the simulator both use it.
//!
//! Way up: a request is [`register::classify`]d, a notification or Send is read by [`report`], an
//! answer by [`manage::interpret`]; all of them end in [`codec::decode`] and typed nodes. Way down:
//! [`manage::build`] turns an operation into a request with the help of [`codec::encode`].
//!
//! Input is read tolerantly, with a [`crate::domain::Warning`] where something was forgiven; what
//! leaves is strict. Nothing here panics, whatever a peer sends: the lints below see to that, and
//! every loop is bounded by the constants of [`codec`] and by [`register::Limits`].
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

pub mod attributes;
pub mod codec;
pub mod ddf;
pub mod device_log;
pub mod firmware;
mod fit;
#[doc(hidden)]
pub mod fuzzing;
mod library;
pub mod link_format;
pub mod manage;
mod model;
pub mod register;
pub mod report;
mod view;

pub use library::ModelLibrary;
pub use model::{
    Models, ObjectModel, Operations, ResourceModel, compare_versions, default_object_version,
};
pub use view::ModelView;

use crate::domain::{AnnouncedObject, ContentFormat, Lwm2mVersion, RefusedFormats};

/// How to speak to one device: what its Register said, what it refused, and the object models.
#[derive(Clone, Copy)]
pub struct Device<'a> {
    /// The version of LwM2M that it speaks.
    pub version: Lwm2mVersion,
    /// The path in front of every LwM2M path on this device; empty or, for example, `/lwm2m`.
    pub root: &'a str,
    /// The content formats that it announced (`ct`).
    pub formats: &'a [u16],
    /// The content formats that it refused.
    pub refused: &'a RefusedFormats,
    /// The objects that it announced, sorted by path; their versions choose the models.
    pub objects: &'a [AnnouncedObject],
    /// The object models.
    pub models: &'a Models,
}

impl<'a> Device<'a> {
    /// True when the device announced this content format.
    pub fn announces(&self, format: ContentFormat) -> bool {
        self.formats
            .iter()
            .any(|code| ContentFormat::from_code(*code) == Some(format))
    }

    /// The object models as this device means them.
    pub fn view(&self) -> ModelView<'a> {
        ModelView::announced(self.models, self.version, self.objects)
    }
}
