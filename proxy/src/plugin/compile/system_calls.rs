//! System calls that a compiler may make: for memory, threads, its three standard streams, and
//! exit.
//!
//! All others fail as on a kernel that does not have them. Used by `sandbox`.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

/// Reasons why the filter could not be installed.
#[derive(Debug, thiserror::Error)]
pub(super) enum FilterError {
    /// Filters cannot be written for this processor.
    #[error(transparent)]
    Backend(#[from] seccompiler::BackendError),
    /// The kernel rejected the filter.
    #[error(transparent)]
    Kernel(#[from] seccompiler::Error),
}

/// System calls that are allowed with any arguments.
const ALLOWED: [libc::c_long; 24] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_read,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_write,
];

/// Denies all other system calls to this thread and to the threads that it starts from now on.
pub(super) fn restrict() -> Result<(), FilterError> {
    let filter = filter()?;
    Ok(seccompiler::apply_filter(&filter)?)
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<_, _> = ALLOWED.into_iter().map(|call| (call, Vec::new())).collect();
    let pid = u64::from(std::process::id());
    for (call, argument, mask, value) in [
        // Allows changing the protection of memory, unless it becomes executable.
        (libc::SYS_mprotect, 2, bits(libc::PROT_EXEC), 0),
        // Allows creating threads, but not processes.
        (
            libc::SYS_clone,
            0,
            bits(libc::CLONE_THREAD),
            bits(libc::CLONE_THREAD),
        ),
        // Allows signals to the process itself, which `abort` uses.
        (libc::SYS_tgkill, 0, u64::MAX, pid),
        // Allows setting thread names.
        (libc::SYS_prctl, 0, u64::MAX, bits(libc::PR_SET_NAME)),
    ] {
        rules.insert(
            call,
            vec![SeccompRule::new(vec![masked(argument, mask, value)?])?],
        );
    }
    let mapping = vec![
        masked(2, bits(libc::PROT_EXEC), 0)?,
        masked(3, bits(libc::MAP_SHARED), 0)?,
    ];
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(mapping)?]);
    let absent = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let architecture = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, absent, SeccompAction::Allow, architecture)?.try_into()
}

/// Returns a condition that is met if the selected bits of an argument have this value.
fn masked(
    argument: u8,
    mask: u64,
    value: u64,
) -> Result<SeccompCondition, seccompiler::BackendError> {
    let operator = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value)
}

fn bits(flag: libc::c_int) -> u64 {
    u64::from(flag.cast_unsigned())
}
