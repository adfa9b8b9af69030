//! The memory that requests in flight may hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A number of bytes shared by all requests.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    total: usize,
}

/// Why a reservation could not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exhausted {
    /// Others hold the memory now.
    Now,
    /// One request asks for more than there is altogether.
    Ever,
}

/// What one request holds; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self { used: AtomicUsize::new(0), total })
    }

    /// An empty reservation.
    pub(crate) fn open(self: &Arc<Self>) -> Reservation {
        Reservation { budget: Arc::clone(self), bytes: 0 }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) const fn total(&self) -> usize {
        self.total
    }
}

impl Reservation {
    /// Takes `bytes` more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        if self.bytes.saturating_add(bytes) > self.budget.total {
            return Err(Exhausted::Ever);
        }
        let total = self.budget.total;
        let take = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= total);
        match self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(_) => Err(Exhausted::Now),
        }
    }

    /// Gives `bytes` back.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_total_and_all_of_it_comes_back() {
        let budget = Budget::new(100);
        let mut a = budget.open();
        let mut b = budget.open();
        assert_eq!(a.grow(60), Ok(()));
        assert_eq!(b.grow(60), Err(Exhausted::Now));
        assert_eq!(a.grow(60), Err(Exhausted::Ever));
        a.shrink(30);
        assert_eq!(b.grow(60), Ok(()));
        assert_eq!(budget.used(), 90);
        drop(a);
        drop(b);
        assert_eq!(budget.used(), 0);
    }
}
