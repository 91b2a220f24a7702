//! The list of objects in a Register or Update (OMA-TS-LightweightM2M Core 6.2.1).

use std::collections::BTreeMap;

use super::{Announced, LINK_FORMAT, Limits, Refusal};
use crate::coap::{Code, Request};
use crate::domain::{AnnouncedObject, Path};
use crate::lwm2m::link_format::{self, LWM2M_RESOURCE_TYPE, Link, Warnings, shown};

/// Reads the list of objects; nothing when there is no body.
pub(super) fn announced(
    request: &Request,
    limits: &Limits,
    warnings: &mut Warnings,
) -> Result<Option<Announced>, Refusal> {
    if request.payload.is_empty() {
        return Ok(None);
    }
    if request.payload.len() > limits.max_links_bytes {
        return Err(Refusal::new(
            Code::REQUEST_ENTITY_TOO_LARGE,
            format!(
                "the list of objects has more than {} bytes",
                limits.max_links_bytes
            ),
        ));
    }
    let text = std::str::from_utf8(&request.payload)
        .map_err(|_| Refusal::bad("the list of objects is no UTF-8"))?;
    let format = request.options.content_format();
    if format != Some(LINK_FORMAT) {
        let named = format.map_or_else(
            || "without".to_owned(),
            |format| format!("with {format} as"),
        );
        warnings.add(
            "content_format",
            format!("the list of objects came {named} Content-Format"),
        );
    }
    let (links, found) = link_format::parse(text);
    for warning in found {
        warnings.add(&warning.code, warning.message);
    }
    let mut announced = Announced {
        // PostgreSQL stores no zero bytes.
        raw_links: text.replace('\0', "\u{FFFD}"),
        ..Announced::default()
    };
    if let Some(entry) = links.iter().find(|link| is_lwm2m_root(link)) {
        announced.root = root(&entry.target, warnings);
    } else if let Some(common) = common_root(&links) {
        announced.root = root(common, warnings);
        let message = format!(
            "{} is taken as the root, although no link says rt=\"{LWM2M_RESOURCE_TYPE}\"",
            shown(common)
        );
        warnings.add("root_without_rt", message);
    }
    let entry =
        |link: &&Link| is_lwm2m_root(link) || link.target == "/" || link.target == announced.root;
    announced.formats = formats(links.iter().filter(entry), warnings);
    announced.objects = objects(&links, &announced.root, limits, warnings)?;
    Ok(Some(announced))
}

fn is_lwm2m_root(link: &Link) -> bool {
    link.values("rt").any(|types| {
        types
            .split_whitespace()
            .any(|kind| kind == LWM2M_RESOURCE_TYPE)
    })
}

/// What all links to objects have in front of them, when nothing says what the root is and no link
/// is to an object below `/`.
fn common_root(links: &[Link]) -> Option<&str> {
    let mut common = None;
    for link in links {
        let target = link.target.as_str();
        if target.parse::<Path>().is_ok_and(|path| path != Path::ROOT) {
            return None;
        }
        let number = |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit());
        let ids = target.rsplit('/').take_while(number).count();
        if !matches!(ids, 1 | 2) {
            continue;
        }
        let Some(front) = target.rsplitn(ids.saturating_add(1), '/').last() else {
            continue;
        };
        if common.is_some_and(|common| common != front) {
            return None;
        }
        common = Some(front);
    }
    common
}

fn root(target: &str, warnings: &mut Warnings) -> String {
    let root = target.trim_end_matches('/');
    let segments = root.strip_prefix('/').unwrap_or(root).split('/');
    let legal =
        |mut segment: std::str::Chars<'_>| segment.all(|c| !c.is_control() && !c.is_whitespace());
    let fine = segments
        .clone()
        .all(|segment| !segment.is_empty() && legal(segment.chars()));
    if root.is_empty() {
        return String::new();
    }
    if !fine || root.len() > MAX_ROOT_BYTES {
        warnings.add(
            "bad_root",
            format!("{} cannot be the root path", shown(target)),
        );
        return String::new();
    }
    format!("/{}", root.strip_prefix('/').unwrap_or(root))
}

fn formats<'a>(entries: impl Iterator<Item = &'a Link>, warnings: &mut Warnings) -> Vec<u16> {
    let mut formats = Vec::new();
    for link in entries {
        for (at, list) in link.values("ct").enumerate() {
            if at > 0 {
                warnings.add("duplicate_ct", "ct is given twice instead of as a list");
            }
            for code in list.split([' ', ',']).filter(|code| !code.is_empty()) {
                match code.parse() {
                    Ok(code) if formats.contains(&code) => {}
                    Ok(code) if formats.len() < MAX_FORMATS => formats.push(code),
                    _ => warnings.add("bad_ct", format!("ct={} is left out", shown(code))),
                }
            }
        }
    }
    formats
}

fn objects(
    links: &[Link],
    root: &str,
    limits: &Limits,
    warnings: &mut Warnings,
) -> Result<Vec<AnnouncedObject>, Refusal> {
    let mut objects: BTreeMap<Path, Option<String>> = BTreeMap::new();
    for link in links {
        let target = link.target.as_str();
        if is_lwm2m_root(link) || target == "/" || target.is_empty() {
            continue;
        }
        let inner = match target.strip_prefix(root) {
            Some(inner) if root.is_empty() || inner.starts_with('/') => inner,
            // Below another root a device may have what it likes.
            _ if target.parse::<Path>().is_err() => continue,
            _ => {
                warnings.add(
                    "outside_root",
                    format!("{target} is not below the root {root}"),
                );
                continue;
            }
        };
        if inner.is_empty() {
            continue;
        }
        let path = match inner.parse::<Path>() {
            Ok(path) if matches!(path.depth(), 1 | 2) => path,
            Ok(path) if path == Path::ROOT => continue,
            _ => {
                let message = format!("{} is no object and no instance", shown(target));
                warnings.add("foreign_link", message);
                continue;
            }
        };
        let version = link
            .value("ver")
            .and_then(|version| object_version(path, version, warnings));
        if version.is_some() && path.depth() == 2 {
            warnings.add(
                "instance_version",
                format!("{path} has a version, only objects have one"),
            );
        }
        match objects.get_mut(&path) {
            Some(known) => {
                warnings.add("duplicate_link", format!("{path} is announced twice"));
                *known = known.take().or(version);
            }
            None => {
                objects.insert(path, version);
            }
        }
        if objects.len() > limits.max_objects {
            return Err(Refusal::new(
                Code::REQUEST_ENTITY_TOO_LARGE,
                format!(
                    "there are more than {} objects and instances",
                    limits.max_objects
                ),
            ));
        }
    }
    Ok(objects
        .into_iter()
        .map(|(path, version)| AnnouncedObject { path, version })
        .collect())
}

fn object_version(path: Path, text: &str, warnings: &mut Warnings) -> Option<String> {
    let number = |part: &str| {
        (1..=5).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit())
    };
    let parts: Vec<&str> = text.split('.').take(4).collect();
    if (1..=3).contains(&parts.len()) && parts.iter().all(|part| number(part)) {
        return Some(text.to_owned());
    }
    warnings.add(
        "bad_version",
        format!("ver={} of {path} is no version", shown(text)),
    );
    None
}

/// The longest alternate root path, in bytes.
const MAX_ROOT_BYTES: usize = 64;

/// How many content formats of a device are kept.
const MAX_FORMATS: usize = 32;
