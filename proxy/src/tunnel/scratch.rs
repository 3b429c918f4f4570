//! Resources shared by the tunnels of a worker: a buffer, and pipes.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::splice::Pipes;
use crate::transport::io::Io;

/// Length of the scratch buffer: the amount of data that a socket buffer commonly contains.
const SCRATCH_LEN: usize = 64 * 1024;

/// A buffer that all tunnels of a worker use in turn, and the pipes that they borrow.
#[derive(Debug, Clone)]
pub struct Scratch(pub(super) Rc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) buffer: RefCell<Box<[u8]>>,
    pub(super) pipes: Pipes,
}

impl Default for Scratch {
    fn default() -> Self {
        Scratch(Rc::new(Shared {
            buffer: RefCell::new(vec![0; SCRATCH_LEN].into_boxed_slice()),
            pipes: Pipes::default(),
        }))
    }
}

impl Scratch {
    /// Reads bytes and discards them.
    ///
    /// # Errors
    /// Same as [`Io::try_read`].
    pub fn discard(&self, io: &mut Io) -> io::Result<usize> {
        io.try_read(&mut self.0.buffer.borrow_mut())
    }
}
