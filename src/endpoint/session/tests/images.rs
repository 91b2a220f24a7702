//! Images of firmware that are made up, and a device that is written by hand.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::{Action, Images, Input, Ticket, UpdateRefusal};
use super::bench::{Bench, Done, content};
use crate::coap::Response;
use crate::domain::{
    FirmwareId, FirmwareImage, FirmwareUpdate, ImageBytes, NewUpdate, Peer, RolloutStep, Selection,
    Timestamp, UpdateMethod,
};
use crate::store::Change;

/// Images by their id; the bytes are made up.
#[derive(Debug, Default)]
pub(super) struct FakeImages(pub(super) HashMap<FirmwareId, Arc<FakeBytes>>);

/// An image of so many bytes, each of which says where it is.
#[derive(Debug)]
pub(super) struct FakeBytes(pub(super) u64);

impl FakeBytes {
    pub(super) fn at(offset: u64) -> u8 {
        (offset % 251) as u8
    }
}

impl ImageBytes for FakeBytes {
    fn size(&self) -> u64 {
        self.0
    }

    fn tag(&self) -> [u8; 8] {
        [0; 8]
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.0.saturating_sub(offset).min(buffer.len() as u64);
        for (byte, at) in buffer.iter_mut().zip(offset..offset + left) {
            *byte = Self::at(at);
        }
        Ok(left as usize)
    }
}

impl Images for FakeImages {
    fn uri(&self, image: FirmwareId, method: UpdateMethod, _: Peer) -> Option<String> {
        self.0
            .get(&image)
            .map(|_| format!("{method}://here/{image}"))
    }

    fn bytes(&self, image: FirmwareId) -> Option<Arc<dyn ImageBytes>> {
        let bytes = self.0.get(&image)?;
        Some(Arc::clone(bytes) as Arc<dyn ImageBytes>)
    }
}

/// An image of the version 1.2.0 that there is.
pub(super) fn image(selection: Selection) -> FirmwareImage {
    FirmwareImage {
        id: FirmwareId(7),
        version: "1.2.0".to_owned(),
        name: "1.2.0.bin".to_owned(),
        key: "0".repeat(32),
        sha256: "0".repeat(64),
        size: 5000,
        notes: String::new(),
        selection,
        created_at: Timestamp::clamped_from_millis(0),
        created_by: "olga".to_owned(),
    }
}

impl Bench {
    /// A registered device with object 5, and an image of so many bytes.
    pub(super) fn with_firmware(size: u64) -> Self {
        let mut bench = Self::new();
        bench
            .images
            .0
            .insert(FirmwareId(7), Arc::new(FakeBytes(size)));
        let register = bench.register("ep=thing&lwm2m=1.1&lt=86400", "</3/0>,</5/0>");
        bench.feed(register);
        bench
    }

    fn actions_since(&self, before: usize) -> Vec<&Action> {
        let done = self.done.iter().skip(before);
        done.filter_map(|done| match done {
            Done::Acted(action) => Some(action),
            Done::Committed(_) => None,
        })
        .collect()
    }

    /// What was committed since.
    pub(super) fn changes_since(&self, before: usize) -> Vec<&Change> {
        let done = self.done.iter().skip(before);
        done.filter_map(|done| match done {
            Done::Committed(changes) => Some(changes),
            Done::Acted(_) => None,
        })
        .flatten()
        .collect()
    }

    pub(super) fn ask_for_update(
        &mut self,
        method: Option<UpdateMethod>,
        selection: Selection,
    ) -> Result<FirmwareUpdate, UpdateRefusal> {
        self.ask_for_update_of(None, method, selection)
    }

    /// A rollout asks for it, or somebody.
    pub(super) fn ask_for_update_of(
        &mut self,
        rollout: Option<RolloutStep>,
        method: Option<UpdateMethod>,
        selection: Selection,
    ) -> Result<FirmwareUpdate, UpdateRefusal> {
        let before = self.done.len();
        self.feed(Input::UpdateFirmware {
            new: Box::new(NewUpdate {
                image: image(selection),
                method,
                rollout,
                created_by: "olga".to_owned(),
                by: None,
            }),
            ticket: Ticket(1),
        });
        let outcome = self
            .actions_since(before)
            .into_iter()
            .find_map(|action| match action {
                Action::UpdateAccepted(_, update) => Some(Ok((**update).clone())),
                Action::UpdateRefused(_, refusal) => Some(Err(refusal.clone())),
                _ => None,
            });
        outcome.expect("an outcome")
    }

    /// The newest stored state of the update.
    pub(super) fn firmware_update(&self) -> FirmwareUpdate {
        let newest = self
            .changes()
            .into_iter()
            .rev()
            .find_map(|change| match change {
                Change::SaveFirmwareUpdate(update) => Some((**update).clone()),
                _ => None,
            });
        newest.expect("an update")
    }

    /// The lines of the timeline.
    pub(super) fn timeline(&self) -> Vec<String> {
        let line = |change: &&Change| match change {
            Change::FirmwareStep { step, .. } => Some(step.text.clone()),
            _ => None,
        };
        self.changes().iter().filter_map(line).collect()
    }

    /// Method and path of the newest request.
    pub(super) fn newest_request(&self) -> String {
        let (_, outgoing) = self.sent().pop().expect("a request");
        let path = outgoing.request.options.uri_path().expect("a path");
        format!("{} /{}", outgoing.request.code, path.join("/"))
    }

    /// The device answers everything up to the offer of the image: it is idle and runs 1.1.0.
    pub(super) fn up_to_the_offer(&mut self) {
        self.answer(instance(0, 0));
        self.answer(content("1.1.0"));
        for _ in 0..2 {
            let mut observed = content("0");
            observed.options.add_uint(crate::coap::number::OBSERVE, 1);
            self.answer(observed);
        }
    }
}

/// 2.05 with 5/0/3 and 5/0/5.
pub(super) fn instance(state: i64, result: i64) -> Response {
    let mut response = content("");
    response
        .options
        .set_uint(crate::coap::number::CONTENT_FORMAT, 110);
    response.payload =
        format!(r#"[{{"bn":"/5/0/","n":"3","v":{state}}},{{"n":"5","v":{result}}}]"#).into_bytes();
    response
}
