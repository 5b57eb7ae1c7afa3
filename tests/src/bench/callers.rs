//! The callers of the benchmarks, and the events of their calls.

use domain::event::{EventData, EventType, Subject, UsageEvent};
use domain::id::EventId;
use domain::names::TrackingMode;
use domain::time::UnixMillis;

use crate::faults::random::Random;

/// Number of routes.
pub(super) const ROUTES: u64 = 5;
/// One call in this many fails to authenticate.
const FAILS_ONCE_IN: u64 = 50;
/// Number of addresses that failures come from.
const FAILING_ADDRESSES: u64 = 20;
/// Exponent of Zipf's law.
const ZIPF: f64 = 1.1;
const USER_AGENTS: [&str; 3] = [
    "curl/8.5.0",
    "python-requests/2.32",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
];

/// The distribution of calls over users.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spread {
    /// All users call equally often.
    Even,
    /// The n-th user calls in proportion to 1/n^1.1.
    Zipf,
}

/// The users, and how often each of them calls.
#[derive(Debug)]
pub(super) struct Callers {
    /// Their names.
    pub(super) users: Vec<String>,
    /// For each user, the share of all calls that it and the users before it make.
    shares: Vec<f64>,
}

impl Callers {
    pub(super) fn new(users: u32, spread: Spread) -> Self {
        let weights = (1..=users).map(|number| match spread {
            Spread::Even => 1.0,
            Spread::Zipf => f64::from(number).powf(-ZIPF),
        });
        let mut shares: Vec<f64> = weights
            .scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            })
            .collect();
        let all = shares.last().copied().unwrap_or(1.0);
        for share in &mut shares {
            *share /= all;
        }
        let name = |user| format!("user{user:04}@customer{}.example.com", user % 97);
        Self {
            users: (0..users).map(name).collect(),
            shares,
        }
    }

    /// The event of a call at `at`, with a new id.
    pub(super) fn call(&self, random: &mut Random, at: UnixMillis) -> UsageEvent {
        let user = self.pick(random);
        let is_failure = random.once_in(FAILS_ONCE_IN);
        let mut tail = [0; 10];
        tail[..8].copy_from_slice(&random.next().to_be_bytes());
        tail[2..].copy_from_slice(&random.next().to_be_bytes());
        let (event_type, subject) = if is_failure {
            let ip = format!("198.51.100.{}", random.below(FAILING_ADDRESSES));
            (EventType::AuthFailed, Subject::address(&ip))
        } else {
            (EventType::ApiCall, Subject::user(&self.users[user]))
        };
        UsageEvent {
            id: EventId::mint(at.0.unsigned_abs(), tail),
            source: "/complical/prod/api".to_owned(),
            event_type,
            time: at,
            data: data(random, user, &subject, is_failure),
            subject,
        }
    }

    fn pick(&self, random: &mut Random) -> usize {
        let high = u32::try_from(random.next() >> 32).unwrap_or(u32::MAX);
        let at = f64::from(high) / (f64::from(u32::MAX) + 1.0);
        let user = self.shares.partition_point(|share| *share < at);
        user.min(self.users.len() - 1)
    }
}

/// The template of a route.
pub(super) fn endpoint(route: u64) -> String {
    format!("/v1/resource-{route}/{{id}}")
}

/// The id of a user's only key.
pub(super) fn key_of(user: usize) -> String {
    format!("key_{user:016x}")
}

/// A failure has a new key and its address, a call has its user's key.
fn data(random: &mut Random, user: usize, subject: &Subject, is_failure: bool) -> EventData {
    let route = random.below(ROUTES);
    let (key_id, plan, ip) = if is_failure {
        let ip = subject.as_str().strip_prefix(Subject::ADDRESS_PREFIX);
        let key = format!("{:08x}", random.below(1 << 32));
        (key, None, ip.unwrap_or_default().to_owned())
    } else {
        let ip = format!("203.0.{}.{}", user / 250, user % 250);
        (key_of(user), Some("free".to_owned()), ip)
    };
    EventData {
        key_id: Some(key_id),
        plan,
        method: if route == 4 { "POST" } else { "GET" }.to_owned(),
        endpoint: endpoint(route),
        units: 1,
        dimensions: Vec::new(),
        ip,
        user_agent: Some(USER_AGENTS[user % USER_AGENTS.len()].to_owned()),
        request_id: Some(request_id(random)),
        stage: Some("prod".to_owned()),
        mode: TrackingMode::Stream,
        reason: None,
    }
}

/// A UUID, as API Gateway names a request.
fn request_id(random: &mut Random) -> String {
    let (high, low) = (random.next(), random.next());
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        high >> 32,
        (high >> 16) & 0xffff,
        high & 0xffff,
        low >> 48,
        low & 0xffff_ffff_ffff
    )
}
