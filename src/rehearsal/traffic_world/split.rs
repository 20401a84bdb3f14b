//! Dealing out whole requests by shares, without chance: what a share is owed is carried on to the next time.

use std::collections::BTreeMap;

/// What each share of each heap is still owed; between -1 and 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Splitter {
    owed: BTreeMap<(String, String), f64>,
}

impl Splitter {
    /// Returns the whole number of requests that a rate amounts to in a time.
    pub(super) fn count(&mut self, heap: &str, amount: f64) -> u64 {
        let owed = self.owed.entry((heap.to_owned(), String::new())).or_default();
        *owed += amount.max(0.0);
        let whole = whole(*owed);
        *owed -= number(whole);
        whole
    }

    /// Deals out requests by shares (of any sum above 0); the parts sum up to the whole.
    pub(super) fn split(&mut self, heap: &str, requests: u64, shares: &[(String, f64)]) -> Vec<u64> {
        let sum: f64 = shares.iter().map(|(_, share)| share.max(0.0)).sum();
        if sum <= 0.0 {
            return vec![0; shares.len()];
        }
        let mut parts = Vec::with_capacity(shares.len());
        let mut rests = Vec::with_capacity(shares.len());
        let mut left = requests;
        for (name, share) in shares {
            let carried = self
                .owed
                .get(&(heap.to_owned(), name.clone()))
                .copied()
                .unwrap_or_default();
            let owed = number(requests) * share.max(0.0) / sum + carried;
            let part = whole(owed).min(left);
            left -= part;
            parts.push(part);
            rests.push(owed - number(part));
        }
        while left > 0 {
            // The first of those that are owed most, but only one that has a share at all.
            let mut most: Option<(usize, f64)> = None;
            for (n, rest) in rests.iter().enumerate() {
                let has_share = shares.get(n).is_some_and(|(_, share)| *share > 0.0);
                if has_share && most.is_none_or(|(_, most)| *rest > most + 1e-9) {
                    most = Some((n, *rest));
                }
            }
            let Some((n, _)) = most else { break };
            if let (Some(part), Some(rest)) = (parts.get_mut(n), rests.get_mut(n)) {
                *part += 1;
                *rest -= 1.0;
            }
            left -= 1;
        }
        for ((name, _), rest) in shares.iter().zip(rests) {
            self.owed
                .insert((heap.to_owned(), name.clone()), rest.clamp(-1.0, 1.0));
        }
        parts
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "floored and clamped to 0 … 1e12"
)]
fn whole(amount: f64) -> u64 {
    (amount + 1e-9).floor().clamp(0.0, 1e12) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(of: &[f64]) -> Vec<(String, f64)> {
        of.iter()
            .enumerate()
            .map(|(n, share)| (n.to_string(), *share))
            .collect()
    }

    #[test]
    fn fractions_are_carried_on() {
        let mut splitter = Splitter::default();
        let counts: Vec<u64> = (0..4).map(|_| splitter.count("a", 0.5)).collect();
        assert_eq!(counts, [0, 1, 0, 1]);
        let parts: Vec<Vec<u64>> = (0..4)
            .map(|_| splitter.split("a", 1, &shares(&[75.0, 25.0])))
            .collect();
        assert_eq!(parts.iter().map(|p| p[1]).sum::<u64>(), 1);
    }

    #[test]
    fn a_share_of_zero_gets_nothing() {
        let mut splitter = Splitter::default();
        for _ in 0..100 {
            assert_eq!(splitter.split("a", 3, &shares(&[100.0, 0.0])), [3, 0]);
        }
        assert_eq!(splitter.split("a", 3, &shares(&[0.0, 0.0])), [0, 0]);
    }

    proptest! {
        #[test]
        fn parts_sum_up_and_follow_the_shares(
            of in proptest::collection::vec(0.0_f64..100.0, 1..5),
            requests in proptest::collection::vec(0_u64..50, 1..50),
        ) {
            let shares = shares(&of);
            let sum: f64 = of.iter().sum();
            prop_assume!(sum > 0.1);
            let mut splitter = Splitter::default();
            let mut totals = vec![0_u64; of.len()];
            for requests in &requests {
                let parts = splitter.split("a", *requests, &shares);
                prop_assert_eq!(parts.iter().sum::<u64>(), *requests);
                totals.iter_mut().zip(parts).for_each(|(total, part)| *total += part);
            }
            let all = number(requests.iter().sum());
            for (total, share) in totals.iter().zip(&of) {
                prop_assert!((number(*total) - all * share / sum).abs() <= 1.0 + 1e-6);
            }
        }
    }
}
