//! `diff` of two CSV files: counts, cells, errors with their line, and an independent model.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod command;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use pushctl::csv_diff::{CsvDiff, Options, diff};
use pushctl::report::csv_diff::text;

struct Files {
    directory: tempfile::TempDir,
}

impl Files {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn diff(
        &self,
        a: impl AsRef<[u8]>,
        b: impl AsRef<[u8]>,
        key: &str,
        ignore: &str,
    ) -> Result<CsvDiff, String> {
        let names = |list: &str| {
            list.split(',')
                .filter(|name| !name.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let options = Options {
            key: names(key),
            ignore: names(ignore),
            rename: Vec::new(),
            examples: 2,
        };
        let compared = diff(&self.write("a.csv", a), &self.write("b.csv", b), &options);
        let directory = self.directory.path().display().to_string() + "/";
        compared.map_err(|error| {
            let said = format!("{error:#}\n{}", error.hints().join("\n"));
            said.replace(&directory, "").trim_end().to_owned()
        })
    }

    fn text(&self, diff: &CsvDiff) -> String {
        text(diff).replace(&format!("{}/", self.directory.path().display()), "")
    }
}

#[test]
fn what_was_added_removed_and_changed_is_counted_and_shown() {
    let files = Files::new();
    let a = "user_id,firstName,count,lastActive\n1,Ann,3,x\n2,Bob,4,x\n3,Cy,5,x\n4,Dee,6,x\n5,Eve,7,x\n6,Fay,8,x\n7,Gus,9,x\n";
    let b = "user_id,lastActive,count,firstName,extra\n9,y,1,Ida,\n2,y,40,Bob,\n1,y,3,\"Ann\",\n4,y,60,\"Dee\nDee\",\n8,y,1,Hal,\n10,y,1,Kim,\n6,y,80,Fay,\n";
    let found = files.diff(a, b, "user_id", "lastActive").unwrap();
    assert_eq!(
        (
            found.same,
            found.added,
            found.removed,
            found.changed,
            found.changed_cells
        ),
        (1, 3, 3, 3, 4)
    );
    assert!(!found.is_same());
    insta::assert_snapshot!(files.text(&found), @r#"
    1  the same
    3  only in b.csv
    3  only in a.csv
    3  in both, but different, by column: firstName 1, count 3
    Only b.csv has: extra
    The rows of the two files are in different orders.

    Only in b.csv (user_id):
      9
      8
      … and 1 more

    Only in a.csv (user_id):
      3
      5
      … and 1 more

    Different (user_id):
      2
        count: "4" → "40"
      4
        firstName: "Dee" → "Dee\nDee"
        count: "6" → "60"
      … and 1 more
    "#);
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["changed_by_column"][1]["cells"], 3);
    assert_eq!(json["examples"]["changed"][0]["cells"][0]["b"], "40");
    assert_eq!(json["b"]["own_columns"][0], "extra");
}

#[test]
fn line_endings_a_bom_quotes_and_the_order_of_columns_make_no_difference() {
    let files = Files::new();
    let a = "id,name,note\r\n1,Ann,\"a, b\"\r\n2,Bob,\r\n";
    let b = "\u{feff}name,id,note\n\"Ann\",1,\"a, b\"\n\"Bob\",\"2\",\"\"\n";
    let found = files.diff(a, b, "id", "").unwrap();
    assert!(
        found.is_same() && found.same_order,
        "{}",
        files.text(&found)
    );
    let found = files.diff(b, a, "id", "").unwrap();
    assert!(
        found.is_same() && found.same_order,
        "{}",
        files.text(&found)
    );
    insta::assert_snapshot!(files.text(&found), @r"
    2  the same
    0  only in b.csv
    0  only in a.csv
    0  in both, but different
    ");
}

#[test]
fn a_key_may_be_several_columns_and_their_borders_count() {
    let files = Files::new();
    let found = files
        .diff(
            "a,b,v\nx,yz,1\nxy,z,2\n",
            "a,b,v\nxy,z,2\nx,yz,1\n",
            "a,b",
            "",
        )
        .unwrap();
    assert_eq!((found.same, found.same_order), (2, false));
}

#[test]
fn every_error_names_its_place() {
    let files = Files::new();
    let good = "user_id,name\n1,Ann\n";
    let error = |a: &[u8], b: &[u8], key, ignore| files.diff(a, b, key, ignore).unwrap_err();
    insta::assert_snapshot!(error(good.as_bytes(), b"userid,name\n1,Ann\n", "user_id", ""), @r#"
    b.csv has no column "user_id"
    did you mean userid?
    "#);
    insta::assert_snapshot!(error(good.as_bytes(), good.as_bytes(), "user_id", "lastActive"), @r#"
    a.csv has no column "lastActive"
    it has: user_id, name
    "#);
    insta::assert_snapshot!(error(b"user_id,name\n1,\"A\nnn\"\n2,Bob\n1,Cy\n", good.as_bytes(), "user_id", ""), @r#"
    a.csv:5: the key user_id "1" is already on line 2
    --key takes several columns, separated by commas
    "#);
    insta::assert_snapshot!(error(good.as_bytes(), b"user_id,name\n1,a\n1,b\n", "user_id", ""), @r#"
    b.csv:3: the key user_id "1" is already on line 2
    --key takes several columns, separated by commas
    "#);
    insta::assert_snapshot!(error(good.as_bytes(), b"user_id,name\n7,a\n\n7,b\n", "user_id", ""), @r#"
    b.csv:4: the key user_id "7" is already on line 2
    --key takes several columns, separated by commas
    "#);
    insta::assert_snapshot!(error(good.as_bytes(), b"user_id,name\n1,Ann\n2,Bob,x\n", "user_id", ""), @r"
    b.csv:3: this row has 3 fields, the header has 2
    put a field with a comma, a quote or a line break in quotes
    ");
    insta::assert_snapshot!(error(b"user_id,name\r\n1,a\r\n2,\"b\r\nc\"\r\n\r\n3\r\n", good.as_bytes(), "user_id", ""), @r"
    a.csv:6: this row has 1 field, the header has 2
    put a field with a comma, a quote or a line break in quotes
    ");
    insta::assert_snapshot!(error(b"user_id,name\r\n1,a\r\n\r\n1,b\r\n", good.as_bytes(), "user_id", ""), @r#"
    a.csv:4: the key user_id "1" is already on line 2
    --key takes several columns, separated by commas
    "#);
    insta::assert_snapshot!(error(b"user_id,name\n1,Ann\n2\n", good.as_bytes(), "user_id", ""), @r"
    a.csv:3: this row has 1 field, the header has 2
    put a field with a comma, a quote or a line break in quotes
    ");
    insta::assert_snapshot!(error(good.as_bytes(), b"user_id,name\n1,Ann\n2,B\xffb\n", "user_id", ""), @r"
    b.csv:3: field 2 is not UTF-8
    save the file as UTF-8, and not as Latin-1 or Windows-1252
    ");
    insta::assert_snapshot!(error(good.as_bytes(), b"user_id,n\xffme\n1,Ann\n", "user_id", ""), @r"
    b.csv:1: field 2 is not UTF-8
    save the file as UTF-8, and not as Latin-1 or Windows-1252
    ");
    insta::assert_snapshot!(error(b"", good.as_bytes(), "user_id", ""), @"a.csv is empty: it has no header line");
    insta::assert_snapshot!(error(b"user_id,name,name\n1,a,b\n", good.as_bytes(), "user_id", ""), @r#"
    a.csv:1: two columns are called "name"
    rename one of them, or remove it
    "#);
    insta::assert_snapshot!(error(good.as_bytes(), b"id,firstName\n1,Ann\n", "", ""), @r"
    a.csv and b.csv have no column in common that can be compared
    --rename OLD=NEW compares columns of different names
    ");
    let missing = diff(
        "/nonexistent/a.csv".as_ref(),
        "/nonexistent/b.csv".as_ref(),
        &Options::default(),
    )
    .unwrap_err();
    assert_eq!(
        format!("{missing:#}"),
        "cannot read /nonexistent/a.csv: No such file or directory (os error 2)"
    );
}

#[test]
fn without_a_key_equal_rows_count_as_often_as_they_occur() {
    let files = Files::new();
    let a = "size,name,count\r\n9,Ann,1\r\n9,Ann,1\r\n10,Bob,2\r\n9,Ann,1\r\n11,Cy,3\r\n";
    let b = "user_id,name,size,count\nu1,Ann,9,1\nu2,Cy,11,3\nu3,Ann,9,1\nu4,Dee,8,1\nu5,Cy,11,3\n";
    let found = files.diff(a, b, "", "user_id").unwrap();
    assert_eq!(
        (found.same, found.added, found.removed, found.changed),
        (3, 2, 2, 0)
    );
    insta::assert_snapshot!(files.text(&found), @r"
    3  the same
    2  only in b.csv
    2  only in a.csv
    The rows of the two files are in different orders.

    Only in b.csv (size, name, count):
      8, Dee, 1
      11, Cy, 3

    Only in a.csv (size, name, count):
      10, Bob, 2
      9, Ann, 1
    ");
    // A column that only one file has is a difference, unless it is ignored.
    assert!(
        !files
            .diff(a, a.replace("count", "number"), "", "")
            .unwrap()
            .is_same()
    );
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["without_key"], true);
    let same = files.diff(a, a, "", "").unwrap();
    assert!(same.is_same() && same.same_order, "{}", files.text(&same));
}

#[test]
fn a_file_that_changes_in_each_of_many_rows_is_compared_cell_by_cell() {
    let files = Files::new();
    let file = |shift: u32| {
        let mut text = "id,name,value\n".to_owned();
        for row in 0..20_000 {
            writeln!(text, "{row},\"name, {row}\nsecond line é\",{}", row + shift).unwrap();
        }
        text
    };
    let found = files.diff(file(0), file(1), "id", "").unwrap();
    assert_eq!(
        (found.changed, found.changed_cells, found.same),
        (20_000, 20_000, 0)
    );
    assert_eq!(found.examples.changed[1].cells[0].a, "1");
    assert_eq!(found.changed_by_column.len(), 1);
}

fn rows() -> impl Strategy<Value = BTreeMap<String, [String; 2]>> {
    let value = || prop_oneof!["[a-c]{0,2}", "[\"',\r\n;é👟 ]{0,4}"];
    prop::collection::btree_map("[a-d\",é]{1,2}", [value(), value()], 0..12)
}

fn csv_of(rows: &[(&String, &[String; 2])]) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["key", "x", "y"]).unwrap();
    for (key, values) in rows {
        writer.write_record([*key, &values[0], &values[1]]).unwrap();
    }
    writer.into_inner().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn without_a_key_counts_are_those_of_two_multisets(
        a in prop::collection::vec("[ab]{0,2}", 0..20), b in prop::collection::vec("[ab]{0,2}", 0..20),
    ) {
        let csv = |rows: &[String]| {
            let pairs = rows.iter().map(|row| format!("\"{row}\",x\n"));
            format!("v,w\n{}", pairs.collect::<String>())
        };
        let found = Files::new().diff(csv(&a), csv(&b), "", "").unwrap();
        let count = |rows: &[String], value: &String| rows.iter().filter(|row| *row == value).count();
        let values: std::collections::BTreeSet<&String> = a.iter().chain(&b).collect();
        let same: usize = values.iter().map(|value| count(&a, value).min(count(&b, value))).sum();
        prop_assert_eq!(found.same, same as u64);
        prop_assert_eq!(found.added, (b.len() - same) as u64);
        prop_assert_eq!(found.removed, (a.len() - same) as u64);
        prop_assert_eq!(found.changed, 0);
        if a == b {
            prop_assert!(found.same_order);
        }
    }

    #[test]
    fn counts_are_those_of_a_comparison_in_memory(a in rows(), b in rows(), reversed: bool) {
        let mut order: Vec<_> = b.iter().collect();
        if reversed {
            order.reverse();
        }
        let files = Files::new();
        let found = files.diff(csv_of(&a.iter().collect::<Vec<_>>()), csv_of(&order), "key", "").unwrap();
        let both = a.iter().filter_map(|(key, row)| Some((row, b.get(key)?)));
        let changed: Vec<_> = both.clone().filter(|(a, b)| a != b).collect();
        let cells = changed.iter().map(|(a, b)| u64::from(a[0] != b[0]) + u64::from(a[1] != b[1])).sum::<u64>();
        let same = both.clone().count() - changed.len();
        prop_assert_eq!(found.same, same as u64);
        prop_assert_eq!(found.changed, changed.len() as u64);
        prop_assert_eq!(found.changed_cells, cells);
        prop_assert_eq!(found.added, b.keys().filter(|key| !a.contains_key(*key)).count() as u64);
        prop_assert_eq!(found.removed, a.keys().filter(|key| !b.contains_key(*key)).count() as u64);
        prop_assert_eq!(found.same_order, !reversed || both.count() < 2);
    }
}
