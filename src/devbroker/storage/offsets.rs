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
use crate::devbroker::cluster::now_ms;
use crate::devbroker::groups::{Changes, Committed, Key, Position};
use crate::kafka::protocol::Bytes;
use crate::kafka::protocol::messages::{OffsetCommitKey, OffsetCommitValue};
use crate::kafka::record::batch::{self, field};
use crate::kafka::record::builder::{BatchBuilder, stamp};
use crate::kafka::record::compression::Compression;

const FILE: &str = "00000000000000000000.log";

/// A smaller journal is not written anew before the next start.
const SMALL: u64 = 1 << 20;

/// Entries of one batch when all are written anew.
const AT_ONCE: usize = 1000;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// Open for appending.
    file: File,
    /// The size of what is sound in the file.
    size: u64,
    /// Beyond this size it is written anew.
    limit: u64,
    /// A write failed, and what it left behind could not be cut off yet.
    torn: bool,
    /// The offset of the next entry.
    next: i64,
}

impl Journal {
    /// Opens the journal in this directory, or begins one there. Returns the positions that are in force, too.
    pub(super) fn open(directory: &Path) -> Result<(Self, Vec<Position>)> {
        let path = directory.join(FILE);
        let opened = std::fs::create_dir(directory).or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Ok(()),
            _ => Err(error),
        });
        let opened = opened.and_then(|()| append_to(&path));
        let file = opened.map_err(|error| cannot("write", &path, &error))?;
        let mut journal = Self { path, file, size: 0, limit: SMALL, torn: false, next: 0 };
        let positions = journal.read().map_err(|error| cannot("read", &journal.path, &error))?;
        if journal.next as usize > positions.len() {
            let written = journal.write_anew(&positions);
            written.map_err(|error| cannot("write", &journal.path, &error))?;
        }
        Ok((journal, positions))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps these changes, all of them or none. `all` is what is in force with them.
    pub(super) fn write(&mut self, changes: &Changes, all: impl FnOnce() -> Vec<Position>) -> io::Result<()> {
        let (batch, count) = encode(self.next, changes.iter().map(|(key, committed)| (key, committed.as_ref())))?;
        if count == 0 {
            return Ok(());
        }
        self.mend()?;
        if let Err(error) = self.file.write_all(&batch) {
            self.torn = true;
            // Else the next write does it.
            let _ = self.mend();
            return Err(error);
        }
        self.size += batch.len() as u64;
        self.next += count;
        if self.size > self.limit
            && let Err(error) = self.write_anew(&all())
        {
            // The changes are safe.
            log::warn!("{}", cannot("write anew", &self.path, &error));
            self.limit = self.size + SMALL;
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

    fn read(&mut self) -> io::Result<Vec<Position>> {
        let mut positions: BTreeMap<Key, Committed> = BTreeMap::new();
        let file = BufReader::new(File::open(&self.path)?);
        let done = recover(file, 0, |bytes, _| {
            // Written here, without compression.
            let batch = batch::batches(&bytes).next().and_then(Result::ok);
            for record in batch.iter().flat_map(|batch| batch.records()) {
                match record.key.and_then(|key| read_entry(key, record.value)) {
                    Some((key, Some(committed))) => drop(positions.insert(key, committed)),
                    Some((key, None)) => drop(positions.remove(&key)),
                    None => {}
                }
            }
        })?;
        (self.size, self.next) = (done.size, done.end);
        if let Some(why) = done.wrong {
            log::warn!("{} is cut off at byte {}: {why}", self.path.display(), done.size);
            self.torn = true;
            self.mend()?;
        }
        let positions = positions.into_iter().map(|((group, topic, partition), committed)| Position {
            group,
            topic,
            partition,
            committed,
        });
        Ok(positions.collect())
    }

    fn write_anew(&mut self, positions: &[Position]) -> io::Result<()> {
        let new = temporary(&self.path);
        let _ = std::fs::remove_file(&new);
        let mut file = append_to(&new)?;
        let (mut size, mut next) = (0, 0);
        for positions in positions.chunks(AT_ONCE) {
            let keyed: Vec<(Key, &Committed)> =
                positions.iter().map(|position| (position.key(), &position.committed)).collect();
            let (batch, count) = encode(next, keyed.iter().map(|(key, committed)| (key, Some(*committed))))?;
            file.write_all(&batch)?;
            size += batch.len() as u64;
            next += count;
        }
        file.sync_all()?;
        std::fs::rename(&new, &self.path)?;
        (self.file, self.size, self.next, self.torn) = (file, size, next, false);
        self.limit = SMALL.max(4 * size);
        Ok(())
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    File::options().create(true).append(true).open(path)
}

/// A batch of these entries, and how many it holds: a group whose name the schema has no room for is not kept.
fn encode<'a>(
    base: i64,
    entries: impl Iterator<Item = (&'a Key, Option<&'a Committed>)>,
) -> io::Result<(Vec<u8>, i64)> {
    let now = now_ms();
    let build = || {
        let mut builder = BatchBuilder::new(Vec::new());
        for ((group, topic, partition), committed) in entries {
            let key = OffsetCommitKey { group: group.clone(), topic: topic.clone(), partition: *partition };
            let Ok(key) = key.to_bytes() else { continue };
            let value = committed.map(|committed| OffsetCommitValue {
                offset: committed.offset,
                leader_epoch: committed.leader_epoch,
                metadata: committed.metadata.clone(),
                commit_timestamp: now,
                topic_id: committed.topic_id,
            });
            let value = value.map(|value| value.to_bytes()).transpose()?;
            builder.append(Some(&key), value.as_deref(), &[], now)?;
        }
        let count = builder.count();
        Ok((builder.close(Compression::None)?, count))
    };
    let built: Result<_> = build();
    let (mut batch, count) = built.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
    batch::put(&mut batch, field::BASE_OFFSET, base.to_be_bytes());
    batch::put(&mut batch, field::LEADER_EPOCH, 0i32.to_be_bytes());
    stamp(&mut batch, -1, -1, -1);
    Ok((batch, i64::from(count)))
}

/// A record of the journal; none if it is of another kind. One without a value takes a position back.
pub(super) fn read_entry(key: &[u8], value: Option<&[u8]>) -> Option<(Key, Option<Committed>)> {
    let OffsetCommitKey { group, topic, partition } = OffsetCommitKey::from_bytes(&Bytes::from(key)).ok()?;
    let value = value.map(|value| OffsetCommitValue::from_bytes(&Bytes::from(value))).transpose().ok()?;
    let committed = value.map(|value| Committed {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata,
        topic_id: value.topic_id,
    });
    Some(((group, topic, partition), committed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devbroker::storage::tests::Folder;
    use crate::kafka::protocol::Uuid;

    fn open(folder: &Folder) -> (Journal, Vec<Position>) {
        Journal::open(&folder.path()).unwrap()
    }

    fn changes<const N: usize>(changes: [(i32, Option<i64>); N]) -> Changes {
        let key = |partition| ("readers".to_owned(), "greetings".to_owned(), partition);
        let at = |offset| Committed {
            offset,
            leader_epoch: 2,
            metadata: "m".repeat(offset as usize % 50),
            topic_id: Uuid([offset as u8; 16]),
        };
        changes.into_iter().map(|(partition, offset)| (key(partition), offset.map(at))).collect()
    }

    fn write<const N: usize>(journal: &mut Journal, these: [(i32, Option<i64>); N]) {
        journal.write(&changes(these), || unreachable!("it is small")).unwrap();
    }

    fn offsets(positions: &[Position]) -> Vec<(i32, i64)> {
        positions.iter().map(|position| (position.partition, position.committed.offset)).collect()
    }

    #[test]
    fn positions_come_back_and_those_taken_back_do_not() {
        let folder = Folder::new();
        let (mut journal, none) = open(&folder);
        assert_eq!(none, []);
        write(&mut journal, [(0, Some(1)), (1, Some(2))]);
        write(&mut journal, [(0, Some(3)), (1, None)]);
        drop(journal);
        for _ in 0..2 {
            let (journal, positions) = open(&folder);
            let expected = changes([(0, Some(3))]).into_iter().next().unwrap();
            assert_eq!(positions.len(), 1);
            assert_eq!((positions[0].key(), Some(positions[0].committed.clone())), expected);
            assert_eq!(journal.next, 1, "what is out of force is gone after a start");
        }
    }

    #[test]
    fn a_commit_that_is_cut_anywhere_is_none_and_the_next_one_counts() {
        let folder = Folder::new();
        let file = folder.path().join(FILE);
        let (mut journal, _) = open(&folder);
        write(&mut journal, [(0, Some(1))]);
        let first = journal.size as usize;
        write(&mut journal, [(0, Some(2)), (1, Some(2))]);
        let whole = std::fs::read(&file).unwrap();
        for cut in first..whole.len() {
            std::fs::write(&file, &whole[..cut]).unwrap();
            let (mut journal, positions) = open(&folder);
            assert_eq!(offsets(&positions), [(0, 1)], "cut at {cut}");
            write(&mut journal, [(1, Some(3))]);
            assert_eq!(offsets(&open(&folder).1), [(0, 1), (1, 3)], "cut at {cut}");
        }
    }

    #[test]
    fn the_journal_stays_small_however_often_is_committed() {
        let folder = Folder::new();
        let (mut journal, _) = open(&folder);
        let (mut largest, mut all) = (0, Changes::new());
        for round in 0..30_000i64 {
            let new = changes([((round % 3) as i32, Some(round))]);
            all.extend(new.clone());
            let all = || {
                let all = all.clone().into_iter();
                let position = |((group, topic, partition), committed): (Key, Option<Committed>)| {
                    Some(Position { group, topic, partition, committed: committed? })
                };
                all.filter_map(position).collect()
            };
            journal.write(&new, all).unwrap();
            largest = largest.max(std::fs::metadata(&journal.path).unwrap().len());
        }
        assert!((SMALL / 2..SMALL + 1000).contains(&largest), "{largest}");
        drop(journal);
        assert_eq!(offsets(&open(&folder).1), [(0, 29_997), (1, 29_998), (2, 29_999)]);
    }

    #[test]
    fn a_name_that_the_schema_cannot_hold_is_not_kept_and_harms_nothing() {
        let folder = Folder::new();
        let (mut journal, _) = open(&folder);
        write(&mut journal, [(0, Some(1))]);
        let mut long = changes([(0, Some(2))]);
        long.insert(("g".repeat(40_000), "t".to_owned(), 1), None);
        journal.write(&long, Vec::new).unwrap();
        long.remove(&("readers".to_owned(), "greetings".to_owned(), 0));
        journal.write(&long, Vec::new).unwrap();
        write(&mut journal, [(1, Some(3))]);
        assert_eq!(offsets(&open(&folder).1), [(0, 2), (1, 3)]);
    }
}
