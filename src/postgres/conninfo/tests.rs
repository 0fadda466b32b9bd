use proptest::prelude::*;

use super::*;
use crate::settings::secret::is_address;

fn pairs(text: &str) -> String {
    let pairs = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    pairs
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn urls_are_taken_apart_as_people_have_them() {
    let table = [
        ("postgres://", ""),
        ("postgresql://db.example.com", "host=db.example.com"),
        (
            "postgres://ann@db.example.com:6543/market",
            "user=ann host=db.example.com port=6543 dbname=market",
        ),
        (
            "postgres://ann:p%40ss%2Fw@h/m",
            "user=ann password=p@ss/w host=h dbname=m",
        ),
        (
            "postgres://ann:p@ss@h/m",
            "user=ann password=p@ss host=h dbname=m",
        ),
        (
            "postgres://ann:p#s%25s:x@h/m",
            "user=ann password=p#s%s:x host=h dbname=m",
        ),
        (
            "postgres://[2001:db8::7]:5433/m",
            "host=2001:db8::7 port=5433 dbname=m",
        ),
        ("postgres://[::1]/m", "host=::1 dbname=m"),
        (
            "postgres://a:1,b,[::1]:3/m",
            "host=a,b,::1 port=1,,3 dbname=m",
        ),
        (
            "postgres:///m?host=/run/pg&port=7",
            "dbname=m host=/run/pg port=7",
        ),
        ("postgres://%2Frun%2Fpg/m", "host=/run/pg dbname=m"),
        (
            "postgres://h/m?pgbouncer=true&connection_limit=1&schema=",
            "host=h dbname=m pgbouncer=true connection_limit=1 schema=",
        ),
        (
            "postgres://h?sslmode=verify-full&flag",
            "host=h sslmode=verify-full flag=",
        ),
        ("postgres://:secret@h", "password=secret host=h"),
        ("postgres://h/caf%C3%A9\r\n", "host=h dbname=café"),
        (
            "host=h user=ann password='it\\'s \\\\ me' dbname = m",
            "host=h user=ann password=it's \\ me dbname=m",
        ),
        ("host=h password=a\\ b", "host=h password=a b"),
        ("host='' dbname=m", "host= dbname=m"),
        ("password=postgres://x", "password=postgres://x"),
    ];
    for (text, expected) in table {
        assert_eq!(pairs(text), expected, "{text}");
    }
}

#[test]
fn a_malformed_one_is_a_usage_error_that_names_the_part_and_quotes_nothing() {
    let table = [
        ("hunter2", "neither a URL nor"),
        ("mysql://ann:hunter2@h/m", "does not begin with postgres://"),
        (
            "postgres://ann:hunter2/x@h/m",
            "an @ stands behind the host",
        ),
        (
            "postgres://ann:5?hunter2=x@h/m",
            "an @ stands behind the host",
        ),
        (
            "postgres://ann:a@b?hunter2@h/m",
            "an @ stands behind the host",
        ),
        ("postgres://ann:hunter2", "the port is not a number"),
        (" postgres://ann:hunter2@h/m", "has blanks around it"),
        ("postgres://ann:hunter2@h/m ", "has blanks around it"),
        ("\"postgres://ann:hunter2@h/m\"", "has quotes around it"),
        ("'host=h password=hunter2'", "has quotes around it"),
        ("postgres://ann:hunter2@h/m'", "has quotes around it"),
        (
            "DATABASE_URL=postgres://ann:hunter2@h/m",
            "begins with the name of a variable",
        ),
        (
            "export DATABASE_URL='postgres://ann:hunter2@h/m'",
            "begins with the name of a variable",
        ),
        ("PGPASSWORD=hunter2", "begins with the name of a variable"),
        (
            "jdbc:postgresql://h/m?password=hunter2",
            "in the form of JDBC",
        ),
        ("postgres:/ann:hunter2@h/m", "no // behind postgres:"),
        ("postgres:ann:hunter2@h/m", "no // behind postgres:"),
        ("postgres//ann:hunter2@h/m", "no : behind postgres"),
        ("POSTGRES://ann:hunter2@h/m", "in lower case"),
        (
            "postgresql+asyncpg://ann:hunter2@h/m",
            "names a driver before ://",
        ),
        (
            "psql postgres://ann:hunter2@h/m",
            "text in front of postgres://",
        ),
        ("sqlite:///hunter2.db", "the address of a file"),
        ("https://ann:hunter2@h/m", "the address of a web service"),
        ("redis:hunter2", "does not begin with postgres://"),
        ("ann:hunter2@h:5432/m", "does not begin with postgres://"),
        (
            "Host=h;Username=ann;Password=hunter2",
            "in the form of another program",
        ),
        (
            "Server=h;Port=5432;Uid=ann;Pwd=hunter2;",
            "in the form of another program",
        ),
        ("hots=h password=hunter2", "keyword 1 is not one of libpq's"),
        (
            "host=h password=a hunter2=b",
            "keyword 3 is not one of libpq's",
        ),
        ("Host=h Password=hunter2", "keyword 1 is not one of libpq's"),
        ("postgres://ann:hunter2%zz@h/m", "the password has a %"),
        ("postgres://ann:hunter2%00@h/m", "the password has a %"),
        ("postgres://ann:hunter2%ff@h/m", "the password is not UTF-8"),
        (
            "postgres://ann:hunter2@h:99999/m",
            "the port is not a number",
        ),
        ("postgres://ann:hunter2@[::1/m", "no closing bracket"),
        (
            "postgres://ann:hunter2@[::1]x/m",
            "follows an IPv6 host's bracket",
        ),
        ("postgres://ann:hunter2@h/m?x=%1", "the parameter x has a %"),
        ("host=h password='hunter2", "no closing quote"),
        ("host=h hunter2", "a keyword is not followed by ="),
        ("host=h password=hunter2\\", "ends in a backslash"),
    ];
    for (text, expected) in table {
        // A password alone is a name like others.
        assert!(
            is_address(text) || !text.contains([':', '=', '/']),
            "{text}"
        );
        let error = parse(text).expect_err(text);
        assert_eq!(error.kind(), crate::error::ErrorKind::Usage);
        assert!(error.to_string().contains(expected), "{text}: {error}");
        let shown = format!("{error:#} {error:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_typo_is_refused_with_the_nearest_keyword() {
    for (text, meant) in [
        ("hots=h", "host"),
        ("host=h usr=ann", "user"),
        ("host=h sslmod=require", "sslmode"),
        ("Host=h", "host"),
        ("server=h", "host"),
        ("host=h database=m", "dbname"),
        ("host=h User Id=ann", "user"),
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(error.hints(), [format!("did you mean {meant}?")], "{text}");
    }
}

proptest! {
    #[test]
    fn no_error_quotes_a_secret(before in "[ -~]{0,14}", after in "[ -~]{0,14}", scheme in "(postgres(ql)?:/{0,2}|jdbc:postgresql://|Host=|host=|)") {
        let text = format!("{scheme}{before}hunter2{after}");
        if let Err(error) = parse(&text) {
            let shown = format!("{error:#} {error:?} {:?}", error.hints());
            prop_assert!(!shown.contains("hunter2"), "{text}: {shown}");
        }
    }

    #[test]
    fn what_is_encoded_comes_back(user in "[^\0]{1,12}", password in "[^\0]{1,20}", dbname in "[^\0]{1,12}", port in 1_u16..) {
        let url = format!("postgres://{}:{}@db.example.com:{port}/{}", encode(&user), encode(&password), encode(&dbname));
        let expected = [
            ("user", user), ("password", password), ("host", "db.example.com".to_owned()),
            ("port", port.to_string()), ("dbname", dbname),
        ];
        prop_assert_eq!(parse(&url).unwrap(), expected.map(|(key, value)| (key.to_owned(), value)));
    }

    #[test]
    fn quoted_keywords_come_back(password in "[^\0]{1,20}") {
        let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
        let text = format!("host=h password='{quoted}' dbname=m");
        let pairs = parse(&text).unwrap();
        prop_assert_eq!(&pairs[1].1, &password);
    }

    #[test]
    fn no_text_makes_it_panic(text in "(postgres://)?[ -~é]{0,40}") {
        let _ = parse(&text);
    }
}
