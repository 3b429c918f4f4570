//! Requests at a constant rate, each timed from the moment when it was due.
//!
//! A slow response delays later requests, and their delay counts: nothing is left out because the
//! client was waiting (no coordinated omission).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use super::{Load, Times, counted, request};

/// Longest wait for the last responses, once all requests are due.
const GRACE: Duration = Duration::from_secs(20);

/// Rate of requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// This number per second, whether or not they get responses.
    Rate(f64),
    /// Each request as soon as its connection is free: the highest rate that this client achieves.
    Highest,
}

/// Queue of due requests, for the connections to send.
struct Queue {
    /// Time when each request is due; `None` makes a connection stop.
    due: RefCell<VecDeque<Option<Instant>>>,
    /// One permit for each entry, given to the connection that has waited longest.
    ready: Semaphore,
    /// Until this time, a request is due whenever a connection is free.
    always_until: Instant,
}

impl Queue {
    fn push(&self, due: Option<Instant>) {
        self.due.borrow_mut().push_back(due);
        self.ready.add_permits(1);
    }

    async fn pop(&self) -> Option<Instant> {
        let now = Instant::now();
        if now < self.always_until {
            return Some(now);
        }
        // The semaphore is never closed.
        self.ready.acquire().await.ok()?.forget();
        self.due.borrow_mut().pop_front().flatten()
    }
}

/// Sends requests for `duration`, over `connections` connections.
///
/// # Errors
/// A connection cannot be opened, or responses are still missing after [`GRACE`]. The result
/// contains other failures.
pub(crate) async fn run(
    proxy: SocketAddr,
    pace: Pace,
    connections: usize,
    duration: Duration,
) -> anyhow::Result<Load> {
    let work = async {
        let start = Instant::now();
        let queue = Rc::new(Queue {
            due: RefCell::default(),
            ready: Semaphore::new(0),
            always_until: match pace {
                Pace::Rate(_) => start,
                Pace::Highest => start + duration,
            },
        });
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(proxy).await?;
            stream.set_nodelay(true)?;
            clients.push(tokio::task::spawn_local(client(stream, Rc::clone(&queue))));
        }
        let start = Instant::now();
        if let Pace::Rate(rate) = pace {
            queue_up(&queue, start, rate, duration).await?;
        }
        for _ in 0..connections {
            queue.push(None);
        }
        let mut all = Times::new()?;
        let mut errors = Vec::new();
        for client in clients {
            let (times, error) = client.await??;
            all.add(&times)?;
            errors.extend(error);
        }
        let mut load = all.load(start.elapsed(), counted(errors));
        if load.seconds > duration.as_secs_f64() * 1.05 {
            load.notes.push(format!(
                "did not keep up: {:.1} s of requests took {:.1} s",
                duration.as_secs_f64(),
                load.seconds
            ));
        }
        anyhow::Ok(load)
    };
    timeout(duration + GRACE, LocalSet::new().run_until(work))
        .await
        .context("responses are still missing after the grace period")?
}

/// Queues each request when it is due.
async fn queue_up(
    queue: &Queue,
    start: Instant,
    rate: f64,
    duration: Duration,
) -> anyhow::Result<()> {
    let mut timer = Timer::new()?;
    let interval = Duration::from_secs_f64(1.0 / rate);
    // Due times are multiples of the interval. If the interval were added to the previous due time,
    // its rounding error would grow with the number of requests.
    let due = |number: u32| start + interval.mul_f64(f64::from(number));
    let mut number = 0;
    while due(number) < start + duration {
        let now = Instant::now();
        let next = due(number);
        if next > now {
            timer.wait(next - now).await?;
        }
        queue.push(Some(next));
        number += 1;
    }
    Ok(())
}

/// Runs one connection: sends the requests that are due, until there are no more. After an error it
/// only removes requests from the queue. Returns the response times and the error.
async fn client(
    mut stream: TcpStream,
    queue: Rc<Queue>,
) -> anyhow::Result<(Times, Option<String>)> {
    let request = request();
    let mut times = Times::new()?;
    let mut answer = Vec::with_capacity(4096);
    let mut error = None;
    while let Some(due) = queue.pop().await {
        if error.is_some() {
            // This connection's share of the requests is lost, so the run has failed. The other
            // connections continue.
            continue;
        }
        match exchange(&mut stream, request.as_bytes(), &mut answer).await {
            Ok(()) => times.record(due.elapsed()),
            Err(broken) => error = Some(format!("connection: {broken}")),
        }
    }
    Ok((times, error))
}

/// Sends one request and reads its whole response.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> io::Result<()> {
    stream.write_all(request).await?;
    answer.clear();
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(length) = answer_length(answer)?
            && answer.len() >= length
        {
            return Ok(());
        }
    }
}

/// Returns the length of the whole response, once its head has arrived.
fn answer_length(answer: &[u8]) -> io::Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = &answer[..end];
    if !head.starts_with(b"HTTP/1.1 200 ") {
        return Err(io::Error::other("a response other than 200"));
    }
    let name = b"content-length:";
    head.split(|byte| *byte == b'\n')
        .filter(|line| line.len() > name.len())
        .find(|line| line[..name.len()].eq_ignore_ascii_case(name))
        .and_then(|line| {
            str::from_utf8(&line[name.len()..])
                .ok()?
                .trim()
                .parse()
                .ok()
        })
        .map(|length: usize| Some(end + 4 + length))
        .ok_or_else(|| io::Error::other("a response without Content-Length"))
}

/// A timer of the kernel, because tokio's timers are no finer than a millisecond.
struct Timer {
    timer: TimerFd,
    /// The same timer, for waiting: it is read like a pipe, eight bytes at a time.
    expirations: pipe::Receiver,
}

impl Timer {
    fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK)?;
        let same = timer.as_fd().try_clone_to_owned()?;
        Ok(Self {
            timer,
            expirations: pipe::Receiver::from_owned_fd_unchecked(same)?,
        })
    }

    async fn wait(&mut self, time: Duration) -> io::Result<()> {
        self.timer.set(
            Expiration::OneShot(TimeSpec::from_duration(time)),
            TimerSetTimeFlags::empty(),
        )?;
        self.expirations.read_u64_le().await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        let answer = b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 5\r\n\r\nhello";
        assert_eq!(answer_length(answer).unwrap(), Some(answer.len()));
        assert_eq!(answer_length(&answer[..20]).unwrap(), None);
        assert!(answer_length(b"HTTP/1.1 503 No\r\nContent-Length: 5\r\n\r\n").is_err());
        assert!(answer_length(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn rate() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(crate::bench::websocket::serve(listener, "here\n"));
        let load = run(address, Pace::Rate(1000.0), 4, Duration::from_millis(200))
            .await
            .unwrap();
        assert_eq!((load.answered, load.errors), (200, Vec::new()));
        let load = run(address, Pace::Highest, 4, Duration::from_millis(50))
            .await
            .unwrap();
        assert!(load.answered > 4 && load.errors.is_empty(), "{load:?}");
        server.abort();
    }
}
