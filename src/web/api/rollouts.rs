//! `/api/v1/rollouts`: an image on its way to many devices, group by group, and back again when too many fail.

use actix_web::http::header;
use actix_web::web::{Json, Path, Query};
use actix_web::{HttpResponse, delete, get, post};
use serde::Deserialize;

use crate::domain::{EndpointId, Rollout, RolloutId, TargetStatus};
use crate::rollout::Command;
use crate::store::TargetFilter;
use crate::web::ApiError;
use crate::web::api::refused::{NotLoggedIn, NotOperator, UnreadableParameter};
use crate::web::auth::{Operator, Viewer};
use crate::web::error::Problem;

use super::object::Object;
use super::query::{self, NoQuery, Page, PageQuery};
use super::rollout_request::RolloutBody;
use super::rollout_view::{ForecastView, RolloutView, TargetView};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TargetQuery {
    /// Only those of the group with this index.
    #[param(value_type = Option<u16>)]
    group: Option<String>,
    /// Only those with this status.
    #[param(example = "FAILED")]
    status: Option<String>,
    /// Rows of a page, at most `web.max_page_rows`.
    #[param(value_type = Option<u64>, minimum = 1, default = 100)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// List rollouts
///
/// Newest first, without their logs.
#[utoipa::path(
    get,
    path = "/rollouts",
    impl_for = list_rollouts,
    tag = "rollouts",
    params(PageQuery),
    responses(
        (status = 200, description = "A page of rollouts", body = Page<RolloutView>),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/rollouts")]
pub(super) async fn list_rollouts(
    viewer: Viewer,
    query: Query<PageQuery>,
) -> Result<Json<Page<RolloutView>>, ApiError> {
    let limit = query::limit(&viewer, query.limit.as_deref())?;
    let before = query::read_cursor(query.cursor.as_deref())?.map(RolloutId);
    let rollouts = viewer.rollouts(before, limit + 1).await?;
    Ok(Json(Page::cut(
        rollouts,
        limit,
        |rollout| rollout.id,
        RolloutView::short,
    )))
}

/// Make a rollout
///
/// The devices that fit now are shared out to its groups. It is READY, or RUNNING with `start`, and goes on by itself
/// from here, over restarts of this server and the sleep of the devices.
#[utoipa::path(
    post,
    path = "/rollouts",
    impl_for = create_rollout,
    tag = "rollouts",
    request_body = RolloutBody,
    responses(
        (status = 201, description = "It is stored", body = RolloutView,
         headers(("Location" = String, description = "The rollout"))),
        (status = 409, description = "There are too many rollouts", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[post("/rollouts")]
pub(super) async fn create_rollout(
    operator: Operator,
    _query: Query<NoQuery>,
    body: Object<RolloutBody>,
) -> Result<HttpResponse, ApiError> {
    let settings = &operator.settings().rollouts;
    let (spec, start) = body.into_inner().into_rollout(settings)?;
    let rollout = operator.create_rollout(spec, start).await?;
    let location = format!("/api/v1/rollouts/{}", rollout.id);
    Ok(HttpResponse::Created()
        .insert_header((header::LOCATION, location))
        .json(RolloutView::whole(rollout)))
}

/// Rehearse a rollout
///
/// Plays it through against simulated devices that have the rhythm of the real ones, in no time: nothing is stored, and
/// no device hears of it. The body is that of a new rollout without `start`, and may say how many devices fail.
#[utoipa::path(
    post,
    path = "/rollouts/rehearse",
    impl_for = rehearse_rollout,
    tag = "rollouts",
    request_body = RolloutBody,
    responses(
        (status = 200, description = "What would happen", body = ForecastView),
        NotOperator,
    ),
)]
#[post("/rollouts/rehearse")]
pub(super) async fn rehearse_rollout(
    operator: Operator,
    _query: Query<NoQuery>,
    body: Object<RolloutBody>,
) -> Result<Json<ForecastView>, ApiError> {
    let settings = &operator.settings().rollouts;
    let (spec, rehearsal) = body.into_inner().into_rehearsal(settings)?;
    let forecast = operator.rehearse_rollout(spec, rehearsal).await?;
    Ok(Json(forecast.into()))
}

/// Show a rollout
///
/// With its log.
#[utoipa::path(
    get,
    path = "/rollouts/{id}",
    impl_for = show_rollout,
    tag = "rollouts",
    params(("id" = i64, Path, description = "The rollout's number")),
    responses(
        (status = 200, description = "The rollout", body = RolloutView),
        (status = 404, description = "No rollout has this number", body = Problem, content_type = "application/problem+json"),
        NotLoggedIn,
    ),
)]
#[get("/rollouts/{id}")]
pub(super) async fn show_rollout(
    viewer: Viewer,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<Json<RolloutView>, ApiError> {
    let rollout = viewer.rollout(number(&id)?).await?;
    Ok(Json(RolloutView::whole(rollout)))
}

/// Remove a rollout
///
/// One that is READY or over. The updates of its devices stay.
#[utoipa::path(
    delete,
    path = "/rollouts/{id}",
    impl_for = delete_rollout,
    tag = "rollouts",
    params(("id" = i64, Path, description = "The rollout's number")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 404, description = "No rollout has this number", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is under way or paused", body = Problem, content_type = "application/problem+json"),
        NotOperator,
    ),
)]
#[delete("/rollouts/{id}")]
pub(super) async fn delete_rollout(
    operator: Operator,
    id: Path<String>,
    _query: Query<NoQuery>,
) -> Result<HttpResponse, ApiError> {
    operator.remove_rollout(number(&id)?).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// List the devices of a rollout
///
/// In their order, each with its firmware updates.
#[utoipa::path(
    get,
    path = "/rollouts/{id}/targets",
    impl_for = list_targets,
    tag = "rollouts",
    params(("id" = i64, Path, description = "The rollout's number"), TargetQuery),
    responses(
        (status = 200, description = "A page of devices", body = Page<TargetView>),
        (status = 404, description = "No rollout has this number", body = Problem, content_type = "application/problem+json"),
        UnreadableParameter, NotLoggedIn,
    ),
)]
#[get("/rollouts/{id}/targets")]
pub(super) async fn list_targets(
    viewer: Viewer,
    id: Path<String>,
    query: Query<TargetQuery>,
) -> Result<Json<Page<TargetView>>, ApiError> {
    let limit = query::limit(&viewer, query.limit.as_deref())?;
    let status: Option<TargetStatus> = query::parse("status", query.status.as_deref())?;
    let group: Option<u16> = query::parse("group", query.group.as_deref())?;
    let after = query::read_cursor(query.cursor.as_deref())?.map(EndpointId);
    let rollout = viewer.rollout(number(&id)?).await?;
    check_group(&rollout, group)?;
    let filter = TargetFilter {
        group,
        status,
        after,
    };
    let targets = viewer
        .rollout_targets(rollout.id, &filter, limit + 1)
        .await?;
    Ok(Json(Page::cut(
        targets,
        limit,
        |target| target.endpoint_id,
        |target| TargetView::of(&rollout, target),
    )))
}

/// A group that a rollout does not have is a mistake, not an empty list.
fn check_group(rollout: &Rollout, group: Option<u16>) -> Result<(), ApiError> {
    let last = rollout.spec.last_group();
    match group {
        Some(group) if group > last => {
            let detail = format!("`group`: the groups of this rollout are 0 to {last}");
            Err(ApiError::parameter("group", detail))
        }
        _ => Ok(()),
    }
}

/// A call that steers a rollout: its name, its path, its command, and its description.
macro_rules! steers {
    ($name:ident, $path:literal, $command:ident, $can:literal, $(#[doc = $doc:literal])+) => {
        $(#[doc = $doc])+
        #[utoipa::path(
            post,
            path = $path,
            impl_for = $name,
            tag = "rollouts",
            params(("id" = i64, Path, description = "The rollout's number")),
            responses(
                (status = 200, description = "How it stands then", body = RolloutView),
                (status = 404, description = "No rollout has this number", body = Problem, content_type = "application/problem+json"),
                (status = 409, description = $can, body = Problem, content_type = "application/problem+json"),
                NotOperator,
            ),
        )]
        #[post($path)]
        pub(super) async fn $name(
            operator: Operator,
            id: Path<String>,
            _query: Query<NoQuery>,
        ) -> Result<Json<RolloutView>, ApiError> {
            let rollout = operator.steer_rollout(number(&id)?, Command::$command).await?;
            Ok(Json(RolloutView::whole(rollout)))
        }
    };
}

steers!(
    start_rollout, "/rollouts/{id}/start", Start, "It is not READY",
    /// Start a rollout
    ///
    /// Its first group begins, as soon as `start_at` and `window` let it.
);

steers!(
    pause_rollout, "/rollouts/{id}/pause", Pause, "It is not under way",
    /// Pause a rollout
    ///
    /// No further device is begun. Updates under way go on.
);

steers!(
    resume_rollout, "/rollouts/{id}/resume", Resume, "It is not PAUSED",
    /// Resume a rollout
    ///
    /// It goes on from where it was paused.
);

steers!(
    stop_rollout, "/rollouts/{id}/stop", Stop, "It is over",
    /// Stop a rollout
    ///
    /// It is over. Updates that can still be taken back are.
);

steers!(
    roll_back_rollout, "/rollouts/{id}/roll-back", RollBack, "Nothing of it can be rolled back",
    /// Roll a rollout back
    ///
    /// Devices that were changed get back what they ran before, group by group, also after the rollout was over.
);

fn number(id: &str) -> Result<RolloutId, ApiError> {
    query::row_id("rollout", id).map(RolloutId)
}
