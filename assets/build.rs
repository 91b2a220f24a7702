//! Fetches the third-party files of the pages with `npm ci`, so that none of them is kept in this
//! repository, and puts the few that are used into `OUT_DIR/vendor`: content-hashed names, a gzip
//! copy beside each, and the licence of each package.
//!
//! It runs again only when the two package files or this file change. `FLOWNEXUS_VENDOR_DIR` names
//! a `node_modules` folder to take the files from instead (builds without a network).

use std::env;
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use flate2::Compression;
use flate2::write::GzEncoder;

/// What is served: path under `node_modules`, name, extension.
const FILES: &[(&str, &str, &str)] = &[
    ("@tabler/core/dist/css/tabler.min.css", "tabler.min", "css"),
    ("uplot/dist/uPlot.iife.min.js", "uplot.min", "js"),
    ("uplot/dist/uPlot.min.css", "uplot.min", "css"),
    ("world-atlas/land-110m.json", "land-110m", "json"),
];

/// The licences that go with it: path under `node_modules`, name. The package of Tabler's style
/// sheet holds no licence file; its notice is the head of the style sheet, and the text is that of
/// its sister package, by the same author under the same licence.
const LICENCES: &[(&str, &str)] = &[
    ("@tabler/icons/LICENSE", "LICENSE-tabler.txt"),
    ("uplot/LICENSE", "LICENSE-uplot.txt"),
    ("world-atlas/LICENSE", "LICENSE-world-atlas.txt"),
];

/// What the tests look for barriers on the pages with. It is not part of the program.
const CHECKER: &str = "axe-core/axe.min.js";

/// The icons in the sprite, by their names in @tabler/icons.
const ICONS: &[&str] = &[
    "alert-triangle",
    "arrow-back-up",
    "arrow-down",
    "arrow-left",
    "arrow-up",
    "bolt",
    "chart-line",
    "chevron-left",
    "chevron-right",
    "clock",
    "cpu",
    "devices",
    "download",
    "eye",
    "eye-off",
    "history",
    "home",
    "info-circle",
    "key",
    "list-details",
    "lock",
    "logout",
    "map-2",
    "maximize",
    "menu-2",
    "minus",
    "moon",
    "pencil",
    "photo",
    "pin",
    "player-pause",
    "player-play",
    "player-stop",
    "plus",
    "refresh",
    "rocket",
    "search",
    "send",
    "settings",
    "sun",
    "template",
    "trash",
    "upload",
    "user",
    "users",
    "x",
];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=assets/package.json");
    println!("cargo::rerun-if-changed=assets/package-lock.json");
    println!("cargo::rerun-if-changed=assets/build.rs");
    println!("cargo::rerun-if-env-changed=FLOWNEXUS_VENDOR_DIR");
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            println!("cargo::error={reason}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    let folder = |name: &str| {
        env::var_os(name)
            .map(PathBuf::from)
            .ok_or_else(|| format!("{name} is not set; this runs under cargo only"))
    };
    let assets = folder("CARGO_MANIFEST_DIR")?.join("assets");
    let out = folder("OUT_DIR")?;
    let vendor = out.join("vendor");
    let npm = out.join("npm");
    let modules = match env::var_os("FLOWNEXUS_VENDOR_DIR") {
        Some(given) if !given.is_empty() => PathBuf::from(given),
        _ => npm_ci(&assets, &npm)?,
    };

    if vendor.exists() {
        done(&vendor, fs::remove_dir_all(&vendor))?;
    }
    done(&vendor, fs::create_dir_all(&vendor))?;
    for (from, name, extension) in FILES {
        write(&vendor, name, extension, &read(&modules.join(from))?)?;
    }
    for (from, name) in LICENCES {
        let to = vendor.join(name);
        done(&to, fs::write(&to, read(&modules.join(from))?))?;
    }
    write(&vendor, "icons", "svg", sprite(&modules)?.as_bytes())?;
    // For the tests alone; packages for production come without it.
    let checker = modules.join(CHECKER);
    if checker.exists() {
        let tests = out.join("tests");
        done(&tests, fs::create_dir_all(&tests))?;
        let to = tests.join("axe.min.js");
        done(&to, fs::write(&to, read(&checker)?))?;
    }

    // The packages are 80 MB; their few files are copied, and npm has its own cache.
    if npm.exists() {
        done(&npm, fs::remove_dir_all(&npm))?;
    }
    Ok(())
}

/// Installs exactly what the lock file names, without running any script of a package.
fn npm_ci(assets: &Path, npm: &Path) -> Result<PathBuf, String> {
    done(npm, fs::create_dir_all(npm))?;
    for name in ["package.json", "package-lock.json"] {
        let to = npm.join(name);
        done(&to, fs::write(&to, read(&assets.join(name))?))?;
    }
    let program = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let output = Command::new(program)
        .args([
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--omit-lockfile-registry-resolved=true",
        ])
        .current_dir(npm)
        .output()
        .map_err(|error| {
            format!(
                "cannot run `{program}` ({error}): install Node.js 20 or newer with npm, or set \
                 FLOWNEXUS_VENDOR_DIR to a node_modules folder made from assets/package-lock.json"
            )
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<&str> = said
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        return Err(format!(
            "`npm ci` in {} failed with {}: {}",
            npm.display(),
            output.status,
            said.join(" | ")
        ));
    }
    Ok(npm.join("node_modules"))
}

/// One file with every icon as a symbol, for `<use href="…#name">`.
fn sprite(modules: &Path) -> Result<String, String> {
    let mut sprite = String::from("<svg xmlns=\"http://www.w3.org/2000/svg\">\n");
    for icon in ICONS {
        let path = modules.join(format!("@tabler/icons/icons/outline/{icon}.svg"));
        let text = String::from_utf8(read(&path)?)
            .map_err(|_| format!("{} is no UTF-8", path.display()))?;
        let head = text.find("<svg").unwrap_or(0);
        let (Some(start), Some(end)) = (
            text.get(head..)
                .and_then(|rest| rest.find('>'))
                .map(|at| head + at + 1),
            text.rfind("</svg>"),
        ) else {
            return Err(format!("{} is no svg", path.display()));
        };
        let shapes: String = text
            .get(start..end)
            .unwrap_or_default()
            .lines()
            .map(str::trim)
            .filter(|line| !line.contains("M0 0h24v24H0z"))
            .collect();
        sprite.push_str(&format!(
            "<symbol id=\"{icon}\" viewBox=\"0 0 24 24\" fill=\"none\" stroke=\"currentColor\" \
             stroke-width=\"2\" stroke-linecap=\"round\" stroke-linejoin=\"round\">{shapes}\
             </symbol>\n"
        ));
    }
    sprite.push_str("</svg>\n");
    Ok(sprite)
}

/// Writes `NAME.HASH.EXTENSION` and the same with `.gz`.
fn write(vendor: &Path, name: &str, extension: &str, bytes: &[u8]) -> Result<(), String> {
    // Not cryptographic: it only has to change with the content (same compiler or not).
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    let file = vendor.join(format!("{name}.{:016x}.{extension}", hasher.finish()));
    done(&file, fs::write(&file, bytes))?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let packed = encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let file = file.with_added_extension("gz");
    done(&file, fs::write(&file, packed))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn done<T>(path: &Path, result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{}: {error}", path.display()))
}
