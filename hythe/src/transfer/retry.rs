//! Trying again: how often, and after how long.

use std::time::Duration;

use hythe_net::reactor::sleep;

use super::{Event, Settings, Watch};
use crate::client::{Error, Reason, Result};

/// No wait is longer, unless the server asks for it.
const LONGEST: Duration = Duration::from_secs(30);

/// No server is obeyed that asks for more than this.
const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// How often it was tried in vain.
pub(super) struct Tries<'a> {
    settings: &'a Settings,
    failed: u32,
    /// How far it had come at the last failure.
    reached: u64,
}

impl<'a> Tries<'a> {
    pub(super) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            failed: 0,
            reached: 0,
        }
    }

    /// Waits for the next try, if there is to be one. Whoever got further than
    /// the last time has all tries again.
    ///
    /// # Errors
    /// The error itself, if trying again is in vain.
    pub(super) async fn next(
        &mut self,
        name: &str,
        error: Error,
        reached: u64,
        watch: &dyn Watch,
    ) -> Result<()> {
        // Nobody is at the other end, and nobody was before: a mistake in the name.
        let is_mistake = error.reason == Reason::Unreachable && reached == 0;
        if !error.is_passing() || is_mistake {
            return Err(error);
        }
        if reached > self.reached {
            self.reached = reached;
            self.failed = 0;
        }
        if self.failed == self.settings.retries {
            return Err(error);
        }
        let wait = match error.reason {
            Reason::Busy(Some(asked)) => asked.min(LONGEST_ASKED),
            _ => (self.settings.first_wait * 2_u32.saturating_pow(self.failed)).min(LONGEST),
        };
        self.failed += 1;
        watch.event(Event::Retrying {
            name,
            error: &error,
            wait,
        });
        sleep(wait).await;
        Ok(())
    }
}
