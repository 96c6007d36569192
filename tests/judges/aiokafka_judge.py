"""aiokafka: `aiokafka_judge.py CHECK` prints what it saw, or fails."""

import asyncio
import os
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

BROKERS, RUN = os.environ["KAFKA_BROKERS"], os.environ["JUDGES_RUN"]
LONG = 60


async def create(name, partitions):
    topic = f"{name}-{RUN}"
    client = AIOKafkaAdminClient(bootstrap_servers=BROKERS)
    await client.start()
    await client.create_topics([NewTopic(topic, partitions, 1)])
    async with asyncio.timeout(LONG):
        while topic not in await client.list_topics():
            await asyncio.sleep(0.1)
    await client.close()
    return topic


async def fill(topic, partitions, count, **settings):
    producer = AIOKafkaProducer(bootstrap_servers=BROKERS, acks="all", **settings)
    await producer.start()
    sent = []
    for number in range(count):
        for partition in range(partitions):
            key, value = b"k%d" % number, b"v%d" % number
            sent.append(await producer.send(topic, value, key, partition, headers=[("n", b"%d" % number)]))
    reports = [await report for report in sent]
    await producer.stop()
    return sorted((report.partition, report.offset) for report in reports)


async def member(topic):
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=BROKERS, group_id=topic, auto_offset_reset="earliest", enable_auto_commit=False
    )
    await consumer.start()
    return consumer


async def poll(consumers, done):
    """Reads until it is enough, and commits what was read."""
    read = []
    async with asyncio.timeout(LONG):
        while not done(read):
            for number, consumer in enumerate(consumers):
                for records in (await consumer.getmany(timeout_ms=50)).values():
                    read += [(number, record.partition, record.offset, record.value.decode()) for record in records]
                    await consumer.commit()
    return read


async def round_trip():
    topic = await create("aiokafka", 1)
    for codec in (None, "gzip"):
        for idempotent in (False, True):
            print(await fill(topic, 1, 20, compression_type=codec, enable_idempotence=idempotent))
    consumer = AIOKafkaConsumer(bootstrap_servers=BROKERS, auto_offset_reset="earliest")
    await consumer.start()
    partition = TopicPartition(topic, 0)
    consumer.assign([partition])
    async with asyncio.timeout(LONG):
        for _ in range(80):
            record = await consumer.getone()
            print(record.offset, record.key, record.value, record.headers)
    print(await consumer.beginning_offsets([partition]), await consumer.end_offsets([partition]))
    await consumer.stop()


async def group():
    topic = await create("aiokafka-group", 4)
    await fill(topic, 4, 10)
    first = await member(topic)
    read = await poll([first], lambda read: len(read) == 40)
    second = await member(topic)
    read += await poll([first, second], lambda _: [len(one.assignment()) for one in (first, second)] == [2, 2])
    await fill(topic, 4, 10)
    both = await poll([first, second], lambda read: len(read) == 40)
    assert {number for number, *_ in both} == {0, 1}
    await first.stop()
    await fill(topic, 4, 10)
    read += both + await poll([second], lambda read: len(read) == 40)
    await second.stop()
    records = sorted(record[1:] for record in read)
    assert records == sorted((partition, n, f"v{n % 10}") for partition in range(4) for n in range(30)), records
    print(records)
    third = await member(topic)
    print([await third.committed(TopicPartition(topic, partition)) for partition in range(4)])
    await third.stop()


if __name__ == "__main__":
    asyncio.run(globals()[sys.argv[1]]())
