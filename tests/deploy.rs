//! What is pasted into schedulers and images: that pushctl understands it, and that the files agree with each other.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cli::Sandbox;

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn text(file: &str) -> String {
    std::fs::read_to_string(deploy().join(file)).unwrap()
}

/// Every file of `deploy/`, but for the demo's.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut directories = vec![deploy()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(deploy()).unwrap().display().to_string();
            if !path.is_dir() {
                found.push((name.clone(), text(&name)));
            } else if name != "demo" {
                directories.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The pushctl command lines in a text: in lines that are no comments wherever a command may stand, in comments
/// between backquotes or after an indent.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines() {
        let comment = line.trim_start().strip_prefix('#');
        let quoted = line.split('`').skip(1).step_by(2);
        found.extend(
            quoted
                .filter(|part| part.starts_with("pushctl "))
                .map(words),
        );
        let code = match comment {
            None => line,
            Some(indented) if indented.starts_with("   ") => indented,
            Some(_) => continue,
        };
        for (at, _) in code.match_indices("pushctl ") {
            let before = code[..at].trim_end_matches("/usr/local/bin/");
            let begins = ["", "\"", ": ", "RUN ", "ExecStart=", "tick.lock "];
            let is_command = begins.iter().any(|begin| {
                if begin.is_empty() {
                    before.trim().is_empty()
                } else {
                    before.ends_with(begin)
                }
            });
            if is_command {
                let closed = if before.ends_with('"') {
                    code[at..].split('"').next().unwrap()
                } else {
                    &code[at..]
                };
                found.push(words(closed));
            }
        }
    }
    found
}

/// A command's words up to where a shell would see its end.
fn words(command: &str) -> Vec<String> {
    command
        .split_whitespace()
        .take_while(|word| !["|", ">", ">>", "&&", "\\"].contains(word))
        .map(|word| word.trim_matches('"').to_owned())
        .collect()
}

/// Whether a command line can be parsed.
pub(crate) fn assert_understood(place: &str, words: &[String]) {
    let root = pushctl::cli::command(&pushctl::cli::known(None).offers);
    let parsed = root.clone().try_get_matches_from(words);
    assert!(
        parsed.is_ok(),
        "{place}: {words:?}: {}",
        parsed.unwrap_err()
    );
}

#[test]
fn every_command_line_in_deploy_is_one_that_pushctl_understands() {
    let mut checked = Vec::new();
    for (name, text) in files() {
        for words in commands(&text) {
            assert_understood(&name, &words);
            checked.push(format!("{name}: {}", words[1..].join(" ")));
        }
    }
    insta::assert_snapshot!(checked.join("\n"), @r"
    Dockerfile: check --automations /etc/pushctl/automations --queries /etc/pushctl/queries
    README.md: schedule show
    ci/audience-dry-run.yml: check --format github
    ci/audience-dry-run.yml: -q check --format markdown
    ci/audience-dry-run.yml: run-pipeline $AUTOMATION --now --mode real-dry-run --format markdown
    crontab: schedule show --format crontab
    crontab: -q run-pipeline --all --tick
    railway.json: --log-format json run-pipeline --all --tick
    systemd/pushctl-tick.service: run-pipeline --all --tick
    systemd/pushctl-tick.timer: schedule show --format systemd
    systemd/pushctl@.service: run-pipeline %i
    ");
}

#[test]
fn every_command_line_that_schedule_show_prints_is_one_that_pushctl_understands() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/automations");
    let sandbox = Sandbox::new();
    for format in ["crontab", "railway", "systemd"] {
        for names in [&[][..], &["layer3"]] {
            let mut arguments = vec![
                "schedule",
                "show",
                "--automations",
                shipped,
                "--format",
                format,
            ];
            arguments.extend(names);
            let printed = sandbox.run(&arguments).stdout;
            // A line of a crontab has five fields before its command.
            let lines = printed
                .lines()
                .map(|line| match line.split_once(" pushctl ") {
                    Some((when, command)) if when.split(' ').count() == 5 => {
                        format!("pushctl {command}")
                    }
                    _ => line.to_owned(),
                });
            let commands = commands(&lines.collect::<Vec<_>>().join("\n"));
            assert!(!commands.is_empty(), "{printed}");
            for words in commands {
                assert_understood(format, &words);
            }
        }
    }
}

#[test]
fn the_platforms_configuration_is_what_schedule_show_prints() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/automations");
    let printed = Sandbox::new()
        .run(&[
            "schedule",
            "show",
            "--automations",
            shipped,
            "--format",
            "railway",
        ])
        .stdout;
    let printed: toml::Value = toml::from_str(&printed).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&text("railway.json")).unwrap();
    let printed = serde_json::to_value(printed).unwrap();
    assert_eq!(kept["build"], printed["build"]);
    assert_eq!(kept["deploy"], printed["deploy"]);
    // Each changed file that the image is made from deploys it anew.
    let watched: Vec<&str> = kept["build"]["watchPatterns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pattern| pattern.as_str().unwrap())
        .collect();
    for admitted in text("Dockerfile.dockerignore").lines() {
        let Some(path) = admitted.strip_prefix('!') else {
            continue;
        };
        let is_watched = |pattern: &&str| path.starts_with(pattern.trim_end_matches("/**"));
        assert!(watched.iter().any(is_watched), "{path}");
    }
    let dockerfile = kept["build"]["dockerfilePath"].as_str().unwrap();
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(dockerfile)
            .is_file()
    );
}

#[test]
fn the_lines_of_several_services_are_one_valid_file() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/automations");
    let show = ["schedule", "show", "--automations", shipped];
    let words = [&show[..], &["--format", "railway", "layer2", "waterfall"]].concat();
    let printed = Sandbox::new().run(&words).stdout;
    let file: toml::Value = toml::from_str(&printed).unwrap();
    assert_eq!(file["deploy"]["drainingSeconds"].as_integer(), Some(60));
    let start = file["deploy"]["startCommand"].as_str().unwrap();
    assert!(start.ends_with(" run-pipeline layer2 --tick"), "{printed}");
    let other = "# startCommand = \"pushctl --log-format json run-pipeline waterfall --tick\"\n# cronSchedule = \"";
    assert!(printed.contains(other), "{printed}");
}

#[test]
fn the_cron_job_starts_what_the_platforms_service_starts() {
    let job = text("kubernetes/cronjob.yaml");
    let after = |key: &str| {
        let line = job.lines().find_map(|line| line.trim().strip_prefix(key));
        serde_json::from_str::<serde_json::Value>(line.unwrap()).unwrap()
    };
    let kept: serde_json::Value = serde_json::from_str(&text("railway.json")).unwrap();
    assert_eq!(after("schedule: "), kept["deploy"]["cronSchedule"]);
    let grace = after("terminationGracePeriodSeconds: ");
    assert_eq!(grace, kept["deploy"]["drainingSeconds"]);
    let arguments = after("args: ");
    let arguments = arguments.as_array().unwrap().iter();
    let arguments: Vec<&str> = arguments.map(|word| word.as_str().unwrap()).collect();
    let start = format!("pushctl {}", arguments.join(" "));
    assert_eq!(kept["deploy"]["startCommand"], start.as_str());
    // The image's user, who owns its only writable directory.
    let dockerfile = text("Dockerfile");
    assert!(dockerfile.contains(&format!("USER {0}:{0}", after("runAsUser: "))));
    assert!(
        dockerfile.contains("WORKDIR /var/lib/pushctl")
            && job.contains("mountPath: /var/lib/pushctl")
    );
}

#[test]
fn a_changed_automation_does_not_build_the_program_anew() {
    let dockerfile = text("Dockerfile");
    let (build, image) = dockerfile.split_once("\nFROM debian").unwrap();
    assert!(!build.contains("COPY automations"), "{build}");
    assert!(image.contains("\nCOPY automations "), "{image}");
}

#[test]
fn both_services_are_alike_but_for_what_they_start() {
    let body = |name: &str| {
        let unit = text(&format!("systemd/{name}.service"));
        let (_, body) = unit.split_once("Description=").unwrap();
        let (_, body) = body.split_once('\n').unwrap();
        body.replace("run-pipeline --all --tick", "run-pipeline %i")
    };
    assert_eq!(body("pushctl-tick"), body("pushctl@"));
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let directory = tempfile::tempdir().unwrap();
    let mut units = Vec::new();
    for (name, text) in files() {
        let Some(name) = name.strip_prefix("systemd/") else {
            continue;
        };
        let binary = assert_cmd::cargo::cargo_bin!("pushctl")
            .display()
            .to_string();
        let path = directory.path().join(name.replace('@', "@layer3"));
        std::fs::write(&path, text.replace("/usr/local/bin/pushctl", &binary)).unwrap();
        units.push(path);
    }
    assert_eq!(units.len(), 3);
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .args(&units)
        .output();
    // Only a machine with systemd can say.
    let Ok(verified) = verified else { return };
    assert!(
        verified.status.success() && verified.stderr.is_empty(),
        "{verified:?}"
    );
}

#[test]
fn the_image_is_built_from_files_that_are_let_into_its_context() {
    let ignore = text("Dockerfile.dockerignore");
    let admitted: Vec<&str> = ignore
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .collect();
    let dockerfile = text("Dockerfile");
    let copied = dockerfile
        .lines()
        .filter_map(|line| {
            line.strip_prefix("COPY ")
                .filter(|rest| !rest.starts_with("--from"))
        })
        .flat_map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            words[..words.len() - 1].to_vec()
        });
    let mut copied: Vec<&str> = copied.collect();
    copied.sort_unstable();
    copied.dedup();
    let mut expected = admitted;
    expected.sort_unstable();
    assert_eq!(copied, expected);
    for path in copied {
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR")).join(path).exists(),
            "{path}"
        );
    }
}

#[test]
fn an_installation_has_manual_pages_and_completions_where_they_are_looked_for() {
    let directory = tempfile::tempdir().unwrap();
    let binary = assert_cmd::cargo::cargo_bin!("pushctl");
    let written = Command::new(deploy().join("package/share.sh"))
        .args([binary, directory.path()])
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    assert!(written.stdout.is_empty() && written.stderr.is_empty());
    for (file, part) in [
        ("man/man1/pushctl.1", ".TH pushctl 1"),
        (
            "man/man1/pushctl-run-pipeline.1",
            ".TH pushctl-run-pipeline 1",
        ),
        ("bash-completion/completions/pushctl", "complete "),
        ("zsh/site-functions/_pushctl", "#compdef pushctl"),
        ("fish/vendor_completions.d/pushctl.fish", "complete "),
    ] {
        let text = std::fs::read_to_string(directory.path().join(file)).unwrap();
        assert!(text.contains(part), "{file}: {text}");
    }
}

#[test]
fn what_the_demo_and_the_tests_lack_is_said_at_once() {
    // A PATH with the shell's helpers alone: no compiler, no apt, no npm.
    let path = tempfile::tempdir().unwrap();
    for name in ["dirname", "uname", "id", "sed", "ls", "sort"] {
        let program = printed("sh", &["-c", &format!("command -v {name}")]);
        std::os::unix::fs::symlink(program.trim(), path.path().join(name)).unwrap();
    }
    let needs = |what: &str| {
        Command::new(deploy().join("demo/needs.sh"))
            .arg(what)
            .env_clear()
            .env("PATH", path.path())
            .output()
            .unwrap()
    };
    let lacking = needs("demo");
    assert_eq!(lacking.status.code(), Some(1), "{lacking:?}");
    let said = String::from_utf8(lacking.stderr).unwrap();
    for part in [
        "error: make demo needs ",
        "\n  Rust: https://rustup.rs\n",
        "\n  a C compiler (cc): ",
        "\n  OpenSSL's development files: ",
        "\n  the program openssl: ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// The oldest Rust that a manifest promises to build with.
fn rust_version(package: &serde_json::Value) -> Option<[u32; 3]> {
    let mut parts = package["rust_version"].as_str()?.split('.');
    let mut next = || parts.next().map_or(Some(0), |part| part.parse().ok());
    Some([next()?, next()?, next()?])
}

/// What a program prints.
fn printed(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_dependency_needs_a_newer_rust_than_ours() {
    let compiler = printed("rustc", &["-vV"]);
    let platform = compiler
        .lines()
        .find_map(|line| line.strip_prefix("host: "));
    // Crates for other platforms need not be on this machine.
    let platform = ["--filter-platform", platform.unwrap()];
    let arguments = ["metadata", "--format-version=1", "--locked", "--offline"];
    let metadata = printed(env!("CARGO"), &[&arguments[..], &platform].concat());
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let ours = packages.iter().find(|package| package["name"] == "pushctl");
    let ours = rust_version(ours.unwrap()).unwrap();
    let with_a_version = packages.iter().filter_map(rust_version).count();
    assert!(with_a_version > 100, "{with_a_version}");
    let newer: Vec<String> = packages
        .iter()
        .filter(|package| rust_version(package).is_some_and(|theirs| theirs > ours))
        .map(|package| format!("{} needs {}", package["name"], package["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "rust-version is too old for: {newer:#?}");
}
