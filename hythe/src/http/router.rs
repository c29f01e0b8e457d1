//! [`Router`]: who answers which path and method.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use ::http::header::{ALLOW, LOCATION};
use ::http::{Method, StatusCode};
use hythe_wire::http as wire;
use percent_encoding::utf8_percent_encode;

use super::path::{decoded, normal};
use super::service::{Answering, AnyService, Next};
use super::{Endpoint, Error, IntoResponse, Layer, Ready, Request, Response, Service};

/// Paths, and who answers there.
///
/// ```
/// use hythe::http::{Error, Json, Request, Router};
///
/// async fn greet(request: Request) -> String {
///     format!("Hello, {}!\n", request.param("name").unwrap_or("stranger"))
/// }
///
/// async fn sum(mut request: Request) -> Result<Json<u64>, Error> {
///     let numbers: Vec<u64> = request.json().await?;
///     Ok(Json(numbers.iter().sum()))
/// }
///
/// let api = Router::new().post("/sum", sum);
/// let router = Router::new().get("/hello/{name}", greet).nest("/api", api);
/// # let _ = router;
/// ```
///
/// A path is text in which `{name}` stands for one segment, not empty, and
/// `{*name}` at the end for all that follows, not empty either. What is written
/// out goes before what is not. Paths are compared in their one form, so
/// `/%68ello` is `/hello`; what is not ASCII is written as it is: `/留言`.
///
/// What nobody answers is 404, or 405 with the methods that are; HEAD is GET
/// without the body, and OPTIONS tells the methods, unless somebody answers them
/// otherwise.
///
/// Others take more paths for one than a router does: a share has `/x` also at `//x`
/// and `/%40` also at `/@`. What guards them is a [`layer`](Self::layer) around
/// the router that they are in, and not a path beside them.
pub struct Router<S = ()> {
    state: S,
    table: Arc<Table>,
}

/// What a router has been told, when it serves.
#[derive(Default)]
pub(super) struct Table {
    tree: matchit::Router<usize>,
    places: Vec<Place>,
    pub(super) layers: Vec<Box<dyn Layer>>,
    fallback: Option<Found>,
}

/// Who answers.
type Answerer = Box<dyn Fn(Request) -> Answering + Send + Sync>;

enum Found {
    Endpoint(Answerer),
    Service(Arc<dyn AnyService>),
}

impl Found {
    fn answer(&self, request: Request) -> Answering {
        match self {
            Self::Endpoint(answer) => answer(request),
            Self::Service(service) => Arc::clone(service).call(request),
        }
    }
}

/// What is at a path.
enum Place {
    Methods(Methods),
    /// This, and all below.
    Mount(Found, Mounted),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mounted {
    /// The path itself belongs to it.
    At,
    /// Only what is below belongs to it.
    Below,
}

/// The name of what is below a mount, in the tree. Nobody's own, since spaces in
/// patterns are encoded.
const BELOW: &str = " ";

struct Methods {
    path: String,
    known: Vec<(Method, Answerer)>,
    any: Option<Answerer>,
}

impl Methods {
    fn find(&self, method: &Method) -> Option<&Answerer> {
        let of = |wanted: &Method| {
            let mut known = self.known.iter();
            known.find(|(method, _)| method == wanted)
        };
        let found = of(method).or_else(|| (method == Method::HEAD).then(|| of(&Method::GET))?);
        found.map(|(_, answer)| answer).or(self.any.as_ref())
    }

    /// For the field `Allow`.
    fn allowed(&self) -> String {
        let mut names: Vec<&str> = self
            .known
            .iter()
            .map(|(method, _)| method.as_str())
            .collect();
        if names.contains(&"GET") && !names.contains(&"HEAD") {
            names.push("HEAD");
        }
        if !names.contains(&"OPTIONS") {
            names.push("OPTIONS");
        }
        names.sort_unstable();
        names.join(", ")
    }
}

impl Router {
    /// A router whose functions take a request and nothing else.
    pub fn new() -> Self {
        Self::with_state(())
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Clone + Send + Sync + 'static> Router<S> {
    /// A router whose functions may take a state as well, which is cloned for each
    /// request: an [`Arc`] of what they share.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use hythe::http::{Request, Router};
    ///
    /// async fn count(visits: Arc<AtomicU64>, _: Request) -> String {
    ///     format!("visit {}\n", visits.fetch_add(1, Ordering::Relaxed) + 1)
    /// }
    ///
    /// let router = Router::with_state(Arc::new(AtomicU64::new(0))).get("/", count);
    /// # let _ = router;
    /// ```
    pub fn with_state(state: S) -> Self {
        Self {
            state,
            table: Arc::default(),
        }
    }

    /// Has `endpoint` answer GET, and HEAD.
    ///
    /// # Panics
    /// If the path is no pattern, or has an answer already.
    #[must_use]
    pub fn get<A>(self, path: &str, endpoint: impl Endpoint<S, A>) -> Self {
        self.on(Method::GET, path, endpoint)
    }

    /// Has `endpoint` answer POST.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[must_use]
    pub fn post<A>(self, path: &str, endpoint: impl Endpoint<S, A>) -> Self {
        self.on(Method::POST, path, endpoint)
    }

    /// Has `endpoint` answer PUT.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[must_use]
    pub fn put<A>(self, path: &str, endpoint: impl Endpoint<S, A>) -> Self {
        self.on(Method::PUT, path, endpoint)
    }

    /// Has `endpoint` answer PATCH.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[must_use]
    pub fn patch<A>(self, path: &str, endpoint: impl Endpoint<S, A>) -> Self {
        self.on(Method::PATCH, path, endpoint)
    }

    /// Has `endpoint` answer DELETE.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[must_use]
    pub fn delete<A>(self, path: &str, endpoint: impl Endpoint<S, A>) -> Self {
        self.on(Method::DELETE, path, endpoint)
    }

    /// Has `endpoint` answer this method.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[must_use]
    pub fn on<A>(mut self, method: Method, path: &str, endpoint: impl Endpoint<S, A>) -> Self {
        let answerer = self.answerer(endpoint);
        let methods = self.methods(path);
        let taken = methods.known.iter().any(|(known, _)| *known == method);
        assert!(!taken, "{method} {path} is answered twice");
        methods.known.push((method, answerer));
        self
    }

    /// Has `endpoint` answer all methods that nobody else answers there.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[must_use]
    pub fn any<A>(mut self, path: &str, endpoint: impl Endpoint<S, A>) -> Self {
        let answerer = self.answerer(endpoint);
        let methods = self.methods(path);
        assert!(methods.any.is_none(), "{path} is answered twice");
        methods.any = Some(answerer);
        self
    }

    /// Has another service answer at `path` and below: a router, with its own layers
    /// and its own answer for what is not found, or something else for which the
    /// path itself is a place. What the path's pattern stands for is known there as
    /// well.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[must_use]
    pub fn nest(self, path: &str, service: impl Service) -> Self {
        self.place(path, Found::Service(Arc::new(service)), Mounted::At)
    }

    /// Has a service answer below `path`. Who asks for the path itself is sent on
    /// to what is below, so that relative links lead there.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    #[must_use]
    pub fn mount(self, path: &str, service: impl Service) -> Self {
        self.place(path, Found::Service(Arc::new(service)), Mounted::Below)
    }

    /// Has a layer around all of this router: what is found, and what is not. The
    /// first is outermost.
    #[must_use]
    pub fn layer(mut self, layer: impl Layer) -> Self {
        self.table().layers.push(Box::new(layer));
        self
    }

    /// Has `endpoint` answer what is not found here. A nested router has a fallback of
    /// its own; one page for all that is 404 is the work of a [`layer`](Self::layer).
    #[must_use]
    pub fn fallback<A>(mut self, endpoint: impl Endpoint<S, A>) -> Self {
        let answerer = self.answerer(endpoint);
        self.table().fallback = Some(Found::Endpoint(answerer));
        self
    }

    /// Has a service answer what is not found here.
    #[must_use]
    pub fn fallback_to(mut self, service: impl Service) -> Self {
        self.table().fallback = Some(Found::Service(Arc::new(service)));
        self
    }

    fn answerer<A>(&self, endpoint: impl Endpoint<S, A>) -> Answerer {
        let state = self.state.clone();
        Box::new(move |request| endpoint.answer(&state, request))
    }

    fn table(&mut self) -> &mut Table {
        // Nobody else has it before it serves, and then it is not added to.
        Arc::get_mut(&mut self.table).expect("a router that serves is not changed")
    }

    fn methods(&mut self, path: &str) -> &mut Methods {
        let pattern = pattern(path);
        let table = self.table();
        let known = table
            .places
            .iter()
            .position(|place| matches!(place, Place::Methods(methods) if methods.path == pattern));
        let index = known.unwrap_or_else(|| {
            table.insert(pattern.clone());
            table.places.push(Place::Methods(Methods {
                path: pattern,
                known: Vec::new(),
                any: None,
            }));
            table.places.len() - 1
        });
        match &mut table.places[index] {
            Place::Methods(methods) => methods,
            Place::Mount(..) => unreachable!("it was looked for among the others"),
        }
    }

    fn place(mut self, path: &str, found: Found, mounted: Mounted) -> Self {
        let pattern = pattern(path);
        let prefix = pattern.trim_end_matches('/');
        let table = self.table();
        if !prefix.is_empty() {
            table.insert(prefix.to_owned());
        }
        table.insert(format!("{prefix}/"));
        table.insert(format!("{prefix}/{{*{BELOW}}}"));
        table.places.push(Place::Mount(found, mounted));
        self
    }
}

/// A pattern, with its text in the form that paths have.
fn pattern(path: &str) -> String {
    assert!(
        path.starts_with('/'),
        "the path {path:?} does not begin with a slash"
    );
    let mut names = Vec::new();
    for segment in path.split('/').skip(1) {
        assert!(
            !segment.starts_with([':', '<']),
            "the path {path:?}: a parameter is written as {{id}}"
        );
        assert!(
            !matches!(segment, "." | "..") && !segment.contains(['?', '#']),
            "the path {path:?} is never asked for: {segment:?} is no part of a path's one form"
        );
        if segment.starts_with('{') {
            assert!(
                !names.contains(&segment),
                "the path {path:?} has {segment} twice"
            );
            names.push(segment);
        }
    }
    utf8_percent_encode(path, super::path::PATTERN).to_string()
}

impl Table {
    fn insert(&mut self, pattern: String) {
        let index = self.places.len();
        let inserted = self.tree.insert(pattern.clone(), index);
        if let Err(error) = inserted {
            panic!("the path {pattern:?} can't be added: {error}");
        }
    }

    /// Finds who answers, and has it answer.
    pub(super) fn find(&self, mut request: Request) -> Answering {
        let path = match request.rest() {
            "" => "/",
            rest => rest,
        };
        let Ok(found) = self.tree.at(path) else {
            return match &self.fallback {
                Some(fallback) => fallback.answer(request),
                None => at_once(missing()),
            };
        };
        let place = &self.places[*found.value];
        if found.params.is_empty() && matches!(place, Place::Methods(_)) {
            return place.answer(request);
        }
        let mut below = usize::from(request.rest().ends_with('/'));
        let mut params = Vec::with_capacity(found.params.len());
        for (name, value) in found.params.iter() {
            if name == BELOW {
                below = 1 + value.len();
                continue;
            }
            let Some(value) = decoded(value) else {
                return at_once(Error::bad("the path is no text in UTF-8").into_response());
            };
            params.push((name.into(), value));
        }
        request.add_params(params);
        if matches!(place, Place::Mount(..)) {
            request.set_rest(below);
        }
        place.answer(request)
    }
}

impl Place {
    fn answer(&self, request: Request) -> Answering {
        match self {
            Self::Mount(_, Mounted::Below) if request.rest().is_empty() => {
                at_once(to_below(&request))
            }
            Self::Mount(found, _) => found.answer(request),
            Self::Methods(methods) => match methods.find(request.method()) {
                Some(answer) => answer(request),
                None => {
                    let allowed = methods.allowed();
                    let response = match *request.method() {
                        Method::OPTIONS => Response::new(StatusCode::NO_CONTENT),
                        _ => {
                            let text = format!("this takes {allowed}");
                            Response::error(StatusCode::METHOD_NOT_ALLOWED, &text)
                        }
                    };
                    at_once(response.with_header(ALLOW, allowed))
                }
            },
        }
    }
}

fn at_once(response: Response) -> Answering {
    Box::pin(std::future::ready(response))
}

fn missing() -> Response {
    Response::error(StatusCode::NOT_FOUND, "there is nothing at this address")
}

/// From where something is mounted to what is in it. Two slashes at the beginning
/// would be another host.
fn to_below(request: &Request) -> Response {
    let path = request.path().trim_start_matches('/');
    let query = match request.query_string() {
        Some(query) => format!("?{query}"),
        None => String::new(),
    };
    let target = format!("/{path}/{query}");
    Response::new(StatusCode::PERMANENT_REDIRECT).with_header(LOCATION, target)
}

impl<S: Send + Sync + 'static> Service for Router<S> {
    fn call(&self, request: Request) -> impl Future<Output = Response> {
        let next = Next {
            router: Arc::clone(&self.table),
            layer: 0,
        };
        next.answer(request)
    }

    /// What the fallback has ready, where that is what answers, and nothing is
    /// around it.
    fn ready(&self, head: &wire::Request<'_, '_>, send: &mut dyn FnMut(Ready<'_>)) {
        if let Some(Found::Service(fallback)) = &self.table.fallback
            && self.table.layers.is_empty()
            && (self.table.places.is_empty()
                || self.table.tree.at(&normal(head.target.path)).is_err())
        {
            fallback.ready(head, send);
        }
    }

    fn loggable<'t>(&self, target: &'t [u8]) -> Cow<'t, [u8]> {
        let mounted = self.table.places.iter().filter_map(|place| match place {
            Place::Mount(found, _) => Some(found),
            Place::Methods(_) => None,
        });
        let services = mounted.chain(&self.table.fallback);
        services.fold(Cow::Borrowed(target), |target, found| match found {
            Found::Service(service) => match service.loggable(&target) {
                Cow::Borrowed(_) => target,
                Cow::Owned(shown) => Cow::Owned(shown),
            },
            Found::Endpoint(_) => target,
        })
    }
}

impl<S> fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("places", &self.table.places.len())
            .field("layers", &self.table.layers.len())
            .finish_non_exhaustive()
    }
}
