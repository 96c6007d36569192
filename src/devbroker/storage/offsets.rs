//! The journal of committed offsets: what Kafka keeps in `__consumer_offsets`, in the same batches and schemas.
//!
//! It only grows, one batch with each commit, and is written anew from what is in force when it has grown far beyond
//! that. So a commit is on disk as a whole or not at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};

use super::recovery::recover;
use super::{cannot, temporary};
use crate::Result;
use crate::kafka::record::batch::{self, field};
use crate::kafka::record::builder::{BatchBuilder, stamp};
use crate::kafka::record::compression::Compression;

const FILE: &str = "00000000000000000000.log";

/// A smaller journal is not worth the work.
const SMALL: u64 = 1 << 20;

/// Entries of one batch when all are written anew.
const AT_ONCE: usize = 1000;

/// OffsetCommitKey 1 and OffsetCommitValue 3, the last without topic ids.
const KEY_VERSION: i16 = 1;
const VALUE_VERSION: i16 = 3;

/// Whose position it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::devbroker) struct Key {
    pub(in crate::devbroker) group: String,
    pub(in crate::devbroker) topic: String,
    pub(in crate::devbroker) partition: i32,
}

/// A position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::devbroker) struct Committed {
    pub(in crate::devbroker) offset: i64,
    /// -1 if the member did not tell.
    pub(in crate::devbroker) leader_epoch: i32,
    pub(in crate::devbroker) metadata: String,
    /// Milliseconds since 1970.
    pub(in crate::devbroker) at: i64,
}

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// Open for appending.
    file: File,
    /// The size of what is sound in the file.
    size: u64,
    /// A write failed, and what it left behind could not be cut off yet.
    torn: bool,
    /// The offset of the next batch.
    next: i64,
    in_force: BTreeMap<Key, Committed>,
    /// What all that is in force takes.
    needed: u64,
}

impl Journal {
    /// Opens the journal in this directory, or begins one there.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        let path = directory.join(FILE);
        let opened = std::fs::create_dir(directory).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        });
        let opened = opened.and_then(|()| append_to(&path));
        let file = opened.map_err(|error| cannot("write", &path, &error))?;
        let mut journal = Self { path, file, size: 0, torn: false, next: 0, in_force: BTreeMap::new(), needed: 0 };
        journal.read().map_err(|error| cannot("read", &journal.path, &error))?;
        if let Err(error) = journal.tidy() {
            return Err(cannot("write", &journal.path, &error));
        }
        Ok(journal)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn all(&self) -> Vec<(Key, Committed)> {
        self.in_force.iter().map(|(key, committed)| (key.clone(), committed.clone())).collect()
    }

    /// Keeps these positions; one without a position is forgotten.
    pub(super) fn write(&mut self, changes: &[(Key, Option<Committed>)]) -> io::Result<()> {
        if changes.is_empty() {
            return Ok(());
        }
        let batch = encode(self.next, changes.iter().map(|(key, committed)| (key, committed.as_ref())))?;
        self.mend()?;
        if let Err(error) = self.file.write_all(&batch) {
            self.torn = true;
            let _ = self.mend();
            return Err(error);
        }
        self.size += batch.len() as u64;
        self.next += changes.len() as i64;
        changes.iter().for_each(|(key, committed)| self.apply(key.clone(), committed.clone()));
        if let Err(error) = self.tidy() {
            // The changes are safe, and the next will try again.
            log::warn!("{}", cannot("write anew", &self.path, &error));
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.size)?;
            self.torn = false;
        }
        Ok(())
    }

    fn read(&mut self) -> io::Result<()> {
        let mut entries = Vec::new();
        let file = BufReader::new(File::open(&self.path)?);
        let done = recover(file, 0, |bytes, _| {
            // Written here without compression, and its checksum is right.
            let batch = batch::batches(&bytes).next().and_then(Result::ok);
            for record in batch.iter().flat_map(|batch| batch.records()) {
                entries.extend(read_entry(record.key.unwrap_or_default(), record.value.unwrap_or_default()));
            }
            entries.drain(..).for_each(|(key, committed)| self.apply(key, committed));
        })?;
        (self.size, self.next) = (done.size, done.end);
        if let Some(why) = done.wrong {
            log::warn!("{} is cut off at byte {}: {why}", self.path.display(), done.size);
            self.torn = true;
            self.mend()?;
        }
        Ok(())
    }

    fn apply(&mut self, key: Key, committed: Option<Committed>) {
        let size = |key: &Key, committed: &Committed| {
            (64 + key.group.len() + key.topic.len() + committed.metadata.len()) as u64
        };
        let added = committed.as_ref().map_or(0, |committed| size(&key, committed));
        let removed = match committed {
            Some(committed) => self.in_force.insert(key.clone(), committed),
            None => self.in_force.remove(&key),
        };
        self.needed = self.needed + added - removed.map_or(0, |committed| size(&key, &committed));
    }

    /// Writes the journal anew if most of it is out of force.
    fn tidy(&mut self) -> io::Result<()> {
        if self.size <= SMALL.max(4 * self.needed) {
            return Ok(());
        }
        let new = temporary(&self.path);
        let (mut size, mut next) = (0, 0);
        let _ = std::fs::remove_file(&new);
        let mut file = append_to(&new)?;
        let entries: Vec<_> = self.in_force.iter().map(|(key, committed)| (key, Some(committed))).collect();
        for entries in entries.chunks(AT_ONCE) {
            let batch = encode(next, entries.iter().copied())?;
            file.write_all(&batch)?;
            size += batch.len() as u64;
            next += entries.len() as i64;
        }
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        (self.file, self.size, self.next, self.torn) = (file, size, next, false);
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

fn encode<'a>(base: i64, entries: impl Iterator<Item = (&'a Key, Option<&'a Committed>)>) -> io::Result<Vec<u8>> {
    let invalid = |error: crate::Error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string());
    let mut builder = BatchBuilder::new(Vec::new());
    for (key, committed) in entries {
        let mut name = KEY_VERSION.to_be_bytes().to_vec();
        put_text(&mut name, &key.group)?;
        put_text(&mut name, &key.topic)?;
        name.extend_from_slice(&key.partition.to_be_bytes());
        let mut value = VALUE_VERSION.to_be_bytes().to_vec();
        if let Some(committed) = committed {
            value.extend_from_slice(&committed.offset.to_be_bytes());
            value.extend_from_slice(&committed.leader_epoch.to_be_bytes());
            put_text(&mut value, &committed.metadata)?;
            value.extend_from_slice(&committed.at.to_be_bytes());
        }
        let at = committed.map_or(-1, |committed| committed.at);
        builder.append(Some(&name), committed.map(|_| &value[..]), &[], at).map_err(invalid)?;
    }
    let mut batch = builder.close(Compression::None).map_err(invalid)?;
    batch::put(&mut batch, field::BASE_OFFSET, base.to_be_bytes());
    batch::put(&mut batch, field::LEADER_EPOCH, 0i32.to_be_bytes());
    stamp(&mut batch, -1, -1, -1);
    Ok(batch)
}

fn put_text(out: &mut Vec<u8>, text: &str) -> io::Result<()> {
    let length = i16::try_from(text.len());
    let length = length.map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "a name of more than 32767 bytes"))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// A record of the journal; none if it is of another kind. An empty value takes a position back.
pub(super) fn read_entry(key: &[u8], value: &[u8]) -> Option<(Key, Option<Committed>)> {
    let mut fields = Fields(key);
    (i16::from_be_bytes(fields.array()?) == KEY_VERSION).then_some(())?;
    let key = Key { group: fields.text()?, topic: fields.text()?, partition: i32::from_be_bytes(fields.array()?) };
    if value.is_empty() {
        return Some((key, None));
    }
    let mut fields = Fields(value);
    (i16::from_be_bytes(fields.array()?) == VALUE_VERSION).then_some(())?;
    let committed = Committed {
        offset: i64::from_be_bytes(fields.array()?),
        leader_epoch: i32::from_be_bytes(fields.array()?),
        metadata: fields.text()?,
        at: i64::from_be_bytes(fields.array()?),
    };
    Some((key, Some(committed)))
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(i16::from_be_bytes(self.array()?)).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        String::from_utf8(text.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devbroker::storage::tests::Folder;

    fn key(partition: i32) -> Key {
        Key { group: "readers".to_owned(), topic: "greetings".to_owned(), partition }
    }

    fn at(offset: i64) -> Option<Committed> {
        Some(Committed { offset, leader_epoch: 2, metadata: "m".repeat(offset as usize % 50), at: 1_700_000_000_000 })
    }

    fn offsets(journal: &Journal) -> Vec<(i32, i64)> {
        journal.all().into_iter().map(|(key, committed)| (key.partition, committed.offset)).collect()
    }

    #[test]
    fn positions_come_back_and_those_taken_back_do_not() {
        let folder = Folder::new();
        let mut journal = Journal::open(&folder.path()).unwrap();
        journal.write(&[(key(0), at(1)), (key(1), at(2))]).unwrap();
        journal.write(&[(key(0), at(3)), (key(1), None)]).unwrap();
        let all = journal.all();
        assert_eq!(all, [(key(0), at(3).unwrap())]);
        drop(journal);
        assert_eq!(Journal::open(&folder.path()).unwrap().all(), all);
    }

    #[test]
    fn a_commit_that_is_cut_anywhere_is_none_and_the_next_one_counts() {
        let folder = Folder::new();
        let file = folder.path().join(FILE);
        let mut journal = Journal::open(&folder.path()).unwrap();
        journal.write(&[(key(0), at(1))]).unwrap();
        let first = journal.size as usize;
        journal.write(&[(key(0), at(2)), (key(1), at(2))]).unwrap();
        let whole = std::fs::read(&file).unwrap();
        for cut in first..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            let mut journal = Journal::open(&folder.path()).unwrap();
            assert_eq!(offsets(&journal), [(0, 1)], "cut at {cut}");
            journal.write(&[(key(1), at(3))]).unwrap();
            drop(journal);
            assert_eq!(offsets(&Journal::open(&folder.path()).unwrap()), [(0, 1), (1, 3)], "cut at {cut}");
        }
    }

    #[test]
    fn the_journal_stays_small_however_often_is_committed() {
        let folder = Folder::new();
        let mut journal = Journal::open(&folder.path()).unwrap();
        let mut largest = 0;
        for round in 0..30_000 {
            journal.write(&[(key(round % 3), at(i64::from(round)))]).unwrap();
            largest = largest.max(std::fs::metadata(&journal.path).unwrap().len());
        }
        assert!((SMALL / 2..SMALL + 1000).contains(&largest), "{largest}");
        let all = journal.all();
        assert_eq!(offsets(&journal), [(0, 29_997), (1, 29_998), (2, 29_999)]);
        drop(journal);
        assert_eq!(Journal::open(&folder.path()).unwrap().all(), all);
    }

    #[test]
    fn a_name_that_the_schema_cannot_hold_is_refused_and_harms_nothing() {
        let folder = Folder::new();
        let mut journal = Journal::open(&folder.path()).unwrap();
        journal.write(&[(key(0), at(1))]).unwrap();
        let long = Key { group: "g".repeat(40_000), ..key(1) };
        assert!(journal.write(&[(key(0), at(2)), (long, at(2))]).is_err());
        assert_eq!(offsets(&journal), [(0, 1)]);
        drop(journal);
        assert_eq!(offsets(&Journal::open(&folder.path()).unwrap()), [(0, 1)]);
    }
}
