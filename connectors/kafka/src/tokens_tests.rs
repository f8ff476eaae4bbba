//! Holds `tokens.rs` to what it says.

use super::*;

#[test]
fn the_region_is_found_in_the_brokers_names() {
    assert_eq!(region_of("b-1.demo.abc123.c2.kafka.eu-west-1.amazonaws.com:9098").as_deref(), Some("eu-west-1"));
    assert_eq!(region_of("boot-xyz.c1.kafka-serverless.us-east-2.amazonaws.com:9098").as_deref(), Some("us-east-2"));
    assert_eq!(region_of("b-1.x.kafka.cn-north-1.amazonaws.com.cn:9098").as_deref(), Some("cn-north-1"));
    assert_eq!(region_of("localhost:9092,kafka.example.com:9092"), None);
}

#[test]
fn base64url_has_no_padding() {
    assert_eq!(base64url(b""), "");
    assert_eq!(base64url(b"f"), "Zg");
    assert_eq!(base64url(b"fo"), "Zm8");
    assert_eq!(base64url(b"foo"), "Zm9v");
    assert_eq!(base64url(&[0xfb, 0xff]), "-_8");
}

#[test]
fn unsecured_tokens_carry_principal_and_end() {
    let pairs = [
        ("properties.enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("properties.sasl.oauthbearer.config", "principal=ann lifeSeconds=60"),
    ];
    let options = Options::new("t", pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect());
    let token = TokenSource::unsecured(&options).unwrap().0.token().unwrap();
    assert_eq!(token.principal, "ann");
    assert_eq!(token.text.matches('.').count(), 2);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64;
    assert!((now..=now + 61_000).contains(&token.expires_ms));

    let error = TokenSource::unsecured(&Options::new("t", BTreeMap::new())).unwrap_err();
    assert!(error.message().contains("AWS_MSK_IAM"), "{error}");
}

#[test]
fn a_signed_token_names_its_region_when_it_cannot_be_made() {
    let provider = MskIam { region: "eu-west-1".into(), identity: Identity::Profile("no-such-profile-here".into()) };
    let why = provider.token().err().expect("there is no such profile");
    assert!(why.contains("eu-west-1"), "{why}");
}
