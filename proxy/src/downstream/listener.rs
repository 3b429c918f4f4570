//! The accept loop of one listening socket in one worker, and handover of connections to other
//! workers.
//!
//! Only the signal to stop ends the loop; errors do not. Spawned by `worker`.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;

use super::resources::Resources;
use super::{Connection, Peer, accept, http1};
use crate::connection_limiter::{ConnectionLimiter, WorkerPermit};
use crate::frontend::Frontend;
use crate::shutdown::Shutdown;
use crate::transport::io::{self as transport, Io};
use crate::tunnel::Scratch;
use crate::upstream::connect::{is_exhaustion, set_keep_alive};

/// Pause before the next accept when descriptors or memory have run out. Meanwhile, connections
/// wait in the backlog.
const EXHAUSTION_PAUSE: Duration = Duration::from_millis(100);

/// A bound socket that accepts connections, or will once it listens.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    family: Family,
    name: String,
    /// The file of a Unix socket.
    path: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Tcp,
    Unix,
}

/// Whether other sockets can listen on the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// No. The socket is bound without listening, to find out whether the address is free.
    Alone,
    /// Yes, the sockets of the other workers (`SO_REUSEPORT`): the kernel distributes the
    /// connections.
    Workers,
}

impl Listener {
    /// Binds a TCP socket.
    ///
    /// # Errors
    /// Errors of `bind(2)` and `listen(2)`.
    pub fn tcp(
        address: std::net::SocketAddr,
        backlog: u32,
        sharing: Sharing,
    ) -> io::Result<Listener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if sharing == Sharing::Workers {
            socket.set_reuse_port(true)?;
        }
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        // Accepted sockets inherit both options, which saves two system calls per connection.
        socket.set_tcp_nodelay(true)?;
        set_keep_alive(&SockRef::from(&socket))?;
        socket.bind(&address.into())?;
        if sharing == Sharing::Workers {
            Listener::listen(&socket, backlog)?;
        }
        // If port 0 was requested, the kernel has chosen a free port.
        let bound = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Listener {
            socket,
            family: Family::Tcp,
            name: bound.to_string(),
            path: None,
        })
    }

    /// Binds a Unix socket. Replaces a socket file that a dead process has left behind. Calls
    /// `prepare` after the file is created and before any client can connect.
    ///
    /// # Errors
    /// `AddrInUse` if another process listens on the socket, `AlreadyExists` if the file is not a
    /// socket, and errors of `bind(2)`, `listen(2)` and `prepare`.
    pub fn unix(
        path: &PathBuf,
        backlog: u32,
        prepare: impl FnOnce(&Path) -> io::Result<()>,
    ) -> io::Result<Listener> {
        let address = SockAddr::unix(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        match socket.connect(&address) {
            Ok(()) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                // A connection to an ordinary file is refused as well, but such a file must not be
                // removed.
                if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                std::fs::remove_file(path)?;
            }
            Err(_) => {}
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&address)?;
        if let Err(error) = prepare(path).and_then(|()| Listener::listen(&socket, backlog)) {
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(Listener {
            socket,
            family: Family::Unix,
            name: unix_name(path),
            path: Some(path.clone()),
        })
    }

    /// Adopts a socket that another process has bound and listens on.
    ///
    /// # Errors
    /// `InvalidInput` if it is not a listening TCP socket or a listening Unix socket with a file,
    /// and errors of `getsockopt(2)` and `setsockopt(2)`.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Listener> {
        let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        let socket = Socket::from(descriptor);
        socket.set_cloexec(true)?;
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return refuse("it is not a listening stream socket");
        }
        socket.set_nonblocking(true)?;
        let address = socket.local_addr()?;
        if let Some(bound) = address.as_socket() {
            socket.set_tcp_nodelay(true)?;
            set_keep_alive(&SockRef::from(&socket))?;
            return Ok(Listener {
                socket,
                family: Family::Tcp,
                name: bound.to_string(),
                path: None,
            });
        }
        let Some(path) = address.as_pathname().map(Path::to_owned) else {
            return refuse("it has neither an IP address nor a file");
        };
        Ok(Listener {
            socket,
            family: Family::Unix,
            name: unix_name(&path),
            path: Some(path),
        })
    }

    fn listen(socket: &Socket, backlog: u32) -> io::Result<()> {
        socket.set_nonblocking(true)?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
    }

    /// Duplicates the descriptor, so that another worker can accept from the same socket.
    ///
    /// # Errors
    /// Errors of `dup(2)`.
    pub fn try_clone(&self) -> io::Result<Listener> {
        Ok(Listener {
            socket: self.socket.try_clone()?,
            family: self.family,
            name: self.name.clone(),
            path: self.path.clone(),
        })
    }

    /// Returns the file of a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Returns the bound address, which is the same for every worker.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Releases the descriptor to code with its own accept loop.
impl From<Listener> for OwnedFd {
    fn from(listener: Listener) -> OwnedFd {
        OwnedFd::from(listener.socket)
    }
}

/// Returns the name of a Unix socket, as used in logs and in `Bind`.
pub fn unix_name(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// State shared by a frontend's connections in one worker.
#[derive(Debug, Clone)]
pub struct Acceptor {
    /// The frontend that serves the connections.
    pub frontend: Rc<Frontend>,
    /// The workers that can serve the connections.
    pub workers: Rc<Workers>,
    /// The worker's buffer for tunnels.
    pub scratch: Scratch,
    /// The worker's other resources.
    pub resources: Rc<Resources>,
    /// Counts the connections and signals them to stop.
    pub shutdown: Shutdown,
}

/// All workers, from the point of view of one of them.
#[derive(Debug, Clone)]
pub struct Workers {
    /// Index of the worker whose view this is.
    pub own: usize,
    /// Limits the connections of all workers together to `max_connections`.
    pub limiter: Arc<ConnectionLimiter>,
    /// For each worker, the channel for connections that others have accepted for it.
    pub inboxes: Vec<mpsc::UnboundedSender<Accepted>>,
}

/// An accepted connection that is not being served yet.
#[derive(Debug)]
pub struct Accepted {
    socket: OwnedFd,
    peer: Peer,
    /// The frontend and the socket that accepted the connection, so that another worker can find
    /// its own.
    listener_id: Arc<ListenerId>,
    permit: WorkerPermit,
}

/// Identifies a listening socket by name.
#[derive(Debug)]
struct ListenerId {
    frontend: String,
    socket: String,
}

impl Accepted {
    /// Returns the name of the frontend that accepted the connection.
    pub fn frontend(&self) -> &str {
        &self.listener_id.frontend
    }
}

impl Acceptor {
    /// Serves a connection in this worker. Returns the connection if the frontend does not have the
    /// socket that accepted it.
    pub fn serve(&self, accepted: Accepted) -> Option<Accepted> {
        let rules = self.frontend.rules();
        let Some(bind) = rules.sockets.bind(&accepted.listener_id.socket) else {
            return Some(accepted);
        };
        let stream = match accepted.peer {
            Peer::Tcp(_) => TcpStream::from_std(std::net::TcpStream::from(accepted.socket))
                .map(transport::Socket::Tcp),
            Peer::Unix => {
                let stream = std::os::unix::net::UnixStream::from(accepted.socket);
                UnixStream::from_std(stream).map(transport::Socket::Unix)
            }
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                tracing::error!(frontend = &*self.frontend.name, %error, "cannot poll a connection; it is closed");
                return None;
            }
        };
        let connection = Connection::new(
            Rc::clone(&self.frontend),
            &accepted.peer,
            &bind.config,
            Rc::clone(&self.resources),
            self.shutdown.clone(),
            self.scratch.clone(),
        );
        let guard = self.shutdown.enter(accepted.permit);
        if accept::is_needed(rules.config.mode, bind) {
            let bind = Rc::clone(bind);
            let accepting = accept::serve(connection, bind, accepted.peer, stream, guard);
            tokio::task::spawn_local(accepting);
        } else {
            tokio::task::spawn_local(http1::serve(connection, Io::plain(stream), guard));
        }
        None
    }

    /// Serves a connection here, or hands it over to a less busy worker.
    fn assign(&self, mut accepted: Accepted) {
        let worker = accepted.permit.worker();
        if worker != self.workers.own {
            match self.workers.inboxes[worker].send(accepted) {
                Ok(()) => return,
                // The other worker is stopping.
                Err(mpsc::error::SendError(returned)) => accepted = returned,
            }
            accepted.permit.move_to(self.workers.own);
        }
        // `serve` cannot return the connection here: the rules contain every socket that this
        // worker accepts from.
        drop(self.serve(accepted));
    }
}

/// Accepts connections until the worker stops.
///
/// # Errors
/// If the socket cannot be registered with the poller.
pub async fn run(listener: Listener, acceptor: Acceptor) -> io::Result<()> {
    let family = listener.family;
    let listener_id = Arc::new(ListenerId {
        frontend: acceptor.frontend.name.to_string(),
        socket: listener.name,
    });
    let socket = register(listener.socket)?;
    let shutdown = acceptor.shutdown.clone();
    tokio::select! {
        biased;
        () = shutdown.begun() => Ok(()),
        never = accept(&socket, family, &listener_id, &acceptor) => match never {},
    }
}

fn register(socket: Socket) -> io::Result<AsyncFd<Socket>> {
    #[expect(
        unsafe_code,
        reason = "tokio has no listener that waits without accepting"
    )]
    // SAFETY: a `Socket` owns its descriptor and keeps the same one until it is dropped. The
    // `AsyncFd` drops it last, and nothing here replaces it.
    let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1)
}

async fn accept(
    socket: &AsyncFd<Socket>,
    family: Family,
    listener_id: &Arc<ListenerId>,
    acceptor: &Acceptor,
) -> std::convert::Infallible {
    loop {
        // The permit is taken only after a client is waiting. If idle workers held the last
        // permits, other workers could not accept waiting clients.
        let Ok(mut ready) = socket.readable().await else {
            // The poller is gone, and so is the runtime that would resume this task.
            std::future::pending::<()>().await;
            continue;
        };
        let permit = acceptor.workers.limiter.take().await;
        match ready.try_io(|socket| accept_one(socket, family)) {
            Err(_would_block) => {}
            Ok(Ok((socket, peer))) => acceptor.assign(Accepted {
                socket,
                peer,
                listener_id: Arc::clone(listener_id),
                permit: acceptor
                    .workers
                    .limiter
                    .assign(permit, acceptor.workers.own),
            }),
            Ok(Err(error)) => {
                drop(permit);
                pause(&error, &listener_id.frontend).await;
            }
        }
    }
}

fn accept_one(socket: &AsyncFd<Socket>, family: Family) -> io::Result<(OwnedFd, Peer)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (descriptor, address) = acceptfrom_with(socket.get_ref().as_fd(), flags)?;
    let peer = match family {
        Family::Tcp => address
            .and_then(|address| std::net::SocketAddr::try_from(address).ok())
            .map(Peer::Tcp)
            .ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))?,
        Family::Unix => Peer::Unix,
    };
    Ok((descriptor, peer))
}

/// Waits after a failed accept if descriptors or memory have run out, so that other connections can
/// free some. Does not wait if the client had already closed the connection.
async fn pause(error: &io::Error, frontend: &str) {
    if is_exhaustion(error) {
        tracing::error!(frontend, %error, "cannot accept; clients wait in the backlog");
        tokio::time::sleep(EXHAUSTION_PAUSE).await;
    } else {
        tracing::debug!(frontend, %error, "accept failed");
    }
}
