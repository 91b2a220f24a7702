//! Measures a file before it is given to the XML parser, whose time and memory grow with the square
//! of the attributes of an element and of the namespaces in force.

use super::DdfError;

/// Refuses a text that no definition looks like and that would be expensive to parse. The counts
/// are of what looks like markup, also inside of comments; they are never too small.
pub(super) fn check(text: &str) -> Result<(), DdfError> {
    let (mut pieces, mut signs, mut namespaces) = (0_usize, 0_usize, 0_usize);
    // A piece is a tag with the text behind it: the value of an attribute holds no `<`.
    for piece in text.split('<') {
        pieces = pieces.saturating_add(1);
        let (mut attributes, mut rest) = (0_usize, piece);
        while let Some((before, after)) = rest.split_once('=') {
            signs = signs.saturating_add(1);
            if after.trim_start().starts_with(['"', '\'']) {
                attributes = attributes.saturating_add(1);
                let name = before
                    .trim_end()
                    .rsplit(|character: char| character.is_whitespace())
                    .next();
                if name.is_some_and(|name| name.contains("xmlns")) {
                    namespaces = namespaces.saturating_add(1);
                }
            }
            rest = after;
        }
        let excess = if pieces > MAX_TAGS {
            format!("more than {MAX_TAGS} tags")
        } else if signs > MAX_TAGS {
            format!("more than {MAX_TAGS} equals signs")
        } else if attributes > MAX_ATTRIBUTES {
            format!("an element with more than {MAX_ATTRIBUTES} attributes")
        } else if namespaces > MAX_NAMESPACES {
            format!("more than {MAX_NAMESPACES} declarations of namespaces")
        } else {
            continue;
        };
        return Err(DdfError::Syntax {
            line: line_of(text, piece),
            why: format!("the file has {excess}"),
        });
    }
    Ok(())
}

/// The line in which a part of the text begins, from 1.
fn line_of(text: &str, part: &str) -> u32 {
    let at = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    line_at(text, at)
}

/// The line of a place in the text, from 1.
pub(super) fn line_at(text: &str, at: usize) -> u32 {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let breaks = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks).unwrap_or(u32::MAX).saturating_add(1)
}

/// Tags of a file, both those that open and those that close; 2 for each of nine elements of a
/// resource is 18, so this is thousands of resources.
pub(super) const MAX_TAGS: usize = 100_000;
/// Attributes of an element: definitions have one or two.
const MAX_ATTRIBUTES: usize = 64;
/// Declarations of namespaces in a file: definitions have one or two.
const MAX_NAMESPACES: usize = 64;
