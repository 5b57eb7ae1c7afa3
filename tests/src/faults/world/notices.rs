//! Alerts and bills, as the notifier would deliver them.

use std::collections::BTreeMap;

use domain::alert::Alert;
use domain::bill::Bill;
use domain::key::Quota;
use domain::notice::Notice;
use domain::state;
use domain::table::ItemKey;
use domain::time::UnixMillis;
use domain::webhook::Message;
use runtime::memory::MemoryStore;

use super::super::log::ModelQueue;
use super::super::traffic::OWN_QUOTA;
use super::World;

/// What the aggregator sent to the notifier.
pub(in super::super) struct Notices {
    /// The queue that takes the ids of alerts and bills.
    pub(super) queue: ModelQueue,
    /// The bills whose ids were sent, by id.
    pub(in super::super) bills: BTreeMap<String, Bill>,
    /// The last month that must be handed over; `None` if that is not due.
    pub(in super::super) last_month: Option<UnixMillis>,
    /// The alerts whose ids were sent, by id.
    pub(in super::super) alerts: BTreeMap<String, Alert>,
    /// Every alert must have been sent by now.
    pub(in super::super) alerts_are_due: bool,
    /// Whether users have quotas.
    pub(in super::super) with_quotas: bool,
}

impl Notices {
    pub(super) const fn new(queue: ModelQueue, with_quotas: bool) -> Self {
        Self {
            queue,
            bills: BTreeMap::new(),
            last_month: None,
            alerts: BTreeMap::new(),
            alerts_are_due: false,
            with_quotas,
        }
    }
}

impl World {
    /// Reads the alert or the bill whose id was sent. Under one id, a receiver never gets two different ones.
    pub(super) fn take_notice(&mut self, body: &str) -> Result<(), String> {
        let message: Message = serde_json::from_str(body).map_err(|error| error.to_string())?;
        let id = message.alert;
        let stored = self.usage.peek(&ItemKey::alert(&id));
        let stored = stored.ok_or_else(|| format!("sent before it was stored: {body}"))?;
        let notice = Notice::decode(&id, &stored.state).map_err(|error| error.to_string())?;
        let is_same = match &notice {
            Notice::Closed(bill) => {
                let known = self.notices.bills.insert(id, bill.clone());
                known.is_none_or(|known| known == *bill)
            }
            Notice::Threshold(alert) => {
                let known = self.notices.alerts.insert(id, alert.clone());
                known.is_none_or(|known| crossing(&known) == crossing(alert))
            }
            Notice::Report(_) => return Err(format!("nobody asked for a report: {body}")),
        };
        if is_same {
            Ok(())
        } else {
            Err(format!("another one had the id of {notice:?}"))
        }
    }
}

/// What an alert is about. When it was found may change with a restore, and what was used by then.
fn crossing(alert: &Alert) -> Alert {
    Alert {
        used: 0,
        at: alert.start,
        ..alert.clone()
    }
}

/// Gives a user its own quota.
pub(super) fn give_quota(usage: &MemoryStore) {
    let (user, quota) = OWN_QUOTA;
    let quota = state::encode(&Some(Quota::Calls(quota))).expect("a quota encodes");
    usage.plant(&ItemKey::settings(user), 1, quota);
}
