//! Which devices something is for: chosen by name and by tag.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ids::EndpointName;

/// A choice of devices, for observation templates, rules and whatever else is meant for a part of
/// the fleet. An empty one means every device.
///
/// In JSON: `{"names": ["urn:imei:35*"], "tags": ["lab"]}`; either may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// Patterns of names, of which one must fit: `*` stands for any text, `?` for one character.
    /// Without any, every name fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Tags, all of which the device must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

impl Selection {
    /// The largest number of patterns, and of tags.
    pub const MAX_ENTRIES: usize = 64;
    /// The longest pattern, in bytes.
    pub const MAX_PATTERN_BYTES: usize = EndpointName::MAX_BYTES;
    /// The longest tag, in bytes.
    pub const MAX_TAG_BYTES: usize = 64;

    /// True when every device is meant.
    pub fn is_everyone(&self) -> bool {
        self.names.is_empty() && self.tags.is_empty()
    }

    /// True when a device of this name with these tags is meant.
    pub fn selects(&self, name: &EndpointName, tags: &[String]) -> bool {
        let named = self.names.is_empty()
            || self
                .names
                .iter()
                .any(|pattern| fits(pattern, name.as_str()));
        named && self.tags.iter().all(|tag| tags.contains(tag))
    }

    /// Checks the sizes and every tag.
    ///
    /// # Errors
    /// Says which entry cannot be used, and why.
    pub fn check(&self) -> Result<(), String> {
        let limit = Self::MAX_ENTRIES;
        if self.names.len() > limit || self.tags.len() > limit {
            return Err(format!(
                "at most {limit} names and {limit} tags can be given"
            ));
        }
        for pattern in &self.names {
            if pattern.is_empty() || pattern.len() > Self::MAX_PATTERN_BYTES {
                let longest = Self::MAX_PATTERN_BYTES;
                return Err(format!(
                    "a pattern of names has 1 to {longest} bytes, `{pattern}` has {}",
                    pattern.len()
                ));
            }
        }
        self.tags.iter().try_for_each(|tag| check_tag(tag))
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_everyone() {
            return f.write_str("every device");
        }
        let mut parts = self.names.clone();
        parts.extend(self.tags.iter().map(|tag| format!("#{tag}")));
        f.write_str(&parts.join(" "))
    }
}

/// Checks one tag: 1 to [`Selection::MAX_TAG_BYTES`] bytes of letters, digits, `-`, `_`, `.` and
/// `:`.
///
/// # Errors
/// Says why it cannot be used.
pub fn check_tag(tag: &str) -> Result<(), String> {
    let longest = Selection::MAX_TAG_BYTES;
    if tag.is_empty() || tag.len() > longest {
        return Err(format!(
            "a tag has 1 to {longest} bytes, `{tag}` has {}",
            tag.len()
        ));
    }
    let legal = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    match tag.chars().find(|c| !legal(*c)) {
        Some(c) => Err(format!(
            "a tag is made of letters, digits, `-`, `_`, `.` and `:`, but `{tag}` has {c:?}"
        )),
        None => Ok(()),
    }
}

/// True when the text fits the pattern. Takes time proportional to the product of both lengths at
/// most, whatever the pattern.
fn fits(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where the last `*` stands, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while at_text < text.len() {
        match pattern.get(at_pattern) {
            Some('*') => {
                star = Some((at_pattern, at_text));
                at_pattern += 1;
            }
            Some(c) if *c == '?' || text.get(at_text) == Some(c) => {
                at_pattern += 1;
                at_text += 1;
            }
            _ => {
                let Some((pattern_star, taken)) = star else {
                    return false;
                };
                star = Some((pattern_star, taken + 1));
                at_pattern = pattern_star + 1;
                at_text = taken + 1;
            }
        }
    }
    pattern
        .iter()
        .skip(at_pattern)
        .all(|character| *character == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> EndpointName {
        EndpointName::new(text).expect("a name")
    }

    fn selection(names: &[&str], tags: &[&str]) -> Selection {
        let owned = |texts: &[&str]| texts.iter().map(ToString::to_string).collect();
        Selection {
            names: owned(names),
            tags: owned(tags),
        }
    }

    #[test]
    fn an_empty_selection_means_every_device() {
        assert!(Selection::default().selects(&name("thing"), &[]));
        assert!(Selection::default().is_everyone());
    }

    #[test]
    fn one_of_the_names_must_fit_and_all_of_the_tags() {
        let lab = ["lab".to_owned(), "cold".to_owned()];
        let selected = selection(&["a*", "b?"], &["lab"]);
        assert!(selected.selects(&name("alpha"), &lab));
        assert!(selected.selects(&name("b1"), &lab));
        assert!(!selected.selects(&name("b12"), &lab));
        assert!(!selected.selects(&name("alpha"), &[]));
        assert!(!selection(&[], &["lab", "hot"]).selects(&name("alpha"), &lab));
    }

    #[test]
    fn stars_take_as_much_as_is_needed() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("urn:imei:*", "urn:imei:35", true),
            ("*35", "urn:imei:3535", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?", "", false),
            ("grün?", "grüne", true),
            ("***x", "aax", true),
        ] {
            assert_eq!(fits(pattern, text), expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_not_slow() {
        let pattern = "*a".repeat(100);
        let text = format!("{}{}", "a".repeat(99), "b".repeat(150));
        assert!(!fits(&pattern, &text));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let error = selection(&[], &["a b"]).check().expect_err("a space");
        assert!(error.contains("`a b`"), "{error}");
        assert!(selection(&[""], &[]).check().is_err());
        assert!(selection(&["*"], &["rack-3.b"]).check().is_ok());
        assert_eq!(selection(&["a*"], &["lab"]).to_string(), "a* #lab");
    }
}
