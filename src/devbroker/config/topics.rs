//! The settings of topics that Kafka 4.3 knows, in the order in which it checks them.

use super::property::Allowed::{self, Any, AtLeast, Between, Gzip, Of, Replicas};
use super::property::Kind::{self, Boolean, Double, Int, List, Long, Text};
use super::property::Property;

/// A setting of topics.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct TopicProperty {
    pub(in super::super) property: Property,
    /// The setting of brokers that stands in for it.
    pub(in super::super) broker: Option<&'static str>,
    /// Shown only where it is set.
    pub(in super::super) internal: bool,
}

/// What is known of the setting of this name.
pub(in super::super) fn find(name: &str) -> Option<&'static TopicProperty> {
    TABLE.iter().find(|row| row.property.name == name)
}

const fn row(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    allowed: Allowed,
    broker: &'static str,
) -> TopicProperty {
    TopicProperty { property: Property::new(name, kind, default, allowed), broker: Some(broker), internal: false }
}

const fn own(name: &'static str, kind: Kind, default: &'static str, allowed: Allowed) -> TopicProperty {
    TopicProperty { property: Property::new(name, kind, default, allowed), broker: None, internal: false }
}

const fn internal(name: &'static str, kind: Kind, default: &'static str) -> TopicProperty {
    TopicProperty { internal: true, ..own(name, kind, default, Any) }
}

const EVER: &str = "9223372036854775807";

pub(in super::super) const TABLE: &[TopicProperty] = &[
    row("segment.bytes", Int, "1073741824", AtLeast(1_048_576), "log.segment.bytes"),
    row("segment.ms", Long, "604800000", AtLeast(1), "log.roll.ms"),
    row("segment.jitter.ms", Long, "0", AtLeast(0), "log.roll.jitter.ms"),
    row("segment.index.bytes", Int, "10485760", AtLeast(4), "log.index.size.max.bytes"),
    row("flush.messages", Long, EVER, AtLeast(1), "log.flush.interval.messages"),
    row("flush.ms", Long, EVER, AtLeast(0), "log.flush.interval.ms"),
    row("retention.bytes", Long, "-1", Any, "log.retention.bytes"),
    row("retention.ms", Long, "604800000", AtLeast(-1), "log.retention.ms"),
    row("max.message.bytes", Int, "1048588", AtLeast(0), "message.max.bytes"),
    row("index.interval.bytes", Int, "4096", AtLeast(0), "log.index.interval.bytes"),
    row("delete.retention.ms", Long, "86400000", AtLeast(0), "log.cleaner.delete.retention.ms"),
    row("min.compaction.lag.ms", Long, "0", AtLeast(0), "log.cleaner.min.compaction.lag.ms"),
    row("max.compaction.lag.ms", Long, EVER, AtLeast(1), "log.cleaner.max.compaction.lag.ms"),
    row("file.delete.delay.ms", Long, "60000", AtLeast(0), "log.segment.delete.delay.ms"),
    row("min.cleanable.dirty.ratio", Double, "0.5", Between(0, 1), "log.cleaner.min.cleanable.ratio"),
    row("cleanup.policy", List, "delete", Of(&["compact", "delete"]), "log.cleanup.policy"),
    row("unclean.leader.election.enable", Boolean, "false", Any, "unclean.leader.election.enable"),
    row("min.insync.replicas", Int, "1", AtLeast(1), "min.insync.replicas"),
    row("compression.type", Text, "producer", Of(COMPRESSIONS), "compression.type"),
    row("compression.gzip.level", Int, "-1", Gzip, "compression.gzip.level"),
    row("compression.lz4.level", Int, "9", Between(1, 17), "compression.lz4.level"),
    row("compression.zstd.level", Int, "3", Between(-131_072, 22), "compression.zstd.level"),
    row("preallocate", Boolean, "false", Any, "log.preallocate"),
    row("message.timestamp.type", Text, "CreateTime", Of(TIMESTAMPS), "log.message.timestamp.type"),
    row("message.timestamp.before.max.ms", Long, EVER, AtLeast(0), "log.message.timestamp.before.max.ms"),
    row("message.timestamp.after.max.ms", Long, "3600000", AtLeast(0), "log.message.timestamp.after.max.ms"),
    own("leader.replication.throttled.replicas", List, "", Replicas),
    own("follower.replication.throttled.replicas", List, "", Replicas),
    own("remote.storage.enable", Boolean, "false", Any),
    row("local.retention.ms", Long, "-2", AtLeast(-2), "log.local.retention.ms"),
    row("local.retention.bytes", Long, "-2", AtLeast(-2), "log.local.retention.bytes"),
    own("remote.log.copy.disable", Boolean, "false", Any),
    own("remote.log.delete.on.disable", Boolean, "false", Any),
    internal("internal.segment.bytes", Int, "1048576"),
];

const COMPRESSIONS: &[&str] = &["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"];
const TIMESTAMPS: &[&str] = &["CreateTime", "LogAppendTime"];
