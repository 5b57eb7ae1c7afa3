//! Daily usage of users, and the progress of closing days: the usage table as a bill reads it.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::bill::Noted;
use domain::counts::Sum;
use domain::mark::DayMark;
use domain::names::Names;
use domain::state::{self, StateError};
use domain::table::{ItemKey, MARKS, attribute, user};
use domain::time::{UnixMillis, Window};

use crate::error::{Error, failed};
use crate::session::Session;

type Item = HashMap<String, AttributeValue>;

/// A user's usage of one day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserDay {
    /// The user.
    pub user: String,
    /// Start of the day.
    pub day: UnixMillis,
    /// The counts.
    pub sum: Sum,
}

/// The usage table of one environment.
#[derive(Debug, Clone)]
pub struct UsageTable {
    client: aws_sdk_dynamodb::Client,
    table: String,
}

impl UsageTable {
    /// The usage table of an environment.
    pub fn new(session: &Session, names: &Names) -> Self {
        Self {
            client: aws_sdk_dynamodb::Client::new(session.config()),
            table: names.usage_table(),
        }
    }

    /// Every user's days from that of `from` to that of `to`, both included. Reads the whole table.
    pub async fn days(&self, from: UnixMillis, to: UnixMillis) -> Result<Vec<UserDay>, Error> {
        let text = |key: ItemKey| AttributeValue::S(key.sk);
        let mut pages = self
            .client
            .scan()
            .table_name(&self.table)
            .consistent_read(true)
            .filter_expression("#sk BETWEEN :from AND :to AND begins_with(#pk, :user)")
            .projection_expression("#pk, #sk, #state")
            .expression_attribute_names("#pk", attribute::PK)
            .expression_attribute_names("#sk", attribute::SK)
            .expression_attribute_names("#state", attribute::STATE)
            .expression_attribute_values(":from", text(ItemKey::day("", from)))
            .expression_attribute_values(":to", text(ItemKey::day("", to)))
            .expression_attribute_values(":user", AttributeValue::S(user("")))
            .into_paginator()
            .items()
            .send();
        let mut days = Vec::new();
        while let Some(item) = pages.next().await {
            days.push(user_day(&item.map_err(failed("Scan"))?)?);
        }
        days.sort_by(|one: &UserDay, other| (&one.user, one.day).cmp(&(&other.user, other.day)));
        Ok(days)
    }

    /// What is stored of the bills of the month that begins at `month`.
    pub async fn noted(&self, month: UnixMillis) -> Result<Noted, Error> {
        let (key, mark) = (ItemKey::calendars(month), ItemKey::month_mark(month));
        let calendars = self.between(key.clone(), key).await?;
        let calendars = calendars.first().map(|item| state::decode(bytes(item)));
        Ok(Noted {
            calendars: calendars.transpose().map_err(unreadable("Query"))?,
            has_bills: !self.between(mark.clone(), mark).await?.is_empty(),
        })
    }

    /// The marks of days from that of `from` to that of `to`, both included.
    pub async fn marks(
        &self,
        from: UnixMillis,
        to: UnixMillis,
    ) -> Result<Vec<(UnixMillis, DayMark)>, Error> {
        let items = self.between(ItemKey::day_mark(from), ItemKey::day_mark(to));
        let marks = items.await?.into_iter().map(|item| {
            let day = day_of(&item).ok_or(Error::Incomplete {
                operation: "Query",
                member: attribute::SK,
            })?;
            let mark = state::decode(bytes(&item)).map_err(unreadable("Query"))?;
            Ok((day, mark))
        });
        marks.collect()
    }

    /// The marks from a sort key to another, both included.
    async fn between(&self, from: ItemKey, to: ItemKey) -> Result<Vec<Item>, Error> {
        let text = |key: ItemKey| AttributeValue::S(key.sk);
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .consistent_read(true)
            .key_condition_expression("#pk = :pk AND #sk BETWEEN :from AND :to")
            .expression_attribute_names("#pk", attribute::PK)
            .expression_attribute_names("#sk", attribute::SK)
            .expression_attribute_values(":pk", AttributeValue::S(MARKS.to_owned()))
            .expression_attribute_values(":from", text(from))
            .expression_attribute_values(":to", text(to))
            .into_paginator()
            .items()
            .send();
        let mut marks = Vec::new();
        while let Some(item) = pages.next().await {
            marks.push(item.map_err(failed("Query"))?);
        }
        Ok(marks)
    }
}

fn user_day(item: &Item) -> Result<UserDay, Error> {
    let pk = item.get(attribute::PK).and_then(|pk| pk.as_s().ok());
    let email = pk.and_then(|pk| pk.strip_prefix(&user("")));
    let incomplete = |member| Error::Incomplete {
        operation: "Scan",
        member,
    };
    let email = email.ok_or(incomplete(attribute::PK))?;
    Ok(UserDay {
        user: email.to_owned(),
        day: day_of(item).ok_or(incomplete(attribute::SK))?,
        sum: Sum::decode(bytes(item)).map_err(unreadable("Scan"))?,
    })
}

fn day_of(item: &Item) -> Option<UnixMillis> {
    let sk = item.get(attribute::SK)?.as_s().ok()?;
    Window::Day.parse_label(sk.strip_prefix("DAY#")?)
}

fn bytes(item: &Item) -> &[u8] {
    let state = item
        .get(attribute::STATE)
        .and_then(|state| state.as_b().ok());
    state.map(AsRef::as_ref).unwrap_or_default()
}

fn unreadable(operation: &'static str) -> impl Fn(StateError) -> Error {
    move |_| Error::Incomplete {
        operation,
        member: "a state that this release reads",
    }
}
