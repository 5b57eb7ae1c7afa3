//! Calls in a span by route, and their responses, of one user or of all users.
//!
//! The span is that of a time series ([`crate::timeseries`]), summed up, and costs the same.

use std::collections::BTreeMap;

use domain::meter::Amounts;
use domain::response::Responses;
use domain::time::UnixMillis;
use runtime::store::{Store, StoreError};

use crate::body::{
    EndpointCalls, Endpoints, Instant, Latency, MeterAmount, MethodCalls, StatusCount,
};
use crate::paging::{Paging, Place};
use crate::ranking::ranked;
use crate::reader::Tables;
use crate::timeseries::{self, Asked};

/// Reads the calls.
pub async fn endpoints<S: Store>(
    tables: &Tables<'_, S>,
    asked: &Asked,
    paging: &Paging,
    now: UnixMillis,
) -> Result<Endpoints, StoreError> {
    let (counts, as_of) = timeseries::sum(tables, asked, now).await?;
    let tally = counts.tally;
    let entries = tally.endpoints.into_iter().map(|(endpoint, total_calls)| {
        let place = Place {
            size: total_calls,
            name: endpoint.clone(),
        };
        let calls = EndpointCalls {
            endpoint,
            total_calls,
        };
        (place, calls)
    });
    let (endpoints, next) = paging.page(entries.collect());
    Ok(Endpoints {
        from: Instant(asked.buckets.from()),
        to: Instant(asked.buckets.to()),
        total_calls: tally.calls,
        auth_failures: tally.auth_failures,
        rate_limited: tally.rate_limited,
        endpoints,
        next,
        methods: methods(tally.methods),
        statuses: statuses(&counts.responses),
        latency: latency(&counts.responses),
        as_of: Instant(as_of),
    })
}

/// Calls by method, most first.
pub fn methods(calls: BTreeMap<String, u64>) -> Vec<MethodCalls> {
    let method = |(method, total_calls)| MethodCalls {
        method,
        total_calls,
    };
    ranked(calls).into_iter().map(method).collect()
}

/// Amounts by the name of their meter.
pub fn meters(amounts: Amounts) -> Vec<MeterAmount> {
    let amounts = amounts.into_iter();
    amounts
        .map(|(meter, amount)| MeterAmount { meter, amount })
        .collect()
}

/// Calls by status, most first.
pub fn statuses(responses: &Responses) -> Vec<StatusCount> {
    let status = |(status, count)| StatusCount { status, count };
    let statuses = ranked(responses.statuses.clone()).into_iter();
    statuses.map(status).collect()
}

/// Latency of the calls.
pub fn latency(responses: &Responses) -> Latency {
    Latency {
        p50: responses.latency.percentile(50),
        p95: responses.latency.percentile(95),
        p99: responses.latency.percentile(99),
    }
}
