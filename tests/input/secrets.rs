//! Addresses and secrets in the wrong place: refused with the place, and never shown. Files that other users can write
//! do not say where data goes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::SECRET;
use crate::support::cli::Sandbox;

#[test]
fn an_address_of_another_form_never_becomes_a_file_and_never_shows_its_password() {
    let sandbox = Sandbox::new();
    for address in [
        format!("Host=db;Password={SECRET}"),
        format!("hots=db password={SECRET}"),
        format!("postgres:/ann:{SECRET}@db/m"),
        format!("mysql://ann:{SECRET}@db/m"),
        format!("jdbc:postgresql://db/m?user=ann&password={SECRET}"),
        format!("postgresql+asyncpg://ann:{SECRET}@db/m"),
        format!("https://ann:{SECRET}@db/m"),
        format!("sqlite:///{SECRET}.db"),
        format!("DATABASE_URL=postgres://ann:{SECRET}@db/m"),
        format!("export DATABASE_URL=postgres://ann:{SECRET}@db/m"),
        format!("\"postgres://ann:{SECRET}@db/m\""),
        format!(" postgres://ann:{SECRET}@db/m"),
        format!("postgres://ann:{SECRET}/m"),
        format!("postgres://ann:a?{SECRET}=@db/m"),
        format!("ann:{SECRET}@db:5432/m"),
    ] {
        type Call<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);
        let places: [Call<'_>; 6] = [
            (&["generate", "layer2", "--database-url", &address], &[]),
            (&["generate", "layer2"], &[("DATABASE_URL", &address)]),
            (&["runs", "--state", &address], &[]),
            (&["runs"], &[("PUSHCTL_STATE_URL", &address)]),
            (
                &["sync", "--state", "./state.db"],
                &[("PUSH_CADENCE_DATABASE_URL", &address)],
            ),
            (&["generate", "layer2"], &[("DATABASE_URL_FILE", &address)]),
        ];
        for (arguments, variables) in places {
            let outcome = sandbox.run_with(arguments, variables);
            assert_eq!(outcome.status, 2, "{arguments:?} {variables:?}: {outcome}");
            assert!(
                !outcome.to_string().contains(SECRET),
                "{address}: {outcome}"
            );
            assert!(outcome.stderr.contains("hint: "), "{outcome}");
            let flag = || arguments[arguments.len() - 2];
            let origin = variables.first().map_or_else(flag, |one| one.0);
            assert!(outcome.stderr.contains(origin), "{origin}: {outcome}");
        }
        let shown = sandbox.run_with(
            &["config", "show", "--json"],
            &[
                ("DATABASE_URL", &address),
                ("PUSHCTL_STATE_URL", &address),
                ("PGHOST", "h"),
            ],
        );
        assert!(!shown.to_string().contains(SECRET), "{address}: {shown}");
        let mut left = fs::read_dir(sandbox.here()).unwrap();
        assert!(left.all(|one| {
            one.unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("state.db")
        }));
    }
}

#[test]
fn a_protection_asked_for_by_a_variable_is_honoured_or_refused() {
    let sandbox = Sandbox::new();
    for (variable, value) in [
        ("PGGSSENCMODE", "require"),
        ("PGREQUIREAUTH", "scram-sha-256"),
        ("PGREQUIREPEER", "postgres"),
        ("PGSSLCRL", "/x.crl"),
        ("PGSSLCRLDIR", "/x"),
        ("PGSSLCERTMODE", "require"),
        ("PGSSLMINPROTOCOLVERSION", "TLSv9"),
        ("PGCHANNELBINDING", "always"),
    ] {
        let outcome = sandbox.run_with(
            &["generate", "layer2"],
            &[
                ("DATABASE_URL", "postgres://a@127.0.0.1:1/m"),
                (variable, value),
            ],
        );
        assert_eq!(outcome.status, 2, "{variable}: {outcome}");
        assert!(outcome.stderr.contains(variable), "{variable}: {outcome}");
    }
}

#[test]
fn a_secret_in_place_of_a_path_is_never_shown() {
    let sandbox = Sandbox::new();
    fs::write(
        sandbox.here().join("a.csv"),
        "user_id,name,token\n1,Ann,t\n",
    )
    .unwrap();
    let key = format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----\n");
    let json = format!("{{\"type\":\"service_account\",\"private_key\":\"{SECRET}\"}}");
    let encoded = "eyJ0eXBlIjoic2VydmljZV9hY2NvdW50IiwicHJpdmF0ZV9rZXkiOiJzM2NyM3RTM2NyM3QifQ==";
    for value in [
        SECRET,
        &key,
        &json,
        encoded,
        &format!("postgres://a:{SECRET}@h/m"),
        &format!("/{SECRET}"),
    ] {
        for variable in [
            "GOOGLE_APPLICATION_CREDENTIALS",
            "FIREBASE_PRIVATE_KEY_FILE",
            "DATABASE_URL_FILE",
            "PUSHCTL_STATE_URL_FILE",
            "PUSH_CADENCE_DATABASE_URL_FILE",
            "PGPASSFILE",
            "PGSERVICE",
        ] {
            let url = ("DATABASE_URL", "postgres://a@127.0.0.1:1/m");
            let variables = [(variable, value), url, ("PUSHCTL_DEADLINE", "1s")];
            let variables = if variable == "DATABASE_URL_FILE" {
                &variables[..1]
            } else {
                &variables
            };
            for arguments in [
                &[
                    "send",
                    "--audience",
                    "a.csv",
                    "--layer",
                    "3",
                    "--title",
                    "T",
                    "--body",
                    "B",
                    "--yes",
                ][..],
                &["-vv", "config", "show"],
                &["config", "show", "--json"],
                &["-vv", "generate", "layer2", "--json"],
            ] {
                let outcome = sandbox.run_with(arguments, variables);
                let said = outcome.to_string();
                // The name of a service is shown.
                let is_plain_name = variable == "PGSERVICE" && value.ends_with(SECRET);
                for part in [SECRET, encoded] {
                    assert!(
                        is_plain_name || !said.contains(part),
                        "{variable} {arguments:?}: {said}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_secret_in_place_of_a_setting_that_is_shown_is_described() {
    let sandbox = Sandbox::new();
    let base64 = SECRET.repeat(20);
    for value in [
        &format!("postgres://a:{SECRET}@h/m"),
        &format!("-----BEGIN PRIVATE KEY-----\n{SECRET}"),
        &format!("{{\"private_key\": \"{SECRET}\"}}"),
        &base64,
    ] {
        for variable in [
            "PUSHCTL_PUSH_CA",
            "PUSHCTL_OUTPUT",
            "PUSHCTL_QUERIES",
            "PUSHCTL_AUTOMATIONS",
            "PUSHCTL_OUTCOMES",
            "PUSHCTL_CONFIG",
            "PUSHCTL_TEST_USERS",
            "PUSHCTL_STATE_URL",
            "PGSERVICE",
            "PGSSLROOTCERT",
            "PGSSLCERT",
            "PGSSLKEY",
        ] {
            for arguments in [
                &["config", "show"][..],
                &["generate", "layer2"],
                &["check"],
                &["runs"],
                &["doctor", "--only", "files,state,source"],
            ] {
                let url = ("DATABASE_URL", "postgres://a@127.0.0.1:1/m?sslmode=require");
                let variables = [url, (variable, value.as_str()), ("PUSHCTL_DEADLINE", "1s")];
                let outcome = sandbox.run_with(arguments, &variables);
                let said = outcome.to_string();
                assert!(!said.contains(SECRET), "{variable} {arguments:?}: {said}");
            }
        }
    }
    let left: Vec<_> = fs::read_dir(sandbox.here())
        .unwrap()
        .map(|one| one.unwrap().file_name())
        .collect();
    assert!(left.iter().all(|name| name == "generated"), "{left:?}");
}

#[test]
fn a_working_directory_that_others_can_write_says_nothing_about_addresses() {
    let sandbox = Sandbox::new();
    let others = |path: &str, mode: u32| {
        fs::set_permissions(sandbox.here().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    for (file, text) in [
        ("pushctl.toml", "push.url = \"https://example.com\"\n"),
        ("pushctl.toml", "push.token_url = \"https://example.com\"\n"),
        ("pushctl.toml", "push.ca = \"ca.pem\"\n"),
        ("pushctl.toml", "push.metadata_host = \"example.com\"\n"),
        ("pushctl.toml", "database_url = \"postgres://h/m\"\n"),
        ("pushctl.toml", "[source]\npassword_command = \"id\"\n"),
        (".env", "DATABASE_URL=postgres://h/m\n"),
        (".env", "PGHOST=h\n"),
        (".env", "DB_HOST=h\n"),
        (".env", "PUSHCTL_PUSH_URL=https://example.com\n"),
        (".env", "PUSHCTL_CONFIG=x.toml\n"),
        (".env", "GCE_METADATA_HOST=example.com\n"),
    ] {
        sandbox.write(&format!("here/{file}"), text);
        others(".", 0o755);
        others(file, 0o644);
        if !text.contains("PUSHCTL_CONFIG") {
            let trusted = sandbox.run(&["config", "show"]);
            assert_eq!(trusted.status, 0, "{text}: {trusted}");
        }
        for (directory, mode) in [(0o777, 0o644), (0o1777, 0o644), (0o755, 0o666)] {
            others(".", directory);
            others(file, mode);
            let refused = sandbox.run(&["config", "show"]);
            assert_eq!(refused.status, 2, "{text}: {refused}");
            assert!(
                refused.stderr.contains(file) && refused.stderr.contains("other users"),
                "{refused}"
            );
            if file == "pushctl.toml" {
                assert!(
                    refused.stderr.contains("--config pushctl.toml"),
                    "{refused}"
                );
                let named = sandbox.run(&["config", "show", "--config", file]);
                assert_eq!(named.status, 0, "{named}");
            }
        }
        fs::remove_file(sandbox.here().join(file)).unwrap();
    }
    // What does not say where data goes is taken.
    sandbox.config("deadline = \"1m\"\n");
    assert_eq!(sandbox.run(&["config", "show"]).status, 0);
}
