//! What to post or read next, and when. Pure: time is an argument.

use std::{collections::BTreeMap, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::super::{CommitState, CommitStatus, Rate};
use crate::{error::Class, repo::CommitId};

/// How many statuses are kept; the oldest that are delivered go first.
const CAPACITY: usize = 1000;
/// Longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Something to do with a forge, given by its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Post a status.
    Post {
        forge: usize,
        commit: CommitId,
        status: CommitStatus,
    },
    /// Read what a commit shows.
    Read { forge: usize, commit: CommitId },
}

impl Action {
    pub(super) fn forge(&self) -> usize {
        match self {
            Self::Post { forge, .. } | Self::Read { forge, .. } => *forge,
        }
    }
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Posted,
    Read(Vec<CommitStatus>),
    Failed {
        class: Class,
        /// It says nothing about other commits.
        local: bool,
        /// It will never go better.
        last: bool,
        /// The status may have been taken all the same.
        doubtful: bool,
    },
}

/// What a forge takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Budget {
    /// Least time between two texts that only tell progress.
    pub(super) progress: Duration,
    /// How many posts.
    pub(super) rate: Option<Rate>,
}

/// What a forge is known to show of an item.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Shown {
    /// Nothing of ours.
    #[default]
    Nothing,
    /// Maybe something: this process did not post it.
    Unknown,
    /// The status with this digest.
    Digest(String),
}

/// An item at one forge.
#[derive(Clone, Debug, Default)]
struct Slot {
    shown: Shown,
    /// A post was begun, whatever came of it.
    asked: bool,
    posted_at: Option<Timestamp>,
    failures: u32,
    not_before: Option<Timestamp>,
    /// The digest that the forge will never take.
    refused: Option<String>,
}

#[derive(Clone, Debug)]
struct Item {
    status: CommitStatus,
    digest: String,
    /// Grows with each status that is set.
    order: u64,
    at: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Place {
    name: String,
    budget: Budget,
    last_progress: Option<Timestamp>,
    /// When the budget will be whole again.
    spent_until: Option<Timestamp>,
    failures: u32,
    not_before: Option<Timestamp>,
    busy: bool,
}

/// All desired statuses, and what the forges show.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    places: Vec<Place>,
    items: BTreeMap<(CommitId, String), Item>,
    count: u64,
}

impl Queue {
    /// Makes an empty queue for forges with these names.
    pub(super) fn new(forges: impl Iterator<Item = String>) -> Self {
        let places = forges.map(|name| Place {
            name,
            budget: Budget::default(),
            last_progress: None,
            spent_until: None,
            failures: 0,
            not_before: None,
            busy: false,
        });
        Self {
            places: places.collect(),
            items: BTreeMap::new(),
            count: 0,
        }
    }

    /// Says what the forges take, in their order.
    pub(super) fn set_budgets(&mut self, budgets: impl Iterator<Item = Budget>) {
        for (place, budget) in self.places.iter_mut().zip(budgets) {
            place.budget = budget;
        }
    }

    /// Forgets the pauses of a forge that may do better now.
    pub(super) fn retry(&mut self, name: &str) {
        for (forge, place) in self.places.iter_mut().enumerate() {
            if place.name != name {
                continue;
            }
            (place.failures, place.not_before) = (0, None);
            for at in self.items.values_mut().filter_map(|item| item.at.get_mut(forge)) {
                (at.failures, at.not_before) = (0, None);
            }
        }
    }

    /// Forgets actions that nobody carries out any more.
    pub(super) fn begin(&mut self) {
        for (forge, place) in self.places.iter_mut().enumerate() {
            if !std::mem::take(&mut place.busy) {
                continue;
            }
            // A post may have been cut off: what it reached is not known.
            let here = self.items.values_mut().filter_map(|item| item.at.get_mut(forge));
            here.filter(|at| at.shown == Shown::Nothing)
                .for_each(|at| at.shown = Shown::Unknown);
        }
    }

    pub(super) fn set(&mut self, commit: &CommitId, status: CommitStatus) {
        self.put(commit, status, |_| Shown::Nothing);
    }

    pub(super) fn restore(&mut self, commit: &CommitId, status: CommitStatus, marks: &[String]) {
        let digest = status.digest();
        self.put(commit, status, |forge| {
            let known = marks.iter().filter_map(|mark| mark.split_once('='));
            let same = known
                .into_iter()
                .any(|(name, told)| name == forge && told == digest);
            if same {
                Shown::Digest(digest.clone())
            } else {
                Shown::Unknown
            }
        });
    }

    fn put(&mut self, commit: &CommitId, status: CommitStatus, shown: impl Fn(&str) -> Shown) {
        let digest = status.digest();
        let key = (commit.clone(), status.context.clone());
        self.count += 1;
        if let Some(item) = self.items.get_mut(&key) {
            if item.digest == digest {
                // It goes with a status that is posted for another reason.
                item.status.detail = status.detail;
            } else {
                item.status = status;
                item.digest = digest;
                item.order = self.count;
            }
            return;
        }
        if self.items.len() >= CAPACITY {
            self.evict();
        }
        let at = self.places.iter().map(|place| Slot {
            shown: shown(&place.name),
            ..Slot::default()
        });
        let item = Item {
            status,
            digest,
            order: self.count,
            at: at.collect(),
        };
        self.items.insert(key, item);
    }

    /// Drops the oldest item; one that is delivered everywhere, if there is one.
    fn evict(&mut self) {
        let oldest = self
            .items
            .iter()
            .min_by_key(|(_, item)| (!item.is_settled(), item.order));
        if let Some((key, item)) = oldest.map(|(key, item)| (key.clone(), item)) {
            if !item.is_settled() {
                tracing::warn!(commit = %key.0, context = key.1, "Too many commit statuses wait; one is given up.");
            }
            self.items.remove(&key);
        }
    }

    pub(super) fn marks(&self, commit: &CommitId, context: &str) -> Vec<String> {
        let Some(item) = self.items.get(&(commit.clone(), context.to_owned())) else {
            return Vec::new();
        };
        let marks = self
            .places
            .iter()
            .zip(&item.at)
            .filter_map(|(place, at)| match &at.shown {
                Shown::Digest(digest) => Some(format!("{}={digest}", place.name)),
                Shown::Nothing | Shown::Unknown => None,
            });
        marks.collect()
    }

    pub(super) fn take_back(&mut self, commit: &CommitId, context: &str) -> bool {
        let key = (commit.clone(), context.to_owned());
        let told = |at: &Slot| at.asked || at.shown != Shown::Nothing;
        if self.items.get(&key).is_some_and(|item| item.at.iter().any(told)) {
            return false;
        }
        self.items.remove(&key);
        true
    }

    pub(super) fn owes(&self, commit: &CommitId) -> bool {
        let of_commit = self.items.range((commit.clone(), String::new())..);
        of_commit
            .take_while(|((of, _), _)| of == commit)
            .any(|(_, item)| !item.is_settled())
    }

    pub(super) fn is_settled(&self) -> bool {
        self.items.values().all(Item::is_settled)
    }

    /// Says what to do now, at most one thing per forge, and when to ask again if nothing happens before. What
    /// it says is taken as begun.
    pub(super) fn decide(&mut self, now: Timestamp) -> (Vec<Action>, Option<Timestamp>) {
        let mut actions = Vec::new();
        let mut wake_at: Option<Timestamp> = None;
        for (forge, place) in self.places.iter_mut().enumerate() {
            if place.busy {
                continue;
            }
            let open = self.items.iter().filter_map(|(key, item)| {
                let at = item.at.get(forge).filter(|at| !item.is_settled_at(at))?;
                Some((
                    item.due(at, place).unwrap_or(now).max(now),
                    item.urgency(at),
                    key,
                    item,
                    at,
                ))
            });
            let next = open.min_by_key(|(due, urgency, key, ..)| (*due, *urgency, *key));
            let Some((due, _, (commit, _), item, at)) = next else {
                continue;
            };
            if due > now {
                wake_at = Some(wake_at.map_or(due, |other| other.min(due)));
                continue;
            }
            place.busy = true;
            if at.shown != Shown::Unknown {
                place.spend(now);
            }
            let commit = commit.clone();
            actions.push(match at.shown {
                Shown::Unknown => Action::Read { forge, commit },
                Shown::Nothing | Shown::Digest(_) => Action::Post {
                    forge,
                    commit,
                    status: item.status.clone(),
                },
            });
        }
        for action in &actions {
            if let Action::Post {
                forge,
                commit,
                status,
            } = action
            {
                let item = self.items.get_mut(&(commit.clone(), status.context.clone()));
                if let Some(at) = item.and_then(|item| item.at.get_mut(*forge)) {
                    at.asked = true;
                }
            }
        }
        (actions, wake_at)
    }

    pub(super) fn finish(&mut self, action: &Action, ending: Ending, now: Timestamp) {
        let forge = action.forge();
        let Some(place) = self.places.get_mut(forge) else {
            return;
        };
        place.busy = false;
        match (action, ending) {
            (
                _,
                Ending::Failed {
                    class,
                    local,
                    last,
                    doubtful,
                },
            ) => {
                if doubtful {
                    self.doubt(action);
                }
                return self.failed(action, class, local, last, now);
            }
            (Action::Post { commit, status, .. }, _) => {
                if status.state == CommitState::Pending {
                    place.last_progress = Some(now);
                }
                let key = (commit.clone(), status.context.clone());
                let at = self.items.get_mut(&key).and_then(|item| item.at.get_mut(forge));
                if let Some(at) = at {
                    *at = Slot {
                        shown: Shown::Digest(status.digest()),
                        posted_at: Some(now),
                        ..Slot::default()
                    };
                }
            }
            (Action::Read { commit, .. }, Ending::Read(statuses)) => self.learn(forge, commit, &statuses),
            (Action::Read { .. }, Ending::Posted) => {}
        }
        if let Some(place) = self.places.get_mut(forge) {
            place.failures = 0;
            place.not_before = None;
        }
    }

    /// Nobody knows whether a post has arrived: it is read back before the next one.
    fn doubt(&mut self, action: &Action) {
        let Action::Post {
            forge,
            commit,
            status,
        } = action
        else {
            return;
        };
        let item = self.items.get_mut(&(commit.clone(), status.context.clone()));
        if let Some(at) = item.and_then(|item| item.at.get_mut(*forge)) {
            at.shown = Shown::Unknown;
        }
    }

    /// Takes in what a forge shows of a commit.
    fn learn(&mut self, forge: usize, commit: &CommitId, statuses: &[CommitStatus]) {
        for ((of, context), item) in &mut self.items {
            let Some(at) = item
                .at
                .get_mut(forge)
                .filter(|at| of == commit && at.shown == Shown::Unknown)
            else {
                continue;
            };
            let found = statuses.iter().find(|status| status.context == *context);
            at.shown = found.map_or(Shown::Nothing, |status| Shown::Digest(status.digest()));
        }
    }

    fn failed(&mut self, action: &Action, class: Class, local: bool, last: bool, now: Timestamp) {
        let forge = action.forge();
        if !local {
            if let Some(place) = self.places.get_mut(forge) {
                place.not_before = Some(later(now, pause(class, place.failures)));
                place.failures = place.failures.saturating_add(1);
            }
            return;
        }
        for ((commit, context), item) in &mut self.items {
            let meant = match action {
                Action::Post {
                    commit: of, status, ..
                } => commit == of && *context == status.context,
                Action::Read { commit: of, .. } => commit == of,
            };
            let Some(at) = item.at.get_mut(forge).filter(|_| meant) else {
                continue;
            };
            if let (Action::Post { status, .. }, true) = (action, last) {
                at.refused = Some(status.digest());
            }
            at.not_before = Some(later(now, pause(class, at.failures)));
            at.failures = at.failures.saturating_add(1);
        }
    }
}

impl Item {
    fn is_settled(&self) -> bool {
        self.at.iter().all(|at| self.is_settled_at(at))
    }

    fn is_settled_at(&self, at: &Slot) -> bool {
        at.shown == Shown::Digest(self.digest.clone()) || at.refused.as_ref() == Some(&self.digest)
    }

    /// When the next action at a forge is due; at once if nothing is in the way.
    fn due(&self, at: &Slot, place: &Place) -> Option<Timestamp> {
        let budget = match (&at.shown, self.status.state) {
            // The first word on a commit, and the last, do not wait.
            (Shown::Digest(_), CommitState::Pending) => {
                place.last_progress.map(|then| later(then, place.budget.progress))
            }
            _ => None,
        };
        let rate = match &at.shown {
            Shown::Unknown => None,
            Shown::Digest(_) if self.status.state == CommitState::Pending => place.free_at(2),
            Shown::Digest(_) | Shown::Nothing => place.free_at(1),
        };
        [budget, rate, at.not_before, place.not_before]
            .into_iter()
            .flatten()
            .max()
    }

    /// Ends first, then first words, then progress; of these, what waits longest.
    fn urgency(&self, at: &Slot) -> (u8, Option<Timestamp>, u64) {
        let rank = match (&at.shown, self.status.state) {
            (_, state) if state.is_terminal() => 0,
            (Shown::Nothing | Shown::Unknown, _) => 1,
            (Shown::Digest(_), _) => 2,
        };
        (rank, at.posted_at, self.order)
    }
}

impl Place {
    /// Takes one post out of the budget.
    fn spend(&mut self, now: Timestamp) {
        if let Some(rate) = self.budget.rate {
            let from = self.spent_until.map_or(now, |until| until.max(now));
            self.spent_until = Some(later(from, rate.every));
        }
    }

    /// When a post may be made that keeps within one part in `share` of the budget.
    fn free_at(&self, share: u32) -> Option<Timestamp> {
        let rate = self.budget.rate?;
        let at_once = (rate.burst / share).max(1) - 1;
        let ahead = SignedDuration::try_from(rate.every.saturating_mul(at_once)).ok()?;
        Some(self.spent_until?.saturating_sub(ahead).unwrap_or(Timestamp::MIN))
    }
}

/// How long to pause after one more failure. What a person must mend is tried at the longest pause: a token
/// that is replaced counts without a restart.
fn pause(class: Class, failures: u32) -> Duration {
    match class {
        Class::Retry(first) => {
            let doubled = Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(failures.min(16)));
            // What the forge itself asks for counts even if it is longer than ours, within an hour.
            doubled
                .min(LONGEST_PAUSE)
                .max(first.min(Duration::from_secs(3600)))
        }
        Class::WaitForChange | Class::UserMustFix | Class::Bug => LONGEST_PAUSE,
    }
}

fn later(at: Timestamp, pause: Duration) -> Timestamp {
    let pause = SignedDuration::try_from(pause).unwrap_or(SignedDuration::MAX);
    at.saturating_add(pause).unwrap_or(Timestamp::MAX)
}
