//! Recurring dates by country. A date that falls on a weekend or a holiday stays as the law names
//! it; many authorities then accept the next working day.

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};

/// A country with deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Country {
    /// Australia.
    Au,
    /// The United Kingdom.
    Gb,
    /// India.
    In,
    /// New Zealand.
    Nz,
    /// The United States.
    Us,
}

impl Country {
    /// Every country, in the order of their codes.
    pub const ALL: [Self; 5] = [Self::Au, Self::Gb, Self::In, Self::Nz, Self::Us];

    /// The ISO 3166-1 code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Au => "AU",
            Self::Gb => "GB",
            Self::In => "IN",
            Self::Nz => "NZ",
            Self::Us => "US",
        }
    }

    /// The country with an ISO 3166-1 code, in any case.
    pub fn parse(code: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|country| country.code().eq_ignore_ascii_case(code))
    }

    /// The authority that sets the deadlines.
    pub const fn authority(self) -> &'static str {
        match self {
            Self::Au => "Australian Taxation Office",
            Self::Gb => "HM Revenue and Customs",
            Self::In => "Government of India",
            Self::Nz => "Inland Revenue",
            Self::Us => "Internal Revenue Service",
        }
    }

    const fn obligations(self) -> &'static [Obligation] {
        match self {
            Self::Au => AUSTRALIA,
            Self::Gb => UNITED_KINGDOM,
            Self::In => INDIA,
            Self::Nz => NEW_ZEALAND,
            Self::Us => UNITED_STATES,
        }
    }
}

/// An obligation that falls due again and again.
struct Obligation {
    name: &'static str,
    due: Due,
}

enum Due {
    /// On these days of these months, each year.
    Yearly(&'static [(i8, i8)]),
    /// On this day of each month.
    Monthly(i8),
}

const fn yearly(name: &'static str, days: &'static [(i8, i8)]) -> Obligation {
    Obligation {
        name,
        due: Due::Yearly(days),
    }
}

const fn monthly(name: &'static str, day: i8) -> Obligation {
    Obligation {
        name,
        due: Due::Monthly(day),
    }
}

/// Self-lodgers' dates:
/// <https://www.ato.gov.au/Business/Business-activity-statements-(BAS)/Due-dates-for-lodging-and-paying-your-BAS/>.
const AUSTRALIA: &[Obligation] = &[
    yearly(
        "Quarterly business activity statement",
        &[(2, 28), (4, 28), (7, 28), (10, 28)],
    ),
    yearly("Fringe benefits tax return", &[(5, 21)]),
    yearly("Individual income tax return", &[(10, 31)]),
];

/// <https://www.gov.uk/self-assessment-tax-returns/deadlines>.
const UNITED_KINGDOM: &[Obligation] = &[
    yearly("Self Assessment registration", &[(10, 5)]),
    yearly("Self Assessment paper return", &[(10, 31)]),
    yearly("Self Assessment online return and payment", &[(1, 31)]),
    yearly("Self Assessment second payment on account", &[(7, 31)]),
];

/// Income Tax Department (<https://www.incometax.gov.in>) and Goods and Services Tax
/// (<https://www.gst.gov.in>).
const INDIA: &[Obligation] = &[
    monthly("GSTR-1 monthly return", 11),
    monthly("GSTR-3B monthly return and payment", 20),
    yearly(
        "Advance income tax instalment",
        &[(3, 15), (6, 15), (9, 15), (12, 15)],
    ),
];

/// With a balance date in March: Income Tax Act 2007, Schedule 3
/// (<https://www.legislation.govt.nz/act/public/2007/0097/latest/DLM1523249.html>).
const NEW_ZEALAND: &[Obligation] = &[
    yearly("Terminal tax", &[(2, 7)]),
    yearly("Provisional tax instalment", &[(1, 15), (5, 7), (8, 28)]),
    yearly("Individual income tax return", &[(7, 7)]),
];

/// <https://www.irs.gov/filing/individuals/when-to-file> and
/// <https://www.irs.gov/faqs/estimated-tax>.
const UNITED_STATES: &[Obligation] = &[
    yearly("Individual income tax return", &[(4, 15)]),
    yearly(
        "Estimated income tax instalment",
        &[(1, 15), (4, 15), (6, 15), (9, 15)],
    ),
];

/// The next due day of an obligation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline {
    /// The day.
    pub due: Date,
    /// The obligation.
    pub name: &'static str,
}

/// The next due day of each obligation of a country, `today` included, soonest first.
pub fn next_deadlines(country: Country, today: Date) -> Vec<Deadline> {
    let next = |obligation: &Obligation| {
        obligation.due.next(today).map(|due| Deadline {
            due,
            name: obligation.name,
        })
    };
    let mut deadlines: Vec<Deadline> = country.obligations().iter().filter_map(next).collect();
    deadlines.sort_unstable();
    deadlines
}

impl Due {
    /// The first due day from `today` on.
    fn next(&self, today: Date) -> Option<Date> {
        let later = |day: &Date| *day >= today;
        match self {
            Self::Yearly(days) => {
                let of_year = |year| {
                    days.iter()
                        .filter_map(move |(month, day)| Date::new(year, *month, *day).ok())
                };
                let mut both = of_year(today.year()).chain(of_year(today.year() + 1));
                both.find(later)
            }
            Self::Monthly(day) => {
                let of_month = |months: Span| {
                    let first = today.first_of_month().checked_add(months).ok()?;
                    Date::new(first.year(), first.month(), *day).ok()
                };
                [0.months(), 1.months()]
                    .into_iter()
                    .filter_map(of_month)
                    .find(later)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    fn next(country: Country, today: Date) -> Vec<(&'static str, String)> {
        let deadlines = next_deadlines(country, today).into_iter();
        deadlines
            .map(|deadline| (deadline.name, deadline.due.to_string()))
            .collect()
    }

    #[test]
    fn the_next_of_each_comes_soonest_first_and_in_the_next_year_where_this_one_has_none_left() {
        assert_eq!(
            next(Country::Au, date(2026, 11, 22)),
            [
                (
                    "Quarterly business activity statement",
                    "2027-02-28".to_owned()
                ),
                ("Fringe benefits tax return", "2027-05-21".to_owned()),
                ("Individual income tax return", "2027-10-31".to_owned()),
            ]
        );
    }

    #[test]
    fn what_is_due_today_is_due_today() {
        let due = |today| next(Country::Us, today)[0].1.clone();
        assert_eq!(due(date(2027, 4, 15)), "2027-04-15");
        assert_eq!(due(date(2027, 4, 16)), "2027-06-15");
        assert_eq!(due(date(2027, 9, 16)), "2028-01-15");
    }

    #[test]
    fn a_monthly_date_follows_into_the_next_month_and_year() {
        let due = |today| next(Country::In, today)[0].clone();
        assert_eq!(
            due(date(2026, 12, 11)),
            ("GSTR-1 monthly return", "2026-12-11".to_owned())
        );
        assert_eq!(
            due(date(2026, 12, 21)),
            ("GSTR-1 monthly return", "2027-01-11".to_owned())
        );
    }

    #[test]
    fn every_obligation_of_every_country_falls_due_within_a_year_of_any_day() {
        for country in Country::ALL {
            for today in date(2027, 12, 1).series(1.day()).take(500) {
                let deadlines = next_deadlines(country, today);
                assert_eq!(deadlines.len(), country.obligations().len());
                let last = today.saturating_add(1.year());
                for deadline in deadlines {
                    assert!((today..last).contains(&deadline.due), "{deadline:?}");
                }
            }
        }
    }

    #[test]
    fn a_country_is_known_by_its_code_in_any_case() {
        assert_eq!(Country::parse("au"), Some(Country::Au));
        assert_eq!(Country::parse("NZ"), Some(Country::Nz));
        assert_eq!(Country::parse("Australia"), None);
    }
}
