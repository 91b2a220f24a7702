//! What is in a payload, without what is secret.

use super::conversation::{Facts, ValueLine};
use super::options;
use super::secret::{MASK, is_package_uri, is_secret, may_hold, shown};
use super::subject::{LINK_FORMAT, Subject, What, usual_format};
use crate::coap::{Block, Code, Message, number};
use crate::domain::{ContentFormat, Node, Path};
use crate::lwm2m::{ModelView, codec};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Payload {
    /// The values by their models.
    pub(super) values: Vec<ValueLine>,
    /// What is text: a list of links, a reason, an argument.
    pub(super) text: Option<String>,
    /// Why there is nothing else to show.
    pub(super) note: Option<String>,
    /// The content format.
    pub(super) format: Option<String>,
    /// The bytes are not shown.
    pub(super) is_hidden: bool,
    /// The block of a body that it is, where it is not the only one.
    pub(super) block: Option<Block>,
}

/// Reads the payload of a message about something; `is_cut`: it is the head only.
pub(super) fn read(
    message: &Message,
    subject: Option<&Subject>,
    is_cut: bool,
    facts: &Facts<'_>,
) -> Payload {
    let mut payload = Payload {
        block: block(message),
        format: message.options.content_format().map(options::format),
        ..Payload::default()
    };
    if message.payload.is_empty() {
        return payload;
    }
    let what = subject.map(|subject| subject.what);
    let is_text = message.options.content_format() == Some(LINK_FORMAT)
        || matches!(
            what,
            Some(What::Register | What::Update | What::Discover | What::Discovery | What::Execute)
        )
        || message.code.class() >= 4;
    if is_text {
        let text = text(&message.payload);
        payload.is_hidden = names_secret(&text, facts.view);
        payload.text = Some(match payload.is_hidden {
            true => MASK.to_owned(),
            false => text,
        });
        return payload;
    }
    if what == Some(What::Image) {
        payload.note = Some("a part of the firmware image".to_owned());
        return payload;
    }
    let base = subject.map(Subject::base);
    let format = format(message, base);
    // What is not about anything that is known may be about keys, unless it says itself what it is about.
    let may_be_secret = match (subject, format) {
        (Some(subject), _) if !subject.is_composite && !subject.paths.is_empty() => subject
            .paths
            .iter()
            .any(|path| may_hold(path, facts.view) || is_package_uri(path)),
        _ => true,
    };
    if is_cut || payload.block.is_some() {
        let why = match is_cut {
            true => "only the head of the message was kept (lens.max_message_bytes)",
            false => "a block of a larger body",
        };
        payload.is_hidden = may_be_secret;
        payload.note = Some(match may_be_secret {
            true => format!("{why}; it may hold keys and is not shown"),
            false => why.to_owned(),
        });
        return payload;
    }
    let is_create = what == Some(What::Create);
    match nodes(message, format, base, is_create, facts) {
        Some(Ok(nodes)) => take(&mut payload, &nodes, facts),
        Some(Err(why)) => {
            payload.is_hidden = may_be_secret;
            payload.note = Some(match may_be_secret {
                true => "it cannot be read, may hold keys and is not shown".to_owned(),
                false => format!("it cannot be read: {why}"),
            });
        }
        None => {
            payload.is_hidden = true;
            let why = "it was not seen what this is about: it may hold keys and is not shown";
            payload.note = Some(why.to_owned());
        }
    }
    payload
}

/// What may be shown of the values; when one may not, the bytes of all are hidden.
fn take(payload: &mut Payload, nodes: &[Node], facts: &Facts<'_>) {
    payload.is_hidden = nodes
        .iter()
        .any(|node| is_secret(&node.path, facts.view) || is_package_uri(&node.path));
    let more = nodes.len().saturating_sub(MOST_VALUES);
    if more > 0 {
        payload.note = Some(format!("and {more} more values"));
    }
    payload.values = nodes
        .iter()
        .take(MOST_VALUES)
        .map(|node| ValueLine {
            path: node.path,
            name: facts.name(&node.path),
            value: shown(&node.path, &node.value, facts.view).map(shortened),
            unit: facts.unit(&node.path),
            time: node.time,
        })
        .collect();
}

/// The values; none: it is not known what they are about.
fn nodes(
    message: &Message,
    format: u16,
    base: Option<Path>,
    is_create: bool,
    facts: &Facts<'_>,
) -> Option<Result<Vec<Node>, String>> {
    let names_itself = matches!(
        ContentFormat::from_code(format),
        Some(
            ContentFormat::SenmlCbor
                | ContentFormat::SenmlJson
                | ContentFormat::SenmlEtchCbor
                | ContentFormat::SenmlEtchJson
                | ContentFormat::Lwm2mCbor
        )
    );
    let base = base.or_else(|| names_itself.then_some(Path::ROOT))?;
    let bytes = &message.payload;
    Some(match message.code {
        Code::FETCH => codec::decode_paths(format, bytes)
            .map(|_| Vec::new())
            .map_err(|error| error.to_string()),
        Code::IPATCH => codec::decode_changes(format, bytes, facts.view)
            .map(|changes| changes.nodes)
            .map_err(|error| error.to_string()),
        Code::POST if is_create => {
            let object = base.object_id().unwrap_or_default();
            codec::decode_create(format, object, bytes, facts.view)
                .map(|body| body.nodes)
                .map_err(|error| error.to_string())
        }
        _ => codec::decode_reported(format, base, facts.root, bytes, facts.view)
            .map_err(|error| error.to_string()),
    })
}

fn format(message: &Message, base: Option<Path>) -> u16 {
    let said = message.options.content_format();
    said.unwrap_or_else(|| usual_format(&base.unwrap_or(Path::ROOT)))
}

/// The block of a body that a message brings, where there is more than one.
fn block(message: &Message) -> Option<Block> {
    let option = match message.code.is_request() {
        true => number::BLOCK1,
        false => number::BLOCK2,
    };
    let block = Block::of(&message.options, option).ok().flatten()?;
    (block.more || block.number() > 0).then_some(block)
}

/// True for a reason that is about something secret: it may tell what was wrong with it.
fn names_secret(text: &str, view: ModelView<'_>) -> bool {
    text.split(|c: char| !c.is_ascii_digit() && c != '/')
        .filter(|word| word.starts_with('/'))
        .filter_map(|word| word.parse().ok())
        .any(|path| is_secret(&path, view))
}

/// Text as it may stand on a page: short, without control characters.
fn text(bytes: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    shortened(text.trim().to_owned())
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(MOST_CHARS) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// Values of one message that are listed.
const MOST_VALUES: usize = 100;
/// Characters of one value or text that are shown.
const MOST_CHARS: usize = 2_000;
