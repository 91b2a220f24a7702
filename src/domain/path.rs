//! LwM2M paths of zero to four levels (OMA-TS-LightweightM2M Core 7.3).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A path: `/` (root), `/3` (object), `/3/0` (object instance), `/3/0/7` (resource) or `/3/0/7/1`
/// (resource instance). Each id is 0 to 65534; 65535 is reserved by the specification.
///
/// Paths are ordered level by level, a path before everything below it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Path {
    len: u8,
    ids: [u16; 4],
}

impl Path {
    /// The path that contains every other.
    pub const ROOT: Self = Self {
        len: 0,
        ids: [0; 4],
    };

    /// The largest id that may be used on any level.
    pub const MAX_ID: u16 = 65_534;

    /// A path of these ids, or nothing when there are more than four or one is reserved.
    pub fn from_ids(ids: &[u16]) -> Option<Self> {
        let mut path = Self {
            len: u8::try_from(ids.len()).ok()?,
            ids: [0; 4],
        };
        path.ids.get_mut(..ids.len())?.copy_from_slice(ids);
        ids.iter().all(|id| *id <= Self::MAX_ID).then_some(path)
    }

    /// `/object`
    pub const fn object(object: u16) -> Self {
        Self {
            len: 1,
            ids: [object, 0, 0, 0],
        }
    }

    /// `/object/instance`
    pub const fn instance(object: u16, instance: u16) -> Self {
        Self {
            len: 2,
            ids: [object, instance, 0, 0],
        }
    }

    /// `/object/instance/resource`
    pub const fn resource(object: u16, instance: u16, resource: u16) -> Self {
        Self {
            len: 3,
            ids: [object, instance, resource, 0],
        }
    }

    /// `/object/instance/resource/resource instance`
    pub const fn resource_instance(object: u16, instance: u16, resource: u16, id: u16) -> Self {
        Self {
            len: 4,
            ids: [object, instance, resource, id],
        }
    }

    /// The ids from the object down; empty for the root.
    pub fn ids(&self) -> &[u16] {
        self.ids.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// How many levels the path has, 0 to 4.
    pub fn depth(&self) -> usize {
        usize::from(self.len)
    }

    /// The object id, unless this is the root.
    pub fn object_id(&self) -> Option<u16> {
        self.ids().first().copied()
    }

    /// The object instance id, if the path goes that deep.
    pub fn instance_id(&self) -> Option<u16> {
        self.ids().get(1).copied()
    }

    /// The resource id, if the path goes that deep.
    pub fn resource_id(&self) -> Option<u16> {
        self.ids().get(2).copied()
    }

    /// The resource instance id, if the path goes that deep.
    pub fn resource_instance_id(&self) -> Option<u16> {
        self.ids().get(3).copied()
    }

    /// The path one level down, or nothing below a resource instance or with a reserved id.
    pub fn child(&self, id: u16) -> Option<Self> {
        if id > Self::MAX_ID {
            return None;
        }
        let mut path = *self;
        *path.ids.get_mut(usize::from(self.len))? = id;
        path.len = path.len.checked_add(1)?;
        Some(path)
    }

    /// The path one level up; the root is its own parent.
    pub fn parent(&self) -> Self {
        self.truncated(self.depth().saturating_sub(1))
    }

    /// The first `depth` levels of this path.
    pub fn truncated(&self, depth: usize) -> Self {
        let depth = depth.min(self.depth());
        Self::from_ids(self.ids().get(..depth).unwrap_or(&[])).unwrap_or(Self::ROOT)
    }

    /// True when `other` is this path or lies below it.
    pub fn contains(&self, other: &Self) -> bool {
        other.ids().starts_with(self.ids())
    }
}

impl Ord for Path {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.ids().cmp(other.ids())
    }
}

impl PartialOrd for Path {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.len == 0 {
            return f.write_str("/");
        }
        for id in self.ids() {
            write!(f, "/{id}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Path {
    type Err = InvalidPath;

    /// Reads `/3/0/0`; the leading slash may be missing, one trailing slash is forgiven.
    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return if text == "/" {
                Ok(Self::ROOT)
            } else {
                Err(InvalidPath::new(text, "it is empty"))
            };
        }
        let mut path = Self::ROOT;
        for segment in inner.as_bytes().split(|byte| *byte == b'/') {
            let id = number(segment)
                .ok_or_else(|| InvalidPath::new(text, "each level is a number from 0 to 65534"))?;
            if id > Self::MAX_ID {
                return Err(InvalidPath::new(text, "id 65535 is reserved"));
            }
            path = path
                .child(id)
                .ok_or_else(|| InvalidPath::new(text, "it has more than four levels"))?;
        }
        Ok(path)
    }
}

/// Digits without a zero in front.
fn number(digits: &[u8]) -> Option<u16> {
    if let [] | [b'0', _, ..] = digits {
        return None;
    }
    digits.iter().try_fold(0_u16, |sum, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        sum.checked_mul(10)?.checked_add(u16::try_from(digit).ok()?)
    })
}

/// Text for people, the ids in binary formats.
impl Serialize for Path {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !serializer.is_human_readable() {
            return self.ids().serialize(serializer);
        }
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if !deserializer.is_human_readable() {
            let ids = Vec::<u16>::deserialize(deserializer)?;
            return Self::from_ids(&ids)
                .ok_or_else(|| serde::de::Error::custom("these ids are no path"));
        }
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Why a text is no LwM2M path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no LwM2M path: {reason}")]
pub struct InvalidPath {
    text: String,
    reason: &'static str,
}

impl InvalidPath {
    fn new(text: &str, reason: &'static str) -> Self {
        Self {
            text: text.chars().take(64).collect(),
            reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q3_paths_of_every_depth_survive_text() {
        for text in [
            "/",
            "/3",
            "/3/0",
            "/3/0/7",
            "/3/0/7/1",
            "/65534/65534/65534/65534",
        ] {
            let path: Path = text.parse().expect(text);
            assert_eq!(path.to_string(), text);
        }
        assert_eq!("3/0/".parse(), Ok(Path::instance(3, 0)));
    }

    #[test]
    fn q3_what_is_no_path_is_refused_with_its_text() {
        for text in [
            "",
            "//",
            "/3//0",
            "/a",
            "/-1",
            "/+1",
            "/03",
            "/65535",
            "/65536",
            "/1/2/3/4/5",
            "/3 ",
        ] {
            let error = text.parse::<Path>().expect_err(text);
            assert!(error.to_string().contains(text), "{error}");
        }
    }

    #[test]
    fn a_path_sorts_before_everything_below_it() {
        let mut paths: Vec<Path> = ["/3/0/1", "/3", "/10", "/3/0", "/"]
            .iter()
            .map(|text| text.parse().expect(text))
            .collect();
        paths.sort();
        let sorted: Vec<String> = paths.iter().map(Path::to_string).collect();
        assert_eq!(sorted, ["/", "/3", "/3/0", "/3/0/1", "/10"]);
        assert!(Path::object(3).contains(&Path::resource(3, 0, 1)));
        assert!(!Path::object(3).contains(&Path::ROOT));
    }
}
