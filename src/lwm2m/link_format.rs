//! Link format (RFC 6690): what a Register announces and a Discover answers.
//!
//! Reading forgives: a link or attribute that cannot be read becomes a [`Warning`], the others are
//! kept. Writing is strict. What the links mean is up to [`super::register`].

use crate::domain::{AnnouncedObject, Warning};

/// One link: `<target>;name=value;…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What is between the angle brackets, for example `/3/0`.
    pub target: String,
    /// The attributes in their order, values without quotes; a name may come twice.
    pub attributes: Vec<(String, Option<String>)>,
}

impl Link {
    /// A link without attributes.
    pub fn new(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            attributes: Vec::new(),
        }
    }

    /// The same link with one more attribute.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.attributes.push((name.to_owned(), Some(value.into())));
        self
    }

    /// The values of every attribute of this name.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self
            .attributes
            .iter()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.filter_map(|(_, value)| value.as_deref())
    }

    /// The first value of an attribute.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.attributes
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| value.as_deref())
    }
}

/// Reads links. Whatever is wrong is told in at most [`MAX_WARNINGS`] warnings.
pub fn parse(text: &str) -> (Vec<Link>, Vec<Warning>) {
    let mut links = Vec::new();
    let mut warnings = Warnings::default();
    let mut rest = text;
    let mut recoveries = 0_usize;
    let mut first = true;
    while !rest.is_empty() {
        let (element, after, whole) = split_element(rest);
        rest = after.unwrap_or("");
        let trimmed = element.trim();
        if trimmed.is_empty() {
            warnings.add("link_format", "a comma too many between the links");
        } else if links.len() >= MAX_LINKS {
            warnings.add(
                "too_many_links",
                format!("only the first {MAX_LINKS} links are read"),
            );
            break;
        } else {
            if !whole {
                recoveries = recoveries.saturating_add(1);
                if recoveries > MAX_RECOVERIES {
                    let message = "reading the links was given up after too many open quotes";
                    warnings.add("bad_link", message);
                    break;
                }
                let element = shown(trimmed);
                warnings.add(
                    "bad_link",
                    format!("a quote or bracket is not closed in {element}"),
                );
            }
            if element.len() != trimmed.len() && !first {
                warnings.add("link_format", "white space between the links");
            }
            match parse_link(trimmed, &mut warnings) {
                Some(link) => links.push(link),
                None => warnings.add("bad_link", format!("{} is no link", shown(trimmed))),
            }
        }
        if after.is_some_and(|after| after.trim().is_empty()) {
            warnings.add("link_format", "a comma behind the last link");
            break;
        }
        first = false;
    }
    (links, warnings.0)
}

/// Writes links; values are quoted unless they are numbers or versions. Characters that would end
/// a target or a value too early are left out of targets and escaped in values.
pub fn write(links: &[Link]) -> String {
    let mut out = String::new();
    for (at, link) in links.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push('<');
        out.extend(
            link.target
                .chars()
                .filter(|c| !matches!(c, '<' | '>') && !c.is_control()),
        );
        out.push('>');
        for (name, value) in &link.attributes {
            out.push(';');
            out.push_str(name);
            let Some(value) = value else { continue };
            out.push('=');
            let bare = |byte: u8| byte.is_ascii_digit() || byte == b'.';
            if !value.is_empty() && value.bytes().all(bare) {
                out.push_str(value);
            } else {
                out.push('"');
                for character in value.chars() {
                    if matches!(character, '"' | '\\') {
                        out.push('\\');
                    }
                    out.push(character);
                }
                out.push('"');
            }
        }
    }
    out
}

/// What a device announces: its root with the content formats, then its objects and instances.
pub fn announce(root: &str, formats: &[u16], objects: &[AnnouncedObject]) -> String {
    let mut entry =
        Link::new(if root.is_empty() { "/" } else { root }).with("rt", LWM2M_RESOURCE_TYPE);
    if !formats.is_empty() {
        let codes: Vec<String> = formats.iter().map(u16::to_string).collect();
        entry = entry.with("ct", codes.join(" "));
    }
    let mut links = vec![entry];
    for object in objects {
        let link = Link::new(format!("{root}{}", object.path));
        links.push(match &object.version {
            Some(version) => link.with("ver", version.as_str()),
            None => link,
        });
    }
    write(&links)
}

/// The resource type of the LwM2M root (OMA-TS-LightweightM2M Core 6.2.1).
pub const LWM2M_RESOURCE_TYPE: &str = "oma.lwm2m";

/// The largest number of links that are read.
pub const MAX_LINKS: usize = 10_000;

/// The largest number of warnings about one text.
pub const MAX_WARNINGS: usize = 16;

/// The largest number of attributes of one link that are read.
const MAX_ATTRIBUTES: usize = 32;

/// How many links with an open quote or bracket are passed over; each costs a walk to the end of the text.
const MAX_RECOVERIES: usize = 8;

/// Splits off the text before the next comma that separates links, and tells whether every quote
/// in it is closed. Without a closing quote the next `,<` counts as the border.
fn split_element(text: &str) -> (&str, Option<&str>, bool) {
    let (mut in_target, mut in_quotes, mut escaped) = (false, false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' if !in_target => in_quotes = !in_quotes,
            // A target within a target: the first one was never closed.
            '<' if in_target => break,
            '<' if !in_quotes => in_target = true,
            '>' if !in_quotes => in_target = false,
            ',' if !in_quotes && !in_target => return cut(text, at, true),
            _ => {}
        }
    }
    if !in_quotes && !in_target {
        return (text, None, true);
    }
    match text.find(",<") {
        Some(at) => cut(text, at, false),
        None => (text, None, false),
    }
}

fn cut(text: &str, at: usize, whole: bool) -> (&str, Option<&str>, bool) {
    let (element, rest) = text.split_at_checked(at).unwrap_or((text, ""));
    (element, rest.get(1..), whole)
}

fn parse_link(element: &str, warnings: &mut Warnings) -> Option<Link> {
    let (target, mut rest) = element.strip_prefix('<')?.split_once('>')?;
    let mut link = Link::new(target.trim());
    rest = rest.trim_start();
    while !rest.is_empty() {
        rest = rest.strip_prefix(';')?;
        let (attribute, after) = split_attribute(rest);
        rest = after;
        if link.attributes.len() >= MAX_ATTRIBUTES {
            warnings.add(
                "bad_link",
                format!("<{}> has too many attributes", shown(&link.target)),
            );
            break;
        }
        match parse_attribute(attribute.trim()) {
            Some(parsed) => {
                // `ver` is no quoted string in LwM2M (Core 7.3.1), but some clients quote it.
                if parsed.0.eq_ignore_ascii_case("ver") && attribute.contains('"') {
                    let target = shown(&link.target);
                    warnings.add(
                        "quoted_version",
                        format!("the version of <{target}> is quoted"),
                    );
                }
                link.attributes.push(parsed);
            }
            None => warnings.add(
                "bad_link_attribute",
                format!(
                    "{} of <{}> is no attribute",
                    shown(attribute),
                    shown(&link.target)
                ),
            ),
        }
    }
    Some(link)
}

/// Splits before the next semicolon that is not quoted.
fn split_attribute(text: &str) -> (&str, &str) {
    let (mut in_quotes, mut escaped) = (false, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_quotes => escaped = true,
            '"' => in_quotes = !in_quotes,
            ';' if !in_quotes => return text.split_at_checked(at).unwrap_or((text, "")),
            _ => {}
        }
    }
    (text, "")
}

fn parse_attribute(text: &str) -> Option<(String, Option<String>)> {
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name.trim(), Some(value.trim())),
        None => (text, None),
    };
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~*".contains(&byte);
    if name.is_empty() || !name.bytes().all(legal) {
        return None;
    }
    let value = match value {
        None => None,
        Some(value) => Some(match value.strip_prefix('"') {
            Some(quoted) => unescape(quoted)?,
            None if value.contains('"') => return None,
            None => value.to_owned(),
        }),
    };
    Some((name.to_owned(), value))
}

/// The text up to the closing quote, behind which nothing may follow.
fn unescape(quoted: &str) -> Option<String> {
    let mut out = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '\\' => out.push(characters.next()?),
            '"' => return characters.next().is_none().then_some(out),
            character => out.push(character),
        }
    }
}

/// At most 40 characters of a text, without those that would disturb a log.
pub(super) fn shown(text: &str) -> String {
    let mut short: String = text
        .chars()
        .map(|c| if c.is_control() { '\u{FFFD}' } else { c })
        .take(40)
        .collect();
    if short.len() < text.len() && text.chars().nth(40).is_some() {
        short.push('…');
    }
    short
}

/// Warnings with a limit, each told once.
#[derive(Default)]
pub(super) struct Warnings(pub(super) Vec<Warning>);

impl Warnings {
    pub(super) fn add(&mut self, code: &str, message: impl Into<String>) {
        let warning = Warning {
            code: code.to_owned(),
            message: message.into(),
        };
        if self.0.len() < MAX_WARNINGS && !self.0.contains(&warning) {
            self.0.push(warning);
        }
    }
}

#[cfg(test)]
#[path = "link_samples.rs"]
mod samples;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn links(text: &str) -> Vec<Link> {
        let (links, warnings) = parse(text);
        assert_eq!(warnings, [], "{text}");
        links
    }

    fn warned(text: &str) -> (Vec<Link>, Vec<String>) {
        let (links, warnings) = parse(text);
        (
            links,
            warnings.into_iter().map(|warning| warning.code).collect(),
        )
    }

    #[test]
    fn q2_links_of_rfc_6690_are_read() {
        let text = concat!(
            "</sensors>;ct=40;title=\"Sensor Index\",",
            "</sensors/temp>;rt=\"temperature-c\";if=\"sensor\",",
            "<http://www.example.com/sensors/t123>;anchor=\"/sensors/temp\";rel=\"describedby\",",
            "</t>;anchor=\"/sensors/temp\";rel=\"alternate\";obs"
        );
        let links = links(text);
        assert_eq!(links.len(), 4);
        assert_eq!(
            links[0],
            Link::new("/sensors")
                .with("ct", "40")
                .with("title", "Sensor Index")
        );
        assert_eq!(links[2].target, "http://www.example.com/sensors/t123");
        assert_eq!(links[3].attributes[2], ("obs".to_owned(), None));
        assert_eq!(write(&links), text);
        assert_eq!(parse(""), (vec![], vec![]));
    }

    #[test]
    fn q2_separators_within_quotes_and_targets_separate_nothing() {
        let read = links(r#"</a,b;c>;title="x,y;z \"q\" \\",</3>"#);
        assert_eq!(
            read,
            [
                Link::new("/a,b;c").with("title", r#"x,y;z "q" \"#),
                Link::new("/3")
            ]
        );
    }

    #[test]
    fn q2_spaces_and_commas_too_many_are_forgiven_with_a_warning() {
        let wanted = vec![Link::new("/1"), Link::new("/3/0")];
        assert_eq!(
            warned("</1>, </3/0>"),
            (wanted.clone(), vec!["link_format".to_owned()])
        );
        assert_eq!(
            warned("</1>,</3/0>,"),
            (wanted.clone(), vec!["link_format".to_owned()])
        );
        assert_eq!(
            warned("</1>,,</3/0>"),
            (wanted.clone(), vec!["link_format".to_owned()])
        );
        assert_eq!(warned(",</1>,</3/0>").0, wanted);
        assert_eq!(
            links("</1>; ver=1.1 ;ct = 60"),
            [Link::new("/1").with("ver", "1.1").with("ct", "60")]
        );
    }

    #[test]
    fn q2_attributes_may_come_twice() {
        let read = links("</>;ct=110;ct=112;rt=\"oma.lwm2m\"");
        assert_eq!(read[0].values("ct").collect::<Vec<_>>(), ["110", "112"]);
        assert_eq!(read[0].value("rt"), Some("oma.lwm2m"));
    }

    #[test]
    fn q2_a_quoted_version_is_read_with_a_warning() {
        let (read, warnings) = warned("</1>;ver=\"1.1\",</3>;VER = \"1.2\",</4>;ver=1.3");
        assert_eq!(
            read,
            [
                Link::new("/1").with("ver", "1.1"),
                Link::new("/3").with("VER", "1.2"),
                Link::new("/4").with("ver", "1.3")
            ]
        );
        assert_eq!(warnings, ["quoted_version"; 2]);
    }

    #[test]
    fn q2_a_bad_link_is_passed_over_and_the_others_are_kept() {
        for bad in [
            "/1",
            "<",
            "<>>",
            ">",
            "</1",
            "</1>x",
            "</1>ver=1",
            "\"",
            "x</1>",
            "</1>\"a\"",
        ] {
            let (links, warnings) = warned(&format!("</3>,{bad},</4>"));
            assert!(links.contains(&Link::new("/3")), "{bad}");
            assert!(links.contains(&Link::new("/4")), "{bad}");
            assert_eq!(links.len(), 2, "{bad}: {links:?}");
            assert!(
                warnings.contains(&"bad_link".to_owned()),
                "{bad}: {warnings:?}"
            );
        }
    }

    #[test]
    fn q2_a_bad_attribute_is_passed_over_and_its_link_is_kept() {
        for bad in ["", "=1", "a b", "ver=\"1.1\"x", "ver=1\"1\"", "é=1"] {
            let (links, warnings) = warned(&format!("</3>;{bad};ct=60,</4>"));
            assert_eq!(
                links,
                [Link::new("/3").with("ct", "60"), Link::new("/4")],
                "{bad}"
            );
            assert_eq!(warnings, ["bad_link_attribute"], "{bad}");
        }
        let (links, warnings) = warned("</3>;title=\"open,</4>,</5>");
        assert_eq!(links, [Link::new("/3"), Link::new("/4"), Link::new("/5")]);
        assert_eq!(warnings, ["bad_link", "bad_link_attribute"]);
    }

    #[test]
    fn attack_16_hostile_texts_give_few_warnings_in_little_time() {
        let open_quotes = format!("<a>;x=\"{}", ",<>\\\"".repeat(100_000));
        let (_, warnings) = parse(&open_quotes);
        assert!(warnings.len() <= MAX_WARNINGS);
        let (links, warnings) = parse(&"<>,".repeat(200_000));
        assert_eq!(links.len(), MAX_LINKS);
        assert_eq!(
            warnings.last().map(|warning| warning.code.as_str()),
            Some("too_many_links")
        );
        let (links, _) = parse(&format!("</3>{}", ";a".repeat(100_000)));
        assert_eq!(links[0].attributes.len(), MAX_ATTRIBUTES);
        let (_, warnings) = parse("<script>alert(1)\u{7}</script>\n");
        assert!(
            warnings
                .iter()
                .all(|warning| !warning.message.contains('\u{7}'))
        );
    }

    #[test]
    fn b5_what_a_device_announces_is_written_with_its_root_and_formats() {
        let objects = [
            AnnouncedObject {
                path: "/1".parse().unwrap(),
                version: Some("1.1".into()),
            },
            AnnouncedObject {
                path: "/1/0".parse().unwrap(),
                version: None,
            },
        ];
        assert_eq!(
            announce("", &[110, 112], &objects),
            "</>;rt=\"oma.lwm2m\";ct=\"110 112\",</1>;ver=1.1,</1/0>"
        );
        assert_eq!(
            announce("/lwm2m", &[112], &objects[1..]),
            "</lwm2m>;rt=\"oma.lwm2m\";ct=112,</lwm2m/1/0>"
        );
        assert_eq!(announce("", &[], &[]), "</>;rt=\"oma.lwm2m\"");
    }

    fn any_link() -> impl Strategy<Value = Link> {
        let attribute = ("[a-z][a-z0-9-]{0,8}", prop::option::of("[^\\p{C}]{0,12}"));
        (
            "[^<>\\p{C}\\s][^<>\\p{C}\\s]{0,20}|",
            prop::collection::vec(attribute, 0..4),
        )
            .prop_map(|(target, attributes)| Link { target, attributes })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn links_survive_being_written_and_read(links in prop::collection::vec(any_link(), 0..6)) {
            prop_assert_eq!(parse(&write(&links)), (links, vec![]));
        }

        #[test]
        fn reading_links_never_panics(text in ".{0,200}") {
            let _ = parse(&text);
        }

        #[test]
        fn reading_what_almost_are_links_never_panics(text in "[<>;,=\"\\\\/a1 ]{0,60}") {
            let (_, warnings) = parse(&text);
            prop_assert!(warnings.len() <= MAX_WARNINGS);
        }
    }
}
