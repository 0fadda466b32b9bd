//! Whether and when a command may connect to the source: connections are counted across processes, and a host that
//! several commands could not reach is left alone for a while.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::cli::{Outcome, Sandbox};
use crate::support::postgres::{Database, Postgres, at_port};
use crate::support::programs::closed_port;
use crate::support::proxy::{Fate, Proxy};
use crate::support::store::Place;

/// An audience that is read for so many seconds.
const SLOW: &str = "\
--| title = \"Read slowly\"
--| order = \"user_id\"
--| [parameters.seconds]
--| type = \"integer\"
--| default = 0
--| min = 0
--| max = 60
--| help = \"How long\"
--| [[files]]
--| stem = \"slow\"
--| columns = [\"user_id\"]
SELECT gen_random_uuid() AS user_id, pg_sleep(:seconds)
";
const LIMITS: [u32; 2] = [1, 2];

/// Commands that share a state store.
struct Team {
    sandbox: Sandbox,
    place: Place,
}

impl Team {
    fn new(place: Place) -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("here/queries/slow.sql", SLOW);
        sandbox.config("queries = \"queries\"\n[source]\nbreaker_cool_off = \"2s\"");
        Self { sandbox, place }
    }

    fn command(&self, url: &str, arguments: &[&str]) -> Command {
        let mut command = self.sandbox.command(&["generate", "slow"]);
        command.args(arguments).env("DATABASE_URL", url);
        command.args(["--state", &self.place.setting()]);
        command
    }

    fn run(&self, url: &str, arguments: &[&str]) -> Outcome {
        let output = self.command(url, arguments).output().unwrap();
        self.sandbox.outcome(&output)
    }

    /// Starts a command that keeps its connection until it is killed, and waits until it has it.
    fn holds(&self, database: &Database, url: &str) -> Child {
        let before = connections(database);
        let mut command = self.command(url, &["--seconds", "60"]);
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let began = Instant::now();
        while connections(database) == before {
            assert!(began.elapsed() < Duration::from_secs(30));
            std::thread::sleep(Duration::from_millis(50));
        }
        child
    }
}

/// Returns how many connections pushctl has to a database.
fn connections(database: &Database) -> usize {
    let rows = "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'pushctl/%' AND datname = current_database()";
    database.query(rows).len()
}

fn url(database: &Database, limit: u32) -> String {
    let url = database.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}connection_limit={limit}")
}

fn connections_are_counted_across_processes(place: impl Fn() -> Place) {
    for limit in LIMITS {
        let team = Team::new(place());
        let database = Postgres::shared().database("slots");
        let url = url(&database, limit);
        let mut holders: Vec<Child> = (0..limit).map(|_| team.holds(&database, &url)).collect();
        let began = Instant::now();
        let refused = team.run(&url, &["--deadline", "3s"]);
        assert_eq!(refused.status, 11, "{refused}");
        assert!(began.elapsed() < Duration::from_secs(8), "{refused}");
        for holder in &holders {
            refused.says(&format!("(process {})", holder.id()));
        }
        refused.says("that connection_limit allows to");
        refused.says("hint: allow more time with --deadline");
        // Another database has connections of its own.
        let other = Postgres::shared().database("slots_beside");
        let beside = team.run(&self::url(&other, limit), &["--deadline", "20s"]);
        assert_eq!(beside.status, 0, "{beside}");
        // The connection of a process that was killed is free at once.
        let mut killed = holders.remove(0);
        killed.kill().unwrap();
        killed.wait().unwrap();
        let next = team.run(&url, &["--deadline", "20s"]);
        assert_eq!(next.status, 0, "{next}");
        for mut holder in holders {
            holder.kill().unwrap();
            holder.wait().unwrap();
        }
    }
}

#[test]
fn connections_are_counted_in_a_sqlite_store() {
    connections_are_counted_across_processes(Place::sqlite);
}

#[test]
fn connections_are_counted_in_a_postgres_store() {
    connections_are_counted_across_processes(Place::postgres);
}

#[test]
fn many_commands_take_turns() {
    let team = Team::new(Place::sqlite());
    let database = Postgres::shared().database("turns");
    let url = url(&database, 2);
    let children: Vec<Child> = (0..6)
        .map(|number| {
            let suffix = format!("run-{number}");
            let arguments = [
                "--deadline",
                "60s",
                "--name-suffix",
                suffix.as_str(),
                "--seconds",
                "1",
            ];
            let mut command = team.command(&url, &arguments);
            command.stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let mut most = 0;
    let began = Instant::now();
    let mut running = children;
    let mut ended = Vec::new();
    while !running.is_empty() {
        most = most.max(connections(&database));
        let (done, left): (Vec<Child>, Vec<Child>) = running
            .into_iter()
            .partition(|child| !is_running(child.id()));
        ended.extend(done);
        running = left;
        assert!(began.elapsed() < Duration::from_secs(90));
        std::thread::sleep(Duration::from_millis(30));
    }
    for child in ended {
        let outcome = team.sandbox.outcome(&child.wait_with_output().unwrap());
        assert_eq!(outcome.status, 0, "{outcome}");
    }
    assert_eq!(most, 2);
}

/// A child that has ended and is not waited for is a zombie.
fn is_running(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn a_host_that_is_away_is_left_alone(place: Place) {
    let team = Team::new(place);
    let away = format!("postgres://reader@127.0.0.1:{}/market", closed_port());
    let brief = ["--deadline", "3s", "--retries", "1"];
    for _ in 0..3 {
        let outcome = team.run(&away, &brief);
        assert_eq!(outcome.status, 5, "{outcome}");
        outcome.says("the connection was refused");
    }
    let refused = team.run(&away, &brief);
    assert_eq!(refused.status, 5, "{refused}");
    refused.says("the last 3 commands could not reach the database 127.0.0.1:");
    refused.says("hint: `pushctl doctor --only source` shows");
    refused.says("hint: --no-breaker tries at once");
    let tried = team.run(&away, &[&brief[..], &["--no-breaker"]].concat());
    tried.says("the connection was refused");
    // Another host is not concerned, and an error of a query is an answer.
    let database = Postgres::shared().database("breaker");
    for _ in 0..4 {
        let wrong = team.run(
            &database.url(),
            &["--as-of", "2026-01-01", "--seconds", "0"],
        );
        assert_eq!(wrong.status, 0, "{wrong}");
    }
    // One command probes after the cool-off.
    std::thread::sleep(Duration::from_millis(2_100));
    let probe = team.run(&away, &brief);
    probe.says("the connection was refused");
    team.run(&away, &brief)
        .says("the last 4 commands could not reach");
}

#[test]
fn a_host_that_is_away_is_left_alone_with_a_sqlite_store() {
    a_host_that_is_away_is_left_alone(Place::sqlite());
}

#[test]
fn a_host_that_is_away_is_left_alone_with_a_postgres_store() {
    a_host_that_is_away_is_left_alone(Place::postgres());
}

#[test]
fn a_success_ends_it_and_a_dry_run_or_a_broken_store_is_no_hindrance() {
    let team = Team::new(Place::sqlite());
    let database = Postgres::shared().database("breaker_probe");
    let proxy = Proxy::start(database.port(), Fate::CloseAfter(0));
    let through = at_port(&database.url(), proxy.port());
    let brief = ["--deadline", "3s", "--retries", "1"];
    let dry = team.run(&through, &[&brief[..], &["--dry-run"]].concat());
    assert_eq!(dry.status, 5, "{dry}");
    assert!(!team.place.file().unwrap().exists());
    for _ in 0..3 {
        assert_eq!(team.run(&through, &brief).status, 5);
    }
    team.run(&through, &brief).says("the last 3 commands");
    std::thread::sleep(Duration::from_millis(2_100));
    proxy.turn(Fate::Pass);
    for _ in 0..2 {
        let reached = team.run(&through, &["--deadline", "20s"]);
        assert_eq!(reached.status, 0, "{reached}");
    }
    proxy.turn(Fate::CloseAfter(0));
    let again = team.run(&through, &brief);
    assert!(!again.stderr.contains("the last"), "{again}");
    // A store that cannot be opened is a note.
    std::fs::write(team.place.file().unwrap(), "no database").unwrap();
    let reached = team.run(&database.url(), &["-v"]);
    assert_eq!(reached.status, 0, "{reached}");
    reached.says("the circuit breaker is not used");
}
