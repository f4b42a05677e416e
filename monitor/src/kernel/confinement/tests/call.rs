//! Any system call at all. Those that the daemon never makes have no safe form, and some no form.
#![expect(unsafe_code, reason = "that is what it is for; the block says why it holds")]

use std::io;

/// What the kernel answers, if it is a refusal. To be called with nothing that is the address of anything.
pub(super) fn call(number: i64, arguments: [i64; 6]) -> Option<i32> {
    let [first, second, third, rest @ ..] = arguments;
    // SAFETY: its callers, all in the file above, hand over -1, 0 and numbers of processes; so the kernel writes to no memory of ours.
    let result = unsafe { libc::syscall(number, first, second, third, rest[0], rest[1], rest[2]) };
    (result == -1).then(|| io::Error::last_os_error().raw_os_error()).flatten()
}
