"""confluent-kafka: librdkafka 2. `confluent_judge.py CHECK` prints what it saw, or fails; `member` is one of a group."""

import json
import os
import signal
import sys
import time
from concurrent.futures import wait

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

BROKERS, RUN = os.environ["KAFKA_BROKERS"], os.environ["JUDGES_RUN"]
BEGIN = 1_700_000_000_000
LONG = 60


def name(text):
    return f"{text}-{RUN}"


def config(**more):
    return {"bootstrap.servers": BROKERS} | {key.replace("_", "."): value for key, value in more.items()}


def admin():
    return AdminClient(config())


def results(futures):
    """What came of each, an error as its name."""
    wait(futures.values(), LONG)
    seen = {}
    for key, future in futures.items():
        try:
            seen[key] = future.result(0)
        except KafkaException as error:
            seen[key] = error.args[0].name()
    return seen


def until(seen):
    """Waits for what Kafka's controller has decided to be seen on a broker."""
    deadline = time.monotonic() + LONG
    while not seen():
        assert time.monotonic() < deadline, "it is not seen"
        time.sleep(0.05)


def partition_count(client, topic):
    return len(client.list_topics(topic, timeout=LONG).topics[topic].partitions)


def create(topic, partitions):
    """What `fill` writes is old, and stays."""
    new = NewTopic(topic, partitions, 1, config={"retention.ms": "-1"})
    client = admin()
    created = results(client.create_topics([new]))
    assert created == {topic: None}, created
    until(lambda: partition_count(client, topic) == partitions)
    return topic


def fill(topic, partitions, count):
    """Idempotently; each report must come, in order."""
    producer = Producer(config(enable_idempotence=True, compression_type="lz4"))
    reports = []

    def report(error, message):
        assert error is None, error
        reports.append((message.partition(), message.offset(), message.key(), message.value()))

    for number in range(count):
        for partition in range(partitions):
            producer.produce(
                topic,
                f"v{number}",
                f"k{number}",
                partition,
                on_delivery=report,
                timestamp=BEGIN + number * 1000,
                headers=[("n", b"%d" % number)],
            )
    assert producer.flush(LONG) == 0
    return sorted(reports)


def poll(consumers, count):
    """So many records of some consumers together, and who read them."""
    read, deadline = [], time.monotonic() + LONG
    while len(read) < count:
        assert time.monotonic() < deadline, f"{len(read)} of {count} records"
        for number, consumer in enumerate(consumers):
            message = consumer.poll(0.05)
            if message is not None:
                assert message.error() is None, message.error()
                read.append((number, message.partition(), message.offset(), message.value().decode()))
    return read


def settle(consumers, shares):
    """Polls until each has as many partitions as it should."""
    read, deadline = [], time.monotonic() + LONG
    while [len(consumer.assignment()) for consumer in consumers] != shares:
        assert time.monotonic() < deadline, [consumer.assignment() for consumer in consumers]
        for number, consumer in enumerate(consumers):
            message = consumer.poll(0.05)
            if message is not None:
                assert message.error() is None, message.error()
                read.append((number, message.partition(), message.offset(), message.value().decode()))
    return read


def topics():
    client, topic = admin(), name("confluent-topics")
    new = [
        NewTopic(topic, 3, 1, config={"retention.ms": "1000000"}),
        NewTopic("bad name", 1, 1),
        NewTopic(topic + "-replicas", 1, 3),
        NewTopic(topic + "-setting", 1, 1, config={"no.such.setting": "1"}),
    ]
    print(results(client.create_topics(new)))
    print(results(client.create_topics([NewTopic(topic, 3, 1)])))
    print(results(client.create_topics([NewTopic(topic + "-not-really", 3, 1)], validate_only=True)))
    print(results(client.create_partitions([NewPartitions(topic, 5), NewPartitions(topic + "-missing", 5)])))
    until(lambda: partition_count(client, topic) == 5)
    metadata = client.list_topics(timeout=LONG)
    assert topic in metadata.topics and topic + "-not-really" not in metadata.topics
    for partition in client.list_topics(topic, timeout=LONG).topics[topic].partitions.values():
        print(partition.id, partition.leader, partition.replicas, partition.isrs)
    described = results(client.describe_topics(TopicCollection([topic, topic + "-missing"])))
    missing = described.pop(topic + "-missing")
    found = described[topic]
    print(missing, found.name, found.is_internal, [(one.id, one.leader.id, len(one.isr)) for one in found.partitions])
    assert len(str(found.topic_id)) == 22, found.topic_id
    cluster = client.describe_cluster().result(LONG)
    print([node.id for node in cluster.nodes], cluster.controller.id)
    assert cluster.cluster_id
    print(results(client.delete_topics([topic, topic + "-missing"])))


def configs():
    client, topic = admin(), create(name("confluent-configs"), 1)

    def resource(*entries):
        return ConfigResource(ResourceType.TOPIC, topic, incremental_configs=list(entries))

    def settings():
        return results(client.describe_configs([ConfigResource(ResourceType.TOPIC, topic)])).popitem()[1]

    def show():
        entries = settings()
        for key in ("cleanup.policy", "max.message.bytes", "message.timestamp.type", "retention.ms"):
            entry = entries[key]
            print(key, entry.value, entry.source, entry.is_default, entry.is_read_only, sorted(entry.synonyms))

    def entry(key, value, operation):
        return ConfigEntry(key, value, incremental_operation=operation)

    show()
    changes = [
        entry("retention.ms", "5000000", AlterConfigOpType.SET),
        entry("cleanup.policy", "compact", AlterConfigOpType.APPEND),
        entry("max.message.bytes", None, AlterConfigOpType.DELETE),
    ]
    print(list(results(client.incremental_alter_configs([resource(*changes)])).values()))
    until(lambda: settings()["retention.ms"].value == "5000000")
    show()
    for wrong in (("no.such.setting", "1"), ("retention.ms", "soon"), ("retention.ms", "-5")):
        print(list(results(client.incremental_alter_configs([resource(entry(*wrong, AlterConfigOpType.SET))])).values()))
    missing = ConfigResource(ResourceType.TOPIC, topic + "-missing")
    print(list(results(client.describe_configs([missing])).values()))
    broker = results(client.describe_configs([ConfigResource(ResourceType.BROKER, "1")])).popitem()[1]
    print(broker["num.partitions"].value, broker["auto.create.topics.enable"].value)


def produce():
    topic = create(name("confluent-produce"), 2)
    for report in fill(topic, 2, 500):
        print(*report)
    consumer = Consumer(config(group_id=topic, enable_auto_commit=False))
    consumer.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(2)])
    read = sorted(record[1:] for record in poll([consumer], 1000))
    assert read == sorted((partition, n, f"v{n}") for partition in range(2) for n in range(500))
    print([consumer.get_watermark_offsets(TopicPartition(topic, number), LONG) for number in range(2)])
    consumer.close()
    errors = []
    producer = Producer(config(message_max_bytes=5_000_000))
    producer.produce(topic, b"x" * 2_000_000, partition=0, callback=lambda error, message: errors.append(error.name()))
    producer.flush(LONG)
    print(errors)


def share(**settings):
    """Two members, then one: every record once, and where they left off the next one starts."""
    group = name("confluent-" + "-".join(settings.values()))
    topic = create(group, 4)
    fill(topic, 4, 10)

    def join():
        consumer = Consumer(config(group_id=group, auto_offset_reset="earliest", enable_auto_commit=False, **settings))
        consumer.subscribe([topic])
        return consumer

    def commit(*consumers):
        for consumer in consumers:
            committed = consumer.commit(asynchronous=False)
            assert all(partition.error is None for partition in committed), committed

    first = join()
    read = poll([first], 40)
    commit(first)
    second = join()
    read += settle([first, second], [2, 2])
    fill(topic, 4, 10)
    both = poll([first, second], 40)
    assert {number for number, *_ in both} == {0, 1}, both
    commit(first, second)
    first.close()
    read += both + settle([second], [4])
    fill(topic, 4, 10)
    read += poll([second], 40)
    commit(second)
    second.close()
    fill(topic, 4, 1)
    third = join()
    read += poll([third], 4)
    third.close()
    records = sorted(record[1:] for record in read)
    assert records == sorted((partition, n, f"v{n % 10}") for partition in range(4) for n in range(31)), records
    print(records)


def share_range():
    share(group_protocol="classic", partition_assignment_strategy="range")


def share_cooperative():
    share(group_protocol="classic", partition_assignment_strategy="cooperative-sticky")


def share_consumer():
    share(group_protocol="consumer")


def member(group, topic, *settings):
    """A member until SIGTERM, which tells what it does in the lines of Java's VerifiableConsumer."""
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))

    def tell(event, **facts):
        print(json.dumps({"name": event} | facts), flush=True)

    def listed(partitions):
        return [{"topic": one.topic, "partition": one.partition} for one in partitions]

    more = dict(setting.split("=") for setting in settings)
    consumer = Consumer(config(group_id=group, auto_offset_reset="earliest", enable_auto_commit=False) | more)
    consumer.subscribe(
        [topic],
        on_assign=lambda _, partitions: tell("partitions_assigned", partitions=listed(partitions)),
        on_revoke=lambda _, partitions: tell("partitions_revoked", partitions=listed(partitions)),
    )
    while not stopped:
        messages = consumer.consume(100, 0.1)
        for message in messages:
            assert message.error() is None, message.error()
            key, value = message.key().decode(), message.value().decode()
            tell("record_data", partition=message.partition(), offset=message.offset(), key=key, value=value)
        if messages:
            tell("records_consumed", count=len(messages))
            committed = consumer.commit(asynchronous=False)
            tell("offsets_committed", success=all(one.error is None for one in committed))
    consumer.close()
    tell("shutdown_complete")


def offsets():
    topic = create(name("confluent-offsets"), 2)
    fill(topic, 2, 20)
    consumer = Consumer(config(group_id=topic))
    for at in (0, BEGIN, BEGIN + 4500, BEGIN + 19_000, BEGIN + 19_001):
        asked = [TopicPartition(topic, number, at) for number in range(2)]
        print(at, [(one.partition, one.offset, one.error) for one in consumer.offsets_for_times(asked, LONG)])
    consumer.close()
    client, partition = admin(), TopicPartition(topic, 0)
    for spec in (OffsetSpec.earliest(), OffsetSpec.latest(), OffsetSpec.max_timestamp(), OffsetSpec.for_timestamp(BEGIN + 4500)):
        for level in (IsolationLevel.READ_UNCOMMITTED, IsolationLevel.READ_COMMITTED):
            found = results(client.list_offsets({partition: spec}, isolation_level=level))[partition]
            print(found.offset, found.timestamp)
    deleted = results(client.delete_records([TopicPartition(topic, 0, 7), TopicPartition(topic, 1, 99)]))
    for where, what in sorted(deleted.items(), key=lambda item: item[0].partition):
        print(where.partition, what if isinstance(what, str) else what.low_watermark)
    print(results(client.list_offsets({partition: OffsetSpec.earliest()}))[partition].offset)


def groups():
    client, topic = admin(), create(name("confluent-groups"), 2)
    fill(topic, 2, 10)
    for protocol in ("classic", "consumer"):
        group = f"{topic}-{protocol}"
        consumer = Consumer(
            config(group_id=group, auto_offset_reset="earliest", group_protocol=protocol, client_id="judge", enable_auto_commit=False)
        )
        consumer.subscribe([topic])
        poll([consumer], 20)
        consumer.commit(asynchronous=False)
        listed = client.list_consumer_groups(states={ConsumerGroupState.STABLE}).result(LONG)
        assert not listed.errors, listed.errors
        ours = [one for one in listed.valid if one.group_id == group]
        print([(one.is_simple_consumer_group, one.state.name, one.type.name) for one in ours])
        show(client, group)
        print(results(client.delete_consumer_groups([group])))
        print(alter(client, group, topic, 5))
        consumer.close()
        show(client, group)
        committed(client, group, topic)
        print(alter(client, group, topic, 5))
        committed(client, group, topic)
        print(results(client.delete_consumer_groups([group, group + "-missing"])))
        committed(client, group, topic)
        listed = client.list_consumer_groups().result(LONG).valid
        assert group not in [one.group_id for one in listed]


def show(client, group):
    found = results(client.describe_consumer_groups([group]))[group]
    members = [
        (one.client_id, one.host, one.group_instance_id, sorted((at.topic, at.partition) for at in one.assignment.topic_partitions))
        for one in found.members
    ]
    print(found.group_id, found.state.name, found.type.name, found.partition_assignor, found.coordinator.id, members)


def committed(client, group, topic):
    asked = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, number) for number in range(2)])]
    found = results(client.list_consumer_group_offsets(asked))[group]
    print(found if isinstance(found, str) else [(one.partition, one.offset, one.error) for one in found.topic_partitions])


def alter(client, group, topic, offset):
    change = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 1, offset)])]
    found = results(client.alter_consumer_group_offsets(change))[group]
    return found if isinstance(found, str) else [(one.partition, one.offset, one.error) for one in found.topic_partitions]


def transactions():
    """Of the development broker alone: it has none, and says so."""
    producer = Producer(config(transactional_id=name("confluent-transactions")))
    try:
        producer.init_transactions(30)
    except KafkaException as error:
        print(error.args[0].name(), error.args[0].str())
    else:
        sys.exit("it has transactions")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
