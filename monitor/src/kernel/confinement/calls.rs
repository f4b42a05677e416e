//! Which system calls the daemon does not need after its start, and which of them would help who has taken it over. Pure.
//!
//! Named is what runs programs, reaches into other processes, changes the kernel, the host or its files, opens what the daemon never
//! opens, or goes around such a filter. Most of it takes a capability besides that is not kept; no test of a filter depends on that.

use super::Purpose;

/// When a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// Whatever its arguments.
    Always,
    /// In each of these cases.
    If(Vec<Vec<(u8, Test)>>),
}

/// What is true of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Is(u32),
    IsNot(u32),
    IsAbove(u32),
    /// All of these bits are set.
    Has(u32),
    /// Of the bits of the first, those of the second are set.
    Masked(u32, u32),
}

/// Calls whose flags are in memory, where no filter sees them: `clone3` makes namespaces, `openat2` files. Every libc takes the older
/// one where they are unknown.
pub(super) const UNKNOWN: [i64; 2] = [libc::SYS_clone3, libc::SYS_openat2];

/// Too new for all of libc's lists; these have one number on every processor.
const FCHMODAT2: i64 = 452;
const SETXATTRAT: i64 = 463;
const REMOVEXATTRAT: i64 = 466;
const OPEN_TREE_ATTR: i64 = 467;
const FILE_SETATTR: i64 = 469;

/// What no daemon does.
const NEVER: [i64; 49] = [
    // Other processes, whom CAP_SYS_PTRACE would open.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // The kernel itself.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    KEXEC_FILE_LOAD,
    libc::SYS_reboot,
    libc::SYS_syslog,
    // Mounts.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // Namespaces. Those of `clone` are below.
    libc::SYS_unshare,
    // Keys.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // The host's name, time, memory and accounts.
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    // Files by other ways than their paths.
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    // Calls that no filter sees.
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    // What attacks on the kernel begin with.
    libc::SYS_userfaultfd,
    libc::SYS_personality,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
];

/// What [`Purpose::Run`] takes.
const RUNNING: [i64; 7] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_send_signal,
];

/// What [`Purpose::Write`] takes. Removing is not among it: the lock's file goes with the daemon.
const WRITING: [i64; 22] = [
    RENAMEAT,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_truncate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    SETXATTRAT,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    REMOVEXATTRAT,
    FILE_SETATTR,
];

#[cfg(target_arch = "x86_64")]
use libc::{SYS_kexec_file_load as KEXEC_FILE_LOAD, SYS_renameat as RENAMEAT};

/// Older forms, which newer processors do not have.
#[cfg(target_arch = "x86_64")]
mod older {
    pub(super) const NEVER: [i64; 4] =
        [libc::SYS_iopl, libc::SYS_ioperm, libc::SYS_modify_ldt, libc::SYS_uselib];
    pub(super) const RUNNING: [i64; 2] = [libc::SYS_fork, libc::SYS_vfork];
    pub(super) const WRITING: [i64; 12] = [
        libc::SYS_creat,
        libc::SYS_rename,
        libc::SYS_link,
        libc::SYS_symlink,
        libc::SYS_mkdir,
        libc::SYS_mknod,
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_lchown,
        libc::SYS_utime,
        libc::SYS_utimes,
        libc::SYS_futimesat,
    ];
    /// With the argument that has the flags.
    pub(super) const OPEN: [(i64, u8); 1] = [(libc::SYS_open, 1)];
}

/// kernel: `include/uapi/asm-generic/unistd.h`. libc does not name them everywhere.
#[cfg(not(target_arch = "x86_64"))]
const KEXEC_FILE_LOAD: i64 = 294;
#[cfg(not(target_arch = "x86_64"))]
const RENAMEAT: i64 = 38;

#[cfg(not(target_arch = "x86_64"))]
mod older {
    pub(super) const NEVER: [i64; 0] = [];
    pub(super) const RUNNING: [i64; 0] = [];
    pub(super) const WRITING: [i64; 0] = [];
    pub(super) const OPEN: [(i64, u8); 0] = [];
}

/// What a daemon with these purposes and this process number is refused.
pub(super) fn refused(purposes: &[Purpose], process: u32) -> Vec<(i64, Call)> {
    let lacks = |purpose| !purposes.contains(&purpose);
    let mut numbers = [&NEVER[..], &older::NEVER].concat();
    let mut calls = vec![(libc::SYS_socket, sockets()), (libc::SYS_clone, clones(lacks(Purpose::Run)))];
    if lacks(Purpose::Attach) {
        numbers.push(libc::SYS_perf_event_open);
        calls.push((libc::SYS_bpf, beyond_maps()));
    }
    if lacks(Purpose::Enter) {
        numbers.push(libc::SYS_setns);
    }
    if lacks(Purpose::Run) {
        numbers.extend([&RUNNING[..], &older::RUNNING].concat());
        // libc signals a thread of ours to abort. musl has `tkill` for that, which does not say whose thread it is: there an abort
        // ends by the fault that follows.
        calls.push((libc::SYS_tgkill, Call::If(vec![vec![(0, Test::IsNot(process))]])));
    }
    if lacks(Purpose::Write) {
        numbers.extend([&WRITING[..], &older::WRITING].concat());
        let open = [(libc::SYS_openat, 2)].into_iter().chain(older::OPEN);
        calls.extend(open.map(|(number, flags)| (number, opened_to_write(flags))));
    }
    calls.extend(numbers.into_iter().map(|number| (number, Call::Always)));
    calls
}

fn bits(flags: i32) -> u32 {
    flags.cast_unsigned()
}

/// A file that is made or emptied, or whose descriptor may be written to: of root's files, also the memory of its processes.
fn opened_to_write(flags: u8) -> Call {
    let written = [libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT, libc::O_TRUNC];
    Call::If(written.map(|bit| vec![(flags, Test::Has(bits(bit)))]).into())
}

/// Namespaces; and where no other program is run, processes.
fn clones(processes: bool) -> Call {
    let namespaces = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    let mut cases: Vec<_> = namespaces.map(|kind| vec![(0, Test::Has(bits(kind)))]).into();
    if processes {
        cases.push(vec![(0, Test::Masked(bits(libc::CLONE_THREAD), 0))]);
    }
    Call::If(cases)
}

/// Of TCP and UDP, sockets of this host (the journal, systemd, a resolver) and two protocols of netlink all but raw ones; no others.
fn sockets() -> Call {
    /// kernel: `include/linux/net.h` `SOCK_TYPE_MASK`; what is above are flags.
    const KIND: u32 = 0xf;
    /// kernel: `include/linux/net.h`, `include/uapi/linux/netlink.h`.
    const SOCK_PACKET: u32 = 10;
    const NETLINK_ROUTE: u32 = 0;
    const NETLINK_SOCK_DIAG: u32 = 4;
    let [unix, ipv4, ipv6, netlink] =
        [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK].map(bits);
    let other = [unix, ipv4, ipv6, netlink].map(|family| (0, Test::IsNot(family)));
    let raw = |family, kind| vec![(0, Test::Is(family)), (1, Test::Masked(KIND, kind))];
    // Open connections and listeners; libc's look at this host's addresses when it looks up a name.
    let protocols = [NETLINK_SOCK_DIAG, NETLINK_ROUTE].map(|known| (2, Test::IsNot(known)));
    Call::If(vec![
        other.into(),
        raw(ipv4, bits(libc::SOCK_RAW)),
        raw(ipv6, bits(libc::SOCK_RAW)),
        raw(ipv4, SOCK_PACKET),
        [vec![(0, Test::Is(netlink))], protocols.into()].concat(),
    ])
}

/// Whatever `bpf` does but reading, writing and removing what maps hold: those are open, and their programs run.
fn beyond_maps() -> Call {
    /// kernel: `include/uapi/linux/bpf.h` `enum bpf_cmd`. Between the first two are lookup, update, removal and the next key.
    const MAP_CREATE: u32 = 0;
    const MAP_GET_NEXT_KEY: u32 = 4;
    const OBJ_GET_INFO_BY_FD: u32 = 15;
    const MAP_LOOKUP_AND_DELETE_ELEM: u32 = 21;
    let others = [
        Test::IsAbove(MAP_GET_NEXT_KEY),
        Test::IsNot(OBJ_GET_INFO_BY_FD),
        Test::IsNot(MAP_LOOKUP_AND_DELETE_ELEM),
    ];
    Call::If(vec![vec![(0, Test::Is(MAP_CREATE))], others.map(|test| (0, test)).into()])
}
