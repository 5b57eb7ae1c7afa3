//! Only one command at a time changes a local environment.
//!
//! The lock is a file beside the environment's folder, because `destroy` removes the folder: a lock
//! on a file inside would be lost with it.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use super::Local;
use crate::output::Output;
use crate::stop::Stop;

/// How often to try a lock that another command holds.
const POLL: Duration = Duration::from_millis(100);

/// Held until it is dropped, or until the process ends in any way.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    path: PathBuf,
}

impl Lock {
    /// Takes the lock, or refuses: two concurrent deploys would each undo the other's changes.
    pub(crate) fn take(local: &Local) -> anyhow::Result<Self> {
        let path = path(local);
        try_lock(&path)?.ok_or_else(|| {
            Stop::failed(format!(
                "another command is changing the local environment in `{}`",
                local.dir().display()
            ))
            .hint("run this one when it is done; `--local-dir DIR` makes an environment of its own")
            .into()
        })
    }

    /// Takes the lock once its holder is done, for a removal that must happen in any case.
    pub(crate) async fn wait(local: &Local, out: Output) -> anyhow::Result<Self> {
        let path = path(local);
        let mut told = false;
        loop {
            if let Some(lock) = try_lock(&path)? {
                return Ok(lock);
            }
            if !std::mem::replace(&mut told, true) {
                out.step("waiting for another command that changes the local environment");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Removes the lock file together with the environment.
    pub(crate) fn remove(self) {
        // It may stay if it cannot be removed: an empty file that locks nothing.
        let _left = std::fs::remove_file(&self.path);
    }
}

fn path(local: &Local) -> PathBuf {
    local.dir().with_extension("lock")
}

fn try_lock(path: &Path) -> anyhow::Result<Option<Lock>> {
    let locking = || format!("locking `{}`", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(locking)?;
    }
    let file = File::create(path).with_context(locking)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error).with_context(locking),
    }
    // The previous holder may have removed the file that is locked now.
    let locked = file.metadata().with_context(locking)?.ino();
    let is_current = std::fs::metadata(path).is_ok_and(|there| there.ino() == locked);
    Ok(is_current.then(|| Lock {
        _file: file,
        path: path.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_command_is_refused_until_the_first_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::new(dir.path().join("local"));
        let first = Lock::take(&local).unwrap();
        let error = Lock::take(&local).unwrap_err();
        assert!(error.to_string().contains("another command"), "{error}");
        assert!(crate::stop::hint_of(&error).is_some());
        first.remove();
        assert!(!dir.path().join("local.lock").exists());
        drop(Lock::take(&local).unwrap());
    }
}
