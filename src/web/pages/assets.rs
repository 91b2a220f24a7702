//! Style sheets, scripts and icons, all inside the binary: the third-party ones that
//! `assets/build.rs` fetched, and our own from `assets/{css,img,js}`.
//!
//! Every file is served under a name that holds a hash of its content, so browsers may keep it for
//! ever. A debug build reads our own files from disk on each request.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use actix_web::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY,
};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};

/// Where the assets are served.
pub const PREFIX: &str = "/assets/";

#[derive(rust_embed::Embed)]
#[folder = "$OUT_DIR/vendor"]
struct Vendor;

#[derive(rust_embed::Embed)]
#[folder = "assets/css"]
struct Styles;

#[derive(rust_embed::Embed)]
#[folder = "assets/img"]
struct Images;

#[derive(rust_embed::Embed)]
#[folder = "assets/js"]
struct Scripts;

/// A file as it is served.
#[derive(Clone, Debug)]
struct Asset {
    content_type: &'static str,
    body: Bytes,
    gzip: Option<Bytes>,
}

/// Everything that is served below [`PREFIX`].
#[derive(Clone, Debug, Default)]
struct Assets {
    /// By the name in the URL, for example `app.0123456789abcdef.css`.
    served: BTreeMap<String, Asset>,
    /// From `app.css` to the name in the URL.
    names: BTreeMap<String, String>,
    /// From each of our modules to those that it imports itself.
    imports: BTreeMap<String, Vec<String>>,
}

static VENDOR: LazyLock<Assets> = LazyLock::new(vendor);
static ALL: LazyLock<Arc<Assets>> = LazyLock::new(|| Arc::new(all()));

/// The URL of an asset, for example `/assets/app.0123456789abcdef.css` for `app.css`; nothing when
/// there is no such file.
pub fn url(name: &str) -> Option<String> {
    let served = match VENDOR.names.get(name) {
        Some(served) => served.clone(),
        None => current().names.get(name)?.clone(),
    };
    Some(format!("{PREFIX}{served}"))
}

/// The URLs of the modules that one of ours imports, and those that these import, each once: a page that names them loads
/// them at once, and not one after the other as each tells of the next.
pub fn imports(name: &str) -> Vec<String> {
    let assets = current();
    let mut found: Vec<&String> = Vec::new();
    let mut open: Vec<&String> = assets.imports.get(name).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if next != name && !found.contains(&next) {
            found.push(next);
            open.extend(assets.imports.get(next).into_iter().flatten());
        }
    }
    found.sort();
    let served = found.iter().filter_map(|name| assets.names.get(*name));
    served.map(|served| format!("{PREFIX}{served}")).collect()
}

/// The licences of the third-party files: name of the package and text.
pub fn licences() -> Vec<(String, String)> {
    Vendor::iter()
        .filter_map(|name| {
            let package = name.strip_prefix("LICENSE-")?.strip_suffix(".txt")?;
            let text = Vendor::get(&name)?;
            Some((
                package.to_owned(),
                String::from_utf8_lossy(&text.data).into_owned(),
            ))
        })
        .collect()
}

/// `GET /assets/{file}`
pub(super) async fn serve(request: HttpRequest, file: web::Path<String>) -> HttpResponse {
    let assets = current();
    let Some(asset) = assets.served.get(file.as_str()) else {
        return HttpResponse::NotFound()
            .insert_header((CACHE_CONTROL, "no-store"))
            .finish();
    };
    let mut response = HttpResponse::Ok();
    response
        .insert_header((CONTENT_TYPE, asset.content_type))
        .insert_header((CACHE_CONTROL, "public, max-age=31536000, immutable"))
        .insert_header((VARY, "accept-encoding"));
    match &asset.gzip {
        Some(gzip) if accepts_gzip(&request) => response
            .insert_header((CONTENT_ENCODING, "gzip"))
            .body(gzip.clone()),
        _ => response.body(asset.body.clone()),
    }
}

/// True when `Accept-Encoding` names gzip and does not rule it out (RFC 9110 section 12.5.3).
fn accepts_gzip(request: &HttpRequest) -> bool {
    request
        .headers()
        .get_all(ACCEPT_ENCODING)
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let named = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let refused = parts.any(|weight| {
                weight
                    .strip_prefix("q=")
                    .is_some_and(|q| q.parse::<f32>() == Ok(0.0))
            });
            named && !refused
        })
}

fn current() -> Arc<Assets> {
    if cfg!(debug_assertions) {
        Arc::new(all())
    } else {
        Arc::clone(&ALL)
    }
}

fn all() -> Assets {
    let mut assets = VENDOR.clone();
    for (name, body) in files::<Styles>().into_iter().chain(files::<Images>()) {
        let hash = hash([&body]);
        assets.add(&name, &hash, body);
    }
    // The modules import one another, so they share one hash, which also stands in their imports.
    let scripts = files::<Scripts>();
    let hash = hash(scripts.values());
    for (name, body) in scripts {
        let text = String::from_utf8_lossy(&body);
        let linked = text.replace(".js\";", &format!(".{hash}.js\";"));
        let imported = text.lines().filter_map(imported).map(str::to_owned);
        assets.imports.insert(name.clone(), imported.collect());
        assets.add(&name, &hash, Bytes::from(linked));
    }
    assets
}

/// The module that a line imports: `import "./a.js";` or `import { b } from "./a.js";`, as all of ours are written.
fn imported(line: &str) -> Option<&str> {
    let (import, rest) = line.split_once("\"./")?;
    let name = rest.strip_suffix("\";")?;
    (import.starts_with("import ") || import.starts_with("} from ")).then_some(name)
}

/// The fetched files carry their hash in their names already.
fn vendor() -> Assets {
    let mut assets = Assets::default();
    for (served, body) in files::<Vendor>() {
        let Some((name, extension)) = served.rsplit_once('.') else {
            continue;
        };
        let (Some((stem, _hash)), false) = (name.rsplit_once('.'), extension == "gz") else {
            continue;
        };
        assets
            .names
            .insert(format!("{stem}.{extension}"), served.clone());
        let gzip = Vendor::get(&format!("{served}.gz")).map(|file| bytes_of(file.data));
        assets.served.insert(
            served.clone(),
            Asset {
                content_type: content_type(extension),
                body,
                gzip,
            },
        );
    }
    assets
}

impl Assets {
    fn add(&mut self, name: &str, hash: &str, body: Bytes) {
        let Some((stem, extension)) = name.rsplit_once('.') else {
            return;
        };
        let served = format!("{stem}.{hash}.{extension}");
        self.names.insert(name.to_owned(), served.clone());
        self.served.insert(
            served,
            Asset {
                content_type: content_type(extension),
                body,
                gzip: None,
            },
        );
    }
}

fn files<E: rust_embed::RustEmbed>() -> BTreeMap<String, Bytes> {
    E::iter()
        .filter_map(|name| Some((name.to_string(), bytes_of(E::get(&name)?.data))))
        .collect()
}

fn bytes_of(data: std::borrow::Cow<'static, [u8]>) -> Bytes {
    match data {
        std::borrow::Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        std::borrow::Cow::Owned(bytes) => Bytes::from(bytes),
    }
}

fn hash<'a>(parts: impl IntoIterator<Item = &'a Bytes>) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let mut text = hex::encode(hasher.finalize());
    text.truncate(16);
    text
}

fn content_type(extension: &str) -> &'static str {
    match extension {
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn every_asset_of_the_pages_is_there_under_a_hashed_name() {
        for name in [
            "app.css",
            "app.js",
            "charts.js",
            "device.js",
            "icons.svg",
            "lens.js",
            "land-110m.json",
            "log.js",
            "rules.js",
            "logo.svg",
            "map.js",
            "tabler.min.css",
            "theme.js",
            "uplot.min.css",
            "uplot.min.js",
        ] {
            let url = url(name).expect(name);
            let (stem, extension) = name.rsplit_once('.').expect("an extension");
            assert!(url.starts_with(&format!("{PREFIX}{stem}.")), "{url}");
            assert!(url.ends_with(&format!(".{extension}")), "{url}");
            assert!(url.len() > PREFIX.len() + name.len() + 8, "{url}");
        }
        assert_eq!(url("missing.css"), None);
    }

    #[test]
    fn what_is_fetched_is_compressed_and_comes_with_its_licence() {
        assert!(VENDOR.served.values().all(|asset| asset.gzip.is_some()));
        let licences = licences();
        for (package, word) in [
            ("tabler", "MIT"),
            ("uplot", "MIT"),
            (
                "world-atlas",
                "Permission to use, copy, modify, and/or distribute",
            ),
        ] {
            assert!(
                licences
                    .iter()
                    .any(|(name, text)| name == package && text.contains(word)),
                "{package}"
            );
        }
    }

    #[test]
    fn scripts_import_each_other_under_the_names_they_are_served_as() {
        let assets = all();
        for (served, asset) in &assets.served {
            let text = String::from_utf8_lossy(&asset.body);
            if !served.ends_with(".js") || VENDOR.served.contains_key(served) {
                continue;
            }
            for line in text.lines().filter(|line| line.contains("from \"./")) {
                let (_, rest) = line.split_once("from \"./").expect("an import");
                let (name, _) = rest.split_once('"').expect("a closing quote");
                assert!(assets.served.contains_key(name), "{served} imports {name}");
            }
        }
    }

    #[test]
    fn what_a_module_imports_is_known_with_what_that_imports() {
        let names = |name: &str| -> Vec<String> {
            let urls = imports(name).into_iter();
            let stem = |url: String| url[PREFIX.len()..].split('.').next().map(str::to_owned);
            urls.filter_map(stem).collect()
        };
        let list = names("list.js");
        for name in ["live", "login_ended", "refresh", "time", "words"] {
            assert!(list.iter().any(|known| known == name), "{name}: {list:?}");
        }
        assert_eq!(names("words.js"), [""; 0]);
        assert_eq!(names("missing.js"), [""; 0]);
        // Every import of every module is of the shape that is looked for.
        for (name, text) in files::<Scripts>() {
            let text = String::from_utf8_lossy(&text);
            let (all, read) = (
                text.matches("\"./").count(),
                text.lines().filter_map(imported),
            );
            assert_eq!(read.count(), all, "{name}");
        }
    }

    #[test]
    fn gzip_is_sent_to_those_who_accept_it() {
        for (header, accepted) in [
            ("gzip, deflate, br", true),
            ("br, gzip;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
        ] {
            let request = TestRequest::default()
                .insert_header((ACCEPT_ENCODING, header))
                .to_http_request();
            assert_eq!(accepts_gzip(&request), accepted, "{header}");
        }
    }
}
