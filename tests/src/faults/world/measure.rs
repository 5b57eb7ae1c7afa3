//! An upstream reports what its calls used.

use domain::event::EventType;
use domain::id::EventId;

use super::super::amounts::{METERS, Sending, Told};
use super::super::random::Random;
use super::super::task::{Done, Task};
use super::World;

/// A day in milliseconds.
const DAY: i64 = 86_400_000;

impl World {
    /// Some amounts in one request: of calls whose events may still be under way, of refused ones,
    /// of none; new ones, the same again in other company, and other amounts of the same.
    pub(super) fn measure(&mut self, choice: u64) {
        let mut random = Random::new(choice);
        let mut amounts = Vec::new();
        for _ in 0..random.between(1, 5) {
            let earlier = self.oracle.amounts.earlier(random.place(1_000));
            let amount = match earlier.filter(|_| random.once_in(3)) {
                Some(earlier) => earlier,
                None => (self.measured(&mut random), told(&mut random)),
            };
            amounts.push(amount);
        }
        let at = self.now_of(0);
        let release = self.release();
        let sending = Sending::new(&mut self.oracle, amounts, at, release);
        let task = Task::collect(&self.collector, sending, at);
        self.tasks.push(task);
    }

    /// The release that is deployed, if it reads everything.
    fn release(&self) -> Option<u64> {
        let reads_all = self.unreadable.is_empty();
        reads_all.then_some(self.downgrades)
    }

    /// The id of a call, or an id that nobody minted.
    fn measured(&self, random: &mut Random) -> EventId {
        let known = &self.oracle.known;
        let calls: Vec<_> = known
            .iter()
            .map(|known| &known.event)
            .filter(|event| event.event_type == EventType::ApiCall)
            .collect();
        if !calls.is_empty() && !random.once_in(8) {
            return random.pick(&calls).id;
        }
        if !known.is_empty() && random.once_in(3) {
            return known[random.place(known.len())].event.id;
        }
        let ago = random.pick(&[0, 60_000, 10 * 60_000, DAY, 7 * DAY, 8 * DAY, -6 * 60_000]);
        let at = self.now().plus_millis(-ago);
        let mut tail = [0; 10];
        tail[2..].copy_from_slice(&random.next().to_be_bytes());
        EventId::mint(at.0.unsigned_abs(), tail)
    }

    /// An upstream whose request failed sends it again.
    pub(super) fn collected(&mut self, sending: &Sending, done: Option<Done>) {
        let Some(Done::Collected(Some(collected))) = done else {
            if matches!(done, Some(Done::Collected(None))) {
                let at = self.now_of(0);
                let again = sending.again(&self.oracle, at, self.release());
                let task = Task::collect(&self.collector, again, at);
                self.tasks.push(task);
            }
            return;
        };
        let release = self.release();
        let answered = sending.answered(&mut self.oracle, &collected, release);
        if let Err(wrong) = answered {
            self.wrong.get_or_insert(wrong);
        }
    }
}

fn told(random: &mut Random) -> Told {
    let (meter, _) = random.pick(&METERS);
    (meter, random.pick(&[0, 7, 7, 7, 30, 31]))
}
