//! Parses the text of a setting. Each error names the expected value.

use std::ops::RangeInclusive;

use clap::ValueEnum;

/// Parses a text that is not empty.
pub fn text(given: &str) -> Result<String, String> {
    if given.trim().is_empty() {
        return Err("expected some text".to_owned());
    }
    Ok(given.to_owned())
}

/// Returns a whole number within `bounds`.
pub fn whole_number(given: &str, bounds: RangeInclusive<u32>) -> Result<u32, String> {
    let expected = || {
        format!(
            "expected a whole number from {} to {}",
            bounds.start(),
            bounds.end()
        )
    };
    let number = given
        .trim()
        .replace('_', "")
        .parse()
        .map_err(|_| expected())?;
    if bounds.contains(&number) {
        Ok(number)
    } else {
        Err(expected())
    }
}

/// Parses one of a few words.
pub fn choice<T: ValueEnum>(given: &str) -> Result<T, String> {
    T::from_str(given.trim(), true).map_err(|_| {
        let names = words::<T>();
        let (last, others) = names
            .split_last()
            .map_or(("", &[][..]), |(last, others)| (last.as_str(), others));
        format!("expected {} or {last}", others.join(", "))
    })
}

/// Returns the words that [`choice`] accepts.
pub fn words<T: ValueEnum>() -> Vec<String> {
    T::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value)
        .map(|value| value.get_name().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::generate::OnEmpty;

    #[test]
    fn what_was_expected_is_said() {
        assert_eq!(choice::<OnEmpty>("Fail"), Ok(OnEmpty::Fail));
        assert_eq!(
            choice::<OnEmpty>("fali"),
            Err("expected ok, warn or fail".to_owned())
        );
        assert_eq!(whole_number("1_0", 1..=100), Ok(10));
        assert_eq!(
            whole_number("0", 1..=100),
            Err("expected a whole number from 1 to 100".to_owned())
        );
        assert!(text(" ").is_err());
    }
}
