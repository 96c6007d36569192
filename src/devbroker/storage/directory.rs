//! The data directory as a whole: whose it is, and that one broker uses it at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::{COMMITTED_OFFSETS, TOPICS, cannot, read_text, replace, temporary, topics, unreadable};
use crate::devbroker::cluster::random_uuid;
use crate::{Error, Result};

const LOCK: &str = ".lock";
const MARKER: &str = "krs-broker.txt";
const TITLE: &str = "data of krs broker";
/// Of everything in the directory.
const FORMAT: u32 = 1;

/// A directory that is ours, and locked.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) cluster_id: String,
    /// The system takes the lock away when the process ends, however it ends.
    lock: File,
}

impl Directory {
    /// # Errors
    /// It is no directory, somebody else's, in use, not writable, or of a newer version.
    pub(super) fn open(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).map_err(|error| match path.metadata() {
            Ok(there) if !there.is_dir() => {
                Error::config(format!("the data directory {} is a file; use another", path.display()))
            }
            _ => cannot("create the data directory", path, &error),
        })?;
        refuse_foreign(path)?;
        let lock = take(path)?;
        let marker = path.join(MARKER);
        // Under the lock, since another broker may have made it in between.
        let cluster_id = match read_text(&marker) {
            Ok(text) => read_marker(&marker, &text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path)?,
            Err(error) => return Err(cannot("read", &marker, &error)),
        };
        Ok(Self { path: path.to_owned(), cluster_id, lock })
    }

    pub(super) fn unlock(&self) {
        let _ = self.lock.unlock();
    }
}

/// Refuses a directory that holds something and is not marked as ours.
fn refuse_foreign(path: &Path) -> Result<()> {
    if path.join(MARKER).exists() {
        return Ok(());
    }
    let entries = path.read_dir().map_err(|error| cannot("read the data directory", path, &error))?;
    // A first start that was interrupted leaves these.
    let ours = [LOCK, TOPICS, COMMITTED_OFFSETS, "topics.new", "krs-broker.new"];
    for entry in entries {
        let name = entry.map_err(|error| cannot("read the data directory", path, &error))?.file_name();
        if !ours.iter().any(|ours| name == *ours) {
            return Err(Error::config(format!(
                "the directory {} holds other things than a broker's data ({}); use an empty or a new one as data \
                 directory",
                path.display(),
                name.display()
            )));
        }
    }
    Ok(())
}

fn take(path: &Path) -> Result<File> {
    let name = path.join(LOCK);
    let file = File::options().create(true).truncate(false).write(true).open(&name);
    let file = file.map_err(|error| cannot("write", &name, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::config(format!(
            "the data directory {} is used by another broker; stop that one or use another data directory",
            path.display()
        ))),
        Err(TryLockError::Error(error)) => Err(cannot("lock", &name, &error)),
    }
}

/// Makes an empty directory ours, the marker last.
fn make(path: &Path) -> Result<String> {
    let cluster_id = random_uuid().to_string();
    let (topics, marker) = (path.join(TOPICS), path.join(MARKER));
    replace(&topics, &topics::print(&[]), true).map_err(|error| cannot("write", &topics, &error))?;
    let text = format!("{TITLE}\nformat={FORMAT}\ncluster.id={cluster_id}\n");
    replace(&marker, &text, true).map_err(|error| cannot("write", &marker, &error))?;
    let _ = std::fs::remove_file(temporary(&marker));
    Ok(cluster_id)
}

fn read_marker(marker: &Path, text: &str) -> Result<String> {
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        return Err(unreadable(marker, &format!("its first line must be \"{TITLE}\"")));
    }
    let format = lines.next().and_then(|line| line.strip_prefix("format=")).and_then(|format| format.parse().ok());
    match format {
        Some(FORMAT) => {}
        Some(format @ FORMAT..) => {
            return Err(Error::config(format!(
                "{} says format {format}, and this version knows {FORMAT} only: a newer version of the broker wrote \
                 it; use that one or another data directory",
                marker.display()
            )));
        }
        _ => return Err(unreadable(marker, "its second line must be format=NUMBER")),
    }
    let id = lines.next().and_then(|line| line.strip_prefix("cluster.id="));
    let id = id.filter(|id| !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic()));
    id.map(str::to_owned).ok_or_else(|| unreadable(marker, "its third line must be cluster.id=ID"))
}
