//! How long a process takes from its start to its first answer.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure};
use tokio::time::Instant;

use super::request;
use crate::bench::process::Process;

/// Between two attempts to connect: the fineness of the result.
const RETRY: Duration = Duration::from_micros(200);
/// Longest wait for the first answer.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits for the first answer, from `started` on.
///
/// Blocks: a runtime's timer is no finer than a millisecond.
///
/// # Errors
/// The process ends, answers anything but 200, or does not answer.
pub(crate) fn first_answer(
    process: &mut Process,
    address: SocketAddr,
    started: Instant,
) -> anyhow::Result<Duration> {
    let request = request();
    loop {
        if let Ok(mut stream) = TcpStream::connect(address)
            // Where nobody listens, a port of the ephemeral range can connect to itself.
            && stream.local_addr()? != address
        {
            stream.set_read_timeout(Some(LONGEST))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = [0; 4096];
            let length = stream.read(&mut answer)?;
            let took = started.elapsed();
            ensure!(
                answer[..length].starts_with(b"HTTP/1.1 200 "),
                "the first answer was {:?}",
                String::from_utf8_lossy(&answer[..length])
            );
            return Ok(took);
        }
        if started.elapsed() > LONGEST {
            bail!("no answer within {LONGEST:?}; it wrote:\n{}", process.log());
        }
        process.check()?;
        thread::sleep(RETRY);
    }
}
