//! Time from the start of a process to its first response.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure};
use tokio::time::Instant;

use super::request;
use crate::bench::process::Process;

/// Pause between two attempts to connect, which is the resolution of the result.
const RETRY: Duration = Duration::from_micros(200);
/// Longest wait for the first response.
const LONGEST: Duration = Duration::from_secs(30);

/// Waits for the first response, from `started` on.
///
/// Blocks, because a runtime's timer is no finer than a millisecond.
///
/// # Errors
/// The process ends, responds with a status other than 200, or does not respond.
pub(crate) fn first_answer(
    process: &mut Process,
    address: SocketAddr,
    started: Instant,
) -> anyhow::Result<Duration> {
    let request = request();
    loop {
        if let Ok(mut stream) = TcpStream::connect(address)
            // If nothing listens on a port of the ephemeral range, a connection to that port can
            // end up connected to itself.
            && stream.local_addr()? != address
        {
            stream.set_read_timeout(Some(LONGEST))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = [0; 4096];
            let length = stream.read(&mut answer)?;
            let took = started.elapsed();
            ensure!(
                answer[..length].starts_with(b"HTTP/1.1 200 "),
                "the first response was {:?}",
                String::from_utf8_lossy(&answer[..length])
            );
            return Ok(took);
        }
        if started.elapsed() > LONGEST {
            bail!(
                "no response within {LONGEST:?}; it wrote:\n{}",
                process.log()
            );
        }
        process.check()?;
        thread::sleep(RETRY);
    }
}
