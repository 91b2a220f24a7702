//! Pages of lists that are newest first, both ways: rows are numbered in the order of their arrival.

use sea_orm::{ColumnTrait, QueryFilter, QueryOrder, QuerySelect};

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<I> {
    /// With the next row that is newer than this one, up to the page's length.
    NewerThan(I),
    /// With the next row that is older than this one.
    OlderThan(I),
}

/// Rows of one page, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Found<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// There are newer ones.
    pub has_newer: bool,
    /// There are older ones.
    pub has_older: bool,
}

impl<T> Default for Found<T> {
    /// Nothing.
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            has_newer: false,
            has_older: false,
        }
    }
}

impl<T> Found<T> {
    /// Makes a page of what was found, in the order in which it was looked for, with one row more than the limit where
    /// there are more.
    pub fn cut<I>(place: Option<Place<I>>, limit: u64, mut found: Vec<T>) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let has_more = found.len() > limit;
        found.truncate(limit);
        let is_newer = matches!(place, Some(Place::NewerThan(_)));
        if is_newer {
            found.reverse();
        }
        Self {
            rows: found,
            has_newer: if is_newer { has_more } else { place.is_some() },
            has_older: has_more || is_newer,
        }
    }
}

/// Orders a list by its rows from this place on, and asks for one row more than the limit.
pub(super) fn from_place<Q, C>(select: Q, id: C, place: Option<Place<i64>>, limit: u64) -> Q
where
    Q: QueryFilter + QueryOrder + QuerySelect,
    C: ColumnTrait,
{
    let select = QuerySelect::limit(select, Ord::min(limit.saturating_add(1), i64::MAX as u64));
    match place {
        Some(Place::NewerThan(row)) => select.filter(id.gt(row)).order_by_asc(id),
        Some(Place::OlderThan(row)) => select.filter(id.lt(row)).order_by_desc(id),
        None => select.order_by_desc(id),
    }
}

impl<I> Place<I> {
    /// The same place, by the number of its row.
    pub fn row(self, number: impl FnOnce(I) -> i64) -> Place<i64> {
        match self {
            Self::NewerThan(id) => Place::NewerThan(number(id)),
            Self::OlderThan(id) => Place::OlderThan(number(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_knows_what_lies_beside_it() {
        let cut = |place, found: &[i64]| {
            let page = Found::cut(place, 2, found.to_vec());
            (page.rows, page.has_newer, page.has_older)
        };
        assert_eq!(cut(None, &[9, 8, 7]), (vec![9, 8], false, true));
        assert_eq!(cut(None, &[9, 8]), (vec![9, 8], false, false));
        let older = Some(Place::OlderThan(8));
        assert_eq!(cut(older, &[7, 6, 5]), (vec![7, 6], true, true));
        assert_eq!(cut(older, &[7]), (vec![7], true, false));
        let newer = Some(Place::NewerThan(5));
        assert_eq!(cut(newer, &[6, 7, 8]), (vec![7, 6], true, true));
        assert_eq!(cut(newer, &[6, 7]), (vec![7, 6], false, true));
    }
}
