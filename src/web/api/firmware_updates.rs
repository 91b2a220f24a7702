//! `/api/v1/firmware-updates`: images on their way to devices, with a timeline that says what happened, what is awaited
//! and why it stands still.

use actix_web::http::header;
use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{
    FirmwareId, FirmwareUpdate, FirmwareUpdateId, ProgressFacts, RolloutId, StepFacts, UpdateFacts,
    UpdateMethod, UpdateResult, UpdateStep,
};
use crate::store::UpdateFilter;
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, NotOperator, UnreadableParameter};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;
use crate::web::waiting::waits_of;

use super::object::Object;
use super::query::{self, NoQuery, Page};

/// A firmware update of one device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 7, "endpoint": "urn:imei:490154203237518", "firmware_id": 3, "version": "1.2.0",
    "method": "pull_https", "state": "DOWNLOADING", "result": "DEFAULT", "phase": "download",
    "awaited": "the device downloads: block 412 of 1024", "until": "2026-11-30T12:15:00.000Z",
    "waits_for": null,
    "progress": {"done": 421888, "total": 1048576, "percent": 40, "block": 1024},
    "reason": null, "rollout_id": null, "created_by": "olga",
    "created_at": "2026-11-30T12:00:00.000Z", "updated_at": "2026-11-30T12:00:41.000Z",
    "finished_at": null,
    "timeline": [
        {"time": "2026-11-30T12:00:00.000Z", "phase": "examine", "text": "olga asks for 1.2.0"}
    ]
}))]
pub(super) struct UpdateView {
    /// Its number; newer ones are greater.
    id: i64,
    /// The device.
    endpoint: String,
    /// The image; it may have been removed since.
    firmware_id: i64,
    /// What the device should run in the end.
    version: String,
    /// `pull_https`, `pull_coap` or `push`; null until the device has said what it can do.
    #[schema(required)]
    method: Option<&'static str>,
    /// `IDLE`, `DOWNLOADING`, `DOWNLOADED` or `UPDATING`.
    state: &'static str,
    /// `DEFAULT` while it is not over, then `SUCCESS` or what went wrong.
    result: &'static str,
    /// The step that the server is at.
    phase: &'static str,
    /// What is awaited, in words; null when it is over.
    #[schema(required)]
    awaited: Option<String>,
    /// Until when that is awaited.
    #[schema(required, format = DateTime)]
    until: Option<String>,
    /// What its next request waits for, in words: mostly the device's next wake.
    #[schema(required)]
    waits_for: Option<String>,
    /// How much of the image went to the device.
    #[schema(required)]
    progress: Option<ProgressView>,
    /// Why it ended as it did, in words.
    #[schema(required)]
    reason: Option<String>,
    /// The rollout that it belongs to.
    #[schema(required)]
    rollout_id: Option<i64>,
    /// Who asked for it.
    created_by: String,
    /// When it was asked for.
    #[schema(format = DateTime)]
    created_at: String,
    /// When something last happened.
    #[schema(format = DateTime)]
    updated_at: String,
    /// When it was over.
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// What happened, oldest first; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    timeline: Option<Vec<StepView>>,
}

/// How much of an image went to a device.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProgressView {
    /// Bytes.
    done: u64,
    /// Bytes of the image.
    total: u64,
    /// 0 to 100.
    percent: u8,
    /// Bytes of a block; 0 where it does not go in blocks.
    block: u32,
}

/// A line of a timeline.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StepView {
    /// When it happened.
    #[schema(format = DateTime)]
    time: String,
    /// The step that the server was at.
    phase: &'static str,
    /// What happened, in words.
    text: String,
}

impl From<ProgressFacts> for ProgressView {
    fn from(facts: ProgressFacts) -> Self {
        let ProgressFacts {
            done,
            total,
            percent,
            block,
        } = facts;
        Self {
            done,
            total,
            percent,
            block,
        }
    }
}

impl From<&UpdateStep> for StepView {
    fn from(step: &UpdateStep) -> Self {
        let StepFacts { time, phase, text } = StepFacts::from(step);
        Self {
            time: time.to_string(),
            phase,
            text,
        }
    }
}

impl From<&FirmwareUpdate> for UpdateView {
    fn from(update: &FirmwareUpdate) -> Self {
        // All that the live socket tells, under the same names: what is added there belongs here too.
        let UpdateFacts {
            id,
            firmware_id,
            version,
            method,
            state,
            result,
            phase,
            awaited,
            until,
            progress,
            reason,
            rollout_id,
        } = UpdateFacts::from(update);
        Self {
            id,
            endpoint: update.endpoint.to_string(),
            firmware_id,
            version,
            method,
            state,
            result,
            phase,
            awaited,
            until: until.map(|until| until.to_string()),
            waits_for: None,
            progress: progress.map(ProgressView::from),
            reason,
            rollout_id,
            created_by: update.created_by.clone(),
            created_at: update.created_at.to_string(),
            updated_at: update.updated_at.to_string(),
            finished_at: update.finished_at.map(|at| at.to_string()),
            timeline: None,
        }
    }
}

impl UpdateView {
    /// An update with its timeline and what it waits for.
    async fn whole(
        viewer: &Viewer,
        update: &FirmwareUpdate,
        steps: &[UpdateStep],
    ) -> Result<Self, ApiError> {
        let waits = match update.operation {
            Some(operation) => waits_of(viewer, operation).await?,
            None => None,
        };
        Ok(Self {
            waits_for: waits.map(|waits| waits.to_string()),
            timeline: Some(steps.iter().map(StepView::from).collect()),
            ..Self::from(update)
        })
    }
}

/// What a device is to run.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "endpoint": "urn:imei:490154203237518", "firmware_id": 3, "method": "pull_https"
}))]
pub(super) struct UpdateBody {
    /// The device.
    endpoint: String,
    /// The image.
    firmware_id: i64,
    /// `pull_https`, `pull_coap` or `push`; without it, as the device says that it can.
    method: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct UpdateQuery {
    /// Only those of this device.
    endpoint: Option<String>,
    /// Only those of this image.
    #[param(value_type = Option<i64>)]
    firmware_id: Option<String>,
    /// Only those of this rollout.
    #[param(value_type = Option<i64>)]
    rollout_id: Option<String>,
    /// Only those with this result; `DEFAULT`: those that are not over.
    #[param(example = "DEFAULT")]
    result: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// Update the firmware of a device
///
/// The update is stored and goes on by itself from here, over restarts of this server and the sleep of the device; its
/// timeline says how it stands.
#[utoipa::path(
    post,
    path = "/firmware-updates",
    impl_for = create_update,
    tag = "firmware",
    request_body = UpdateBody,
    responses(
        (status = 201, description = "It is stored and begins", body = UpdateView,
         headers(("Location" = String, description = "The update"))),
        (status = 404, description = "No device has this name", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The device is being updated already, does not have object 5, or is not one that the image is meant for", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[post("/firmware-updates")]
pub(super) async fn create_update(
    operator: Operator,
    body: Object<UpdateBody>,
) -> Result<HttpResponse, ApiError> {
    let name = query::endpoint_name(&body.endpoint)?;
    let method = body.method.as_deref().map(str::parse::<UpdateMethod>);
    let method = method
        .transpose()
        .map_err(|error| ApiError::invalid("method", error))?;
    let firmware = FirmwareId(body.firmware_id);
    let update = operator.update_firmware(&name, firmware, method).await?;
    let (update, steps) = operator.firmware_update(update.id).await?;
    let view = UpdateView::whole(&operator, &update, &steps).await?;
    let location = format!("/api/v1/firmware-updates/{}", update.id);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(view))
}

/// List firmware updates
///
/// Newest first, without their timelines.
#[utoipa::path(
    get,
    path = "/firmware-updates",
    impl_for = list_updates,
    tag = "firmware",
    params(UpdateQuery),
    responses(
        (status = 200, description = "A page of updates", body = Page<UpdateView>),
        (status = 404, description = "No device has this name", body = Problem, content_type = "application/problem+json"),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/firmware-updates")]
pub(super) async fn list_updates(
    viewer: Viewer,
    query: Query<UpdateQuery>,
) -> Result<Json<Page<UpdateView>>, ApiError> {
    let limit = query::limit(&viewer, query.limit.as_deref())?;
    let endpoint = match &query.endpoint {
        Some(name) => Some(viewer.endpoint(&query::endpoint_name(name)?).await?.id),
        None => None,
    };
    let result: Option<UpdateResult> = query::parse("result", query.result.as_deref())?;
    let number = |name, text: &Option<String>| query::parse::<i64>(name, text.as_deref());
    let filter = UpdateFilter {
        endpoint,
        firmware: number("firmware_id", &query.firmware_id)?.map(FirmwareId),
        rollout: number("rollout_id", &query.rollout_id)?.map(RolloutId),
        result,
        before: query::read_cursor(query.cursor.as_deref())?.map(FirmwareUpdateId),
    };
    let updates = viewer.firmware_updates(&filter, limit + 1).await?;
    Ok(Json(Page::cut(
        updates,
        limit,
        |update| update.id,
        |update| UpdateView::from(&update),
    )))
}

/// Show a firmware update
///
/// With its timeline.
#[utoipa::path(
    get,
    path = "/firmware-updates/{id}",
    impl_for = show_update,
    tag = "firmware",
    params(("id" = i64, Path, description = "The update's number")),
    responses(
        (status = 200, description = "The update", body = UpdateView),
        (status = 404, description = "No update has this number", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/firmware-updates/{id}")]
pub(super) async fn show_update(
    viewer: Viewer,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<UpdateView>, ApiError> {
    let id = FirmwareUpdateId(query::row_id("firmware update", &id)?);
    let (update, steps) = viewer.firmware_update(id).await?;
    Ok(Json(UpdateView::whole(&viewer, &update, &steps).await?))
}

/// Cancel a firmware update
///
/// A device that was offered the image already is told to forget it; the update is over when it has answered. What is
/// being installed cannot be taken back.
#[utoipa::path(
    delete,
    path = "/firmware-updates/{id}",
    impl_for = cancel_update,
    tag = "firmware",
    params(("id" = i64, Path, description = "The update's number")),
    responses(
        (status = 200, description = "It is cancelled, or will be when the device has answered", body = UpdateView),
        (status = 404, description = "No update has this number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is over, or the device installs the image", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/firmware-updates/{id}")]
pub(super) async fn cancel_update(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<UpdateView>, ApiError> {
    let id = FirmwareUpdateId(query::row_id("firmware update", &id)?);
    operator.cancel_update(id).await?;
    let (update, steps) = operator.firmware_update(id).await?;
    Ok(Json(UpdateView::whole(&operator, &update, &steps).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        EndpointId, EndpointName, FirmwareImage, LiveBody, LiveUpdate, NewUpdate, Progress,
        RolloutStep, Selection, Timestamp,
    };

    /// Pages that follow an update take the one for the other.
    #[test]
    fn the_live_socket_tells_the_same_as_the_api() {
        let now = Timestamp::clamped_from_millis(1_700_000_000_000);
        let new = NewUpdate {
            image: FirmwareImage {
                id: FirmwareId(7),
                version: "1.2.0".to_owned(),
                name: "1.2.0.bin".to_owned(),
                key: "0".repeat(32),
                sha256: "0".repeat(64),
                size: 1000,
                notes: String::new(),
                selection: Selection::default(),
                created_at: now,
                created_by: "admin".to_owned(),
            },
            method: Some(UpdateMethod::Push),
            rollout: Some(RolloutStep {
                id: RolloutId(3),
                is_back: false,
                device: EndpointId(1),
                only_from: None,
            }),
            created_by: "olga".to_owned(),
            by: None,
        };
        let device = (EndpointId(1), EndpointName::new("a").expect("a name"));
        let mut update = FirmwareUpdate::new(FirmwareUpdateId(5), device, &new, now);
        update.awaited = "the next block".to_owned();
        update.until = Some(now);
        update.progress = Some(Progress {
            done: 250,
            total: 1000,
            block: 64,
        });
        let step = UpdateStep {
            at: now,
            phase: update.phase,
            text: "olga asks for 1.2.0".to_owned(),
        };
        for result in [UpdateResult::Default, UpdateResult::Deferred] {
            update.result = result;
            update.reason = result.is_final().then(|| "why".to_owned());
            let live = LiveBody::from(LiveUpdate {
                facts: UpdateFacts::from(&update),
                timeline: vec![StepFacts::from(&step)],
            });
            let shown = UpdateView {
                timeline: Some(vec![StepView::from(&step)]),
                ..UpdateView::from(&update)
            };
            let (live, shown) = (live.to_json(), serde_json::json!(shown));
            let fields = live.as_object().expect("an object");
            assert_eq!(fields.len(), 13, "{live}");
            for (name, value) in fields {
                assert_eq!(Some(value), shown.get(name), "{name}");
            }
            assert_eq!(live["rollout_id"], 3);
            assert_eq!(live["progress"]["percent"], 25);
            assert_eq!(live["awaited"].is_null(), result.is_final());
        }
    }
}
