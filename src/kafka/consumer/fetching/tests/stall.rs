//! Partitions that bring nothing although their log goes on.

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// At the end of the log, with a fetch under way.
fn at_the_end() -> Fixture {
    let mut fixture = Fixture::new(1);
    let asked = fixture.fetch();
    fixture.answer(asked, vec![PartitionData { high_watermark: 3, ..data(0, batch(0, 3)) }]);
    assert_eq!(fixture.take().0, offsets(0, 0..3));
    fixture.fetch();
    fixture
}

impl Fixture {
    fn stalled(&mut self, after: Duration) -> usize {
        self.now += after;
        self.core.stalled(self.now, LIMIT, self.settings.prefetch_bytes, false).len()
    }

    /// The leader says where the log of a partition of which nothing is heard ends.
    fn probe(&mut self, end: i64) {
        // Between two fetches, as the fetcher does it.
        self.held(0).holder = None;
        let Plan::Do(Work::Probe(asked)) = self.plan() else { panic!("nothing to ask") };
        let answer = ListOffsetsPartitionResponse { offset: end, ..Default::default() };
        let topic = ListOffsetsTopicResponse { name: "t".to_owned(), partitions: vec![answer] };
        let response = ListOffsetsResponse { topics: vec![topic], ..Default::default() };
        let asked: Vec<_> = asked.into_iter().map(|asked| (asked, LogEnd::End)).collect();
        assert!(!self.core.probed(&asked, &response, self.now));
    }
}

#[test]
fn a_partition_stalls_when_its_log_goes_on_and_nothing_comes() {
    let mut fixture = at_the_end();
    assert_eq!(fixture.stalled(LIMIT * 10), 0, "as long as its log ends here");
    fixture.probe(5);
    assert_eq!(fixture.stalled(Duration::ZERO), 0);
    assert_eq!(fixture.stalled(LIMIT - Duration::from_millis(1)), 0);
    assert_eq!(fixture.stalled(Duration::from_millis(1)), 1);

    let stay = fixture.held(0).epoch;
    let now = fixture.now;
    assert_eq!(fixture.core.start_anew(&[place(0)], now).into_iter().collect::<Vec<_>>(), [NODE]);
    assert_ne!(fixture.held(0).epoch, stay, "what comes late counts no more");
    assert_eq!(fixture.fetch()[0].offset, 3);
    // A log may hold nothing up to its end: less and less often.
    assert_eq!(fixture.stalled(LIMIT), 0);
    assert_eq!(fixture.stalled(LIMIT), 1);
    // Until it does.
    let position = Position::At { offset: 4, leader_epoch: -1 };
    fixture.held(0).position = position;
    assert_eq!(fixture.stalled(LIMIT), 0);
    assert_eq!(fixture.stalled(LIMIT), 1);
}

#[test]
fn what_waits_for_the_application_has_not_stalled() {
    let mut fixture = at_the_end();
    fixture.held(0).log_end = Some(5);
    assert_eq!(fixture.stalled(Duration::ZERO), 0);
    fixture.held(0).paused = true;
    assert_eq!(fixture.stalled(LIMIT), 0, "it is paused");
    fixture.held(0).paused = false;
    assert_eq!(fixture.stalled(Duration::ZERO), 0);
    fixture.core.buffer.publish(&place(0), NODE, [Item::Gap { next: 5, leader_epoch: 0 }]);
    assert_eq!(fixture.stalled(LIMIT), 0, "it is in the buffer");
    fixture.core.buffer.remove(&place(0));
    assert_eq!(fixture.stalled(Duration::ZERO), 0);
    fixture.now += LIMIT;
    assert!(fixture.core.stalled(fixture.now, LIMIT, 1 << 20, true).is_empty(), "nobody has polled meanwhile");
    assert_eq!(fixture.stalled(Duration::ZERO), 0);
    assert_eq!(fixture.stalled(LIMIT), 1);
}

#[test]
fn a_partition_of_which_nothing_was_ever_heard_has_stalled_too() {
    let mut fixture = Fixture::new(1);
    fixture.fetch();
    fixture.stalled(Duration::ZERO);
    assert_eq!(fixture.stalled(LIMIT), 1);
    fixture.held(0).failures = 1;
    assert_eq!(fixture.stalled(LIMIT), 0, "what is refused is told otherwise");
}

#[test]
fn silent_partitions_are_asked_about_every_so_often() {
    let mut fixture = at_the_end();
    fixture.held(0).holder = None;
    fixture.now += LIMIT - Duration::from_millis(1);
    fixture.fetch();
    fixture.now += Duration::from_millis(1);
    fixture.probe(3);
    fixture.fetch();
    assert_eq!(fixture.stalled(LIMIT), 0);
}

#[test]
fn one_question_does_for_all_that_are_silent() {
    let mut fixture = Fixture::new(3);
    let asked = fixture.fetch();
    fixture.answer(asked, (0..3).map(|partition| data(partition, Vec::new())).collect());
    let begin = fixture.now;
    for (partition, seconds) in [(0, 0), (1, 14), (2, 16)] {
        fixture.held(partition).heard = Some(begin + Duration::from_secs(seconds));
    }
    fixture.now = begin + LIMIT;
    let Plan::Do(Work::Probe(asked)) = fixture.plan() else { panic!("nothing to ask") };
    let places: Vec<i32> = asked.iter().map(|asked| asked.partition.partition).collect();
    assert_eq!(places, [0, 1], "the third was heard of less than half the time ago");
}
