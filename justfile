# `just` lists these recipes; `cargo install just --locked` provides the program.
# What a recipe is given beyond its own parameters goes to the program: `just send --count 10`.

export CARGO_TERM_COLOR := env("CARGO_TERM_COLOR", "auto")

[private]
default:
    @{{ just_executable() }} --justfile {{ quote(justfile()) }} --list --unsorted

# Everything at once with nothing but Rust: a broker of its own, receiver and sender; `just demo --for 10s`
[no-exit-message]
[positional-arguments]
demo *args:
    @cargo run --quiet --release -- demo "$@"

# The development broker in the foreground, at 127.0.0.1:9092 unless told otherwise
[no-exit-message]
[positional-arguments]
broker *args:
    @cargo run --quiet --release -- broker "$@"

# Kafka at localhost:9092, ready when this returns: in Docker, else from Apache's jars, else the development broker; `just up 3` for three brokers
up *brokers:
    @scripts/broker up {{ brokers }}

# Stop Kafka; its data stays
down:
    @scripts/broker down

# The sender
[no-exit-message]
[positional-arguments]
send *args:
    @cargo run --quiet --release --bin sender -- "$@"

# The receiver
[no-exit-message]
[positional-arguments]
receive *args:
    @cargo run --quiet --release --bin receiver -- "$@"

# Everything at once: Kafka, the topic, the build, then receiver and sender until Ctrl-C; arguments go to the sender
[no-exit-message]
[positional-arguments]
run *args:
    @scripts/run-services "$@"

# The topics, with partitions and replicas; `krs topic describe TOPIC` has more
[no-exit-message]
[positional-arguments]
topics *args:
    @cargo run --quiet --release -- topic list "$@"

# How far the receivers are, and who has which partition
[no-exit-message]
[positional-arguments]
lag group=env("CONSUMER_GROUP", "rust-consumer-group") *args:
    @cargo run --quiet --release -- group lag "$@"

# Kafka's log; `just logs -f` follows it
logs *args:
    @scripts/broker logs {{ args }}

# All tests that need nothing but Rust
[positional-arguments]
test *args:
    cargo test "$@"

# A chain of three groups whose members join, leave and are killed, in every mode: is each record there once and in order? `just etl MODE COUNT SEED` for one
[no-exit-message]
[positional-arguments]
etl *args:
    @cargo run --quiet --release --example etl -- "$@"

# The same on Apache Kafka from its jars, one broker or three of its own: `just etl-kafka 3 MODE COUNT SEED`
[no-exit-message]
[positional-arguments]
etl-kafka *args:
    @scripts/etl-kafka "$@"

# This client beside others on a fresh Apache Kafka, measured alike; needs Python, Java, Maven, Go; `just bench-peers --quick`
[no-exit-message]
[positional-arguments]
bench-peers *args:
    @bench/run "$@"

# Format the code
fmt:
    cargo fmt

# What CI checks before it runs anything: format and lints
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    cargo clippy --all-targets --no-default-features --features services -- -D warnings

# `krs` as one static file for x86_64 and aarch64 Linux; needs rustup, no C toolchain for the targets
static:
    rustup target add x86_64-unknown-linux-musl aarch64-unknown-linux-musl
    cargo build --release --bin krs --target x86_64-unknown-linux-musl
    cargo build --release --bin krs --target aarch64-unknown-linux-musl
    @ls -lh target/*-unknown-linux-musl/release/krs

# Everything CI does, on this machine (Debian; installs what is missing)
ci:
    bash .ci/run
