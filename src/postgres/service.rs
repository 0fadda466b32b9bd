//! `pg_service.conf`: sections `[name]` of `keyword=value` lines, looked up in the user's file first, then in the
//! system's.

use std::fs;
use std::path::{Path, PathBuf};

use super::conninfo::Pair;
use crate::error::{Error, Result};
use crate::settings::secret::{holds_secret, kind_of};

/// Where a named service was found.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) file: PathBuf,
    pub(crate) pairs: Vec<Pair>,
}

/// Finds `name` in the first of `files` that has it. A file that does not exist is passed over.
pub(crate) fn find(name: &str, files: &[PathBuf]) -> Result<Service> {
    for file in files {
        let Ok(text) = fs::read_to_string(file) else {
            continue;
        };
        if let Some(pairs) = section(&text, name, file)? {
            return Ok(Service {
                file: file.clone(),
                pairs,
            });
        }
    }
    let looked: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let shown = if name.bytes().all(is_name) && !holds_secret(name) {
        format!("named {name:?}")
    } else {
        format!("of this name ({})", kind_of(name))
    };
    Err(
        Error::usage(format!("no service {shown} in {}", looked.join(" or ")))
            .hint("name the file with PGSERVICEFILE, or unset PGSERVICE"),
    )
}

fn section(text: &str, name: &str, file: &Path) -> Result<Option<Vec<Pair>>> {
    let mut pairs = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(title) = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next())
        {
            if pairs.is_some() {
                break;
            }
            if title == name {
                pairs = Some(Vec::new());
            }
            continue;
        }
        if let Some(pairs) = &mut pairs {
            let (key, value) = line.split_once('=').ok_or_else(|| {
                Error::usage(format!(
                    "{}:{}: expected keyword=value",
                    file.display(),
                    index + 1
                ))
            })?;
            pairs.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic_and_no_error_quotes_it(text in "(\\[m\\]\n)?([a-z =\\[\\]#\n\0é]{0,12}hunter2[ =\n\\[\\]]{0,3}){0,3}") {
            if let Err(error) = section(&text, "m", Path::new("services")) {
                let shown = format!("{error:#}");
                proptest::prop_assert!(!shown.contains("hunter2"));
            }
        }
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "# services\n[staging]\nhost=staging.example.com\n\n[market]\nhost = db.example.com\nport=6543\n[other]\nport=1\n";
        let pairs = section(text, "market", Path::new("x")).unwrap().unwrap();
        assert_eq!(
            pairs,
            [
                ("host".to_owned(), "db.example.com".to_owned()),
                ("port".to_owned(), "6543".to_owned())
            ]
        );
        assert_eq!(section(text, "absent", Path::new("x")).unwrap(), None);
    }

    #[test]
    fn a_broken_line_is_named_by_file_and_line_without_its_text() {
        let error = section("[market]\nhunter2\n", "market", Path::new("services")).unwrap_err();
        assert_eq!(error.to_string(), "services:2: expected keyword=value");
    }
}
