//! The first line that was not delivered.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::sync::lock;
use crate::{Error, RecordMetadata, Result};

/// Which line that is, and why. Lines of several partitions end in any order.
#[derive(Debug, Default)]
pub(super) struct Lost {
    any: AtomicBool,
    first: Mutex<Option<(u64, Error)>>,
}

impl Lost {
    /// Whether a line is lost. Costs one load.
    pub(super) fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// The first of them so far.
    pub(super) fn first(&self) -> Option<(u64, Error)> {
        lock(&self.first).clone()
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
        let mut first = lock(&self.first);
        if first.as_ref().is_none_or(|(before, _)| number < *before) {
            *first = Some((number, error.clone()));
        }
        self.any.store(true, Ordering::Release);
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
