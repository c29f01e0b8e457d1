//! How many descriptors the process may have open: two or three for each
//! connection, so that the usual 1,024 do for a few hundred.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the number of descriptors this process may have open to the most it
/// may allow itself (`RLIMIT_NOFILE` of `getrlimit(2)`: the soft limit to the
/// hard one), and returns it. The soft limit is that low by default for the
/// sake of programs that use `select(2)`, which knows none beyond 1,023.
///
/// # Errors
/// The kernel's own; the limit is as it was then.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// let limit = hythe_net::raise_descriptor_limit()?;
/// assert_eq!(hythe_net::raise_descriptor_limit()?, limit);
/// # Ok(()) }
/// ```
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: hard,
            maximum: hard,
        },
    )?;
    // "None" is no limit, which Linux does not know for this resource.
    Ok(hard.unwrap_or(u64::MAX))
}
