//! Compiler processes, from the parent's side.
//!
//! Limits the number of compilers and their run time, and sets their priority. A compiler starts
//! with the lowest priority. If it gets too little processor time on a busy machine, it is killed
//! and started once more with the priority of the calling thread, so that plugins can still be
//! replaced.

use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, Once, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use tokio::time::Instant;

use super::error::CompileError;
use super::limits::{CompileLimits, Priority};
use crate::spawn::exclusive;

/// Path of the running program, valid even if the file has been replaced.
const SELF: &str = "/proc/self/exe";

/// Maximum number of compilers at one time. Together they can use four times the memory limit of
/// one.
const MAX_COMPILERS: usize = 4;

/// Maximum number of threads of one compiler, since each thread needs its own memory.
const MAX_THREADS: usize = 8;

/// Environment variable that sets the number of threads.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Interval between checks of how much processor time an idle-priority compiler gets.
const STARVATION_CHECK: Duration = Duration::from_secs(2);

/// Divisor of one core's time: a compiler that gets less than this fraction is starving.
const STARVING: u32 = 10;

/// Wall-clock limit of a compiler, as a multiple of its processor time limit. Normally no compiler
/// reaches it, even on a busy machine: an idle-priority compiler that gets less than a tenth of a
/// core is restarted.
const WALL: u32 = 10;

/// Maximum number of bytes read from a compiler's standard error.
const MAX_SAID: u64 = 16 << 10;

/// Compiles a file in another process.
pub(super) fn compile(
    command: &str,
    limits: CompileLimits,
    file: &[u8],
) -> Result<Vec<u8>, CompileError> {
    let _slot = Slot::take();
    let ended = run(command, limits, Priority::Idle, file)?;
    let ended = match ended.stopped {
        Some(Stopped::Starving) => run(command, limits, Priority::Inherited, file)?,
        _ => ended,
    };
    if ended.stopped.is_some() {
        let seconds = limits.seconds().saturating_mul(WALL.into());
        let text = format!("it did not finish within {seconds} s of wall-clock time");
        return Err(CompileError::Failed(text));
    }
    if !ended.status.success() {
        return Err(CompileError::of(ended.status, &ended.said, limits));
    }
    if !ended.said.is_empty() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| tracing::info!(reason = ended.said.trim_end(), "weak sandbox"));
    }
    Ok(ended.code)
}

/// Permit to run one compiler.
struct Slot;

static RUNNING: Mutex<usize> = Mutex::new(0);
static FREED: Condvar = Condvar::new();

impl Slot {
    /// Waits for a free slot.
    fn take() -> Slot {
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        let running = FREED.wait_while(running, |running| *running >= MAX_COMPILERS);
        *running.unwrap_or_else(PoisonError::into_inner) += 1;
        Slot
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        FREED.notify_one();
    }
}

/// Result of a compiler process that has exited.
struct Ended {
    status: ExitStatus,
    stopped: Option<Stopped>,
    code: Vec<u8>,
    said: String,
}

/// Reasons why a compiler was killed.
#[derive(Clone, Copy)]
enum Stopped {
    Starving,
    Late,
}

/// Runs one compiler process until it exits.
fn run(
    command: &str,
    limits: CompileLimits,
    priority: Priority,
    file: &[u8],
) -> Result<Ended, CompileError> {
    let failed = |error: io::Error| CompileError::Failed(error.to_string());
    let mut child = start(command, limits, priority).map_err(failed)?;
    tracing::debug!(process = child.id(), bytes = file.len(), "compiling");
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (Some(mut stdin), Some(stdout), Some(stderr)) = pipes else {
        return Err(failed(io::ErrorKind::BrokenPipe.into()));
    };
    let pid = Pid::from_raw(child.id().cast_signed());
    thread::scope(|scope| {
        let (ended, end) = mpsc::channel();
        let watch = scope.spawn(move || watch(pid, limits, priority, &end));
        // A write error is ignored: if the compiler stops reading early, its exit status says why.
        scope.spawn(move || stdin.write_all(file));
        let said = scope.spawn(move || {
            let mut said = Vec::new();
            let _ = stderr.take(MAX_SAID).read_to_end(&mut said);
            said
        });
        let mut code = Vec::new();
        // The compiler builds the code in memory, so its memory limit bounds the code as well.
        let read = stdout.take(limits.memory).read_to_end(&mut code);
        let waited = wait(pid);
        drop(ended);
        let stopped = watch.join().unwrap_or_default();
        if waited.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(failed)?;
        waited.map_err(failed)?;
        let said = said.join().unwrap_or_default();
        read.map_err(failed)?;
        Ok(Ended {
            status,
            stopped,
            code,
            said: String::from_utf8_lossy(&said).into_owned(),
        })
    })
}

fn start(command: &str, limits: CompileLimits, priority: Priority) -> io::Result<Child> {
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get().min(MAX_THREADS));
    let mut process = Command::new(SELF);
    process
        .arg0("pointsman")
        .arg(command)
        .args(limits.arguments())
        .args(priority.arguments())
        .env_clear()
        .env(THREADS, threads.to_string())
        .current_dir("/")
        // Use a separate process group, so that signals from the terminal reach only the proxy.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    exclusive(|| process.spawn())
}

/// Waits for a compiler to exit without reaping it, so that its process ID cannot be reused yet.
fn wait(pid: Pid) -> io::Result<()> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    loop {
        match waitid(Id::Pid(pid), flags) {
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(()),
        }
    }
}

/// Kills a compiler that exceeds the wall-clock limit or gets too little processor time.
///
/// Returns when the compiler has been killed or the sender paired with `end` is dropped. The
/// compiler must not be reaped before this function returns.
fn watch(
    pid: Pid,
    limits: CompileLimits,
    priority: Priority,
    end: &mpsc::Receiver<()>,
) -> Option<Stopped> {
    let deadline = Instant::now() + Duration::from_secs(limits.seconds()).saturating_mul(WALL);
    let mut used = Duration::ZERO;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = match priority {
            Priority::Idle => left.min(STARVATION_CHECK),
            Priority::Inherited => left,
        };
        if end.recv_timeout(wait) == Err(RecvTimeoutError::Disconnected) {
            return None;
        }
        let stopped = if wait == left {
            Stopped::Late
        } else {
            // The processor time is unknown, so only the deadline applies.
            let Some(now) = processor_time(pid) else {
                continue;
            };
            if now.saturating_sub(used) >= STARVATION_CHECK / STARVING {
                used = now;
                continue;
            }
            Stopped::Starving
        };
        let _ = kill(pid, Signal::SIGKILL);
        return Some(stopped);
    }
}

/// Returns the processor time of all threads of a process.
fn processor_time(pid: Pid) -> Option<Duration> {
    let clock = ClockId::pid_cpu_clock_id(pid).ok()?;
    clock_gettime(clock).ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_additional_compiler_waits_until_another_ends() {
        let mut slots: Vec<Slot> = (0..MAX_COMPILERS).map(|_| Slot::take()).collect();
        thread::scope(|scope| {
            let (taken, is_taken) = mpsc::channel();
            scope.spawn(move || taken.send(Slot::take()));
            // All slots are taken, so the thread gets none within this time.
            let wait = Duration::from_millis(200);
            assert!(is_taken.recv_timeout(wait).is_err());
            slots.pop();
            drop(is_taken.recv().unwrap());
        });
        drop(slots);
        assert_eq!(*RUNNING.lock().unwrap(), 0);
    }
}
