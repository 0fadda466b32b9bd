//! The computation that judges the queries is itself judged: by what the contract says of each hand-made case.

use super::Fair;
use crate::support::market::{Expectation, handmade};
use crate::support::oracle::ExpectedFile;

#[test]
fn the_computation_puts_every_handmade_case_where_the_contract_does() {
    let fair = Fair::of("handmade", handmade::market());
    let facts = fair.facts();
    let files: Vec<(&str, Vec<ExpectedFile>)> = fair
        .requests()
        .iter()
        .map(|request| (request.audience(), request.files(&facts)))
        .collect();
    let wrong: Vec<String> = fair
        .market
        .expectations
        .iter()
        .filter_map(|expectation| {
            let (_, files) = files
                .iter()
                .find(|(audience, _)| *audience == expectation.audience)?;
            disagreement(expectation, files)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for (audience, files) in &files {
        for file in files {
            assert!(
                file.rows.len() > 2,
                "{audience}: {} shows nothing",
                file.stem
            );
        }
    }
}

/// What is wrong with the files, where one person is expected in them; nothing when nothing is.
fn disagreement(expected: &Expectation, files: &[ExpectedFile]) -> Option<String> {
    let Expectation {
        audience,
        user,
        file,
        fields,
        rule,
    } = expected;
    let found: Vec<&ExpectedFile> = files
        .iter()
        .filter(|file| file.row_of(*user).is_some())
        .collect();
    let stems: Vec<&str> = found.iter().map(|file| file.stem.as_str()).collect();
    // A showcase's stems end with its product.
    let as_expected = match (stems.as_slice(), file) {
        ([], None) => true,
        ([found], Some(stem)) => {
            found == stem || (*audience == "showcase" && found.starts_with(stem))
        }
        _ => false,
    };
    if !as_expected {
        return Some(format!(
            "{audience}: {user} is in {stems:?}, not in {file:?}: {rule}"
        ));
    }
    let file = found.first()?;
    let row = file.row_of(*user)?;
    fields
        .iter()
        .find(|(column, value)| file.value(row, column) != value)
        .map(|(column, value)| {
            let seen = file.value(row, column);
            format!("{audience}: {user} has {column} {seen:?}, not {value:?}: {rule}")
        })
}
