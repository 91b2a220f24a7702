//! Images that a device downloads: what it asks for next, and what the pieces mean that come.

use std::time::{Duration, Instant};

use crate::domain::Now;

use super::super::super::firmware::{BlockLimit, FirmwareBehaviour, Midway};
use super::super::super::objects::firmware as object;
use super::{
    CONNECTION_LOST, Device, INVALID_URI, NO_STORAGE, OUT_OF_MEMORY, Output, Received, Stage,
    UNSUPPORTED_IMAGE, UNSUPPORTED_PROTOCOL, is_half,
};

/// A piece of an image that a device asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The download that it belongs to, to be repeated in [`Input::Fetched`](super::super::Input::Fetched).
    /// The connection may be kept until another one begins, or until
    /// [`Output::HangUp`].
    pub download: u32,
    /// Where the image is. A path alone is asked of the LwM2M server, in the device's own session.
    pub uri: String,
    /// The first byte that is wanted.
    pub offset: u64,
    /// The entity tag of what the device has; where the image has another one, it begins anew.
    pub tag: Option<Vec<u8>>,
    /// So many bytes at most.
    pub most: usize,
    /// The size of blocks, where it goes in blocks.
    pub block: usize,
}

/// A piece of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where it begins: where it was wanted, or at 0 when the image has changed.
    pub offset: u64,
    /// Its bytes; none when the image ended before.
    pub bytes: Vec<u8>,
    /// The entity tag of the image.
    pub tag: Option<Vec<u8>>,
    /// Bytes of the whole image.
    pub total: Option<u64>,
    /// Whether it is the last one.
    pub is_last: bool,
}

/// Why no piece came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The connection broke, was not made, or the server cannot answer now; another try may help.
    #[error("{0}")]
    ConnectionLost(String),
    /// There is no such image, or the URI is none.
    #[error("{0}")]
    InvalidUri(String),
    /// The server has not proven itself.
    #[error("{0}")]
    Untrusted(String),
    /// Nothing here speaks this protocol.
    #[error("{0}")]
    UnsupportedProtocol(String),
}

/// A download under way.
#[derive(Clone, Debug)]
pub(super) struct Pull {
    download: u32,
    uri: String,
    received: Received,
    tag: Option<Vec<u8>>,
    total: Option<u64>,
    /// A piece is under way.
    is_asked: bool,
    /// When the next piece is asked for; never, when it has stalled.
    next_at: Option<Instant>,
    /// When the first one was.
    begun_at: Instant,
    /// In a row, without a piece between them.
    failures: u32,
    /// How often the image has changed.
    changes: u32,
    /// It has broken off midway, on purpose.
    has_broken: bool,
}

impl Pull {
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.next_at.filter(|_| !self.is_asked)
    }

    pub(super) fn received(&self) -> u64 {
        self.received.size()
    }

    pub(super) fn hang_up(&self) -> Output {
        Output::HangUp {
            download: self.download,
        }
    }

    /// The image is another one: nothing of what came is of use.
    fn begin_anew(&mut self) {
        self.received = Received::default();
        self.tag = None;
        self.total = None;
        self.changes += 1;
    }
}

impl Device {
    /// 5/0/1 names an image.
    pub(super) fn begin_pull(&mut self, now: Now, uri: String) {
        self.end_firmware(now, 0);
        let protocols = self.settings.firmware.as_ref();
        let (base, protocols) = protocols.map_or((None, [].as_slice()), |settings| {
            (settings.base.as_deref(), settings.protocols.as_slice())
        });
        let located = match self.behaviour() {
            FirmwareBehaviour::NeverStarts => return,
            FirmwareBehaviour::InvalidUri => Err(INVALID_URI),
            FirmwareBehaviour::UnsupportedProtocol => Err(UNSUPPORTED_PROTOCOL),
            _ => locate(&uri, base, protocols),
        };
        let uri = match located {
            Ok(uri) => uri,
            Err(result) => return object::show_result(&mut self.objects, result),
        };
        self.firmware.last_download = self.firmware.last_download.wrapping_add(1);
        self.firmware.stage = Stage::Pulling(Box::new(Pull {
            download: self.firmware.last_download,
            uri,
            received: Received::default(),
            tag: None,
            total: None,
            is_asked: false,
            next_at: Some(now.instant),
            begun_at: now.instant,
            failures: 0,
            changes: 0,
            has_broken: false,
        }));
        if self.behaviour() == FirmwareBehaviour::ConnectionLost
            && let Stage::Pulling(pull) = &mut self.firmware.stage
        {
            // So long it looks for a server that nobody finds.
            pull.next_at = Some(now.instant + LOOKING);
        }
        self.show_state(now);
    }

    /// Asks for the next piece when its time has come.
    pub(super) fn work_on_pull(&mut self, now: Now) {
        let behaviour = self.behaviour();
        let block = self.settings.quirks.block_limit.map(BlockLimit::size);
        let Stage::Pulling(pull) = &mut self.firmware.stage else {
            return;
        };
        if pull.next_timeout().is_none_or(|at| at > now.instant) {
            return;
        }
        if behaviour == FirmwareBehaviour::ConnectionLost {
            return self.end_firmware(now, CONNECTION_LOST);
        }
        pull.is_asked = true;
        let most = match behaviour {
            FirmwareBehaviour::Slow(bytes_per_s) => {
                (bytes_per_s / 4).clamp(64, MOST as u32) as usize
            }
            _ => MOST,
        };
        let fetch = Fetch {
            download: pull.download,
            uri: pull.uri.clone(),
            offset: pull.received.size(),
            tag: pull.tag.clone(),
            most,
            block: block.unwrap_or(LARGEST_BLOCK),
        };
        self.firmware.outputs.push_back(Output::Fetch(fetch));
    }

    /// What became of a piece.
    pub(in super::super) fn fetched(
        &mut self,
        now: Now,
        download: u32,
        piece: Result<Piece, FetchError>,
        outputs: &mut Vec<Output>,
    ) {
        let Stage::Pulling(pull) = &mut self.firmware.stage else {
            return;
        };
        if pull.download != download || !pull.is_asked {
            return;
        }
        pull.is_asked = false;
        match piece {
            Ok(piece) => self.take_piece(now, piece, outputs),
            Err(error) => self.fetch_failed(now, &error),
        }
    }

    fn fetch_failed(&mut self, now: Now, error: &FetchError) {
        let (first, longest) = (self.settings.retry_min, self.settings.retry_max);
        let Stage::Pulling(pull) = &mut self.firmware.stage else {
            return;
        };
        tracing::debug!(endpoint.name = %self.settings.name, uri = pull.uri, "A download breaks: {error}");
        let result = match error {
            FetchError::ConnectionLost(_) if pull.failures < RETRIES => {
                let wait = first.saturating_mul(2_u32.saturating_pow(pull.failures));
                pull.failures += 1;
                pull.next_at = Some(now.instant + wait.min(longest));
                return;
            }
            FetchError::ConnectionLost(_) | FetchError::Untrusted(_) => CONNECTION_LOST,
            FetchError::InvalidUri(_) => INVALID_URI,
            FetchError::UnsupportedProtocol(_) => UNSUPPORTED_PROTOCOL,
        };
        self.end_firmware(now, result);
    }

    fn take_piece(&mut self, now: Now, mut piece: Piece, outputs: &mut Vec<Output>) {
        let behaviour = self.behaviour();
        let Stage::Pulling(pull) = &mut self.firmware.stage else {
            return;
        };
        pull.failures = 0;
        let has = pull.received.size();
        // Pieces of two images never mix.
        if has > 0 && (piece.offset != has || piece.tag != pull.tag) {
            self.firmware.history.restarts += 1;
            pull.begin_anew();
            if pull.changes > CHANGES {
                return self.end_firmware(now, CONNECTION_LOST);
            }
        }
        if piece.offset != pull.received.size() {
            // From the beginning then.
            pull.next_at = Some(now.instant);
            let hang_up = pull.hang_up();
            return self.firmware.outputs.push_back(hang_up);
        }
        if pull.received.size() == 0 {
            pull.tag = piece.tag.take();
            pull.total = piece.total;
        }
        let reached = piece.offset + piece.bytes.len() as u64;
        let is_midway = is_half(reached, pull.total) && !pull.has_broken;
        if is_midway && piece.is_last && stops_midway(behaviour) {
            // An image of one piece has a middle too. Blocks begin at multiples of 16.
            piece.bytes.truncate((piece.bytes.len() / 2) & !15);
        }
        pull.received.take(&piece.bytes);
        let size = pull.received.size().max(pull.total.unwrap_or_default());
        if self.lacks_room(size).is_some() {
            return self.end_firmware(now, NO_STORAGE);
        }
        match behaviour {
            FirmwareBehaviour::UnsupportedImage => {
                return self.end_firmware(now, UNSUPPORTED_IMAGE);
            }
            FirmwareBehaviour::OutOfMemory if is_midway => {
                return self.end_firmware(now, OUT_OF_MEMORY);
            }
            FirmwareBehaviour::LostMidway(midway) if is_midway => {
                return self.break_off(now, midway, outputs);
            }
            _ => {}
        }
        let Stage::Pulling(pull) = &mut self.firmware.stage else {
            return;
        };
        if behaviour == FirmwareBehaviour::Stalls && is_midway {
            pull.next_at = None;
            return;
        }
        if !piece.is_last {
            pull.next_at = Some(match behaviour {
                FirmwareBehaviour::Slow(bytes_per_s) => {
                    let seconds = pull.received.size() as f64 / f64::from(bytes_per_s.max(1));
                    pull.begun_at + Duration::from_secs_f64(seconds)
                }
                _ => now.instant,
            });
            return;
        }
        if pull
            .total
            .is_some_and(|total| total != pull.received.size())
        {
            let error = FetchError::ConnectionLost("the image ends too early".to_owned());
            return self.fetch_failed(now, &error);
        }
        let (received, uri) = (
            std::mem::take(&mut pull.received),
            std::mem::take(&mut pull.uri),
        );
        let hang_up = pull.hang_up();
        self.firmware.outputs.push_back(hang_up);
        self.firmware.stage = Stage::Idle;
        self.arrived(now, received, Some(&uri), None);
    }

    fn break_off(&mut self, now: Now, midway: Midway, outputs: &mut Vec<Output>) {
        let Stage::Pulling(pull) = &mut self.firmware.stage else {
            return;
        };
        pull.has_broken = true;
        match midway {
            Midway::Reports => self.end_firmware(now, CONNECTION_LOST),
            Midway::Resumes(after) => {
                pull.next_at = Some(now.instant + after);
                let hang_up = pull.hang_up();
                self.firmware.outputs.push_back(hang_up);
            }
            Midway::Silent => self.fall_silent(now, outputs),
        }
    }
}

fn stops_midway(behaviour: FirmwareBehaviour) -> bool {
    matches!(
        behaviour,
        FirmwareBehaviour::LostMidway(_)
            | FirmwareBehaviour::OutOfMemory
            | FirmwareBehaviour::Stalls
    )
}

/// Where the image of a URI is; or the result that says that it is nowhere.
fn locate(uri: &str, base: Option<&str>, protocols: &[u8]) -> Result<String, i64> {
    if uri.starts_with('/') {
        return match base {
            // Asked in the session that the device has.
            None => Ok(uri.to_owned()),
            Some(base) => locate(
                &format!("{}{uri}", base.trim_end_matches('/')),
                None,
                protocols,
            ),
        };
    }
    let (scheme, rest) = uri.split_once("://").ok_or(INVALID_URI)?;
    let protocol = match scheme.to_ascii_lowercase().as_str() {
        "coap" => 0,
        "coaps" => 1,
        "http" => 2,
        "https" => 3,
        _ => return Err(UNSUPPORTED_PROTOCOL),
    };
    if !protocols.contains(&protocol) {
        return Err(UNSUPPORTED_PROTOCOL);
    }
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    match host.is_empty() || uri.contains(|c: char| c.is_whitespace() || c.is_control()) {
        true => Err(INVALID_URI),
        false => Ok(uri.to_owned()),
    }
}

/// Bytes of a piece.
const MOST: usize = 16_384;
/// What there is in CoAP (RFC 7959 section 2.2).
const LARGEST_BLOCK: usize = 1024;
/// So often it asks again for a piece that does not come.
const RETRIES: u32 = 6;
/// An image that changes more often than this is given up.
const CHANGES: u32 = 10;
/// For a server that cannot be reached.
const LOOKING: Duration = Duration::from_secs(1);
