//! For any behaviour of the function and any order of invocations: nothing is lost, keys stay in
//! order, and a checkpoint never passes a record that is not done.

use proptest::{collection::vec, option, prelude::*};

use super::{super::shard::lane_of, *};

/// The fate of an invocation.
#[derive(Debug, Clone)]
enum Fate {
    Success,
    Failure,
    /// Fails from this record on, counted from the batch's first.
    From(usize),
    Unknown,
    NotInvoked,
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Success),
        2 => Just(Fate::Failure),
        2 => (0..6_usize).prop_map(Fate::From),
        1 => Just(Fate::Unknown),
        1 => Just(Fate::NotInvoked),
    ]
}

fn any_settings() -> impl Strategy<Value = Settings> {
    (
        1..7_usize,
        1..5_usize,
        any::<bool>(),
        option::of(0..3_u32),
        0..2_000_i64,
    )
        .prop_map(
            |(batch_size, parallelization, bisect, max_retries, window)| Settings {
                batch_size,
                window,
                parallelization,
                max_retries,
                bisect,
                ..settings()
            },
        )
}

/// The fate of the records, as an observer outside the mapping sees it.
#[derive(Default)]
struct Observed {
    done: BTreeSet<u32>,
    discarded: BTreeSet<u32>,
    /// The last record done of each key.
    of_key: BTreeMap<u32, u32>,
}

impl Observed {
    fn done(&mut self, records: &[String], keys: &[u32]) {
        for number in records.iter().map(|record| record.parse::<u32>().unwrap()) {
            let key = keys[number as usize];
            if self.done.insert(number) {
                let before = self.of_key.insert(key, number);
                assert!(
                    before.is_none_or(|before| before < number),
                    "order of key {key}"
                );
            }
        }
    }

    /// Records are given up in the order of their lane.
    fn discarded(&mut self, discarded: &Discarded, keys: &[u32], lanes: usize) {
        let lane = |number: u32| lane_of(&keys[number as usize].to_string(), lanes);
        let first: u32 = discarded.first.parse().unwrap();
        let last: u32 = discarded.last.parse().unwrap();
        let before = self.discarded.len();
        let given_up = (first..=last).filter(|number| lane(*number) == lane(first));
        self.discarded.extend(given_up);
        assert_eq!(self.discarded.len() - before, discarded.records);
        assert!(self.discarded.is_disjoint(&self.done));
    }

    /// Checks that everything up to the checkpoint is accounted for.
    fn check(&self, stream: &Stream) {
        if let Checkpoint::At(Position::After(last)) = &stream.checkpoints[SHARD] {
            for number in 0..=last.parse::<u32>().unwrap() {
                let known = self.done.contains(&number) || self.discarded.contains(&number);
                assert!(known, "the checkpoint passed record {number}");
            }
        }
    }
}

fn outcome(fate: &Fate, records: &[String]) -> (Finished, usize) {
    match fate {
        Fate::Success => (Finished::Success, records.len()),
        Fate::Failure => (Finished::Failure, 0),
        Fate::From(at) if *at < records.len() => (failures(&[&records[*at]]), *at),
        Fate::From(_) | Fate::Unknown => (failures(&["unknown"]), 0),
        Fate::NotInvoked => (Finished::NotInvoked, 0),
    }
}

proptest! {
    #[test]
    fn every_record_is_done_or_given_up(
        settings in any_settings(),
        keys in vec(0..6_u32, 1..60),
        fates in vec(any_fate(), 0..80),
        picks in vec(any::<prop::sample::Index>(), 200),
    ) {
        let records = keys
            .iter()
            .enumerate()
            .map(|(number, key)| keyed(&number.to_string(), &key.to_string()))
            .collect();
        let mut stream = Stream::new(settings.clone(), records);
        let mut observed = Observed::default();
        let mut fates = fates.into_iter();
        let mut picks = picks.into_iter().cycle();
        let mut open: Vec<Invocation<String>> = Vec::new();
        for _ in 0..20_000 {
            open.append(&mut stream.invoked);
            let in_flight: Vec<u32> = open
                .iter()
                .flat_map(|one| one.records.iter().map(|record| keys[record.parse::<usize>().unwrap()]).collect::<BTreeSet<_>>())
                .collect();
            prop_assert_eq!(in_flight.len(), in_flight.iter().collect::<BTreeSet<_>>().len(), "a key twice in flight");
            if observed.done.len() + observed.discarded.len() == keys.len() && open.is_empty() {
                break;
            }
            if open.is_empty() {
                stream.advance(100);
            } else {
                let one = open.swap_remove(picks.next().unwrap().index(open.len()));
                prop_assert!(one.records.len() <= settings.batch_size);
                let fate = fates.next().unwrap_or(Fate::Success);
                let (finished, done) = outcome(&fate, &one.records);
                observed.done(&one.records[..done], &keys);
                stream.event(Event::Finished { id: one.id, outcome: finished });
            }
            for discarded in std::mem::take(&mut stream.discarded) {
                observed.discarded(&discarded, &keys, settings.parallelization);
            }
            observed.check(&stream);
        }
        prop_assert!(settings.max_retries.is_some() || observed.discarded.is_empty());
        let all = stream.is_done_to(&(keys.len() - 1).to_string());
        prop_assert!(all, "not all is done: {:?}", stream.checkpoints);
    }
}
