//! Runs pushctl in an isolated environment: only the given variables, and its own home and working directory.

use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;

/// A home and a working directory, removed after the test.
pub(crate) struct Sandbox {
    directory: TempDir,
}

/// The output and the exit status of a command; the sandbox's own path is replaced by `[SANDBOX]`.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        for name in ["home", "here"] {
            std::fs::create_dir(directory.path().join(name)).expect("a directory in it");
        }
        Self { directory }
    }

    /// Returns the working directory.
    pub(crate) fn here(&self) -> PathBuf {
        self.directory.path().join("here")
    }

    /// `HOME`.
    pub(crate) fn home(&self) -> PathBuf {
        self.directory.path().join("home")
    }

    /// Writes a file, `here/…` or `home/…`, and creates the directories above it.
    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.directory.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a file in the sandbox"))
            .expect("its directory");
        std::fs::write(path, text).expect("the file");
    }

    /// Writes `pushctl.toml` into the working directory.
    pub(crate) fn config(&self, text: &str) -> &Self {
        self.write("here/pushctl.toml", text);
        self
    }

    /// Returns the command without starting it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("pushctl"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home())
            .current_dir(self.here());
        command
    }

    /// Runs pushctl and returns its outcome.
    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, &[])
    }

    /// Like [`Sandbox::run`], with variables.
    pub(crate) fn run_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Outcome {
        let mut command = self.command(arguments);
        command.envs(variables.iter().copied());
        self.outcome(&command.output().expect("pushctl starts"))
    }

    /// Converts the output of a finished command.
    pub(crate) fn outcome(&self, output: &Output) -> Outcome {
        let sandbox = self.directory.path().display().to_string();
        let text = |bytes: &[u8]| {
            String::from_utf8(bytes.to_vec())
                .expect("UTF-8")
                .replace(&sandbox, "[SANDBOX]")
        };
        Outcome {
            status: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}

impl Outcome {
    /// Asserts that stderr contains a text.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(self.stderr.contains(text), "{text:?} is not in:\n{self}");
    }

    /// Parses stdout, which must be one JSON document.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in:\n{self}"))
    }
}

/// The form for snapshots.
impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                write!(out, "---- {name}\n{text}")?;
            }
        }
        write!(out, "---- exit status {}", self.status)
    }
}
