//! `explain`: everything known about one call. It answers "why was I billed for this?".
//!
//! An event's id contains its time, so only its minute of the journal is read. A request id
//! contains no time: the journal is searched backwards from now. The code of `events` decides what
//! counts, as the fold does.

mod reports;
mod sums;

use clap::Args;
use deployer::{ErrorTable, Journal};
use domain::entry::EntryError;
use domain::id::EventId;
use reports::TrackReport;
use serde::Serialize;
use serde_json::Value;
use sums::Sums;

use super::events::{Union, Wanted};
use crate::aws::{Reached, nothing_deployed, reach};
use crate::clock;
use crate::context::Context;
use crate::duration::{Past, past};
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The event's id, as `events` prints it, or the gateway's id of the request
    pub(crate) id: String,
    /// How far back to search for a request id: `6h`, or a time
    #[arg(long, value_name = "T", value_parser = past, default_value = "24h")]
    pub(crate) since: Past,
}

/// The knowledge about a call.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Explanation {
    id: String,
    /// How the call counts: the event's type, or nothing if it was never appended.
    counts_as: &'static str,
    /// The event as it is counted, with the status and the latency of the response if a line
    /// reports them.
    event: Value,
    /// Every entry of the journal that contains it.
    reports: Vec<TrackReport>,
    sums: Sums,
    /// Items under `PK = ERRORS` about it.
    set_aside: Vec<SetAside>,
}

#[derive(Debug, Serialize)]
struct SetAside {
    reason: String,
    message: String,
}

pub(crate) async fn run(context: &Context, args: &Arguments) -> anyhow::Result<Exit> {
    let reached = reach(context).await?;
    if reached.stacks().await?.is_empty() {
        return Err(nothing_deployed(&reached.environment).into());
    }
    let journal = Journal::new(&reached.session, &reached.environment.names());
    let id = if let Ok(id) = args.id.parse::<EventId>() {
        id
    } else {
        let now = clock::now();
        context.out.step("searching the journal for the request");
        let from = args.since.before(now);
        let found = reports::of_request(&journal, &args.id, from, now).await?;
        one(&args.id, &found)?
    };
    let explanation = explain(&reached, &journal, id).await?;
    context.out.answer(&explanation, Explanation::text)?;
    Ok(Exit::Done)
}

/// The names by which the functions' logs may refer to a call: the given one, and the request id if
/// it is an event in the journal.
pub(super) async fn names_of(reached: &Reached, given: &str) -> anyhow::Result<Vec<String>> {
    let mut names = vec![given.to_owned()];
    if let Ok(id) = given.parse::<EventId>() {
        let journal = Journal::new(&reached.session, &reached.environment.names());
        let (union, _, _) = read(&journal, id).await?;
        let event = union.get(id).map(|told| union.to_json(told)).transpose()?;
        let request = event
            .as_ref()
            .and_then(|event| event.pointer("/data/requestId"));
        names.extend(request.and_then(Value::as_str).map(str::to_owned));
    }
    Ok(names)
}

/// The only event of a request. Callers can choose a request's id, so there may be several.
fn one(request: &str, found: &[EventId]) -> Result<EventId, Stop> {
    match found {
        [id] => Ok(*id),
        [] => Err(Stop::failed(format!(
            "no call with the request id `{request}` is in the journal"
        ))
        .hint(
            "only the authorizer's reports carry request ids; `--since 7d` searches further back",
        )),
        several => {
            let ids: Vec<_> = several.iter().map(|id| format!("`{id}`")).collect();
            Err(Stop::failed(format!(
                "{} calls have the request id `{request}`: {}",
                several.len(),
                ids.join(", ")
            ))
            .hint("a caller chose it more than once; explain one of them by its event id"))
        }
    }
}

async fn explain(reached: &Reached, journal: &Journal, id: EventId) -> anyhow::Result<Explanation> {
    let names = reached.environment.names();
    let set_aside = set_aside(reached, id).await?;
    let (union, reports, unreadable) = read(journal, id).await?;
    let Some(told) = union.get(id) else {
        return Err(match unreadable {
            Some(error) => {
                anyhow::Error::from(error).context("an entry of its minute cannot be read")
            }
            None => not_appended(id, &set_aside).into(),
        });
    };
    let event = union.to_json(told)?;
    Ok(Explanation {
        id: id.to_string(),
        counts_as: told.event_type().as_str(),
        sums: sums::of(reached, &names, told).await?,
        event,
        reports,
        set_aside,
    })
}

/// Reads the minute of an event: the facts about it, the entries with them, and the unreadable
/// ones.
async fn read(
    journal: &Journal,
    id: EventId,
) -> anyhow::Result<(Union, Vec<TrackReport>, Option<EntryError>)> {
    let at = id.minted_at();
    let wanted = Wanted::instant(at);
    let mut union = Union::default();
    let mut reports = Vec::new();
    let mut unreadable = None;
    journal
        .read_hour(at, at, |minute| {
            for entry in &minute.entries {
                match union.add(minute.minute, entry, &wanted) {
                    Ok(()) => reports.extend(TrackReport::of(id, entry)),
                    Err(error) => unreadable = Some(error),
                }
            }
            true
        })
        .await?;
    Ok((union, reports, unreadable))
}

/// Why there is nothing to explain.
fn not_appended(id: EventId, set_aside: &[SetAside]) -> Stop {
    let at = id.minted_at();
    let stop = Stop::failed(format!(
        "the call `{id}` of {at} is not in the journal: it counts nowhere"
    ));
    match set_aside.first() {
        Some(item) => stop.hint(format!(
            "it is set aside as `{}`: {}",
            item.reason, item.message
        )),
        None => stop.hint(
            "a call takes moments to arrive, and entries are kept for `retention.rawDays`; \
             check `cargo xtask status` and `cargo xtask errors list`",
        ),
    }
}

/// Items recorded about an event: a conflict, or a record that contains its id.
async fn set_aside(reached: &Reached, id: EventId) -> anyhow::Result<Vec<SetAside>> {
    let id = id.to_string();
    let names = reached.environment.names();
    let all = ErrorTable::new(&reached.session, &names).describe().await?;
    let its = all
        .into_iter()
        .filter(|item| item.sequence_number == id || item.message.contains(&id));
    Ok(its
        .map(|item| SetAside {
            reason: item.reason,
            message: item.message,
        })
        .collect())
}

impl Explanation {
    fn text(&self) -> String {
        let text = |pointer: &str| match self.event.pointer(pointer) {
            None | Some(Value::Null) => "unknown".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let mode = self.event.pointer("/data/mode").and_then(Value::as_str);
        let mut lines = vec![
            format!("event        {}", self.id),
            format!(
                "decided      {}, {}, in {} mode",
                text("/time"),
                decision(self.counts_as),
                mode.unwrap_or("stream")
            ),
            format!(
                "who          {}, key {}, plan {}, from {}",
                text("/subject"),
                text("/data/keyId"),
                text("/data/plan"),
                text("/data/ip")
            ),
            format!(
                "call         {} {}, request {}",
                text("/data/method"),
                text("/data/endpoint"),
                text("/data/requestId")
            ),
            match self.event.pointer("/data/status") {
                Some(status) => {
                    format!("answered     {status} after {} ms", text("/data/latencyMs"))
                }
                None => "answered     unknown: no line of the access log has arrived".to_owned(),
            },
        ];
        let meters = self
            .event
            .pointer("/data/meters")
            .and_then(Value::as_object);
        let used = meters.into_iter().flatten();
        lines.extend(used.map(|(meter, amount)| format!("used         {amount} {meter}")));
        lines.extend(self.reports.iter().map(TrackReport::line));
        lines.extend(self.sums.lines(self.counts_as));
        lines.extend(
            self.set_aside
                .iter()
                .map(|item| format!("set aside    {}: {}", item.reason, item.message)),
        );
        lines.join("\n")
    }
}

/// The meaning of a decision, for the reader of a bill.
fn decision(event_type: &str) -> &'static str {
    match event_type {
        "API_CALL" => "accepted: one call",
        "API_AUTH_FAILED" => "refused without a valid key: not a call",
        _ => "refused over the plan's rate or quota: not a call",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_that_several_calls_have_names_them_all() {
        let id = |number: u8| EventId::mint(1_795_363_445_007, [number; 10]);
        assert_eq!(one("r", &[id(1)]).unwrap(), id(1));
        assert!(one("r", &[]).unwrap_err().to_string().contains("no call"));
        let several = one("r", &[id(1), id(2)]).unwrap_err().to_string();
        assert!(several.contains(&id(2).to_string()), "{several}");
    }

    #[test]
    fn a_call_that_was_set_aside_says_why_it_counts_nowhere() {
        let id = EventId::mint(1_795_363_445_007, [1; 10]);
        let item = SetAside {
            reason: "tooOld".into(),
            message: "eight days".into(),
        };
        let error: anyhow::Error = not_appended(id, &[item]).into();
        assert!(crate::stop::hint_of(&error).unwrap().contains("tooOld"));
        assert!(error.to_string().contains("counts nowhere"));
    }
}
