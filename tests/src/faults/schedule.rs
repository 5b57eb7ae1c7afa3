//! A schedule: what is called, what the pipeline looks like, and what goes wrong when.
//!
//! A schedule is data. Each step carries the seed of whatever is chosen after it, so that dropping
//! one step leaves what the others do as it was: that is what makes a failing schedule shrink.

use domain::event::EventType;
use domain::leaf::MOST_IDS;
use domain::names::TrackingMode;
use domain::time::UnixMillis;
use runtime::memory::Fault;
use runtime::spill::Limits;

use super::random::Random;

/// A minute or a day, in milliseconds.
const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// 2026-12-01T00:00:00Z: a day, a month and an hour begin.
const BORDER: i64 = 1_796_083_200_000;

/// One run of the whole system.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// When it begins.
    pub start: UnixMillis,
    /// What the events run through.
    pub pipeline: Pipeline,
    /// What happens, in this order.
    pub steps: Vec<Step>,
}

/// What the events run through.
#[derive(Debug, Clone)]
pub struct Pipeline {
    /// Shards of the stream to begin with.
    pub shards: usize,
    /// The mapping of the stream to the processor.
    pub records: Batching,
    /// The mapping of the table's stream to the aggregator.
    pub changes: Batching,
    /// How far the clock of each authorizer is ahead, in milliseconds.
    pub clocks: Vec<i64>,
    /// Days that minute aggregates are kept.
    pub minute_days: i64,
    /// Milliseconds that a line waits in the queue.
    pub delay: i64,
    /// Calls of the busiest caller that were counted before anything happens.
    pub counted_before: Option<Before>,
    /// How much is put into one item of the analytics table.
    pub limits: Limits,
}

/// Calls that were counted before anything happens: nearly as many as some leaves take.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// Lanes that they are spread over.
    pub lanes: u16,
    /// Events of each.
    pub events: usize,
}

/// How a mapping makes batches.
#[derive(Debug, Clone, Copy)]
pub struct Batching {
    /// Records of one batch at most.
    pub size: usize,
    /// Batches of one shard at a time.
    pub parallel: usize,
    /// Whether a failed batch is split.
    pub bisect: bool,
}

/// Something that happens, and how much goes on before the next.
#[derive(Debug, Clone)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// How often somebody then goes on.
    pub turns: u8,
    /// What is chosen by.
    pub seed: u64,
}

/// What the gateway asks of an authorizer.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// Who is asked.
    pub instance: usize,
    /// Who calls.
    pub caller: usize,
    /// What is decided.
    pub event_type: EventType,
    /// Which method and endpoint.
    pub route: usize,
    /// Calls of this caller that the instance answered within the second before.
    pub busy: u16,
    /// How the API answers, and whether the log gets the call's line.
    pub answer: Answer,
}

/// How the API answers a call.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Milliseconds that it takes; `None` where the gateway does not say.
    pub latency: Option<u32>,
    /// Whether the log gets the call's line.
    pub logged: bool,
}

/// Something that happens.
#[derive(Debug, Clone, Copy)]
pub enum Action {
    /// A call.
    Call(Call),
    /// The producer puts an event again that it put before.
    PutAgain(u64),
    /// An event comes that was made so many milliseconds ago, or is yet to be.
    Late(i64),
    /// A record comes that is no event.
    Poison,
    /// Calls to a place fail.
    Fail(Failure),
    /// An authorizer is told to work in another mode.
    Mode(usize, TrackingMode),
    /// Nothing happens for so many milliseconds.
    Wait(i64),
    /// A shard is split in two.
    Split(u64),
    /// Two neighbouring shards become one.
    Merge(u64),
    /// Records that came before are handed to the processor once more.
    Redrive(u64, usize),
    /// A mapping starts again from what it remembers.
    Restart(Side),
    /// A mapping starts again from the oldest record.
    Replay(Side),
    /// Changes that were reported before are reported again, out of turn.
    Repeat(u64, usize),
    /// A function cannot be invoked until it is said again.
    Toggle(Side),
    /// The minute tick.
    Tick,
    /// Everything comes to rest, so many days pass, and what may go is deleted from the tables.
    Pass(i64),
    /// Stream, analytics table and queue are not there for so many calls.
    Gone(u32),
    /// The gateway refuses a call by itself.
    Refusal,
    /// A line of the access log is none.
    PoisonLine,
    /// Lines come once more that came before, or will come.
    RepeatLines(u64, usize),
}

/// One of the two mappings and its function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Stream and processor.
    Records,
    /// Table stream and aggregator.
    Changes,
}

/// Calls that fail.
#[derive(Debug, Clone, Copy)]
pub struct Failure {
    /// What is called.
    pub place: Place,
    /// Calls that still go well.
    pub after: u32,
    /// Calls that then do not.
    pub times: u32,
    /// What happens to them.
    pub fault: Fault,
}

/// Something that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The stream, by its producers.
    Stream,
    /// The analytics table.
    Analytics,
    /// The usage table.
    Usage,
    /// The queue in which lines of the access log wait.
    Queue,
}

impl Schedule {
    /// The schedule of a seed.
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let before = random.pick(&[2 * MINUTE, 40 * MINUTE, 20 * MINUTE, 3 * DAY]);
        let pipeline = Pipeline::draw(&mut random);
        let steps = (0..random.between(4, 36))
            .map(|_| Step::draw(&mut random, pipeline.clocks.len()))
            .collect();
        Self {
            start: UnixMillis(BORDER - before),
            pipeline,
            steps,
        }
    }
}

impl Pipeline {
    fn draw(random: &mut Random) -> Self {
        let clocks = (0..random.between(1, 3))
            .map(|_| random.pick(&[0, 0, 0, 900, -45_000, 4 * MINUTE, -10 * MINUTE]))
            .collect();
        Self {
            shards: 1 + random.place(3),
            records: Batching::draw(random),
            changes: Batching::draw(random),
            clocks,
            minute_days: random.pick(&[1, 7]),
            delay: random.pick(&[10_000, 10_000, 45_000, 120_000]),
            counted_before: random.once_in(40).then(|| {
                let leaves = random.pick(&[1, 1, 2, 3]);
                Before {
                    lanes: random.pick(&[1, 1, 2]),
                    events: leaves * MOST_IDS - 4 + random.place(4),
                }
            }),
            limits: if random.once_in(2) {
                Limits::default()
            } else {
                Limits {
                    leaves: 1 + random.place(2),
                    parts: 1 + random.place(2),
                    users: 1 + random.place(2),
                }
            },
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
        match random.below(110) {
            0..40 => Self::Call(Call::draw(random, instances)),
            40..47 => Self::PutAgain(random.next()),
            47..52 => Self::Late(late(random)),
            52..55 => Self::Poison,
            55..72 => Self::Fail(Failure::draw(random)),
            72..75 => {
                let modes = [TrackingMode::Stream, TrackingMode::Synchronous];
                Self::Mode(random.place(instances), random.pick(&modes))
            }
            75..80 => Self::Wait(random.pick(&[1_500, 20_000, 6 * MINUTE, 61 * MINUTE, DAY])),
            80..83 => Self::Split(random.next()),
            83..85 => Self::Merge(random.next()),
            85..88 => Self::Redrive(random.next(), 1 + random.place(8)),
            88..90 => Self::Restart(side),
            90..92 => Self::Replay(side),
            92..95 => Self::Repeat(random.next(), 1 + random.place(8)),
            95..97 => Self::Toggle(side),
            97 => Self::Tick,
            98 => Self::Pass(random.pick(&[1, 6, 7, 8, 9, 16])),
            99..102 => Self::Refusal,
            102..104 => Self::PoisonLine,
            104..109 => Self::RepeatLines(random.next(), 1 + random.place(8)),
            _ => Self::Gone(random.pick(&[1, 3, 12])),
        }
    }
}

/// How long ago a late event was made: around each border of what is counted.
fn late(random: &mut Random) -> i64 {
    match random.below(6) {
        0 => random.between(0, 90 * MINUTE),
        1 => random.between(0, 6 * DAY),
        2 => 7 * DAY + random.between(-2 * MINUTE, 2 * MINUTE),
        3 => random.between(8 * DAY, 40 * DAY),
        4 => -5 * MINUTE + random.between(-MINUTE, MINUTE),
        _ => -random.between(6 * MINUTE, 2 * DAY),
    }
}

impl Call {
    fn draw(random: &mut Random, instances: usize) -> Self {
        // The first caller is the busiest, the last two are known by address only.
        let caller = random.pick(&[0, 0, 0, 1, 1, 2, 3, 4]);
        let event_type = match random.below(8) {
            _ if caller > 2 => EventType::AuthFailed,
            0 => EventType::AuthFailed,
            1 => EventType::RateLimited,
            _ => EventType::ApiCall,
        };
        let busy = if caller == 0 {
            random.pick(&[0, 0, 8, 25, 60, 400])
        } else {
            0
        };
        Self {
            instance: random.place(instances),
            caller,
            event_type,
            route: random.place(4),
            busy,
            answer: Answer {
                status: random.pick(&[200, 200, 200, 404, 504]),
                latency: random.pick(&[Some(3), Some(40), Some(41), Some(29_000), None]),
                logged: !random.once_in(6),
            },
        }
    }
}

impl Failure {
    fn draw(random: &mut Random) -> Self {
        let fault = random.pick(&[
            Fault::Refused,
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
                Place::Queue,
            ]),
            after: u32::try_from(random.place(14)).unwrap_or(0),
            times: random.pick(&[1, 1, 1, 2, 4, 9]),
            fault,
        }
    }
}
