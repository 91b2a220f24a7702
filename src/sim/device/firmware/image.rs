//! An image on its way: hashed as it comes, and never kept. Only its first line is, which may say what it
//! is.

use sha2::{Digest as _, Sha256};

/// What has come of an image so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Received {
    whole: Sha256,
    /// Everything behind the first line, when that says a hash of it.
    behind: Option<Sha256>,
    line: Vec<u8>,
    is_behind: bool,
    size: u64,
}

/// An image that came wholly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Image {
    /// What a device runs that has installed it.
    pub(super) version: String,
    /// Of its file.
    pub(super) name: String,
    /// In hexadecimal.
    pub(super) sha256: String,
    pub(super) size: u64,
    /// False when its first line says another hash of what follows.
    pub(super) is_intact: bool,
}

impl Received {
    /// Bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The next bytes.
    pub(super) fn take(&mut self, bytes: &[u8]) {
        self.whole.update(bytes);
        self.size += bytes.len() as u64;
        if self.is_behind {
            if let Some(behind) = &mut self.behind {
                behind.update(bytes);
            }
            return;
        }
        let room = LONGEST_LINE - self.line.len();
        let looked_at = bytes.get(..room).unwrap_or(bytes);
        match looked_at.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                self.line.extend_from_slice(&bytes[..at]);
                self.is_behind = true;
                if self.said().is_some_and(|(_, expected)| expected.is_some()) {
                    self.behind = Some(Sha256::new_with_prefix(&bytes[at + 1..]));
                }
            }
            None if bytes.len() < room => self.line.extend_from_slice(bytes),
            // An image that does not say what it is.
            None => {
                self.line = Vec::new();
                self.is_behind = true;
            }
        }
    }

    /// It came wholly, from this URI; none: it was pushed.
    pub(super) fn finish(self, uri: Option<&str>) -> Image {
        let file = uri.map(file_name).filter(|name| !name.is_empty());
        let sha256 = hex::encode(self.whole.clone().finalize());
        let behind = self.behind.clone();
        let behind = behind.map(|behind| hex::encode(behind.finalize()));
        let (version, expected) = match self.said() {
            Some((version, expected)) => (version.to_owned(), expected),
            None => {
                let version = file.map_or_else(
                    || format!("pushed-{}", sha256.get(..8).unwrap_or_default()),
                    |file| version_in(file).to_owned(),
                );
                (version, None)
            }
        };
        Image {
            name: file.unwrap_or(PUSHED).to_owned(),
            is_intact: behind.is_none_or(|behind| {
                expected.is_none_or(|expected| expected.eq_ignore_ascii_case(&behind))
            }),
            version,
            sha256,
            size: self.size,
        }
    }

    /// What the first line says.
    fn said(&self) -> Option<(&str, Option<&str>)> {
        let line = self.is_behind.then_some(&self.line)?;
        header(std::str::from_utf8(line).ok()?)
    }
}

/// `flownexus-image VERSION` or `flownexus-image VERSION sha256=HEX`: the version, and the hash of what
/// follows.
fn header(line: &str) -> Option<(&str, Option<&str>)> {
    let mut words = line.strip_prefix(MARK)?.split_ascii_whitespace();
    let version = words
        .next()
        .filter(|version| version.len() <= LONGEST_VERSION)?;
    let expected = match words.next() {
        None => None,
        Some(word) => Some(word.strip_prefix("sha256=")?),
    };
    words.next().is_none().then_some((version, expected))
}

/// What follows the last slash of the path.
fn file_name(uri: &str) -> &str {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// `v0.1.0.bin` is 0.1.0.
fn version_in(file: &str) -> &str {
    let stem = file.strip_suffix(".bin").unwrap_or(file);
    let bare = stem.strip_prefix('v').filter(|rest| !rest.is_empty());
    bare.unwrap_or(stem)
}

const MARK: &str = "flownexus-image ";
/// Of a pushed image: it has no name.
const PUSHED: &str = "pushed image";
/// A first line beyond this is part of the image.
const LONGEST_LINE: usize = 256;
const LONGEST_VERSION: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn image(bytes: &[u8], step: usize, uri: Option<&str>) -> Image {
        let mut received = Received::default();
        for part in bytes.chunks(step) {
            received.take(part);
        }
        assert_eq!(received.size(), bytes.len() as u64);
        received.finish(uri)
    }

    fn sha256(bytes: &[u8]) -> String {
        hex::encode(Sha256::digest(bytes))
    }

    #[test]
    fn the_first_line_says_what_it_is_however_it_comes() {
        let body = b"\x00\x01\n\nrest".repeat(100);
        let plain = [b"flownexus-image 2.0.0-rc1\n", body.as_slice()].concat();
        let hashed = format!("flownexus-image 2.0.0-rc1 sha256={}\n", sha256(&body));
        let hashed = [hashed.as_bytes(), &body].concat();
        for (bytes, step) in [(&plain, 1), (&plain, 4096), (&hashed, 7), (&hashed, 600)] {
            let image = image(bytes, step, Some("/binaries/v1.bin"));
            assert_eq!(image.version, "2.0.0-rc1");
            assert_eq!(image.name, "v1.bin");
            assert_eq!(image.sha256, sha256(bytes));
            assert!(image.is_intact);
        }
        let mut changed = hashed;
        *changed.last_mut().expect("bytes") ^= 1;
        let changed = image(&changed, 16, None);
        assert_eq!(
            (changed.version.as_str(), changed.is_intact),
            ("2.0.0-rc1", false)
        );
    }

    #[test]
    fn without_such_a_line_the_name_or_the_hash_says_it() {
        let noise = [b'x'; 1000];
        for (uri, version) in [
            ("/binaries/v0.1.0.bin", "0.1.0"),
            ("https://fw.example.com/a/b/7.2?token=1", "7.2"),
            ("coap://host/v.bin", "v"),
            ("/zephyr.bin", "zephyr"),
        ] {
            for bytes in [&noise[..], b"flownexus-image\n", b"short", b""] {
                assert_eq!(image(bytes, 100, Some(uri)).version, version);
            }
        }
        let pushed = image(&noise, 64, None);
        assert_eq!(pushed.version, format!("pushed-{}", &sha256(&noise)[..8]));
        assert_eq!(pushed.name, "pushed image");
        let unsure = image(b"flownexus-image 1.0 sha256", 64, Some("/v3.bin"));
        assert_eq!(unsure.version, "3", "a line without an end is none");
    }
}
