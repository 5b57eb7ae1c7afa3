//! Alerts and bills, as the notifier would deliver them.

use domain::alert::Alert;
use domain::key::Quota;
use domain::notice::Notice;
use domain::state;
use domain::table::ItemKey;
use domain::webhook::Message;
use runtime::memory::MemoryStore;

use super::super::traffic::OWN_QUOTA;
use super::World;

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
                let known = self.bills.insert(id, bill.clone());
                known.is_none_or(|known| known == *bill)
            }
            Notice::Threshold(alert) => {
                let known = self.alerts.insert(id, alert.clone());
                known.is_none_or(|known| crossing(&known) == crossing(alert))
            }
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
