//! How a deployment moves from its old replica sets to its new one: pure arithmetic over their sizes.

use serde_json::Value;

use super::parts::share;
use crate::rehearsal::store::json as j;

/// A replica set's sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    /// `spec.replicas`.
    pub(super) wanted: i64,
    /// `status.availableReplicas`.
    pub(super) available: i64,
}

/// How many pods there may be beside the wanted ones, and how many may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) replicas: i64,
    pub(super) surge: i64,
    pub(super) unavailable: i64,
}

impl Bounds {
    /// Reads them from a deployment. Both zero would be a standstill: one may be missing then.
    pub(super) fn of(deployment: &Value) -> Self {
        let replicas = j::at(deployment, &["spec", "replicas"])
            .and_then(Value::as_i64)
            .unwrap_or(1);
        if j::text(deployment, &["spec", "strategy", "type"]) == "Recreate" {
            return Self {
                replicas,
                surge: 0,
                unavailable: 0,
            };
        }
        let rolling = |field: &str| j::at(deployment, &["spec", "strategy", "rollingUpdate", field]);
        let surge = share(rolling("maxSurge"), "25%", replicas, true);
        let unavailable = share(rolling("maxUnavailable"), "25%", replicas, false);
        let unavailable = if surge == 0 && unavailable == 0 {
            1
        } else {
            unavailable
        };
        Self {
            replicas,
            surge,
            unavailable: unavailable.min(replicas),
        }
    }

    fn least_available(self) -> i64 {
        self.replicas - self.unavailable
    }
}

/// Returns the size that the new replica set should have next.
pub(super) fn grow(bounds: Bounds, new: Size, old: &[Size]) -> i64 {
    if new.wanted >= bounds.replicas {
        return bounds.replicas;
    }
    let total = new.wanted + old.iter().map(|size| size.wanted).sum::<i64>();
    let room = (bounds.replicas + bounds.surge - total).max(0);
    new.wanted + room.min(bounds.replicas - new.wanted)
}

/// Returns the sizes that the old replica sets, oldest first, should have next: pods that are not available go
/// first, then as many as the new ones make up for.
pub(super) fn shrink(bounds: Bounds, new: Size, old: &[Size]) -> Vec<i64> {
    let total = new.wanted + old.iter().map(|size| size.wanted).sum::<i64>();
    let mut unhealthy = total - bounds.least_available() - (new.wanted - new.available);
    let mut sizes: Vec<i64> = old.iter().map(|size| size.wanted).collect();
    if unhealthy <= 0 {
        return sizes;
    }
    for (size, old) in sizes.iter_mut().zip(old) {
        let cut = unhealthy.min((old.wanted - old.available).max(0));
        *size -= cut;
        unhealthy -= cut;
    }
    let available = new.available
        + old
            .iter()
            .map(|size| size.available.min(size.wanted))
            .sum::<i64>();
    let mut spare = available - bounds.least_available();
    for size in &mut sizes {
        let cut = spare.clamp(0, *size);
        *size -= cut;
        spare -= cut;
    }
    sizes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn size(wanted: i64, available: i64) -> Size {
        Size { wanted, available }
    }

    #[test]
    fn the_default_bounds_are_a_quarter() {
        let bounds = Bounds::of(&json!({"spec": {"replicas": 4}}));
        assert_eq!(
            bounds,
            Bounds {
                replicas: 4,
                surge: 1,
                unavailable: 1
            }
        );
        let rolling = json!({"maxSurge": 0, "maxUnavailable": 0});
        let stuck = json!({"spec": {"replicas": 1, "strategy": {"rollingUpdate": rolling}}});
        assert_eq!(Bounds::of(&stuck).unavailable, 1);
    }

    #[test]
    fn a_step_stays_within_the_bounds() {
        let bounds = Bounds {
            replicas: 4,
            surge: 1,
            unavailable: 1,
        };
        assert_eq!(grow(bounds, size(0, 0), &[size(4, 4)]), 1);
        assert_eq!(shrink(bounds, size(1, 0), &[size(4, 4)]), [3]);
        assert_eq!(
            shrink(bounds, size(1, 0), &[size(3, 3)]),
            [3],
            "the new one is not there yet"
        );
        assert_eq!(shrink(bounds, size(2, 1), &[size(3, 3)]), [2]);
        assert_eq!(
            shrink(bounds, size(1, 0), &[size(4, 2)]),
            [3],
            "what does not work goes first"
        );
    }

    proptest! {
        #[test]
        fn a_rollout_arrives_and_never_lacks_pods(replicas in 1_i64..12, surge in 0_i64..4, missing in 0_i64..4) {
            let unavailable = if surge == 0 && missing == 0 { 1 } else { missing.min(replicas) };
            let bounds = Bounds { replicas, surge, unavailable };
            let (mut new, mut old) = (size(0, 0), size(replicas, replicas));
            for _ in 0..40 {
                new.wanted = grow(bounds, new, &[old]);
                prop_assert!(new.wanted + old.wanted <= replicas + surge);
                old.wanted = shrink(bounds, new, &[old])[0];
                old.available = old.available.min(old.wanted);
                prop_assert!(new.available + old.available >= replicas - unavailable);
                new.available = new.wanted;
            }
            prop_assert_eq!((new.wanted, old.wanted), (replicas, 0));
        }
    }
}
