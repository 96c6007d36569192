//! The nearest known name of a misspelt one.

/// The candidate nearest to `name`, if it is near enough to have been meant. Of equally near ones the first.
///
/// Case and the separators `.`, `-` and `_` do not count, so that `LINGER_MS` finds `linger.ms`.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A misspelling of something longer than every known name is hopeless, and the distance is quadratic.
    if name.is_empty() || name.len() > 100 {
        return None;
    }
    let wanted = plain(name);
    let limit = (wanted.len() / 4).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(&wanted, &plain(candidate)), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

fn plain(name: &str) -> Vec<char> {
    name.chars().map(|c| if matches!(c, '-' | '_') { '.' } else { c.to_ascii_lowercase() }).collect()
}

/// How many insertions, deletions, replacements and swaps of neighbours turn `a` into `b` (optimal string alignment).
pub(crate) fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let names = ["linger.ms", "batch.size", "acks"];
        assert_eq!(nearest("lingr.ms", names), Some("linger.ms"));
        assert_eq!(nearest("lniger.ms", names), Some("linger.ms"));
        assert_eq!(nearest("LINGER_MS", names), Some("linger.ms"));
        assert_eq!(nearest("bach.size", names), Some("batch.size"));
        assert_eq!(nearest("ack", names), Some("acks"));
        assert_eq!(nearest("ax", names), None);
        assert_eq!(nearest("colour", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest(&"x".repeat(100_000), names), None);
    }

    #[test]
    fn a_swap_of_neighbours_is_one_step() {
        let chars = |text: &str| text.chars().collect::<Vec<_>>();
        assert_eq!(distance(&chars("acks"), &chars("akcs")), 1);
        assert_eq!(distance(&chars(""), &chars("abc")), 3);
        assert_eq!(distance(&chars("kitten"), &chars("sitting")), 3);
    }
}
