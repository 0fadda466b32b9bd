//! `~/.pgpass`: lines of `host:port:database:user:password`, where `*` matches anything and a backslash escapes `:` and
//! `\`.
//!
//! As in libpq a file that others can read is not used; unlike libpq that is said, and a file that was named and cannot
//! be read is an error.

use std::fs;
use std::path::Path;

use crate::settings::secret::{Secret, show_path};

/// What a line has to match.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) dbname: &'a str,
    pub(crate) user: &'a str,
}

/// Returns the file's text, or why it is not used. `None`: there is no such file.
pub(crate) fn load(path: &Path) -> Option<Result<Secret, String>> {
    let shown = show_path(Path::new(""), &path.to_string_lossy());
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            return Some(Err(format!(
                "the password file {shown} cannot be read: {error}"
            )));
        }
    };
    if !metadata.is_file() {
        return Some(Err(format!(
            "the password file {shown} is not a plain file, so it is not used"
        )));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Some(Err(format!(
                "the password file {shown} can be read by others, so it is not used; chmod 0600 {shown}"
            )));
        }
    }
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    Some(
        text.map(Secret::new)
            .map_err(|error| format!("the password file {shown} cannot be read: {error}")),
    )
}

/// Returns the password of the first line that matches.
pub(crate) fn find(text: &Secret, wanted: Wanted<'_>) -> Option<Secret> {
    let port = wanted.port.to_string();
    let keys = [wanted.host, &port, wanted.dbname, wanted.user];
    text.reveal()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .find_map(|line| {
            let mut fields = split(line);
            let matches = keys.iter().all(|key| {
                fields
                    .next()
                    .is_some_and(|field| field == "*" || unescape(field) == *key)
            });
            matches.then(|| fields.next()).flatten().map(unescape)
        })
        .filter(|password| !password.is_empty())
        .map(Secret::new)
}

/// Fields up to an unescaped colon; the fifth reaches to its own colon, like libpq's.
fn split(line: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    line.split(move |character| {
        let divides = character == ':' && !escaped;
        escaped = character == '\\' && !escaped;
        divides
    })
}

fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut characters = field.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_matches_gives_the_password() {
        let file = Secret::new(
            "# db.example.com:5432:market:ann:commented\n\
             db.example.com:5432:market:bob:other\n\
             db.example.com:*:market:ann:a\\:b\\\\c\n\
             \\*:5432:market:ann:literal-star\n\
             *:*:*:ann:any:trailing\n\
             broken line",
        );
        let wanted = |host, port, user| Wanted {
            host,
            port,
            dbname: "market",
            user,
        };
        let table = [
            (wanted("db.example.com", 5432, "ann"), Some("a:b\\c")),
            (wanted("db.example.com", 5432, "bob"), Some("other")),
            (wanted("elsewhere", 1, "ann"), Some("any")),
            (wanted("*", 5432, "ann"), Some("literal-star")),
            (wanted("elsewhere", 1, "cleo"), None),
        ];
        for (wanted, expected) in table {
            let found = find(&file, wanted);
            assert_eq!(found.as_ref().map(Secret::reveal), expected, "{wanted:?}");
        }
    }
}
