//! MOVE and COPY (RFC 4918 §9.8, §9.9), within the share.

use std::io;

use hythe_wire::http::Method;

use super::{Change, created};
use crate::serve::http::reply::{Body, Reply};
use crate::share::{Access, Existing, Kind, RelPath};

impl Change {
    pub(super) fn relocate(&self) -> Result<Reply, Reply> {
        let moves = self.ask.method == Method::Move;
        if moves {
            self.require(Access::Write, "moving")?;
        } else {
            self.require(Access::Upload, "copying")?;
        }
        let overwrite = self.overwrite()?;
        let to = self.destination()?;
        let meta = self.found()?;
        if meta.kind == Kind::File && self.as_folder {
            return Err(self.failed(&io::ErrorKind::NotFound.into()));
        }
        self.check(Some(&meta))?;
        if self.path.is_root() || to.is_root() {
            return Err(self.refusal(403, "the share itself stays where it is"));
        }
        if to == self.path {
            return Err(self.refusal(403, "it is there already"));
        }
        if meta.is_folder() && to.starts_with(&self.path) {
            return Err(self.refusal(409, "a folder can't be put into itself"));
        }
        let existing = self.existing_at(&to, overwrite)?;
        let view = &self.visit.view;
        let created_it = match self.ask.field("Depth") {
            _ if moves => view.rename(&self.path, &to, existing),
            // The folder without what is in it.
            Some(depth) if depth.trim_ascii() == b"0" && meta.is_folder() => {
                view.make_folder(&to).map(|()| true)
            }
            _ => view.copy(&self.path, &to, existing),
        }
        .map_err(|error| self.not_relocated(&to, &error))?;
        Ok(if created_it {
            created(&self.visit.base, &to, meta.is_folder())
        } else {
            Reply::new(204, Body::Nothing)
        })
    }

    /// `Overwrite`, which is true if it is not there (RFC 4918 §10.6).
    fn overwrite(&self) -> Result<bool, Reply> {
        match self.ask.field("Overwrite").map(<[u8]>::trim_ascii) {
            None | Some(b"T" | b"t") => Ok(true),
            Some(b"F" | b"f") => Ok(false),
            Some(_) => Err(self.refusal(400, "Overwrite is T or F")),
        }
    }

    /// `Destination`: an address of this server, or its path alone.
    fn destination(&self) -> Result<RelPath, Reply> {
        let Some(destination) = self.ask.field("Destination") else {
            return Err(self.refusal(400, "where to? Name it in a Destination field"));
        };
        let Some(path) = local_path(destination.trim_ascii(), &self.ask.host) else {
            let text = "only within this share: Destination is on another server";
            return Err(self.refusal(502, text));
        };
        let Some(path) = path.strip_prefix(self.ask.mount.as_bytes()) else {
            let text = "only within this share: Destination is outside of it";
            return Err(self.refusal(502, text));
        };
        if path.contains(&b'?') || path.contains(&b'#') {
            return Err(self.refusal(400, "Destination is a path, without ? and #"));
        }
        match RelPath::from_url_path(path) {
            Ok((to, _)) => Ok(to),
            Err(bad) => Err(self.refusal(400, &format!("Destination: {bad}"))),
        }
    }

    fn existing_at(&self, to: &RelPath, overwrite: bool) -> Result<Existing, Reply> {
        let found = self.metadata(to)?;
        if found.is_some() && !overwrite {
            return Err(self.taken());
        }
        if found.is_some() {
            self.require(Access::Write, "overwriting a file")?;
        }
        Ok(if overwrite && self.visit.view.access() >= Access::Write {
            Existing::Replace
        } else {
            Existing::Keep
        })
    }

    fn taken(&self) -> Reply {
        self.refusal(412, "there is something of this name already")
    }

    fn not_relocated(&self, to: &RelPath, error: &io::Error) -> Reply {
        match error.kind() {
            io::ErrorKind::AlreadyExists => self.taken(),
            io::ErrorKind::InvalidInput => self.refusal(409, "a folder can't be put into itself"),
            _ => self.failed_to_create(to, error),
        }
    }
}

/// The path in an address of this host; `None` if it is one of another.
fn local_path<'d>(destination: &'d [u8], host: &[u8]) -> Option<&'d [u8]> {
    if destination.starts_with(b"/") && !destination.starts_with(b"//") {
        return Some(destination);
    }
    let schemes = [&b"http://"[..], b"https://"];
    let rest = schemes.into_iter().find_map(|scheme| {
        let (head, rest) = destination.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = rest
        .iter()
        .position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    let ours = !host.is_empty() && authority.eq_ignore_ascii_case(host);
    ours.then_some(if path.is_empty() { b"/" } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_on_this_host() {
        for (destination, expected) in [
            ("/a/b", Some("/a/b")),
            ("http://quay:8000/a", Some("/a")),
            ("HTTPS://QUAY:8000/a%20b", Some("/a%20b")),
            ("http://quay:8000", Some("/")),
            ("http://quay:8000?x", Some("?x")),
            ("http://quay/a", None),
            ("http://quay:8000.evil/a", None),
            ("http://user@quay:8000/a", None),
            ("//quay:8000/a", None),
            ("a", None),
            ("", None),
            ("file:///etc/passwd", None),
            ("http:///a", None),
        ] {
            let found = local_path(destination.as_bytes(), b"quay:8000");
            assert_eq!(found, expected.map(str::as_bytes), "{destination}");
        }
    }
}
