//! Sockets, multiplexers, a reactor and servers, from the bare system call up.
