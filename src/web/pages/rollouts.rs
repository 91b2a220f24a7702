//! `/rollouts`: images on their way to many devices. `assets/js/rollouts.js` makes and rehearses them over the REST API,
//! and `assets/js/rollout.js` steers them.

use actix_web::HttpResponse;
use actix_web::web::{Path, Query};
use serde::{Deserialize, Serialize};

use super::chrome::Page;
use super::rollout_lines::{RolloutLine, RolloutView, TargetLine, on_error_words, spoken};
use super::words;
use crate::domain::{
    EndpointId, FirmwareId, OnError, Rollout, RolloutId, RolloutSpec, TargetStatus,
};
use crate::store::TargetFilter;
use crate::web::ApiError;
use crate::web::api::{DEFAULT_ERROR_PERCENT, DEFAULT_SUCCESS_PERCENT};
use crate::web::auth::Viewer;

/// Rollouts on one page.
const ROLLOUTS: usize = 30;

/// Devices on one page.
const TARGETS: usize = 50;

#[derive(Debug, Deserialize)]
pub(super) struct ListQuery {
    before: Option<i64>,
    /// The image that the form begins with.
    image: Option<i64>,
}

/// `GET /rollouts`
pub(super) async fn list(
    viewer: Viewer,
    query: Query<ListQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/rollouts");
    let before = query.before.map(RolloutId);
    let rollouts = viewer.rollouts(before, ROLLOUTS as u64 + 1).await?;
    let shown = rollouts.get(..ROLLOUTS).unwrap_or(&rollouts);
    let lines: Vec<RolloutLine> = shown.iter().map(RolloutLine::of).collect();
    let next = shown
        .last()
        .filter(|_| rollouts.len() > shown.len())
        .map(|last| format!("/rollouts?before={}", last.id));
    page.insert("rollouts", &lines);
    page.insert("first", &before.is_none());
    page.insert("next", &next);
    insert_form(&mut page, &viewer, &query).await?;
    page.render("pages/rollouts.html")
}

/// What the form of a new rollout is made of.
async fn insert_form(page: &mut Page, viewer: &Viewer, query: &ListQuery) -> Result<(), ApiError> {
    let images: Vec<ImageChoice> = viewer
        .firmware_images()
        .await?
        .into_iter()
        .map(|image| ImageChoice {
            id: image.id.0,
            version: image.version,
            name: image.name,
            devices: image.selection.to_string(),
            is_chosen: query.image == Some(image.id.0),
        })
        .collect();
    let settings = &viewer.settings().rollouts;
    page.insert("images", &images);
    page.insert("methods", &words::ways());
    page.insert("on_error", &OnError::ALL.map(Choice::of_answer));
    page.insert("at_once", &settings.at_once);
    page.insert("max_at_once", &settings.max_at_once);
    page.insert("max_groups", &RolloutSpec::MAX_GROUPS);
    page.insert("max_name", &RolloutSpec::MAX_NAME_CHARS);
    page.insert("success_percent", &DEFAULT_SUCCESS_PERCENT);
    page.insert("error_percent", &DEFAULT_ERROR_PERCENT);
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct TargetQuery {
    /// Empty: every group. The form of the page sends empty fields.
    #[serde(default)]
    group: String,
    #[serde(default)]
    status: String,
    after: Option<i64>,
}

impl TargetQuery {
    /// The address of the page with the devices that are shown now, from this one on.
    fn address(&self, id: RolloutId, after: Option<EndpointId>) -> String {
        let after = after.map(|after| after.to_string()).unwrap_or_default();
        words::address(
            &format!("/rollouts/{id}"),
            &[
                ("group", &self.group),
                ("status", &self.status),
                ("after", &after),
            ],
        )
    }
}

/// `GET /rollouts/{id}`
pub(super) async fn one(
    viewer: Viewer,
    id: Path<i64>,
    query: Query<TargetQuery>,
) -> Result<HttpResponse, ApiError> {
    let mut page = Page::new(&viewer, "/rollouts");
    let rollout = viewer.rollout(RolloutId(*id)).await?;
    let filter = filter(&query)?;
    let mut targets = viewer
        .rollout_targets(rollout.id, &filter, TARGETS as u64 + 1)
        .await?;
    let more = targets.len() > TARGETS;
    targets.truncate(TARGETS);
    let next = targets
        .last()
        .filter(|_| more)
        .map(|last| query.address(rollout.id, Some(last.endpoint_id)));
    let lines: Vec<TargetLine> = targets
        .into_iter()
        .map(|target| TargetLine::of(&rollout, target))
        .collect();
    let back_to = match rollout.spec.roll_back_to {
        Some(image) => Some(image_words(&viewer, image).await?),
        None => None,
    };
    page.insert("rollout", &RolloutView::of(&rollout, back_to));
    page.insert("targets", &lines);
    page.insert("groups", &group_choices(&rollout, filter.group));
    let statuses = TargetStatus::ALL.map(|status| Choice {
        name: status.name().to_owned(),
        words: spoken(status.name()),
        is_chosen: filter.status == Some(status),
    });
    page.insert("statuses", &statuses);
    page.insert(
        "filtered",
        &(filter.group.is_some() || filter.status.is_some()),
    );
    page.insert("first", &filter.after.is_none());
    page.insert("first_href", &query.address(rollout.id, None));
    page.insert("next", &next);
    page.insert("page_rows", &TARGETS);
    page.render("pages/rollout.html")
}

fn filter(query: &TargetQuery) -> Result<TargetFilter, ApiError> {
    let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let group = text(&query.group).map(|group| {
        let detail = format!("`{group}` is no index of a group");
        group
            .parse()
            .map_err(|_| ApiError::parameter("group", detail))
    });
    let status = text(&query.status).map(|status| {
        let status = status.parse::<TargetStatus>();
        status.map_err(|error| ApiError::parameter("status", error))
    });
    Ok(TargetFilter {
        group: group.transpose()?,
        status: status.transpose()?,
        after: query.after.map(EndpointId),
    })
}

/// The version of an image, or that it is gone.
async fn image_words(viewer: &Viewer, id: FirmwareId) -> Result<String, ApiError> {
    let images = viewer.firmware_images().await?;
    let image = images.into_iter().find(|image| image.id == id);
    Ok(image.map_or_else(
        || format!("image {id}, which is not there any more"),
        |image| image.version,
    ))
}

fn group_choices(rollout: &Rollout, chosen: Option<u16>) -> Vec<Choice> {
    let groups = rollout.spec.groups.iter().enumerate();
    groups
        .map(|(index, group)| Choice {
            name: index.to_string(),
            words: group.name.clone(),
            is_chosen: chosen.map(usize::from) == Some(index),
        })
        .collect()
}

/// An entry of a list to choose from.
#[derive(Debug, Serialize)]
struct Choice {
    name: String,
    words: String,
    is_chosen: bool,
}

impl Choice {
    fn of_answer(on_error: OnError) -> Self {
        Self {
            name: on_error.name().to_owned(),
            words: on_error_words(on_error).to_owned(),
            is_chosen: on_error == OnError::RollBack,
        }
    }
}

/// An image that devices may be given.
#[derive(Debug, Serialize)]
struct ImageChoice {
    id: i64,
    version: String,
    name: String,
    /// Which devices it is made for.
    devices: String,
    is_chosen: bool,
}
