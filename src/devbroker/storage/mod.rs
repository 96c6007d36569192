//! What `data_dir` keeps on disk, and how it comes back.
//!
//! The broker serves from memory; every change is written here before it is acknowledged, and read again at the next
//! start only. As with Kafka, what was written has been handed to the operating system and no further: it survives the
//! end of the process, kill -9 included. A clean stop also forces it onto the disk, and so does each change of topics.
//!
//! | in the directory | holds |
//! | --- | --- |
//! | `.lock` | nothing; it is locked while a broker uses the directory |
//! | `krs-broker.txt` | whose directory this is: format and cluster id |
//! | `topics.txt` | topics: name, id, replicas, settings |
//! | `producer-ids.txt` | which producer ids were given out |
//! | `committed-offsets/` | committed offsets, in Kafka's own batches and schemas |
//! | `TOPIC-PARTITION/partition.txt` | leader epochs, and where the log starts |
//! | `TOPIC-PARTITION/OFFSET.log` | the log from this offset on, in Kafka's own format |
//!
//! Nothing here knows a request or a leader.

mod directory;
mod files;
pub mod fuzz;
mod offsets;
mod recovery;
mod restore;
mod topics;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

pub(super) use self::files::{Checkpoint, Files};
pub(super) use self::restore::restore;
pub(super) use self::topics::SavedTopic;

use self::directory::Directory;
use self::offsets::Journal;
use super::cluster::now_ms;
use super::groups::{Changes, Position};
use crate::kafka::protocol::Uuid;
use crate::sync::lock;
use crate::{Error, ErrorKind, Result};

const TOPICS: &str = "topics.txt";
const PRODUCER_IDS: &str = "producer-ids.txt";
const COMMITTED_OFFSETS: &str = "committed-offsets";

/// The most that one of the text files may hold.
const MAX_TEXT: u64 = 64 << 20;

/// Milliseconds without a failure after which it is said that writing works again.
const CALM: i64 = 10_000;

/// A data directory in use.
#[derive(Debug)]
pub(super) struct Storage {
    directory: Directory,
    journal: Mutex<Journal>,
    /// What was in it, until it is taken over.
    positions: Mutex<Vec<Position>>,
    /// Log files that are kept open.
    open: AtomicUsize,
    /// When a write failed last, in milliseconds since 1970, if nothing was said since then of its working again; else 0.
    failing: AtomicI64,
}

impl Storage {
    /// Takes a directory for this broker alone. One that is missing or empty becomes a data directory.
    ///
    /// # Errors
    /// It cannot be had, or what is in it is not to be understood; the text says what to do.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let directory = Directory::open(path)?;
        let (journal, positions) = Journal::open(&directory.path.join(COMMITTED_OFFSETS))?;
        let (journal, positions) = (Mutex::new(journal), Mutex::new(positions));
        Ok(Self { directory, journal, positions, open: AtomicUsize::new(0), failing: AtomicI64::new(0) })
    }

    pub(super) fn cluster_id(&self) -> &str {
        &self.directory.cluster_id
    }

    fn path(&self) -> &Path {
        &self.directory.path
    }

    /// The topics of the last run.
    ///
    /// # Errors
    /// Their file is missing or was changed.
    pub(super) fn topics(&self) -> Result<Vec<SavedTopic>> {
        let path = self.path().join(TOPICS);
        let text = read_text(&path).map_err(|error| cannot("read", &path, &error))?;
        topics::parse(&text).map_err(|why| unreadable(&path, &why))
    }

    /// Keeps these topics, and no others.
    ///
    /// # Errors
    /// The old ones are kept then.
    pub(super) fn save_topics(&self, topics: &[SavedTopic]) -> io::Result<()> {
        let path = self.path().join(TOPICS);
        self.noted(&path, replace(&path, &topics::print(topics), true))
    }

    /// The first producer id that was never given out.
    ///
    /// # Errors
    /// Its file was changed.
    pub(super) fn next_producer_id(&self) -> Result<i64> {
        let path = self.path().join(PRODUCER_IDS);
        let text = match read_text(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        let next = text.strip_prefix("next=").and_then(|text| text.trim_end().parse().ok());
        next.filter(|next| *next >= 0).ok_or_else(|| unreadable(&path, "it must say next=NUMBER"))
    }

    /// Keeps that all producer ids below `next` may have been given out.
    ///
    /// # Errors
    /// They must not be given out then.
    pub(super) fn reserve_producer_ids(&self, next: i64) -> io::Result<()> {
        let path = self.path().join(PRODUCER_IDS);
        self.noted(&path, replace(&path, &format!("next={next}\n"), true))
    }

    /// The place of a partition's log; nothing is on disk before the first write to it.
    pub(super) fn partition(self: &Arc<Self>, topic: &str, id: Uuid, index: i32) -> Files {
        Files::new(Arc::clone(self), self.path().join(directory_name(topic, index)), id)
    }

    /// Deletes what is left of partitions that no topic has: a deletion was interrupted.
    pub(super) fn sweep(&self, topics: &[SavedTopic]) {
        let known = |name: &str| {
            topics.iter().any(|topic| {
                let index = name.strip_prefix(&topic.name).and_then(|rest| rest.strip_prefix('-'));
                index.and_then(|index| index.parse().ok()).is_some_and(|index: usize| index < topic.replicas.len())
            })
        };
        let entries = std::fs::read_dir(self.path()).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| is_partition(name)) else { continue };
            if entry.path().is_dir() && !known(name) {
                log::info!("deleting {}: it belongs to no topic any more", entry.path().display());
                if let Err(error) = files::erase(&entry.path()) {
                    log::warn!("cannot delete {}: {error}", entry.path().display());
                }
            }
        }
    }

    /// The positions that an earlier run kept; empty when asked again.
    pub(super) fn take_positions(&self) -> Vec<Position> {
        std::mem::take(&mut *lock(&self.positions))
    }

    /// Keeps changes of positions, all of them or none. `all` is what is in force with them.
    ///
    /// # Errors
    /// They must not be acknowledged then.
    pub(super) fn keep_positions(&self, changes: &Changes, all: impl FnOnce() -> Vec<Position>) -> io::Result<()> {
        let mut journal = lock(&self.journal);
        let written = journal.write(changes, all);
        self.noted(journal.path(), written)
    }

    /// Forces onto the disk what is not part of a partition, and lets go of the directory.
    pub(super) fn close(&self) {
        let journal = lock(&self.journal);
        let _ = self.noted(journal.path(), journal.sync().and_then(|()| sync_parent(journal.path())));
        // It names the directories of the partitions.
        let _ = self.noted(self.path(), File::open(self.path()).and_then(|directory| directory.sync_all()));
        self.directory.unlock();
    }

    /// A write that failed, for whoever asked for it.
    pub(super) fn failed(&self, error: &io::Error) -> Error {
        cannot("write to the data directory", self.path(), error)
    }

    /// Says once that writing fails, and once that it works again. On a disk that is nearly full some writes fail and
    /// others do not; that is one failure.
    fn noted<T>(&self, path: &Path, written: io::Result<T>) -> io::Result<T> {
        match &written {
            Ok(_) => {
                let failed = self.failing.load(Ordering::Relaxed);
                if failed != 0
                    && now_ms() - failed > CALM
                    && self.failing.compare_exchange(failed, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
                {
                    log::warn!("the data directory {} can be written again", self.path().display());
                }
            }
            Err(error) => {
                if self.failing.swap(now_ms(), Ordering::Relaxed) == 0 {
                    log::error!("{}; what cannot be kept is refused until then", cannot("write", path, error));
                }
            }
        }
        written
    }
}

/// As in Kafka.
fn directory_name(topic: &str, index: i32) -> String {
    format!("{topic}-{index}")
}

fn is_partition(name: &str) -> bool {
    let index = name.rsplit_once('-').map(|(_, index)| index);
    index.is_some_and(|index| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()))
}

fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let size = File::open(path)?.take(MAX_TEXT + 1).read_to_string(&mut text)?;
    if size as u64 > MAX_TEXT {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be ours"));
    }
    Ok(text)
}

/// Puts a file with this text in the place of what is there, at one stroke. With `sync` also a loss of power leaves
/// either the old one or the new one.
fn replace(path: &Path, text: &str, sync: bool) -> io::Result<()> {
    let new = temporary(path);
    let written = (|| {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        if sync { file.sync_all() } else { Ok(()) }
    })();
    if let Err(error) = written.and_then(|()| std::fs::rename(&new, path)) {
        let _ = std::fs::remove_file(&new);
        return Err(error);
    }
    if sync { sync_parent(path) } else { Ok(()) }
}

fn temporary(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Makes a new name in a directory last.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// What cannot be done with a path, why, and what helps.
fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    use io::ErrorKind as Why;
    let (kind, remedy) = match error.kind() {
        Why::StorageFull | Why::QuotaExceeded => (ErrorKind::Io, "make room there or use another data directory"),
        Why::PermissionDenied | Why::ReadOnlyFilesystem => {
            (ErrorKind::Config, "allow this user to write there or use another data directory")
        }
        Why::NotADirectory | Why::NotFound | Why::AlreadyExists | Why::InvalidInput => {
            (ErrorKind::Config, "use another data directory")
        }
        _ => (ErrorKind::Io, "repair it or use another data directory"),
    };
    Error::new(kind, format!("cannot {what} {}: {error}; {remedy}", path.display()))
}

/// A file of ours that says something else than it should.
fn unreadable(path: &Path, why: &str) -> Error {
    Error::config(format!(
        "{} is not as it was written: {why}; restore it or use another data directory",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of one test, deleted with it.
    pub(super) struct Folder(PathBuf);

    impl Folder {
        pub(super) fn new() -> Self {
            let name = format!("krs-storage-{}-{}", std::process::id(), crate::devbroker::cluster::random_uuid());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        /// A place in it where nothing is yet.
        pub(super) fn path(&self) -> PathBuf {
            self.0.join("data")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
