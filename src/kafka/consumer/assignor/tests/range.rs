//! `range`, as Java documents and tests it.

use super::super::Assignor;
use super::super::range::Range;
use super::*;

/// The example of Java's RangeAssignor documentation: C0: t0p0, t0p1, t1p0, t1p1; C1: t0p2, t1p2.
#[test]
fn range_as_java_documents_it() {
    let members = [member("C0", &["t0", "t1"]), member("C1", &["t0", "t1"])];
    let shares = Range.assign(&topics(&[("t0", 3), ("t1", 3)]), &members);
    assert_eq!(shares["C0"], share(&[("t0", &[0, 1]), ("t1", &[0, 1])]));
    assert_eq!(shares["C1"], share(&[("t0", &[2]), ("t1", &[2])]));
}

/// Cases of Java's RangeAssignorTest.
#[test]
fn range_as_java_tests_it() {
    let one = Range.assign(&topics(&[("t1", 3), ("t2", 3)]), &[member("a", &["t1"])]);
    assert_eq!(one["a"], share(&[("t1", &[0, 1, 2])]), "only what it subscribed to");

    let more_members = Range.assign(&topics(&[("t1", 1)]), &[member("b", &["t1"]), member("a", &["t1"])]);
    assert_eq!(more_members["a"], share(&[("t1", &[0])]));
    assert_eq!(more_members["b"], Share::new());

    let mixed = Range.assign(
        &topics(&[("t1", 3), ("t2", 2)]),
        &[member("a", &["t1"]), member("b", &["t1", "t2"]), member("c", &["t1"])],
    );
    assert_eq!(mixed["a"], share(&[("t1", &[0])]));
    assert_eq!(mixed["b"], share(&[("t1", &[1]), ("t2", &[0, 1])]));
    assert_eq!(mixed["c"], share(&[("t1", &[2])]));

    let missing = Range.assign(&topics(&[("t1", 0)]), &[member("a", &["t1", "nowhere"])]);
    assert_eq!(missing["a"], Share::new());
    assert!(Range.assign(&topics(&[("t1", 3)]), &[]).is_empty());
}

#[test]
fn static_members_come_first_and_keep_their_place_when_their_member_id_changes() {
    let statics = |first: &str, second: &str| {
        let mut members = [member(first, &["t"]), member(second, &["t"]), member("a-dynamic", &["t"])];
        members[0].instance_id = Some("i1".to_owned());
        members[1].instance_id = Some("i2".to_owned());
        let shares = Range.assign(&topics(&[("t", 3)]), &members);
        (shares[first].clone(), shares[second].clone(), shares["a-dynamic"].clone())
    };
    let expected = (share(&[("t", &[0])]), share(&[("t", &[1])]), share(&[("t", &[2])]));
    assert_eq!(statics("m1", "m2"), expected);
    assert_eq!(statics("z9", "b0"), expected);
}
