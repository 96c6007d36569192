"""kafka-python: `kafka_python_judge.py CHECK` prints what it saw, or fails."""

import os
import sys
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import NewTopic

BROKERS, RUN = os.environ["KAFKA_BROKERS"], os.environ["JUDGES_RUN"]
LONG = 60


def create(name, partitions):
    topic = f"{name}-{RUN}"
    client = KafkaAdminClient(bootstrap_servers=BROKERS)
    client.create_topics([NewTopic(topic, partitions, 1)])
    deadline = time.monotonic() + LONG
    while topic not in client.list_topics():
        assert time.monotonic() < deadline
        time.sleep(0.1)
    client.close()
    return topic


def fill(topic, partitions, count, **settings):
    producer = KafkaProducer(bootstrap_servers=BROKERS, acks="all", **settings)
    sent = []
    for number in range(count):
        for partition in range(partitions):
            key, value = b"k%d" % number, b"v%d" % number
            sent.append(producer.send(topic, value, key, [("n", b"%d" % number)], partition))
    producer.flush(LONG)
    reports = [future.get(LONG) for future in sent]
    producer.close(LONG)
    return sorted((report.partition, report.offset) for report in reports)


def member(topic, **settings):
    consumer = KafkaConsumer(
        topic, bootstrap_servers=BROKERS, group_id=topic, auto_offset_reset="earliest", enable_auto_commit=False, **settings
    )
    # kafka-python 3.0.12 joins without waiting for metadata. If a quick broker lets it, it leads a generation that shares
    # out nothing, and never joins again.
    assert consumer.partitions_for_topic(topic)
    return consumer


def poll(consumers, done):
    """Reads until it is enough, and commits what was read."""
    read, deadline = [], time.monotonic() + LONG
    while not done(read):
        assert time.monotonic() < deadline, (len(read), [consumer.assignment() for consumer in consumers])
        for number, consumer in enumerate(consumers):
            for records in consumer.poll(50).values():
                read += [(number, record.partition, record.offset, record.value.decode()) for record in records]
                consumer.commit()
    return read


def round_trip():
    """Idempotent and not, compressed and not, keys and headers."""
    topic = create("kafka-python", 1)
    for codec in (None, "gzip"):
        for idempotent in (False, True):
            print(fill(topic, 1, 20, compression_type=codec, enable_idempotence=idempotent))
    consumer = KafkaConsumer(bootstrap_servers=BROKERS, auto_offset_reset="earliest")
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    records, deadline = [], time.monotonic() + LONG
    while len(records) < 80 and time.monotonic() < deadline:
        records += consumer.poll(100).get(partition, [])
    for record in records:
        print(record.offset, record.key, record.value, record.headers)
    print(consumer.beginning_offsets([partition])[partition], consumer.end_offsets([partition])[partition])
    consumer.close()
    assert len(records) == 80, len(records)


def group():
    topic = create("kafka-python-group", 4)
    fill(topic, 4, 10)
    first, second = member(topic), member(topic)
    read = poll([first], lambda read: len(read) == 40)
    shared = lambda _: [len(consumer.assignment()) for consumer in (first, second)] == [2, 2]
    read += poll([first, second], shared)
    fill(topic, 4, 10)
    both = poll([first, second], lambda read: len(read) == 40)
    assert {number for number, *_ in both} == {0, 1}
    first.close()
    fill(topic, 4, 10)
    read += both + poll([second], lambda read: len(read) == 40)
    second.close()
    records = sorted(record[1:] for record in read)
    assert records == sorted((partition, n, f"v{n % 10}") for partition in range(4) for n in range(30)), records
    print(records)
    third = member(topic)
    print([third.committed(TopicPartition(topic, partition)) for partition in range(4)])
    third.close()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
