//! Restricts the compiler process before it reads an untrusted file.
//!
//! Privileges: drops root and all capabilities, and rules out regaining them. Limits: bounds memory
//! and time, and forbids opening descriptors, hence files and network connections. System calls:
//! allows only those that a compiler needs, if the kernel has seccomp. Called by `work`, before
//! other threads start.

use std::io;
use std::os::fd::RawFd;

use nix::libc;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};
use rustix::process::{
    DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal,
};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities, set_no_new_privs};

use super::limits::{CompileLimits, Priority};
use super::system_calls;

/// User of a compiler that was started by root: the kernel's `nobody`.
const NOBODY: u32 = 65_534;

/// Setting that makes the kernel kill the compiler rather than the proxy when memory runs out: see
/// proc(5).
const OOM_SCORE: (&str, &str) = ("/proc/self/oom_score_adj", "1000");

/// Directory that lists the process's open descriptors.
const DESCRIPTORS: &str = "/proc/self/fd";

/// Seconds of processor time from the signal that reports the time limit to the kill.
const GRACE: u64 = 5;

/// Reasons why the process could not enter the sandbox.
#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    /// The process is root and cannot switch to another user.
    #[error(
        "the compiler must not run as root, and it cannot change to user {NOBODY}: run the proxy as another user"
    )]
    Root(#[source] io::Error),
    /// The system refused a step other than the change of user.
    #[error("cannot {0}")]
    Refused(&'static str, #[source] io::Error),
}

/// Drops every right that a compiler does not need.
///
/// Returns a description of the protection that the system lacks, if any.
pub(super) fn enter(
    limits: CompileLimits,
    priority: Priority,
) -> Result<Option<String>, SandboxError> {
    // Otherwise the process name would be `exe`, the link through which it was started.
    let _ = rustix::thread::set_name(c"pointsman");
    // If writing this is not allowed, the kernel chooses its victim by size, which has the same
    // effect.
    let _ = std::fs::write(OOM_SCORE.0, OOM_SCORE.1);
    if priority == Priority::Idle {
        // Otherwise the compiler keeps its parent's priority.
        be_idle();
    }
    close_others().map_err(|error| SandboxError::Refused("close inherited descriptors", error))?;
    drop_privileges()?;
    // Set this after the change of user, which resets it. The compiler is killed when its parent
    // dies, since its result is then useless. If the parent is already dead, the compiler receives
    // no file.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| {
        SandboxError::Refused("arrange to end with the parent process", error.into())
    })?;
    set_limits(limits)?;
    let missing = system_calls::restrict();
    Ok(missing.err().map(|error| format!("no seccomp: {error}")))
}

/// Closes all descriptors except the three standard streams.
fn close_others() -> io::Result<()> {
    let entries = std::fs::read_dir(DESCRIPTORS)?;
    let open: Vec<RawFd> = entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|descriptor| *descriptor > libc::STDERR_FILENO)
        .collect();
    for descriptor in open {
        // Closing fails for the descriptor that listed the directory: it is already closed.
        let _ = nix::unistd::close(descriptor);
    }
    Ok(())
}

fn drop_privileges() -> Result<(), SandboxError> {
    if geteuid().is_root() {
        let (user, group) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
        let changed = setgroups(&[])
            .and_then(|()| setresgid(group, group, group))
            .and_then(|()| setresuid(user, user, user));
        changed.map_err(|error| SandboxError::Root(error.into()))?;
    }
    let refused = |what| move |error: rustix::io::Errno| SandboxError::Refused(what, error.into());
    let none = CapabilitySet::empty();
    let none = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, none).map_err(refused("drop capabilities"))?;
    set_no_new_privs(true).map_err(refused("rule out new privileges"))?;
    // Keeps other processes of the same user from tampering with this one.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(refused("shut out other processes"))
}

fn set_limits(limits: CompileLimits) -> Result<(), SandboxError> {
    let seconds = limits.seconds();
    for (resource, soft, hard) in [
        // Limits writable memory. Address space that is only reserved does not count.
        (Resource::RLIMIT_DATA, limits.memory, limits.memory),
        (Resource::RLIMIT_CPU, seconds, seconds.saturating_add(GRACE)),
        (Resource::RLIMIT_CORE, 0, 0),
        (Resource::RLIMIT_FSIZE, 0, 0),
        (Resource::RLIMIT_MEMLOCK, 0, 0),
        (Resource::RLIMIT_MSGQUEUE, 0, 0),
        // Forbids new descriptors; those already open stay open.
        (Resource::RLIMIT_NOFILE, 0, 0),
    ] {
        let limited = getrlimit(resource)
            .and_then(|(_, most)| setrlimit(resource, soft.min(most), hard.min(most)));
        limited.map_err(|error| SandboxError::Refused("set limits", error.into()))?;
    }
    Ok(())
}

fn be_idle() {
    let parameters = libc::sched_param { sched_priority: 0 };
    #[expect(unsafe_code, reason = "no dependency wraps this call")]
    // SAFETY: the call only reads the parameters, and changes only how this thread is scheduled.
    unsafe {
        libc::sched_setscheduler(0, libc::SCHED_IDLE, &raw const parameters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::net::TcpListener;
    use std::os::unix::net::UnixStream;
    use std::process::Command;
    use std::thread;

    use rustix::io::Errno;
    use rustix::process::{getpid, test_kill_process};

    /// Environment variable that marks the child process in which the test enters the sandbox. A
    /// separate process is needed because the sandbox cannot be left.
    const INSIDE: &str = "POINTSMAN_TEST_INSIDE";

    #[test]
    fn nothing_can_be_opened_started_or_signalled() {
        if std::env::var_os(INSIDE).is_some() {
            enter(CompileLimits::DEFAULT, Priority::Idle).unwrap();
            assert!(File::open("/dev/null").is_err());
            assert!(TcpListener::bind("127.0.0.1:0").is_err());
            assert!(UnixStream::pair().is_err());
            assert!(Command::new("/bin/true").status().is_err());
            assert_eq!(test_kill_process(getpid()), Err(Errno::NOSYS));
            // Memory and threads, which a compiler needs, still work.
            let thread = thread::spawn(|| vec![1_u8; 8 << 20].len());
            assert_eq!(thread.join().unwrap(), 8 << 20);
            return;
        }
        let test = thread::current().name().map(str::to_owned);
        let output = Command::new(std::env::current_exe().unwrap())
            .args([test.as_deref().unwrap(), "--exact"])
            .env(INSIDE, "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("1 passed"), "{said}");
    }
}
