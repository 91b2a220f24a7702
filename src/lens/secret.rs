//! What must not be shown: keys, passwords, and names that are good because nobody can guess them.
//!
//! Of a message that holds something secret the sentence and the list of values leave that out, and in its bytes the
//! whole payload is zeros of the same length, in pcap files too. What cannot be read is taken for secret where it
//! could be.

use crate::coap::{Code, Datagram, number};
use crate::domain::{Path, Value};
use crate::lwm2m::{ModelView, ResourceModel};

/// What stands for something secret.
pub(super) const MASK: &str = "•••";

/// True for a resource that holds something secret: by its number where OMA says so, by the name of its model
/// elsewhere.
pub(super) fn is_secret(path: &Path, view: ModelView<'_>) -> bool {
    let (Some(object), Some(resource)) = (path.object_id(), path.resource_id()) else {
        return false;
    };
    is_known(object, resource) || view.at(path).is_some_and(is_named_so)
}

/// True where a resource at or below the path is secret.
pub(super) fn may_hold(path: &Path, view: ModelView<'_>) -> bool {
    let Some(object) = path.object_id() else {
        return true;
    };
    if path.resource_id().is_some() {
        return is_secret(path, view);
    }
    KNOWN.iter().any(|(known, _)| *known == object)
        || view
            .object(object)
            .is_some_and(|model| model.resources.values().any(is_named_so))
}

fn is_known(object: u16, resource: u16) -> bool {
    KNOWN
        .iter()
        .any(|(known, resources)| *known == object && resources.contains(&resource))
}

/// By the name of a model, also of one that somebody has uploaded.
fn is_named_so(model: &ResourceModel) -> bool {
    let name = model.name.to_lowercase();
    if ["key index", "key type", "key length"]
        .iter()
        .any(|harmless| name.contains(harmless))
    {
        return false;
    }
    ["secret", "password", "passphrase", "passcode", "credential"]
        .iter()
        .any(|word| name.contains(word))
        || name
            .split(|c: char| !c.is_alphanumeric())
            .any(|word| matches!(word, "key" | "keys" | "psk"))
}

/// A value as it may be shown; none when it must not be.
pub(super) fn shown(path: &Path, value: &Value, view: ModelView<'_>) -> Option<String> {
    if is_secret(path, view) {
        return None;
    }
    if is_package_uri(path) {
        return Some(without_name(&value.to_string()));
    }
    Some(value.to_string())
}

/// True for 5/x/1: where an image lies, with a name that nobody can guess.
pub(super) fn is_package_uri(path: &Path) -> bool {
    path.object_id() == Some(5) && path.resource_id() == Some(1)
}

/// A URI without what is behind its host.
fn without_name(uri: &str) -> String {
    let host = uri.find("://").map_or(0, |at| at + 3);
    let rest = uri.get(host..).unwrap_or_default();
    let end = rest.find('/').map_or(uri.len(), |at| host + at);
    match uri.get(..end) {
        Some(before) if end < uri.len() => format!("{before}/{MASK}"),
        _ => uri.to_owned(),
    }
}

/// The option whose values are a path: of a request where it goes, of an answer where something is from now on.
pub(super) fn path_option(code: Code) -> u16 {
    match code.is_request() {
        true => number::URI_PATH,
        false => number::LOCATION_PATH,
    }
}

/// True for a segment that is good because nobody can guess it: the name of an image behind `binaries`, and the id of
/// a registration behind `rd`, by which anybody could speak for a device on plain CoAP.
pub(super) fn is_unguessable(path: &[&[u8]], segment: usize) -> bool {
    let first = path.first().copied().unwrap_or_default();
    segment > 0 && matches!(first, b"binaries" | b"rd")
}

/// The bytes of a message without what is secret in it; `hides_payload`: the payload is.
pub(super) fn masked(bytes: &[u8], hides_payload: bool) -> Vec<u8> {
    let mut masked = bytes.to_vec();
    let Ok(message) = Datagram::read(bytes) else {
        // Nobody can say what it was meant to be.
        blank(&mut masked, HEAD..bytes.len());
        return masked;
    };
    if hides_payload {
        let begin = bytes.len().saturating_sub(message.payload.len());
        blank(&mut masked, begin..bytes.len());
    }
    let path: Vec<&[u8]> = message
        .options()
        .filter(|(option, _)| *option == path_option(message.code))
        .map(|(_, segment)| segment)
        .collect();
    let begin = bytes.as_ptr().addr();
    for (at, segment) in path.iter().enumerate() {
        if is_unguessable(&path, at) {
            let from = segment.as_ptr().addr().saturating_sub(begin);
            blank(&mut masked, from..from.saturating_add(segment.len()));
        }
    }
    masked
}

fn blank(bytes: &mut [u8], range: std::ops::Range<usize>) {
    if let Some(bytes) = bytes.get_mut(range) {
        bytes.fill(0);
    }
}

/// The resources that hold keys: LwM2M Security (0), the connection profiles of APN (11) and WLAN (12), OSCORE (21),
/// COSE (23) and MQTT servers (24).
const KNOWN: &[(u16, &[u16])] = &[
    (0, &[3, 4, 5, 7, 8]),
    (11, &[6]),
    (12, &[17, 18, 21, 22, 23, 24, 25, 28]),
    (21, &[0, 5]),
    (23, &[2]),
    (24, &[8]),
];

/// Of what is no message only its head is shown.
const HEAD: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::lwm2m::Models;

    static MODELS: LazyLock<Models> = LazyLock::new(Models::builtin);

    fn secret(path: &str) -> bool {
        let path = path.parse().expect("a path");
        is_secret(&path, ModelView::newest(&MODELS))
    }

    #[test]
    fn keys_are_secret_wherever_they_lie() {
        for path in [
            "/0/0/3", "/0/1/4", "/0/0/5", "/0/0/5/0", "/11/0/6", "/12/0/18", "/12/0/22", "/21/0/0",
            "/23/0/2", "/24/0/8",
        ] {
            assert!(secret(path), "{path}");
        }
        for path in [
            "/0/0/0",
            "/0/0/10",
            "/1/0/1",
            "/3/0/9",
            "/5/0/1",
            "/12/0/20",
            "/3303/0/5700",
        ] {
            assert!(!secret(path), "{path}");
        }
        let view = ModelView::newest(&MODELS);
        for (path, wanted) in [
            ("/", true),
            ("/0", true),
            ("/0/0", true),
            ("/0/0/0", false),
            ("/3/0", false),
            ("/12", true),
            ("/3303", false),
        ] {
            let path: Path = path.parse().expect("a path");
            assert_eq!(may_hold(&path, view), wanted, "{path}");
        }
    }

    /// Every resource of the registry that a person would call secret by its name.
    #[test]
    fn no_secret_of_the_registry_is_missed() {
        for object in MODELS.objects() {
            for resource in object.resources.values() {
                let name = resource.name.to_lowercase();
                let path = Path::from_ids(&[object.id, 0, resource.id]).expect("a path");
                if name.contains("secret") || name.contains("password") {
                    let named = &resource.name;
                    assert!(
                        is_secret(&path, ModelView::newest(&MODELS)),
                        "{path} {named}"
                    );
                }
            }
        }
    }

    #[test]
    fn of_a_uri_the_host_is_left() {
        let shown = without_name("coaps://host:5684/binaries/0123/v1.bin");
        assert_eq!(shown, format!("coaps://host:5684/{MASK}"));
        assert_eq!(without_name("/binaries/x"), format!("/{MASK}"));
        assert_eq!(without_name(""), "");
    }

    #[test]
    fn bytes_keep_their_length() {
        use crate::coap::{Message, MessageType, Options, Token};
        let mut options = Options::new();
        options.add_uri_path("/binaries/KEY/name.bin");
        let message = Message {
            kind: MessageType::Confirmable,
            code: Code::GET,
            message_id: 1,
            token: Token::new(&[1; 4]).expect("a token"),
            options,
            payload: b"secret".to_vec(),
        };
        let bytes = message.encode();
        let shown = masked(&bytes, true);
        assert_eq!(shown.len(), bytes.len());
        for hidden in [&b"KEY"[..], b"name.bin", b"secret"] {
            assert!(!shown.windows(hidden.len()).any(|part| part == hidden));
        }
        assert!(shown.windows(8).any(|part| part == b"binaries"));
        assert_eq!(masked(&[0xff; 40], false).len(), 40);
    }
}
