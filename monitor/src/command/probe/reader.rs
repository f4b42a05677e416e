//! Who reads standard output, and when it is gone.

use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::interval;

/// Between two looks. Tokio's readiness of a descriptor would tell at once, but takes `unsafe`, and a second is soon enough.
const LOOK: Duration = Duration::from_secs(1);

/// Returns when standard output is a pipe or a socket that nobody reads any more. Writing would tell the same, but there may be nothing to
/// write for minutes.
pub async fn left() {
    let mut look = interval(LOOK);
    loop {
        look.tick().await;
        if is_closed() {
            return;
        }
    }
}

fn is_closed() -> bool {
    let stdout = io::stdout();
    // These are told unasked. A file has neither of them.
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    let [stdout] = match poll(&mut asked, Some(&now)) {
        Ok(_) => asked,
        Err(_) => return false,
    };
    stdout.revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
