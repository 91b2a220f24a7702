//! `/settings`: what is in force, with secrets masked; and `/about`.

use actix_web::HttpResponse;
use serde::Serialize;
use serde_json::Value as Json;

use super::assets;
use super::chrome::Page;
use crate::config::{DEFAULTS, Settings};
use crate::web::ApiError;
use crate::web::auth::{Admin, Viewer};

/// `GET /settings`
pub(super) async fn page(admin: Admin) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&admin, "/settings");
    page.insert("sections", &sections(admin.settings()));
    page.render("pages/settings.html")
}

/// `GET /about`
pub(super) async fn about(viewer: Viewer) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/about");
    let licences: Vec<Licence> = assets::licences()
        .into_iter()
        .map(|(name, text)| Licence { name, text })
        .collect();
    page.insert("description", env!("CARGO_PKG_DESCRIPTION"));
    page.insert("version", env!("CARGO_PKG_VERSION"));
    page.insert("licence", env!("CARGO_PKG_LICENSE"));
    page.insert("started_at", &viewer.started_at());
    page.insert("models", &viewer.models().objects().count());
    page.insert("licences", &licences);
    page.render("pages/about.html")
}

#[derive(Serialize)]
struct Licence {
    name: String,
    text: String,
}

#[derive(Debug, Serialize)]
struct Section {
    name: String,
    settings: Vec<Setting>,
}

#[derive(Debug, Serialize)]
struct Setting {
    key: String,
    value: String,
    default: String,
    changed: bool,
    meaning: String,
}

/// Every key in the order of `config/default.toml`, with the comment above it.
fn sections(settings: &Settings) -> Vec<Section> {
    let present = serde_json::to_value(settings.without_secrets()).unwrap_or_default();
    let defaults = serde_json::to_value(Settings::defaults()).unwrap_or_default();
    let mut sections = vec![Section {
        name: "general".to_owned(),
        settings: Vec::new(),
    }];
    let mut comment: Vec<&str> = Vec::new();
    let mut comment_ended = true;
    for line in DEFAULTS.lines().map(str::trim) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            sections.push(Section {
                name: name.to_owned(),
                settings: Vec::new(),
            });
            comment.clear();
        } else if let Some(text) = line.strip_prefix('#') {
            if comment_ended {
                comment.clear();
            }
            comment_ended = false;
            comment.push(text.trim());
        } else if let (Some((key, _)), Some(section)) = (line.split_once('='), sections.last_mut())
        {
            let key = key.trim();
            let path = match section.name.as_str() {
                "general" => format!("/{key}"),
                name => format!("/{name}/{key}"),
            };
            let text = |json: &Json| text(json.pointer(&path));
            let (value, default) = (text(&present), text(&defaults));
            section.settings.push(Setting {
                key: key.to_owned(),
                changed: present.pointer(&path) != defaults.pointer(&path),
                value,
                default,
                meaning: comment.join(" "),
            });
            comment_ended = true;
        } else {
            comment.clear();
        }
    }
    sections
}

fn text(value: Option<&Json>) -> String {
    match value {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Array(items)) => {
            let items: Vec<String> = items.iter().map(text_of).collect();
            items.join(", ")
        }
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn text_of(json: &Json) -> String {
    json.as_str()
        .map_or_else(|| json.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_listed_with_what_it_means() {
        let sections = sections(&Settings::defaults());
        let listed: usize = sections.iter().map(|section| section.settings.len()).sum();
        let all = serde_json::to_value(Settings::defaults()).expect("settings");
        let wanted: usize = all
            .as_object()
            .expect("a table")
            .values()
            .map(|value| value.as_object().map_or(1, serde_json::Map::len))
            .sum();
        assert_eq!(listed, wanted);
        for setting in sections.iter().flat_map(|section| &section.settings) {
            assert!(
                !setting.changed && !setting.meaning.is_empty(),
                "{setting:?}"
            );
        }
    }

    #[test]
    fn passwords_and_secrets_are_not_shown() {
        let mut settings = Settings::defaults();
        settings.database.url = "postgres://nexus:hidden@db/flow".to_owned();
        settings.oidc.client_secret = "hidden too".to_owned();
        let text = format!("{:?}", sections(&settings));
        assert!(!text.contains("hidden"), "{text}");
    }
}
