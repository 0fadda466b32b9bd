//! The groups of recipients: the control group of an automation, and the variants of a push. Who is in which follows
//! from a hash, so it is the same in every run, and no record is needed to say it later.

use serde::Deserialize;

use super::Order;
use crate::automation::AutomationFile;
use crate::state::Run;
use crate::state::ledger::UserKey;
use crate::template::push::Variant;

/// The number of parts into which recipients are divided.
const PARTS: u64 = 100_000;

/// The division of a push's recipients into variants.
#[derive(Debug, Clone, Default)]
pub struct VariantSplit {
    /// The beginning of the hashed text.
    push: String,
    /// The names, and the parts that each has.
    variants: Vec<(String, u64)>,
}

impl VariantSplit {
    /// Returns the division of an order's recipients.
    pub fn of(order: &Order) -> Self {
        let push = (order.automation.as_str(), order.number);
        Self::new(push, &order.wording.variants)
    }

    /// Returns the division of the recipients of a recorded run's push.
    pub fn recorded(run: &Run, number: u32) -> Self {
        let plan = Recorded::deserialize(&run.plan).unwrap_or_default();
        let place = usize::try_from(number).unwrap_or_default().wrapping_sub(1);
        let course = plan.course.as_ref();
        let table = course.and_then(|course| course.automation.push.get(place));
        let variants = match (&plan.order, table) {
            (Some(order), _) => order.wording.variants.clone(),
            (None, Some(table)) => table.variants(),
            (None, None) => Vec::new(),
        };
        Self::new((&run.automation, number), &variants)
    }

    fn new((automation, number): (&str, u32), variants: &[Variant]) -> Self {
        let variants = variants.iter();
        let parts = variants.map(|one| (one.name.clone(), u64::from(one.share) * PARTS / 100));
        Self {
            push: format!("{automation}\nvariants of push {number}\n"),
            variants: parts.collect(),
        }
    }

    /// Returns the place of a recipient's variant; `None` if the push has no variants.
    pub fn place(&self, user: &UserKey) -> Option<usize> {
        if self.variants.is_empty() {
            return None;
        }
        let part = part_of(&format!("{}{user}", self.push));
        let mut end = 0;
        self.variants.iter().position(|(_, parts)| {
            end += parts;
            part < end
        })
    }

    /// Returns the name of a recipient's variant.
    pub fn name(&self, user: &UserKey) -> Option<&str> {
        let place = self.place(user)?;
        Some(self.variants.get(place)?.0.as_str())
    }

    /// Returns the names of the variants.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variants.iter().map(|(name, _)| name.as_str())
    }

    /// Returns whether the push has no variants.
    pub fn is_empty(&self) -> bool {
        self.variants.is_empty()
    }
}

/// The part of a run's plan that says what its pushes are: the order of a send, or the automation of a pipeline.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Recorded {
    order: Option<Order>,
    course: Option<Course>,
}

#[derive(Deserialize)]
struct Course {
    automation: AutomationFile,
}

/// Returns whether a recipient is in the control group. An automation keeps the same control group.
pub(super) fn is_held_out(order: &Order, user: &UserKey) -> bool {
    if order.holdout_percent <= 0.0 {
        return false;
    }
    let part = part_of(&format!("{}\n{user}", order.automation));
    let share = order.holdout_percent / 100.0;
    #[expect(clippy::cast_precision_loss, reason = "a hundred thousand is exact")]
    let place = part as f64 / PARTS as f64;
    place < share
}

fn part_of(text: &str) -> u64 {
    let digest = <sha2::Sha256 as sha2::Digest>::digest(text);
    let number = digest
        .iter()
        .take(8)
        .fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
    number % PARTS
}
