//! `usage export`: each user's usage in the period that begins in a month, once it is final.
//!
//! It is read from sealed days, by the rules of the `period.closed` events and by the calendars that
//! they noted: another run produces the same output, byte by byte, and the digests are those of the
//! events.

mod parquet;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use deployer::{UsageTable, UserDay};
use domain::bill::{self, Bill, Terms};
use domain::counts::Sum;
use domain::mark::Round;
use domain::meter::Amounts;
use domain::plan::Plans;
use domain::time::{UnixMillis, Window, rfc3339};
use report::field;
use serde::Serialize;
use stacks::environment::Environment;

use crate::aws::reach;
use crate::context::Context;
use crate::duration::month;
use crate::output::Output;
use crate::stop::{Exit, Stop};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) action: UsageAction,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum UsageAction {
    /// Print each user's usage in the period that begins in a month, once the period is final
    Export {
        /// The month in which the period begins: `2026-11`
        #[arg(long, value_name = "M", value_parser = month)]
        month: UnixMillis,
        /// The format
        #[arg(long, value_name = "FORMAT", default_value = "csv")]
        format: UsageFormat,
        /// Output file; without it, the export goes to stdout
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// The form of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum UsageFormat {
    /// A header, then one line per user.
    Csv,
    /// One JSON object per line.
    Jsonl,
    /// The columns of the CSV form, with types.
    Parquet,
}

/// Header of the CSV form, in the order of [`Row`]. A column for each meter follows.
const HEADER: &str =
    "email,plan,periodStart,periodEnd,totalCalls,authFailures,rateLimited,units,digest";

/// A user's usage in a period.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    email: String,
    plan: Option<String>,
    #[serde(serialize_with = "rfc3339")]
    period_start: UnixMillis,
    #[serde(serialize_with = "rfc3339")]
    period_end: UnixMillis,
    total_calls: u64,
    auth_failures: u64,
    rate_limited: u64,
    /// Units of accepted calls: the weights of their routes, and amounts that count towards the
    /// quota.
    units: u64,
    /// That of the user's `period.closed` event.
    digest: String,
    /// Amounts that upstreams reported of accepted calls, by meter.
    meters: Amounts,
}

#[derive(Debug, Serialize)]
struct Exported {
    month: String,
    users: Vec<Row>,
}

/// The answer of a run that writes a file.
#[derive(Debug, Serialize)]
struct WrittenExport {
    file: String,
    format: UsageFormat,
    month: String,
}

pub(crate) async fn run(context: &Context, action: UsageAction) -> anyhow::Result<Exit> {
    let UsageAction::Export { month, format, out } = action;
    if out.is_none() {
        check_printable(format, context.out.is_json(), Output::is_terminal())?;
    }
    let exported = exported(context, month).await?;
    let Some(file) = out else {
        print(context.out, &exported, format)?;
        return Ok(Exit::Done);
    };
    let bytes = match format {
        UsageFormat::Csv => (csv(&exported.users) + "\n").into_bytes(),
        UsageFormat::Jsonl => (jsonl(&exported.users) + "\n").into_bytes(),
        UsageFormat::Parquet => parquet::file(&exported.users)?,
    };
    std::fs::write(&file, bytes).with_context(|| format!("writing `{}`", file.display()))?;
    let written = WrittenExport {
        file: file.display().to_string(),
        format,
        month: exported.month,
    };
    context
        .out
        .answer(&written, |written| written.file.clone())?;
    Ok(Exit::Done)
}

async fn exported(context: &Context, month: UnixMillis) -> anyhow::Result<Exported> {
    let reached = reach(context).await?;
    reached.deployed().await?;
    let plans = plans(&reached.environment);
    let label = Window::Month.label(month);
    let table = UsageTable::new(&reached.session, &reached.environment.names());
    let terms = terms(&table, &plans, month).await?;
    let span = terms.days(month);
    let rounds = rounds(&table, span).await?;
    check_closed(&rounds, &format!("month `{label}`"), span)?;
    Ok(Exported {
        users: rows(table.days(span.0, span.1).await?, &terms, month),
        month: label,
    })
}

/// Refuses bytes that stdout has no place for.
fn check_printable(format: UsageFormat, is_json: bool, is_terminal: bool) -> Result<(), Stop> {
    if format != UsageFormat::Parquet {
        return Ok(());
    }
    let message = if is_json {
        "`--json` prints no Parquet"
    } else if is_terminal {
        "a terminal cannot show Parquet"
    } else {
        return Ok(());
    };
    Err(Stop::usage(message).hint("name a file with `--out`"))
}

fn print(out: Output, exported: &Exported, format: UsageFormat) -> anyhow::Result<()> {
    match format {
        UsageFormat::Csv => out.answer(exported, |exported| csv(&exported.users)),
        UsageFormat::Jsonl => out.answer(exported, |exported| jsonl(&exported.users)),
        UsageFormat::Parquet => Output::bytes(&parquet::file(&exported.users)?),
    }
}

/// The plans of an environment.
pub(super) fn plans(environment: &Environment) -> Plans {
    let plans = environment.plans.iter();
    plans
        .map(|(name, plan)| (name.clone(), plan.into()))
        .collect()
}

/// The terms of a month's bills, as they are noted.
pub(super) async fn terms(
    table: &UsageTable,
    plans: &Plans,
    month: UnixMillis,
) -> anyhow::Result<Terms> {
    let before = Window::Month.start(month.plus_millis(-1));
    let (before, itself) = (table.noted(before).await?, table.noted(month).await?);
    Ok(Terms::noted(plans, before, itself))
}

/// How far the closing of days is, from the first day to the last.
pub(super) async fn rounds(
    table: &UsageTable,
    (first, last): (UnixMillis, UnixMillis),
) -> anyhow::Result<BTreeMap<UnixMillis, Round>> {
    let marks = table.marks(first, last).await?.into_iter();
    Ok(marks.map(|(day, mark)| (day, mark.round)).collect())
}

/// Refuses a span with a day that is not sealed: calls of that day may still arrive.
pub(super) fn check_closed(
    rounds: &BTreeMap<UnixMillis, Round>,
    what: &str,
    span: (UnixMillis, UnixMillis),
) -> Result<(), Stop> {
    let Some(day) = bill::unsealed(rounds, span) else {
        return Ok(());
    };
    let day = Window::Day.label(day);
    let message = format!("{what} is not closed: `{day}` is not");
    Err(Stop::failed(message).hint("a day is closed for good nine days after it ended"))
}

/// The days of each user. `days` come user by user.
pub(super) fn by_user(days: Vec<UserDay>) -> BTreeMap<String, Vec<(UnixMillis, Sum)>> {
    let mut users: BTreeMap<String, Vec<(UnixMillis, Sum)>> = BTreeMap::new();
    for day in days {
        users.entry(day.user).or_default().push((day.day, day.sum));
    }
    users
}

/// Each user's usage in the period of its plan that begins in a month, by email. `days` come user by user.
fn rows(days: Vec<UserDay>, terms: &Terms, month: UnixMillis) -> Vec<Row> {
    let users = by_user(days);
    let bills = users.iter();
    let bills = bills.filter_map(|(user, days)| Bill::of(user, days, terms, month));
    bills.map(Row::from).collect()
}

impl From<Bill> for Row {
    fn from(bill: Bill) -> Self {
        Self {
            digest: bill.digest(),
            email: bill.user,
            plan: bill.plan,
            period_start: bill.start,
            period_end: bill.end,
            total_calls: bill.totals.calls,
            auth_failures: bill.totals.auth_failures,
            rate_limited: bill.totals.rate_limited,
            units: bill.totals.units,
            meters: bill.meters,
        }
    }
}

/// The meters of the month.
fn meters(rows: &[Row]) -> BTreeSet<&String> {
    rows.iter().flat_map(|row| row.meters.keys()).collect()
}

/// Each meter of the month has a column, `meters.` and its name, which needs no quotes.
fn csv(rows: &[Row]) -> String {
    let meters = meters(rows);
    let mut text = HEADER.to_owned();
    for meter in &meters {
        text += ",meters.";
        text += meter;
    }
    text.push('\n');
    for row in rows {
        let mut fields = vec![
            field(&row.email),
            field(row.plan.as_deref().unwrap_or_default()),
            row.period_start.to_string(),
            row.period_end.to_string(),
            row.total_calls.to_string(),
            row.auth_failures.to_string(),
            row.rate_limited.to_string(),
            row.units.to_string(),
            row.digest.clone(),
        ];
        let amounts = meters.iter().map(|meter| row.meters.get(*meter));
        fields.extend(amounts.map(|amount| amount.copied().unwrap_or(0).to_string()));
        text += &fields.join(",");
        text.push('\n');
    }
    // Printing adds the end of the line.
    text.pop();
    text
}

fn jsonl(rows: &[Row]) -> String {
    let lines = rows
        .iter()
        .filter_map(|row| serde_json::to_string(row).ok());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use domain::sample;
    use domain::tally::Totals;

    fn at(text: &str) -> UnixMillis {
        text.parse().unwrap()
    }

    fn day(user: &str, day: &str, plan: &str, quarters: &[(u8, u64)]) -> UserDay {
        let day = at(day);
        let quarters = quarters.iter().map(|(quarter, calls)| {
            let totals = Totals {
                calls: *calls,
                units: *calls,
                ..Totals::default()
            };
            (*quarter, totals)
        });
        UserDay {
            user: user.to_owned(),
            day,
            sum: sample::sum(day, plan, quarters),
        }
    }

    #[test]
    fn a_month_is_that_of_the_users_plan_to_the_quarter_hour() {
        let days = [
            day(
                "=ann@example.com",
                "2026-10-31T00:00:00Z",
                "free",
                &[(95, 7)],
            ),
            day(
                "=ann@example.com",
                "2026-11-01T00:00:00Z",
                "free",
                &[(0, 1), (95, 2)],
            ),
            // 18:30 in UTC is midnight in India: the 74th quarter hour.
            day(
                "bob@example.com",
                "2026-10-31T00:00:00Z",
                "india",
                &[(73, 7), (74, 10)],
            ),
            day(
                "bob@example.com",
                "2026-11-30T00:00:00Z",
                "india",
                &[(73, 20), (74, 7)],
            ),
            day("eve@example.com", "2026-12-01T00:00:00Z", "free", &[(3, 9)]),
        ];
        let rows = rows(
            days.to_vec(),
            &Terms::of(&sample::plans_of_two_zones()),
            at("2026-11-01T00:00:00Z"),
        );
        let calls: Vec<_> = rows
            .iter()
            .map(|row| (row.email.as_str(), row.total_calls))
            .collect();
        assert_eq!(calls, [("=ann@example.com", 3), ("bob@example.com", 30)]);
        let [ann, bob] = [&rows[0].digest, &rows[1].digest];
        let expected = format!(
            "email,plan,periodStart,periodEnd,totalCalls,authFailures,rateLimited,units,digest\n\
             \"'=ann@example.com\",free,2026-11-01T00:00:00Z,2026-12-01T00:00:00Z,3,0,0,3,{ann}\n\
             bob@example.com,india,2026-10-31T18:30:00Z,2026-11-30T18:30:00Z,30,0,0,30,{bob}"
        );
        assert_eq!(csv(&rows), expected);
        assert_eq!(jsonl(&rows).lines().count(), 2);
    }

    #[test]
    fn an_export_says_what_the_events_say_byte_for_byte() {
        let days = || {
            vec![
                day(
                    "ann@example.com",
                    "2026-11-01T00:00:00Z",
                    "free",
                    &[(0, 1), (95, 2)],
                ),
                day(
                    "ann@example.com",
                    "2026-11-30T00:00:00Z",
                    "free",
                    &[(95, 4)],
                ),
                day(
                    "bob@example.com",
                    "2026-11-02T00:00:00Z",
                    "india",
                    &[(7, 5)],
                ),
            ]
        };
        let month = at("2026-11-01T00:00:00Z");
        let exported = || rows(days(), &Terms::of(&sample::plans_of_two_zones()), month);
        assert_eq!(csv(&exported()), csv(&exported()));
        assert_eq!(jsonl(&exported()), jsonl(&exported()));
        for row in exported() {
            let own = days().into_iter().filter(|day| day.user == row.email);
            let own: Vec<_> = own.map(|day| (day.day, day.sum)).collect();
            let bill = Bill::of(
                &row.email,
                &own,
                &Terms::of(&sample::plans_of_two_zones()),
                month,
            )
            .unwrap();
            let event: serde_json::Value =
                serde_json::from_str(&bill.cloud_event("/complical/test/api")).unwrap();
            let row = serde_json::to_value(row).unwrap();
            for (name, value) in row.as_object().unwrap() {
                let said = if name == "email" {
                    &event["subject"]
                } else {
                    &event["data"][name]
                };
                assert_eq!(said, value, "{name}");
            }
        }
    }

    #[test]
    fn amounts_of_the_period_are_exported_by_meter() {
        let mut first = day(
            "ann@example.com",
            "2026-10-31T00:00:00Z",
            "india",
            &[(74, 1)],
        );
        let of_quarter = |tokens| Amounts::from([("tokens".to_owned(), tokens)]);
        // The 74th quarter hour begins the month in India.
        first.sum.amounts = [(73, of_quarter(9)), (74, of_quarter(30))].into();
        let mut second = day(
            "ann@example.com",
            "2026-11-01T00:00:00Z",
            "india",
            &[(0, 2)],
        );
        second.sum.amounts = [(0, of_quarter(4))].into();
        let bob = day("bob@example.com", "2026-11-05T00:00:00Z", "free", &[(3, 9)]);
        let rows = rows(
            vec![first, second, bob],
            &Terms::of(&sample::plans_of_two_zones()),
            at("2026-11-01T00:00:00Z"),
        );
        let table = csv(&rows);
        let last: Vec<_> = table
            .lines()
            .map(|line| line.rsplit_once(',').unwrap().1)
            .collect();
        assert_eq!(last, ["meters.tokens", "34", "0"]);
        assert!(jsonl(&rows).contains(r#""meters":{"tokens":34}"#));
    }

    #[test]
    fn parquet_is_not_written_to_a_terminal() {
        let check = |format, is_json, is_terminal| {
            let checked = check_printable(format, is_json, is_terminal);
            checked.map_err(|stop| stop.to_string())
        };
        let parquet = UsageFormat::Parquet;
        let of_terminal = Err("a terminal cannot show Parquet".to_owned());
        assert_eq!(check(parquet, false, true), of_terminal);
        let of_json = Err("`--json` prints no Parquet".to_owned());
        assert_eq!(check(parquet, true, false), of_json);
        assert_eq!(check(parquet, false, false), Ok(()));
        assert_eq!(check(UsageFormat::Csv, false, true), Ok(()));
    }

    #[test]
    fn a_month_with_a_day_that_may_still_change_is_refused() {
        let (from, to) = (at("2026-10-31T00:00:00Z"), at("2026-12-01T00:00:00Z"));
        let days = |first: i64| (first..=31).map(|day| from.plus_days(day));
        let sealed = |first| days(first).map(|day| (day, Round::Sealed));
        let check = |rounds: BTreeMap<_, _>| check_closed(&rounds, "month `2026-11`", (from, to));
        assert!(check(sealed(0).collect()).is_ok());
        // Deployed in the middle of the month.
        assert!(check(sealed(12).collect()).is_ok());
        let mut open: BTreeMap<_, _> = sealed(0).collect();
        open.insert(from.plus_days(20), Round::Closed);
        let refused = check(open).map_err(|stop| stop.to_string());
        let message = "month `2026-11` is not closed: `2026-11-20` is not".to_owned();
        assert_eq!(refused, Err(message));
        let mut missing: BTreeMap<_, _> = sealed(0).collect();
        missing.remove(&from.plus_days(20));
        assert!(check(missing).is_err());
        assert!(check(BTreeMap::new()).is_err());
    }
}
