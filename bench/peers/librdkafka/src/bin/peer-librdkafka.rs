//! librdkafka by its own functions.

fn main() -> std::process::ExitCode {
    peer_librdkafka::run(peer_librdkafka::By::Functions)
}
