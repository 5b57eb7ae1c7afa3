//! Calls that the authorizers' limits decide.

use domain::event::{EventType, UsageEvent, Why};
use domain::limit::Over;
use domain::names::AUTHORIZER_SECONDS;
use domain::time::UnixMillis;

use super::super::limits::{Decision, Verdict, check_refusal};
use super::super::random::Random;
use super::super::schedule::{Failure, Response};
use super::super::task::Task;
use super::World;

impl World {
    /// Lets an authorizer decide a call. Whether limits decide it at all.
    pub(super) fn decide(
        &mut self,
        event: &UsageEvent,
        instance: usize,
        answer: Response,
        random: &mut Random,
    ) -> bool {
        let Some((key, plan)) = self.limits.of(event) else {
            return false;
        };
        if random.once_in(5) {
            self.plan(Failure::of_counters(random));
        }
        let number = self.limits.decisions.len();
        self.limits.decisions.push(Decision {
            event: event.clone(),
            instance,
            answer,
            verdict: Verdict::None,
            is_exact: false,
        });
        let limiter = &self.authorizers[instance].limiter;
        let call = (event.data.units, event.time, number);
        let until = self.patience_of_authorizers();
        self.tasks
            .push(Task::decide(limiter, key, plan, call, (instance, until)));
        true
    }

    fn patience_of_authorizers(&self) -> UnixMillis {
        let millis = i64::from(AUTHORIZER_SECONDS) * 1_000;
        self.now().plus_millis(millis)
    }

    /// The authorizer answers, and then reports the call, and what it let through.
    pub(super) fn decided(&mut self, number: usize, over: Option<Over>) {
        let is_exact = !self.limits.is_disturbed;
        let decision = &mut self.limits.decisions[number];
        decision.is_exact = is_exact;
        decision.verdict = over.map_or(Verdict::Admitted, Verdict::Refused);
        let (mut event, instance) = (decision.event.clone(), decision.instance);
        let answer = decision.answer;
        let kept_up = self.limits.of(&event);
        if let Some(over) = over {
            event.event_type = EventType::RateLimited;
            event.data.dimensions.clear();
            event.data.reason = Some(match over {
                Over::Rate { .. } => Why::Rate,
                Over::Quota => Why::Quota,
            });
        }
        if let Err(wrong) = check_refusal(self, number) {
            self.wrong.get_or_insert(wrong);
        }
        self.answer_call(event, instance, answer);
        if let Some((key, plan)) = kept_up {
            let limiter = &self.authorizers[instance].limiter;
            let now = self.now().plus_millis(self.authorizers[instance].ahead);
            let until = self.patience_of_authorizers();
            self.tasks
                .push(Task::keep_up(limiter, key, plan, now, (instance, until)));
        }
    }

    /// Whether all authorizers read the same time.
    pub(in super::super) fn has_one_clock(&self) -> bool {
        let mut clocks = self.authorizers.iter().map(|authorizer| authorizer.ahead);
        let first = clocks.next();
        clocks.all(|ahead| Some(ahead) == first)
    }

    /// An authorizer dies, and another one takes its place.
    pub(super) fn replace_authorizer(&mut self, instance: usize) {
        let old = &self.authorizers[instance];
        self.authorizers[instance] = self.authorizer(old.mode, old.ahead);
        self.limits.is_disturbed = true;
    }
}
