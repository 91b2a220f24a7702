//! What is counted of downloads over HTTPS.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// What is counted of downloads over HTTPS.
#[derive(Clone, Debug, Default)]
pub struct DownloadMetrics {
    pub(super) connections: Gauge,
    handshakes: Family<Labels, Counter>,
    requests: Family<Labels, Counter>,
    bytes: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    result: &'static str,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The whole image went out.
    Whole,
    /// The part that was asked for went out.
    Part,
    /// The connection ended before, or the file could not be read.
    Broken,
    /// Only the head was asked for.
    Head,
    /// The client has it.
    NotModified,
    /// The client wants another one than is there.
    PreconditionFailed,
    /// A range behind the end.
    RangeNotSatisfiable,
    /// No image has this name.
    NotFound,
    /// Neither GET nor HEAD.
    MethodNotAllowed,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Part => "part",
            Self::Broken => "broken",
            Self::Head => "head",
            Self::NotModified => "not_modified",
            Self::PreconditionFailed => "precondition_failed",
            Self::RangeNotSatisfiable => "range_not_satisfiable",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
        }
    }
}

/// What became of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handshake {
    Done,
    Failed,
    TimedOut,
}

impl Handshake {
    fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

impl DownloadMetrics {
    /// Makes them known to `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let downloads = registry.sub_registry_with_prefix("flownexus_firmware_download");
        downloads.register(
            "connections",
            "Connections of HTTPS, handshakes included",
            self.connections.clone(),
        );
        downloads.register(
            "handshakes",
            "TLS handshakes that are over",
            self.handshakes.clone(),
        );
        downloads.register(
            "requests",
            "Requests over HTTPS that are over, by what became of them",
            self.requests.clone(),
        );
        downloads.register_with_unit(
            "sent",
            "What of images was handed to the network over HTTPS",
            Unit::Bytes,
            self.bytes.clone(),
        );
    }

    pub(super) fn handshake(&self, result: Handshake) {
        let result = result.name();
        self.handshakes.get_or_create(&Labels { result }).inc();
    }

    pub(super) fn request(&self, result: Outcome) {
        let result = result.name();
        self.requests.get_or_create(&Labels { result }).inc();
    }

    pub(super) fn sent(&self, bytes: u64) {
        self.bytes.inc_by(bytes);
    }
}
