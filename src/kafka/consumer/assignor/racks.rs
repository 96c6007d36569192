//! When racks count, and who shares one with a replica (KIP-881).

use std::collections::BTreeSet;

use super::{Member, Racks};

/// The rack that a member reads from, where it tells one.
pub(super) fn rack_of(member: &Member) -> Option<&str> {
    member.subscription.rack_id.as_deref().filter(|rack| !rack.is_empty())
}

/// Whether racks make a difference: some member has one, some partition has a replica in one of those, and not all
/// partitions have replicas in all racks.
pub(super) fn matter<'a>(
    members: impl IntoIterator<Item = &'a Member>,
    partitions: impl Iterator<Item = &'a Racks> + Clone,
) -> bool {
    let readers: BTreeSet<&str> = members.into_iter().filter_map(rack_of).collect();
    if readers.is_empty() {
        return false;
    }
    let all: BTreeSet<&str> = partitions.clone().flatten().map(|rack| &**rack).collect();
    // Each partition's racks are among `all`, so that the sizes tell whether they are the same.
    !readers.is_disjoint(&all) && partitions.into_iter().any(|racks| racks.len() != all.len())
}

/// Whether this member may read the partition within its rack; one that tells no rack may read anything.
pub(super) fn fits(rack: Option<&str>, replicas: &Racks) -> bool {
    rack.is_none_or(|rack| replicas.contains(rack))
}
