//! Files appear complete and all together, whatever happens to the process, the disk or the directory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use crate::support::campaign::Campaign;
use crate::support::cli::Sandbox;
use crate::support::postgres::{Database, Postgres};
use crate::support::programs::{may_mount, signal as send_signal};

/// Three files of some megabytes, without any table.
const CROWD: &str = r#"
--| title = "A crowd"
--| order = "n"
--| [parameters.people]
--| type = "integer"
--| default = 30000
--| help = "How many"
--| [[files]]
--| stem = "first"
--| when = "n % 3 = 0"
--| columns = ["user_id", "username", "text"]
--| [[files]]
--| stem = "second"
--| when = "n % 3 = 1"
--| columns = ["user_id", "text"]
--| [[files]]
--| stem = "third"
--| when = "n % 3 = 2"
--| columns = ["text", "user_id"]
SELECT n, md5(n::text)::uuid AS user_id, 'person ' || n AS username, repeat('shoe ', 20) AS text
FROM generate_series(1, :people) AS n
"#;

const TEST_USER: &str = "0b54ae58-8e5a-4d3e-9b3c-2f6f6f0a1c11";

fn crowd(name: &str) -> (Sandbox, Database) {
    let sandbox = Sandbox::new();
    sandbox.write("here/queries.d/crowd.sql", CROWD);
    sandbox.config(&format!(
        "queries = \"queries.d\"\ntest_users = [\"{TEST_USER}\"]\n"
    ));
    let database = Postgres::shared().database(name);
    database.execute(&format!(
        "INSERT INTO users (id, username, first_name) VALUES ('{TEST_USER}', 'tester', 'Tess')"
    ));
    (sandbox, database)
}

fn generate(sandbox: &Sandbox, database: &Database, arguments: &[&str]) -> Command {
    let mut command = sandbox.command(&[&["generate", "crowd"], arguments].concat());
    command.env("DATABASE_URL", database.url());
    command
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The time in a name, which all files of a run share.
fn run_of(name: &str) -> String {
    let end = name.find('.').unwrap();
    name[end - "20261121_133300".len()..end].to_owned()
}

/// Every run under `directory` that has a final name: its file names.
fn runs(directory: &Path) -> BTreeMap<String, Vec<String>> {
    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in names(directory)
        .into_iter()
        .filter(|name| !name.starts_with('.'))
    {
        runs.entry(run_of(&name)).or_default().push(name);
    }
    runs
}

/// A run's manifest is there, and with it every file it names, whole; and no other.
fn assert_whole(directory: &Path, run: &[String]) {
    let manifest = run.iter().find(|name| name.ends_with(".manifest.json"));
    let manifest = manifest.unwrap_or_else(|| panic!("no manifest among {run:?}"));
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join(manifest)).unwrap()).unwrap();
    let files = manifest["files"].as_array().unwrap();
    assert_eq!(files.len() + 1, run.len(), "{run:?}");
    for file in files {
        let bytes = fs::read(directory.join(file["name"].as_str().unwrap())).unwrap();
        assert_eq!(
            bytes.len() as u64,
            file["bytes"].as_u64().unwrap(),
            "{file}"
        );
        assert_eq!(
            hex(&Sha256::digest(&bytes)),
            file["sha256"].as_str().unwrap(),
            "{file}"
        );
        let lines = memchr::memchr_iter(b'\n', &bytes).count() as u64;
        assert_eq!(lines, file["rows"].as_u64().unwrap() + 1, "{file}");
    }
}

fn hex(bytes: &[u8]) -> String {
    pushctl::csv_writer::hex(bytes)
}

#[test]
fn campaign_a_killed_run_leaves_no_file_without_its_companions() {
    let campaign = Campaign::start("kill -9 during generate", 12, 50);
    let (sandbox, database) = crowd("killed");
    let output = sandbox.here().join("generated");
    let began = Instant::now();
    assert!(
        generate(&sandbox, &database, &["-q"])
            .status()
            .unwrap()
            .success()
    );
    let typical = began.elapsed();
    let (mut whole, mut cut_short) = (0, 0);
    let mut random = campaign.random();
    for _ in 0..campaign.rounds() {
        let before = runs(&output).len();
        let mut child = generate(&sandbox, &database, &["-q"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        thread::sleep(typical.mul_f64(random.fraction() * 1.1));
        child.kill().unwrap();
        child.wait().unwrap();
        if names(&output).iter().any(|name| name.ends_with(".commit")) {
            // Killed between two renames: the companions are complete, and the next run brings them out.
            cut_short += 1;
            assert!(
                generate(&sandbox, &database, &["-q"])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let runs = runs(&output);
        for run in runs.values() {
            assert_whole(&output, run);
        }
        whole += usize::from(runs.len() > before);
    }
    assert!(
        generate(&sandbox, &database, &["-q"])
            .status()
            .unwrap()
            .success()
    );
    let debris: Vec<String> = names(&output)
        .into_iter()
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(debris.is_empty(), "the next run clears up: {debris:?}");
    campaign.report(&format!(
        "{whole} had finished, {cut_short} were cut short while publishing"
    ));
}

#[test]
fn two_runs_in_the_same_second_both_appear_whole() {
    let (sandbox, database) = crowd("together");
    let children: Vec<_> = (0..4)
        .map(|_| {
            generate(&sandbox, &database, &["-q", "--people", "300"])
                .spawn()
                .unwrap()
        })
        .collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let output = sandbox.here().join("generated");
    let runs = runs(&output);
    assert_eq!(runs.len(), 4, "{runs:?}");
    for run in runs.values() {
        assert_whole(&output, run);
    }
}

#[test]
fn an_interrupted_run_leaves_nothing_and_nothing_runs_on_the_server() {
    let (sandbox, database) = crowd("interrupted");
    let endless = CROWD.replace(
        "FROM generate_series",
        "FROM (SELECT pg_sleep(600)) AS nap, generate_series",
    );
    sandbox.write("here/queries.d/crowd.sql", &endless);
    for (signal, status) in [("INT", 130), ("TERM", 143)] {
        let child = generate(&sandbox, &database, &[])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%pg_sleep%' AND pid <> pg_backend_pid()";
        database.wait_until(running, "1");
        send_signal(signal, child.id());
        let outcome = sandbox.outcome(&child.wait_with_output().unwrap());
        assert_eq!(outcome.status, status, "{outcome}");
        database.wait_until(running, "0");
        assert!(names(&sandbox.here().join("generated")).is_empty());
    }
}

#[test]
fn stable_names_take_the_place_of_those_of_the_run_before() {
    let (sandbox, database) = crowd("stable");
    let output = sandbox.here().join("generated");
    for (people, files) in [("9", 3), ("1", 1)] {
        assert!(
            generate(
                &sandbox,
                &database,
                &["-q", "--name-suffix", "", "--people", people]
            )
            .status()
            .unwrap()
            .success()
        );
        let production =
            ["first.csv", "second.csv", "third.csv"].map(|name| output.join(name).exists());
        assert_eq!(production.iter().filter(|there| **there).count(), files);
    }
    assert_eq!(
        names(&output),
        ["crowd.manifest.json", "second.csv", "second_TEST.csv"]
    );
}

#[test]
fn one_file_on_standard_output_is_the_file_byte_for_byte() {
    let (sandbox, database) = crowd("stdout");
    let arguments = ["-q", "--people", "1000", "--name-suffix", ""];
    assert!(
        generate(&sandbox, &database, &arguments)
            .status()
            .unwrap()
            .success()
    );
    let piped = generate(
        &sandbox,
        &database,
        &["-q", "--people", "1000", "--output", "-", "--file", "third"],
    )
    .output()
    .unwrap();
    assert!(piped.status.success());
    assert_eq!(
        piped.stdout,
        fs::read(sandbox.here().join("generated/third.csv")).unwrap()
    );
    assert!(piped.stderr.is_empty());
}

#[test]
fn an_output_path_that_is_a_file_is_a_usage_error_and_the_file_stays() {
    let (sandbox, database) = crowd("occupied");
    sandbox.write("here/taken", "precious");
    let outcome = sandbox.outcome(
        &generate(&sandbox, &database, &["--output", "taken"])
            .output()
            .unwrap(),
    );
    insta::assert_snapshot!(outcome, @r"
    ---- stderr
    error: the output path [SANDBOX]/here/taken is a file, not a directory
    hint: name a directory with --output, or - for standard output
    ---- exit status 2
    ");
    assert_eq!(
        fs::read_to_string(sandbox.here().join("taken")).unwrap(),
        "precious"
    );
}

#[test]
fn files_that_do_not_partition_their_base_are_not_published() {
    let (sandbox, database) = crowd("partition");
    let promise = CROWD.replace("--| order", "--| partition = true\n--| order");
    let gap = promise.replace("n % 3 = 2", "n % 3 = 2 AND n > 9");
    let twice = promise.replace("AS n\n", "AS n, generate_series(1, 2)\n");
    for (query, says) in [
        (gap, "9 users, 6 rows, 0 users in two files"),
        (twice, "9 users, 18 rows, 9 users in two files"),
    ] {
        sandbox.write("here/queries.d/crowd.sql", &query);
        let outcome = sandbox.outcome(
            &generate(&sandbox, &database, &["--people", "9"])
                .output()
                .unwrap(),
        );
        assert_eq!(outcome.status, 1, "{outcome}");
        outcome.says(says);
        assert!(names(&sandbox.here().join("generated")).is_empty());
    }
}

/// pushctl with a small or read-only file system at `out`, in a mount namespace of its own.
fn mounted(sandbox: &Sandbox, database: &Database, options: &str) -> Command {
    fs::create_dir_all(sandbox.here().join("out")).unwrap();
    let pushctl = generate(sandbox, database, &["--output", "out"]);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--map-root-user", "sh", "-c"])
        .arg(format!("mount -t tmpfs -o {options} none out && cd . && \"$0\" \"$@\"; status=$?; ls -A out >&2; exit $status"))
        .arg(pushctl.get_program())
        .args(pushctl.get_args())
        .current_dir(sandbox.here())
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    for (name, value) in pushctl.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    if !may_mount() {
        return;
    }
    let (sandbox, database) = crowd("full");
    let outcome = sandbox.outcome(&mounted(&sandbox, &database, "size=1m").output().unwrap());
    assert_eq!(outcome.status, 1, "{outcome}");
    let talk: Vec<&str> = outcome
        .stderr
        .lines()
        .filter(|line| !line.contains("INFO"))
        .collect();
    assert!(
        talk[0].starts_with("error: cannot write out/.pushctl-")
            || talk[0].contains("cannot write"),
        "{outcome}"
    );
    outcome.says("No space left on device");
    assert!(
        talk.last().unwrap().starts_with("hint: the disk is full"),
        "nothing is listed after the hint: {outcome}"
    );
}

#[test]
fn a_read_only_directory_is_said_before_the_database_is_asked() {
    if !may_mount() {
        return;
    }
    let (sandbox, database) = crowd("read_only");
    let outcome = sandbox.outcome(&mounted(&sandbox, &database, "ro").output().unwrap());
    assert_eq!(outcome.status, 1, "{outcome}");
    outcome.says("Read-only file system");
    outcome.says("hint: the file system is read-only");
    let asked = database.query("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pushctl/%' AND datname = current_database()");
    assert_eq!(asked, [["0"]]);
}

#[test]
fn a_connection_that_dies_in_the_middle_begins_anew_and_leaves_one_run() {
    let (sandbox, database) = crowd("dies");
    let mut child = generate(&sandbox, &database, &["--people", "200000", "-v"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let copying = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%generate_series%' AND pid <> pg_backend_pid()";
    database.wait_until(copying, "1");
    thread::sleep(Duration::from_millis(300));
    database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'COPY%generate_series%' AND pid <> pg_backend_pid()");
    assert!(child.wait().unwrap().success());
    let output = sandbox.here().join("generated");
    let runs = runs(&output);
    assert_eq!(runs.len(), 1);
    for run in runs.values() {
        assert_whole(&output, run);
    }
}
