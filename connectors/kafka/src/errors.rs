//! What librdkafka's error codes and texts mean to an operator: try again, or change the configuration, or look at the data.
//!
//! It decides from codes and texts only; it asks nobody.

use aqueduct_core::{Error, ErrorKind, Hurdle};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// An error as librdkafka told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The code.
    pub code: Code,
    /// librdkafka's own text: broker, cause.
    pub text: String,
}

impl Complaint {
    /// Whether waiting can help.
    pub(crate) fn kind(&self) -> ErrorKind {
        kind_of(self.code, &self.text)
    }

    /// How far the connection came.
    pub(crate) fn hurdle(&self) -> Hurdle {
        match self.code {
            Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SecurityDisabled => Hurdle::Authenticate,
            // A handshake that fails for good: somebody is there.
            Code::SSL | Code::BrokerTransportFailure | Code::AllBrokersDown if self.kind() == ErrorKind::FixConfig => {
                Hurdle::Authenticate
            }
            _ if self.kind() == ErrorKind::Retry => Hurdle::Reach,
            _ => Hurdle::Permit,
        }
    }

    /// What to do about it, where that is known.
    pub(crate) fn advice(&self) -> &'static str {
        let text = self.text.to_ascii_lowercase();
        let says = |needle: &str| text.contains(needle);
        match self.code {
            Code::Authentication if says("oauthbearer token") && says("accessdenied") => {
                "the role's trust policy does not let this identity take it: check AWS_ROLE_ARN (awsRoleArn) and the policy's conditions"
            }
            Code::Authentication
                if says("oauthbearer token") && (says("expiredtoken") || says("invalididentitytoken")) =>
            {
                "AWS does not take this machine's identity token: check its clock (NTP), the audience (AQUEDUCT_AWS_AUDIENCE) and the role's trust \
                 policy"
            }
            Code::Authentication if says("oauthbearer token") => {
                "check the AWS credentials and the region (properties.aws.region)"
            }
            Code::Authentication | Code::SaslAuthenticationFailed => {
                "check properties.sasl.mechanism, properties.sasl.username and properties.sasl.password"
            }
            Code::UnsupportedSASLMechanism => {
                "the broker does not offer this mechanism on this port: check properties.sasl.mechanism and the port"
            }
            Code::TopicAuthorizationFailed => {
                "grant READ and DESCRIBE (for a sink: WRITE too) on the topic to this user"
            }
            Code::GroupAuthorizationFailed => "grant READ on the group to this user",
            Code::TransactionalIdAuthorizationFailed => "grant WRITE and DESCRIBE on the transactional id to this user",
            Code::InvalidTransactionTimeout => {
                "lower properties.transaction.timeout.ms to the broker's transaction.max.timeout.ms or less"
            }
            Code::MessageSizeTooLarge => {
                "a row is larger than the topic's max.message.bytes or properties.message.max.bytes"
            }
            _ if says("certificate verify failed") => {
                "the broker's certificate is not signed by the given authority, or is for another host name: check properties.ssl.ca.location and the \
                 name in properties.bootstrap.servers"
            }
            _ if says("alert") && (says("certificate") || says("unknown ca") || says("handshake failure")) => {
                "the broker refuses or misses the client's certificate: check properties.ssl.certificate.location and properties.ssl.key.location"
            }
            _ if says("wrong version number") || says("packet length too long") || says("record layer failure") => {
                "the broker does not speak TLS on this port: check properties.security.protocol and the port"
            }
            Code::MessageTimedOut => "no broker acknowledged it in time",
            Code::Resolve => {
                "the name is unknown here: check properties.bootstrap.servers, the advertised listeners and the DNS"
            }
            Code::BrokerTransportFailure | Code::AllBrokersDown | Code::OperationTimedOut | Code::SSL => {
                "check the address, the port, the protocol, and that the network lets this machine through"
            }
            _ => "the broker's log may tell more",
        }
    }
}

impl std::fmt::Display for Complaint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // librdkafka appends counters that say nothing to a reader: ` (after 2ms in state CONNECT, 3 identical error(s) suppressed)`.
        f.write_str(self.text.split(" (after ").next().unwrap_or(&self.text))
    }
}

fn kind_of(code: Code, text: &str) -> ErrorKind {
    let text = text.to_ascii_lowercase();
    match code {
        // Whoever gives out tokens is not there, or hangs.
        Code::Authentication
            if text.contains("oauthbearer token")
                && ["dispatch failure", "no credentials within", "timed out"]
                    .iter()
                    .any(|sign| text.contains(sign)) =>
        {
            ErrorKind::Retry
        }
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState
        | Code::SecurityDisabled
        | Code::TopicAuthorizationFailed
        | Code::GroupAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::InvalidTransactionTimeout
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition
        | Code::UnknownPartition
        | Code::InvalidTopic
        | Code::MessageSizeTooLarge
        | Code::MessageBatchTooLarge
        | Code::PolicyViolation
        | Code::UnsupportedVersion
        | Code::UnsupportedForMessageFormat
        | Code::InvalidRequiredAcks
        | Code::InvalidConfig => ErrorKind::FixConfig,
        // A handshake that fails for a reason in the certificates fails again; one that was cut off may not.
        Code::SSL | Code::BrokerTransportFailure | Code::AllBrokersDown => {
            let lasting = [
                "certificate",
                "alert",
                "wrong version number",
                "unknown ca",
                "packet length too long",
                "record layer failure",
            ];
            if lasting.iter().any(|sign| text.contains(sign)) { ErrorKind::FixConfig } else { ErrorKind::Retry }
        }
        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation => ErrorKind::FixData,
        _ => ErrorKind::Retry,
    }
}

/// True for errors of one partition that librdkafka works off by itself (leaders move, brokers restart).
pub(crate) fn passes(code: Code) -> bool {
    matches!(
        code,
        Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::Resolve
            | Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::WaitingForCoordinator
            | Code::NodeUpdate
            | Code::DestroyBroker
            | Code::BrokerDestroy
            | Code::PollExceeded
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::RequestTimedOut
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::NetworkException
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::KafkaStorageError
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::ListenerNotFound
            | Code::ThrottlingQuotaExceeded
            | Code::FetchSessionIdNotFound
            | Code::InvalidFetchSessionEpoch
            | Code::ReassignmentInProgress
    )
}

/// True when a login failed. At the start that is the configuration; later it can also be a token that ran out in the
/// moment of its renewal.
pub(crate) fn login_failed(code: Code) -> bool {
    matches!(code, Code::Authentication | Code::SaslAuthenticationFailed)
}

/// True when no token could be had, so that no login was even tried: whoever hands out tokens may be down for a while.
pub(crate) fn token_missing(complaint: &Complaint) -> bool {
    complaint.code == Code::Authentication && complaint.text.contains("Failed to acquire SASL OAUTHBEARER token")
}

/// The right that a line of librdkafka's log says is missing.
pub(crate) fn missing_right(text: &str) -> Option<Code> {
    let rights = [
        ("TRANSACTIONAL_ID_AUTHORIZATION_FAILED", Code::TransactionalIdAuthorizationFailed),
        ("TOPIC_AUTHORIZATION_FAILED", Code::TopicAuthorizationFailed),
        ("GROUP_AUTHORIZATION_FAILED", Code::GroupAuthorizationFailed),
    ];
    rights.into_iter().find(|(name, _)| text.contains(name)).map(|(_, code)| code)
}

/// True when another producer with the same transactional id has taken over.
pub(crate) fn fenced(code: Code) -> bool {
    matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch)
}

/// The code of a client's error; errors without one count as failures of the client itself.
pub(crate) fn code_of(error: &KafkaError) -> Code {
    error.rdkafka_error_code().unwrap_or(Code::Fail)
}

/// `what` failed because of `complaint`.
pub(crate) fn describe(what: &str, complaint: &Complaint) -> Error {
    Error::new(complaint.kind(), format!("{what}: {complaint}; {}", complaint.advice())).at(complaint.hurdle())
}

/// librdkafka's text of an error, without the wrapper's repetition.
pub(crate) fn text_of(error: &KafkaError) -> String {
    match error {
        KafkaError::Transaction(native) => native.string(),
        // The value may be a secret; the description names the property.
        KafkaError::ClientConfig(_, description, key, _) => format!("{description} ({key})"),
        KafkaError::ClientCreation(text) => text.clone(),
        other => match other.rdkafka_error_code() {
            Some(code) => code.to_string(),
            None => other.to_string(),
        },
    }
}

#[cfg(test)]
#[path = "errors_tests.rs"]
mod tests;
