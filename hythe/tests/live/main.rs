//! What goes on for as long as somebody listens: WebSocket (RFC 6455) and
//! server-sent events, tried by programs of others; and the examples.

#[path = "../common/mod.rs"]
mod common;

mod server;
mod websocket;
