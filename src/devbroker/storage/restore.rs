//! Reading a partition back at the start: its log, its epochs, its producers.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;

use super::cannot;
use super::files::{Files, path};
use super::recovery::{Recovered, recover};
use crate::Result;
use crate::devbroker::cluster::{ms, now_ms};
use crate::devbroker::log::Stored;
use crate::devbroker::partition::Partition;
use crate::kafka::protocol::Bytes;
use crate::kafka::record::batch::Header;

const BUFFER: usize = 64 << 10;

/// Fills an empty partition with what its files hold, and makes them the ones that it writes to. `grown` hears of the
/// memory of each batch, outside of the partition's lock, and may drop old ones.
///
/// A file that breaks off, or holds something else than the batches that follow, ends the log there.
///
/// # Errors
/// The disk cannot be read, or what is broken cannot be cut off.
pub(in crate::devbroker) fn restore(partition: &Partition, mut files: Files, grown: impl FnMut(usize)) -> Result<()> {
    let directory = files.directory().to_owned();
    let found = files.found().map_err(|error| cannot("read", &directory, &error))?;
    let mut state = partition.state();
    state.files = Some(files);
    let Some((checkpoint, bases)) = found else { return Ok(()) };
    let mut end = bases.first().copied().unwrap_or(checkpoint.log_start);
    state.log.begin_at(end, &checkpoint.epochs);
    drop(state);
    let mut reading = Reading { partition, start: checkpoint.log_start, grown };
    let mut whole = true;
    for base in bases {
        let path = path(&directory, base);
        if !whole || base < end {
            log::warn!("deleting {}: the log ended before it, at offset {end}", path.display());
            std::fs::remove_file(&path).map_err(|error| cannot("delete", &path, &error))?;
            continue;
        }
        if base > end {
            log::warn!("{} begins at offset {base}: those from {end} on are missing", path.display());
        }
        let done = reading.segment(&path, base).map_err(|error| cannot("read", &path, &error))?;
        end = done.end;
        if let Some(why) = &done.wrong {
            whole = false;
            log::warn!("{} is cut off at byte {}, offset {end}: {why}", path.display(), done.size);
        }
    }
    let mut state = partition.state();
    state.log.settle(checkpoint.log_start);
    state.leader_epoch = checkpoint.leader_epoch.max(state.log.last_epoch());
    state.trim();
    Ok(())
}

struct Reading<'a, G> {
    partition: &'a Partition,
    /// What lies before is not in the log any more.
    start: i64,
    grown: G,
}

impl<G: FnMut(usize)> Reading<'_, G> {
    fn segment(&mut self, path: &Path, base: i64) -> io::Result<Recovered> {
        let file = File::open(path)?;
        let written_at = file.metadata()?.modified().map_or_else(|_| now_ms(), ms);
        {
            let mut state = self.partition.state();
            state.log.skip_to(base);
            if let Some(files) = &mut state.files {
                files.adopt(base);
            }
        }
        let done = recover(BufReader::with_capacity(BUFFER, file), base, |bytes, header| {
            let grown = self.take(bytes, header, written_at);
            (self.grown)(grown);
        })?;
        if let Some(files) = &mut self.partition.state().files {
            files.settle(done.size, done.wrong.is_some())?;
        }
        Ok(done)
    }

    /// Adds a batch to the log, and returns the memory it takes.
    fn take(&mut self, bytes: Bytes, header: &Header, written_at: i64) -> usize {
        let last_offset = header.base_offset + i64::from(header.last_offset_delta);
        let mut state = self.partition.state();
        state.producers.note(header, header.base_offset, now_ms());
        if last_offset < self.start {
            state.log.skip_to(last_offset + 1);
            return 0;
        }
        let before = state.log.size();
        state.log.push(Stored {
            bytes,
            base_offset: header.base_offset,
            last_offset,
            leader_epoch: header.leader_epoch,
            max_timestamp: header.max_timestamp,
            // Not later than the file was written to; nothing tells more.
            appended_at: header.max_timestamp.clamp(0, written_at.max(0)),
        });
        state.log.size() - before
    }
}
