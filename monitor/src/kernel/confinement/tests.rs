//! What the kernel itself answers to a thread with the very filters. Nothing here takes privileges: a filter is for one thread, and goes
//! with it.

mod call;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::thread;

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
use rustix::process::{getpid, getppid, test_kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use seccompiler::apply_filter;

use self::call::call;
use super::*;
use crate::kernel::sock_diag::SockDiag;

const ALL: [Purpose; 4] = [Purpose::Attach, Purpose::Enter, Purpose::Write, Purpose::Run];
/// Everybody may make these calls, and is told that what they ask for is nothing.
const FOR_ALL: [i64; 6] = [
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kill,
    libc::SYS_openat,
    libc::SYS_renameat2,
    libc::SYS_symlinkat,
];

/// What is refused, by what would take it; written down once more, since what is not in `calls.rs` is not refused.
fn claims() -> Vec<(Option<Purpose>, Vec<i64>)> {
    vec![
        (
            None,
            vec![
                libc::SYS_ptrace,
                libc::SYS_process_vm_readv,
                libc::SYS_process_vm_writev,
                libc::SYS_pidfd_getfd,
                libc::SYS_init_module,
                libc::SYS_finit_module,
                libc::SYS_delete_module,
                libc::SYS_kexec_load,
                libc::SYS_reboot,
                libc::SYS_mount,
                libc::SYS_umount2,
                libc::SYS_pivot_root,
                libc::SYS_chroot,
                libc::SYS_move_mount,
                libc::SYS_open_tree,
                libc::SYS_fsopen,
                libc::SYS_unshare,
                libc::SYS_clone,
                libc::SYS_add_key,
                libc::SYS_request_key,
                libc::SYS_keyctl,
                libc::SYS_sethostname,
                libc::SYS_clock_settime,
                libc::SYS_swapon,
                libc::SYS_io_uring_setup,
                libc::SYS_userfaultfd,
                libc::SYS_open_by_handle_at,
                // Of a family that there is not.
                libc::SYS_socket,
            ],
        ),
        (Some(Purpose::Attach), vec![libc::SYS_bpf, libc::SYS_perf_event_open]),
        (Some(Purpose::Enter), vec![libc::SYS_setns]),
        (
            Some(Purpose::Write),
            vec![
                libc::SYS_openat,
                libc::SYS_renameat2,
                libc::SYS_linkat,
                libc::SYS_symlinkat,
                libc::SYS_mkdirat,
                libc::SYS_mknodat,
                libc::SYS_truncate,
                libc::SYS_fchmodat,
                libc::SYS_fchownat,
            ],
        ),
        (
            Some(Purpose::Run),
            vec![libc::SYS_execve, libc::SYS_execveat, libc::SYS_kill, libc::SYS_tkill, libc::SYS_tgkill],
        ),
    ]
}

/// What the kernel says to a call that can do nothing: no argument is an address, a descriptor, a process or a known flag.
fn answer(number: i64) -> Option<i32> {
    call(number, [-1; 6])
}

fn answers() -> BTreeMap<i64, Option<i32>> {
    claims().into_iter().flat_map(|(_, numbers)| numbers).map(|number| (number, answer(number))).collect()
}

/// In a thread that is confined.
fn confined<T: Send>(purposes: &[Purpose], inside: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let thread = scope.spawn(|| {
            for program in programs(purposes).unwrap() {
                apply_filter(&program).unwrap();
            }
            inside()
        });
        thread.join().unwrap()
    })
}

fn is_refused<T, E: Into<io::Error>>(result: Result<T, E>) -> bool {
    result.err().is_some_and(|error| error.into().raw_os_error() == Some(libc::EPERM))
}

#[test]
fn the_kernel_refuses_what_is_not_needed() {
    let (before, after) = (answers(), confined(&[], answers));
    for (number, answer) in after {
        assert_eq!(
            answer,
            Some(libc::EPERM),
            "system call {number}, which was answered {:?}",
            before[&number]
        );
    }
    for number in FOR_ALL {
        assert_ne!(before[&number], Some(libc::EPERM), "system call {number} shows nothing");
    }
}

#[test]
fn each_purpose_has_back_what_it_takes_and_nothing_else() {
    let before = answers();
    for wanted in ALL {
        let after = confined(&[wanted], answers);
        for (purpose, numbers) in claims() {
            for number in numbers {
                let expected = if purpose == Some(wanted) { before[&number] } else { Some(libc::EPERM) };
                assert_eq!(after[&number], expected, "system call {number} for {wanted:?}");
            }
        }
    }
}

#[test]
fn calls_that_no_filter_sees_into_are_unknown() {
    let answered = confined(&ALL, || calls::UNKNOWN.map(answer));
    assert_eq!(answered, [Some(libc::ENOSYS); 2]);
    #[cfg(target_arch = "x86_64")]
    assert_eq!(confined(&ALL, || answer(libc::SYS_execve | 0x4000_0000)), Some(libc::ENOSYS), "x32");
}

#[test]
fn nobody_runs_a_program_or_makes_a_process() {
    confined(&[], || {
        assert!(is_refused(Command::new("/bin/true").spawn()), "another process");
        let error = Command::new("/bin/true").exec();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM), "this process");
    });
    let status = confined(&[Purpose::Run], || Command::new("/bin/true").status());
    assert!(status.unwrap().success(), "where a kubeconfig may name one");
}

#[test]
fn nobody_signals_another_process_and_every_thread_can_abort() {
    let signal = |process: i32| {
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        // No signal, which only asks whether one could be sent.
        call(libc::SYS_tgkill, [process.into(), thread.into(), 0, 0, 0, 0])
    };
    confined(&[], || {
        assert!(is_refused(test_kill_process(getppid().unwrap())));
        assert!(is_refused(test_kill_process(getpid())), "by the call that reaches others");
        assert_eq!(signal(getpid().as_raw_nonzero().get()), None, "as abort() does");
        assert_eq!(signal(getppid().unwrap().as_raw_nonzero().get()), Some(libc::EPERM));
    });
    test_kill_process(getpid()).unwrap();
}

#[test]
fn files_are_read_and_not_written() {
    let path = std::env::temp_dir().join(format!("reset-monitor-confined-{}", std::process::id()));
    fs::write(&path, "as it was").unwrap();
    let mut open = OpenOptions::new().append(true).open(&path).unwrap();
    confined(&[], || {
        assert!(is_refused(OpenOptions::new().write(true).open(&path)));
        assert!(is_refused(OpenOptions::new().read(true).write(true).open("/proc/self/mem")), "memory");
        assert!(is_refused(File::create(path.with_extension("new"))));
        let emptied = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::TRUNC;
        assert!(is_refused(rustix::fs::open(&path, emptied, rustix::fs::Mode::empty())));
        assert!(is_refused(fs::rename(&path, path.with_extension("moved"))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "as it was");
        // A log that is open, and a lock that goes.
        open.write_all(b", and more").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "as it was, and more");
        fs::remove_file(&path).unwrap();
    });
    confined(&[Purpose::Write], || {
        fs::write(&path, "again").unwrap();
        fs::rename(&path, path.with_extension("moved")).unwrap();
        fs::remove_file(path.with_extension("moved")).unwrap();
    });
}

#[test]
fn sockets_are_those_that_are_needed() {
    let make = |family, kind, protocol| socket_with(family, kind, SocketFlags::CLOEXEC, protocol);
    confined(&[], || {
        for family in [AddressFamily::PACKET, AddressFamily::VSOCK, AddressFamily::KEY] {
            assert!(is_refused(make(family, SocketType::RAW, None)), "{family:?}");
        }
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            assert!(
                is_refused(make(family, SocketType::RAW, Some(rustix::net::ipproto::ICMP))),
                "{family:?}"
            );
        }
        for protocol in [netlink::NETFILTER, netlink::AUDIT, netlink::KOBJECT_UEVENT] {
            assert!(
                is_refused(make(AddressFamily::NETLINK, SocketType::RAW, Some(protocol))),
                "{protocol:?}"
            );
        }
        make(AddressFamily::NETLINK, SocketType::RAW, None).unwrap();
    });
}

#[test]
fn what_the_daemon_does_goes_on() {
    confined(&[], || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        // A thread, as searches and files have.
        thread::spawn(move || server.write_all(b"x").unwrap()).join().unwrap();
        client.read_exact(&mut [0]).unwrap();
        UdpSocket::bind("127.0.0.1:0").unwrap();
        UnixStream::pair().unwrap();
        // libc's way to a name.
        assert!(("localhost", 0).to_socket_addrs().unwrap().next().is_some());
        let mut connections = 0;
        SockDiag::open().unwrap().connections(|_| connections += 1).unwrap();
        assert!(connections > 0);
        assert!(File::open("/proc/self/ns/net").is_ok());
    });
}

#[test]
fn namespaces_are_entered_only_for_who_says_so() {
    let own = File::open("/proc/self/ns/net").unwrap();
    let enter = || move_into_link_name_space(own.as_fd(), Some(LinkNameSpaceType::HostNameAndNISDomainName));
    assert!(is_refused(confined(&[], enter)));
    // Another kind than it is, which takes no privileges to be found out.
    let found = confined(&[Purpose::Enter], enter).unwrap_err();
    assert_eq!(io::Error::from(found).kind(), ErrorKind::InvalidInput);
}
