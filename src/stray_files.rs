//! Files that editors and operating systems leave beside others: `._a.toml`, `.#a.toml`, `#a.toml#`, `a.toml~`.

use std::io;
use std::path::{Path, PathBuf};

/// The files of a directory with an extension.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of their names.
    pub files: Vec<PathBuf>,
    /// A note for each entry with the extension that is passed over.
    pub notes: Vec<String>,
}

/// Lists the files with an extension. An entry that cannot be meant does not stop the others.
pub fn list(directory: &Path, extension: &str) -> io::Result<Listing> {
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_none_or(|found| found != extension) {
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let reason = match std::fs::metadata(&path) {
            _ if name.starts_with(['.', '#']) => "hidden, or an editor's",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "a link to nothing",
            Ok(metadata) if metadata.is_dir() => "a directory",
            Ok(metadata) if !metadata.is_file() => "not a regular file",
            _ => {
                listing.files.push(path);
                continue;
            }
        };
        listing
            .notes
            .push(format!("{} is passed over: {reason}", path.display()));
    }
    listing.files.sort();
    listing.notes.sort();
    Ok(listing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_and_systems_leave_is_passed_over_with_a_note() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for name in [
            "b.toml",
            "a.toml",
            "._a.toml",
            ".#x.toml",
            "#x.toml",
            "#x.toml#",
            "x.toml~",
            "x.toml.swp",
            ".DS_Store",
            "Thumbs.db",
            "x.toml.bak",
        ] {
            std::fs::write(at(name), "").expect("written");
        }
        std::fs::create_dir(at("d.toml")).expect("a directory");
        std::os::unix::fs::symlink("ann@host.1:2", at("l.toml")).expect("a link");
        std::os::unix::fs::symlink("a.toml", at("linked.toml")).expect("a link");
        let listing = list(directory.path(), "toml").expect("readable");
        let names: Vec<_> = listing
            .files
            .iter()
            .filter_map(|path| path.file_name())
            .collect();
        assert_eq!(names, ["a.toml", "b.toml", "linked.toml"]);
        assert_eq!(listing.notes.len(), 5, "{:?}", listing.notes);
    }
}
