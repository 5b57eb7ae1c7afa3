//! Runs the command line on a terminal, as people do.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

use std::io::{Read as _, Write as _};
use std::process::Child;

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};

use crate::place::Place;

/// Ctrl-C, which the terminal turns into an interrupt.
pub const CTRL_C: &str = "\u{3}";

/// A command on a terminal of its own.
pub struct Terminal {
    pty: Pty,
    child: Child,
    shown: Vec<u8>,
}

impl Terminal {
    /// Starts the command line with these arguments.
    pub fn start(place: &Place, args: &str) -> Self {
        let (pty, pts) = open().unwrap();
        pty.resize(Size::new(40, 200)).unwrap();
        let given = place.command(args);
        let mut command = Command::new(given.get_program())
            .args(given.get_args())
            .env("NO_COLOR", "1");
        for (name, value) in given.get_envs() {
            command = match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        let child = command.spawn(pts).unwrap();
        Self {
            pty,
            child,
            shown: Vec::new(),
        }
    }

    /// Waits until the terminal shows a text.
    #[track_caller]
    pub fn wait_for(&mut self, text: &str) {
        while !self.text().contains(text) {
            assert!(self.read(), "ended without `{text}`:\n{}", self.text());
        }
    }

    /// Types; a line needs its `\n`.
    pub fn type_in(&mut self, keys: &str) {
        self.pty.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end. Returns the exit code, unless a signal ended the command, and everything
    /// that the terminal showed.
    pub fn end(mut self) -> (Option<i32>, String) {
        while self.read() {}
        let status = self.child.wait().unwrap();
        (status.code(), self.text())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.shown).replace("\r\n", "\n")
    }

    /// Reads what is there, or waits for more. Returns whether the command still runs.
    fn read(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // Linux reports the end of the last program on a terminal as EIO.
        let read = self.pty.read(&mut bytes).unwrap_or(0);
        self.shown.extend_from_slice(&bytes[..read]);
        read > 0
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A failed test leaves no command behind. One that has ended cannot be killed.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
    }
}
