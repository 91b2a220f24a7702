//! Operations as people look for them: by device, status, kind, path, who asked and when, page by page both ways.

use std::slice;

use async_trait::async_trait;
use flownexus_entity::{endpoint, endpoint_operation};
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr};
use sea_orm::{ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _};

use super::endpoint::like_pattern;
use super::operation::operation;
use super::place::{Found, Place, from_place};
use super::records::{text, to_json};
use super::{Store, StoreError};
use crate::domain::{
    EndpointId, Operation, OperationId, OperationKind, OperationStatus, Origin, Path, Timestamp,
};

/// Which operations, and which page of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperationQuery {
    /// Only those of this device.
    pub endpoint: Option<EndpointId>,
    /// Only those with this status.
    pub status: Option<OperationStatus>,
    /// Only those of this kind.
    pub kind: Option<OperationKind>,
    /// Only those about this path, or about something below it.
    pub path: Option<Path>,
    /// Only those that this login or `token:NAME` asked for, also of many devices at once; `template` and `firmware`
    /// for what the server asked for by itself.
    pub by: Option<String>,
    /// Only those that were asked for then or later.
    pub from: Option<Timestamp>,
    /// Only those that were asked for before then.
    pub to: Option<Timestamp>,
    /// Where the page begins; nothing for the newest.
    pub place: Option<Place<OperationId>>,
    /// So many at most.
    pub limit: u64,
}

/// Finds operations.
#[async_trait]
pub trait OperationSearch: Send + Sync {
    /// A page of them.
    async fn search(&self, query: &OperationQuery) -> Result<Found<Operation>, StoreError>;
}

#[async_trait]
impl OperationSearch for Store {
    async fn search(&self, query: &OperationQuery) -> Result<Found<Operation>, StoreError> {
        use endpoint_operation::Column;
        let place = query.place.map(|place| place.row(|id| id.0));
        let mut select = from_place(
            endpoint_operation::Entity::find().find_also_related(endpoint::Entity),
            Column::Id,
            place,
            query.limit,
        );
        let conditions = [
            query.endpoint.map(|id| Column::EndpointId.eq(id.0)),
            query.status.map(|status| Column::Status.eq(status.name())),
            query.kind.map(|kind| Column::OperationType.eq(kind.name())),
            query
                .from
                .map(|from| Column::CreatedAt.gte(from.as_millis())),
            query.to.map(|to| Column::CreatedAt.lt(to.as_millis())),
        ];
        for condition in conditions.into_iter().flatten() {
            select = select.filter(condition);
        }
        if let Some(path) = query.path.filter(|path| *path != Path::ROOT) {
            // A whole entry of the list of paths, or the beginning of one.
            let is_part = |end: char| {
                let part = like_pattern(&format!("\"{path}{end}"));
                Column::Request.like(LikeExpr::new(part).escape('\\'))
            };
            select = select.filter(Condition::any().add(is_part('"')).add(is_part('/')));
        }
        if let Some(by) = &query.by {
            select = select.filter(asked_by(&text(by))?);
        }
        let device = query.endpoint;
        self.settled(device.as_ref().map(slice::from_ref)).await?;
        let limit = query.limit;
        self.read_tables(move |database| async move {
            let rows = select.all(&database).await?.into_iter();
            let found = rows.map(operation).collect::<Result<_, _>>()?;
            Ok(Found::cut(place, limit, found))
        })
        .await
    }
}

/// As the column has it, whatever the number of what many were asked.
fn asked_by(by: &str) -> Result<Condition, StoreError> {
    use endpoint_operation::Column;
    let alone = match by {
        "firmware" => Origin::Firmware,
        "template" => Origin::Template,
        _ => Origin::User(by.to_owned()),
    };
    let login = like_pattern(&to_json(by)?);
    let login = login.trim_start_matches('%');
    let login = login.strip_suffix('%').unwrap_or(login);
    let pattern = format!("{{\"by\":\"bulk\",\"name\":[%,{login}]}}");
    let is_of_many =
        Expr::col(Column::Origin.as_column_ref()).like(LikeExpr::new(pattern).escape('\\'));
    Ok(Condition::any()
        .add(Column::Origin.eq(to_json(&alone)?))
        .add(is_of_many))
}
