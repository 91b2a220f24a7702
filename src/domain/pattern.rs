//! Paths with gaps: `/3303/*/5700` is the value of every temperature sensor.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::path::Path;

/// A path of one to four levels, of which each may be `*` for any id. It fits a path when the path
/// begins with it: `/3303` fits every resource of every temperature sensor, `/3/0/7` every instance
/// of that resource.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PathPattern {
    len: u8,
    /// [`ANY`] stands for `*`.
    ids: [u16; 4],
}

/// The id that no path has.
const ANY: u16 = u16::MAX;

impl PathPattern {
    /// The pattern that fits this path and what lies below it; nothing for the root.
    pub fn of(path: &Path) -> Option<Self> {
        let mut ids = [0; 4];
        ids.get_mut(..path.depth())?.copy_from_slice(path.ids());
        let len = u8::try_from(path.depth()).ok().filter(|len| *len > 0)?;
        Some(Self { len, ids })
    }

    /// True for this path and everything below it.
    pub fn fits(&self, path: &Path) -> bool {
        path.depth() >= self.levels().len() && self.may_lie_below(path)
    }

    /// True when something that fits can lie at this path, below it or above it.
    pub fn may_lie_below(&self, path: &Path) -> bool {
        self.levels()
            .iter()
            .zip(path.ids())
            .all(|(wanted, id)| *wanted == ANY || wanted == id)
    }

    /// How many levels it has, 1 to 4.
    pub fn depth(&self) -> usize {
        self.levels().len()
    }

    /// The path, when no level is `*`.
    pub fn path(&self) -> Option<Path> {
        Path::from_ids(self.levels())
    }

    /// The levels in front of the first `*`; at least the root.
    pub fn stem(&self) -> Path {
        let fixed = self.levels().iter().take_while(|id| **id != ANY).count();
        Path::from_ids(self.levels().get(..fixed).unwrap_or(&[])).unwrap_or(Path::ROOT)
    }

    /// The first levels of this pattern, at least one.
    #[must_use]
    pub fn truncated(&self, depth: u8) -> Self {
        let len = self.len.min(depth.max(1));
        let mut ids = [0; 4];
        for (to, from) in ids.iter_mut().zip(self.levels()).take(usize::from(len)) {
            *to = *from;
        }
        Self { len, ids }
    }

    fn levels(&self) -> &[u16] {
        self.ids.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for id in self.levels() {
            if *id == ANY {
                f.write_str("/*")?;
            } else {
                write!(f, "/{id}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PathPattern {
    type Err = String;

    /// Reads `/3303/*/5700`; the leading slash may be missing, one trailing slash is forgiven.
    fn from_str(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(64).collect();
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let mut pattern = Self {
            len: 0,
            ids: [0; 4],
        };
        for level in inner.split('/') {
            let id = if level == "*" {
                ANY
            } else {
                // A path of one level has all the rules that an id must keep.
                level
                    .parse::<Path>()
                    .ok()
                    .filter(|path| path.depth() == 1)
                    .and_then(|path| path.object_id())
                    .ok_or_else(|| {
                        format!(
                            "`{shown}` is no path: each level is a number from 0 to 65534, or `*`"
                        )
                    })?
            };
            let place = pattern
                .ids
                .get_mut(usize::from(pattern.len))
                .ok_or_else(|| format!("`{shown}` has more than four levels"))?;
            *place = id;
            pattern.len = pattern.len.saturating_add(1);
        }
        Ok(pattern)
    }
}

impl Serialize for PathPattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PathPattern {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        text.parse().expect(text)
    }

    fn path(text: &str) -> Path {
        text.parse().expect(text)
    }

    #[test]
    fn a_star_fits_every_id_and_a_short_pattern_everything_below_it() {
        for (wanted, at, fits) in [
            ("/3303/*/5700", "/3303/7/5700", true),
            ("/3303/*/5700", "/3303/7/5701", false),
            ("/3303/*/5700", "/3303/7", false),
            ("/3303", "/3303/0/5700", true),
            ("/3303", "/3304/0/5700", false),
            ("/3/0/7", "/3/0/7/1", true),
            ("/*/*/*/1", "/3/0/7/1", true),
            ("/*/*/*/1", "/3/0/7", false),
            ("/*", "/3/0/7", true),
        ] {
            assert_eq!(pattern(wanted).fits(&path(at)), fits, "{wanted} on {at}");
        }
        assert!(pattern("/3303/*/5700").may_lie_below(&path("/3303")));
        assert!(pattern("/3303/*/5700").may_lie_below(&path("/3303/4")));
        assert!(!pattern("/3303/1/5700").may_lie_below(&path("/3303/4")));
    }

    #[test]
    fn patterns_survive_text_and_what_is_none_is_refused() {
        for text in ["/3303/*/5700", "/*", "/1/2/3/4", "/65534"] {
            assert_eq!(pattern(text).to_string(), text);
        }
        assert_eq!(pattern("3303/*/"), pattern("/3303/*"));
        for text in [
            "",
            "/",
            "//",
            "/65535",
            "/1/2/3/4/5",
            "/a",
            "/**",
            "/3303/ *",
            "/03",
        ] {
            assert!(text.parse::<PathPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_lies_in_front_of_the_first_star_is_its_stem() {
        for (text, stem) in [
            ("/3303/*/5700", "/3303"),
            ("/*/0", "/"),
            ("/3/0/7", "/3/0/7"),
        ] {
            assert_eq!(pattern(text).stem(), path(stem), "{text}");
        }
        assert_eq!(pattern("/3303/*/5700").truncated(2), pattern("/3303/*"));
        assert_eq!(pattern("/3303/0/5700").path(), Some(path("/3303/0/5700")));
        assert_eq!(pattern("/3303/*/5700").path(), None);
        assert_eq!(PathPattern::of(&Path::ROOT), None);
    }
}
