//! The files of one partition: segments of its log, and what a log does not say of itself.
//!
//! The last segment is appended to, one write for each batch; its name says where the log ends even when nothing is in
//! it. What is written follows the log in memory: a segment goes when the log has dropped all its batches.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::recovery::MAX_EPOCH;
use super::{Storage, read_text, replace};
use crate::kafka::protocol::Uuid;

const CHECKPOINT: &str = "partition.txt";

/// A segment that would become larger is followed by a new one, unless it is empty.
const SEGMENT: u64 = 16 << 20;

/// So many files of the process stay open; others are opened for each write.
const OPEN: usize = 256;

/// No offset comes near this, and what is counted from one does not overflow.
const MAX_OFFSET: i64 = i64::MAX / 2;

/// The files of one partition. They are written under its lock.
#[derive(Debug)]
pub(in crate::devbroker) struct Files {
    storage: Arc<Storage>,
    directory: PathBuf,
    topic: Uuid,
    /// Ascending.
    segments: Vec<Segment>,
    /// The last segment's.
    open: Option<Open>,
    /// A write to the last segment failed, and what it left behind could not be cut off yet.
    torn: bool,
    /// What the file of it says; none before the directory is made.
    checkpoint: Option<Checkpoint>,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    base: i64,
    /// Of what is sound in it.
    size: u64,
    synced: bool,
}

/// A log file that is kept open.
#[derive(Debug)]
struct Open {
    file: File,
    storage: Arc<Storage>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.storage.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is kept of a partition beside its log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::devbroker) struct Checkpoint {
    pub(in crate::devbroker) leader_epoch: i32,
    pub(in crate::devbroker) log_start: i64,
    /// Where each leader epoch began, ascending in both.
    pub(in crate::devbroker) epochs: Vec<(i32, i64)>,
}

impl Files {
    pub(super) fn new(storage: Arc<Storage>, directory: PathBuf, topic: Uuid) -> Self {
        Self { storage, directory, topic, segments: Vec::new(), open: None, torn: false, checkpoint: None }
    }

    /// Writes a batch that begins at `base`. `now` is what else is to be kept, should nothing be there yet.
    ///
    /// # Errors
    /// The files are as if it had not been tried.
    pub(in crate::devbroker) fn append(
        &mut self,
        batch: &[u8],
        base: i64,
        now: impl FnOnce() -> Checkpoint,
    ) -> io::Result<()> {
        let written = self.try_append(batch, base, now);
        self.storage.noted(&self.directory, written)
    }

    fn try_append(&mut self, batch: &[u8], base: i64, now: impl FnOnce() -> Checkpoint) -> io::Result<()> {
        if self.checkpoint.is_none() {
            self.try_keep(now())?;
        }
        self.mend()?;
        let size = batch.len() as u64;
        if self.segments.last().is_none_or(|last| last.size > 0 && last.size + size > SEGMENT) {
            self.roll(base)?;
        }
        let written = self.with_last(|mut file| file.write_all(batch));
        self.torn = written.is_err();
        match self.segments.last_mut() {
            Some(last) if written.is_ok() => {
                last.size += size;
                last.synced = false;
            }
            _ => self.mend().unwrap_or_default(),
        }
        written
    }

    /// Cuts off what a failed write left behind.
    fn mend(&mut self) -> io::Result<()> {
        if let Some(size) = self.segments.last().map(|last| last.size).filter(|_| self.torn) {
            self.with_last(|file| file.set_len(size))?;
        }
        self.torn = false;
        Ok(())
    }

    /// Begins a new segment.
    fn roll(&mut self, base: i64) -> io::Result<()> {
        File::create(path(&self.directory, base))?;
        self.open = None;
        self.segments.push(Segment { base, size: 0, synced: false });
        Ok(())
    }

    /// Does something with the last segment's file.
    fn with_last<T>(&mut self, act: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        if let Some(open) = &self.open {
            return act(&open.file);
        }
        let base = self.segments.last().map_or(0, |last| last.base);
        let file = File::options().append(true).open(path(&self.directory, base))?;
        let done = act(&file);
        if self.storage.open.fetch_add(1, Ordering::Relaxed) < OPEN {
            self.open = Some(Open { file, storage: Arc::clone(&self.storage) });
        } else {
            self.storage.open.fetch_sub(1, Ordering::Relaxed);
        }
        done
    }

    /// The log has dropped what lies before `start`; `end` is where it ends.
    pub(in crate::devbroker) fn trim(&mut self, start: i64, end: i64) {
        if start == end && self.segments.last().is_some_and(|last| last.size > 0 && last.base < end) {
            let rolled = self.mend().and_then(|()| self.roll(end));
            // If it failed, the old batches stay, and the start of the log keeps them from being read.
            let _ = self.storage.noted(&self.directory, rolled);
        }
        let gone = self.segments.windows(2).take_while(|two| two[1].base <= start).count();
        for segment in self.segments.drain(..gone) {
            let path = path(&self.directory, segment.base);
            if let Err(error) = std::fs::remove_file(&path) {
                log::warn!("cannot delete {}: {error}", path.display());
            }
        }
    }

    /// Keeps this beside the log, if it is not kept already.
    pub(in crate::devbroker) fn keep(&mut self, now: Checkpoint) -> io::Result<()> {
        // Nothing at all is what is found where there are no files.
        if self.checkpoint.as_ref().map_or(now == Checkpoint::default(), |kept| *kept == now) {
            return Ok(());
        }
        let kept = self.try_keep(now);
        self.storage.noted(&self.directory, kept)
    }

    fn try_keep(&mut self, now: Checkpoint) -> io::Result<()> {
        if self.checkpoint.is_none()
            && let Err(error) = std::fs::create_dir(&self.directory)
        {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return Err(error);
            }
            // Of a topic that had the name before; or of an attempt that failed.
            if self.segments.is_empty() {
                erase(&self.directory)?;
                std::fs::create_dir(&self.directory)?;
            }
        }
        replace(&self.directory.join(CHECKPOINT), &print(self.topic, &now), false)?;
        self.checkpoint = Some(now);
        Ok(())
    }

    /// Forces everything onto the disk.
    pub(in crate::devbroker) fn sync(&mut self) {
        let synced = self.try_sync();
        let _ = self.storage.noted(&self.directory, synced);
    }

    fn try_sync(&mut self) -> io::Result<()> {
        if self.checkpoint.is_none() {
            return Ok(());
        }
        self.mend()?;
        for segment in self.segments.iter_mut().filter(|segment| !segment.synced) {
            File::open(path(&self.directory, segment.base))?.sync_all()?;
            segment.synced = true;
        }
        File::open(self.directory.join(CHECKPOINT))?.sync_all()?;
        File::open(&self.directory)?.sync_all()
    }

    /// Deletes all of it.
    pub(in crate::devbroker) fn erase(mut self) {
        self.open = None;
        if let Err(error) = erase(&self.directory) {
            log::warn!("cannot delete {}: {error}", self.directory.display());
        }
    }

    /// What an earlier run left: the checkpoint, and where the segments begin, ascending. None if there is nothing, or
    /// what is there is another topic's.
    pub(super) fn found(&mut self) -> io::Result<Option<(Checkpoint, Vec<i64>)>> {
        let bases = match bases(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            bases => bases?,
        };
        let file = self.directory.join(CHECKPOINT);
        let kept = match read_text(&file) {
            Ok(text) => parse(&text),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidData) => None,
            Err(error) => return Err(error),
        };
        match kept {
            Some((topic, _)) if topic != self.topic => Ok(None),
            Some((_, checkpoint)) => {
                self.checkpoint = Some(checkpoint.clone());
                Ok(Some((checkpoint, bases)))
            }
            // Its first write failed.
            None if bases.is_empty() => Ok(None),
            None => {
                log::warn!("{} is not as it was written: the log alone says where it starts", file.display());
                Ok(Some((Checkpoint::default(), bases)))
            }
        }
    }

    /// Takes over a segment that is about to be read back.
    pub(super) fn adopt(&mut self, base: i64) {
        self.open = None;
        self.segments.push(Segment { base, size: 0, synced: true });
    }

    /// How much of the last segment is sound; with `cut`, what is behind that is cut off.
    pub(super) fn settle(&mut self, size: u64, cut: bool) -> io::Result<()> {
        if let Some(last) = self.segments.last_mut() {
            last.size = size;
        }
        self.torn = cut;
        let mended = self.mend();
        // Not kept open: there may be thousands that nobody writes to.
        self.open = None;
        mended
    }

    pub(in crate::devbroker) fn directory(&self) -> &Path {
        &self.directory
    }
}

/// A segment, as Kafka names it.
pub(super) fn path(directory: &Path, base: i64) -> PathBuf {
    directory.join(format!("{base:020}.log"))
}

fn base_of(name: &str) -> Option<i64> {
    let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then_some(())?;
    digits.parse().ok().filter(|base| *base <= MAX_OFFSET)
}

fn bases(directory: &Path) -> io::Result<Vec<i64>> {
    let mut bases = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        bases.extend(entry?.file_name().to_str().and_then(base_of));
    }
    bases.sort_unstable();
    Ok(bases)
}

/// Deletes a partition's files and, if nothing else is in it, its directory.
pub(super) fn erase(directory: &Path) -> io::Result<()> {
    let gone = |done: io::Result<()>| match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    };
    let bases = match bases(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        bases => bases?,
    };
    for base in bases {
        gone(std::fs::remove_file(path(directory, base)))?;
    }
    gone(std::fs::remove_file(directory.join(CHECKPOINT).with_extension("new")))?;
    gone(std::fs::remove_file(directory.join(CHECKPOINT)))?;
    std::fs::remove_dir(directory)
}

fn print(topic: Uuid, checkpoint: &Checkpoint) -> String {
    let mut text =
        format!("topic.id={topic}\nleader.epoch={}\nlog.start={}\n", checkpoint.leader_epoch, checkpoint.log_start);
    for (epoch, begin) in &checkpoint.epochs {
        text.push_str(&format!("epoch.{epoch}={begin}\n"));
    }
    text
}

fn parse(text: &str) -> Option<(Uuid, Checkpoint)> {
    let offset = |text: &str| text.parse().ok().filter(|offset| (0..=MAX_OFFSET).contains(offset));
    let epoch = |text: &str| text.parse().ok().filter(|epoch| (0..MAX_EPOCH).contains(epoch));
    let mut lines = text.lines();
    let topic = lines.next()?.strip_prefix("topic.id=")?.parse().ok()?;
    let leader_epoch = epoch(lines.next()?.strip_prefix("leader.epoch=")?)?;
    let log_start = offset(lines.next()?.strip_prefix("log.start=")?)?;
    let mut epochs: Vec<(i32, i64)> = Vec::new();
    for line in lines {
        let (name, begin) = line.strip_prefix("epoch.")?.split_once('=')?;
        let next = (epoch(name)?, offset(begin)?);
        if epochs.last().is_some_and(|last| last.0 >= next.0 || last.1 > next.1) {
            return None;
        }
        epochs.push(next);
    }
    Some((topic, Checkpoint { leader_epoch, log_start, epochs }))
}
