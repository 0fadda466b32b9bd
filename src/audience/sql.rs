//! A scanner for `:name` in SQL outside strings, comments and casts. It knows the lexical structure (PostgreSQL's
//! documentation, "Lexical Structure"), not the grammar.

/// Returns each `:name` of `sql` and the byte offset of its colon, in order.
pub fn parameters(sql: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    scan(sql, |token, at| {
        if let Token::Parameter(name) = token {
            found.push((name.to_owned(), at));
        }
    });
    found
}

/// Returns each name in front of an opening bracket, in lower case, and its byte offset: a function's, or a keyword.
pub fn calls(sql: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let text = statement(sql);
    scan(sql, |token, at| {
        let Token::Name(name) = token else {
            return;
        };
        let behind = text.get(at + name.len()..).unwrap_or_default();
        if behind.trim_start().starts_with('(') {
            found.push((name.trim_matches('"').to_ascii_lowercase(), at));
        }
    });
    found
}

/// Returns `sql` with each `:name` replaced by `value(name)`. Line numbers do not change.
pub fn substitute(sql: &str, value: impl Fn(&str) -> String) -> String {
    let (mut out, mut done) = (String::with_capacity(sql.len() + 256), 0);
    scan(sql, |token, at| {
        if let Token::Parameter(name) = token {
            out.push_str(&sql[done..at]);
            out.push_str(&value(name));
            done = at + 1 + name.len();
        }
    });
    out.push_str(&sql[done..]);
    out
}

/// Returns `sql` without comments, trailing white space and a closing semicolon. Comments become spaces and
/// line breaks stay, so that line numbers do not change.
pub fn statement(sql: &str) -> String {
    let mut out = sql.as_bytes().to_vec();
    scan(sql, |token, at| {
        if let Token::Comment(length) = token {
            for byte in &mut out[at..at + length] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
    });
    let text = String::from_utf8_lossy(&out).into_owned();
    text.trim_end_matches(|c: char| c == ';' || c.is_whitespace())
        .to_owned()
}

/// Returns the statement without comments and white space at both ends.
pub fn significant(sql: &str) -> String {
    statement(sql).trim().to_owned()
}

enum Token<'a> {
    Parameter(&'a str),
    /// With its quotes, if it has some.
    Name(&'a str),
    Comment(usize),
}

fn scan<'a>(sql: &'a str, mut on: impl FnMut(Token<'a>, usize)) {
    let bytes = sql.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        at = match bytes[at] {
            b'\'' => quoted(bytes, at, b'\'', escapes_with_backslash(bytes, at)),
            b'"' => {
                let end = quoted(bytes, at, b'"', false);
                on(Token::Name(&sql[at..end]), at);
                end
            }
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                let end = memchr::memchr(b'\n', &bytes[at..]).map_or(bytes.len(), |n| at + n);
                on(Token::Comment(end - at), at);
                end
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                let end = block_comment(bytes, at);
                on(Token::Comment(end - at), at);
                end
            }
            b'$' => dollar_quoted(sql, at),
            b':' if bytes.get(at + 1) == Some(&b':') => at + 2,
            b':' => {
                let length = word_length(&bytes[at + 1..]);
                if length > 0 {
                    on(Token::Parameter(&sql[at + 1..=at + length]), at);
                }
                at + 1 + length
            }
            _ => {
                let length = word_length(&bytes[at..]);
                if length > 0 {
                    on(Token::Name(&sql[at..at + length]), at);
                }
                at + length.max(1)
            }
        };
    }
}

/// Returns the length of the identifier at the beginning of `bytes`: ASCII letter or underscore, then digits too.
fn word_length(bytes: &[u8]) -> usize {
    if !bytes
        .first()
        .is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_')
    {
        return 0;
    }
    bytes
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || **b == b'_')
        .count()
}

fn escapes_with_backslash(bytes: &[u8], quote: usize) -> bool {
    let prefixed = quote > 0 && matches!(bytes[quote - 1], b'e' | b'E');
    prefixed
        && !(quote > 1 && (bytes[quote - 2].is_ascii_alphanumeric() || bytes[quote - 2] == b'_'))
}

fn quoted(bytes: &[u8], start: usize, quote: u8, backslash: bool) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if backslash => at += 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

fn block_comment(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

fn dollar_quoted(sql: &str, start: usize) -> usize {
    let bytes = sql.as_bytes();
    let name = word_length(&bytes[start + 1..]);
    let open = start + 1 + name;
    if bytes.get(open) != Some(&b'$') {
        return start + 1;
    }
    let tag = &sql[start..=open];
    sql[open + 1..]
        .find(tag)
        .map_or(bytes.len(), |n| open + 1 + n + tag.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sql: &str) -> Vec<String> {
        parameters(sql).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn parameters_are_found_where_sql_would_see_them() {
        assert_eq!(names("a > :days AND b = :name::text"), ["days", "name"]);
        assert_eq!(names("make_interval(days=>:n)"), ["n"]);
    }

    #[test]
    fn strings_comments_casts_and_dollar_quotes_are_left_alone() {
        assert!(
            names("':a' \":b\" -- :c\n /* :d /* :e */ :f */ x::int $$ :g $$ $t$ :h $t$ E'\\':i'")
                .is_empty()
        );
        assert_eq!(names("'it''s :a' || :b"), ["b"]);
        assert_eq!(names("type'\\' || :b"), ["b"]);
    }

    #[test]
    fn a_statement_keeps_its_lines_and_loses_comments_and_semicolon() {
        assert_eq!(
            statement("-- x\nSELECT /* y\n */ 1; -- z\n;\n")
                .matches('\n')
                .count(),
            2
        );
        assert_eq!(significant("-- only\n ; "), "");
    }

    proptest::proptest! {
        #[test]
        fn any_text_can_be_scanned_and_nothing_is_lost(text in "\\PC{0,60}") {
            assert_eq!(substitute(&text, |name| format!(":{name}")), text);
        }
    }
}
