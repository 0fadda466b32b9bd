//! The week side by side of docs/migrating.md, with the `.env` of the predecessor: its variables, its JSON, its files.

use crate::support::cli::Sandbox;
use crate::support::market::{AS_OF, random, rfc3339};
use crate::support::postgres::{Postgres, ROLES};

const OLD: &str = r#"{ "name": "Weekend", "status": "active", "isActive": true,
  "schedule": { "timezone": "America/Chicago", "frequency": "daily", "executionTime": "12:37" },
  "pushSequence": [{ "sequenceOrder": 1, "title": "Welcome", "body": "since [[var:joined_at]]", "layerId": 5 }],
  "settings": { "testUserIds": ["134ad24e-9980-6ca1-1119-7065657dbf5e"] } }"#;

#[test]
fn a_week_side_by_side_works_as_described() {
    let database = Postgres::shared().database("side_by_side");
    let market = random::market(3);
    market.load(&database);
    database.execute("INSERT INTO users (id) VALUES ('134ad24e-9980-6ca1-1119-7065657dbf5e')");
    let sandbox = Sandbox::new();
    let (role, password) = ROLES[0];
    sandbox.write(
        "here/.env",
        &format!(
            "DB_HOST=localhost\nDB_PORT={}\nDB_NAME={}\nDB_USER={role}\nDB_PASSWORD={password}\nDB_SSL_MODE=require\n",
            database.port(),
            database.name
        ),
    );
    let done = |arguments: &[&str]| {
        let outcome = sandbox.run(arguments);
        assert_eq!(outcome.status, 0, "{arguments:?}: {outcome}");
        outcome
    };

    // A file of the predecessor: without ids and names of users, in another order.
    let product = market.showcase.to_string();
    let as_of = rfc3339(AS_OF);
    done(&[
        "generate",
        "showcase",
        "--product-id",
        &product,
        "--allow-overlap",
        "--output",
        "new",
        "--name-suffix",
        "",
        "--as-of",
        &as_of,
    ]);
    let name = format!("showcase-wants_{}.csv", &product[..8]);
    let new = std::fs::read_to_string(sandbox.here().join("new").join(&name)).unwrap();
    let mut rows: Vec<String> = new
        .lines()
        .map(|line| line.splitn(3, ',').nth(2).unwrap().to_owned() + "\r\n")
        .collect();
    assert!(rows.len() > 3, "{new}");
    rows[1..].reverse();
    sandbox.write(&format!("here/old/{name}"), &rows.concat());
    let (old, new) = (format!("old/{name}"), format!("new/{name}"));
    let diff = done(&[
        "diff",
        &old,
        &new,
        "--ignore",
        "user_id,username,lastActive",
        "--json",
    ]);
    assert_eq!(diff.json()["same"], rows.len() - 1);
    rows.pop();
    sandbox.write(&format!("here/old/{name}"), &rows.concat());
    let fewer = sandbox.run(&[
        "diff",
        &old,
        &new,
        "--ignore",
        "user_id,username,lastActive",
        "--json",
    ]);
    assert_eq!(
        (fewer.status, fewer.json()["added"].as_u64()),
        (1, Some(1)),
        "{fewer}"
    );

    // An automation for an audience of its own, dry until it is enabled.
    sandbox.config("queries = \"queries.d\"\n");
    sandbox.write("here/old/weekend.json", OLD);
    done(&["new", "audience", "lately"]);
    done(&[
        "new",
        "automation",
        "weekend",
        "--from",
        "old/weekend.json",
        "--audience",
        "lately",
    ]);
    done(&["check"]);
    let dry = done(&[
        "run-pipeline",
        "weekend",
        "--mode",
        "real-dry-run",
        "--json",
    ])
    .json();
    assert!(dry["audience"]["rows"].as_u64() >= Some(1), "{dry:#}");
    assert_eq!(dry["pushes"][0]["mode"], "dry-run", "{dry:#}");
    done(&["preview", "--automation", "weekend", "--push", "1"]);
    let shown = done(&["schedule", "show"]);
    assert!(shown.stdout.contains("not enabled"), "{shown}");
}
