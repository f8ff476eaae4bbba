//! Holds `config.rs` to what it says.

use super::*;
use aqueduct_core::ErrorKind;

fn config(options: &[(&str, &str)]) -> Result<Config> {
    let options = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    Config::new(&Options::new("metrics", options))
}

#[test]
fn url_and_options_make_an_address() {
    let config =
        config(&[("url", "jdbc:postgresql://db.example:6543/analytics?sslmode=require"), ("username", "flink")])
            .unwrap();
    assert_eq!(config.address.to_string(), "flink@db.example:6543/analytics");
    assert!(matches!(config.tls.mode, PgSslMode::Require));
    assert_eq!((config.schema, config.table.as_str(), config.max_rows), (None, "metrics", 5000));
}

#[test]
fn options_win_over_the_url_and_escapes_are_read() {
    let config = config(&[
        ("url", "postgres://some%40one:p%3Aw%2F@[::1]/a%20b"),
        ("sslmode", "verify-full"),
        ("table-name", "reports.Metrics"),
    ])
    .unwrap();
    assert_eq!(config.address.to_string(), "some@one@::1:5432/a b");
    assert_eq!(config.address.password.as_ref().map(Secret::reveal), Some("p:w/"));
    assert!(matches!(config.tls.mode, PgSslMode::VerifyFull));
    assert_eq!((config.schema.as_deref(), config.table.as_str()), (Some("reports"), "Metrics"));
}

#[test]
fn a_named_root_is_checked_also_with_require() {
    let base = [("url", "postgres://u@h/d"), ("sslmode", "require")];
    assert!(matches!(config(&base).unwrap().tls.mode, PgSslMode::Require));
    let rooted = config(&[base[0], base[1], ("ssl-root-cert", "/ca.pem")]).unwrap();
    assert!(matches!(rooted.tls.mode, PgSslMode::VerifyCa));
}

#[test]
fn errors_name_the_option_and_keep_the_password() {
    for (options, part) in [
        (vec![], "needs the option 'url'"),
        (vec![("url", "postgres://h/d")], "'username'"),
        (vec![("url", "mysql://u:secret@h/d")], "postgres://"),
        (vec![("url", "postgres://u:secret@h:port/d")], "not a port"),
        (vec![("url", "postgres://u:secret@h/d?tcpKeepAlive=true")], "'tcpKeepAlive' is not known"),
        (vec![("url", "postgres://u:secret@a,b/d")], "several hosts"),
        (vec![("url", "postgres://u:secret@/d")], "no host"),
        (vec![("url", "postgres://u@h/d"), ("sslmode", "on")], "'sslmode' = 'on'"),
        (vec![("url", "postgres://u@h/d"), ("ssl-cert", "c.pem")], "'ssl-key'"),
        (vec![("url", "postgres://u@h/d"), ("table-name", "a.b.c")], "'table-name' = 'a.b.c'"),
        (vec![("url", "postgres://u@h/d"), ("sink.buffer-flush.max-rows", "0")], "max-rows"),
    ] {
        let error = config(&options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FixConfig);
        assert!(error.message().contains(part), "{error}");
        assert!(error.message().contains("'metrics'"), "{error}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
    let shown = format!("{:?}", config(&[("url", "postgres://u:secret@h/d")]).unwrap());
    assert!(!shown.contains("secret"), "{shown}");
}
