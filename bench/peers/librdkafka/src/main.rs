use rdkafka as _;
fn main() {}
