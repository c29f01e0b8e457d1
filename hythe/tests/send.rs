//! `hythe send` and `hythe receive`: files from one machine to another, whatever
//! comes between, and whoever is at the other end.

mod common;

#[path = "send/changing.rs"]
mod changing;
#[path = "send/disk.rs"]
mod disk;
#[path = "send/ends.rs"]
mod ends;
#[path = "send/existing.rs"]
mod existing;
#[path = "send/interrupted.rs"]
mod interrupted;
#[path = "send/many.rs"]
mod many;
#[path = "send/middle.rs"]
mod middle;
#[path = "send/places.rs"]
mod places;
#[path = "send/receivers.rs"]
mod receivers;
#[path = "send/secrets.rs"]
mod secrets;
#[path = "send/senders.rs"]
mod senders;
#[path = "send/trees.rs"]
mod trees;
#[path = "send/wire.rs"]
mod wire;
