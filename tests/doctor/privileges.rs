//! The GRANTs of the documentation are enough, and none of them is too many.

use super::{Examined, Installation};
use crate::support::fcm::StandIn;
use crate::support::fcm::script::Script;
use crate::support::postgres::{Database, Postgres};

/// The SQL of the documentation, by the role that it makes.
fn documented() -> Vec<(&'static str, String)> {
    let text = std::fs::read_to_string("docs/connecting.md").unwrap();
    let blocks: Vec<&str> = text
        .split("```sql\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    [
        "pushctl_source",
        "pushctl_state",
        "pushctl_runner",
        "pushctl_history",
    ]
    .into_iter()
    .map(|role| {
        let made = format!("CREATE ROLE {role} ");
        let block = blocks.iter().find(|block| block.contains(&made));
        (
            role,
            (*block.unwrap_or_else(|| panic!("no {role}"))).to_owned(),
        )
    })
    .collect()
}

struct Granted {
    cluster: Postgres,
    source: Database,
    state: Database,
}

impl Granted {
    fn new(name: &str) -> Self {
        let cluster = Postgres::start(name);
        let source = cluster.database("market");
        let state = cluster.database("state");
        source.execute(&format!(
            "SET market.users = '0'; {}",
            include_str!("../market/history.sql")
        ));
        Self {
            cluster,
            source,
            state,
        }
    }

    fn grant(&self, role: &str) -> String {
        let blocks = documented();
        let (_, sql) = blocks.iter().find(|(made, _)| *made == role).unwrap();
        let database = if role == "pushctl_state" || role == "pushctl_runner" {
            &self.state
        } else {
            &self.source
        };
        let sql = sql.replace("DATABASE market", &format!("DATABASE {}", database.name));
        database.execute(&sql);
        let place = format!("localhost:{}/{}", database.port(), database.name);
        format!("postgres://{role}:choose-one@{place}?sslmode=require")
    }
}

fn missing(examined: &Examined, section: &str, name: &str, table: &str, grant: &str) {
    examined.fails(section, name, table, grant, 4);
}

#[test]
fn the_documented_privileges_on_the_source_are_enough_and_least() {
    let granted = Granted::new("source-grants");
    let installation = Installation::of(&granted.grant("pushctl_source"));
    installation.examine(&["--only", "source"]).all_well();
    for audience in ["layer2", "layer3", "waterfall", "nudges"] {
        let outcome = installation.run(&["generate", audience, "--output", "out"]);
        assert_eq!(outcome.status, 0, "{audience}: {outcome}");
    }
    let sql = "SELECT c.relname FROM pg_class c, aclexplode(c.relacl) AS acl
                WHERE acl.grantee = 'pushctl_source'::regrole ORDER BY 1";
    let tables = granted.source.query(sql);
    assert!(tables.len() > 8, "{tables:?}");
    for table in tables {
        let table = &table[0];
        granted
            .source
            .execute(&format!("REVOKE SELECT ON {table} FROM pushctl_source"));
        let examined = installation.examine(&["--only", "source"]);
        assert_eq!(examined.outcome.status, 4, "{table}: {}", examined.outcome);
        let grant = format!("GRANT SELECT ON public.{table} TO pushctl_source;");
        assert!(
            examined.outcome.stdout.contains(&grant),
            "{table}: {}",
            examined.outcome
        );
        granted
            .source
            .execute(&format!("GRANT SELECT ON {table} TO pushctl_source"));
    }
}

#[test]
fn a_missing_privilege_names_the_table_and_the_grant() {
    let granted = Granted::new("missing-grant");
    let installation = Installation::of(&granted.grant("pushctl_source"));
    granted
        .source
        .execute("REVOKE SELECT ON users, devices FROM pushctl_source");
    let examined = installation.examine(&["--only", "source"]);
    missing(
        &examined,
        "source",
        "audience layer3",
        "pushctl_source may not read public.users",
        "GRANT SELECT ON public.users TO pushctl_source;",
    );
    let hint = "GRANT SELECT ON public.devices, public.users TO pushctl_source;";
    assert!(
        examined.step("source", "send")["hints"]
            .to_string()
            .contains(hint)
    );
    // A column is enough, where a query reads no other.
    granted.source.execute("GRANT SELECT (id, deleted_at) ON users TO pushctl_source; GRANT SELECT ON devices TO pushctl_source");
    installation
        .examine(&["--only", "source"])
        .is("source", "send", "ok");
}

#[test]
fn the_documented_privileges_on_the_state_store_are_enough() {
    let granted = Granted::new("state-grants");
    let source = granted.grant("pushctl_source");
    let owner = Installation::of(&source).set("PUSHCTL_STATE_URL", granted.grant("pushctl_state"));
    owner.examine(&["--only", "state"]).all_well();
    assert_eq!(owner.run(&["state", "migrate"]).status, 0);
    owner
        .examine(&["--only", "state"])
        .all_well()
        .is("state", "writable", "ok");
    send(&owner);
    let runner =
        Installation::of(&source).set("PUSHCTL_STATE_URL", granted.grant("pushctl_runner"));
    runner
        .examine(&["--only", "state"])
        .all_well()
        .is("state", "writable", "ok");
    send(&runner);
    granted
        .state
        .execute("REVOKE INSERT ON pushctl.claims FROM pushctl_runner");
    let examined = runner.examine(&["--only", "state"]);
    missing(
        &examined,
        "state",
        "writable",
        "INSERT on pushctl.claims",
        "GRANT SELECT, INSERT, UPDATE, DELETE",
    );
}

#[test]
fn the_documented_privileges_on_the_history_are_enough_and_least() {
    let granted = Granted::new("history-grants");
    let source = granted.grant("pushctl_source");
    let history = granted.grant("pushctl_history");
    let installation = Installation::with(&source, StandIn::playing(Script::default()))
        .set("PUSH_CADENCE_DATABASE_URL", history);
    installation
        .examine(&["--only", "history"])
        .all_well()
        .is("history", "rules", "ok");
    send(&installation);
    for (privilege, table) in [
        ("SELECT", "cadence_rules"),
        ("SELECT", "user_notifications"),
        ("INSERT", "user_notifications"),
    ] {
        granted.source.execute(&format!(
            "REVOKE {privilege} ON {table} FROM pushctl_history"
        ));
        let examined = installation.examine(&["--only", "history"]);
        let grant = format!("GRANT {privilege} ON {table} TO pushctl_history;");
        missing(&examined, "history", "privileges", table, &grant);
        granted
            .source
            .execute(&format!("GRANT {privilege} ON {table} TO pushctl_history"));
    }
    drop(granted.cluster);
}

/// A live send of one row, with a token of its own.
pub(super) fn send(installation: &Installation) {
    let user = uuid::Uuid::new_v4();
    installation.sandbox.write(
        "here/a.csv",
        &format!("user_id,token\n{user},token-{user}\n"),
    );
    let order = [
        "send",
        "--audience",
        "a.csv",
        "--layer",
        "3",
        "--title",
        "Hello",
        "--body",
        "A text",
        "--yes",
    ];
    let outcome = installation.run(&order);
    assert_eq!(outcome.status, 0, "{outcome}");
}
