//! Responses as comma-separated values (RFC 4180), with the same names as in JSON: a time series
//! with one row per point, or per point and group; lists with one row per entry. Each meter that
//! occurs in a series has a column, `meters.` and its name.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::body::{Endpoints, Timeseries, Users};

/// The routes as a table.
pub fn endpoints(list: &Endpoints) -> String {
    let mut table = String::from("endpoint,totalCalls\r\n");
    for row in &list.endpoints {
        let _ = write!(table, "{},{}\r\n", field(&row.endpoint), row.total_calls);
    }
    table
}

/// The users as a table.
pub fn users(list: &Users) -> String {
    let mut table = String::from("email,totalCalls,lastSeen\r\n");
    for row in &list.users {
        let email = field(&row.email);
        let _ = write!(table, "{email},{},{}\r\n", row.total_calls, row.last_seen.0);
    }
    table
}

/// The series as a table.
pub fn series(series: &Timeseries) -> String {
    let grouped = series.points.iter().any(|point| point.groups.is_some());
    let meters = series.points.iter().flat_map(|point| &point.meters);
    let meters: BTreeSet<&str> = meters.map(|of| of.meter.as_str()).collect();
    let mut table = String::new();
    if grouped {
        table.push_str("start,key,totalCalls\r\n");
    } else {
        table.push_str("start,totalCalls,totalUnits,authFailures,rateLimited,activeUsers");
        for meter in &meters {
            let _ = write!(table, ",meters.{meter}");
        }
        table.push_str("\r\n");
    }
    for point in &series.points {
        let start = point.start.0;
        if grouped {
            for group in point.groups.iter().flatten() {
                let key = field(&group.key);
                let _ = write!(table, "{start},{key},{}\r\n", group.total_calls);
            }
        } else {
            let users = point
                .active_users
                .map_or(String::new(), |users| users.to_string());
            let _ = write!(
                table,
                "{start},{},{},{},{},{users}",
                point.total_calls, point.total_units, point.auth_failures, point.rate_limited,
            );
            for meter in &meters {
                let its = point.meters.iter().find(|of| of.meter == *meter);
                let _ = write!(table, ",{}", its.map_or(0, |of| of.amount));
            }
            table.push_str("\r\n");
        }
    }
    table
}

/// A route template may contain a comma, a quote or a line break. Spreadsheets execute a cell that
/// begins like a formula; an apostrophe turns it into text
/// (<https://owasp.org/www-community/attacks/CSV_Injection>).
fn field(text: &str) -> Cow<'_, str> {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        return Cow::Owned(quoted(&format!("'{text}")).into_owned());
    }
    quoted(text)
}

fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\r', '\n']) {
        Cow::Owned(format!("\"{}\"", text.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{Granularity, Group, Instant, MeterAmount, Point};
    use domain::time::UnixMillis;

    fn a_series(groups: Option<Vec<Group>>) -> Timeseries {
        let start = Instant(UnixMillis(1_795_363_200_000));
        Timeseries {
            granularity: Granularity::Hour,
            from: start,
            to: start,
            as_of: start,
            points: vec![Point {
                start,
                total_calls: 3,
                total_units: 30,
                meters: Vec::new(),
                auth_failures: 2,
                rate_limited: 1,
                active_users: None,
                groups,
            }],
        }
    }

    #[test]
    fn a_point_is_a_row_and_what_is_unknown_is_empty() {
        assert_eq!(
            super::series(&a_series(None)),
            "start,totalCalls,totalUnits,authFailures,rateLimited,activeUsers\r\n2026-11-22T16:00:00Z,3,30,2,1,\r\n",
        );
    }

    #[test]
    fn each_meter_of_the_series_is_a_column() {
        let mut series = a_series(None);
        let [point] = series.points.as_slice() else {
            panic!("one point");
        };
        let mut other = point.clone();
        let amount = |meter: &str, amount| MeterAmount {
            meter: meter.to_owned(),
            amount,
        };
        other.meters = vec![amount("rows", 4), amount("tokens", 70)];
        series.points.push(other);
        assert_eq!(
            super::series(&series),
            "start,totalCalls,totalUnits,authFailures,rateLimited,activeUsers,meters.rows,meters.tokens\r\n\
             2026-11-22T16:00:00Z,3,30,2,1,,0,0\r\n\
             2026-11-22T16:00:00Z,3,30,2,1,,4,70\r\n",
        );
    }

    #[test]
    fn a_group_is_a_row_and_its_key_is_quoted_where_it_must_be() {
        let group = |key: &str| Group {
            key: key.to_owned(),
            total_calls: 3,
        };
        let groups = vec![group("GET"), group("/v1/\"a\",b")];
        assert_eq!(
            super::series(&a_series(Some(groups))),
            "start,key,totalCalls\r\n2026-11-22T16:00:00Z,GET,3\r\n2026-11-22T16:00:00Z,\"/v1/\"\"a\"\",b\",3\r\n",
        );
    }

    #[test]
    fn a_cell_never_begins_like_a_formula() {
        for (text, cell) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "\"'\r=1\""),
            ("=A1,\"x\"", "\"'=A1,\"\"x\"\"\""),
            ("/a=b", "/a=b"),
        ] {
            assert_eq!(field(text), cell);
        }
    }
}
