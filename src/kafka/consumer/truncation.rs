//! A log that is not the one that was read: its topic was deleted and created anew, or its end was cut off.
//!
//! The rule is that no such thing passes in silence. Where the application said where to go on without a valid position
//! (`auto.offset.reset`), reading goes on there and the log tells why; where it said `none`, it gets an error.

use super::core::Core;
use super::offsets::Position;
use super::subscription::TopicPartition;
use crate::kafka::config::OffsetReset;
use crate::kafka::error::{Error, ErrorKind};
use crate::kafka::protocol::Uuid;

impl Core {
    /// The topic of this name is another one now (KIP-516): a position in the old one means nothing in it.
    pub(super) fn recreated(&mut self, partition: &TopicPartition, new: Uuid, policy: OffsetReset) {
        let Some(held) = self.assignment.get_mut(partition) else { return };
        let old = std::mem::replace(&mut held.topic_id, new);
        held.log_end = None;
        let position = held.position;
        let Some(offset) = position.offset() else {
            // Whatever is being asked for is asked of the new topic.
            self.assignment.relocate(partition, position);
            return;
        };
        self.buffer.remove(partition);
        self.assignment.relocate(partition, Position::reset(policy));
        let what = format!("the topic was deleted and created anew (id {old}, now {new})");
        if policy != OffsetReset::None {
            log::warn!("{partition}: {what}: offset {offset} was one of the old topic; going on at {policy:?}");
            return;
        }
        if let Some(held) = self.assignment.get_mut(partition) {
            held.reported = true;
        }
        let text = format!(
            "{what}: this offset was one of the old topic, and auto.offset.reset is none: seek, or set auto.offset.reset \
             to earliest or latest"
        );
        let error = Error::new(ErrorKind::OffsetOutOfRange, text);
        self.errors.push_back(error.with_partition(&*partition.topic, partition.partition).with_offset(offset));
    }
}
