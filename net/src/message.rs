//! What [`Socket`] sends and receives beside plain bytes: messages in several
//! pieces, descriptors that travel with them, and urgent data.
//!
//! Not here: control messages other than descriptors (`SCM_RIGHTS`). They are
//! passed over.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recv, recvmsg, send, sendmsg, sendmsg_addr,
};

use crate::{Addr, Socket, sys};

/// As many as Linux passes with one message (`SCM_MAX_FD`, `unix(7)`), so that
/// room for more would be wasted.
const MOST_DESCRIPTORS: usize = 253;

/// What a time of arrival takes (`SCM_TIMESTAMP`, `socket(7)`): both parts are
/// whole words, so that nothing is between them.
const TIMESTAMP_SPACE: usize = size_of::<libc::cmsghdr>() + size_of::<libc::timeval>();

/// What [`Socket::recv_msg`] received.
#[derive(Debug)]
pub struct Message {
    /// How many bytes came, filling the buffers in their order. 0 is the end
    /// of a stream, or an empty datagram.
    pub bytes: usize,
    /// The datagram was longer than the buffers; the rest is lost.
    pub truncated: bool,
    /// Something that came beside the bytes did not fit: mostly more
    /// descriptors than asked for, of which the others are closed.
    pub control_truncated: bool,
    /// The descriptors that came with it, each close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// Who sent it; unnamed where the kernel does not say, as on a stream.
    pub from: Addr,
}

impl Socket {
    /// `recvmsg(2)`: receives into several buffers at once (scatter), together
    /// with up to `descriptors` descriptors that the peer passed along; there
    /// are never more than 253 (`SCM_MAX_FD`).
    ///
    /// ```
    /// use std::io::{IoSlice, IoSliceMut};
    /// use std::os::fd::AsFd;
    /// use hythe_net::{Domain, Kind, Socket};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let (one, other) = Socket::pair(Domain::UNIX, Kind::STREAM)?;
    /// let file = std::fs::File::open("/dev/null")?;
    /// one.send_msg(&[IoSlice::new(b"take "), IoSlice::new(b"this")], &[file.as_fd()], None)?;
    ///
    /// let (mut head, mut rest) = ([0; 4], [0; 16]);
    /// let mut buffers = [IoSliceMut::new(&mut head), IoSliceMut::new(&mut rest)];
    /// let message = other.recv_msg(&mut buffers, 1)?;
    /// assert_eq!((message.bytes, message.fds.len()), (9, 1));
    /// assert_eq!((&head, &rest[..5]), (b"take", &b" this"[..]));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_msg(
        &self,
        buffers: &mut [IoSliceMut<'_>],
        descriptors: usize,
    ) -> io::Result<Message> {
        let descriptors = descriptors.min(MOST_DESCRIPTORS);
        // A time and credentials come first where `Timestamp` and `PassCred`
        // are on, and need room too.
        let room = rustix::cmsg_space!(ScmRights(descriptors), ScmCredentials(1)) + TIMESTAMP_SPACE;
        let mut room = vec![MaybeUninit::uninit(); room];
        let mut control = RecvAncillaryBuffer::new(&mut room);
        let received = recvmsg(&self.fd, buffers, &mut control, RecvFlags::CMSG_CLOEXEC)?;

        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                fds.extend(passed);
            }
        }
        let too_many = fds.len() > descriptors;
        fds.truncate(descriptors);
        Ok(Message {
            bytes: received.bytes,
            truncated: received.flags.contains(ReturnFlags::TRUNC),
            control_truncated: too_many || received.flags.contains(ReturnFlags::CTRUNC),
            fds,
            from: Addr::from_option(received.address),
        })
    }

    /// `sendmsg(2)`: sends several pieces as one (gather), with descriptors to
    /// pass along, to `address` where the socket is not connected. Tells how
    /// many bytes went out. Descriptors need a Unix socket, and on a stream at
    /// least one byte to go with.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`send_to`](Self::send_to); `InvalidInput`
    /// for more than 253 descriptors.
    pub fn send_msg(
        &self,
        pieces: &[IoSlice<'_>],
        descriptors: &[BorrowedFd<'_>],
        address: Option<&Addr>,
    ) -> io::Result<usize> {
        let mut room =
            vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(descriptors.len()))];
        let mut control = SendAncillaryBuffer::new(&mut room);
        if !descriptors.is_empty() {
            // There is room: it was measured for just this.
            control.push(SendAncillaryMessage::ScmRights(descriptors));
        }
        let flags = SendFlags::NOSIGNAL;
        Ok(match address {
            Some(address) => {
                sendmsg_addr(&self.fd, &address.to_any(), pieces, &mut control, flags)?
            }
            None => sendmsg(&self.fd, pieces, &mut control, flags)?,
        })
    }

    /// `send(2)` with `MSG_OOB`: sends `byte` as urgent data, which the peer
    /// may read before what was sent earlier (`tcp(7)`).
    ///
    /// ```
    /// use hythe_net::{Domain, Kind, More, Socket, create_server, option::OobInline};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let listener = create_server(&"127.0.0.1:0".parse()?, false)?;
    /// let client = Socket::new(Domain::INET, Kind::STREAM)?;
    /// client.connect(&listener.sock_name()?)?;
    /// let (server, _) = listener.accept()?;
    /// server.set(OobInline(true))?;
    ///
    /// client.send(b"ab", More::No)?;
    /// client.send_urgent(b'!')?;
    /// // One read never goes across the mark.
    /// let mut buffer = [0; 8];
    /// assert_eq!(server.recv(&mut buffer)?, 2);
    /// assert!(server.at_mark()?);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// As [`send`](Self::send); `EOPNOTSUPP` where there is no such thing.
    pub fn send_urgent(&self, byte: u8) -> io::Result<usize> {
        Ok(send(
            &self.fd,
            &[byte],
            SendFlags::NOSIGNAL | SendFlags::OOB,
        )?)
    }

    /// `recv(2)` with `MSG_OOB`: the urgent byte, which keeps a place of its
    /// own unless [`OobInline`](crate::option::OobInline) is on.
    ///
    /// # Errors
    /// `InvalidInput` where there is none; `WouldBlock` where it is announced
    /// and not there yet.
    pub fn recv_urgent(&self) -> io::Result<u8> {
        let mut byte = [0];
        match recv(&self.fd, &mut byte, RecvFlags::OOB)?.0 {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(byte[0]),
        }
    }

    /// `sockatmark(3)`: whether all that came before the urgent byte is read.
    ///
    /// # Errors
    /// `InvalidInput` and `ENOTTY` where there is no urgent data.
    pub fn at_mark(&self) -> io::Result<bool> {
        sys::at_mark(self.fd.as_fd())
    }
}
