//! Cases by hand, and properties of generated groups.

use std::collections::{BTreeMap, BTreeSet};

use super::{Member, Share, Topics};
use crate::kafka::protocol::messages::ConsumerProtocolSubscription;

mod properties;
mod range;

fn member(id: &str, topics: &[&str]) -> Member {
    let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
    Member {
        id: id.to_owned(),
        instance_id: None,
        subscription: ConsumerProtocolSubscription { topics, ..Default::default() },
    }
}

fn topics(topics: &[(&str, usize)]) -> Topics {
    topics.iter().map(|(topic, count)| ((*topic).to_owned(), vec![BTreeSet::new(); *count])).collect()
}

fn share(parts: &[(&str, &[i32])]) -> Share {
    parts.iter().map(|(topic, partitions)| ((*topic).to_owned(), partitions.to_vec())).collect()
}
