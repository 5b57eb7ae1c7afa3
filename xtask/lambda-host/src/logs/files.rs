//! One log file per function, each line with its time.

use std::{
    collections::HashMap,
    fs::{File, OpenOptions},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

/// The open log files.
#[derive(Debug)]
pub(super) struct Files {
    folder: PathBuf,
    open: HashMap<String, BufWriter<File>>,
}

impl Files {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            open: HashMap::new(),
        }
    }

    /// Appends a line. A file that cannot be opened is reported once per line and is not fatal.
    pub(super) fn write(&mut self, function: &str, at: Timestamp, text: &str) {
        if !self.open.contains_key(function) {
            let path = self.folder.join(format!("{function}.log"));
            match OpenOptions::new().create(true).append(true).open(&path) {
                Ok(file) => drop(self.open.insert(function.to_owned(), BufWriter::new(file))),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot open a log file");
                    return;
                }
            }
        }
        if let Some(file) = self.open.get_mut(function)
            && let Err(error) = writeln!(file, "{at:.3} {text}")
        {
            tracing::warn!(function, %error, "cannot write a log line");
        }
    }

    pub(super) fn flush(&mut self) {
        for (function, file) in &mut self.open {
            if let Err(error) = file.flush() {
                tracing::warn!(function, %error, "cannot write to a log file");
            }
        }
    }
}
