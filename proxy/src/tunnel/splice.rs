//! Moves bytes from socket to socket with `splice(2)` and a pipe, without copying them into this
//! process.
//!
//! Used for bulk data on plain TCP. A flow borrows a pipe from its worker once a read has filled
//! the scratch buffer, and returns the pipe as soon as its source has no more data. An idle tunnel
//! has no pipe.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Requested capacity of a pipe: the amount of data that a socket buffer contains under load. The
/// kernel can grant less, down to 4 KiB once a user has many pipes.
const PIPE_LEN: usize = 256 * 1024;
/// Maximum number of pipes of one worker. A reader that has stopped reading occupies the pipe of
/// its tunnel. The limit keeps such pipes from using up the descriptors that clients need. A tunnel
/// without a pipe copies its bytes.
pub(super) const MAX_PIPES: usize = 8;

/// A worker's unused pipes.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    idle: RefCell<Vec<Pipe>>,
    /// Counts open pipes: each pipe has a clone.
    open: Rc<()>,
}

impl Pipes {
    /// Returns an empty pipe, or `None` if too many pipes are open or no descriptors are left.
    pub(super) fn take(&self) -> Option<Pipe> {
        let pooled = self.idle.borrow_mut().pop();
        pooled.or_else(|| {
            let open = Rc::strong_count(&self.open) - 1;
            (open < MAX_PIPES)
                .then(|| Pipe::new(&self.open))
                .and_then(Result::ok)
        })
    }

    /// Returns the number of unused pipes.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Keeps `pipe` if it is empty. Otherwise closes it and discards its contents.
    pub(super) fn put(&self, pipe: Pipe) {
        if pipe.filled == 0 {
            self.idle.borrow_mut().push(pipe);
        }
    }
}

/// A pipe that carries bytes from one socket to another.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    filled: usize,
    _open: Rc<()>,
}

impl Pipe {
    fn new(open: &Rc<()>) -> nix::Result<Pipe> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        // A smaller pipe also works, but needs more calls.
        let _ = fcntl(
            &write,
            FcntlArg::F_SETPIPE_SZ(i32::try_from(PIPE_LEN).unwrap_or(i32::MAX)),
        );
        Ok(Pipe {
            read,
            write,
            filled: 0,
            _open: Rc::clone(open),
        })
    }

    /// Returns the number of bytes in the pipe.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Moves available bytes from `from` into the pipe, without waiting. Returns the number of
    /// bytes; 0 means the end of the stream. The pipe must be empty.
    ///
    /// # Errors
    /// `WouldBlock` if `from` has no data; errors of the socket.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let count = from.try_io(Interest::READABLE, || {
            transfer(&from.as_fd(), &self.write, PIPE_LEN)
        })?;
        self.filled += count;
        Ok(count)
    }

    /// Moves as many bytes to `to` as it accepts, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if `to` has no room; errors of the socket.
    pub(super) fn drain(&mut self, to: &TcpStream) -> io::Result<usize> {
        let count = to.try_io(Interest::WRITABLE, || {
            transfer(&self.read, &to.as_fd(), self.filled)
        })?;
        self.filled -= count;
        Ok(count)
    }
}

fn transfer(from: &impl AsFd, to: &impl AsFd, count: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    Ok(splice(from, None, to, None, count, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_in_use_are_bounded_and_empty_ones_come_back() {
        let pipes = Pipes::default();
        let mut taken: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).collect();
        assert_eq!(taken.len(), MAX_PIPES);
        // A pipe that is put back is handed out again. A pipe that is dropped makes room for a new
        // one.
        pipes.put(taken.remove(0));
        assert_eq!(pipes.idle(), 1);
        taken.truncate(1);
        taken.extend(std::iter::from_fn(|| pipes.take()));
        assert_eq!(taken.len(), MAX_PIPES);
        // A pipe with leftover bytes is never reused.
        let mut full = taken.remove(0);
        full.filled = 1;
        pipes.put(full);
        assert_eq!(pipes.idle(), 0);
    }
}
