//! Where the address comes from.

use pushctl::error::ErrorKind;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use pushctl::postgres::address::SslMode;
use pushctl::postgres::{Address, RetryLimits};
use pushctl::source::{Purpose, Source};

use super::{Surroundings, read, read_patiently, select_one};
use crate::support::postgres::{Database, Postgres, ROLES};

/// The value and the origin of one part, as `config show` has them.
fn shown(address: &Address, name: &str) -> (String, String) {
    let part = address
        .shown()
        .into_iter()
        .find(|part| part.name == name)
        .unwrap();
    (part.value, part.origin)
}

fn part(value: &str, origin: &str) -> (String, String) {
    (value.to_owned(), origin.to_owned())
}

/// Everything but the password, in libpq's variables.
fn variables(database: &Database) -> Surroundings {
    Surroundings::default()
        .variable("PGHOST", "localhost")
        .variable("PGPORT", database.port().to_string())
        .variable("PGUSER", "reader")
        .variable("PGDATABASE", &database.name)
        .variable("PGSSLMODE", "require")
}

fn private(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_first_place_that_has_a_part_wins_and_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("url");
    fs::write(&file, "postgres://filed@file.example.com/filed\n").unwrap();
    let everything = Surroundings::default()
        .variable("DATABASE_URL_FILE", file.display().to_string())
        .variable("PGUSER", "pguser")
        .variable("PGSSLMODE", "verify-full")
        .variable("PGSSLROOTCERT", "system")
        .variable("POSTGRES_HOST", "platform.example.com")
        .variable("POSTGRES_DB", "platform")
        .config("host", "config.example.com")
        .config("connect_timeout", "2.5")
        .config("application_name", "nightly");
    let address = everything.address().unwrap();
    assert_eq!(
        shown(&address, "host"),
        part(
            "file.example.com",
            &format!("DATABASE_URL_FILE ({})", file.display())
        )
    );
    assert_eq!(shown(&address, "sslmode"), part("verify-full", "PGSSLMODE"));
    assert_eq!(shown(&address, "connect_timeout"), part("2.5s", "config"));
    assert_eq!(shown(&address, "port"), part("5432", "default"));

    let with_url = everything.variable("DATABASE_URL", "postgres://db.example.com:6543/market");
    let address = with_url.address().unwrap();
    assert_eq!(
        shown(&address, "host"),
        part("db.example.com", "DATABASE_URL")
    );
    assert_eq!(shown(&address, "user"), part("pguser", "PGUSER"));
    assert_eq!(shown(&address, "port"), part("6543", "DATABASE_URL"));

    let mut with_flag = with_url;
    with_flag.url = Some(pushctl::settings::secret::Secret::new(
        "postgres://flag.example.com/flagged",
    ));
    assert_eq!(
        shown(&with_flag.address().unwrap(), "dbname"),
        part("flagged", "--database-url")
    );
}

#[test]
fn the_platforms_variables_count_where_there_is_no_url() {
    let platform = Surroundings::default()
        .variable("POSTGRES_HOST", "platform.example.com")
        .variable("POSTGRES_PORT", "6000")
        .variable("POSTGRES_USER", "ann")
        .variable("POSTGRES_PASSWORD", "hunter2")
        .variable("POSTGRES_DB", "market");
    let address = platform.address().unwrap();
    assert_eq!(
        address.to_string(),
        "postgres://ann:****@platform.example.com:6000/market?sslmode=require"
    );
    assert_eq!(
        shown(&address, "password"),
        part("****", "POSTGRES_PASSWORD")
    );
    assert!(!format!("{address:?} {:?}", address.shown()).contains("hunter2"));

    let with_url = platform.variable("DATABASE_URL", "postgres://bob@db.example.com/other");
    assert_eq!(
        with_url.address().unwrap().to_string(),
        "postgres://bob@db.example.com:5432/other?sslmode=require"
    );
}

#[tokio::test]
async fn the_variables_of_other_programs_count_after_those_of_the_platform() {
    let database = Postgres::shared().database("db_variables");
    let other = Surroundings::default()
        .variable("DB_HOST", "localhost")
        .variable("DB_PORT", database.port().to_string())
        .variable("DB_NAME", &database.name)
        .variable("DB_USER", "reader")
        .variable("DB_PASSWORD", ROLES[0].1)
        .variable("DB_SSL_MODE", "require");
    assert_eq!(
        read_patiently(&other.source(), select_one).await.value(),
        "1"
    );
    let address = other.address().unwrap();
    assert_eq!(shown(&address, "sslmode"), part("require", "DB_SSL_MODE"));
    assert_eq!(shown(&address, "password"), part("****", "DB_PASSWORD"));

    let address = other
        .variable("POSTGRES_HOST", "platform.example.com")
        .variable("PGUSER", "ann")
        .address()
        .unwrap();
    assert_eq!(
        shown(&address, "host"),
        part("platform.example.com", "POSTGRES_HOST")
    );
    assert_eq!(shown(&address, "user"), part("ann", "PGUSER"));
    assert_eq!(shown(&address, "dbname"), part(&database.name, "DB_NAME"));

    let with_url = Surroundings::url("postgres://bob@db.example.com/other")
        .variable("DB_HOST", "localhost")
        .variable("DB_SSL_MODE", "disable");
    assert_eq!(
        with_url.address().unwrap().to_string(),
        "postgres://bob@db.example.com:5432/other?sslmode=require"
    );
    let wrong = Surroundings::default()
        .variable("DB_HOST", "db.example.com")
        .variable("DB_SSL_MODE", "on");
    let error = wrong.address().unwrap_err().to_string();
    assert!(error.contains("DB_SSL_MODE"), "{error}");
}

#[test]
fn encryption_is_required_of_every_host_but_this_machine() {
    let table = [
        ("postgres://a@db.example.com/m", SslMode::Require),
        ("postgres://a@192.0.2.7/m", SslMode::Require),
        ("postgres://a@localhost/m", SslMode::Prefer),
        ("postgres://a@127.0.0.1/m", SslMode::Prefer),
        ("postgres://a@[::1]/m", SslMode::Prefer),
        ("postgres:///m?host=/run/postgresql", SslMode::Prefer),
        ("postgres://a@localhost,db.example.com/m", SslMode::Require),
        (
            "postgres://a@db.example.com/m?hostaddr=127.0.0.1",
            SslMode::Require,
        ),
        ("postgres://a@db.example.com/m?ssl=true", SslMode::Require),
        (
            "postgres://a@db.example.com/m?sslmode=no-verify",
            SslMode::Require,
        ),
        (
            "postgres://a@db.example.com/m?sslmode=disable",
            SslMode::Disable,
        ),
        (
            "postgres://a@db.example.com/m?sslrootcert=system",
            SslMode::VerifyFull,
        ),
        (
            "host=db.example.com user=a sslnegotiation=direct",
            SslMode::Require,
        ),
    ];
    for (url, mode) in table {
        let address = Surroundings::url(url).address().unwrap();
        assert_eq!(address.tls.mode, mode, "{url}");
        let remote_and_unverified = !url.contains("localhost/")
            && !url.contains("127.0.0.1/")
            && !url.contains("::1")
            && !url.contains("/run/")
            && mode < SslMode::VerifyFull;
        assert_eq!(address.advice().is_some(), remote_and_unverified, "{url}");
    }
}

#[test]
fn several_hosts_share_a_port_or_have_their_own() {
    let ports = |url: &str| -> Vec<u16> {
        Surroundings::url(url)
            .address()
            .unwrap()
            .hosts
            .iter()
            .map(|host| host.port)
            .collect()
    };
    assert_eq!(ports("postgres://a@h1:1,h2,h3:3/m"), [1, 5432, 3]);
    assert_eq!(ports("host=h1,h2 port=7"), [7, 7]);
    for (text, words) in [
        ("host=h1,h2 port=1,2,3", "port must name one port"),
        ("host=h1,h2 hostaddr=192.0.2.1", "as many addresses"),
        ("host=h port=0", "a number from 1"),
    ] {
        let error = Surroundings::url(text).address().unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_password_file_is_used_only_if_others_cannot_read_it() {
    let database = Postgres::shared().database("pgpass");
    let home = tempfile::tempdir().unwrap();
    let line = format!("localhost:{}:*:reader:{}\n", database.port(), ROLES[0].1);
    let file = home.path().join(".pgpass");
    private(&file, &format!("elsewhere:*:*:*:wrong\n{line}"));
    let surroundings = variables(&database).home(home.path());
    assert_eq!(
        shown(&surroundings.address().unwrap(), "password"),
        part("****", &file.display().to_string())
    );
    assert_eq!(
        read_patiently(&surroundings.source(), select_one)
            .await
            .value(),
        "1"
    );

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let notes = surroundings.address().unwrap().notes().to_vec();
    assert!(
        notes[0].contains("can be read by others") && notes[0].contains("chmod 0600"),
        "{notes:?}"
    );
    let told = read(&surroundings.source(), select_one).await;
    told.check(
        ErrorKind::Credentials,
        "asks for a password, and none is configured",
        ".pgpass",
    );
}

#[tokio::test]
async fn a_password_file_elsewhere_can_be_named() {
    let database = Postgres::shared().database("passfile");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("passwords");
    private(&file, &format!("*:*:*:reader:{}", ROLES[0].1));
    let surroundings = variables(&database).variable("PGPASSFILE", file.display().to_string());
    assert_eq!(
        read_patiently(&surroundings.source(), select_one)
            .await
            .value(),
        "1"
    );
}

#[tokio::test]
async fn a_service_is_looked_up_in_the_users_file() {
    let database = Postgres::shared().database("service");
    let home = tempfile::tempdir().unwrap();
    let services = format!(
        "[market]\nhost=localhost\nport={}\ndbname={}\nuser=reader\npassword={}\nsslmode=require\n",
        database.port(),
        database.name,
        ROLES[0].1
    );
    let file = home.path().join(".pg_service.conf");
    fs::write(&file, services).unwrap();
    let surroundings =
        Surroundings::variables([("PGSERVICE", "market".to_owned())]).home(home.path());
    assert_eq!(
        shown(&surroundings.address().unwrap(), "host"),
        part(
            "localhost",
            &format!("service market in {}", file.display())
        )
    );
    assert_eq!(
        read_patiently(&surroundings.source(), select_one)
            .await
            .value(),
        "1"
    );

    let error = Surroundings::url("postgres:///?service=absent")
        .home(home.path())
        .address()
        .unwrap_err();
    assert!(
        error.to_string().contains("no service named \"absent\" in"),
        "{error}"
    );
    assert_eq!(error.kind(), ErrorKind::Usage);
}

#[tokio::test]
async fn a_password_command_is_asked_at_each_attempt() {
    let database = Postgres::shared().database("command");
    let directory = tempfile::tempdir().unwrap();
    let calls = directory.path().join("calls");
    let password = directory.path().join("password");
    fs::write(&password, ROLES[0].1).unwrap();
    let command = format!(
        "echo called >> {}; cat {}",
        calls.display(),
        password.display()
    );
    let surroundings = variables(&database)
        .config("password_command", &command)
        .variable("PGPASSWORD", "wrong-password");
    assert_eq!(
        shown(&surroundings.address().unwrap(), "password_command"),
        part("echo …", "config")
    );
    let mut turns = 0;
    let told = read_patiently(
        &surroundings.source(),
        async |snapshot: &pushctl::source::Snapshot| {
            turns += 1;
            if turns == 1 {
                return Err(pushctl::error::Error::new(
                    ErrorKind::Unreachable,
                    "not yet",
                ));
            }
            select_one(snapshot).await
        },
    )
    .await;
    assert_eq!(told.value(), "1");
    assert_eq!(fs::read_to_string(calls).unwrap(), "called\ncalled\n");
}

#[tokio::test]
async fn a_password_command_that_fails_is_final() {
    let database = Postgres::shared().database("command_fails");
    let table = [
        (
            "echo the session has expired >&2; exit 3",
            "exit status: 3: the session has expired",
        ),
        ("true", "it printed nothing"),
        ("no-such-program-here", "exit status: 127"),
    ];
    for (command, words) in table {
        let told = read(
            &variables(&database)
                .config("password_command", command)
                .source(),
            select_one,
        )
        .await;
        assert_eq!(told.attempts, 1);
        told.check(ErrorKind::Credentials, words, "by hand");
    }
    let told = read(
        &variables(&database)
            .config("password_command", "sleep 60")
            .source(),
        select_one,
    )
    .await;
    told.check(
        ErrorKind::Unreachable,
        "while password_command was running",
        "slow",
    );
}

#[tokio::test]
async fn a_unix_socket_needs_no_encryption() {
    let database = Postgres::shared().database("socket");
    let url = format!(
        "postgres://reader@/{}?host={}&port={}",
        database.name,
        database.socket().display(),
        database.port()
    );
    assert_eq!(
        read_patiently(&Surroundings::url(&url).source(), select_one)
            .await
            .value(),
        "1"
    );
    let told = read(
        &Surroundings::url(url.replace("/socket", "/nowhere")).source(),
        select_one,
    )
    .await;
    told.check(
        ErrorKind::Unreachable,
        "there is no such socket",
        "running on this machine",
    );
}

#[test]
fn a_time_in_the_address_is_a_wish_and_one_for_the_command_an_order() {
    let address = Surroundings::url("postgres://a@db.example.com/m?connect_timeout=120")
        .address()
        .unwrap();
    let purpose = Purpose {
        command: "generate".to_owned(),
        run: "run-7".to_owned(),
    };
    let source = |patience| Source::new(address.clone(), patience, purpose.clone());
    assert!(
        source(RetryLimits::default())
            .check_plan(Duration::from_secs(60))
            .is_ok()
    );

    let ordered = RetryLimits {
        connect_timeout: Some(Duration::from_secs(120)),
        ..RetryLimits::default()
    };
    let error = source(ordered)
        .check_plan(Duration::from_secs(60))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert!(
        error
            .to_string()
            .contains("one attempt of 120 s = 120 s, but the deadline is"),
        "{error}"
    );
}
