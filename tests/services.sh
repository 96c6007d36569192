#!/usr/bin/env bash
# One sender and one receiver against a running Kafka, as a user would see them.
#
#   KAFKA_BROKERS=localhost:9092 tests/services.sh path/to/krs
#
# Fifty messages through a new topic and group: the receiver prints the line it promises for each, once, in order within
# a partition; both exit with 0, the receiver within two seconds of one SIGINT; Kafka's own tool sees no lag.

set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'services: %s\n' "$*" >&2
    tail -n 20 "$work"/*.err "$work"/*.out >&2
    exit 1
}

readonly count=50 krs=${1:?path of krs}
: "${KAFKA_BROKERS:?address of a running Kafka}"
name=services-$$-$RANDOM
export KAFKA_BROKERS KAFKA_TOPIC=$name CONSUMER_GROUP=$name SEND_INTERVAL_MS=20
work=$(mktemp -d)
receiver=
trap '[ -z "$receiver" ] || kill -s KILL "$receiver" 2>/dev/null || true; rm -rf -- "$work"' EXIT
# One binary acts as either service, by the name it is called by.
ln -s "$(realpath "$krs")" "$work/sender"
ln -s "$(realpath "$krs")" "$work/receiver"

# A background program of a script would ignore SIGINT; with job control it does not.
set -m
"$work/receiver" >"$work/receiver.out" 2>"$work/receiver.err" &
receiver=$!
timeout 60 "$work/sender" --count $count >"$work/sender.out" 2>"$work/sender.err" || fail "the sender ended with $?"

begin=$SECONDS
while [ "$(grep -c 'Received message' "$work/receiver.out" || true)" -lt $count ]; do
    kill -0 "$receiver" 2>/dev/null || fail 'the receiver ended by itself'
    [ $((SECONDS - begin)) -lt 30 ] || fail 'the receiver does not get all messages'
    sleep 0.1
done
begin=$(date +%s%N)
kill -s INT "$receiver"
wait "$receiver" || fail "the receiver ended with $?"
took=$((($(date +%s%N) - begin) / 1000000))
receiver=
[ $took -lt 2000 ] || fail "the receiver took $took ms to end"

line='^INFO receiver: Received message #[0-9]+: id=[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}, '
line+="content='Hello from Rust sender! Message #[0-9]+', latency=[0-9]+ms, total_received=[0-9]+\$"
[ "$(grep -Ec "$line" "$work/receiver.out")" = $count ] || fail 'lines are missing or look different'
numbers=$(sed -En 's/.*Received message #([0-9]+):.*/\1/p' "$work/receiver.out" | sort -n)
[ "$numbers" = "$(seq $count)" ] || fail 'not every message arrived exactly once'
totals=$(sed -En 's/.*total_received=([0-9]+)$/\1/p' "$work/receiver.out")
[ "$totals" = "$(seq $count)" ] || fail 'total_received does not count one by one'

scripts/kafka tool kafka-consumer-groups --bootstrap-server "$KAFKA_BROKERS" --describe --group "$name" >"$work/lag.out" 2>&1 ||
    fail 'kafka-consumer-groups failed'
# Columns: group, topic, partition, position, end, lag.
awk -v topic="$name" '$2 == topic { partitions++; position += $4; lag += $6 }
    END { exit !(partitions == 3 && position == '$count' && lag == 0) }' "$work/lag.out" || fail 'positions or lag are wrong'
printf 'services: %s messages sent and received, committed on three partitions, lag 0\n' $count
