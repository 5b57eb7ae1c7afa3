//! Which reports go to the journal.
//!
//! A call and its amounts are reported by different parties, and an upstream may be faster than the
//! stream. So an amount for a call of the last minutes is appended unseen: the fold attaches it to
//! its call, whichever is first. An amount for an older call is appended if the journal holds the
//! call, and refused otherwise.

use std::collections::{BTreeMap, BTreeSet};

use domain::entry::Facts;
use domain::event::{EventType, Reason, Rejection};
use domain::id::EventId;
use domain::meter::{Amount, Report, settled};
use domain::time::{UnixMillis, Window};
use runtime::journal::{Found, Journal};
use runtime::store::{Store, StoreError};
use runtime::together::together;

use crate::body::{Collected, Refused};
use crate::error::RequestError;

/// The most minutes of the journal that one request may have to read.
pub const MOST_MINUTES: usize = 60;

/// Appends to one journal.
#[derive(Debug)]
pub struct Collector<S> {
    /// The journal.
    pub journal: Journal<S>,
}

/// Calls by minute.
type Calls = BTreeMap<UnixMillis, BTreeSet<EventId>>;

impl<S: Store> Collector<S> {
    /// Appends the amounts of `reports`. Repeating it changes nothing.
    ///
    /// # Errors
    ///
    /// If the journal fails, or too much of it would have to be read: then any of the amounts may be
    /// in the journal, and all reports may be sent again.
    pub async fn collect(
        &self,
        reports: Vec<Report>,
        now: UnixMillis,
    ) -> Result<Collected, RequestError> {
        let amounts = reports
            .iter()
            .filter_map(|report| report.amount.as_ref().ok());
        let unknown = self.unknown(amounts, now).await?;
        let mut accepted = Vec::new();
        let mut collected = Collected::default();
        for (index, Report { id, amount }) in reports.into_iter().enumerate() {
            match amount.and_then(|amount| known(amount, &unknown)) {
                Ok(amount) => accepted.push(amount),
                Err(rejection) => collected.refused.push(Refused {
                    index,
                    id,
                    error: rejection.reason.as_str(),
                    message: rejection.message,
                }),
            }
        }
        self.journal.append_amounts(&accepted, now).await?;
        collected.accepted = accepted.len() as u64;
        Ok(collected)
    }

    /// The calls that must be in the journal by now, and are not.
    async fn unknown(
        &self,
        amounts: impl Iterator<Item = &Amount>,
        now: UnixMillis,
    ) -> Result<BTreeSet<EventId>, RequestError> {
        let mut wanted = Calls::new();
        for call in amounts.map(|amount| amount.call) {
            if settled(call, now) {
                let minute = Window::Minute.start(call.minted_at());
                wanted.entry(minute).or_default().insert(call);
            }
        }
        if wanted.len() > MOST_MINUTES {
            return Err(RequestError::TooSpread {
                minutes: wanted.len(),
            });
        }
        let looks = wanted
            .into_iter()
            .map(|(minute, calls)| self.look(minute, calls));
        let unknown = together(looks.collect()).await?;
        Ok(unknown.into_iter().flatten().collect())
    }

    /// Those of some calls of a minute that its journal does not hold.
    async fn look(
        &self,
        minute: UnixMillis,
        mut calls: BTreeSet<EventId>,
    ) -> Result<BTreeSet<EventId>, StoreError> {
        let show = |found: Found| {
            match found.facts.as_deref().map(Facts::read) {
                Some(Ok(facts)) => remove_calls(&facts, &mut calls),
                // It may hold any of them, once a release reads it.
                _ => calls.clear(),
            }
            if calls.is_empty() {
                return Err(StoreError::OutOfTime);
            }
            Ok(())
        };
        match self.journal.read(minute, minute, show).await {
            // Every call is found: the rest need not be read.
            Ok(()) | Err(StoreError::OutOfTime) => Ok(calls),
            Err(error) => Err(error),
        }
    }
}

/// Removes the accepted calls of an entry.
fn remove_calls(facts: &Facts<'_>, calls: &mut BTreeSet<EventId>) {
    let contents = facts.contents();
    let is_call: Vec<bool> = contents
        .map(|content| content.event_type == EventType::ApiCall)
        .collect();
    for fact in facts.iter() {
        let place = usize::try_from(fact.content).unwrap_or(usize::MAX);
        if is_call.get(place) == Some(&true)
            && let Some(id) = facts.id(fact.id)
        {
            calls.remove(&id);
        }
    }
}

fn known(amount: Amount, unknown: &BTreeSet<EventId>) -> Result<Amount, Rejection> {
    if !unknown.contains(&amount.call) {
        return Ok(amount);
    }
    let message = format!(
        "`data.call` names no call: `{}` is not in the journal",
        amount.call
    );
    Err(Rejection::new(Reason::UnknownCall, message))
}

#[cfg(test)]
mod tests;
