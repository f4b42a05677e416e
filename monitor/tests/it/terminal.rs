//! A program in a pseudo-terminal, whose screen is kept by an emulator that we did not write.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use tokio::sync::watch;

/// A test that waits for longer has failed.
const TOO_LONG: Duration = Duration::from_mins(1);

/// A running program, and what it shows.
pub(crate) struct Terminal {
    /// Until it has ended.
    child: Option<Child>,
    controller: File,
    /// Kept open to see what is left of it.
    device: File,
    screen: Arc<Mutex<vt100::Parser>>,
    /// All that was written, as it was.
    bytes: Arc<Mutex<Vec<u8>>>,
    changed: watch::Receiver<()>,
}

impl Terminal {
    /// One of this size. The program sees a terminal that can do everything, unless it is told otherwise.
    pub(crate) fn start(command: &mut Command, (columns, rows): (u16, u16)) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        let device = OpenOptions::new().read(true).write(true).open(name).unwrap();
        tcsetwinsize(&controller, size(columns, rows)).unwrap();
        let end = || OwnedFd::from(device.try_clone().unwrap());
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (change, changed) = watch::channel(());
        let controller = File::from(controller);
        let (mut output, kept, raw) =
            (controller.try_clone().unwrap(), Arc::clone(&screen), Arc::clone(&bytes));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Fails when the last end of the device is closed.
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                kept.lock().unwrap().process(&buffer[..read]);
                raw.lock().unwrap().extend_from_slice(&buffer[..read]);
                change.send_replace(());
            }
        });
        Self { child: Some(child), controller, device, screen, bytes, changed }
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.controller.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen is as `wanted`.
    #[track_caller]
    pub(crate) fn shows(&mut self, wanted: impl Fn(&str) -> bool) -> impl Future<Output = String> {
        let place = std::panic::Location::caller();
        self.screen(move |screen| wanted(&screen.contents()), place)
    }

    async fn screen(
        &mut self,
        wanted: impl Fn(&vt100::Screen) -> bool,
        place: &std::panic::Location<'_>,
    ) -> String {
        loop {
            self.changed.borrow_and_update();
            let (contents, is_wanted) = {
                let parser = self.screen.lock().unwrap();
                (parser.screen().contents(), wanted(parser.screen()))
            };
            if is_wanted {
                return contents;
            }
            let changed = tokio::time::timeout(TOO_LONG, self.changed.changed()).await;
            assert!(changed.is_ok(), "{place}: the screen stays like this:\n{contents}");
        }
    }

    /// Waits until a row is the selected one.
    #[track_caller]
    pub(crate) fn selects(&mut self, row: &str) -> impl Future<Output = String> {
        self.shows(move |text| text.lines().any(|line| line.starts_with(&format!("> {row}"))))
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        self.screen.lock().unwrap().screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.controller, size(columns, rows)).unwrap();
        // It is not our session's terminal, so the kernel tells nobody.
        self.signal(Signal::WINCH);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Whether keys come one by one and are not echoed.
    pub(crate) fn is_raw(&self) -> bool {
        !tcgetattr(&self.device).unwrap().local_modes.intersects(LocalModes::ICANON | LocalModes::ECHO)
    }

    /// Waits for the end of a program that writes and goes, and gives all that it wrote. The terminal ends lines by two characters.
    pub(crate) async fn written(self) -> (ExitStatus, String) {
        let (status, _, written) = self.ended().await;
        (status, written)
    }

    /// The same, and what the terminal is then; keys are read by lines again.
    pub(crate) async fn ended(mut self) -> (ExitStatus, vt100::Screen, String) {
        // What it wrote last is read before this, which changes nothing on the screen.
        const LAST: &[u8] = b"\x1b]2;END\x07";
        // On another thread: what the program asks may be served by this one.
        let mut child = self.child.take().unwrap();
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert!(!self.is_raw(), "keys are read by lines again");
        self.device.write_all(LAST).unwrap();
        loop {
            self.changed.borrow_and_update();
            let bytes = self.bytes.lock().unwrap().clone();
            if let Some(written) = bytes.strip_suffix(LAST) {
                let written = String::from_utf8(written.to_vec()).unwrap().replace("\r\n", "\n");
                return (status, self.screen.lock().unwrap().screen().clone(), written);
            }
            tokio::time::timeout(TOO_LONG, self.changed.changed())
                .await
                .expect("the terminal gives its bytes")
                .unwrap();
        }
    }

    /// Waits for the end of the program, and sees that the terminal is as it was before.
    pub(crate) async fn ends(mut self) -> ExitStatus {
        let place = std::panic::Location::caller();
        self.screen(|screen| !screen.alternate_screen() && !screen.hide_cursor(), place).await;
        let status = self.child.as_mut().unwrap().wait().unwrap();
        assert!(!self.is_raw(), "keys are read by lines again");
        status
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
