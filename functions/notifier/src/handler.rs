//! One message: an alert, a bill or a report that becomes deliveries, or a delivery.

use domain::notice::Notice;
use domain::state;
use domain::table::ItemKey;
use domain::time::UnixMillis;
use domain::webhook::{self, Delivery, DeliveryStatus, Endpoint, Endpoints, Message};
use runtime::log::Chain;
use runtime::queue::{MOST_DELAY_SECONDS, Queue, SendError};
use runtime::store::{Condition, NewItem, Shown, Store, StoreError, Written, unreadable};

use crate::mail::{Mail, MailError};
use crate::post::{Post, PostError};
use crate::secrets::{SecretError, SigningSecrets, Vault};

/// Days for which deliveries are listed.
const KEPT_DAYS: i64 = 90;
/// Stands for the alarm topic among the endpoints: no endpoint can have this name.
const MAIL: &str = "mail#";

/// Delivers alerts, bills and reports.
#[derive(Debug)]
pub struct Notifier<S, Q, M, P, V> {
    /// The usage table.
    pub usage: S,
    /// The queue in which deliveries wait.
    pub queue: Q,
    /// The alarm topic.
    pub mail: M,
    /// Posts to endpoints.
    pub post: P,
    /// The secrets that sign deliveries.
    pub secrets: SigningSecrets<V>,
    /// The endpoints.
    pub endpoints: Endpoints,
    /// `source` of the events.
    pub source: String,
}

/// Why a message is retried.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// It has another form.
    #[error("the message does not have the form that the notifier sends")]
    Message(#[from] serde_json::Error),
    /// The table failed.
    #[error("cannot read or write the state of a delivery")]
    Store(#[from] StoreError),
    /// The queue failed.
    #[error("cannot queue a delivery")]
    Send(#[from] SendError),
    /// The topic failed.
    #[error("cannot publish an alert")]
    Mail(#[from] MailError),
    /// The secrets are unknown.
    #[error("cannot sign a delivery")]
    Secret(#[from] SecretError),
    /// Another instance made the same delivery at the same time.
    #[error("another instance is making the same delivery")]
    Contended,
}

/// The outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Nothing is left to do.
    Done,
    /// It is retried later.
    PutOff,
    /// The delivery is given up.
    GivenUp,
}

impl<S: Store, Q: Queue, M: Mail, P: Post, V: Vault> Notifier<S, Q, M, P, V> {
    /// Handles one message.
    pub async fn handle(&self, body: &str, now: UnixMillis) -> Result<Handled, NotifyError> {
        let message: Message = serde_json::from_str(body)?;
        let key = ItemKey::alert(&message.alert);
        let Some(stored) = self.usage.get(&key).await? else {
            tracing::warn!(
                alert = message.alert,
                "an alert expired before it was delivered"
            );
            return Ok(Handled::Done);
        };
        let notice = Notice::decode(&message.alert, &stored.state).map_err(unreadable(&key))?;
        let Some(name) = &message.endpoint else {
            return self.spread(&notice, &message.alert, now).await;
        };
        let mut known = self.endpoints.0.iter();
        if let Some(endpoint) = known.find(|known| known.name == *name) {
            return self.deliver(&notice, endpoint, &message, now).await;
        }
        tracing::warn!(
            endpoint = name,
            "the environment no longer configures this endpoint"
        );
        Ok(Handled::Done)
    }

    /// Queues a delivery to each endpoint that receives such events, and publishes what people get a
    /// mail about.
    async fn spread(
        &self,
        notice: &Notice,
        id: &str,
        now: UnixMillis,
    ) -> Result<Handled, NotifyError> {
        let endpoints = self.endpoints.0.iter();
        for endpoint in endpoints.filter(|endpoint| endpoint.receives(notice.kind())) {
            let message = Message {
                alert: id.to_owned(),
                endpoint: Some(endpoint.name.clone()),
                failures: 0,
                due: now,
            };
            self.queue.send(message.to_json(), 0).await?;
        }
        let Some(subject) = notice.mail_subject() else {
            return Ok(Handled::Done);
        };
        let (sent, version) = self.delivery(MAIL, id).await?;
        if sent.is_none() {
            self.mail.send(&subject, &notice.text()).await?;
            let delivered = Delivery::new(DeliveryStatus::Delivered, 0, None, now);
            self.note(MAIL, id, delivered, version).await?;
        }
        Ok(Handled::Done)
    }

    async fn deliver(
        &self,
        notice: &Notice,
        endpoint: &Endpoint,
        message: &Message,
        now: UnixMillis,
    ) -> Result<Handled, NotifyError> {
        let (known, version) = self.delivery(&endpoint.name, &message.alert).await?;
        if known.is_some_and(|known| known.outdates(message)) {
            return Ok(Handled::Done);
        }
        let ahead = message.due.since(now);
        if ahead > 0 {
            self.put_off(message, ahead).await?;
            return Ok(Handled::PutOff);
        }
        let (delivery, handled) = match self.try_once(notice, endpoint, now).await? {
            Ok(()) => {
                let status = DeliveryStatus::Delivered;
                let delivery = Delivery::new(status, message.failures, None, now);
                (delivery, Handled::Done)
            }
            Err(error) => self.failed(message, &error, now).await?,
        };
        self.note(&endpoint.name, &message.alert, delivery, version)
            .await?;
        Ok(handled)
    }

    /// Postpones a delivery that failed. It sends the message before it notes the failure: a note
    /// without a message would end the delivery.
    async fn failed(
        &self,
        message: &Message,
        error: &PostError,
        now: UnixMillis,
    ) -> Result<(Delivery, Handled), SendError> {
        let error = Chain(error).to_string();
        let failures = message.failures + 1;
        tracing::warn!(
            endpoint = message.endpoint,
            alert = message.alert,
            failures,
            error,
            "a delivery failed"
        );
        let delivery = |status| Delivery::new(status, failures, Some(error), now);
        let Some(pause) = webhook::pause(failures) else {
            return Ok((delivery(DeliveryStatus::GivenUp), Handled::GivenUp));
        };
        let millis = i64::from(pause) * 1_000;
        let next = Message {
            failures,
            due: now.plus_millis(millis),
            ..message.clone()
        };
        self.put_off(&next, millis).await?;
        Ok((delivery(DeliveryStatus::Waiting), Handled::PutOff))
    }

    /// Posts a delivery. The inner error says why the endpoint did not accept it.
    async fn try_once(
        &self,
        notice: &Notice,
        endpoint: &Endpoint,
        now: UnixMillis,
    ) -> Result<Result<(), PostError>, NotifyError> {
        let body = endpoint.format.body(notice, &self.source);
        let secrets = self.secrets.of(&endpoint.name, now).await?;
        let headers = webhook::headers(&secrets, &notice.id(), now, &body);
        Ok(self.post.post(endpoint, &headers, body).await)
    }

    /// Sends a message again, with a delay until it is due, or with the queue's longest delay.
    async fn put_off(&self, message: &Message, millis: i64) -> Result<(), SendError> {
        let seconds = u32::try_from(millis.max(0) / 1_000 + 1).unwrap_or(MOST_DELAY_SECONDS);
        let delay = seconds.min(MOST_DELAY_SECONDS);
        self.queue.send(message.to_json(), delay).await
    }

    /// The noted delivery, and the version of the note.
    async fn delivery(
        &self,
        endpoint: &str,
        id: &str,
    ) -> Result<(Option<Delivery>, u64), StoreError> {
        let key = ItemKey::delivery(endpoint, id);
        match self.usage.get(&key).await? {
            Some(stored) => {
                let delivery = state::decode(&stored.state).map_err(unreadable(&key))?;
                Ok((Some(delivery), stored.version))
            }
            None => Ok((None, 0)),
        }
    }

    async fn note(
        &self,
        endpoint: &str,
        id: &str,
        delivery: Delivery,
        version: u64,
    ) -> Result<(), NotifyError> {
        let key = ItemKey::delivery(endpoint, id);
        let item = NewItem {
            version: version + 1,
            state: state::encode(&delivery).map_err(unreadable(&key))?,
            shown: Shown {
                expires_at: Some(delivery.at.plus_days(KEPT_DAYS)),
                ..Shown::default()
            },
            condition: Condition::Version(version),
        };
        match self.usage.put(&key, item).await? {
            Written::Done { .. } => Ok(()),
            Written::Refused { .. } => Err(NotifyError::Contended),
        }
    }
}

#[cfg(test)]
mod tests;
