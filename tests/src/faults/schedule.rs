//! A schedule: the traffic, the shape of the pipeline, and the faults with their times.
//!
//! A schedule is data. Each step carries the seed of everything chosen after it, so dropping one
//! step does not affect the others: that makes it possible to shrink a failing schedule.

use domain::event::EventType;
use domain::names::TrackingMode;
use domain::time::UnixMillis;
use runtime::memory::Fault;

use super::random::Random;

/// A minute or a day, in milliseconds.
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// Instants at which a minute, an hour, a day and a month begin, and at the second one also a year.
const BORDERS: [i64; 2] = [1_796_083_200_000, 1_798_761_600_000];

/// One run of the whole system.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// When it begins.
    pub start: UnixMillis,
    /// The pipeline.
    pub pipeline: Pipeline,
    /// The actions, in order.
    pub steps: Vec<Step>,
    /// The final state.
    pub end: End,
    /// The seed of what goes wrong while days are closed and months are handed over.
    pub seed: u64,
    /// Whether users have quotas.
    pub with_quotas: bool,
    /// Whether the analytics API is queried again and again.
    pub is_watched: bool,
    /// Whether the authorizers' limits decide calls.
    pub with_limits: bool,
}

/// How far to follow a schedule once the system has come to rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Everything is folded.
    Folded,
    /// Every day is closed.
    Closed,
    /// Every day is sealed, and the month in which the schedule begins is handed over.
    Sealed,
    /// Every month is handed over.
    HandedOver,
}

/// The pipeline that the events pass through.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Initial number of shards of the stream.
    pub shards: usize,
    /// Initial number of shards of the table's stream.
    pub table_shards: usize,
    /// The mapping of the stream to the processor.
    pub records: Batching,
    /// The mapping of the table's stream to the aggregator.
    pub changes: Batching,
    /// How far the clock of each authorizer is ahead, in milliseconds.
    pub clocks: Vec<i64>,
    /// How far the clocks of processor, reconciler, aggregator and tick are ahead.
    pub others: [i64; 4],
    /// The reconciler's window in seconds.
    pub window: u32,
    /// Items per page.
    pub page: usize,
    /// The days before the schedule.
    pub past: Past,
}

impl Pipeline {
    /// Whether all clocks are within a minute: only then responses never go backwards.
    pub fn clocks_agree(&self) -> bool {
        let clocks = self.clocks.iter().chain(&self.others);
        clocks.into_iter().all(|ahead| ahead.abs() <= MINUTE)
    }
}

/// The batching of a mapping.
#[derive(Debug, Clone, Copy)]
pub struct Batching {
    /// The most records per batch.
    pub size: usize,
    /// Concurrent batches per shard.
    pub parallel: usize,
    /// Whether a failed batch is split.
    pub bisect: bool,
}

/// An action, and the number of turns before the next one.
#[derive(Debug, Clone)]
pub struct Step {
    /// The action.
    pub action: Action,
    /// How many turns tasks take after it.
    pub turns: u8,
    /// The seed of further choices.
    pub seed: u64,
}

/// The gateway's request to an authorizer.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The authorizer.
    pub instance: usize,
    /// The caller.
    pub caller: usize,
    /// The decision.
    pub event_type: EventType,
    /// The method and endpoint.
    pub route: usize,
    /// The API's response, and the line about it.
    pub answer: Response,
}

/// The API's response to a call.
#[derive(Debug, Clone, Copy)]
pub struct Response {
    /// HTTP status; `None` if the line lacks it.
    pub status: Option<u16>,
    /// Latency in milliseconds; `None` if the gateway does not report it.
    pub latency: Option<u32>,
    /// Whether the call's line reaches the log.
    pub logged: bool,
    /// The disagreement of the line with the authorizer.
    pub twist: Twist,
}

/// The disagreement of a line of the log with the authorizer's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Twist {
    /// They agree.
    None,
    /// It names another route.
    Route,
    /// It reports that the call was over its plan.
    Type,
    /// It names another user.
    Subject,
    /// It names another key.
    Key,
}

/// An action.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// A call.
    Call(Call),
    /// A producer repeats an earlier put.
    PutAgain(u64),
    /// An event arrives that was made this many milliseconds ago, or in the future.
    Late(i64),
    /// An event arrives again under its id, with other content.
    Forge(u64),
    /// A record arrives that is not an event.
    Poison,
    /// Calls to a component fail.
    Fail(Failure),
    /// An authorizer works in another mode from now on.
    Mode(usize, TrackingMode),
    /// Nothing happens for this many milliseconds.
    Wait(i64),
    /// A shard is split in two.
    Split(Side, u64),
    /// Two neighbouring shards are merged.
    Merge(Side, u64),
    /// The processor receives earlier records again.
    Redrive(u64, usize),
    /// A mapping restarts from its checkpoints.
    Restart(Side),
    /// A mapping restarts from the oldest record.
    Replay(Side),
    /// Earlier changes are reported again, out of order.
    Repeat(u64, usize),
    /// Changes that are not folded yet are given up, without a dead letter.
    GiveUp,
    /// A function cannot be invoked until the next action of this kind.
    Toggle(Side),
    /// The minute tick.
    Tick,
    /// The system comes to rest, this many days pass, and expired items are deleted.
    Pass(i64),
    /// Some expired items are deleted, in any order.
    Expire(u64, usize),
    /// The stream is deleted with everything in it, and recreated.
    DropStream,
    /// The gateway refuses a call by itself.
    Refusal,
    /// A line of the access log is invalid.
    PoisonLine,
    /// Earlier or pending lines arrive once more.
    RepeatLines(u64, usize),
    /// The usage table is copied, and later restored from that copy.
    Backup,
    /// See [`Self::Backup`].
    Restore,
    /// An older release is deployed that cannot read some items of a newer one.
    Downgrade(u64),
    /// The newer release is deployed again.
    Upgrade,
    /// The aggregator runs out of time after it has read the clock this often.
    Hurry(u32),
    /// The analytics API is queried.
    Ask(u64),
    /// It is time to begin to close a day, while whatever is under way goes on.
    Close,
    /// A function's clock jumps to this many milliseconds ahead.
    Skew(usize, i64),
    /// An upstream reports what some calls used.
    Measure(u64),
}

/// One of the two mappings and its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Stream and processor.
    Records,
    /// Table stream and aggregator.
    Changes,
}

/// Failing calls.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// The called component.
    pub place: Place,
    /// Calls that still succeed.
    pub after: u32,
    /// Calls that then fail.
    pub times: u32,
    /// Their fate.
    pub fault: Fault,
}

/// A component that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The stream, by its producers.
    Stream,
    /// The analytics table.
    Analytics,
    /// The usage table.
    Usage,
    /// The queue that delays lines of the access log.
    Queue,
    /// The queue that takes the ids of alerts and bills.
    Notices,
    /// The counters that authorizers share.
    Counters,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let border = random.pick(&[BORDERS[0], BORDERS[0], BORDERS[1]]);
        let before = random.pick(&[2 * MINUTE, 20_000, 40 * MINUTE, 3 * MINUTE, DAY + MINUTE]);
        let pipeline = Pipeline::draw(&mut random);
        let steps = (0..random.between(4, 34))
            .map(|_| Step::draw(&mut random, pipeline.clocks.len()))
            .collect();
        Self {
            start: UnixMillis(border - before),
            pipeline,
            steps,
            end: random.pick(&[
                End::Folded,
                End::Folded,
                End::Folded,
                End::Folded,
                End::Folded,
                End::Folded,
                End::Closed,
                End::Closed,
                End::Closed,
                End::Sealed,
                End::Sealed,
                End::HandedOver,
            ]),
            seed: random.next(),
            with_quotas: random.once_in(3),
            is_watched: random.once_in(3),
            with_limits: random.once_in(3),
        }
    }
}

/// What the marks of earlier days say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Past {
    /// The environment is new: no day has a mark.
    None,
    /// The days long before the schedule are sealed.
    Sealed,
    /// All others are closed, too.
    Closed,
}

impl Pipeline {
    fn draw(random: &mut Random) -> Self {
        let skewed = random.once_in(3);
        let clock = |random: &mut Random| {
            if skewed {
                random.pick(&[0, 900, -45_000, 4 * MINUTE, -10 * MINUTE, 9 * MINUTE])
            } else {
                random.pick(&[0, 0, 0, 900, -20_000, 15_000])
            }
        };
        let clocks = (0..random.between(1, 3)).map(|_| clock(random)).collect();
        let mut others = [0; 4].map(|_| clock(random));
        // The check of whether an event is too old or too new reads a clock that is nearly right.
        for clock in others.iter_mut().take(2) {
            *clock = (*clock).clamp(-4 * MINUTE, 4 * MINUTE);
        }
        Self {
            shards: 1 + random.place(3),
            table_shards: random.pick(&[1, 1, 2, 4, 16]),
            records: Batching::draw(random),
            changes: Batching {
                parallel: 1,
                ..Batching::draw(random)
            },
            clocks,
            others,
            window: random.pick(&[0, 10, 60, 900]),
            page: random.pick(&[1, 2, 5, 1_000]),
            past: random.pick(&[
                Past::None,
                Past::Sealed,
                Past::Closed,
                Past::Closed,
                Past::Closed,
                Past::Closed,
                Past::Closed,
                Past::Closed,
            ]),
        }
    }
}

impl Batching {
    fn draw(random: &mut Random) -> Self {
        Self {
            size: random.pick(&[1, 2, 3, 5, 10, 100]),
            parallel: random.pick(&[1, 1, 2, 4]),
            bisect: !random.once_in(3),
        }
    }
}

impl Step {
    fn draw(random: &mut Random, instances: usize) -> Self {
        Self {
            action: Action::draw(random, instances),
            turns: u8::try_from(random.pick(&[0, 0, 2, 5, 12, 40])).unwrap_or(0),
            seed: random.next(),
        }
    }
}

impl Action {
    fn draw(random: &mut Random, instances: usize) -> Self {
        let side = random.pick(&[Side::Records, Side::Changes]);
        match random.below(152) {
            0..44 => Self::Call(Call::draw(random, instances)),
            44..50 => Self::PutAgain(random.next()),
            50..55 => Self::Late(late(random)),
            55..57 => Self::Forge(random.next()),
            57..60 => Self::Poison,
            60..77 => Self::Fail(Failure::draw(random)),
            77..80 => {
                let modes = [TrackingMode::Stream, TrackingMode::Synchronous];
                Self::Mode(random.place(instances), random.pick(&modes))
            }
            80..86 => {
                Self::Wait(random.pick(&[1_500, 20_000, 6 * MINUTE, 61 * MINUTE, DAY, 2 * DAY]))
            }
            86..89 => Self::Split(side, random.next()),
            89..91 => Self::Merge(side, random.next()),
            91..94 => Self::Redrive(random.next(), 1 + random.place(8)),
            94..96 => Self::Restart(side),
            96..98 => Self::Replay(side),
            98..101 => Self::Repeat(random.next(), 1 + random.place(8)),
            101..103 => Self::GiveUp,
            103..105 => Self::Toggle(side),
            105..109 => Self::Tick,
            109 => Self::Pass(random.pick(&[1, 1, 6, 7, 8, 9, 10, 10, 13])),
            110 => Self::Expire(random.next(), 1 + random.place(6)),
            111 => Self::DropStream,
            112..115 => Self::Refusal,
            115..117 => Self::PoisonLine,
            117..122 => Self::RepeatLines(random.next(), 1 + random.place(8)),
            122 => Self::Backup,
            123 => Self::Restore,
            124 => Self::Downgrade(random.next()),
            125 => Self::Upgrade,
            126..128 => Self::Hurry(u32::try_from(random.place(3)).unwrap_or(0)),
            128..134 => Self::Ask(random.next()),
            134..138 => Self::Close,
            138..140 => Self::Skew(random.place(4), random.pick(&[0, 900, -20_000, 15_000])),
            _ => Self::Measure(random.next()),
        }
    }
}

impl Action {
    /// Whether only functions change tables.
    pub const fn is_of_functions(self) -> bool {
        !matches!(
            self,
            Self::Pass(_) | Self::Expire(..) | Self::Restore | Self::Downgrade(_)
        )
    }
}

/// The age of a late event: around each limit that decides what is counted.
fn late(random: &mut Random) -> i64 {
    match random.below(7) {
        0 => random.between(0, 90 * MINUTE),
        1 => random.between(0, 6 * DAY),
        2 => 7 * DAY + random.between(-15 * MINUTE, 2 * MINUTE),
        3 => random.pick(&[8 * DAY, 10 * DAY]),
        4 => random.between(8 * DAY, 40 * DAY),
        5 => -5 * MINUTE + random.between(-MINUTE, MINUTE),
        _ => -random.between(6 * MINUTE, 2 * DAY),
    }
}

impl Call {
    fn draw(random: &mut Random, instances: usize) -> Self {
        let caller = random.pick(&[0, 0, 0, 1, 1, 2, 3, 4, 5, 6]);
        let event_type = match random.below(8) {
            _ if caller > 3 => EventType::AuthFailed,
            _ if caller == 3 => EventType::RateLimited,
            0 => EventType::AuthFailed,
            1 => EventType::RateLimited,
            _ => EventType::ApiCall,
        };
        Self {
            instance: random.place(instances),
            caller,
            event_type,
            route: random.place(4),
            answer: Response {
                status: random.pick(&[Some(200), Some(200), Some(200), Some(404), Some(504), None]),
                latency: random.pick(&[Some(3), Some(40), Some(41), Some(29_000), None]),
                logged: !random.once_in(6),
                twist: match random.below(30) {
                    0 => Twist::Route,
                    1 => Twist::Type,
                    2 => Twist::Subject,
                    3 => Twist::Key,
                    _ => Twist::None,
                },
            },
        }
    }
}

impl Failure {
    /// A failure of a tick that sends alerts or bills.
    pub fn of_notices(random: &mut Random) -> Self {
        let (place, most) = random.pick(&[
            (Place::Notices, 4),
            (Place::Notices, 4),
            (Place::Usage, 300),
        ]);
        Self {
            place,
            after: u32::try_from(random.place(most)).unwrap_or(0),
            ..Self::draw(random)
        }
    }

    /// A failure of the counters, while few calls ask for them.
    pub fn of_counters(random: &mut Random) -> Self {
        Self {
            place: Place::Counters,
            after: u32::try_from(random.place(3)).unwrap_or(0),
            ..Self::draw(random)
        }
    }

    fn draw(random: &mut Random) -> Self {
        let fault = random.pick(&[
            Fault::Refused,
            Fault::Throttled,
            Fault::Throttled,
            Fault::AnswerLost,
            Fault::AnswerLost,
            Fault::Hangs,
            Fault::DoneAndHangs,
            Fault::DoneAndHangs,
            Fault::Missing,
        ]);
        Self {
            place: random.pick(&[
                Place::Stream,
                Place::Stream,
                Place::Analytics,
                Place::Analytics,
                Place::Usage,
                Place::Usage,
                Place::Queue,
                Place::Notices,
            ]),
            after: u32::try_from(random.place(14)).unwrap_or(0),
            times: random.pick(&[1, 1, 1, 2, 4, 9]),
            fault,
        }
    }
}
