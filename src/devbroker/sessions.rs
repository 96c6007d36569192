//! Fetch sessions (KIP-227): a client names its partitions once, then only what changed, and is told only what changed.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};

use crate::kafka::protocol::{ErrorCode, Uuid};

/// Sessions kept (`max.incremental.fetch.session.cache.slots`).
const SLOTS: usize = 1000;

/// A session younger than this is not given up for another (`min.incremental.fetch.session.eviction.ms`).
const SECURE: Duration = Duration::from_secs(120);

/// The epoch that opens a session, and the one that closes it or does without.
const OPEN: i32 = 0;
const NONE: i32 = -1;

/// The sessions of all brokers of the process.
#[derive(Debug)]
pub(super) struct Sessions {
    by_id: HashMap<i32, Session>,
    /// The id given last.
    last: i32,
}

impl Default for Sessions {
    /// Ids begin anywhere, so that those of an earlier process are not taken for today's.
    fn default() -> Self {
        Self { by_id: HashMap::new(), last: RandomState::new().build_hasher().finish() as i32 & i32::MAX >> 1 }
    }
}

#[derive(Debug)]
struct Session {
    node: i32,
    /// The epoch that the next request must carry.
    epoch: i32,
    /// Whether its topics are named by id.
    by_id: bool,
    partitions: BTreeMap<Key, Followed>,
    /// It is told of nothing any more: a fault.
    starved: bool,
    /// After which partition the next answer begins, so that a full answer starves nobody.
    after: Option<Key>,
    used: Instant,
}

/// A partition as the client names it: by the topic's name or its id, the other being empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) id: Uuid,
    pub(super) index: i32,
}

/// What a client wants of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) offset: i64,
    pub(super) max_bytes: i32,
    /// -1 is unknown; so is the next.
    pub(super) leader_epoch: i32,
    pub(super) last_epoch: i32,
}

#[derive(Clone, Copy, Debug)]
struct Followed {
    want: Want,
    /// What it was told last: high watermark and start of the log.
    told: Option<(i64, i64)>,
}

/// A fetch, with all its partitions in the order in which they are read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// 0 without a session.
    pub(super) session: i32,
    /// Whether only what changed is answered.
    pub(super) incremental: bool,
    pub(super) partitions: Vec<(Key, Want)>,
}

impl Sessions {
    /// What a request asks for, together with what its session knows.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH or FETCH_SESSION_TOPIC_ID_ERROR.
    pub(super) fn plan(
        &mut self,
        node: i32,
        (id, epoch): (i32, i32),
        by_id: bool,
        asked: Vec<(Key, Want)>,
        forgotten: &[Key],
        now: Instant,
    ) -> Result<Plan, ErrorCode> {
        if epoch == NONE || epoch == OPEN {
            // A client that opens a new one gives its old one up.
            self.by_id.remove(&id);
            let session = if epoch == OPEN { self.open(node, by_id, &asked, now) } else { 0 };
            return Ok(Plan { session, incremental: false, partitions: asked });
        }
        let session = self.by_id.get_mut(&id).filter(|session| session.node == node);
        let session = session.ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.epoch != epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.epoch = next_epoch(epoch);
        session.used = now;
        for (key, want) in asked {
            let followed = session.partitions.entry(key).or_insert(Followed { want, told: None });
            followed.want = want;
        }
        for key in forgotten {
            session.partitions.remove(key);
        }
        let after = session.after.clone();
        let mut partitions: Vec<_> =
            session.partitions.iter().map(|(key, followed)| (key.clone(), followed.want)).collect();
        let begin = after.map_or(0, |after| partitions.partition_point(|(key, _)| *key <= after));
        let count = partitions.len().max(1);
        partitions.rotate_left(begin % count);
        Ok(Plan { session: id, incremental: true, partitions })
    }

    /// Whether a client of this session is to be told of a partition in which nothing was read, and that it was told.
    pub(super) fn is_news(&mut self, session: i32, key: &Key, high_watermark: i64, start: i64) -> bool {
        let followed = self.by_id.get_mut(&session).and_then(|session| session.partitions.get_mut(key));
        match followed {
            Some(followed) => {
                let told = followed.told.replace((high_watermark, start));
                told != Some((high_watermark, start))
            }
            None => true,
        }
    }

    /// Tells a session of nothing any more.
    pub(super) fn starve(&mut self, session: i32) {
        if let Some(session) = self.by_id.get_mut(&session) {
            session.starved = true;
        }
    }

    /// Whether a session is told of nothing.
    pub(super) fn is_starved(&self, session: i32) -> bool {
        self.by_id.get(&session).is_some_and(|session| session.starved)
    }

    /// What a client of this session follows.
    pub(super) fn followed(&self, session: i32) -> Vec<Key> {
        self.by_id.get(&session).map_or_else(Vec::new, |session| session.partitions.keys().cloned().collect())
    }

    /// The last partition of which records were sent.
    pub(super) fn ended_at(&mut self, session: i32, key: &Key) {
        if let Some(session) = self.by_id.get_mut(&session) {
            session.after = Some(key.clone());
        }
    }

    /// A new session's id; 0 if there is no room.
    fn open(&mut self, node: i32, by_id: bool, asked: &[(Key, Want)], now: Instant) -> i32 {
        if self.by_id.len() >= SLOTS {
            let oldest = self.by_id.iter().min_by_key(|(_, session)| session.used);
            match oldest.map(|(id, session)| (*id, session.used)) {
                Some((id, used)) if now.saturating_duration_since(used) >= SECURE => self.by_id.remove(&id),
                _ => return 0,
            };
        }
        self.last = if self.last == i32::MAX { 1 } else { self.last + 1 };
        while self.by_id.contains_key(&self.last) {
            self.last = if self.last == i32::MAX { 1 } else { self.last + 1 };
        }
        let partitions = asked.iter().map(|(key, want)| (key.clone(), Followed { want: *want, told: None })).collect();
        let session = Session { node, epoch: 1, by_id, partitions, starved: false, after: None, used: now };
        self.by_id.insert(self.last, session);
        self.last
    }
}

/// After the largest comes 1, for 0 opens a session.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key { name: name.into(), id: Uuid::ZERO, index: 0 }
    }

    fn want(offset: i64) -> Want {
        Want { offset, max_bytes: 1000, leader_epoch: -1, last_epoch: -1 }
    }

    #[test]
    fn a_session_remembers_what_was_asked_and_what_was_told() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let asked = vec![(key("a"), want(0)), (key("b"), want(5))];
        let full = sessions.plan(1, (0, 0), false, asked.clone(), &[], now).unwrap();
        assert_eq!((full.incremental, &full.partitions), (false, &asked));
        assert!(sessions.is_news(full.session, &key("a"), 10, 0));
        assert!(!sessions.is_news(full.session, &key("a"), 10, 0));
        assert!(sessions.is_news(full.session, &key("a"), 11, 0));

        let change = vec![(key("a"), want(3)), (key("c"), want(1))];
        let next = sessions.plan(1, (full.session, 1), false, change, &[key("b")], now).unwrap();
        assert_eq!(next.partitions, [(key("a"), want(3)), (key("c"), want(1))]);
        sessions.ended_at(full.session, &key("a"));
        let turned = sessions.plan(1, (full.session, 2), false, vec![], &[], now).unwrap();
        assert_eq!(turned.partitions, [(key("c"), want(1)), (key("a"), want(3))]);
    }

    #[test]
    fn a_session_that_is_not_there_or_not_at_that_epoch_is_refused() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let open = |sessions: &mut Sessions| sessions.plan(1, (0, 0), false, vec![(key("a"), want(0))], &[], now);
        let id = open(&mut sessions).unwrap().session;
        let mut again = |node, id, epoch, by_id| sessions.plan(node, (id, epoch), by_id, vec![], &[], now).unwrap_err();
        assert_eq!(again(1, id + 1, 1, false), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        assert_eq!(again(2, id, 1, false), ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
        assert_eq!(again(1, id, 2, false), ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        assert_eq!(again(1, id, 1, true), ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        sessions.plan(1, (id, -1), false, vec![], &[], now).unwrap();
        let closed = sessions.plan(1, (id, 1), false, vec![], &[], now).unwrap_err();
        assert_eq!(closed, ErrorCode::FETCH_SESSION_ID_NOT_FOUND);
    }

    #[test]
    fn the_number_of_sessions_is_bounded_and_old_ones_give_way() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let mut open = |at| sessions.plan(1, (0, 0), false, vec![(key("a"), want(0))], &[], at).unwrap().session;
        for _ in 0..SLOTS {
            assert_ne!(open(now), 0);
        }
        assert_eq!(open(now), 0);
        assert_ne!(open(now + SECURE), 0);
    }
}
