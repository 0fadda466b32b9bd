//! The computation that judges the queries is itself judged: by what the contract says of each hand-made case.

use crate::support::market::{AS_OF, Expectation, Market, handmade};
use crate::support::oracle::facts::Facts;
use crate::support::oracle::tables::Tables;
use crate::support::oracle::{ExpectedFile, Layer2, Layer3, Nudges, Request, Showcase, Waterfall};
use crate::support::postgres::Postgres;

#[test]
fn the_computation_puts_every_handmade_case_where_the_contract_does() {
    let market = handmade::market();
    let database = Postgres::shared().database("handmade");
    market.load(&database);
    let tables = Tables::read(&database);
    let facts = Facts::at(AS_OF, &tables);
    let files: Vec<(&str, Vec<ExpectedFile>)> = requests(&market)
        .iter()
        .map(|request| (request.audience(), request.files(&facts)))
        .collect();
    let wrong: Vec<String> = market
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

/// Every audience at its default parameters.
fn requests(market: &Market) -> [Request; 5] {
    [
        Request::Layer2(Layer2::default()),
        Request::Layer3(Layer3::default()),
        Request::Showcase(Showcase::of(market.showcase)),
        Request::Waterfall(Waterfall::default()),
        Request::Nudges(Nudges::default()),
    ]
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
