//! What is beside the share: paths, and services that answer there.

use super::failure::{Exit, Failure};
use crate::http::{Router, Service};
use crate::share::RESERVED;

/// A router in the making, and who has which path.
pub(super) struct Mounts {
    router: Router,
    taken: Vec<(String, &'static str)>,
}

impl Mounts {
    pub(super) fn new() -> Self {
        Self {
            router: Router::new(),
            taken: Vec::new(),
        }
    }

    /// Has a service answer below a path, as the flag of this name says.
    ///
    /// # Errors
    /// The path is somebody's.
    pub(super) fn mount(
        self,
        flag: &'static str,
        path: &str,
        service: impl Service,
    ) -> Result<Self, Failure> {
        self.add(flag, path, |router| router.mount(path, service))
    }

    /// The same, where the path itself belongs to the service.
    ///
    /// # Errors
    /// As [`mount`](Self::mount).
    pub(super) fn nest(
        self,
        flag: &'static str,
        path: &str,
        service: impl Service,
    ) -> Result<Self, Failure> {
        self.add(flag, path, |router| router.nest(path, service))
    }

    fn add(
        mut self,
        flag: &'static str,
        path: &str,
        add: impl FnOnce(Router) -> Router,
    ) -> Result<Self, Failure> {
        let owner = self.taken.iter().find(|(taken, _)| taken == path);
        if let Some((_, owner)) = owner {
            let text = if *owner == flag {
                format!("{flag} {path} is given twice; leave one of them out")
            } else {
                format!("{owner} and {flag} both want {path}; give each a path of its own")
            };
            return Err(Failure::new(Exit::Usage, text));
        }
        self.taken.push((path.to_owned(), flag));
        Ok(Self {
            router: add(self.router),
            ..self
        })
    }

    /// A router with all of these, and with the share, or what stands for it, for
    /// all else.
    pub(super) fn around(self, share: impl Service) -> Router {
        self.router.fallback_to(share)
    }
}

/// A path at which something may be mounted, without a slash at its end.
pub(super) fn prefix(path: &str) -> Result<String, String> {
    let whole = path.strip_suffix('/').unwrap_or(path);
    if path == "/" {
        return Err("the share is at `/`; name a path below, such as /api".into());
    }
    let Some(rest) = whole.strip_prefix('/') else {
        return Err(format!(
            "the path `{path}` must begin with a slash: /{path}"
        ));
    };
    for segment in rest.split('/') {
        if segment.as_bytes().eq_ignore_ascii_case(RESERVED) {
            let text = "what is below /.hythe/ is the server's own; choose another path";
            return Err(text.into());
        }
        let unfit = |letter: char| letter.is_control() || "%{}*?#\\".contains(letter);
        if matches!(segment, "" | "." | "..") || segment.contains(unfit) {
            return Err(format!(
                "`{path}` is no path to put something at: write out its names, without empty ones, \
                 dots alone, and any of %{{}}*?#\\"
            ));
        }
    }
    Ok(whole.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_paths_that_nobody_else_has() {
        for (path, expected) in [
            ("/api", "/api"),
            ("/api/", "/api"),
            ("/a/b c/留言", "/a/b c/留言"),
            ("/.well-known/x", "/.well-known/x"),
        ] {
            assert_eq!(prefix(path).as_deref(), Ok(expected));
        }
        for (path, said) in [
            ("/", "the share is at"),
            ("", "begin with a slash"),
            ("api", "begin with a slash: /api"),
            ("/.hythe", "the server's own"),
            ("/.HYTHE/x", "the server's own"),
            ("/a/.hythe", "the server's own"),
            ("//", "no path"),
            ("/a//b", "no path"),
            ("/a/../b", "no path"),
            ("/a/.", "no path"),
            ("/%61", "no path"),
            ("/{a}", "no path"),
            ("/a?b", "no path"),
        ] {
            let error = prefix(path).unwrap_err();
            assert!(error.contains(said), "{path}: {error}");
        }
    }
}
