//! Rankings: most first, and by name where counts are equal.

/// `counts` from the highest to the lowest.
pub fn ranked<N: Ord>(counts: impl IntoIterator<Item = (N, u64)>) -> Vec<(N, u64)> {
    let mut ranked: Vec<(N, u64)> = counts.into_iter().collect();
    ranked
        .sort_by(|(name, count), (other, others)| others.cmp(count).then_with(|| name.cmp(other)));
    ranked
}

#[cfg(test)]
mod tests {
    use super::ranked;

    #[test]
    fn equal_counts_stand_by_name() {
        let counts = [("b", 2), ("c", 3), ("a", 2)];
        assert_eq!(ranked(counts), [("c", 3), ("a", 2), ("b", 2)]);
    }
}
