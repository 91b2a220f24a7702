//! What a device refused to speak, remembered so that it is not tried twice.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The content formats that a device refused, by their numbers in the CoAP registry.
///
/// Kept with the device until a Register announces another version or other formats, which may mean
/// new firmware. Bounded: at most [`RefusedFormats::MAX`] of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedFormats {
    /// Asked for in an answer (Accept) and refused with 4.06.
    pub accept: BTreeSet<u16>,
    /// Sent as a body (Content-Format) and refused with 4.15.
    pub content: BTreeSet<u16>,
}

impl RefusedFormats {
    /// Nothing was refused.
    pub const NONE: &'static Self = &Self {
        accept: BTreeSet::new(),
        content: BTreeSet::new(),
    };

    /// How many formats of each kind are remembered. There are ten; whoever refuses more than that
    /// refuses numbers that people gave.
    pub const MAX: usize = 16;

    /// Remembers a 4.06. False when that was known already, or when there is no room: trying once
    /// more would bring nothing new then.
    pub fn refuse_accept(&mut self, format: u16) -> bool {
        remember(&mut self.accept, format)
    }

    /// Remembers a 4.15. False as for [`RefusedFormats::refuse_accept`].
    pub fn refuse_content(&mut self, format: u16) -> bool {
        remember(&mut self.content, format)
    }

    /// True when nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.accept.is_empty() && self.content.is_empty()
    }
}

fn remember(formats: &mut BTreeSet<u16>, format: u16) -> bool {
    (formats.len() < RefusedFormats::MAX || formats.contains(&format)) && formats.insert(format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_remembered_once_and_for_its_direction() {
        let mut refused = RefusedFormats::default();
        assert!(refused.is_empty());
        assert!(refused.refuse_accept(112));
        assert!(!refused.refuse_accept(112), "known already");
        assert!(refused.refuse_content(112));
        assert!(!refused.is_empty());
        let text = serde_json::to_string(&refused).expect("JSON");
        assert_eq!(text, r#"{"accept":[112],"content":[112]}"#);
        assert_eq!(
            serde_json::from_str::<RefusedFormats>(&text).expect("the same"),
            refused
        );
        assert_eq!(
            &serde_json::from_str::<RefusedFormats>("{}").expect("nothing"),
            RefusedFormats::NONE
        );
    }

    #[test]
    fn the_memory_is_bounded() {
        let mut refused = RefusedFormats::default();
        let new = (0..1000)
            .filter(|format| refused.refuse_content(*format))
            .count();
        assert_eq!(new, RefusedFormats::MAX);
        assert_eq!(refused.content.len(), RefusedFormats::MAX);
        assert!(!refused.refuse_content(0), "known, and no room either");
    }
}
