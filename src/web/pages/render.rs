//! The template engine: templates are part of the binary; a debug build reads them from disk each
//! time. Everything is escaped unless it is one of our own components.

use std::sync::{Arc, LazyLock};

use tera::{Context, Kwargs, State, Tera, TeraResult};

use super::assets;
use super::words;
use crate::domain::Timestamp;

#[derive(rust_embed::Embed)]
#[folder = "templates"]
struct Templates;

static ENGINE: LazyLock<TeraResult<Arc<Tera>>> = LazyLock::new(|| engine().map(Arc::new));

/// Renders a template.
///
/// # Errors
/// A template that cannot be parsed, or a variable that is not in the context.
pub fn render(template: &str, context: &Context) -> TeraResult<String> {
    if cfg!(debug_assertions) {
        return engine()?.render(template, context);
    }
    match &*ENGINE {
        Ok(engine) => engine.render(template, context),
        Err(error) => Err(tera::Error::message(error.to_string())),
    }
}

/// The names of all templates.
pub fn template_names() -> Vec<String> {
    let mut names: Vec<String> = Templates::iter().map(|name| name.to_string()).collect();
    names.sort();
    names
}

fn engine() -> TeraResult<Tera> {
    let mut tera = Tera::new();
    tera.autoescape_on([".html"]);
    tera.register_function("asset", asset);
    tera.register_function("imports", imports);
    tera.register_filter("ago", ago);
    tera.register_filter("duration", duration);
    tera.register_filter("moment", moment);
    tera.register_filter("quoted", quoted);
    tera.register_filter("segment", segment);
    let mut sources = Vec::new();
    for name in Templates::iter() {
        if let Some(file) = Templates::get(&name) {
            sources.push((
                name.to_string(),
                String::from_utf8_lossy(&file.data).into_owned(),
            ));
        }
    }
    tera.add_raw_templates(sources)?;
    Ok(tera)
}

/// `asset(name="app.css")`: where it is served.
fn asset(arguments: Kwargs, _: &State<'_>) -> TeraResult<String> {
    let name: String = arguments.must_get("name")?;
    assets::url(&name).ok_or_else(|| tera::Error::message(format!("there is no asset `{name}`")))
}

/// `imports(name="device.js")`: where the modules are served that this one needs.
fn imports(arguments: Kwargs, _: &State<'_>) -> TeraResult<Vec<String>> {
    let name: String = arguments.must_get("name")?;
    Ok(assets::imports(&name))
}

/// `time | ago`: how long ago an RFC 3339 time was, in words.
fn ago(time: &str, _: Kwargs, _: &State<'_>) -> String {
    match time.parse() {
        Ok(time) => words::ago(time, Timestamp::system()),
        Err(_) => time.to_owned(),
    }
}

/// `seconds | duration`: `86400` becomes `1 d`.
fn duration(seconds: u64, _: Kwargs, _: &State<'_>) -> String {
    words::duration(seconds)
}

/// `time | moment`: when an RFC 3339 time was, to the second, with its zone.
fn moment(time: &str, _: Kwargs, _: &State<'_>) -> String {
    match time.parse() {
        Ok(time) => words::moment(time),
        Err(_) => time.to_owned(),
    }
}

/// `reason | quoted`: without the backticks that programs get.
fn quoted(text: &str, _: Kwargs, _: &State<'_>) -> String {
    words::quoted(text)
}

/// `name | segment`: percent-encoded as one segment of a URL's path, or a value in its query.
fn segment(text: &str, _: Kwargs, _: &State<'_>) -> String {
    words::segment(text)
}
