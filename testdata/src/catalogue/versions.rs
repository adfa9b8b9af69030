//! Versions that follow those of the catalogue.

/// The numbers of a version, as many as it has.
fn numbers(version: &str) -> impl Iterator<Item = u32> {
    version.split('.').map(|part| part.parse().unwrap_or_default())
}

/// The next minor version.
pub(crate) fn next_minor(version: &str) -> String {
    let mut numbers = numbers(version);
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    format!("{major}.{}.0", minor + 1)
}

/// The next patch version.
pub(crate) fn next_patch(version: &str) -> String {
    let all: Vec<u32> = numbers(version).collect();
    let at = |n: usize| all.get(n).copied().unwrap_or_default();
    format!("{}.{}.{}", at(0), at(1), at(2) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_follow_one_another() {
        assert_eq!(next_minor("3.7.4"), "3.8.0");
        assert_eq!(next_patch("3.7.4"), "3.7.5");
    }
}
