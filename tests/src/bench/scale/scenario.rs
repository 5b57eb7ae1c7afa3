//! The scenarios of the simulations.

use super::aws::Quotas;

/// Seconds from and to which something is unavailable.
pub(super) type Outage = Option<(u64, u64)>;

/// Traffic and outages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// Duration of the calls.
    pub(super) seconds: u64,
    /// Calls per second before the spike and during it, and the second in which it begins.
    pub(super) rate: u64,
    pub(super) spike: Option<(u64, u64)>,
    /// Calls per second of one caller among them.
    pub(super) one_caller: u64,
    pub(super) users: u64,
    pub(super) shards: u64,
    pub(super) quotas: Quotas,
    pub(super) tables_down: Outage,
    pub(super) stream_down: Outage,
    /// Calls represented by one simulated record.
    pub(super) weight: u64,
}

/// Seconds until a spike reaches its height.
const RISE: u64 = 10;

impl Scenario {
    /// Calls in a second.
    pub(super) fn rate_at(&self, second: u64) -> u64 {
        if second >= self.seconds {
            return 0;
        }
        match self.spike {
            Some((from, height)) if second >= from => {
                let risen = (second - from + 1).min(RISE);
                self.rate + height.saturating_sub(self.rate) * risen / RISE
            }
            _ => self.rate,
        }
    }

    /// The second from which everything is normal again.
    pub(super) fn trouble_ends(&self) -> u64 {
        let outage = self.tables_down.or(self.stream_down).map(|(_, to)| to);
        let spike = self.spike.map(|(from, _)| from + RISE);
        outage.or(spike).unwrap_or(self.seconds)
    }
}

/// Whether an outage is in effect at this second.
pub(super) fn is_down(outage: Outage, second: u64) -> bool {
    outage.is_some_and(|(from, to)| (from..to).contains(&second))
}

const QUIET: Scenario = Scenario {
    name: "",
    seconds: 3_600,
    rate: 1_000,
    spike: None,
    one_caller: 0,
    users: 10_000,
    shards: 2,
    quotas: Quotas::DEFAULT,
    tables_down: None,
    stream_down: None,
    weight: 2,
};

/// Quotas that an account requests for 10,000 calls per second.
const RAISED: Quotas = Quotas {
    gateway_rate: 20_000,
    gateway_burst: 10_000,
    concurrency: 3_000,
    ..Quotas::DEFAULT
};

const BUSY: Scenario = Scenario {
    name: "10,000 calls/s for an hour",
    rate: 10_000,
    shards: 16,
    quotas: RAISED,
    weight: 10,
    ..QUIET
};

/// All scenarios.
pub(super) const SCENARIOS: [Scenario; 7] = [
    BUSY,
    Scenario {
        name: "the same, no quota raised",
        quotas: Quotas::DEFAULT,
        ..BUSY
    },
    Scenario {
        name: "one caller at 5,000 calls/s",
        seconds: 900,
        rate: 6_000,
        one_caller: 5_000,
        shards: 12,
        quotas: RAISED,
        weight: 5,
        ..QUIET
    },
    Scenario {
        name: "tenfold within ten seconds",
        seconds: 1_200,
        spike: Some((300, 10_000)),
        quotas: RAISED,
        weight: 5,
        ..QUIET
    },
    Scenario {
        name: "ten minutes without tables",
        seconds: 2_400,
        tables_down: Some((600, 1_200)),
        ..QUIET
    },
    Scenario {
        name: "half an hour without stream",
        seconds: 3_600,
        stream_down: Some((600, 2_400)),
        ..QUIET
    },
    Scenario {
        name: "a million users",
        users: 1_000_000,
        ..BUSY
    },
];

/// A hundred thousand calls per second, with every quota raised that can be: the remaining
/// bottlenecks.
pub(super) const HUNDRED_THOUSAND: Scenario = Scenario {
    name: "100,000 calls/s for ten minutes",
    seconds: 600,
    rate: 100_000,
    shards: 160,
    quotas: Quotas {
        gateway_rate: 200_000,
        gateway_burst: 100_000,
        concurrency: 30_000,
        ..Quotas::DEFAULT
    },
    weight: 100,
    ..BUSY
};
