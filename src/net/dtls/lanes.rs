//! What waits for a handshake thread: two queues of bounded length. What belongs to a handshake
//! under way goes first, so that strangers, however many, do not delay those who have shown their
//! address.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// See the module.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    queues: Mutex<Queues<T>>,
    filled: Condvar,
    /// Of each lane.
    limit: usize,
}

#[derive(Debug)]
struct Queues<T> {
    known: VecDeque<T>,
    strangers: VecDeque<T>,
    /// The thread that takes is asleep: only then it has to be woken, which is a call of the system.
    is_waited_for: bool,
    is_closed: bool,
}

/// Which queue something goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Known,
    Strangers,
}

impl<T> Lanes<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            queues: Mutex::new(Queues {
                known: VecDeque::new(),
                strangers: VecDeque::new(),
                is_waited_for: false,
                is_closed: false,
            }),
            filled: Condvar::new(),
            limit,
        }
    }

    /// Puts something into its lane; false, and it is lost, when that is full.
    pub(super) fn put(&self, lane: Lane, item: T) -> bool {
        let mut queues = self.lock();
        let queue = match lane {
            Lane::Known => &mut queues.known,
            Lane::Strangers => &mut queues.strangers,
        };
        if queue.len() >= self.limit {
            return false;
        }
        queue.push_back(item);
        let is_waited_for = std::mem::take(&mut queues.is_waited_for);
        drop(queues);
        if is_waited_for {
            self.filled.notify_one();
        }
        true
    }

    /// Takes what is first, after at most this time; an error once the lanes are closed. To be called by one
    /// thread.
    pub(super) fn take(&self, within: Duration) -> Result<Option<T>, Closed> {
        let mut queues = self.lock();
        if !queues.is_closed && queues.known.is_empty() && queues.strangers.is_empty() {
            queues.is_waited_for = true;
            (queues, _) = self
                .filled
                .wait_timeout(queues, within)
                .unwrap_or_else(PoisonError::into_inner);
            queues.is_waited_for = false;
        }
        if queues.is_closed {
            return Err(Closed);
        }
        Ok(queues
            .known
            .pop_front()
            .or_else(|| queues.strangers.pop_front()))
    }

    /// Ends the thread that takes.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queues<T>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nothing more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closed;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_known_goes_first_and_a_full_lane_takes_no_more() {
        let lanes = Lanes::new(2);
        assert!(lanes.put(Lane::Strangers, 1));
        assert!(lanes.put(Lane::Strangers, 2));
        assert!(!lanes.put(Lane::Strangers, 3));
        assert!(lanes.put(Lane::Known, 4));
        let mut taken = Vec::new();
        while let Ok(Some(item)) = lanes.take(Duration::ZERO) {
            taken.push(item);
        }
        assert_eq!(taken, [4, 1, 2]);
    }

    #[test]
    fn what_is_put_wakes_who_waits_each_time() {
        let minute = Duration::from_secs(60);
        let lanes = std::sync::Arc::new(Lanes::new(1));
        let (taken, has_taken) = std::sync::mpsc::channel();
        let taking = {
            let lanes = std::sync::Arc::clone(&lanes);
            std::thread::spawn(move || {
                while let Ok(item) = lanes.take(minute) {
                    taken.send(item).expect("somebody listens");
                }
            })
        };
        for number in 0..100 {
            assert!(lanes.put(Lane::Known, number), "the one before was taken");
            let next = || has_taken.recv_timeout(minute / 2);
            let item = std::iter::repeat_with(next).find(|item| *item != Ok(None));
            assert_eq!(item, Some(Ok(Some(number))));
        }
        lanes.close();
        taking.join().expect("no panic");
    }

    #[test]
    fn a_closed_lane_wakes_who_waits() {
        let lanes = std::sync::Arc::new(Lanes::<u8>::new(1));
        let waiting = {
            let lanes = std::sync::Arc::clone(&lanes);
            std::thread::spawn(move || lanes.take(Duration::from_secs(60)))
        };
        lanes.close();
        assert_eq!(waiting.join().expect("no panic"), Err(Closed));
    }
}
