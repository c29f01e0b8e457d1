//! Several transfers at once, on one thread.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

type Job<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Runs jobs, `most` of them at one time, and gives what came of them in the
/// order of the jobs.
pub async fn at_most<'a, T: 'a>(most: usize, jobs: impl IntoIterator<Item = Job<'a, T>>) -> Vec<T> {
    let mut waiting = jobs.into_iter().enumerate();
    let mut running: Vec<(usize, Job<'a, T>)> = waiting.by_ref().take(most.max(1)).collect();
    let mut done: Vec<Option<T>> = Vec::new();
    poll_fn(|context| {
        let mut index = 0;
        while index < running.len() {
            let (number, job) = &mut running[index];
            let Poll::Ready(result) = job.as_mut().poll(context) else {
                index += 1;
                continue;
            };
            let number = *number;
            if done.len() <= number {
                done.resize_with(number + 1, || None);
            }
            done[number] = Some(result);
            match waiting.next() {
                // Its turn comes in this round.
                Some(next) => running[index] = next,
                None => _ = running.swap_remove(index),
            }
        }
        if running.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use hythe_net::Reactor;
    use hythe_net::mux::Epoll;
    use hythe_net::reactor::yield_now;

    use super::*;

    #[test]
    fn so_many_run_at_once_and_all_are_told_in_order() {
        let reactor = Reactor::new(Epoll::edge().unwrap()).unwrap();
        let (running, most) = (Cell::new(0), Cell::new(0));
        let results = reactor.block_on(async {
            let jobs = (0..20_usize).map(|number| -> Job<'_, usize> {
                let (running, most) = (&running, &most);
                Box::pin(async move {
                    running.set(running.get() + 1);
                    most.set(most.get().max(running.get()));
                    for _ in 0..(number * 7) % 5 {
                        yield_now().await;
                    }
                    running.set(running.get() - 1);
                    number
                })
            });
            at_most(3, jobs).await
        });
        assert_eq!(results.unwrap(), (0..20).collect::<Vec<_>>());
        assert_eq!(most.get(), 3);
    }
}
