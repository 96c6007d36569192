//! `krs topic`: list, describe, create, delete, add-partitions, configs.

use std::fmt::Write;

use serde::Serialize;

use super::confirm::confirm;
use super::table::{Table, joined, known, printable};
use super::{Output, json};
use crate::kafka::admin::{ConfigChange, ConfigEntry, ConfigResource, ConfigSource, TopicDescription};
use crate::kafka::protocol::ErrorCode;
use crate::{Admin, Created, Error, NewTopic, Result};

/// What to do with topics.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is a subcommand, its fields are the flags")]
pub enum TopicTask {
    List {
        internal: bool,
    },
    Describe {
        topics: Vec<String>,
    },
    Create {
        topic: String,
        partitions: i32,
        replication_factor: i16,
        configs: Vec<(String, String)>,
        if_not_exists: bool,
    },
    Delete {
        topics: Vec<String>,
        yes: bool,
    },
    AddPartitions {
        topic: String,
        partitions: i32,
    },
    Configs {
        topic: String,
        set: Vec<(String, String)>,
        unset: Vec<String>,
        all: bool,
    },
}

pub(super) fn run(admin: &Admin, task: &TopicTask, output: &mut Output<'_>) -> Result<()> {
    match task {
        TopicTask::List { internal } => list(admin, *internal, output),
        TopicTask::Describe { topics } => describe(admin, topics, output),
        TopicTask::Create { topic, partitions, replication_factor, configs, if_not_exists } => {
            let configs: Vec<_> = configs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let new = NewTopic {
                name: topic,
                partitions: *partitions,
                replication_factor: *replication_factor,
                configs: &configs,
            };
            create(admin, &new, *if_not_exists, output)
        }
        TopicTask::Delete { topics, yes } => delete(admin, topics, *yes, output),
        TopicTask::AddPartitions { topic, partitions } => add_partitions(admin, topic, *partitions, output),
        TopicTask::Configs { topic, set, unset, all } => configs(admin, topic, (set, unset), *all, output),
    }
}

fn list(admin: &Admin, internal: bool, output: &mut Output<'_>) -> Result<()> {
    #[derive(Serialize)]
    struct Shape<'a> {
        topics: Vec<json::Topic<'a>>,
    }
    let mut topics = admin.list_topics()?;
    topics.retain(|topic| internal || !topic.internal);
    let shape = || json::line(&Shape { topics: topics.iter().map(json::Topic::listed).collect() });
    let told = output.either(shape, || {
        let mut table = Table::new(&["TOPIC", "PARTITIONS#", "REPLICAS#", "INTERNAL"]);
        for topic in &topics {
            let internal = if topic.internal { "internal" } else { "" };
            let (partitions, replicas) = (topic.partitions.len(), topic.replication_factor());
            table.row(vec![topic.name.clone(), partitions.to_string(), replicas.to_string(), internal.to_owned()]);
        }
        table.to_string()
    });
    told.map(drop)
}

/// All of them, or the first one's error.
fn described(admin: &Admin, names: &[String]) -> Result<Vec<TopicDescription>> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    admin
        .describe_topics(&names)
        .into_iter()
        .zip(&names)
        .map(|(topic, name)| topic.map_err(|e| plainly(name, e)))
        .collect()
}

/// What a missing topic is told with.
pub(super) fn plainly(topic: &str, error: Error) -> Error {
    match error.code() {
        Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => Error::state(format!("there is no topic {topic}")),
        _ => error,
    }
}

fn describe(admin: &Admin, names: &[String], output: &mut Output<'_>) -> Result<()> {
    let topics = described(admin, names)?;
    for topic in &topics {
        let configs = admin.describe_configs(ConfigResource::Topic(&topic.name))?;
        let own: Vec<ConfigEntry> = configs.into_iter().filter(|entry| entry.source == ConfigSource::Topic).collect();
        let told = output.either(
            || json::line(&json::Topic::described(topic, &own)),
            || {
                let mut text = format!("topic {}", printable(topic.name.clone()));
                if let Some(id) = topic.id {
                    // Writing to a String cannot fail.
                    let _ = write!(text, ", id {id}");
                }
                let _ = write!(
                    text,
                    ", {} partitions, {} replicas{}",
                    topic.partitions.len(),
                    topic.replication_factor(),
                    if topic.internal { ", internal" } else { "" }
                );
                for entry in &own {
                    let _ = write!(text, "\n{}={}", entry.name, printable(entry.value.clone().unwrap_or_default()));
                }
                let mut table = Table::new(&["PARTITION#", "LEADER#", "EPOCH#", "REPLICAS", "IN-SYNC"]);
                for partition in &topic.partitions {
                    table.row(vec![
                        partition.partition.to_string(),
                        known(partition.leader),
                        known(partition.leader_epoch),
                        joined(&partition.replicas),
                        joined(&partition.isr),
                    ]);
                }
                format!("{text}\n{table}")
            },
        )?;
        if !told {
            break;
        }
    }
    Ok(())
}

fn create(admin: &Admin, new: &NewTopic<'_>, if_not_exists: bool, output: &mut Output<'_>) -> Result<()> {
    #[derive(Serialize)]
    struct Shape<'a> {
        topic: &'a str,
        created: bool,
    }
    let created = admin.create_topic(new)? == Created::New;
    if !created && !if_not_exists {
        let why = "it exists already, and was left as it is; --if-not-exists takes that for success";
        return Err(Error::state(why).with_topic(new.name));
    }
    let told = output.either(
        || json::line(&Shape { topic: new.name, created }),
        || match created {
            true => format!("created topic {}", new.name),
            false => format!("topic {} exists already, and was left as it is", new.name),
        },
    );
    told.map(drop)
}

fn delete(admin: &Admin, names: &[String], yes: bool, output: &mut Output<'_>) -> Result<()> {
    #[derive(Serialize)]
    struct Shape<'a> {
        deleted: &'a [String],
    }
    // One that is missing keeps the others from being deleted.
    let topics = described(admin, names)?;
    if let Some(topic) = topics.iter().find(|topic| topic.internal) {
        return Err(Error::state("Kafka needs this topic itself; nothing was deleted").with_topic(&*topic.name));
    }
    let words = topics.iter().map(|topic| format!("{} ({} partitions)", topic.name, topic.partitions.len()));
    let words = words.collect::<Vec<_>>().join(", ");
    confirm(&format!("delete {words}, with all records"), yes)?;
    for (at, name) in names.iter().enumerate() {
        admin.delete_topic(name).map_err(|error| match at {
            0 => error,
            _ => error.begun(&format!("{} deleted, but then", joined(&names[..at]))),
        })?;
    }
    let told = output.either(
        || json::line(&Shape { deleted: names }),
        || names.iter().map(|name| format!("deleted topic {name}\n")).collect(),
    );
    told.map(drop)
}

fn add_partitions(admin: &Admin, topic: &str, partitions: i32, output: &mut Output<'_>) -> Result<()> {
    #[derive(Serialize)]
    struct Shape<'a> {
        topic: &'a str,
        before: usize,
        partitions: i32,
    }
    let names = [topic.to_owned()];
    let before = described(admin, &names)?.first().map_or(0, |topic| topic.partitions.len());
    if usize::try_from(partitions).is_ok_and(|wanted| wanted <= before) {
        let why = format!("it has {before} partitions already, and Kafka cannot take partitions away");
        return Err(Error::state(why).with_topic(topic));
    }
    admin.create_partitions(topic, partitions)?;
    let told = output.either(
        || json::line(&Shape { topic, before, partitions }),
        || format!("topic {topic}: {partitions} partitions, {before} before"),
    );
    told.map(drop)
}

fn configs(
    admin: &Admin,
    topic: &str,
    (set, unset): (&[(String, String)], &[String]),
    all: bool,
    output: &mut Output<'_>,
) -> Result<()> {
    #[derive(Serialize)]
    struct Shape<'a> {
        topic: &'a str,
        configs: Vec<json::Setting<'a>>,
    }
    let resource = ConfigResource::Topic(topic);
    let sets = set.iter().map(|(name, value)| ConfigChange::Set(name, value));
    let changes: Vec<_> = sets.chain(unset.iter().map(|name| ConfigChange::Unset(name))).collect();
    let mut entries = admin.describe_configs(resource).map_err(|error| plainly(topic, error))?;
    if !changes.is_empty() {
        // A broker takes keys it does not know away without a word.
        if let Some(name) = unset.iter().find(|name| !entries.iter().any(|entry| entry.name == **name)) {
            return Err(Error::state(format!("there is no configuration {}", name.escape_debug())).with_topic(topic));
        }
        admin.alter_configs(resource, &changes)?;
        entries = admin.describe_configs(resource)?;
        for (name, value) in set {
            // Another broker may not have learnt of it yet.
            if let Some(entry) = entries.iter_mut().find(|entry| entry.name == *name) {
                (entry.value, entry.source) = (Some(value.clone()), ConfigSource::Topic);
            }
        }
    }
    entries.retain(|entry| all || entry.source != ConfigSource::Default);
    let told = output.either(
        || json::line(&Shape { topic, configs: entries.iter().map(json::Setting::of).collect() }),
        || {
            if entries.is_empty() {
                return format!("topic {topic}: everything as by default; --all shows it");
            }
            let mut table = Table::new(&["CONFIG", "VALUE", "FROM"]);
            for entry in &entries {
                let value =
                    if entry.sensitive { "(hidden)".to_owned() } else { entry.value.clone().unwrap_or_default() };
                table.row(vec![entry.name.clone(), value, json::source(entry.source).to_owned()]);
            }
            table.to_string()
        },
    );
    told.map(drop)
}
