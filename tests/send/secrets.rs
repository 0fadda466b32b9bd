//! Secrets are in no output, log, process list or store.

use std::fmt::Write as _;

use super::{BOTH, Kept, Office, id, until};
use crate::support::fcm::private_key_pem;
use crate::support::fcm::script::{Reply, Script};
use crate::support::postgres::{Postgres, ROLES};

#[test]
fn no_token_key_or_password_is_in_any_output_log_process_list_or_store() {
    for kept in BOTH {
        let database = Postgres::shared().database("secret");
        let mut file = "user_id\n".to_owned();
        for n in 0..30 {
            let user = id(n);
            let _ = writeln!(file, "{user}");
            database.execute(&format!(
                "INSERT INTO users (id) VALUES ('{user}');
                 INSERT INTO devices (user_id, fingerprint, token) VALUES ('{user}', 'f', 'sesame-{n}')"
            ));
        }
        let slow = Reply::Slow {
            ms: 300,
            then: Box::new(Reply::Accept),
        };
        let script = Script::default()
            .always("sesame-1", Reply::Unregistered)
            .always("sesame-2", Reply::InvalidToken)
            .on("sesame-3", [Reply::Unavailable { retry_after: None }])
            .on("sesame-4", [Reply::AcceptThenReset])
            .on("sesame-5", [Reply::ExpiredToken])
            .always("*", slow);
        let mut office = Office::keeping(kept, script);
        office.set("DATABASE_URL", database.url());
        office.set("PUSHCTL_LOG", "trace");
        office.audience(&file);
        let sending = office.start(&["-vv"]);
        until(|| !office.stand_in.attempts("sesame-0").is_empty());
        let arguments = std::fs::read(format!("/proc/{}/cmdline", sending.id())).unwrap();
        let outcome = office.ended(sending);
        assert_eq!(outcome.status, 3, "{outcome}");
        let sent = office.sent(outcome);
        let mut places = vec![
            ("the arguments", arguments),
            ("standard output", sent.outcome.stdout.clone().into_bytes()),
            ("the log", sent.outcome.stderr.clone().into_bytes()),
            (
                "the outcomes",
                std::fs::read(office.outcomes(&format!("{}.outcomes.csv", sent.run()))).unwrap(),
            ),
        ];
        match kept {
            Kept::Sqlite => {
                for entry in std::fs::read_dir(office.sandbox.home()).unwrap().flatten() {
                    if entry.file_name().to_string_lossy().starts_with("state.db") {
                        places.push(("the store", std::fs::read(entry.path()).unwrap()));
                    }
                }
            }
            Kept::Postgres => {
                let state = office.state.as_ref().unwrap();
                let dump = state.query("SELECT table_to_xml(c.oid, true, false, '')::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'pushctl' AND relkind = 'r'");
                assert!(dump.concat().concat().contains("alice@"));
                places.push(("the store", dump.concat().concat().into_bytes()));
            }
        }
        let key = private_key_pem();
        let mut secrets: Vec<String> = key.lines().skip(1).take(3).map(str::to_owned).collect();
        secrets.extend([
            "sesame-".to_owned(),
            ROLES[0].1.to_owned(),
            "p%40ss".to_owned(),
        ]);
        secrets.push("tls-only-secret".to_owned());
        secrets.push(office.stand_in.lend());
        for (place, bytes) in &places {
            assert!(!bytes.is_empty(), "{place}");
            for secret in &secrets {
                let found = bytes
                    .windows(secret.len())
                    .position(|part| part == secret.as_bytes());
                let around = found.map(|at| {
                    String::from_utf8_lossy(
                        &bytes[at.saturating_sub(100)..(at + 60).min(bytes.len())],
                    )
                    .into_owned()
                });
                assert_eq!(around, None, "{secret} is in {place}");
            }
        }
        // The list of dead tokens has them, with mode 0600.
        assert_eq!(sent.count("dead"), 1);
    }
}
