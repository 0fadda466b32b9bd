//! "Did you mean": the nearest of some names.

/// Returns the candidate that `typed` was probably meant to be, if one is near enough.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = typed.to_lowercase();
    candidates
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&lower, &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, name)| {
            *distance <= 1 + name.chars().count().max(lower.chars().count()) / 4
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Returns the candidate that `name` is a typing error of: at most two letters away. For names that others may have
/// given to something else, and that are therefore often only similar.
pub fn typo_of<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = candidates
        .into_iter()
        .map(|known| (strsim::damerau_levenshtein(name, known), known));
    let near = distances.filter(|(distance, _)| *distance <= 2);
    near.min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::{nearest, typo_of};

    #[test]
    fn a_typing_error_is_told_from_a_similar_name() {
        let names = ["connect_timeout", "sslmode"];
        assert_eq!(typo_of("sslmod", names), Some("sslmode"));
        assert_eq!(typo_of("socket_timeout", names), None);
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["lookback_days", "activity_days", "top"];
        assert_eq!(nearest("lokback_days", names), Some("lookback_days"));
        assert_eq!(nearest("TOP", names), Some("top"));
        assert_eq!(nearest("colour", names), None);
    }
}
