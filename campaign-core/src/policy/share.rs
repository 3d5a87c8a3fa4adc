//! Fair share between campaigns under an engine-wide cap.

use crate::id::CampaignId;

/// One campaign that wants to start attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// The campaign.
    pub campaign: CampaignId,
    /// Its weight, see [`crate::campaign::Priority::weight`].
    pub weight: u32,
    /// Attempts it has in flight.
    pub in_flight: u32,
    /// How many more it could start now.
    pub wants: u32,
}

/// How many each campaign may start, `free` in all: always to the one with the fewest attempts in flight for its weight
/// (weighted max-min fairness), so that a late comer catches up and nobody waits for ever. Same order as `demands`.
pub fn divide(demands: &[Demand], free: u32) -> Vec<u32> {
    if demands.iter().map(|demand| u64::from(demand.wants)).sum::<u64>() <= u64::from(free) {
        return demands.iter().map(|demand| demand.wants).collect();
    }
    let mut given = vec![0u32; demands.len()];
    for _ in 0..free {
        let next = (0..demands.len())
            .filter(|&index| given[index] < demands[index].wants)
            // Cross-multiplied to stay in whole numbers: (in_flight + given + 1) / weight, smallest first, then by id.
            .min_by(|&a, &b| {
                let load = |i: usize| u64::from(demands[i].in_flight) + u64::from(given[i]) + 1;
                let weight = |i: usize| u64::from(demands[i].weight.max(1));
                (load(a) * weight(b)).cmp(&(load(b) * weight(a))).then(demands[a].campaign.cmp(&demands[b].campaign))
            });
        match next {
            Some(index) => given[index] += 1,
            None => break,
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(id: i64, weight: u32, in_flight: u32, wants: u32) -> Demand {
        Demand { campaign: CampaignId(id), weight, in_flight, wants }
    }

    #[test]
    fn shares_follow_weights() {
        assert_eq!(divide(&[demand(1, 1, 0, 100), demand(2, 2, 0, 100), demand(3, 4, 0, 100)], 70), [10, 20, 40]);
    }

    #[test]
    fn a_late_comer_catches_up_and_nothing_is_wasted() {
        assert_eq!(divide(&[demand(1, 2, 50, 100), demand(2, 2, 0, 30)], 20), [0, 20]);
        assert_eq!(divide(&[demand(1, 2, 0, 3), demand(2, 4, 0, 100)], 50), [3, 47]);
        assert_eq!(divide(&[], 50), Vec::<u32>::new());
        assert_eq!(divide(&[demand(1, 1, u32::MAX, 9), demand(2, 0, 0, 5)], 7), [2, 5]);
    }

    proptest::proptest! {
        /// Nothing is wasted, nobody gets more than wanted, and no unit could go to somebody with a smaller load for the weight.
        #[test]
        fn shares_are_fair(rows in proptest::collection::vec((1u32..5, 0u32..30, 0u32..30), 0..6), free in 0u32..100) {
            let demands: Vec<Demand> = (1..).zip(&rows).map(|(id, &(weight, in_flight, wants))| demand(id, weight, in_flight, wants)).collect();
            let given = divide(&demands, free);
            let wanted: u32 = demands.iter().map(|demand| demand.wants).sum();
            assert_eq!(given.iter().sum::<u32>(), wanted.min(free));
            for (a, &got) in demands.iter().zip(&given) {
                assert!(got <= a.wants);
                for (b, &other) in demands.iter().zip(&given).filter(|(b, other)| **other < b.wants) {
                    // `b` wants more: giving it `a`'s last unit would not have left it better off than `a` is.
                    assert!(got == 0 || (a.in_flight + got) * b.weight <= (b.in_flight + other + 1) * a.weight);
                }
            }
        }
    }
}
