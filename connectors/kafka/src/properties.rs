//! `properties.*` in Kafka's words, checked and put into librdkafka's: TLS, SASL, and the names that differ.
//!
//! It sets nothing that the source or the sink decides; those two add their own on top.

use crate::files;
use crate::login::{Login, Pair};
use crate::tokens::TokenSource;
use aqueduct_core::{Error, Options, Result};
use rdkafka::ClientConfig;
use std::collections::BTreeMap;

/// What every client of a table has in common.
#[derive(Debug, Clone)]
pub(crate) struct Properties {
    /// librdkafka's names and values.
    pub(crate) values: BTreeMap<String, String>,
    /// Where tokens come from, when the mechanism asks for them.
    pub(crate) tokens: Option<TokenSource>,
    /// User and password, when the mechanism asks for them. Over those in `values`: they may have changed since.
    pub(crate) login: Option<Login>,
    table: String,
}

/// Which side asks: some properties are refused on one of them only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Source,
    Sink,
}

/// Properties that would break what the engine promises, and why.
const REFUSED: &[(&str, &str)] = &[
    ("enable.auto.commit", "offsets advance only inside a checkpoint"),
    ("auto.commit.enable", "offsets advance only inside a checkpoint"),
    ("enable.auto.offset.store", "offsets advance only inside a checkpoint"),
    (
        "auto.offset.reset",
        "a lost offset is an error, never a silent jump; where a new job starts is 'scan.startup.mode', whose 'group-offsets' falls back \
         to the earliest offset",
    ),
    ("transactional.id", "it is the sink's fence; choose 'sink.transactional-id-prefix'"),
    ("enable.idempotence", "'sink.delivery-guarantee' decides it"),
    ("enable.partition.eof", "the engine finds the end of a partition by it"),
    ("group.protocol", "partitions are assigned by the checkpoint, not by a group"),
    ("group.instance.id", "partitions are assigned by the checkpoint, not by a group"),
    ("partition.assignment.strategy", "partitions are assigned by the checkpoint, not by a group"),
    ("partition.discovery.interval.ms", "write 'scan.topic-partition-discovery.interval' instead"),
    ("plugin.library.paths", "a job does not load code"),
    ("key.serializer", "the format decides it"),
    ("value.serializer", "the format decides it"),
    ("key.deserializer", "the format decides it"),
    ("value.deserializer", "the format decides it"),
];

/// Java's name and librdkafka's.
const RENAMED: &[(&str, &str)] = &[("fetch.max.wait.ms", "fetch.wait.max.ms"), ("sasl.mechanism", "sasl.mechanisms")];

/// Handled below, never passed on.
const OWN: &[&str] = &[
    "bootstrap.servers",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "sasl.jaas.config",
    "sasl.client.callback.handler.class",
    "aws.region",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "sasl.oauthbearer.config",
    "ssl.endpoint.identification.algorithm",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.truststore.password",
    "ssl.keystore.location",
    "ssl.keystore.type",
];

const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM"];
const PROTOCOLS: &[&str] = &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

impl Properties {
    /// Reads the options below `properties.`.
    pub(crate) fn parse(options: &Options, side: Side) -> Result<Self> {
        let mut values = BTreeMap::new();
        for (key, value) in options.below("properties.").filter(|(_, value)| !value.is_empty()) {
            refuse(options, side, key, value)?;
            if !OWN.contains(&key) {
                let name = RENAMED.iter().find(|(java, _)| *java == key).map_or(key, |(_, native)| native);
                values.insert(name.to_owned(), value.to_owned());
            }
        }
        values.insert("bootstrap.servers".into(), options.require("properties.bootstrap.servers")?.to_owned());
        let mut properties = Properties { values, tokens: None, login: None, table: options.table().to_owned() };
        properties.security(options)?;
        properties.check_names()?;
        Ok(properties)
    }

    /// The comma-separated list of servers.
    pub(crate) fn servers(&self) -> &str {
        &self.values["bootstrap.servers"]
    }

    /// A property as given by the user.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A client's configuration: `defaults` under the user's properties, `fixed` over them.
    pub(crate) fn config(&self, defaults: &[(&str, String)], fixed: &[(&str, String)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        // The texts reach `Context`, which decides what is worth a line; without this they depend on a global logger.
        config.set_log_level(rdkafka::config::RDKafkaLogLevel::Warning);
        for (key, value) in defaults {
            config.set(*key, value);
        }
        for (key, value) in &self.values {
            config.set(key, value);
        }
        if let Some(login) = &self.login {
            let Pair { username, password } = login.current();
            config.set("sasl.username", username).set("sasl.password", password);
        }
        for (key, value) in fixed {
            config.set(*key, value);
        }
        config
    }

    fn security(&mut self, options: &Options) -> Result<()> {
        let mechanism = match options.get("properties.sasl.mechanism").or(options.get("properties.sasl.mechanisms")) {
            None => None,
            Some(_) if options.get("properties.sasl.mechanism").is_some() => {
                Some(options.one_of("properties.sasl.mechanism", "PLAIN", MECHANISMS)?)
            }
            Some(_) => Some(options.one_of("properties.sasl.mechanisms", "PLAIN", MECHANISMS)?),
        };
        let iam = mechanism == Some("AWS_MSK_IAM");
        let protocol =
            options.one_of("properties.security.protocol", if iam { "SASL_SSL" } else { "PLAINTEXT" }, PROTOCOLS)?;
        if iam && protocol != "SASL_SSL" {
            return Err(options.invalid(
                "properties.security.protocol",
                protocol,
                "SASL_SSL with properties.sasl.mechanism = 'AWS_MSK_IAM'",
            ));
        }
        self.values.insert("security.protocol".into(), protocol.to_ascii_lowercase());
        if protocol.starts_with("SASL") {
            self.sasl(options, mechanism)?;
        } else if let Some(mechanism) = mechanism {
            return Err(self.error(format!(
                "properties.sasl.mechanism = '{mechanism}' needs properties.security.protocol = 'SASL_SSL' (or 'SASL_PLAINTEXT'), found '{protocol}'"
            )));
        }
        if protocol.ends_with("SSL") {
            files::tls(options, &mut self.values)?;
        }
        Ok(())
    }

    fn sasl(&mut self, options: &Options, mechanism: Option<&'static str>) -> Result<()> {
        let Some(mechanism) = mechanism else {
            return Err(self.error(format!(
                "properties.security.protocol = SASL_* needs properties.sasl.mechanism, one of {}",
                MECHANISMS.join(", ")
            )));
        };
        let jaas = options.get("properties.sasl.jaas.config").map(jaas).unwrap_or_default();
        if options.get("properties.sasl.client.callback.handler.class").is_some() && mechanism != "AWS_MSK_IAM" {
            return Err(self.error(
                "properties.sasl.client.callback.handler.class names Java code, which does not run here: remove it"
                    .into(),
            ));
        }
        let native = match mechanism {
            "AWS_MSK_IAM" => {
                self.tokens = Some(TokenSource::msk_iam(options, self.servers(), &jaas)?);
                "OAUTHBEARER"
            }
            "OAUTHBEARER" => {
                self.tokens = Some(TokenSource::unsecured(options)?);
                "OAUTHBEARER"
            }
            scram_or_plain => {
                let pair = Pair::of(options).map_err(|key| {
                    self.error(format!(
                        "properties.sasl.mechanism = '{scram_or_plain}' needs 'properties.sasl.{key}' (or {key}=\"...\" in properties.sasl.jaas.config)"
                    ))
                })?;
                self.values.insert("sasl.username".into(), pair.username.clone());
                self.values.insert("sasl.password".into(), pair.password.clone());
                self.login = Some(Login::new(pair, options));
                scram_or_plain
            }
        };
        self.values.insert("sasl.mechanisms".into(), native.to_owned());
        Ok(())
    }

    /// Asks librdkafka whether it knows every name and takes every value.
    fn check_names(&self) -> Result<()> {
        for (key, value) in &self.values {
            // File contents are looked at by `files`, with better words.
            let mut probe = ClientConfig::new();
            probe.set(key, value);
            if let Err(error) = probe.create_native_config() {
                let secret = key.contains("password") || key.contains("secret") || key.contains(".pem");
                let why = if secret { "its value is not usable".to_owned() } else { crate::errors::text_of(&error) };
                return Err(self.error(format!(
                    "option 'properties.{key}' is not usable: {why}; names and values are those of librdkafka, which match Java's client in most cases"
                )));
            }
        }
        Ok(())
    }

    fn error(&self, message: String) -> Error {
        Error::config(format!("table '{}': {message}", self.table))
    }
}

fn refuse(options: &Options, side: Side, key: &str, value: &str) -> Result<()> {
    let error = |why: &str| {
        Err(Error::config(format!("table '{}': option 'properties.{key}' is refused: {why}", options.table())))
    };
    if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == key) {
        return error(why);
    }
    match (side, key) {
        (Side::Sink, "isolation.level") => {
            error("the sink reads nothing but its own cursor, and that with stable reads")
        }
        (Side::Sink, "group.id") => error("the sink keeps its cursor in a group of its own"),
        (Side::Sink, "acks" | "request.required.acks") if value != "all" && value != "-1" => {
            error("only 'all' keeps what was acknowledged")
        }
        _ => Ok(()),
    }
}

/// `key="value"` pairs of a JAAS line: `org.apache...ScramLoginModule required username="u" password="p";`.
pub(crate) fn jaas(text: &str) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    let mut rest = text;
    while let Some(equals) = rest.find('=') {
        let key = rest[..equals].rsplit(|c: char| c.is_whitespace()).next().unwrap_or_default();
        rest = rest[equals + 1..].trim_start();
        let (value, after) = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => quoted(&rest[1..], quote),
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || c == ';').unwrap_or(rest.len());
                (rest[..end].to_owned(), &rest[end..])
            }
        };
        pairs.insert(key.to_owned(), value);
        rest = after;
    }
    pairs
}

fn quoted(text: &str, quote: char) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            c if c == quote => return (value, &text[at + 1..]),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
#[path = "properties_tests.rs"]
mod tests;
