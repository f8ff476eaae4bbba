//! Where OAUTHBEARER tokens come from: the AWS signer for MSK IAM, or unsecured tokens for brokers under test.
//!
//! When a token is due is librdkafka's business; it asks `Context`, which asks here.

use aqueduct_core::{Error, Options, Result, with_causes};
use aws_msk_iam_sasl_signer as signer;
use aws_types::region::Region;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long the credentials chain may look (it asks metadata services that may not exist).
const TOKEN_DEADLINE: Duration = Duration::from_secs(15);

/// A token and when it ends, in milliseconds since 1970.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) expires_ms: i64,
    pub(crate) principal: String,
}

/// Makes tokens. Called on the thread that polls a client; may block for some seconds.
pub(crate) trait TokenProvider: Send + Sync + fmt::Debug {
    /// A fresh token, or why there is none (a person reads it; no credentials in it).
    fn token(&self) -> std::result::Result<Token, String>;
}

/// A shared [`TokenProvider`].
#[derive(Debug, Clone)]
pub(crate) struct TokenSource(pub(crate) Arc<dyn TokenProvider>);

impl TokenSource {
    /// Signs with AWS credentials. The region comes from `properties.aws.region`, the brokers' names or the environment.
    pub(crate) fn msk_iam(options: &Options, servers: &str, jaas: &BTreeMap<String, String>) -> Result<Self> {
        let from_environment = || {
            ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .iter()
                .find_map(|name| std::env::var(name).ok().filter(|v| !v.is_empty()))
        };
        let region = options
            .get("properties.aws.region")
            .map(str::to_owned)
            .or_else(|| region_of(servers))
            .or_else(from_environment);
        let region = region.ok_or_else(|| {
            Error::config(format!(
                "table '{}': AWS_MSK_IAM needs a region, and the brokers' names do not tell it: set 'properties.aws.region' or AWS_REGION",
                options.table()
            ))
        })?;
        let given = |key: &str| jaas.get(key).cloned();
        let identity = match (given("awsRoleArn"), given("awsProfileName")) {
            (Some(role), _) => {
                Identity::Role { role, session: given("awsRoleSessionName").unwrap_or_else(|| "aqueduct".into()) }
            }
            (None, Some(profile)) => Identity::Profile(profile),
            (None, None) => Identity::DefaultChain,
        };
        Ok(TokenSource(Arc::new(MskIam { region, identity })))
    }

    /// Tokens without a signature, which only brokers under test accept.
    pub(crate) fn unsecured(options: &Options) -> Result<Self> {
        if !options.bool("properties.enable.sasl.oauthbearer.unsecure.jwt", false)? {
            return Err(Error::config(format!(
                "table '{}': properties.sasl.mechanism = 'OAUTHBEARER' needs a source of tokens: 'AWS_MSK_IAM' signs with AWS credentials; \
                 'properties.enable.sasl.oauthbearer.unsecure.jwt' = 'true' makes unsigned ones for brokers under test",
                options.table()
            )));
        }
        let config = options.get("properties.sasl.oauthbearer.config").unwrap_or_default();
        let value = |key: &str| config.split_whitespace().find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        let principal = value("principal").unwrap_or("aqueduct").to_owned();
        let life = value("lifeSeconds").and_then(|text| text.parse().ok()).unwrap_or(3600);
        Ok(TokenSource(Arc::new(Unsecured { principal, life: Duration::from_secs(life) })))
    }
}

#[derive(Debug)]
enum Identity {
    DefaultChain,
    Profile(String),
    Role { role: String, session: String },
}

/// AWS signs a URL, the broker asks AWS whether it is good. Lives 15 minutes.
#[derive(Debug)]
struct MskIam {
    region: String,
    identity: Identity,
}

impl TokenProvider for MskIam {
    fn token(&self) -> std::result::Result<Token, String> {
        // A thread of its own: the caller may stand inside an async runtime, where another one may not block.
        let signed = std::thread::scope(|scope| {
            scope.spawn(|| self.sign()).join().map_err(|_| "the signer panicked".to_owned())
        });
        let (text, expires_ms) = signed?.map_err(|why| format!("no AWS token for region {}: {why}", self.region))?;
        Ok(Token { text, expires_ms, principal: "aqueduct".into() })
    }
}

impl MskIam {
    fn sign(&self) -> std::result::Result<(String, i64), String> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| error.to_string())?;
        let region = Region::new(self.region.clone());
        runtime.block_on(async {
            let signing = async {
                match &self.identity {
                    Identity::DefaultChain => signer::generate_auth_token(region).await,
                    Identity::Profile(profile) => {
                        signer::generate_auth_token_from_profile(region, profile.clone()).await
                    }
                    Identity::Role { role, session } => {
                        signer::generate_auth_token_from_role(region, role.clone(), session.clone()).await
                    }
                }
            };
            match tokio::time::timeout(TOKEN_DEADLINE, signing).await {
                Ok(signed) => signed.map_err(|error| with_causes(&error)),
                Err(_) => Err(format!("no credentials within {} s", TOKEN_DEADLINE.as_secs())),
            }
        })
    }
}

/// `alg: none`, as in Kafka's own unsecured validator.
#[derive(Debug)]
struct Unsecured {
    principal: String,
    life: Duration,
}

impl TokenProvider for Unsecured {
    fn token(&self) -> std::result::Result<Token, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let end = now + self.life;
        let claims = serde_json::json!({ "sub": self.principal, "iat": now.as_secs(), "exp": end.as_secs() });
        let text = format!("{}.{}.", base64url(br#"{"alg":"none"}"#), base64url(claims.to_string().as_bytes()));
        let expires_ms = i64::try_from(end.as_millis()).unwrap_or(i64::MAX);
        Ok(Token { text, expires_ms, principal: self.principal.clone() })
    }
}

/// `eu-west-1` from `b-1.name.abc.c2.kafka.eu-west-1.amazonaws.com:9098`.
fn region_of(servers: &str) -> Option<String> {
    servers.split(',').find_map(|server| {
        let labels: Vec<&str> = server.trim().split(['.', ':']).collect();
        labels
            .windows(3)
            .find(|part| part[0].starts_with("kafka") && part[2].starts_with("amazonaws"))
            .map(|part| part[1].to_owned())
    })
}

fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

#[cfg(test)]
#[path = "tokens_tests.rs"]
mod tests;
