//! Actors that start from what is stored get it from here. Those that ask while others are being served
//! are served together: a hundred devices that wake at once cost one set of queries, and one that wakes
//! alone waits for nobody.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::EndpointId;
use crate::store::{FleetLoader, StoreError, StoredEndpoint};

type Loaded = Result<StoredEndpoint, StoreError>;

/// What waits to be read, and who waits for it.
pub struct Loads {
    loader: Arc<dyn FleetLoader>,
    waiting: RefCell<VecDeque<(EndpointId, oneshot::Sender<Loaded>)>>,
    /// Sets of queries that are under way.
    under_way: Cell<usize>,
    /// Devices that are not answered yet.
    count: Cell<usize>,
}

impl Loads {
    /// Nobody waits.
    pub fn new(loader: Arc<dyn FleetLoader>) -> Rc<Self> {
        Rc::new(Self {
            loader,
            waiting: RefCell::default(),
            under_way: Cell::default(),
            count: Cell::default(),
        })
    }

    /// The store, for what is not gathered.
    pub fn loader(&self) -> &Arc<dyn FleetLoader> {
        &self.loader
    }

    /// True while so many are being read that whoever can wait should.
    pub fn are_many(&self) -> bool {
        self.count.get() >= MANY
    }

    /// What one device needs to go on; nothing of a device that has no row yet.
    pub(super) fn load(self: &Rc<Self>, id: EndpointId) -> oneshot::Receiver<Loaded> {
        let (answer, is_answered) = oneshot::channel();
        self.count.set(self.count.get().saturating_add(1));
        self.waiting.borrow_mut().push_back((id, answer));
        if self.under_way.get() < UNDER_WAY {
            self.under_way.set(self.under_way.get().saturating_add(1));
            actix::spawn(Rc::clone(self).serve());
        }
        is_answered
    }

    /// Reads for those who wait until nobody does.
    async fn serve(self: Rc<Self>) {
        loop {
            let mut batch: Vec<_> = {
                let mut waiting = self.waiting.borrow_mut();
                let count = waiting.len().min(TOGETHER);
                waiting.drain(..count).collect()
            };
            if batch.is_empty() {
                break;
            }
            let count = batch.len();
            // Each device once; a second actor for the same one gets its own.
            batch.sort_by_key(|(id, _)| *id);
            let mut ids: Vec<EndpointId> = batch.iter().map(|(id, _)| *id).collect();
            ids.dedup();
            match self.loader.load_endpoints(ids).await {
                Ok(loaded) => {
                    let mut loaded = loaded.into_iter().peekable();
                    let mut batch = batch.into_iter().peekable();
                    while let Some((id, answer)) = batch.next() {
                        while loaded.next_if(|(found, _)| *found < id).is_some() {}
                        let shared = batch.peek().is_some_and(|(next, _)| *next == id);
                        let stored = if shared {
                            let found = loaded.peek().filter(|(found, _)| *found == id);
                            found.map(|(_, stored)| stored.clone())
                        } else {
                            loaded
                                .next_if(|(found, _)| *found == id)
                                .map(|(_, stored)| stored)
                        };
                        // Whoever asked may have been forgotten meanwhile.
                        let _ =
                            answer.send(stored.unwrap_or_else(|| Ok(StoredEndpoint::default())));
                    }
                }
                Err(error) => {
                    for (_, answer) in batch {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
            self.count.set(self.count.get().saturating_sub(count));
        }
        self.under_way.set(self.under_way.get().saturating_sub(1));
    }
}

/// So many devices are read in one set of queries at most.
const TOGETHER: usize = 256;
/// So many sets of queries are under way at most: one would let the processor wait for the disk.
const UNDER_WAY: usize = 2;
/// Four sets of queries.
const MANY: usize = 1_024;
