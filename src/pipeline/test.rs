//! The second phase: the test files through the real sender. Every push must be accepted, or nothing is sent live.

use serde_json::{Value, json};

use super::drive::Driver;
use super::{Mode, Records};
use crate::delivery::{Ended, InDoubt, Order};
use crate::error::{Error, Kind, Result};

/// The layer that test pushes are recorded as; no rule of cadence holds for it.
const TEST_LAYER: u32 = 4;

impl Driver<'_> {
    pub(super) async fn test(&self, records: &Records) -> Result<Value> {
        let files = records.files()?;
        let mut told = Vec::new();
        let (mut accepted, mut of) = (0, 0);
        let mut wrong = Vec::new();
        for (place, push) in files.pushes.iter().enumerate() {
            let Some(file) = &push.test else {
                if push.live.is_some() {
                    wrong.push(format!("{} has no test file", push.audience_file));
                }
                continue;
            };
            self.have_file(&files, file).await?;
            let order = self.test_order(self.order(place, &files, file));
            let summary = match self.course.mode {
                Mode::TestDryRun => self.rehearse(&order).await?,
                _ => {
                    let sent = self.deliver(&order).await?;
                    if sent.summary.ended == Ended::Cancelled {
                        return Err(sent
                            .error
                            .unwrap_or_else(|| Error::new(Kind::Cancelled, "cancelled")));
                    }
                    accepted += sent.summary.accepted;
                    of += sent.summary.rows;
                    if sent.summary.accepted < sent.summary.rows {
                        let why = sent
                            .error
                            .map_or_else(String::new, |error| format!(" ({error:#})"));
                        wrong.push(format!(
                            "of push {} to {} the service accepted {} of {}{why}",
                            place + 1,
                            push.audience_file,
                            sent.summary.accepted,
                            sent.summary.rows
                        ));
                    }
                    sent.summary
                }
            };
            told.push(serde_json::to_value(&summary).unwrap_or_default());
        }
        if self.course.mode != Mode::TestDryRun {
            self.tell_tested(accepted, of).await;
        }
        if !wrong.is_empty()
            && self.course.automation.test.required
            && self.course.mode.reaches_phones()
        {
            return Err(Error::new(Kind::Refused, wrong.join("; "))
                .context("a test push was not accepted, so nothing is sent live")
                .hint("the test users need a device with a valid token; `pushctl send --users ID --layer 4 …` tries one"));
        }
        Ok(json!({ "accepted": accepted, "of": of, "problems": wrong, "pushes": told }))
    }

    /// The same words to the test users: a push of its own, for which no rule holds.
    fn test_order(&self, order: Order) -> Order {
        Order {
            occurrence: format!("{}#test", self.run.occurrence),
            layer: TEST_LAYER,
            in_doubt: InDoubt::Retry,
            holdout_percent: 0.0,
            max_failure_rate: None,
            ..order
        }
    }
}
