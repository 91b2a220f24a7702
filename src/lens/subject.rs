//! What a request is about: the operation, and the paths.

use crate::coap::{Code, Message, number};
use crate::domain::{ContentFormat, Path};
use crate::lwm2m::codec;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Bootstrap,
    CancelObserve,
    Create,
    Delete,
    Deregister,
    Discover,
    /// The server is asked what it serves.
    Discovery,
    Execute,
    /// An image is fetched.
    Image,
    Observe,
    Read,
    Register,
    Send,
    /// Nothing of LwM2M.
    Unknown,
    Update,
    Write,
    WriteAttributes,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) what: What,
    /// What of the device it is about; several for a composite.
    pub(super) paths: Vec<Path>,
    /// True where the payload names the paths.
    pub(super) is_composite: bool,
}

impl Subject {
    /// That of a notification.
    pub(super) fn observed(paths: &[Path], is_composite: bool) -> Self {
        Self {
            what: What::Observe,
            paths: paths.to_vec(),
            is_composite,
        }
    }

    /// That of a request; `up`: of the device. `root`: what stands in front of the paths of the device.
    pub(super) fn of(up: bool, message: &Message, root: &str) -> Self {
        if up {
            return Self {
                what: asked_by_device(message),
                paths: Vec::new(),
                is_composite: false,
            };
        }
        let (what, is_composite) = asked_by_server(message);
        let paths = match message.code {
            Code::FETCH => {
                let format = message.options.content_format().unwrap_or_default();
                codec::decode_paths(format, &message.payload).unwrap_or_default()
            }
            Code::IPATCH => Vec::new(),
            _ => path(message, root).into_iter().collect(),
        };
        let what = match (what, paths.first().map(Path::depth)) {
            // A POST runs a resource, changes an instance, or makes one in an object.
            (What::Execute, Some(1)) => What::Create,
            (What::Execute, Some(2)) => What::Write,
            (What::Execute, Some(3)) => What::Execute,
            (_, None) if !is_composite => What::Unknown,
            (what, _) => what,
        };
        Self {
            what,
            paths,
            is_composite,
        }
    }

    /// The path that a payload is about; that of a composite names its own.
    pub(super) fn base(&self) -> Path {
        match self.paths.as_slice() {
            [path] if !self.is_composite => *path,
            _ => Path::ROOT,
        }
    }

    /// True for what belongs to firmware updates.
    pub(super) fn is_firmware(&self) -> bool {
        self.what == What::Image
            || (!self.paths.is_empty() && self.paths.iter().all(|path| path.object_id() == Some(5)))
    }

    /// True for a block of an image that is written.
    pub(super) fn is_package(&self) -> bool {
        let is_package = |path: &Path| path.object_id() == Some(5) && path.resource_id() == Some(0);
        self.what == What::Write && self.paths.iter().any(is_package)
    }
}

fn asked_by_device(message: &Message) -> What {
    let path = message.options.uri_path().unwrap_or_default();
    match (message.code, path.as_slice()) {
        (Code::POST, ["rd"]) => What::Register,
        (Code::POST, ["rd", _] | ["rd", _, ""]) => What::Update,
        (Code::DELETE, ["rd", _] | ["rd", _, ""]) => What::Deregister,
        (Code::POST, ["dp"]) => What::Send,
        (Code::POST, ["bs"]) => What::Bootstrap,
        (Code::GET, [".well-known", "core"]) => What::Discovery,
        (Code::GET, ["binaries", ..]) => What::Image,
        _ => What::Unknown,
    }
}

/// What is asked by the method, and whether it is a composite.
fn asked_by_server(message: &Message) -> (What, bool) {
    let is_composite = matches!(message.code, Code::FETCH | Code::IPATCH);
    let what = match (message.code, message.options.observe()) {
        (Code::GET | Code::FETCH, Some(0)) => What::Observe,
        (Code::GET | Code::FETCH, Some(_)) => What::CancelObserve,
        (Code::GET, None) if message.options.accept() == Some(LINK_FORMAT) => What::Discover,
        (Code::GET | Code::FETCH, None) => What::Read,
        (Code::PUT, _)
            if message.payload.is_empty() && message.options.first(number::URI_QUERY).is_some() =>
        {
            What::WriteAttributes
        }
        (Code::PUT | Code::IPATCH, _) => What::Write,
        (Code::POST, _) => What::Execute,
        (Code::DELETE, _) => What::Delete,
        _ => What::Unknown,
    };
    (what, is_composite)
}

/// The path behind the root of the device.
fn path(message: &Message, root: &str) -> Option<Path> {
    let segments = message.options.uri_path()?;
    let mut segments = segments.as_slice();
    for part in root.split('/').filter(|part| !part.is_empty()) {
        if let [first, rest @ ..] = segments
            && *first == part
        {
            segments = rest;
        }
    }
    let ids: Option<Vec<u16>> = segments
        .iter()
        .filter(|segment| !segment.is_empty())
        .map(|segment| segment.parse().ok())
        .collect();
    Path::from_ids(&ids?)
}

/// The content format in which a payload is, where it does not say: what 1.0 devices mean by nothing.
pub(super) fn usual_format(base: &Path) -> u16 {
    match base.depth() {
        0..3 => ContentFormat::Tlv.code(),
        _ => ContentFormat::Text.code(),
    }
}

/// application/link-format
pub(super) const LINK_FORMAT: u16 = 40;
