//! Operations as people look for them: by device, status, kind, path, who asked and when, page by page both ways.

use std::slice;

use async_trait::async_trait;
use flownexus_entity::{endpoint, endpoint_operation};
use sea_orm::sea_query::{Expr, ExprTrait as _, LikeExpr};
use sea_orm::{
    ColumnTrait as _, Condition, EntityTrait as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _,
};

use super::endpoint::like_pattern;
use super::operation::operation;
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
    pub place: Option<OperationPlace>,
    /// So many at most.
    pub limit: u64,
}

/// Where a page of operations begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationPlace {
    /// With the next one that is newer, up to the page's length.
    NewerThan(OperationId),
    /// With the next one that is older.
    OlderThan(OperationId),
}

/// Operations of one page, newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OperationPage {
    /// The operations.
    pub operations: Vec<Operation>,
    /// There are newer ones.
    pub has_newer: bool,
    /// There are older ones.
    pub has_older: bool,
}

impl OperationPage {
    /// Makes a page of what was found, in the order in which it was looked for, with one row more than the limit where
    /// there are more.
    pub fn cut(query: &OperationQuery, mut found: Vec<Operation>) -> Self {
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let is_newer = matches!(query.place, Some(OperationPlace::NewerThan(_)));
        if is_newer {
            found.reverse();
        }
        Self {
            operations: found,
            has_newer: if is_newer {
                has_more
            } else {
                query.place.is_some()
            },
            has_older: has_more || is_newer,
        }
    }
}

/// Finds operations.
#[async_trait]
pub trait OperationSearch: Send + Sync {
    /// A page of them.
    async fn search(&self, query: &OperationQuery) -> Result<OperationPage, StoreError>;
}

#[async_trait]
impl OperationSearch for Store {
    async fn search(&self, query: &OperationQuery) -> Result<OperationPage, StoreError> {
        use endpoint_operation::Column;
        let mut select = endpoint_operation::Entity::find()
            .find_also_related(endpoint::Entity)
            .limit(Ord::min(query.limit.saturating_add(1), i64::MAX as u64));
        select = match query.place {
            Some(OperationPlace::NewerThan(id)) => {
                select.filter(Column::Id.gt(id.0)).order_by_asc(Column::Id)
            }
            Some(OperationPlace::OlderThan(id)) => {
                select.filter(Column::Id.lt(id.0)).order_by_desc(Column::Id)
            }
            None => select.order_by_desc(Column::Id),
        };
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
        let query = query.clone();
        self.read_tables(move |database| async move {
            let rows = select.all(&database).await?.into_iter();
            let found = rows.map(operation).collect::<Result<_, _>>()?;
            Ok(OperationPage::cut(&query, found))
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
