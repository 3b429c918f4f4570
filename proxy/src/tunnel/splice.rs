//! Bytes from socket to socket that never enter this process: `splice(2)` over a pipe.
//!
//! For bulk data on plain TCP. A flow borrows a pipe from its worker when a read has filled
//! the scratch buffer, and gives it back as soon as its source has nothing more: an idle
//! tunnel holds none.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Capacity asked for: what a socket buffer holds under load. The kernel may give less,
/// down to 4 KiB once a user has many pipes.
const PIPE_LEN: usize = 256 * 1024;
/// Most pipes of one worker. A reader that takes nothing holds the pipe of its tunnel, and
/// must not hold the descriptors that clients need; a tunnel without a pipe copies.
pub(super) const MAX_PIPES: usize = 8;

/// A worker's pipes that nobody uses.
#[derive(Debug, Default)]
pub(super) struct Pipes {
    idle: RefCell<Vec<Pipe>>,
    /// Held by each pipe that is open.
    open: Rc<()>,
}

impl Pipes {
    /// An empty pipe. None where there are too many, or no descriptors left for one.
    pub(super) fn take(&self) -> Option<Pipe> {
        let pooled = self.idle.borrow_mut().pop();
        pooled.or_else(|| {
            let open = Rc::strong_count(&self.open) - 1;
            (open < MAX_PIPES)
                .then(|| Pipe::new(&self.open))
                .and_then(Result::ok)
        })
    }

    /// How many there are.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Keeps `pipe` if it is empty; closes it, and what is in it, otherwise.
    pub(super) fn put(&self, pipe: Pipe) {
        if pipe.filled == 0 {
            self.idle.borrow_mut().push(pipe);
        }
    }
}

/// Bytes on their way from one socket to another.
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
        // A smaller pipe does as well, with more calls.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_in_use_are_bounded_and_empty_ones_come_back() {
        let pipes = Pipes::default();
        let mut taken: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).collect();
        assert_eq!(taken.len(), MAX_PIPES);
        // One that is put back is lent again, one that is dropped makes room for a new one.
        pipes.put(taken.remove(0));
        assert_eq!(pipes.idle(), 1);
        taken.truncate(1);
        taken.extend(std::iter::from_fn(|| pipes.take()));
        assert_eq!(taken.len(), MAX_PIPES);
        // Bytes left in it belong to nobody else.
        let mut full = taken.remove(0);
        full.filled = 1;
        pipes.put(full);
        assert_eq!(pipes.idle(), 0);
    }
}
