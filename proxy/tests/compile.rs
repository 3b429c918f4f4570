//! The compiler process: the privileges that it drops before it reads a file, and its exit for
//! files that need too many resources.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tempfile::TempDir;

/// Exit code of the compiler for a rejected file.
const REFUSED: Option<i32> = Some(1);

/// Returns the path of a test guest.
fn guest(name: &str) -> PathBuf {
    let folder = std::env::var_os("POINTSMAN_GUESTS").map_or_else(
        || {
            let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or_else(|| workspace.join("target"), PathBuf::from);
            target.join("guests")
        },
        PathBuf::from,
    );
    folder.join(format!("{name}.wasm"))
}

/// Starts a compiler with its three streams open.
fn start(flags: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .arg("compile")
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Compiles a file and returns the outcome.
fn compile(flags: &[&str], file: &[u8]) -> Output {
    let mut child = start(flags);
    let mut stdin = child.stdin.take().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || stdin.write_all(file));
        child.wait_with_output().unwrap()
    })
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Reads the lines of a file under `/proc` that have a name and a value.
fn table(process: &Child, file: &str) -> HashMap<String, String> {
    let text = fs::read_to_string(format!("/proc/{}/{file}", process.id())).unwrap();
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

/// Starts a compiler and waits until it has entered its sandbox. The system call filter comes last.
fn confined() -> Child {
    let child = start(&["--memory=268435456", "--seconds=7", "--idle"]);
    while table(&child, "status")["Seccomp"] != "2" {
        thread::yield_now();
    }
    child
}

fn end(mut child: Child) {
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), REFUSED, "an empty file");
}

#[test]
fn a_compiler_has_no_privileges() {
    let child = confined();
    let status = table(&child, "status");
    for name in ["Uid", "Gid"] {
        assert!(
            !status[name].split_whitespace().any(|id| id == "0"),
            "{status:?}"
        );
    }
    if nix::unistd::geteuid().is_root() {
        assert_eq!(status["Groups"], "");
    }
    for name in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status[name], 16), Ok(0), "{name}");
    }
    assert_eq!(status["NoNewPrivs"], "1");
    end(child);
}

#[test]
fn a_compiler_can_open_nothing_and_use_no_more_than_its_limits() {
    let child = confined();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let limit = |name: &str| -> Vec<String> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap()
            .split_whitespace()
            .take(2)
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(limit("Max data size"), ["268435456", "268435456"]);
    assert_eq!(limit("Max cpu time"), ["7", "12"]);
    for name in ["Max open files", "Max file size", "Max core file size"] {
        assert_eq!(limit(name), ["0", "0"], "{name}");
    }
    end(child);
}

#[test]
fn a_compiler_runs_with_the_idle_scheduling_policy() {
    const IDLE: &str = "5";
    let child = confined();
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    // These are the fields after the process's name, which is field 2. The scheduling policy is
    // field 41; see proc(5).
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    assert_eq!(fields.split(' ').nth(41 - 3), Some(IDLE));
    end(child);
}

#[test]
fn a_compiler_inherits_no_descriptor() {
    // An inheritable descriptor, like those that an upgrade hands over.
    let (read, write) = nix::unistd::pipe().unwrap();
    let mut read = fs::File::from(read);
    let child = confined();
    drop(write);
    // The read reaches the end of the pipe only if no other process has its write end open.
    assert_eq!(read.read(&mut [0]).unwrap(), 0);
    end(child);
}

#[test]
fn a_file_that_takes_too_much_ends_with_a_message() {
    let bomb = fs::read(guest("guest-bomb")).unwrap();
    let memory = compile(&["--memory=134217728", "--seconds=600"], &bomb);
    assert!(!memory.status.success());
    assert!(said(&memory).contains("memory allocation of"), "{memory:?}");
    let time = compile(&["--seconds=1"], &bomb);
    assert_eq!(time.status.signal(), Some(nix::libc::SIGXCPU), "{time:?}");
}

/// Creates a directory with a configuration that uses `plugin` and starts with `lines`.
fn place(plugin: &Path, lines: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let config = format!(
        r#"
plugin_cache_dir = "cache"
{lines}

[frontend.http-in]
bind = "127.0.0.1:0"
default_backend = "www"
router.plugin = "{}"
router.config.mode = "harmless"

[backend.www]
server.www = "127.0.0.1:9010"
"#,
        plugin.display()
    );
    fs::write(directory.path().join("pointsman.toml"), config).unwrap();
    directory
}

fn check(directory: &TempDir) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .arg("check")
        .current_dir(directory.path())
        .env("NO_COLOR", "1")
        .output()
        .unwrap()
}

#[test]
fn limits_come_from_the_configuration() {
    for (lines, message) in [
        (
            "compile.memory = \"128MiB\"\ncompile.time = \"10m\"",
            "compiling the file takes more than 128 MiB of memory: if you trust the plugin, raise `compile.memory`",
        ),
        (
            "compile.time = \"1s\"",
            "compiling the file takes more than 1 s of processor time: if you trust the plugin, raise `compile.time`",
        ),
        (
            "compile.file_size = \"1MiB\"",
            "it is longer than 1048576 bytes, which `compile.file_size` allows",
        ),
    ] {
        let output = check(&place(&guest("guest-bomb"), lines));
        assert_eq!(output.status.code(), Some(64), "{output:?}");
        assert!(said(&output).contains(message), "{}", said(&output));
    }
    let output = check(&place(&guest("guest-hostile"), ""));
    assert_eq!(said(&output), "");
    assert!(output.status.success());
}

/// Waits for a compiler, other than `known`, that `parent` has started.
///
/// A child process becomes a compiler only when it executes the program again.
fn compiler_of(parent: &Child, known: Option<Pid>) -> Pid {
    let children = format!("/proc/{0}/task", parent.id());
    loop {
        let tasks = fs::read_dir(&children).unwrap();
        let pids = tasks
            .filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok())
            .collect::<String>();
        let pids = pids.split_whitespace().filter_map(|pid| pid.parse().ok());
        let found = pids.map(Pid::from_raw).find(|pid| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            Some(*pid) != known && command.starts_with(b"pointsman\0compile\0")
        });
        if let Some(found) = found {
            return found;
        }
        thread::yield_now();
    }
}

/// Makes a system call unavailable to this thread and the processes that it starts, as container
/// filters do.
fn forbid(system_call: i64) {
    let filter = SeccompFilter::new(
        BTreeMap::from([(system_call, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(nix::libc::ENOSYS.cast_unsigned()),
        std::env::consts::ARCH.try_into().unwrap(),
    );
    let program: BpfProgram = filter.unwrap().try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// The test stops the compiler, which then gets no CPU time, as on a machine whose cores are all
/// busy. The compiler's parent has no `pidfd_open`, which is missing before Linux 5.3 and in some
/// containers.
#[test]
fn a_starving_compiler_is_started_again_and_ends_in_time() {
    forbid(nix::libc::SYS_pidfd_open);
    let directory = place(&guest("guest-bomb"), "compile.time = \"1s\"");
    let check = Command::new(env!("CARGO_BIN_EXE_pointsman"))
        .arg("check")
        .current_dir(directory.path())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let idle = compiler_of(&check, None);
    kill(idle, Signal::SIGSTOP).unwrap();
    let other = compiler_of(&check, Some(idle));
    kill(other, Signal::SIGSTOP).unwrap();
    let output = check.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let message =
        "could not be compiled this time: it did not finish within 10 s of wall-clock time";
    assert!(said(&output).contains(message), "{}", said(&output));
}

#[test]
fn a_file_that_is_no_plugin_is_refused_by_the_compiler() {
    for (file, message) in [
        (&b"(component)"[..], "the file is WebAssembly text"),
        (b"\0asm\x0d\0\x01\0\xff", "the component does not compile"),
    ] {
        let output = compile(&[], file);
        assert_eq!(output.status.code(), REFUSED);
        assert!(said(&output).contains(message), "{output:?}");
    }
}
