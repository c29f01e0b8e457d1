//! System calls that `rustix` does not wrap the way we need, one thin safe
//! function each. This is the only folder of the project with `unsafe`.
//!
//! Not here: policy. A function below makes its call, turns -1 into an
//! [`io::Error`], and returns.

#![allow(
    unsafe_code,
    reason = "the one folder where system calls are made by hand"
)]

use std::ffi::{CStr, c_int};
use std::fmt;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::time::Duration;

use crate::InterfaceAddress;

/// `getsockopt(2)`: fills `value` from the front and returns how many bytes
/// the kernel wrote.
pub(crate) fn getsockopt(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &mut [u8],
) -> io::Result<usize> {
    let mut length = value.len() as libc::socklen_t;
    // SAFETY: `value` is writable for `length` bytes, and the kernel writes no more.
    let result = unsafe {
        libc::getsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &mut length,
        )
    };
    check(result)?;
    Ok(length as usize)
}

/// `setsockopt(2)`.
pub(crate) fn setsockopt(
    fd: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: &[u8],
) -> io::Result<()> {
    // SAFETY: `value` is readable for the length given, and the kernel only reads it.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    check(result).map(drop)
}

/// `ioctl(2)` with `SIOCOUTQ`: the bytes in the send queue. For TCP those are
/// what the peer has not acknowledged (`tcp(7)`).
pub(crate) fn outq(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut bytes: c_int = 0;
    // SAFETY: the kernel writes one `int`, and `bytes` is one. Linux gives
    // `SIOCOUTQ` the number of `TIOCOUTQ`.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    check(result)?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// `sockatmark(3)`, which is `ioctl(2)` with `SIOCATMARK`.
pub(crate) fn at_mark(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // The number most architectures share, from <asm-generic/sockios.h>; the
    // few others answer `ENOTTY`. `libc` has none.
    const SIOCATMARK: libc::Ioctl = 0x8905;
    let mut at_mark: c_int = 0;
    // SAFETY: the kernel writes one `int`, and `at_mark` is one.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), SIOCATMARK, &raw mut at_mark) };
    check(result)?;
    Ok(at_mark != 0)
}

/// `ppoll(2)` on descriptor numbers. `rustix` wants a borrow of each
/// descriptor for as long as the set lives, but a multiplexer must survive
/// its user closing one (the kernel then answers `POLLNVAL`).
pub(crate) fn poll(set: &mut [libc::pollfd], timeout: Option<Duration>) -> io::Result<usize> {
    let timeout = timeout.map(timespec);
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `set` is writable for its length, `timeout` is null or points to
    // a timespec that outlives the call, and a null signal mask changes none.
    let ready = unsafe {
        libc::ppoll(
            set.as_mut_ptr(),
            set.len() as libc::nfds_t,
            timeout,
            ptr::null(),
        )
    };
    check(ready).map(|ready| ready as usize)
}

/// A set of descriptor numbers as `select(2)` takes it: a bit for each of the
/// `FD_SETSIZE` that POSIX and the C library know.
#[derive(Clone)]
pub(crate) struct FdSet(libc::fd_set);

impl FdSet {
    /// How many numbers it has place for.
    pub(crate) const SIZE: usize = libc::FD_SETSIZE;

    /// Puts a number in or takes it out.
    ///
    /// # Panics
    /// Where there is no place for it.
    pub(crate) fn set(&mut self, fd: RawFd, present: bool) {
        assert!((0..Self::SIZE).contains(&(fd as usize)));
        // SAFETY: the set has a bit for `fd`, as was just made sure.
        unsafe {
            if present {
                libc::FD_SET(fd, &mut self.0);
            } else {
                libc::FD_CLR(fd, &mut self.0);
            }
        }
    }

    /// Whether a number is in it.
    pub(crate) fn has(&self, fd: RawFd) -> bool {
        // SAFETY: the set has a bit for `fd`, as is made sure first.
        (0..Self::SIZE).contains(&(fd as usize)) && unsafe { libc::FD_ISSET(fd, &self.0) }
    }
}

impl Default for FdSet {
    fn default() -> Self {
        // SAFETY: an `fd_set` is an array of numbers, and all zero is the empty set.
        Self(unsafe { mem::zeroed() })
    }
}

impl fmt::Debug for FdSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = 0..Self::SIZE as RawFd;
        f.debug_set()
            .entries(numbers.filter(|&fd| self.has(fd)))
            .finish()
    }
}

/// `pselect(2)` on the first `count` descriptor numbers of the sets readable,
/// writable and urgent; leaves in them those that are so.
pub(crate) fn select(
    count: usize,
    [readable, writable, urgent]: [&mut FdSet; 3],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let count = count.min(FdSet::SIZE) as c_int;
    let timeout = timeout.map(timespec);
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the sets are writable and have place for `count` numbers,
    // `timeout` is null or points to a timespec that outlives the call, and a
    // null signal mask changes none.
    let ready = unsafe {
        libc::pselect(
            count,
            &mut readable.0,
            &mut writable.0,
            &mut urgent.0,
            timeout,
            ptr::null(),
        )
    };
    check(ready).map(|ready| ready as usize)
}

fn timespec(duration: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: libc::time_t::try_from(duration.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

/// `epoll_ctl(2)` on a descriptor number, which may have been closed already:
/// then the kernel says `EBADF`, and nothing happens.
pub(crate) fn epoll_control(
    epoll: BorrowedFd<'_>,
    operation: c_int,
    fd: RawFd,
    events: u32,
    data: u64,
) -> io::Result<()> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: `event` outlives the call, and the kernel only reads it.
    let result = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, fd, &mut event) };
    check(result).map(drop)
}

/// `getifaddrs(3)`: the Internet addresses of the interfaces that are up.
pub(crate) fn interface_addresses() -> io::Result<Vec<InterfaceAddress>> {
    let mut first = ptr::null_mut();
    // SAFETY: `first` is writable, and is only used if the call succeeds.
    check(unsafe { libc::getifaddrs(&mut first) })?;
    let mut found = Vec::new();
    let mut next: *const libc::ifaddrs = first;
    // SAFETY: the list ends with a null pointer, and each item before that is
    // valid until the list is freed, below.
    while let Some(item) = unsafe { next.as_ref() } {
        next = item.ifa_next;
        let flags = item.ifa_flags as c_int;
        // SAFETY: the address is that of a valid item, null or complete.
        let address = unsafe { internet_address(item.ifa_addr) };
        if let Some(address) = address.filter(|_| flags & libc::IFF_UP != 0) {
            // SAFETY: the name of a valid item is a string that ends with NUL.
            let name = unsafe { CStr::from_ptr(item.ifa_name) };
            found.push(InterfaceAddress {
                interface: name.to_string_lossy().into_owned(),
                address,
                running: flags & libc::IFF_RUNNING != 0,
            });
        }
    }
    // SAFETY: the list is the one that was given, and nothing borrows from it
    // any more.
    unsafe { libc::freeifaddrs(first) };
    Ok(found)
}

/// The address in a `sockaddr`, if it is an IPv4 or IPv6 one.
///
/// # Safety
/// The pointer is null or that of an address as long as its family's are.
unsafe fn internet_address(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller promises, there is at least a family.
    let family = unsafe { address.as_ref() }?.sa_family;
    match c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: that is what an address of this family is.
            let address = unsafe { address.cast::<libc::sockaddr_in>().read_unaligned() };
            let bits = u32::from_be(address.sin_addr.s_addr);
            Some(Ipv4Addr::from_bits(bits).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { address.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(Ipv6Addr::from(address.sin6_addr.s6_addr).into())
        }
        _ => None,
    }
}

/// `fork(2)`: has a copy of this process close the descriptors `close` and run
/// `child`, and returns the copy's id. The copy ends with `child`, with the
/// status 1 if that fails, and runs no destructor of what it inherited.
///
/// `SIGTERM` ends the copy alone: the handlers it inherits speak for this
/// process, whose descriptors they know. It ignores `SIGINT`, which Ctrl-C
/// sends to both, and leaves what follows from that to this process.
///
/// It refuses where the process has other threads. They are not copied, but the
/// locks they hold are, and stay locked in the child for ever.
pub(crate) fn fork(
    close: impl IntoIterator<Item = RawFd>,
    child: impl FnOnce() -> io::Result<()>,
) -> io::Result<rustix::process::Pid> {
    only_thread()?;
    // Until the copy has forgotten the handlers, no signal may run one there.
    let before = block_all_signals()?;
    // SAFETY: as there is no other thread, the copy is complete and in a state
    // that this process could be in itself: all may be called in it.
    let forked = check(unsafe { libc::fork() });
    if let Ok(0) = forked {
        for (signal, action) in [
            (libc::SIGTERM, libc::SIG_DFL),
            (libc::SIGINT, libc::SIG_IGN),
        ] {
            // SAFETY: neither action is a function that would have to be sound.
            // Both signals exist and may be handled, so that this cannot fail.
            unsafe { libc::signal(signal, action) };
        }
    }
    set_blocked_signals(&before);
    if let Some(pid) = rustix::process::Pid::from_raw(forked?) {
        return Ok(pid);
    }
    for fd in close {
        // SAFETY: who owns them is of the parent's code. None of that runs in
        // the copy any more, for this function does not return there.
        unsafe { libc::close(fd) };
    }
    let done = catch_unwind(AssertUnwindSafe(child));
    let status = c_int::from(!matches!(done, Ok(Ok(()))));
    // SAFETY: it ends the process at once, as is always allowed.
    unsafe { libc::_exit(status) }
}

/// `pthread_sigmask(3)`: keeps signals waiting, and returns those that were
/// kept before.
fn block_all_signals() -> io::Result<libc::sigset_t> {
    // SAFETY: both sets are writable, and a zeroed one is valid. The kernel
    // reads the first and fills the second.
    let (result, before) = unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = mem::zeroed();
        libc::sigfillset(&mut all);
        let result = libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        (result, before)
    };
    match result {
        0 => Ok(before),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

/// `pthread_sigmask(3)`: keeps just `signals` waiting, as it was before.
fn set_blocked_signals(signals: &libc::sigset_t) {
    // SAFETY: the set is readable, and the old one is not asked for. It cannot
    // fail: the one error is about a first argument that does not exist.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, signals, ptr::null_mut()) };
}

/// Makes sure that the process has no thread but this one.
pub(crate) fn only_thread() -> io::Result<()> {
    // The links of the folder are its own two and one for each thread. Reading
    // it would take a descriptor, which a server may just not have.
    let threads = std::fs::metadata("/proc/self/task")?
        .nlink()
        .saturating_sub(2);
    if threads == 1 {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "a process with threads cannot be forked safely, and this one has {threads}: locks that \
         the others hold would stay locked in the copy; fork before they start, or use a model \
         without processes"
    )))
}

/// `close_range(2)` with `CLOSE_RANGE_CLOEXEC` (Linux 5.11): no program that is
/// executed from here on inherits a descriptor from `first` on that is open now.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: the call takes three numbers. It closes nothing now, and what it
    // marks is marked for everything this process opens itself.
    let result = unsafe {
        libc::syscall(
            libc::SYS_close_range,
            first,
            u32::MAX,
            libc::CLOSE_RANGE_CLOEXEC,
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Signals that only interrupt, for tests of what is interrupted.
#[cfg(test)]
pub(crate) mod interrupt {
    use std::os::unix::thread::{JoinHandleExt, RawPthread};
    use std::thread::JoinHandle;
    use std::{mem, ptr};

    extern "C" fn nothing(_: libc::c_int) {}

    /// Lets `SIGUSR1` interrupt system calls and do nothing else.
    pub(crate) fn prepare() {
        // SAFETY: a zeroed `sigaction` is a valid one, the handler touches
        // nothing, and the old action is not asked for.
        let result = unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as usize;
            libc::sigaction(libc::SIGUSR1, &action, ptr::null_mut())
        };
        assert_eq!(result, 0);
    }

    /// Interrupts a thread that was not joined yet.
    pub(crate) fn send<T>(thread: &JoinHandle<T>) {
        let thread: RawPthread = thread.as_pthread_t();
        // SAFETY: the handle is borrowed, so the thread was neither joined nor detached.
        assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }, 0);
    }
}
