use super::*;

fn at(text: &str) -> UnixMillis {
    text.parse().unwrap()
}

/// The unfolded hours of `marks`, as `16: 16:01`.
fn unfolded(now: &str, marks: &[(&str, &str)]) -> Vec<String> {
    unfolded_where(now, marks, BTreeMap::new())
}

fn unfolded_where(
    now: &str,
    marks: &[(&str, &str)],
    days: BTreeMap<UnixMillis, Round>,
) -> Vec<String> {
    let marks = marks.iter();
    let hours = marks.map(|(hour, mark)| (Window::Hour.parse_label(hour).unwrap(), at(mark)));
    let marks = Marks::new(at(now), days, &hours.collect());
    let label = |(hour, from): (&UnixMillis, &UnixMillis)| {
        let (hour, from) = (Window::Hour.label(*hour), Window::Minute.label(*from));
        format!("{}: {}", &hour[8..], &from[8..])
    };
    marks.unfolded_from().iter().map(label).collect()
}

/// The unfolded hours if yesterday is closed and the hours of today up to 14 are folded.
fn unfolded_today(now: &str, marks: &[(&str, &str)]) -> Vec<String> {
    let labels: Vec<_> = (0..15)
        .map(|hour| (format!("2026-11-22T{hour:02}"), hour))
        .collect();
    let mark = |hour| format!("2026-11-22T{:02}:03:00Z", hour + 1);
    let old: Vec<_> = labels
        .iter()
        .map(|(label, hour)| (label, mark(hour)))
        .collect();
    let old = old
        .iter()
        .map(|(label, mark)| (label.as_str(), mark.as_str()));
    let marks: Vec<_> = old.chain(marks.iter().copied()).collect();
    let closed = BTreeMap::from([(at("2026-11-21T00:00:00Z"), Round::Closed)]);
    unfolded_where(now, &marks, closed)
}

#[test]
fn a_minute_is_folded_three_minutes_behind_the_mark() {
    let marks = [
        ("2026-11-22T15", "2026-11-22T16:03:00Z"),
        ("2026-11-22T16", "2026-11-22T16:20:59.999Z"),
    ];
    assert_eq!(
        unfolded_today("2026-11-22T16:21:30Z", &marks),
        ["22T16: 22T16:17"]
    );
    let marks = [
        ("2026-11-22T15", "2026-11-22T16:02:59.999Z"),
        ("2026-11-22T16", "2026-11-22T16:02:58Z"),
    ];
    assert_eq!(
        unfolded_today("2026-11-22T16:03:00Z", &marks),
        ["22T15: 22T15:59", "22T16: 22T16:00"]
    );
}

#[test]
fn the_next_hour_is_looked_at_once_a_clock_may_be_in_it() {
    let marks = [
        ("2026-11-22T15", "2026-11-22T16:05:00Z"),
        ("2026-11-22T16", "2026-11-22T16:44:00Z"),
    ];
    let of = |now| unfolded_today(now, &marks);
    assert_eq!(of("2026-11-22T16:44:59Z"), ["22T16: 22T16:41"]);
    assert_eq!(
        of("2026-11-22T16:45:00Z"),
        ["22T16: 22T16:41", "22T17: 22T17:00"]
    );
}

#[test]
fn folded_hours_do_not_vouch_for_those_before() {
    // The shard of hour 15 is behind.
    let marks = [
        ("2026-11-22T15", "2026-11-22T15:30:00Z"),
        ("2026-11-22T16", "2026-11-22T17:09:00Z"),
        ("2026-11-22T17", "2026-11-22T18:09:00Z"),
        ("2026-11-22T18", "2026-11-22T18:10:00Z"),
    ];
    assert_eq!(
        unfolded_today("2026-11-22T18:10:00Z", &marks),
        ["22T15: 22T15:27", "22T18: 22T18:07"]
    );
}

#[test]
fn nobody_looks_further_back_than_two_days_or_three_hours_before_the_first_mark() {
    let none = unfolded("2026-11-22T16:04:00Z", &[]);
    assert_eq!(none.len(), 49);
    assert_eq!(none[0], "20T16: 20T16:00");
    let new = unfolded(
        "2026-11-22T16:04:00Z",
        &[("2026-11-22T15", "2026-11-22T16:04:00Z")],
    );
    assert_eq!(
        new,
        [
            "22T12: 22T12:00",
            "22T13: 22T13:00",
            "22T14: 22T14:00",
            "22T16: 22T16:00"
        ]
    );
    let down = unfolded(
        "2026-11-22T16:04:00Z",
        &[("2026-11-20T16", "2026-11-20T16:30:00Z")],
    );
    assert_eq!(down.len(), 49);
    assert_eq!(down[0], "20T16: 20T16:27");
    let closed = BTreeMap::from([(at("2026-11-21T00:00:00Z"), Round::Closed)]);
    let marks = [("2026-11-20T16", "2026-11-20T16:30:00Z")];
    let rest = unfolded_where("2026-11-22T16:04:00Z", &marks, closed);
    assert_eq!(rest[0], "22T00: 22T00:00");
}

fn sealed(from: &str, to: &str) -> BTreeMap<UnixMillis, Round> {
    days_between(at(from), at(to))
        .map(|day| (day, Round::Sealed))
        .collect()
}

fn first_open_day(now: &str, days: BTreeMap<UnixMillis, Round>) -> String {
    Window::Day.label(Marks::new(at(now), days, &BTreeMap::new()).first_open_day())
}

#[test]
fn a_month_has_settled_two_days_after_its_last_day_was_sealed() {
    let days = || sealed("2026-10-22T00:00:00Z", "2026-10-31T00:00:00Z");
    let of = |now| first_open_day(now, days());
    assert_eq!(of("2026-11-11T23:59:59Z"), "2026-10-01");
    assert_eq!(of("2026-11-12T00:00:00Z"), "2026-11-01");
    let mut redone = days();
    redone.insert(at("2026-10-24T00:00:00Z"), Round::Closing);
    assert_eq!(first_open_day("2026-11-12T00:00:00Z", redone), "2026-10-01");
    // A day that the closing no longer looks after, at twenty days, does not change any more.
    assert_eq!(
        first_open_day("2026-11-20T23:59:59Z", BTreeMap::new()),
        "2026-10-01"
    );
    assert_eq!(
        first_open_day("2026-11-21T00:00:00Z", BTreeMap::new()),
        "2026-11-01"
    );
}

#[test]
fn days_before_the_first_mark_are_closed_and_those_being_closed_are_not() {
    let mut days = sealed("2026-11-05T00:00:00Z", "2026-11-19T00:00:00Z");
    days.insert(at("2026-11-20T00:00:00Z"), Round::Closed);
    days.insert(at("2026-11-07T00:00:00Z"), Round::Sealing);
    days.insert(at("2026-11-21T00:00:00Z"), Round::Closing);
    let marks = Marks::new(at("2026-11-22T23:50:00Z"), days, &BTreeMap::new());
    let open = marks.open_days(at("2026-11-01T00:00:00Z"));
    let open: Vec<String> = open.iter().map(|day| Window::Day.label(*day)).collect();
    // The clock of an authorizer may already be in tomorrow.
    assert_eq!(open, ["2026-11-21", "2026-11-22", "2026-11-23"]);
}
