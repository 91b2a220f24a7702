//! Firmware: where images are served, how large they may be, and how long updates may take.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// See `[firmware]` in `config/default.toml`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "each key is described in config/default.toml")]
pub struct Firmware {
    pub enabled: bool,
    pub listen: SocketAddr,
    pub uri: FirmwareUri,
    pub host: String,
    pub names: FirmwareNames,
    pub max_downloads: usize,
    pub request_timeout_s: u64,
    pub idle_timeout_s: u64,
    pub send_buffer_bytes: usize,
    pub max_image_bytes: u64,
    pub max_images: u64,
    pub reload_s: u64,
    pub wait_for_device_s: u64,
    pub start_timeout_s: u64,
    pub stall_timeout_s: u64,
    pub install_timeout_s: u64,
    pub report_timeout_s: u64,
    pub tries: u32,
    pub push_block_bytes: usize,
}

/// What is written to 5/0/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirmwareUri {
    /// `https://HOST:PORT/binaries/NAME`.
    Absolute,
    /// `/binaries/NAME`: the device knows the host.
    Relative,
}

/// Under which names images are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirmwareNames {
    /// `/binaries/NAME`.
    Plain,
    /// `/binaries/KEY/NAME`, the key 128 random bits.
    Unguessable,
}

impl Firmware {
    /// The first setting that makes no sense, by its key, and why.
    pub(super) fn wrong(&self) -> Option<(&'static str, String)> {
        const LARGEST: u64 = 1024 * 1024 * 1024;
        let block = self.push_block_bytes;
        let limits = [
            (
                "firmware.max_image_bytes",
                (1..=LARGEST).contains(&self.max_image_bytes),
                "must be from 1 to 1073741824: what goes in blocks of 1,024 bytes has at most 1,048,576 of them",
            ),
            (
                "firmware.max_downloads",
                self.max_downloads > 0,
                "must be at least 1",
            ),
            (
                "firmware.request_timeout_s",
                self.request_timeout_s > 0,
                "must be at least 1",
            ),
            (
                "firmware.idle_timeout_s",
                self.idle_timeout_s > 0,
                "must be at least 1",
            ),
            (
                "firmware.send_buffer_bytes",
                (4096..=16_777_216).contains(&self.send_buffer_bytes),
                "must be from 4096 to 16777216",
            ),
            (
                "firmware.max_images",
                self.max_images > 0,
                "must be at least 1",
            ),
            (
                "firmware.wait_for_device_s",
                self.wait_for_device_s > 0,
                "must be at least 1",
            ),
            (
                "firmware.start_timeout_s",
                self.start_timeout_s > 0,
                "must be at least 1",
            ),
            (
                "firmware.stall_timeout_s",
                self.stall_timeout_s > 0,
                "must be at least 1",
            ),
            (
                "firmware.install_timeout_s",
                self.install_timeout_s > 0,
                "must be at least 1",
            ),
            (
                "firmware.report_timeout_s",
                self.report_timeout_s > 0,
                "must be at least 1",
            ),
            (
                "firmware.tries",
                (1..=100).contains(&self.tries),
                "must be from 1 to 100",
            ),
            (
                "firmware.push_block_bytes",
                block.is_power_of_two() && (16..=1024).contains(&block),
                "must be 16, 32, 64, 128, 256, 512 or 1024",
            ),
            (
                "firmware.host",
                !self.host.contains(['/', '@', ' ']) && self.host.len() <= 100,
                "must be a name or an address, with a port or without, of at most 100 bytes",
            ),
        ];
        let (key, _, reason) = limits.into_iter().find(|(_, is_right, _)| !is_right)?;
        Some((key, reason.to_owned()))
    }
}
