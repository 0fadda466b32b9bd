//! Encryption: each `sslmode` against servers that do and do not encrypt, and certificates of every quality.

use pushctl::error::{ErrorKind, Result};
use pushctl::source::Snapshot;

use super::{Surroundings, at, read, read_patiently};
use crate::support::postgres::{Database, Postgres, at_port};
use crate::support::proxy::{Fate, Proxy};

/// Whether the session is encrypted, as the server sees it.
async fn encrypted(snapshot: &Snapshot) -> Result<bool> {
    let answer = snapshot
        .query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .await?;
    Ok(answer.rows[0][0].as_deref() == Some("t"))
}

fn pem(name: &str) -> String {
    Postgres::shared()
        .certificates()
        .pem(name)
        .display()
        .to_string()
}

/// A server in front of the database that shows this certificate.
fn showing(database: &Database, name: &str) -> Proxy {
    let pair = Postgres::shared().certificates().pair(name);
    Proxy::start(database.port(), Fate::Tls(pair, Box::new(Fate::Pass)))
}

fn url(database: &Database, port: u16, parameters: &str) -> String {
    at_port(&database.url_with("reader", parameters), port)
}

#[tokio::test]
async fn each_sslmode_means_what_libpq_means() {
    let database = Postgres::shared().database("modes");
    let root = format!("&sslrootcert={}", pem("root"));
    // The role decides whether this server insists on TLS (`tls_only`), refuses it (`plain_only`) or takes both
    // (`reader`).
    let table = [
        ("disable", "reader", Some(false)),
        ("disable", "plain_only", Some(false)),
        ("disable", "tls_only", None),
        ("allow", "reader", Some(false)),
        ("allow", "plain_only", Some(false)),
        ("allow", "tls_only", Some(true)),
        ("prefer", "reader", Some(true)),
        ("prefer", "plain_only", Some(false)),
        ("prefer", "tls_only", Some(true)),
        ("require", "reader", Some(true)),
        ("require", "plain_only", None),
        ("require", "tls_only", Some(true)),
        ("verify-ca", "reader", Some(true)),
        ("verify-full", "reader", Some(true)),
        ("verify-full", "plain_only", None),
    ];
    for (mode, role, expected) in table {
        let roots = if mode.starts_with("verify") {
            &root
        } else {
            ""
        };
        let told = read_patiently(
            &at(database.url_with(role, &format!("sslmode={mode}{roots}"))),
            encrypted,
        )
        .await;
        match expected {
            Some(expected) => assert_eq!(told.value(), expected, "{mode} as {role}"),
            None => drop(told.check(
                ErrorKind::Credentials,
                "pg_hba.conf rejects connection",
                "sslmode",
            )),
        }
    }
}

#[tokio::test]
async fn a_server_without_tls_is_refused_from_require_upwards() {
    let database = Postgres::shared().database("notls");
    let root = format!("&sslrootcert={}", pem("root"));
    for (parameters, works) in [
        ("sslmode=prefer", true),
        ("sslmode=require", false),
        (&format!("sslmode=verify-full{root}"), false),
    ] {
        // What declines TLS says N, and goes on in the clear.
        let proxy = Proxy::start(database.port(), Fate::WithoutTls);
        let told = read(&at(url(&database, proxy.port(), parameters)), encrypted).await;
        if works {
            assert!(!told.value());
        } else {
            assert_eq!(told.attempts, 1);
            told.check(
                ErrorKind::Usage,
                "the server does not offer TLS",
                "enable TLS",
            );
        }
    }
}

#[tokio::test]
async fn a_bundle_of_many_roots_is_read_to_its_end() {
    let database = Postgres::shared().database("bundle");
    let parameters = format!("sslmode=verify-full&sslrootcert={}", pem("bundle"));
    assert!(
        read_patiently(&at(database.url_with("reader", &parameters)), encrypted)
            .await
            .value()
    );
}

#[tokio::test]
async fn an_untrusted_certificate_names_sslrootcert() {
    let database = Postgres::shared().database("untrusted");
    // With root certificates, require is as strict as verify-ca.
    for mode in ["require", "verify-ca", "verify-full"] {
        let parameters = format!("sslmode={mode}&sslrootcert={}", pem("stranger"));
        let told = read(&at(database.url_with("reader", &parameters)), encrypted).await;
        assert_eq!(told.attempts, 1, "{mode}");
        told.check(
            ErrorKind::Credentials,
            "no trusted root signed the server's certificate",
            "sslrootcert",
        );
    }
}

#[tokio::test]
async fn the_systems_roots_do_not_know_a_private_one() {
    let database = Postgres::shared().database("system");
    let told = read(
        &at(database.url_with("reader", "sslrootcert=system")),
        encrypted,
    )
    .await;
    told.check(
        ErrorKind::Credentials,
        "no trusted root signed the server's certificate",
        "sslrootcert",
    );
}

#[tokio::test]
async fn expired_and_future_certificates_are_distinguished() {
    let database = Postgres::shared().database("time");
    for (name, words, advice) in [
        ("expired", "has expired", "renew"),
        ("early", "is not valid yet", "clock"),
    ] {
        let proxy = showing(&database, name);
        let parameters = format!("sslmode=verify-ca&sslrootcert={}", pem("root"));
        let told = read(&at(url(&database, proxy.port(), &parameters)), encrypted).await;
        assert_eq!(told.attempts, 1);
        told.check(ErrorKind::Credentials, words, advice);
    }
}

#[tokio::test]
async fn a_misnamed_certificate_fails_only_where_the_name_is_checked() {
    let database = Postgres::shared().database("misnamed");
    let proxy = showing(&database, "misnamed");
    let parameters = |mode: &str| format!("sslmode={mode}&sslrootcert={}", pem("root"));
    let told = read(
        &at(url(&database, proxy.port(), &parameters("verify-full"))),
        encrypted,
    )
    .await;
    assert_eq!(told.attempts, 1);
    told.check(ErrorKind::Credentials, "is for another host", "hostaddr");
    // Behind the proxy the connection is plain, so the server says no; that it was reached is what counts.
    assert!(
        !read_patiently(
            &at(url(&database, proxy.port(), &parameters("verify-ca"))),
            encrypted
        )
        .await
        .value()
    );
}

#[tokio::test]
async fn an_address_is_no_name_in_a_certificate() {
    let database = Postgres::shared().database("address");
    let told = read(
        &at(database.url().replace("@localhost:", "@127.0.0.1:")),
        encrypted,
    )
    .await;
    told.check(ErrorKind::Credentials, "is for another host", "hostaddr");
}

#[tokio::test]
async fn a_tunnel_at_localhost_is_verified_by_the_real_name() {
    let database = Postgres::shared().database("tunnel");
    let url = database.url().replace("@localhost:", "@db.example.com:") + "&hostaddr=127.0.0.1";
    assert!(read_patiently(&at(url.clone()), encrypted).await.value());
    let elsewhere = url.replace("db.example.com", "other.example.com");
    read(&at(elsewhere), encrypted).await.check(
        ErrorKind::Credentials,
        "is for another host",
        "hostaddr",
    );
}

#[tokio::test]
async fn a_client_certificate_lets_its_owner_in() {
    let database = Postgres::shared().database("client");
    let certificates = Postgres::shared().certificates();
    let parameters = |name: &str| {
        format!(
            "sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
            pem("root"),
            pem(name),
            certificates.key(name).display()
        )
    };
    assert!(
        read_patiently(
            &at(database.url_with("cert_user", &parameters("client"))),
            encrypted
        )
        .await
        .value()
    );
    let told = read(
        &at(database.url_with("cert_user", &parameters("foreign-client"))),
        encrypted,
    )
    .await;
    let error = told.outcome.unwrap_err();
    // The server's reason may be lost with the connection: then it is tried again, but the advice is the same.
    assert!(
        matches!(
            error.kind(),
            ErrorKind::Credentials | ErrorKind::Unreachable
        ),
        "{error:#}"
    );
    assert!(
        format!("{error:#}").contains("client certificate"),
        "{error:#}"
    );
    assert!(error.hints()[0].contains("sslcert"), "{:?}", error.hints());
}

#[tokio::test]
async fn a_key_that_others_can_read_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let database = Postgres::shared().database("key");
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("client.key");
    std::fs::copy(Postgres::shared().certificates().key("client"), &key).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let parameters = format!(
        "sslmode=require&sslcert={}&sslkey={}",
        pem("client"),
        key.display()
    );
    let told = read(&at(database.url_with("cert_user", &parameters)), encrypted).await;
    told.check(ErrorKind::Usage, "can be read by others", "chmod 0600");
}

#[tokio::test]
async fn a_tls_version_that_the_server_does_not_speak_is_not_fallen_back_from() {
    let database = Postgres::shared().database("versions");
    let told = read(
        &at(database.url_with(
            "reader",
            "sslmode=require&ssl_max_protocol_version=TLSv1.1&ssl_min_protocol_version=TLSv1",
        )),
        encrypted,
    )
    .await;
    assert_eq!(told.attempts, 1);
    told.check(
        ErrorKind::Failed,
        "could not agree on a TLS connection",
        "version",
    );
    let told = read_patiently(
        &at(database.url_with("reader", "sslmode=require&ssl_min_protocol_version=TLSv1.3")),
        encrypted,
    )
    .await;
    assert!(told.value());
}

#[tokio::test]
async fn direct_tls_needs_no_asking() {
    let database = Postgres::shared().database("direct");
    let pair = Postgres::shared().certificates().pair("server");
    let proxy = Proxy::start(database.port(), Fate::DirectTls(pair, Box::new(Fate::Pass)));
    let parameters = format!(
        "sslmode=verify-full&sslrootcert={}&sslnegotiation=direct",
        pem("root")
    );
    // Plain behind the proxy, and so not encrypted in the server's eyes.
    assert!(
        !read_patiently(&at(url(&database, proxy.port(), &parameters)), encrypted)
            .await
            .value()
    );
}

#[tokio::test]
async fn direct_tls_to_a_server_that_wants_to_be_asked_is_explained() {
    let database = Postgres::shared().database("undirect");
    let parameters = format!(
        "sslmode=verify-full&sslrootcert={}&sslnegotiation=direct",
        pem("root")
    );
    let told = read(&at(database.url_with("reader", &parameters)), encrypted).await;
    let error = told.outcome.unwrap_err();
    assert!(
        error
            .hints()
            .iter()
            .any(|hint| hint.contains("sslnegotiation=direct")),
        "{error:#} {:?}",
        error.hints()
    );
}

#[tokio::test]
async fn certificate_files_that_are_missing_or_broken_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "no certificate here").unwrap();
    let table = [
        (
            directory.path().join("absent.pem"),
            "cannot read sslrootcert=",
        ),
        (empty, "holds no PEM certificate"),
        (
            Postgres::shared().certificates().key("client"),
            "holds no PEM certificate",
        ),
    ];
    for (path, words) in table {
        let url = format!(
            "postgres://reader@localhost:1/market?sslmode=verify-full&sslrootcert={}",
            path.display()
        );
        let told = read(&at(url), encrypted).await;
        assert_eq!(told.attempts, 0);
        told.check(ErrorKind::Usage, words, "");
    }
}

#[test]
fn modes_that_contradict_themselves_are_usage_errors() {
    let table = [
        ("sslmode=verify-full", "needs root certificates"),
        ("sslmode=verify-ca", "needs root certificates"),
        (
            "sslmode=require&sslrootcert=system",
            "too weak for sslrootcert=system",
        ),
        (
            "sslmode=prefer&sslnegotiation=direct",
            "too weak for sslnegotiation=direct",
        ),
        (
            "sslmode=strict",
            "sslmode (--database-url) is not one of disable, allow, prefer, require, verify-ca, verify-full",
        ),
        ("sslcert=/x.pem", "has no key"),
        ("sslcrl=/x.crl", "sslcrl (--database-url) is not supported"),
        (
            "target_session_attrs=master",
            "is not one of any, read-write",
        ),
    ];
    for (parameters, words) in table {
        let error = Surroundings::url(format!(
            "postgres://reader@db.example.com/market?{parameters}"
        ))
        .address()
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage);
        assert!(error.to_string().contains(words), "{parameters}: {error}");
    }
}
