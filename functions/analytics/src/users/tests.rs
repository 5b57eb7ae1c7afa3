use super::*;
use crate::parameters;
use crate::testing::{World, gateway, ready};
use domain::endpoint::Endpoint;
use domain::event::{EventType, UsageEvent};
use domain::sample;
use proptest::prelude::*;
use proptest::sample::select;

const HOUR: i64 = 3_600_000;

fn now() -> UnixMillis {
    "2026-10-28T05:37:12Z".parse().unwrap()
}

fn asked(query: &str) -> Asked {
    let path = Endpoint::Users.path();
    let request = gateway::request(path, &gateway::parameters(query), None);
    let query = Query::of(&request, parameters::of(Endpoint::Users)).unwrap();
    Asked::of(&query, 7, now()).unwrap()
}

fn events() -> impl Strategy<Value = Vec<UsageEvent>> {
    let users = vec!["ann@example.com", "bob@example.com", "ip:192.0.2.7"];
    let parts = (0..30 * HOUR, select(users), select(EventType::ALL.to_vec()));
    let event = |(number, (age, subject, of)): (u64, (i64, &str, _))| {
        sample::event(number, subject, of, now().plus_millis(-age))
    };
    proptest::collection::vec(parts, 0..40)
        .prop_map(move |parts| (0..).zip(parts).map(event).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Folded or not, the users are those with an accepted call in the span, with all their calls.
    #[test]
    fn users_are_those_who_called_in_the_span(
        events in events(), folded in select(vec![1, 20]), hours in 1_i64..26,
    ) {
        let world = World::default();
        let is_old = |event: &UsageEvent| now().since(event.time) > folded * HOUR;
        let (old, new): (Vec<_>, Vec<_>) = events.iter().cloned().partition(is_old);
        world.call(&old);
        world.fold(now().plus_millis(-folded * HOUR));
        world.call(&new);
        let query = format!("duration={hours}h&sort=email");
        let found = ready(users(&world.tables(), &asked(&query), now())).unwrap();
        let from = Window::Minute.start(now().plus_millis(-hours * HOUR));
        let mut expected: BTreeMap<&str, Called> = BTreeMap::new();
        for event in &events {
            if event.event_type == EventType::ApiCall && event.time >= from && event.subject.email().is_some() {
                let called = expected.entry(event.subject.as_str()).or_default();
                called.calls += 1;
                called.last = called.last.max(Window::Minute.start(event.time));
            }
        }
        let expected = expected.into_iter().map(|(email, called)| UserUsage {
            email: email.to_owned(), total_calls: called.calls, last_seen: Instant(called.last),
        });
        prop_assert_eq!(found.users, expected.collect::<Vec<_>>());
        prop_assert_eq!(found.from, Instant(from));
    }
}

#[test]
fn users_are_sorted_searched_and_paged() {
    let world = World::default();
    let call = |number, user: &str, ago: i64| {
        let time = now().plus_millis(-ago * 60_000);
        sample::event(number, user, EventType::ApiCall, time)
    };
    world.call(&[
        call(1, "ann@example.com", 9),
        call(2, "bob@example.com", 8),
        call(3, "bob@example.com", 7),
        call(4, "cem@example.org", 1),
    ]);
    let names = |query: &str| {
        let found = ready(users(&world.tables(), &asked(query), now())).unwrap();
        let names: Vec<String> = found.users.into_iter().map(|user| user.email).collect();
        (names.join(" "), found.next, found.total_users)
    };
    let whole = |text: &str| -> (String, Option<String>, u64) { (text.to_owned(), None, 3) };
    assert_eq!(
        names("sort=calls"),
        whole("bob@example.com ann@example.com cem@example.org")
    );
    assert_eq!(
        names("sort=lastSeen"),
        whole("cem@example.org bob@example.com ann@example.com")
    );
    assert_eq!(
        names("search=Example.COM"),
        whole("bob@example.com ann@example.com")
    );
    let (first, next, _) = names("limit=2");
    assert_eq!(first, "bob@example.com ann@example.com");
    let next = next.unwrap();
    assert_eq!(
        names(&format!("limit=2&cursor={next}")),
        whole("cem@example.org")
    );
}
