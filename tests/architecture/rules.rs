//! The rules: tables first, then what holds a source to them. A violation is a sentence that begins
//! with the place.

use std::collections::BTreeMap;

use super::rust::{Reference, references};

/// Rooms and the rooms that each may use. `room.handle` is that room's handle only: what its `mod.rs`
/// exports of its `handle.rs`. `room.face` is what its `mod.rs` exports by name, but none of its
/// modules: the registry supervises the actors of `endpoint`, so it knows more than their handle.
/// Rooms that are not listed here may use everything, see [`FREE`].
const MAY_USE: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("config", &[]),
    ("coap", &["domain", "config"]),
    ("lwm2m", &["domain", "coap", "config"]),
    ("security", &["domain", "config"]),
    ("net", &["domain", "coap", "security", "config"]),
    ("store", &["domain", "config"]),
    ("live", &["domain", "config"]),
    ("lens", &["domain", "coap", "lwm2m", "config"]),
    (
        "registry",
        &[
            "domain",
            "coap",
            "lwm2m",
            "security",
            "store",
            "live",
            "config",
            "endpoint.face",
        ],
    ),
    (
        "endpoint",
        &[
            "domain",
            "coap",
            "lwm2m",
            "security",
            "store",
            "live",
            "config",
            "registry.handle",
        ],
    ),
    ("rollout", &["domain", "store", "config", "endpoint.handle"]),
    (
        "web",
        &[
            "domain",
            "lwm2m",
            "security",
            "store",
            "live",
            "lens",
            "config",
            "registry.handle",
            "endpoint.handle",
            "rollout.handle",
        ],
    ),
    ("sim", &["domain", "coap", "lwm2m", "net", "config"]),
];

/// The composition root and the command line know every room.
const FREE: &[&str] = &["app", "cli", "lib", "main"];

/// The concrete store is made by the composition root; everybody else holds its traits.
const CONCRETE: &[(&str, &str)] = &[("store", "Store")];

/// Crates that belong to some places only: a room, a folder or a file below `src/`.
const CRATE_HOMES: &[(&str, &[&str])] = &[
    ("actix_web_actors", &["web/ws.rs"]),
    ("chrono", &["web/auth/oidc"]),
    ("flownexus_entity", &["store"]),
    ("flownexus_migration", &["store", "app", "cli"]),
    ("openidconnect", &["web/auth/oidc"]),
    (
        "openssl",
        &[
            "net/dtls",
            "net/https",
            "security",
            "web/auth/oidc/http.rs",
            "web/tls",
        ],
    ),
    ("sea_orm", &["store"]),
    ("sea_orm_migration", &["store", "app", "cli"]),
    ("tokio_openssl", &["web/tls"]),
];

/// Rooms that are plain structs: no actor framework, so that they are tested without one.
const WITHOUT_ACTORS: &[&str] = &["coap", "domain", "lwm2m", "store"];

/// Rooms without I/O: no socket, clock, task, file or randomness (style.md 1). Tests of theirs may.
const WITHOUT_IO: &[&str] = &["coap", "lwm2m"];
const IO: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "Timestamp::system",
    "getrandom",
    "std::fs",
    "std::net::TcpStream",
    "std::net::UdpSocket",
    "std::thread",
    "tokio",
];

/// A file above this many lines does more than one thing.
pub(crate) const MAX_LINES: usize = 700;

/// One file of Rust, with what it refers to.
pub(crate) struct Source {
    /// Below its root, with `/`: `web/ws.rs`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) references: Vec<Reference>,
}

impl Source {
    pub(crate) fn new(path: &str, text: String) -> Self {
        let references = references(path, &text);
        Self {
            path: path.to_owned(),
            text,
            references,
        }
    }

    /// The first part of the path without `.rs`: `web`, `config`, `lib`.
    fn room(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        first.strip_suffix(".rs").unwrap_or(first)
    }

    fn is_below(&self, place: &str) -> bool {
        self.path == place
            || self.path.strip_suffix(".rs") == Some(place)
            || self
                .path
                .strip_prefix(place)
                .is_some_and(|rest| rest.starts_with('/'))
    }

    fn complain(&self, reference: &Reference, why: &str) -> String {
        format!(
            "src/{}:{}: `{}`: {why}",
            self.path,
            reference.line,
            reference.path.join("::")
        )
    }
}

pub(crate) fn rooms(source: &Source, faces: &Faces) -> Vec<String> {
    let room = source.room();
    if FREE.contains(&room) {
        return Vec::new();
    }
    let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
        return vec![format!(
            "src/{}: room `{room}` is not in the table",
            source.path
        )];
    };
    let allows = |target: &str, part: &str| allowed.contains(&format!("{target}{part}").as_str());
    let mut violations = Vec::new();
    for reference in &source.references {
        let [first, target, rest @ ..] = reference.path.as_slice() else {
            continue;
        };
        if first != "crate" || target == room {
            continue;
        }
        let item = rest.first().map(String::as_str).unwrap_or_default();
        let module = faces
            .get(target)
            .and_then(|face| face.get(item))
            .map(String::as_str);
        let why = if allows(target, "") {
            if reference.test || !CONCRETE.contains(&(target.as_str(), item)) {
                continue;
            }
            "take one of its traits instead".to_owned()
        } else if allows(target, ".handle") {
            if item == "handle" || module == Some("handle") {
                continue;
            }
            format!("`{room}` may use the handle of `{target}` only, by name")
        } else if allows(target, ".face") {
            if module.is_some() {
                continue;
            }
            format!("`{room}` may use what `{target}/mod.rs` exports only, by name")
        } else {
            format!("`{room}` may not know `{target}`")
        };
        violations.push(source.complain(reference, &why));
    }
    violations
}

pub(crate) fn crates(source: &Source) -> Vec<String> {
    let mut violations = Vec::new();
    for reference in &source.references {
        let Some(name) = reference.path.first() else {
            continue;
        };
        let home = CRATE_HOMES.iter().find(|(guarded, _)| guarded == name);
        if let Some((_, places)) = home
            && !places.iter().any(|place| source.is_below(place))
        {
            let why = format!("`{name}` belongs to {}", places.join(", "));
            violations.push(source.complain(reference, &why));
        }
        let actor = name == "actix" || name.starts_with("actix_");
        if actor && WITHOUT_ACTORS.contains(&source.room()) {
            violations.push(source.complain(reference, "this room knows no actor framework"));
        }
    }
    violations
}

pub(crate) fn io(source: &Source) -> Vec<String> {
    if !WITHOUT_IO.contains(&source.room()) {
        return Vec::new();
    }
    let forbidden = |reference: &&Reference| {
        !reference.test
            && IO.iter().any(|io| {
                let io: Vec<&str> = io.split("::").collect();
                let anywhere = io[0].starts_with(char::is_uppercase);
                let starts = if anywhere { reference.path.len() } else { 1 };
                (0..starts).any(|at| {
                    io.iter().enumerate().all(|(i, part)| {
                        reference
                            .path
                            .get(at + i)
                            .is_some_and(|written| written == part)
                    })
                })
            })
    };
    let why = "protocol code takes time, bytes and randomness as arguments";
    source
        .references
        .iter()
        .filter(forbidden)
        .map(|found| source.complain(found, why))
        .collect()
}

pub(crate) fn undocumented(source: &Source) -> Option<String> {
    let mut brackets = 0_i32;
    for line in source.text.lines().map(str::trim) {
        if line.starts_with("//!") {
            return None;
        }
        let inside = brackets > 0;
        if inside || line.starts_with("#![") {
            brackets += count(line, '[') - count(line, ']');
        } else if !line.is_empty() && !line.starts_with("//") {
            break;
        }
    }
    Some(format!(
        "src/{}: does not begin with a `//!` line that says what it owns",
        source.path
    ))
}

fn count(line: &str, wanted: char) -> i32 {
    i32::try_from(line.chars().filter(|char| *char == wanted).count()).unwrap_or(i32::MAX)
}

pub(crate) fn too_long(source: &Source) -> Option<String> {
    let lines = source.text.lines().count();
    (lines > MAX_LINES).then(|| {
        format!(
            "{}: {lines} lines, split it ({MAX_LINES} at most)",
            source.path
        )
    })
}

/// Of each room, the names that its `mod.rs` exports, with the module that each comes from.
pub(crate) type Faces = BTreeMap<String, BTreeMap<String, String>>;

pub(crate) fn faces(sources: &[Source]) -> Faces {
    let mut faces = Faces::new();
    for source in sources {
        let Some(room) = source
            .path
            .strip_suffix("/mod.rs")
            .filter(|room| !room.contains('/'))
        else {
            continue;
        };
        let exports = source.references.iter().filter_map(|reference| {
            // `use module::Name` and `use self::module::Name`; other crates do no harm here.
            match reference.path.as_slice() {
                [module, name] if module != "crate" => Some((name.clone(), module.clone())),
                [first, owner, module, name] if first == "crate" && owner == room => {
                    Some((name.clone(), module.clone()))
                }
                _ => None,
            }
        });
        faces.insert(room.to_owned(), exports.collect());
    }
    faces
}
