//! Who answers requests: [`Service`], and functions.

use std::borrow::Cow;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use hythe_wire::http as wire;

use super::{IntoResponse, Request, Response};

/// Answers requests: a [`Router`](super::Router), or anything that can be mounted
/// on one.
///
/// Everything runs on the reactor of the thread that has the connection. What
/// blocks belongs on the pool ([`unblock`](hythe_net::reactor::unblock)).
///
/// ```
/// use hythe::http::{Request, Response, Service};
///
/// struct Greeting(String);
///
/// impl Service for Greeting {
///     async fn call(&self, _: Request) -> Response {
///         Response::text(self.0.clone())
///     }
/// }
/// ```
pub trait Service: Send + Sync + 'static {
    /// Answers a request.
    fn call(&self, request: Request) -> impl Future<Output = Response>;

    /// Answers a GET or HEAD without a body at once, from what is ready in
    /// memory: gives `send` the whole response, head and body, if there is one.
    /// Only HTTP/1.1 requests on connections that are kept are asked for here, by
    /// a head that was parsed and not copied; all others, and those that this
    /// gives no response for, are [called](Self::call).
    fn ready(&self, head: &wire::Request<'_, '_>, send: &mut dyn FnMut(Ready<'_>)) {
        let _ = (head, send);
    }

    /// A target as it may be written to a log: without what is a secret.
    fn loggable<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]> {
        Cow::Borrowed(target)
    }
}

/// A response that is ready to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Ready<'r> {
    /// The head and, unless HEAD was asked, the body.
    pub bytes: &'r [u8],
    /// For the log.
    pub status: u16,
    /// How many of `bytes` are of the body, for the log.
    pub body: u64,
}

pub(super) type Answering = Pin<Box<dyn Future<Output = Response>>>;

/// A [`Service`] whose type does not matter any more.
pub(super) trait AnyService: Send + Sync {
    fn call(self: Arc<Self>, request: Request) -> Answering;
    fn ready(&self, head: &wire::Request<'_, '_>, send: &mut dyn FnMut(Ready<'_>));
    fn loggable<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]>;
}

impl<S: Service> AnyService for S {
    fn call(self: Arc<Self>, request: Request) -> Answering {
        Box::pin(async move { Service::call(&*self, request).await })
    }

    fn ready(&self, head: &wire::Request<'_, '_>, send: &mut dyn FnMut(Ready<'_>)) {
        Service::ready(self, head, send);
    }

    fn loggable<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]> {
        Service::loggable(self, target)
    }
}

/// A handler: a function that answers requests: `async fn(Request) -> impl IntoResponse`, or
/// `async fn(S, Request) -> impl IntoResponse` on a router
/// [with](super::Router::with_state) a state `S`.
#[diagnostic::on_unimplemented(
    message = "this is no handler",
    label = "no `async fn(Request)` or `async fn({S}, Request)` that returns `impl IntoResponse`",
    note = "the state comes first, and a value of your own is answered as `Json(value)`"
)]
pub trait Endpoint<S, Arguments>: Send + Sync + 'static {
    /// Answers a request.
    fn answer(&self, state: &S, request: Request) -> Pin<Box<dyn Future<Output = Response>>>;
}

impl<S, F, T, R> Endpoint<S, (Request,)> for F
where
    F: Fn(Request) -> T + Send + Sync + 'static,
    T: Future<Output = R> + 'static,
    R: IntoResponse,
{
    fn answer(&self, _: &S, request: Request) -> Answering {
        let answering = self(request);
        Box::pin(async move { answering.await.into_response() })
    }
}

impl<S, F, T, R> Endpoint<S, (S, Request)> for F
where
    S: Clone + Send + Sync + 'static,
    F: Fn(S, Request) -> T + Send + Sync + 'static,
    T: Future<Output = R> + 'static,
    R: IntoResponse,
{
    fn answer(&self, state: &S, request: Request) -> Answering {
        let answering = self(state.clone(), request);
        Box::pin(async move { answering.await.into_response() })
    }
}

/// Middleware: what lies between a router and who answers in the end: it may look at the
/// request before, at the response after, or answer by itself.
///
/// Any `async fn(Request, Next) -> impl IntoResponse` is one.
///
/// ```
/// use hythe::http::{Next, Request, Response, Router};
///
/// async fn signed(request: Request, next: Next) -> Response {
///     next.run(request).await.with_header("server", "hythe")
/// }
///
/// let router = Router::new()
///     .layer(signed)
///     .get("/", async |_: Request| "Hello!");
/// # let _ = router;
/// ```
pub trait Layer: Send + Sync + 'static {
    /// Answers a request, by [`next`](Next::run) or otherwise.
    fn around(&self, request: Request, next: Next) -> Pin<Box<dyn Future<Output = Response>>>;
}

impl<F, T, R> Layer for F
where
    F: Fn(Request, Next) -> T + Send + Sync + 'static,
    T: Future<Output = R> + 'static,
    R: IntoResponse,
{
    fn around(&self, request: Request, next: Next) -> Answering {
        let answering = self(request, next);
        Box::pin(async move { answering.await.into_response() })
    }
}

/// What is behind a [`Layer`]: the next one, or who answers.
pub struct Next {
    pub(super) router: Arc<super::router::Table>,
    pub(super) layer: usize,
}

impl Next {
    /// Has the rest answer.
    pub async fn run(self, request: Request) -> Response {
        self.answer(request).await
    }

    pub(super) fn answer(mut self, request: Request) -> Answering {
        if self.layer == self.router.layers.len() {
            return self.router.find(request);
        }
        let router = Arc::clone(&self.router);
        let layer = &router.layers[self.layer];
        self.layer += 1;
        layer.around(request, self)
    }
}

impl std::fmt::Debug for Next {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Next")
            .field("layer", &self.layer)
            .finish_non_exhaustive()
    }
}
