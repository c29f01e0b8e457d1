//! Who answers which path and method.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hythe::http::{Html, Json, Method, Request, Response, Router, StatusCode};
use serde::Serialize;

use super::{App, text};

async fn seen(request: Request) -> String {
    let param = |name| request.param(name).unwrap_or("-").to_owned();
    format!(
        "{} {} name={} rest={} below={} base={}",
        request.method(),
        request.path(),
        param("name"),
        param("rest"),
        request.rest(),
        request.base(),
    )
}

fn router() -> Router {
    Router::new()
        .get("/", async |_: Request| "root")
        .get("/hello/{name}", seen)
        .get("/hello/world", async |_: Request| "the world itself")
        .get("/files/{*rest}", seen)
        .get("/留言", async |_: Request| "板")
        .put("/thing", async |_: Request| "put")
        .post("/thing", async |_: Request| "posted")
        .on(Method::OPTIONS, "/told", async |_: Request| "my own")
        .on(Method::HEAD, "/head", async |_: Request| {
            Response::new(StatusCode::OK).with_header("x-own", "head")
        })
        .get("/head", async |_: Request| "got")
        .any("/any", seen)
        .get("/any", async |_: Request| "got any")
}

#[test]
fn paths_find_who_answers_them() {
    let app = App::serve(router());
    let mut client = app.client();
    for (target, status, body) in [
        ("/", 200, "root"),
        ("/?q", 200, "root"),
        ("/hello/world", 200, "the world itself"),
        ("/hello/%77orld", 200, "the world itself"),
        ("/hello/x/../world", 200, "the world itself"),
        ("/hello/%2e%2e/hello/world", 200, "the world itself"),
        (
            "/hello/%E6%9D%A5%20%2B+",
            200,
            "GET /hello/%E6%9D%A5%20%2B+ name=来 ++ rest=- below=/hello/%E6%9D%A5%20%2B+ base=",
        ),
        (
            "/hello/a%2fb",
            200,
            "GET /hello/a%2Fb name=a/b rest=- below=/hello/a%2Fb base=",
        ),
        ("/hello/..%2f..%2fetc", 200, ""),
        ("/hello/%2525", 200, ""),
        (
            "/hello/%ff",
            400,
            "400 Bad Request: the path is no text in UTF-8\n",
        ),
        (
            "/hello/%zz",
            400,
            "400 Bad Request: the path is no text in UTF-8\n",
        ),
        ("/hello/", 404, ""),
        ("/hello", 404, ""),
        ("/hello/a/b", 404, ""),
        ("/hello/world/", 404, ""),
        (
            "/files/a/b%20c",
            200,
            "GET /files/a/b%20c name=- rest=a/b c below=/files/a/b%20c base=",
        ),
        ("/files/", 404, ""),
        ("/%E7%95%99%E8%A8%80", 200, "板"),
        ("/%e7%95%99%e8%a8%80", 200, "板"),
        ("//", 404, ""),
        ("//hello/world", 404, ""),
        ("/HELLO/world", 404, ""),
        ("http://quay/hello/world", 200, "the world itself"),
        ("/any", 200, "got any"),
    ] {
        let reply = client.ask("GET", target, &[]);
        assert_eq!(reply.status, status, "{target}: {}", text(&reply));
        if !body.is_empty() {
            assert_eq!(text(&reply), body, "{target}");
        }
    }
    // Bytes that no URI can hold are escaped, not refused.
    let reply = client.ask("GET", "/hello/<\"`|{}^>", &[]);
    assert!(text(&reply).contains("name=<\"`|{}^> "), "{}", text(&reply));
}

#[test]
fn methods_find_who_answers_them_and_others_are_told_which() {
    let app = App::serve(router());
    let mut client = app.client();
    for (method, target, status, allow) in [
        ("HEAD", "/", 200, None),
        ("POST", "/", 405, Some("GET, HEAD, OPTIONS")),
        ("OPTIONS", "/", 204, Some("GET, HEAD, OPTIONS")),
        ("PUT", "/thing", 200, None),
        ("GET", "/thing", 405, Some("OPTIONS, POST, PUT")),
        ("HEAD", "/thing", 405, Some("OPTIONS, POST, PUT")),
        ("MKCOL", "/thing", 405, Some("OPTIONS, POST, PUT")),
        ("OPTIONS", "/told", 200, None),
        ("DELETE", "/any", 200, None),
        ("OPTIONS", "/any", 200, None),
        ("OPTIONS", "/nowhere", 404, None),
        ("OPTIONS", "*", 404, None),
    ] {
        let reply = client.ask(method, target, &[]);
        assert_eq!(reply.status, status, "{method} {target}");
        assert_eq!(reply.field("Allow"), allow, "{method} {target}");
    }
    let head = client.ask("HEAD", "/", &[]);
    assert_eq!(head.field("Content-Length"), Some("4"));
    let own = client.ask("HEAD", "/head", &[]);
    assert_eq!(own.field("X-Own"), Some("head"));
    assert_eq!(text(&client.ask("GET", "/head", &[])), "got");
}

#[test]
fn routers_are_nested_with_their_parameters_and_their_own_answers() {
    let leaf = Router::new()
        .get("/", async |_: Request| "leaf")
        .get("/see/{name}", seen)
        .fallback(async |request: Request| {
            let text = format!("no {} in {}", request.rest(), request.base());
            (StatusCode::NOT_FOUND, text)
        });
    let branch = Router::new()
        .get("/", async |_: Request| "branch")
        .nest("/leaf", leaf);
    let root = Router::new()
        .get("/trees", async |_: Request| "all trees")
        .nest("/trees/{name}/branch", branch);
    let app = App::serve(root);
    for (target, status, body) in [
        ("/trees", 200, "all trees"),
        ("/trees/oak", 404, ""),
        ("/trees/oak/branch", 200, "branch"),
        ("/trees/oak/branch/", 200, "branch"),
        ("/trees/oak/branch/none", 404, ""),
        ("/trees/oak/branch/leaf", 200, "leaf"),
        ("/trees/oak/branch/leaf/", 200, "leaf"),
        ("/trees/oak/branch/leaf/x/../", 200, "leaf"),
        (
            "/trees/oak/branch/leaf/see/sun",
            200,
            "GET /trees/oak/branch/leaf/see/sun name=sun rest=- below=/see/sun \
             base=/trees/oak/branch/leaf",
        ),
        (
            "/trees/oak/branch/leaf/none",
            404,
            "no /none in /trees/oak/branch/leaf",
        ),
        ("/trees/oak/branchleaf", 404, ""),
    ] {
        let reply = app.get(target);
        assert_eq!(reply.status, status, "{target}: {}", text(&reply));
        if !body.is_empty() {
            assert_eq!(text(&reply), body, "{target}");
        }
    }
}

#[test]
fn functions_share_a_state_and_answer_in_many_forms() {
    #[derive(Serialize)]
    struct Fish {
        name: &'static str,
    }
    async fn count(visits: Arc<AtomicU64>, _: Request) -> String {
        visits.fetch_add(1, Ordering::Relaxed).to_string()
    }
    let visits = Arc::new(AtomicU64::new(7));
    let router = Router::with_state(Arc::clone(&visits))
        .get("/count", count)
        .get("/json", async |_: Request| Json(Fish { name: "鲤" }))
        .get("/html", async |_: Request| Html("<p>fish"))
        .get("/bytes", async |_: Request| vec![0_u8, 255])
        .get("/nothing", async |_: Request| ())
        .get("/teapot", async |_: Request| StatusCode::IM_A_TEAPOT)
        .get("/made", async |_: Request| (StatusCode::CREATED, "made"))
        .get("/see", async |_: Request| Response::redirect("/count"));
    let app = App::serve(router);
    for (target, status, media_type, body) in [
        ("/count", 200, Some("text/plain; charset=utf-8"), &b"7"[..]),
        ("/count", 200, Some("text/plain; charset=utf-8"), b"8"),
        (
            "/json",
            200,
            Some("application/json"),
            "{\"name\":\"鲤\"}".as_bytes(),
        ),
        ("/html", 200, Some("text/html; charset=utf-8"), b"<p>fish"),
        ("/bytes", 200, Some("application/octet-stream"), b"\0\xff"),
        ("/nothing", 204, None, b""),
        (
            "/teapot",
            418,
            Some("text/plain; charset=utf-8"),
            b"418 I'm a teapot\n",
        ),
        ("/made", 201, Some("text/plain; charset=utf-8"), b"made"),
        ("/see", 303, None, b""),
    ] {
        let reply = app.get(target);
        assert_eq!(reply.status, status, "{target}");
        assert_eq!(reply.field("Content-Type"), media_type, "{target}");
        assert_eq!(reply.body, body, "{target}");
    }
    assert_eq!(visits.load(Ordering::Relaxed), 9);
}

#[test]
fn a_path_that_is_answered_twice_is_told_at_once() {
    let says = |build: fn() -> Router| {
        let panic = std::panic::catch_unwind(build).unwrap_err();
        panic.downcast_ref::<String>().unwrap().clone()
    };
    let nothing = || async |_: Request| "";
    assert_eq!(
        says(|| {
            let nothing = async |_: Request| "";
            Router::new().get("/a", nothing).get("/a", nothing)
        }),
        "GET /a is answered twice"
    );
    assert!(says(|| Router::new().get("a", async |_: Request| "")).contains("begin with a slash"));
    let router = || Router::new().get("/", async |_: Request| "");
    assert_eq!(
        text(&App::serve(router().get("/a/{b}", nothing()).post("/a/{b}", nothing())).get("/")),
        ""
    );
    assert!(
        says(|| {
            let nothing = async |_: Request| "";
            Router::new().get("/a/{b}", nothing).get("/a/{c}", nothing)
        })
        .contains("can't be added")
    );
}
