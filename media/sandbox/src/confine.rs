//! Giving up rights, in the order in which it must happen: limits, files, system calls.

use std::collections::BTreeMap;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus,
};
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

use crate::JobError;
use crate::protocol::{ChildLimits, Confinement};

/// Open files: standard streams, one input, a few outputs.
const OPEN_FILES_MAX: u64 = 64;
/// Landlock's newest rights that are asked for; an older kernel enforces those it knows, and one without Landlock is refused.
const LANDLOCK_ABI: ABI = ABI::V5;

/// Confines the calling thread and all that it will start. Call it before any other thread exists.
///
/// # Errors
/// When the kernel cannot enforce one of the parts. The job must not run then.
pub(crate) fn confine(confinement: &Confinement) -> Result<(), JobError> {
    limit_resources(&confinement.limits)?;
    restrict_files(confinement).map_err(|error| JobError::failed(format!("landlock: {error}")))?;
    restrict_calls().map_err(|error| JobError::failed(format!("seccomp: {error}")))
}

fn limit_resources(limits: &ChildLimits) -> Result<(), JobError> {
    if limits.niceness > 0 {
        nice(i32::from(limits.niceness.min(19))).map_err(JobError::failed)?;
    }
    for (resource, most) in [
        (Resource::Core, 0),
        (Resource::Nofile, OPEN_FILES_MAX),
        (Resource::Cpu, limits.cpu_s),
        (Resource::Fsize, limits.file_bytes),
        (Resource::As, limits.memory_bytes),
    ] {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)
            .map_err(|error| JobError::failed(format!("limit {resource:?} to {most}: {error}")))?;
    }
    Ok(())
}

fn restrict_files(confinement: &Confinement) -> Result<(), Box<dyn std::error::Error>> {
    let mut rules = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK_ABI))?
        .handle_access(AccessNet::from_all(LANDLOCK_ABI))?
        .create()?;
    for file in &confinement.reads {
        rules = allow(rules, file, AccessFs::ReadFile.into())?;
    }
    if let Some(folder) = &confinement.writes {
        let writing = AccessFs::ReadFile
            | AccessFs::ReadDir
            | AccessFs::WriteFile
            | AccessFs::MakeReg
            | AccessFs::Truncate;
        rules = allow(rules, folder, writing)?;
    }
    // Sets no_new_privs too.
    let status = rules.restrict_self()?;
    if status.ruleset == RulesetStatus::NotEnforced || !status.no_new_privs {
        return Err("this kernel does not enforce Landlock; enable it (CONFIG_SECURITY_LANDLOCK, lsm=landlock)".into());
    }
    Ok(())
}

fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, Box<dyn std::error::Error>> {
    let opened = PathFd::new(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(rules.add_rule(PathBeneath::new(opened, access))?)
}

/// What decoding and encoding need: memory, threads, clocks, files that Landlock lets through. Every other call (sockets,
/// exec, fork, ptrace, mounts, keys, io_uring, bpf...) is answered as if the kernel did not have it.
const ALLOWED_CALLS: &[i64] = &[
    libc::SYS_read,
    libc::SYS_pread64,
    libc::SYS_readv,
    libc::SYS_write,
    libc::SYS_pwrite64,
    libc::SYS_writev,
    libc::SYS_openat,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_getdents64,
    libc::SYS_fadvise64,
    libc::SYS_copy_file_range,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
];

fn restrict_calls() -> Result<(), seccompiler::Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED_CALLS
        .iter()
        .map(|call| (*call, Vec::new()))
        .collect();
    let argument = |index, operator, value| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value)
            .and_then(|c| SeccompRule::new(vec![c]))
    };
    // Threads yes, processes no. `clone3` hides its flags from the filter: without it the C library takes `clone`.
    let thread = (libc::CLONE_THREAD | libc::CLONE_VM).unsigned_abs().into();
    rules.insert(
        libc::SYS_clone,
        vec![argument(0, SeccompCmpOp::MaskedEq(thread), thread)?],
    );
    // Abort of a failed assertion signals the own thread; signal 6 only.
    rules.insert(
        libc::SYS_tgkill,
        vec![argument(
            2,
            SeccompCmpOp::Eq,
            libc::SIGABRT.unsigned_abs().into(),
        )?],
    );
    // Naming a thread.
    rules.insert(
        libc::SYS_prctl,
        vec![argument(
            0,
            SeccompCmpOp::Eq,
            libc::PR_SET_NAME.unsigned_abs().into(),
        )?],
    );
    // Reading a descriptor's flags.
    rules.insert(
        libc::SYS_fcntl,
        [libc::F_GETFD, libc::F_SETFD, libc::F_GETFL]
            .into_iter()
            .map(|command| argument(1, SeccompCmpOp::Eq, command.unsigned_abs().into()))
            .collect::<Result<_, _>>()?,
    );
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    apply_filter(&BpfProgram::try_from(filter)?)
}
