//! The environment as it was at start-up, and what a `.env` file in the working directory adds to it.
//!
//! It is a value, so that tests need not change the process. Real variables win over `.env`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

use super::{dotenv, trust};

/// Variables and the directory that relative paths start from.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, OsString>,
    dotenv: BTreeMap<String, String>,
    notes: Vec<String>,
    directory: PathBuf,
}

/// Shows the number of variables only; their values may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} variables, {} in .env",
            self.variables.len(),
            self.dotenv.len()
        )
    }
}

/// The origin of a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariableLocation {
    /// The environment of the process.
    Process,
    /// The `.env` file.
    DotEnv,
}

impl Environment {
    /// Returns the environment of this process, and its working directory. `.env` is not read yet.
    ///
    /// A working directory that is gone or unreadable counts as `.`.
    pub fn of_process() -> Self {
        Self::new(
            std::env::vars_os(),
            std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        )
    }

    /// Returns an environment of these variables. Names that are not UTF-8 are left out: no setting has such a name.
    pub fn new(
        variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
        directory: impl Into<PathBuf>,
    ) -> Self {
        let named = |(name, value): (_, _)| {
            let name: OsString = Into::into(name);
            Some((name.into_string().ok()?, Into::into(value)))
        };
        Self {
            variables: variables.into_iter().filter_map(named).collect(),
            dotenv: BTreeMap::new(),
            notes: Vec::new(),
            directory: directory.into(),
        }
    }

    /// Reads `.env` in the working directory, if there is one.
    pub fn read_dotenv(&mut self) -> Result<()> {
        let path = self.directory.join(".env");
        if path.is_dir() {
            return Ok(());
        }
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                return Err(Error::from_cause(ErrorKind::Usage, error)
                    .context("cannot read .env in the working directory")
                    .hint("give the user that runs pushctl permission to read it, or start pushctl elsewhere"));
            }
        };
        let (variables, skipped) = dotenv::parse(&String::from_utf8_lossy(&bytes));
        trust::check(
            &path,
            ".env",
            variables
                .iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, _)| name.as_str()),
            trust::is_trusted_variable,
        )?;
        self.dotenv = variables;
        self.notes = skipped
            .iter()
            .map(|one| format!(".env:{}: skipped: {}", one.line, one.message))
            .collect();
        Ok(())
    }

    /// Refuses places that are not UTF-8: files there could not be named in records and documents.
    pub fn check_places(&self) -> Result<()> {
        for name in ["HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME"] {
            self.get(name)?;
        }
        if self.directory.to_str().is_none() {
            return Err(Error::usage(format!(
                "the path of the working directory {} is not UTF-8",
                self.directory.as_os_str().as_encoded_bytes().escape_ascii()
            ))
            .hint("start pushctl in another directory"));
        }
        Ok(())
    }

    /// Returns the names of the variables that are meant for pushctl, or look as if they were.
    pub fn own_names(&self) -> impl Iterator<Item = &str> {
        let names = self.variables.keys().chain(self.dotenv.keys());
        names
            .map(String::as_str)
            .filter(|name| name.starts_with("PUSHCTL_"))
    }

    /// Returns notes about lines of `.env` that are skipped.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Returns the value of a variable and where it was found; an empty value counts as none.
    pub fn get(&self, name: &str) -> Result<Option<(String, VariableLocation)>> {
        Ok(self.get_all(name)?.into_iter().next())
    }

    /// Returns every value of a variable, the real one before that of `.env`.
    pub fn get_all(&self, name: &str) -> Result<Vec<(String, VariableLocation)>> {
        let mut values = Vec::new();
        if let Some(value) = self.variables.get(name) {
            let value = value.to_str().ok_or_else(|| {
                Error::usage(format!("the environment variable {name} is not UTF-8"))
            })?;
            values.push((value.to_owned(), VariableLocation::Process));
        }
        values.extend(
            self.dotenv
                .get(name)
                .map(|value| (value.clone(), VariableLocation::DotEnv)),
        );
        values.retain(|(value, _)| !value.is_empty());
        Ok(values)
    }

    /// Like [`Environment::get`], for a variable of which only the presence or a simple value matters.
    pub fn process(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)?
            .to_str()
            .filter(|value| !value.is_empty())
    }

    /// Returns the directory relative paths start from.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Returns the home directory, where one is named. Cron and containers may have none.
    pub fn home(&self) -> Option<PathBuf> {
        self.process("HOME").map(PathBuf::from)
    }

    /// Returns the directory of pushctl's own files under an XDG base: `$XDG_CONFIG_HOME/pushctl` or
    /// `~/.config/pushctl`.
    pub fn xdg(&self, variable: &str, under_home: &str) -> Option<PathBuf> {
        let base = self
            .process(variable)
            .map(PathBuf::from)
            .filter(|base| base.is_absolute())
            .or_else(|| Some(self.home()?.join(under_home)))?;
        Some(base.join("pushctl"))
    }
}
