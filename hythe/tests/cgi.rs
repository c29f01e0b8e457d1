//! `serve --cgi` and `--fastcgi`: programs that answer, and those that would
//! rather not.

mod common;

#[path = "cgi/limits.rs"]
mod limits;
#[path = "cgi/php.rs"]
mod php;
#[path = "cgi/refused.rs"]
mod refused;
#[path = "cgi/scripts.rs"]
mod scripts;
#[path = "cgi/stage.rs"]
mod stage;
