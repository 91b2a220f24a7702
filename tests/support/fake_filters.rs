//! Saved filters in memory.

use std::sync::{Mutex, MutexGuard, PoisonError};

use flownexus::domain::{Doer, Timestamp};
use flownexus::store::{FilterReach, FilterToSave, ForgottenFilter, SavedFilter, StoreError};

/// The filters, and the number of the last one.
#[derive(Default)]
pub(crate) struct FakeFilters(Mutex<(Vec<SavedFilter>, i64)>);

impl FakeFilters {
    fn all(&self) -> MutexGuard<'_, (Vec<SavedFilter>, i64)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seen_by(&self, owner: &str) -> Vec<SavedFilter> {
        let all = self.all();
        let seen = all.0.iter();
        let seen = seen.filter(|filter| filter.shared || filter.owner == owner);
        let mut seen: Vec<SavedFilter> = seen.cloned().collect();
        seen.sort_by(|one, other| one.name.cmp(&other.name));
        seen
    }

    pub(crate) fn save(
        &self,
        wanted: FilterToSave,
        by: Doer,
        limit: u64,
    ) -> Result<(SavedFilter, bool), StoreError> {
        let mut all = self.all();
        let theirs = |filter: &&SavedFilter| filter.owner == by.actor;
        let before = all.0.iter().filter(theirs);
        let before = before.clone().find(|filter| filter.name == wanted.name);
        let before = before.map(|filter| filter.id);
        if before.is_none() && all.0.iter().filter(theirs).count() as u64 >= limit {
            let what = "saved filters of one person";
            return Err(StoreError::Full { what, limit });
        }
        let id = before.unwrap_or(all.1 + 1);
        all.1 = all.1.max(id);
        let filter = SavedFilter {
            id,
            owner: by.actor,
            name: wanted.name,
            view: wanted.view,
            shared: wanted.shared,
            saved_at: Timestamp::system(),
        };
        all.0.retain(|other| other.id != id);
        all.0.push(filter.clone());
        Ok((filter, before.is_none()))
    }

    pub(crate) fn forget(&self, id: i64, reach: FilterReach, by: &Doer) -> ForgottenFilter {
        let mut all = self.all();
        let seen = |filter: &SavedFilter| filter.shared || filter.owner == by.actor;
        let Some(at) = all.0.iter().position(|one| one.id == id && seen(one)) else {
            return ForgottenFilter::Unseen;
        };
        if reach == FilterReach::Own && all.0[at].owner != by.actor {
            return ForgottenFilter::SharedByAnother;
        }
        all.0.remove(at);
        ForgottenFilter::Removed
    }
}

/// Keeps the saved filters of something that has a field for them.
macro_rules! keeps_filters {
    ($type:ty) => {
        #[async_trait::async_trait]
        impl flownexus::store::SavedFilterStore for $type {
            async fn seen_by(
                &self,
                owner: &str,
            ) -> Result<Vec<flownexus::store::SavedFilter>, flownexus::store::StoreError> {
                Ok(self.filters.seen_by(owner))
            }

            async fn save(
                &self,
                filter: flownexus::store::FilterToSave,
                by: flownexus::domain::Doer,
                limit: u64,
            ) -> Result<(flownexus::store::SavedFilter, bool), flownexus::store::StoreError> {
                self.filters.save(filter, by, limit)
            }

            async fn forget(
                &self,
                id: i64,
                reach: flownexus::store::FilterReach,
                by: flownexus::domain::Doer,
            ) -> Result<flownexus::store::ForgottenFilter, flownexus::store::StoreError> {
                Ok(self.filters.forget(id, reach, &by))
            }
        }
    };
}

pub(crate) use keeps_filters;
