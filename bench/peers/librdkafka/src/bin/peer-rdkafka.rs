//! librdkafka as users of the crate `rdkafka` have it.

fn main() -> std::process::ExitCode {
    peer_librdkafka::run(peer_librdkafka::By::Crate)
}
