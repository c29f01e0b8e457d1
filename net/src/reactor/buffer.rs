//! Buffers on loan, so that who only waits holds none.

use std::ops::{Deref, DerefMut};

use super::{CURRENT, current};

/// The size of a leased buffer: what one `recv` takes at most. Larger ones
/// bring no more speed on a stream, smaller ones cost more calls.
pub const BUFFER: usize = 16 * 1024;

/// How many free buffers a thread keeps: a megabyte.
const BUFFERS_KEPT: usize = 64;

/// A buffer of [`BUFFER`] bytes on loan from this thread's pool. Its content
/// is whatever the last user left there.
#[derive(Debug)]
pub struct Lease {
    bytes: Box<[u8]>,
}

/// Borrows a buffer, for as long as there is something to put into it: who
/// only waits should hold none.
pub fn lease() -> Lease {
    let kept = current().buffers.borrow_mut().pop();
    Lease {
        bytes: kept.unwrap_or_else(|| vec![0; BUFFER].into_boxed_slice()),
    }
}

impl Deref for Lease {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        CURRENT.with(|current| {
            if let Some(inner) = current.borrow().as_ref() {
                let mut buffers = inner.buffers.borrow_mut();
                if buffers.len() < BUFFERS_KEPT {
                    buffers.push(bytes);
                }
            }
        });
    }
}
