//! Counters.

use std::time::Duration;

/// How often the stats thread reports unless told otherwise.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
