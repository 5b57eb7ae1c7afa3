//! Scheduled reports: one per week or month whose counts are final.
//!
//! A schedule asks each day for what is due. A report is stored, then its event, then the event's id
//! is sent to the notifier's queue, and only then the report is marked. A run that dies is repeated,
//! and two at once do no harm: the files follow from sealed days, the event's id from environment and
//! span, and the notifier delivers an event once.

use std::collections::BTreeMap;

use domain::calendar::{Span, Unit};
use domain::counts::Sum;
use domain::report::{Format, final_at};
use domain::state;
use domain::table::ItemKey;
use domain::time::{UnixMillis, Window};
use report::{Basis, Figures, Report};
use runtime::queue::{Queue, SendError};
use runtime::store::{Condition, NewItem, Shown, Store, StoreError, unreadable};
use runtime::together::together;

use crate::bucket::{Bucket, PutError};
use crate::close::Over;
use crate::lists::{Lists, Place};
use crate::periods::{LIST_DAYS, Periods};

/// How many spans back a report is made that a failure has kept from being made.
const LOOK_BACK: usize = 5;
/// Users whose days are held in memory at once.
const AT_ONCE: usize = 16;
/// Days for which an event is kept for the notifier.
const EVENT_DAYS: i64 = 120;

/// Makes reports.
#[derive(Debug)]
pub struct Reports<'a, S, Q, B> {
    /// The environment.
    pub environment: &'a str,
    /// The units of time of the reports.
    pub units: &'a [Unit],
    /// The users' sealed days, and the queue of events.
    pub periods: Periods<'a, S, Q>,
    /// The bucket.
    pub bucket: &'a B,
    /// Its name.
    pub bucket_name: &'a str,
}

/// Why a report was not made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The table.
    #[error("cannot read or note what is reported")]
    Store(#[from] StoreError),
    /// The bucket.
    #[error("cannot store a report")]
    Put(#[from] PutError),
    /// The queue.
    #[error("cannot queue the event of a report")]
    Send(#[from] SendError),
    /// It has no JSON form.
    #[error("cannot write a report")]
    Write(#[from] serde_json::Error),
    /// There are too many users.
    #[error(
        "the users of `{period}` cannot be read within one invocation; make the report with `cargo xtask report`"
    )]
    Late {
        /// The week or month.
        period: String,
    },
}

/// A report that is due.
#[derive(Debug)]
struct Due {
    span: Span,
    is_compared: bool,
    basis: Basis,
}

impl<S: Store, Q: Queue, B: Bucket> Reports<'_, S, Q, B> {
    /// Makes every report that is due, oldest first. Returns their weeks and months.
    pub async fn make_due(
        &self,
        now: UnixMillis,
        over: Over<'_>,
    ) -> Result<Vec<String>, ReportError> {
        let mut made = Vec::new();
        for unit in self.units {
            for due in self.due(*unit, now).await?.iter().rev() {
                self.make(due, now, over).await?;
                made.push(due.span.to_string());
            }
        }
        Ok(made)
    }

    /// The final spans since the last one that was announced, newest first. If none was, only the
    /// newest: somebody who has just asked for reports does not want those of the past.
    async fn due(&self, unit: Unit, now: UnixMillis) -> Result<Vec<Due>, StoreError> {
        let mut due = Vec::new();
        let mut span = Span::of(unit, now);
        for _ in 0..LOOK_BACK {
            span = span.previous();
            let mark = ItemKey::report_mark(span);
            if self.periods.usage.get(&mark).await?.is_some() {
                return Ok(due);
            }
            due.extend(self.if_final(span, now).await?);
        }
        due.truncate(1);
        Ok(due)
    }

    /// A span whose counts are final, and so are those that it is compared with. Its users are known
    /// as long as all of the lists that the closings of its days wrote are kept.
    async fn if_final(&self, span: Span, now: UnixMillis) -> Result<Option<Due>, StoreError> {
        let Some(basis) = self.basis(span).await? else {
            return Ok(None);
        };
        let ((own, last), (before, _)) = (basis.days(span), basis.days(span.previous()));
        if now < final_at(last) {
            return Ok(None);
        }
        let rounds = self.periods.rounds((before.min(own), last)).await?;
        let is_compared = basis.has_previous(&rounds, span);
        let first = if is_compared { before.min(own) } else { own };
        let is_open = |span| basis.unsealed(&rounds, span).is_some();
        if is_open(span) || is_compared && is_open(span.previous()) {
            return Ok(None);
        }
        let kept_until = Window::Day.end(first).plus_days(LIST_DAYS);
        if now >= kept_until || self.periods.since(now).await? > first {
            tracing::warn!(
                period = %span,
                "the lists of this period's users have expired; make the report with `cargo xtask report`"
            );
            return Ok(None);
        }
        Ok(Some(Due {
            span,
            is_compared,
            basis,
        }))
    }

    /// The rules by which a span and the one before begin and end. None for a month of which no bill
    /// was made: the first one notes where the month ends.
    async fn basis(&self, span: Span) -> Result<Option<Basis>, StoreError> {
        let mut noted = BTreeMap::new();
        if span.unit() == Unit::Month {
            for of in [span, span.previous()] {
                let month = of.in_utc().start;
                let mark = self.periods.usage.get(&ItemKey::month_mark(month)).await?;
                if mark.is_none() && of == span {
                    return Ok(None);
                }
                let (terms, _) = self.periods.terms(month, mark.is_some()).await?;
                noted.insert(month, terms);
            }
        }
        Ok(Some(Basis::noted(self.periods.plans.clone(), noted)))
    }

    /// Stores a report, announces it, and marks it.
    async fn make(&self, due: &Due, now: UnixMillis, over: Over<'_>) -> Result<(), ReportError> {
        let report = self.report(due, over).await?;
        for format in Format::ALL {
            let text = report.to_text(format)?;
            let key = format.key(due.span);
            self.bucket.put(&key, format.media_type(), text).await?;
        }
        let (_, last) = due.basis.days(due.span);
        let event = report.ready(due.span, self.bucket_name, final_at(last));
        let id = event.id();
        let key = ItemKey::alert(&id);
        let state = state::encode(&event).map_err(unreadable(&key))?;
        self.note(&key, state, Some(now.plus_days(EVENT_DAYS)))
            .await?;
        let message = serde_json::json!({ "alert": id }).to_string();
        self.periods.queue.send(message, 0).await?;
        let key = ItemKey::report_mark(due.span);
        let state = state::encode(&now).map_err(unreadable(&key))?;
        Ok(self.note(&key, state, None).await?)
    }

    async fn report(&self, due: &Due, over: Over<'_>) -> Result<Report, ReportError> {
        let chosen = (due.span, due.is_compared);
        let mut figures = Figures::new(self.environment, chosen, &due.basis);
        let days = figures.days();
        let each = std::iter::successors(Some(days.0), |day| Some(Window::Day.end(*day)));
        let each = each.take_while(|day| *day <= days.1).collect();
        let mut lists = Lists::new(self.periods.usage, each);
        let mut at = Place::default();
        while !at.is_end() {
            let (users, last) = lists.next(&at).await?;
            for some in users.chunks(AT_ONCE) {
                if over() {
                    let period = due.span.to_string();
                    return Err(ReportError::Late { period });
                }
                for (user, sums) in self.days(some, days).await? {
                    figures.add(user, &sums);
                }
            }
            at = last;
        }
        Ok(figures.report())
    }

    async fn days(
        &self,
        users: &[String],
        span: (UnixMillis, UnixMillis),
    ) -> Result<Vec<(String, Vec<(UnixMillis, Sum)>)>, StoreError> {
        let days = users.iter().map(|user| async move {
            let days = self.periods.days(span, user).await?;
            Ok((user.clone(), days))
        });
        together(days.collect()).await
    }

    /// Stores an item unless it exists.
    async fn note(
        &self,
        key: &ItemKey,
        state: Vec<u8>,
        expires_at: Option<UnixMillis>,
    ) -> Result<(), StoreError> {
        let item = NewItem {
            version: 1,
            state,
            shown: Shown {
                expires_at,
                ..Shown::default()
            },
            condition: Condition::Version(0),
        };
        self.periods.usage.put(key, item).await.map(drop)
    }
}

#[cfg(test)]
mod tests;
