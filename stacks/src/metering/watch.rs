//! Alarms as the stacks list them: the watched metric, how long it must breach, and the message.
//!
//! Thresholds are derived here and beside each alarm. `tests/tests/alarms.rs` evaluates the alarms of
//! the templates as CloudWatch does, over quiet, steady, bursting, late and failing series.

use crate::cfn::{Val, sub};
use crate::constructs::{
    Alarm, AlarmSettings, Comparison, Expression, Missing, Period, Queue, Stack, Topic, Watched,
};
use crate::metering::pipeline::UsagePipeline;

/// An alarm in a stack's list.
pub(crate) struct Watch<'a> {
    pub(crate) id: &'static str,
    pub(crate) noun: &'static str,
    /// What happened, what it means for the counts, and what to do.
    pub(crate) means: &'a str,
    pub(crate) watched: Watched,
    pub(crate) breaches: Comparison,
    pub(crate) lasting: Lasting,
}

/// How many of the last periods must breach.
#[derive(Clone, Copy)]
pub(crate) struct Lasting {
    breaching: u32,
    periods: u32,
}

impl Lasting {
    /// One period: for conditions that are wrong whenever they occur.
    pub(crate) const ONCE: Self = Self::of(1, 1);
    /// Two periods in a row.
    pub(crate) const TWICE: Self = Self::of(2, 2);
    /// Three of the last five periods: for conditions that pass by themselves.
    pub(crate) const MOSTLY: Self = Self::of(3, 5);

    const fn of(breaching: u32, periods: u32) -> Self {
        Self { breaching, periods }
    }
}

/// Minutes after a minute within which CloudWatch usually shows its values. `FILL` treats late
/// values as missing: the newest period of an expression proves nothing by itself.
const LATE: u32 = 2;

/// The period of an alarm on a cause whose effect is missing, [twice](Lasting::TWICE) in a row.
///
/// `delay` is the longest time in seconds from cause to effect. Of the two periods the older one
/// ended a period ago. Everything caused in it has had its effect by then, and CloudWatch shows it:
/// the two can breach together only if the effect does not occur. A failure raises the alarm after
/// two periods and a minute: within ten minutes for delays of up to two minutes.
pub(crate) fn settled(delay: u32) -> Period {
    minutes(delay.div_ceil(60) + LATE)
}

/// The same for an effect that occurs at least every `gap` seconds, in any case.
pub(crate) fn recurring(gap: u32) -> Period {
    minutes(gap.div_ceil(60))
}

fn minutes(minutes: u32) -> Period {
    let minutes = u16::try_from(minutes.max(1 + LATE)).unwrap_or(u16::MAX);
    Period::minutes(std::num::NonZeroU16::new(minutes).unwrap_or(std::num::NonZeroU16::MIN))
}

/// 1 if there is a cause and no effect, otherwise 0.
pub(crate) fn unanswered(
    cause: impl Into<Expression>,
    effect: impl Into<Expression>,
) -> Expression {
    let none = effect.into().filled(0.0).less_than(1.0);
    cause
        .into()
        .filled(0.0)
        .greater_than(0.0)
        .and(none)
        .choose(1.0, 0.0)
}

/// 1 if messages wait in a queue and its mapping receives none, otherwise 0, to breach
/// [twice](Lasting::TWICE). A message that waits for its delay does not count. SQS measures a queue
/// while something asks it for messages, as a mapping does, and for six hours after that.
pub(crate) fn unread(queue: &Queue) -> Expression {
    // Lambda's pollers wait for twenty seconds, and pause while all executions are busy.
    let period = settled(60);
    unanswered(queue.depth(period), queue.received(period))
}

impl UsagePipeline {
    /// Declares an alarm that notifies the topic. A period without values does not breach it:
    /// nothing happened, or an expression defines what else it means.
    pub(crate) fn alarm(&self, stack: &mut Stack, topic: &Topic, watch: Watch<'_>) -> Alarm {
        Alarm::new(
            stack,
            watch.id,
            AlarmSettings {
                name: &self.names.resource(watch.noun),
                description: self.description(&watch),
                watched: watch.watched,
                breaches: watch.breaches,
                periods: watch.lasting.periods,
                breaching: watch.lasting.breaching,
                missing: Missing::Fine,
                topic,
            },
        )
    }

    /// The alarm's message, with links to further reading.
    fn description(&self, watch: &Watch<'_>) -> Val<String> {
        let dashboard = self.settings.dashboard.as_ref();
        let dashboard = dashboard.map(|address| format!(" Dashboard: {address}"));
        sub(format!(
            "{} Runbook: RUNBOOK.md#{}.{}",
            watch.means,
            watch.noun,
            dashboard.unwrap_or_default()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_outlasts_what_it_waits_for_and_what_is_late() {
        for (delay, settles, recurs) in [
            (0, 180, 180),
            (60, 180, 180),
            (61, 240, 180),
            (120, 240, 180),
            (300, 420, 300),
        ] {
            assert_eq!(settled(delay).seconds(), settles, "{delay}");
            assert_eq!(recurring(delay).seconds(), recurs, "{delay}");
        }
    }
}
