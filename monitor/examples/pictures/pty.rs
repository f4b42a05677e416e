//! A program in a pseudo-terminal of its own, and the screen that it leaves.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// What comes no sooner does not come.
const TOO_LONG: Duration = Duration::from_mins(1);

/// A program and its screen.
pub(crate) struct Terminal {
    child: Child,
    controller: File,
    output: Receiver<Vec<u8>>,
    screen: vt100::Parser,
}

impl Terminal {
    /// Starts it in a terminal of this size. The command goes with it: it holds ends of the terminal, too.
    pub(crate) fn start(mut command: Command, columns: u16, rows: u16) -> Result<Self> {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&controller)?;
        unlockpt(&controller)?;
        let name = ptsname(&controller, Vec::new())?;
        let device = OpenOptions::new().read(true).write(true).open(name.to_str()?)?;
        tcsetwinsize(&controller, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })?;
        let end = || device.try_clone().map(OwnedFd::from);
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        let child = command.stdin(end()?).stdout(end()?).stderr(end()?).spawn().context("start it")?;
        let controller = File::from(controller);
        let mut reader = controller.try_clone()?;
        let (bytes, output) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            // Fails when the program has ended.
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if bytes.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, controller, output, screen: vt100::Parser::new(rows, columns, 0) })
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.controller.write_all(keys.as_bytes())?)
    }

    /// Waits until its screen is so.
    pub(crate) fn until(&mut self, wanted: impl Fn(&str) -> bool) -> Result<&vt100::Screen> {
        while !wanted(&self.screen.screen().contents()) {
            let Ok(bytes) = self.output.recv_timeout(TOO_LONG) else {
                bail!("the screen stays like this:\n{}", self.screen.screen().contents());
            };
            self.screen.process(&bytes);
        }
        Ok(self.screen.screen())
    }

    /// Waits until it has ended, and gives what it leaves.
    pub(crate) fn ended(mut self) -> Result<vt100::Screen> {
        self.child.wait()?;
        while let Ok(bytes) = self.output.recv() {
            self.screen.process(&bytes);
        }
        Ok(self.screen.screen().clone())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
