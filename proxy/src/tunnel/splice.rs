//! Bytes from socket to socket that never enter this process: `splice(2)` over a pipe.
//!
//! For bulk data on plain TCP. A flow borrows a pipe from its worker when a read has filled
//! the scratch buffer, and gives it back as soon as its source has nothing more: an idle
//! tunnel holds none.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Capacity asked for: what a socket buffer holds under load. The kernel may give less,
/// down to 4 KiB once a user has many pipes.
const PIPE_LEN: usize = 256 * 1024;
/// Empty pipes kept for the next flow. One moves at a time; others hold what a slow reader
/// has not taken.
const MAX_IDLE: usize = 4;

/// A worker's pipes that nobody uses.
#[derive(Debug, Default)]
pub(super) struct Pipes(RefCell<Vec<Pipe>>);

impl Pipes {
    /// An empty pipe. None where there are no descriptors left for one: then bytes are
    /// copied.
    pub(super) fn take(&self) -> Option<Pipe> {
        let pooled = self.0.borrow_mut().pop();
        pooled.or_else(Pipe::new)
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.0.borrow().len()
    }

    /// Keeps `pipe` if it is empty; closes it, and what is in it, otherwise.
    pub(super) fn put(&self, pipe: Pipe) {
        let mut pipes = self.0.borrow_mut();
        if pipe.filled == 0 && pipes.len() < MAX_IDLE {
            pipes.push(pipe);
        }
    }
}

/// Bytes on their way from one socket to another.
#[derive(Debug)]
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    filled: usize,
}

impl Pipe {
    fn new() -> Option<Pipe> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        // A smaller pipe does as well, with more calls.
        let _ = fcntl(
            &write,
            FcntlArg::F_SETPIPE_SZ(i32::try_from(PIPE_LEN).unwrap_or(i32::MAX)),
        );
        Some(Pipe {
            read,
            write,
            filled: 0,
        })
    }

    /// Bytes in it.
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// Takes what `from` has, without waiting. To be called while it is empty.
    ///
    /// # Errors
    /// `WouldBlock` where `from` has nothing; those of the socket. 0 is its end.
    pub(super) fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let count = from.try_io(Interest::READABLE, || {
            transfer(&from.as_fd(), &self.write, PIPE_LEN)
        })?;
        self.filled += count;
        Ok(count)
    }

    /// Gives `to` what it takes, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` where `to` has no room; those of the socket.
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
