//! The cadence rules and their effect on a layer. Pure.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::state::ledger::Limit;

/// The kind of a push; decides which rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Layer(u8);

/// One of the rules, in the order in which exclusions are attributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// No layer-3 push within so many hours of the last one.
    Layer3Cooldown,
    /// At most so many pushes of layers 2 and 3 together within so many hours.
    Combined,
    /// No layer-5 push within so many hours of the last one.
    Layer5Cooldown,
}

/// The state of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleState {
    Active {
        /// How far back it looks.
        window: Duration,
        /// So many pushes may be within the window, the new one included.
        at_most: u32,
    },
    /// It is switched off.
    Inactive,
    /// The rule does not exist.
    Missing,
}

/// Every rule with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules([RuleState; 3]);

/// A rule with its limits, as a send applied it: it explains an exclusion also after the rule was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedRule {
    /// The code of the recipients whom it excluded.
    pub key: String,
    /// Its name in `cadence_rules`.
    pub name: String,
    /// The layers whose pushes count.
    pub layers: Vec<u32>,
    /// How far back it looked.
    pub hours: u64,
    /// So many pushes may be within these hours, the new one included.
    pub at_most: u32,
}

/// A rule that would apply to a layer, and does not; the sender gets a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unapplied {
    pub rule: Rule,
    /// [`RuleState::Inactive`] or [`RuleState::Missing`].
    pub state: RuleState,
}

impl Layer {
    /// Returns the layer of a number from 1 to 5.
    pub fn new(number: u32) -> Result<Self> {
        match u8::try_from(number) {
            Ok(layer @ 1..=5) => Ok(Self(layer)),
            _ => Err(Error::usage(format!("--layer must be 1 to 5, not {number}"))
                .hint("layers are 1 platform-wide, 2 product and trend, 3 behaviour, 4 test, 5 new-user series")),
        }
    }

    /// Returns a layer that two rules apply to.
    pub(super) fn of_rules() -> Self {
        Self(3)
    }

    pub fn number(self) -> u32 {
        self.0.into()
    }

    /// Returns whether no rule applies.
    pub fn is_exempt(self) -> bool {
        matches!(self.0, 1 | 4)
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl Rule {
    /// In the order in which exclusions are attributed.
    pub const ALL: [Self; 3] = [Self::Layer3Cooldown, Self::Combined, Self::Layer5Cooldown];

    /// Returns its name in `cadence_rules`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Layer3Cooldown => "layer_3_cooldown_hours",
            Self::Combined => "combined_l2_l3_limit_hours",
            Self::Layer5Cooldown => "layer_5_cooldown_hours",
        }
    }

    /// Returns its name in a breakdown, which is also the code of a skipped recipient.
    pub fn key(self) -> &'static str {
        match self {
            Self::Layer3Cooldown => "l3Cooldown",
            Self::Combined => "l2l3WeeklyLimit",
            Self::Layer5Cooldown => "l5Cooldown",
        }
    }

    /// Returns whether it limits pushes of a layer.
    pub fn applies_to(self, layer: Layer) -> bool {
        match self {
            Self::Layer3Cooldown => layer.0 == 3,
            Self::Combined => !layer.is_exempt(),
            Self::Layer5Cooldown => layer.0 == 5,
        }
    }

    /// Returns the layers whose pushes it counts: bit `n` for layer `n`.
    fn counts(self) -> u32 {
        match self {
            Self::Layer3Cooldown => 1 << 3,
            Self::Combined => 1 << 2 | 1 << 3,
            Self::Layer5Cooldown => 1 << 5,
        }
    }

    /// Reads a rule from `cadence_rules`. An active rule without limits is an error: its effect is unknown.
    pub(super) fn read(
        self,
        active: bool,
        hours: Option<i32>,
        count: Option<i32>,
    ) -> Result<RuleState> {
        if !active {
            return Ok(RuleState::Inactive);
        }
        let missing_value = |column| {
            Error::usage(format!(
                "the cadence rule {} is active, but its {column} is not a usable number",
                self.name()
            ))
            .hint(format!(
                "set {column} in cadence_rules, or is_active = false to send without the rule"
            ))
        };
        let hours = hours
            .and_then(|hours| u64::try_from(hours).ok())
            .ok_or_else(|| missing_value("value_in_hours"))?;
        let at_most = match self {
            Self::Combined => count
                .and_then(|count| u16::try_from(count).ok())
                .ok_or_else(|| missing_value("value_count"))?,
            // A cool-down is a limit of one.
            Self::Layer3Cooldown | Self::Layer5Cooldown => 1,
        };
        Ok(RuleState::Active {
            window: Duration::from_secs(hours * 3600),
            at_most: at_most.into(),
        })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Returns the values in production, which apply where no rules are stored.
impl Default for Rules {
    fn default() -> Self {
        let active = |hours: u64, at_most| RuleState::Active {
            window: Duration::from_secs(hours * 3600),
            at_most,
        };
        Self([active(72, 1), active(168, 3), active(96, 1)])
    }
}

impl Rules {
    /// Returns rules that are all missing.
    pub(super) fn missing() -> Self {
        Self([RuleState::Missing; 3])
    }

    pub(super) fn set(&mut self, rule: Rule, state: RuleState) {
        self.0[rule as usize] = state;
    }

    /// Returns the state of a rule.
    pub fn state(&self, rule: Rule) -> RuleState {
        self.0[rule as usize]
    }

    /// Returns the limits on a push of a layer at an instant, each with the rule that it comes from.
    pub fn limits(&self, layer: Layer, now: Timestamp) -> Vec<(Rule, Limit)> {
        let limit = |rule: Rule| match self.state(rule) {
            RuleState::Active { window, at_most } if rule.applies_to(layer) => Some((
                rule,
                Limit {
                    layers: rule.counts(),
                    since: now.saturating_sub(window).unwrap_or(Timestamp::MIN),
                    at_most,
                },
            )),
            _ => None,
        };
        Rule::ALL.into_iter().filter_map(limit).collect()
    }

    /// Returns whether a skipped recipient's code is one of [`Rule::key`].
    pub fn is_rule(code: &str) -> bool {
        Rule::ALL.iter().any(|rule| rule.key() == code)
    }

    /// Returns the rules that limit a layer, as a record keeps them.
    pub fn applied(&self, layer: Layer) -> Vec<AppliedRule> {
        let applied = |rule: Rule| match self.state(rule) {
            RuleState::Active { window, at_most } if rule.applies_to(layer) => Some(AppliedRule {
                key: rule.key().to_owned(),
                name: rule.name().to_owned(),
                layers: (1..=5)
                    .filter(|layer| rule.counts() & (1 << layer) != 0)
                    .collect(),
                hours: window.as_secs() / 3600,
                at_most,
            }),
            _ => None,
        };
        Rule::ALL.into_iter().filter_map(applied).collect()
    }

    /// Returns the rules that would apply to a layer, and do not.
    pub fn unapplied(&self, layer: Layer) -> Vec<Unapplied> {
        let all = Rule::ALL.into_iter().filter(|rule| rule.applies_to(layer));
        all.map(|rule| Unapplied {
            rule,
            state: self.state(rule),
        })
        .filter(|one| !matches!(one.state, RuleState::Active { .. }))
        .collect()
    }
}

impl AppliedRule {
    /// Returns its limit on a push at an instant.
    pub fn limit(&self, at: Timestamp) -> Limit {
        let window = Duration::from_secs(self.hours.saturating_mul(3600));
        Limit {
            layers: self.layers.iter().fold(0, |bits, layer| bits | 1 << layer),
            since: at.saturating_sub(window).unwrap_or(Timestamp::MIN),
            at_most: self.at_most,
        }
    }
}

impl fmt::Display for Unapplied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.state == RuleState::Inactive {
            "switched off"
        } else {
            "missing"
        };
        write!(
            out,
            "the cadence rule {} is {how}: it holds back no recipient",
            self.rule
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules_of(layer: u32) -> Vec<Rule> {
        let layer = Layer::new(layer).unwrap();
        let limits = Rules::default().limits(layer, Timestamp::UNIX_EPOCH);
        limits.into_iter().map(|(rule, _)| rule).collect()
    }

    #[test]
    fn layers_1_and_4_bypass_every_rule_and_the_others_have_theirs() {
        assert_eq!(rules_of(1), []);
        assert_eq!(rules_of(2), [Rule::Combined]);
        assert_eq!(rules_of(3), [Rule::Layer3Cooldown, Rule::Combined]);
        assert_eq!(rules_of(4), []);
        assert_eq!(rules_of(5), [Rule::Combined, Rule::Layer5Cooldown]);
        assert!(Layer::new(0).is_err() && Layer::new(6).is_err() && Layer::new(259).is_err());
    }

    #[test]
    fn a_rule_that_is_missing_or_switched_off_is_told_where_it_would_apply() {
        let mut rules = Rules::default();
        rules.set(Rule::Layer3Cooldown, RuleState::Missing);
        rules.set(Rule::Combined, RuleState::Inactive);
        let warnings = |layer| -> Vec<String> {
            let unapplied = rules.unapplied(Layer::new(layer).unwrap());
            unapplied.iter().map(Unapplied::to_string).collect()
        };
        assert_eq!(warnings(1), [""; 0]);
        assert_eq!(
            warnings(3),
            [
                "the cadence rule layer_3_cooldown_hours is missing: it holds back no recipient",
                "the cadence rule combined_l2_l3_limit_hours is switched off: it holds back no recipient",
            ]
        );
    }

    #[test]
    fn an_active_rule_without_its_numbers_is_an_error_and_not_a_pass() {
        for (rule, hours, count) in [
            (Rule::Layer3Cooldown, None, None),
            (Rule::Layer5Cooldown, Some(-1), None),
            (Rule::Combined, Some(168), None),
            (Rule::Combined, Some(168), Some(-3)),
        ] {
            let error = rule.read(true, hours, count).unwrap_err();
            assert!(error.to_string().contains(rule.name()), "{error}");
            assert_eq!(rule.read(false, hours, count).unwrap(), RuleState::Inactive);
        }
    }
}
