//! Properties of Kafka's Java client (4.3, 3.9) and of librdkafka (2.0 to 2.12) that this client does not act on.
//!
//! A name that changes nothing a user of this client could notice is accepted and named in the log. A name that asks
//! for something this client would have to do, and does not, is refused: silence would be worse.

/// What becomes of a property that some other Kafka client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Treatment {
    /// Accepted; the text completes "has no effect here: ".
    Ignored(&'static str),
    /// Accepted with these values (regardless of case), which say what happens anyway; others are not built yet.
    Only(&'static [&'static str]),
    /// Not built yet; the text says what it belongs to.
    Refused(&'static str),
    /// Spelt or measured in another way here.
    Instead(&'static str),
}

use Treatment::{Ignored, Instead, Only, Refused};

const JAVA: Treatment = Ignored("it belongs to the Java client");
const LIBRDKAFKA: Treatment = Ignored("it belongs to librdkafka");
const CALLBACK: Treatment = Ignored("callbacks are functions here, not properties");
const METRICS: Treatment = Ignored("it belongs to the Java client's metrics");
const LOGGING: Treatment = Ignored("logs are set by RUST_LOG or by the program's logger");
const LEVEL: Treatment = Ignored("each compression type has one level");
const AUTO_COMMIT: Treatment =
    Ignored("what poll() handed over counts as stored, and offsets are kept by the group's coordinator");
const AUTOMATIC: Treatment = Ignored("this client settles it by itself");
const TRANSACTIONS: Treatment = Refused("transactions");
const SHARE_GROUPS: Treatment = Refused("share groups");
const TLS: Treatment = Refused("TLS");
const SASL: Treatment = Refused("SASL authentication");

/// What becomes of `name`; `None` if no Kafka client knows it.
pub(super) fn treatment(name: &str) -> Option<(&'static str, Treatment)> {
    GROUPS
        .iter()
        .find_map(|(treatment, names)| names.iter().find(|known| **known == name).map(|known| (*known, *treatment)))
}

/// Every name in this file.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    GROUPS.iter().flat_map(|(_, names)| names.iter().copied())
}

const GROUPS: &[(Treatment, &[&str])] = &[
    (Only(&["PLAINTEXT"]), &["security.protocol"]),
    (Only(&["rebootstrap"]), &["metadata.recovery.strategy"]),
    (Only(&["use_all_dns_ips"]), &["client.dns.lookup"]),
    (Only(&["any"]), &["broker.address.family"]),
    (Only(&["consumer"]), &["group.protocol.type"]),
    (Only(&["broker"]), &["offset.store.method"]),
    (Only(&["fifo"]), &["queuing.strategy"]),
    (Only(&["true"]), &["api.version.request"]),
    (Only(&["false"]), &["enable.gapless.guarantee", "enable.partition.eof", "transaction.two.phase.commit.enable"]),
    (Instead("buffer.memory, in bytes"), &["queue.buffering.max.kbytes"]),
    (TRANSACTIONS, &["transactional.id", "transaction.timeout.ms"]),
    (SHARE_GROUPS, &["share.acknowledgement.mode", "share.acquire.mode"]),
    (Refused("asking controllers directly"), &["bootstrap.controllers"]),
    (Refused("values that come from elsewhere"), &["config.providers"]),
    (Refused("hiding topics"), &["topic.blacklist"]),
    (AUTO_COMMIT, &["enable.auto.offset.store", "offset.store.path", "offset.store.sync.interval.ms"]),
    (LEVEL, &["compression.gzip.level", "compression.level", "compression.lz4.level", "compression.zstd.level"]),
    (
        LOGGING,
        &["debug", "log.connection.close", "log.queue", "log.thread.name", "log_level", "statistics.interval.ms"],
    ),
    (
        METRICS,
        &[
            "auto.include.jmx.reporter",
            "enable.metrics.push",
            "metric.reporters",
            "metrics.num.samples",
            "metrics.recording.level",
            "metrics.sample.window.ms",
        ],
    ),
    (
        JAVA,
        &[
            "exclude.internal.topics",
            "interceptor.classes",
            "internal.leave.group.on.close",
            "internal.throw.on.fetch.stable.offset.unsupported",
            "key.deserializer",
            "key.serializer",
            "security.providers",
            "value.deserializer",
            "value.serializer",
        ],
    ),
    (
        AUTOMATIC,
        &[
            "api.version.fallback.ms",
            "api.version.request.timeout.ms",
            "batch.num.messages",
            "broker.address.ttl",
            "broker.version.fallback",
            "connections.max.idle.ms",
            "coordinator.query.interval.ms",
            "fetch.error.backoff.ms",
            "fetch.queue.backoff.ms",
            "metadata.max.idle.ms",
            "metadata.recovery.rebootstrap.trigger.ms",
            "partitioner.adaptive.partitioning.enable",
            "partitioner.availability.timeout.ms",
            "queue.buffering.backpressure.threshold",
            "queue.buffering.max.messages",
            "queued.min.messages",
            "reconnect.backoff.jitter.ms",
            "socket.keepalive.enable",
            "socket.max.fails",
            "socket.nagle.disable",
            "topic.metadata.propagation.max.ms",
            "topic.metadata.refresh.fast.cnt",
            "topic.metadata.refresh.fast.interval.ms",
            "topic.metadata.refresh.sparse",
        ],
    ),
    (
        LIBRDKAFKA,
        &[
            "builtin.features",
            "consume.callback.max.messages",
            "default_topic_conf",
            "delivery.report.only.error",
            "enable.random.seed",
            "enabled_events",
            "interceptors",
            "internal.termination.signal",
            "message.copy.max.bytes",
            "opaque",
            "plugin.library.paths",
            "produce.offset.report",
            "socket.blocking.max.ms",
        ],
    ),
    (
        CALLBACK,
        &[
            "background_event_cb",
            "closesocket_cb",
            "connect_cb",
            "consume_cb",
            "dr_cb",
            "dr_msg_cb",
            "error_cb",
            "log_cb",
            "msg_order_cmp",
            "offset_commit_cb",
            "open_cb",
            "partitioner_cb",
            "rebalance_cb",
            "resolve_cb",
            "socket_cb",
            "stats_cb",
            "throttle_cb",
        ],
    ),
    (
        TLS,
        &[
            "enable.ssl.certificate.verification",
            "https.ca.location",
            "https.ca.pem",
            "ssl.ca.certificate.stores",
            "ssl.ca.location",
            "ssl.ca.pem",
            "ssl.certificate.location",
            "ssl.certificate.pem",
            "ssl.certificate.verify_cb",
            "ssl.cipher.suites",
            "ssl.crl.location",
            "ssl.curves.list",
            "ssl.enabled.protocols",
            "ssl.endpoint.identification.algorithm",
            "ssl.engine.factory.class",
            "ssl.engine.id",
            "ssl.engine.location",
            "ssl.key.location",
            "ssl.key.password",
            "ssl.key.pem",
            "ssl.keymanager.algorithm",
            "ssl.keystore.certificate.chain",
            "ssl.keystore.key",
            "ssl.keystore.location",
            "ssl.keystore.password",
            "ssl.keystore.type",
            "ssl.protocol",
            "ssl.provider",
            "ssl.providers",
            "ssl.secure.random.implementation",
            "ssl.sigalgs.list",
            "ssl.trustmanager.algorithm",
            "ssl.truststore.certificates",
            "ssl.truststore.location",
            "ssl.truststore.password",
            "ssl.truststore.type",
            "ssl_ca",
            "ssl_certificate",
            "ssl_engine_callback_data",
            "ssl_key",
        ],
    ),
    (
        SASL,
        &[
            "enable.sasl.oauthbearer.unsecure.jwt",
            "oauthbearer_token_refresh_cb",
            "sasl.client.callback.handler.class",
            "sasl.jaas.config",
            "sasl.kerberos.keytab",
            "sasl.kerberos.kinit.cmd",
            "sasl.kerberos.min.time.before.relogin",
            "sasl.kerberos.principal",
            "sasl.kerberos.service.name",
            "sasl.kerberos.ticket.renew.jitter",
            "sasl.kerberos.ticket.renew.window.factor",
            "sasl.login.callback.handler.class",
            "sasl.login.class",
            "sasl.login.connect.timeout.ms",
            "sasl.login.read.timeout.ms",
            "sasl.login.refresh.buffer.seconds",
            "sasl.login.refresh.min.period.seconds",
            "sasl.login.refresh.window.factor",
            "sasl.login.refresh.window.jitter",
            "sasl.login.retry.backoff.max.ms",
            "sasl.login.retry.backoff.ms",
            "sasl.mechanism",
            "sasl.mechanisms",
            "sasl.oauthbearer.assertion.algorithm",
            "sasl.oauthbearer.assertion.claim.aud",
            "sasl.oauthbearer.assertion.claim.exp.seconds",
            "sasl.oauthbearer.assertion.claim.iss",
            "sasl.oauthbearer.assertion.claim.jti.include",
            "sasl.oauthbearer.assertion.claim.nbf.seconds",
            "sasl.oauthbearer.assertion.claim.sub",
            "sasl.oauthbearer.assertion.file",
            "sasl.oauthbearer.assertion.jwt.template.file",
            "sasl.oauthbearer.assertion.private.key.file",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "sasl.oauthbearer.assertion.private.key.pem",
            "sasl.oauthbearer.assertion.template.file",
            "sasl.oauthbearer.client.credentials.client.id",
            "sasl.oauthbearer.client.credentials.client.secret",
            "sasl.oauthbearer.client.id",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.clock.skew.seconds",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.expected.audience",
            "sasl.oauthbearer.expected.issuer",
            "sasl.oauthbearer.extensions",
            "sasl.oauthbearer.grant.type",
            "sasl.oauthbearer.header.urlencode",
            "sasl.oauthbearer.jwks.endpoint.refresh.ms",
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms",
            "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms",
            "sasl.oauthbearer.jwks.endpoint.url",
            "sasl.oauthbearer.jwt.retriever.class",
            "sasl.oauthbearer.jwt.validator.class",
            "sasl.oauthbearer.metadata.authentication.type",
            "sasl.oauthbearer.method",
            "sasl.oauthbearer.scope",
            "sasl.oauthbearer.scope.claim.name",
            "sasl.oauthbearer.sub.claim.name",
            "sasl.oauthbearer.token.endpoint.url",
            "sasl.password",
            "sasl.username",
        ],
    ),
];
