//! Records from a replica that is near (KIP-392).

use super::*;

fn redirection(replica: i32) -> PartitionData {
    PartitionData { preferred_read_replica: replica, ..data(0, Vec::new()) }
}

/// Broker 2 is the replica that is near.
fn with_a_replica() -> Fixture {
    let mut fixture = Fixture::new(1);
    let mut metadata = Metadata::default();
    let address = crate::kafka::config::Address { host: "b".to_owned(), port: 1 };
    for id in [NODE, 2] {
        metadata.brokers.insert(id, crate::kafka::cluster::Broker { id, address: address.clone(), rack: None });
    }
    fixture.core.metadata = Arc::new(metadata);
    fixture
}

#[test]
fn records_are_read_from_the_replica_that_the_leader_names_for_as_long_as_that_holds() {
    let mut fixture = with_a_replica();
    let asked = fixture.fetch();
    fixture.answer(asked, vec![redirection(2)]);
    assert!(std::mem::take(&mut fixture.core.sources_changed) && std::mem::take(&mut fixture.core.handed_on));
    let (now, settings) = (fixture.now, settings());
    let until = now + settings.client.metadata_max_age;
    assert!(matches!(fixture.plan(), Plan::Wait(Some(moment)) if moment == until), "the leader's turn comes then");
    let Plan::Do(Work::Fetch { asked, .. }) = fixture.core.plan(2, 0, now, &settings) else { panic!("no fetch") };
    assert_eq!(asked[0].leader_epoch, 0);
    let answers = scan(asked, response(vec![data(0, batch(0, 3))]));
    fixture.core.note(2, &answers, now, &settings);
    fixture.publish(answers);
    assert_eq!(fixture.take().0, offsets(0, 0..3));

    // Ends of the log are the leader's to tell.
    fixture.core.assignment.relocate(&place(0), Position::End(LogEnd::End));
    assert!(matches!(fixture.plan(), Plan::Do(Work::List(_))));
    fixture.core.assignment.relocate(&place(0), Position::At { offset: 3, leader_epoch: 0 });
    fixture.now = until;
    assert_eq!(fixture.fetch()[0].offset, 3);
    assert!(matches!(fixture.core.plan(2, 0, until, &settings), Plan::Useless));
}

#[test]
fn the_leader_is_asked_again_when_the_replica_fails() {
    for code in [ErrorCode::OFFSET_OUT_OF_RANGE, ErrorCode::NOT_LEADER_OR_FOLLOWER, ErrorCode::UNKNOWN_SERVER_ERROR] {
        let mut fixture = with_a_replica();
        fixture.held(0).replica = Some((2, fixture.now + Duration::from_secs(60)));
        let (now, settings) = (fixture.now, settings());
        let Plan::Do(Work::Fetch { asked, .. }) = fixture.core.plan(2, 0, now, &settings) else { panic!("no fetch") };
        let answers = scan(asked, response(vec![refusal(0, code)]));
        fixture.core.note(2, &answers, now, &settings);
        assert!(fixture.core.handed_on, "the leader's fetcher is to be woken");
        fixture.now += Duration::from_secs(1);
        assert_eq!(fixture.fetch()[0].offset, 0, "{code}: and nothing is reset");
    }
    let mut fixture = with_a_replica();
    fixture.held(0).replica = Some((2, fixture.now + Duration::from_secs(60)));
    fixture.core.leave_replica(2, fixture.now);
    assert!(fixture.core.avoid_replicas.is_some());
    assert_eq!(fixture.fetch()[0].offset, 0);
}

#[test]
fn a_replica_that_nobody_knows_is_not_followed() {
    for replica in [NODE, 7] {
        let mut fixture = with_a_replica();
        let asked = fixture.fetch();
        assert_eq!(fixture.answer(asked, vec![redirection(replica)]), replica == 7, "metadata may know more");
        assert!(matches!(fixture.plan(), Plan::Wait(Some(_))), "not over and over");
        fixture.now += Duration::from_secs(1);
        fixture.fetch();
    }
}
