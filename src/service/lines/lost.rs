//! The first line that was not delivered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::sync::lock;
use crate::{Error, RecordMetadata, Result};

/// Which line that is, and why. Lines of several partitions end in any order.
#[derive(Debug)]
pub(super) struct Lost {
    /// `u64::MAX` while none is lost.
    number: AtomicU64,
    why: Mutex<Option<Error>>,
}

impl Default for Lost {
    fn default() -> Self {
        Self { number: AtomicU64::new(u64::MAX), why: Mutex::default() }
    }
}

impl Lost {
    /// Whether a line is lost. Costs one load.
    pub(super) fn any(&self) -> bool {
        self.number.load(Ordering::Acquire) != u64::MAX
    }

    /// The first of them so far.
    pub(super) fn first(&self) -> Option<(u64, Error)> {
        let why = lock(&self.why);
        why.clone().map(|why| (self.number.load(Ordering::Acquire), why))
    }

    /// To be called with the outcome of this line.
    pub(super) fn told(self: &Arc<Self>, number: u64) -> impl FnOnce(&Result<RecordMetadata>) + Send + 'static + use<> {
        let lost = Arc::clone(self);
        move |outcome| {
            if let Err(error) = outcome {
                lost.note(number, error);
            }
        }
    }

    fn note(&self, number: u64, error: &Error) {
        let mut why = lock(&self.why);
        if number < self.number.load(Ordering::Acquire) {
            *why = Some(error.clone());
            self.number.store(number, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_counts_whenever_it_is_told() {
        let lost = Arc::new(Lost::default());
        assert!(!lost.any() && lost.first().is_none());
        for number in [7, 3, 5] {
            lost.told(number)(&Err(Error::state(format!("{number} failed"))));
            assert!(lost.any());
        }
        let (number, why) = lost.first().unwrap();
        assert_eq!((number, why.to_string().as_str()), (3, "3 failed"));
    }
}
