//! [`Feeding`]: the body of a request on its way to an application, beside
//! whatever the application says meanwhile.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use ::http::StatusCode;

use super::super::{Error, Request};

/// What is done beside reading an application's output. It lasts as long as the
/// client is there.
pub(super) struct Feeding(Pin<Box<dyn Future<Output = Error>>>);

impl Feeding {
    /// Has `feed` read the body of this request. When it has, the client is still
    /// watched: who has gone away wants no answer.
    pub(super) fn of<F, T>(request: Request, feed: F) -> Self
    where
        F: FnOnce(Request) -> T,
        T: Future<Output = Result<(), Error>> + 'static,
    {
        let line = request.line().cloned();
        let feeding = feed(request);
        Self(Box::pin(async move {
            if let Err(error) = feeding.await {
                return error;
            }
            match line {
                Some(line) => {
                    line.gone().await;
                    Error::new(StatusCode::BAD_REQUEST, "the client has gone away")
                }
                None => std::future::pending().await,
            }
        }))
    }

    /// Does some work while it goes on.
    ///
    /// # Errors
    /// The body did not come as it should, or the client is gone.
    pub(super) async fn beside<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        let mut work = pin!(work);
        poll_fn(|context| {
            // First, so that a client that waits for it is told to send its body
            // before there is an answer.
            if let Poll::Ready(error) = self.0.as_mut().poll(context) {
                return Poll::Ready(Err(error));
            }
            work.as_mut().poll(context).map(Ok)
        })
        .await
    }
}

impl fmt::Debug for Feeding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feeding").finish_non_exhaustive()
    }
}
