//! How much has moved, and how fast it may.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counts what moves, for whoever shows it, and holds it back to a rate. Clones
/// are the same meter.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    moved: Arc<AtomicU64>,
    rate: Option<Arc<Rate>>,
}

impl Meter {
    /// A meter that holds back to `rate`, which may be shared by several.
    pub fn new(rate: Option<Arc<Rate>>) -> Self {
        Self {
            moved: Arc::default(),
            rate,
        }
    }

    /// How many bytes have moved.
    pub fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }

    /// Counts bytes that have moved, and gives how long to wait before the next.
    pub fn count(&self, bytes: u64) -> Duration {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
        match &self.rate {
            Some(rate) => rate.take(bytes),
            None => Duration::ZERO,
        }
    }

    /// How many bytes to move at a time, at most, so that a rate is held evenly;
    /// `None` without one.
    pub fn piece(&self) -> Option<u64> {
        let rate = self.rate.as_ref()?;
        Some((rate.bytes_per_second / 10).max(1))
    }
}

/// So many bytes a second, for all who share it.
#[derive(Debug)]
pub struct Rate {
    bytes_per_second: u64,
    /// Until when what has moved has used up its time.
    used_until: Mutex<Instant>,
}

impl Rate {
    /// A rate in bytes a second, at least one.
    pub fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second: bytes_per_second.max(1),
            used_until: Mutex::new(Instant::now()),
        }
    }

    fn take(&self, bytes: u64) -> Duration {
        let now = Instant::now();
        let mut until = self
            .used_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Time that nobody used is gone.
        let begin = (*until).max(now);
        *until = begin + Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        until.saturating_duration_since(now)
    }
}
