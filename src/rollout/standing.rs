//! What stands as the rollout made it, and what somebody else set back. A level that was set back is brought
//! about again, at a bounded rate: whoever insists gets no hot fight. Kept in memory only; after a restart it
//! begins anew. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{Control, Effect, Facts, Live, Revision, Routes, Seen, step::is_halted};
use crate::canary::{Canary, Phase};

/// A level that others may set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The replicas of the target.
    Scale,
    /// The generated Services.
    Services,
    /// The Service that clients use.
    Apex,
    /// The weights of the routes.
    Routes,
}

impl Level {
    /// Every level.
    pub const ALL: [Self; 4] = [Self::Scale, Self::Services, Self::Apex, Self::Routes];

    /// Returns the level that an effect brings about, if others may set it back.
    #[must_use]
    pub fn of(effect: &Effect) -> Option<Self> {
        match effect {
            Effect::ScaleUp | Effect::ScaleDown => Some(Self::Scale),
            Effect::Services => Some(Self::Services),
            Effect::Apex => Some(Self::Apex),
            Effect::Route(_) => Some(Self::Routes),
            Effect::Primary(_) | Effect::Ask(_) => None,
        }
    }

    /// Returns what the level is, in a word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scale => "replicas",
            Self::Services => "services",
            Self::Apex => "apex",
            Self::Routes => "routes",
        }
    }
}

/// What stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    levels: BTreeMap<Level, Held>,
}

/// One level.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    intent: Option<Intent>,
    /// It was seen, or written, as it is meant to be.
    stood: bool,
    /// It stood, and does not any more.
    set_back: bool,
    /// By when all that was put back would have been, one in each [`Standing::EVERY`].
    spent_until: Option<Timestamp>,
}

/// What a level is meant to be, and what that was made from: another intent is no drift.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Intent {
    effect: Effect,
    generation: i64,
    live: Option<Revision>,
}

impl Standing {
    /// How many times in a row a level is put back at once.
    pub const AT_ONCE: i32 = 5;
    /// How often it is put back from then on.
    pub const EVERY: SignedDuration = SignedDuration::from_secs(30);

    /// Looks at the facts before a step is taken on them, and tells them which levels are not to be written
    /// yet. Gives what was set back since the last look.
    pub fn see(
        &mut self,
        canary: &Canary,
        control: &Control,
        facts: &mut Facts,
        now: Timestamp,
    ) -> Vec<Effect> {
        let mut set_back = Vec::new();
        facts.withheld.clear();
        for level in Level::ALL {
            let held = self.levels.entry(level).or_default();
            let intent = intent(level, canary, control, facts);
            if held.see(intent, is_met(level, control, facts)) {
                set_back.extend(held.intent.as_ref().map(|intent| intent.effect.clone()));
            }
            if let Some(at) = held.withheld_until(now) {
                facts.withheld.insert(level, at);
            }
        }
        set_back
    }

    /// Takes note of what was done.
    pub fn did(&mut self, effects: &[Effect], now: Timestamp) {
        for effect in effects {
            let held = Level::of(effect).and_then(|level| self.levels.get_mut(&level));
            if let Some(held) = held {
                held.did(effect, now);
            }
        }
    }
}

impl Held {
    fn see(&mut self, intent: Option<Intent>, met: Option<bool>) -> bool {
        if intent.is_none() || intent != self.intent {
            self.stood = intent.is_some() && met == Some(true);
            self.set_back = false;
            self.intent = intent;
            return false;
        }
        match met {
            None => false,
            Some(true) => {
                self.stood = true;
                self.set_back = false;
                false
            }
            Some(false) => {
                let news = self.stood && !self.set_back;
                self.set_back |= self.stood;
                news
            }
        }
    }

    fn did(&mut self, effect: &Effect, now: Timestamp) {
        let Some(intent) = self.intent.as_ref() else {
            return;
        };
        if intent.effect != *effect {
            return;
        }
        if self.set_back {
            let from = self.spent_until.map_or(now, |until| until.max(now));
            self.spent_until = from.checked_add(Standing::EVERY).ok();
        }
        // What is written stands: if it is not seen so, somebody was quicker.
        self.stood = true;
        self.set_back = false;
    }

    fn withheld_until(&self, now: Timestamp) -> Option<Timestamp> {
        let room = Standing::EVERY * (Standing::AT_ONCE - 1);
        let until = self.spent_until?.checked_sub(room).ok()?;
        (self.set_back && now < until).then_some(until)
    }
}

/// What a level is meant to be; nothing while that is on its way.
fn intent(level: Level, canary: &Canary, control: &Control, facts: &Facts) -> Option<Intent> {
    let runs = control.rolling_back.is_none()
        && matches!(
            control.phase,
            Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting
        );
    let begins = matches!(control.phase, Phase::New | Phase::Initializing);
    if begins || is_halted(canary, facts) {
        return None;
    }
    let effect = match level {
        Level::Scale if !canary.spec.target.kind.scales() => return None,
        Level::Scale if runs => Effect::ScaleUp,
        Level::Scale if control.phase.at_rest() && control.rolling_back.is_none() && control.weight == 0 => {
            Effect::ScaleDown
        }
        Level::Scale => return None,
        Level::Services => Effect::Services,
        Level::Apex => Effect::Apex,
        Level::Routes => Effect::Route(control.weight),
    };
    let live = facts.target.present().and_then(|target| match &target.live {
        Live::Revision(live) => Some(live.clone()),
        Live::Blocked(_) => None,
    });
    Some(Intent {
        effect,
        generation: canary.generation,
        live,
    })
}

/// Whether a level is as it is meant to be. Nothing where that is not known, or nobody can tell.
fn is_met(level: Level, control: &Control, facts: &Facts) -> Option<bool> {
    let made = |seen: &Seen<bool>| match seen {
        Seen::Present(made) => Some(*made),
        Seen::Absent => Some(false),
        Seen::Unknown => None,
    };
    match level {
        Level::Scale => {
            let scaled_up = facts.target.present()?.scaled_up;
            Some(scaled_up != control.phase.at_rest())
        }
        Level::Services => made(&facts.services),
        Level::Apex => made(&facts.apex),
        Level::Routes => match &facts.routes {
            Seen::Present(Routes::Weight(weight)) => Some(*weight == control.weight),
            Seen::Present(Routes::Broken(_)) | Seen::Absent => Some(false),
            Seen::Present(Routes::Unroutable(_)) | Seen::Unknown => None,
        },
    }
}

#[cfg(test)]
mod tests;
