//! `pushctl diff` as it is typed: how it ends, and what it prints.

use crate::support::cli::Sandbox;

fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let old = "user_id,name,lastActive\n1,Ann,2026-11-20\n2,Bob,2026-11-20\n3,Cy,2026-11-20\n";
    sandbox.write("here/old.csv", old);
    sandbox.write("here/later.csv", &old.replace("20\n", "21\n"));
    let new = "user_id,name,lastActive\n2,Rob,2026-11-20\n1,Ann,2026-11-20\n4,Di,2026-11-20\n";
    sandbox.write("here/new.csv", new);
    sandbox
}

#[test]
fn files_that_differ_are_reported_and_end_with_1() {
    insta::assert_snapshot!(sandbox().run(&["diff", "old.csv", "new.csv", "--key", "user_id"]), @r#"
    ---- stdout
    1  the same
    1  only in new.csv
    1  only in old.csv
    1  in both, but different, by column: name 1
    The rows of the two files are in different orders.

    Only in new.csv (user_id):
      4

    Only in old.csv (user_id):
      3

    Different (user_id):
      2
        name: "Bob" → "Rob"
    ---- exit status 1
    "#);
}

#[test]
fn files_that_say_the_same_end_with_0_and_quietly_say_nothing() {
    let sandbox = sandbox();
    let differ = [
        "diff",
        "old.csv",
        "later.csv",
        "--key",
        "user_id",
        "--examples",
        "1",
    ];
    let outcome = sandbox.run(&differ);
    assert_eq!(outcome.status, 1);
    assert!(outcome.stdout.contains("… and 2 more"), "{outcome}");
    let same = [
        "diff",
        "old.csv",
        "later.csv",
        "--key",
        "user_id",
        "--ignore",
        "name,lastActive",
    ];
    insta::assert_snapshot!(sandbox.run(&same), @r"
    ---- stdout
    3  the same
    0  only in later.csv
    0  only in old.csv
    0  in both, but different
    ---- exit status 0
    ");
    let mut quiet = same.to_vec();
    quiet.push("-q");
    insta::assert_snapshot!(sandbox.run(&quiet), @"---- exit status 0");
}

#[test]
fn for_programs_there_is_one_document() {
    let sandbox = sandbox();
    let outcome = sandbox.run(&["diff", "old.csv", "new.csv", "--key", "user_id", "--json"]);
    assert_eq!(outcome.status, 1);
    let document = outcome.json();
    assert_eq!(
        ["same", "added", "removed", "changed", "changed_cells"].map(|name| &document[name]),
        [1, 1, 1, 1, 1]
    );
    let failed = sandbox.run(&["diff", "old.csv", "new.csv", "--key", "userid", "--json"]);
    assert_eq!(
        (failed.status, &failed.json()["error"]["exit_status"]),
        (2, &2.into())
    );
}

#[test]
fn what_cannot_be_compared_ends_with_2() {
    let sandbox = sandbox();
    insta::assert_snapshot!(sandbox.run(&["diff", "old.csv", "gone.csv", "--key", "user_id"]), @r"
    ---- stderr
    error: cannot read gone.csv
    caused by: No such file or directory (os error 2)
    ---- exit status 2
    ");
    insta::assert_snapshot!(sandbox.run(&["diff", "old.csv", "new.csv", "--key", "userid"]), @r#"
    ---- stderr
    error: old.csv has no column "userid"
    hint: did you mean user_id?
    ---- exit status 2
    "#);
    let help = sandbox.run(&["diff", "--help"]);
    assert!(help.stdout.contains("\n  1   the files differ\n"), "{help}");
}

/// A file of the predecessor: CRLF, and no column that identifies a user.
#[test]
fn an_old_showcase_file_is_compared_with_the_columns_of_a_new_one() {
    let sandbox = Sandbox::new();
    let old = "firstName,size,variantID,lastActive\r\n\"Ann, B\",9,v1,2026-11-20\r\nBob,10,v2,2026-11-20\r\n";
    let new = "user_id,username,firstName,usersize,variantID,lastActive\nu2,bob,Bob,10,v2,x\nu1,ann,\"Ann, B\",9,v1,x\n";
    sandbox.write("here/old.csv", old);
    sandbox.write("here/new.csv", new);
    let ignored = "user_id,username,lastActive";
    let diff = |ignored: &str, rename: &str| {
        sandbox.run(&[
            "diff", "old.csv", "new.csv", "--ignore", ignored, "--rename", rename,
        ])
    };
    insta::assert_snapshot!(diff(ignored, "size=usersize"), @r"
    ---- stdout
    2  the same
    0  only in new.csv
    0  only in old.csv
    The rows of the two files are in different orders.
    ---- exit status 0
    ");
    let columns = diff("lastActive", "size=usersize");
    assert_eq!(columns.status, 1);
    assert!(
        columns
            .stdout
            .contains("Only new.csv has: user_id, username\n"),
        "{columns}"
    );
    insta::assert_snapshot!(diff(ignored, "siez=usersize"), @r#"
    ---- stderr
    error: old.csv has no column "siez"
    hint: did you mean size?
    ---- exit status 2
    "#);
    insta::assert_snapshot!(diff(ignored, "size=shoesize"), @r#"
    ---- stderr
    error: new.csv has no column "shoesize"
    hint: it has: user_id, username, firstName, usersize, variantID, lastActive
    ---- exit status 2
    "#);
    insta::assert_snapshot!(diff(ignored, "size=firstName"), @r#"
    ---- stderr
    error: old.csv already has a column "firstName"
    hint: give that one another name first: --rename firstName=OTHER
    ---- exit status 2
    "#);
    diff(ignored, "size").says("expected two names of a column, like usersize=size");
    // With a key, too.
    let keyed = sandbox.run(&[
        "diff",
        "old.csv",
        "new.csv",
        "--key",
        "usersize",
        "--rename",
        "size=usersize",
        "--json",
        "--ignore",
        ignored,
    ]);
    assert_eq!(keyed.status, 0, "{keyed}");
    let document = keyed.json();
    assert_eq!(document["same"], 2);
    assert_eq!(
        document["renamed"],
        serde_json::json!([{ "a": "size", "b": "usersize" }])
    );
    assert!(document.get("without_key").is_none(), "{document}");
}
