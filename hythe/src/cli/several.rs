//! The same for several files: some at a time, and what is told of those that
//! fail.

use std::pin::Pin;

use super::failure::Failure;
use super::progress::Progress;
use crate::transfer::at_most;

/// Does the work for each, so many at a time. Failures are told as they come, and
/// the first decides the exit status after all were tried; then `left` says what
/// is left. The failure of one alone is that of the whole.
pub(super) async fn for_each<T>(
    things: impl IntoIterator<Item = T>,
    at_once: usize,
    progress: &Progress,
    left: &str,
    work: impl AsyncFn(T) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let things: Vec<T> = things.into_iter().collect();
    let alone = things.len() == 1;
    let work = &work;
    let jobs = things.into_iter().map(|thing| {
        let job: Pin<Box<dyn Future<Output = Option<Failure>> + '_>> = Box::pin(async move {
            let failure = work(thing).await.err()?;
            if !alone {
                progress.failed(&failure.to_string());
            }
            Some(failure)
        });
        job
    });
    let failed = at_most(at_once, jobs).await;
    match failed.into_iter().flatten().next() {
        None => Ok(()),
        Some(failure) if alone => Err(failure),
        Some(failure) => Err(Failure::new(failure.exit(), left)),
    }
}
