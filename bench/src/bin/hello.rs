//! "Hello, world!" by `hythe::http`, as its users write it: a function behind a
//! router, on one event loop.
//!
//! With `--routes N` there are so many routes, of which the last has a parameter:
//! `/hello/world` is answered with the same text.

use std::process::ExitCode;

use hythe::http::{Http, Request, Router};
use hythe_bench::args::run;
use hythe_net::{Addr, Model, MuxKind, Server};

fn main() -> ExitCode {
    run("hello ADDR [--routes N]", |mut args| {
        let routes: Option<usize> = args.option("--routes")?;
        let address: Addr = args.word("ADDR")?;
        args.finish()?;

        let mut router = Router::new().get("/", hello);
        if let Some(count) = routes {
            router = (2..count).fold(router, |router, number| {
                router.get(&format!("/section{}/page{number}", number % 5), hello)
            });
            router = router.get("/hello/{name}", greet);
        }
        let model = Model::Events {
            mux: MuxKind::EpollEdge,
        };
        let server = Server::new(model).listen(&address, Http::new(router))?;
        println!("listening on {}", server.addresses()[0]);
        server.serve()?;
        Ok(())
    })
}

async fn hello(_: Request) -> &'static str {
    "Hello, world!"
}

async fn greet(request: Request) -> String {
    format!("Hello, {}!", request.param("name").unwrap_or_default())
}
