//! Compares a table that a stack is to adopt with its template, and changes it to match.
//!
//! CloudFormation adopts an existing table as it is, and from then on assumes that it matches its
//! declaration: no later deploy corrects it. So the table is compared and corrected before it is
//! adopted.

mod shape;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, CreateGlobalSecondaryIndexAction, GlobalSecondaryIndexUpdate,
    KeySchemaElement, PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, Projection,
    ProjectionType, ScalarAttributeType, SseSpecification, SseType, StreamSpecification,
    StreamViewType, TimeToLiveSpecification, TimeToLiveStatus,
};
use serde_json::Value;

use crate::changes::{Action, Review};
use crate::error::{Error, failed};
use crate::events::Progress;
use crate::tables::Tables;
pub use shape::Difference;
use shape::{Beside, IndexShape, Remedy, Shape};

const TABLE: &str = "AWS::DynamoDB::Table";

/// A table that a change set adopts although it differs from its declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// The table.
    pub table: String,
    /// The differences.
    pub differences: Vec<Difference>,
}

impl Adoption {
    /// The differences that no change of the table can remove.
    pub fn obstacles(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|one| one.is_obstacle())
    }
}

impl Tables {
    /// Logical ids of the tables that a template declares and that exist already: the stack's first
    /// deploy adopts them.
    pub async fn present(&self, template: &Value) -> Result<Vec<String>, Error> {
        let resources = template.get("Resources").and_then(Value::as_object);
        let mut present = Vec::new();
        for (id, resource) in resources.into_iter().flatten() {
            let name = resource.pointer("/Properties/TableName");
            if resource.get("Type").and_then(Value::as_str) == Some(TABLE)
                && let Some(name) = name.and_then(Value::as_str)
                && self.exists(name).await?
            {
                present.push(id.clone());
            }
        }
        Ok(present)
    }

    /// The tables that a change set adopts although they differ from the template.
    pub async fn differing(
        &self,
        template: &Value,
        review: &Review,
    ) -> Result<Vec<Adoption>, Error> {
        let adopted = review
            .changes
            .iter()
            .filter(|change| change.action == Action::Adopt && change.kind == TABLE);
        let mut found = Vec::new();
        for change in adopted {
            let path = format!("/Resources/{}/Properties", change.logical_id);
            let Some(properties) = template.pointer(&path) else {
                continue;
            };
            let Some(table) = properties.get("TableName").and_then(Value::as_str) else {
                continue;
            };
            let Some(actual) = self.shape(table).await? else {
                continue;
            };
            let differences = Shape::declared(properties).differences(&actual);
            if !differences.is_empty() {
                let table = table.to_owned();
                found.push(Adoption { table, differences });
            }
        }
        Ok(found)
    }

    async fn shape(&self, table: &str) -> Result<Option<Shape>, Error> {
        let Some(described) = self.settled(table).await? else {
            return Ok(None);
        };
        let expiry = self
            .client
            .describe_time_to_live()
            .table_name(table)
            .send()
            .await
            .map_err(failed("DescribeTimeToLive"))?;
        let expiry = expiry.time_to_live_description.filter(|expiry| {
            matches!(
                expiry.time_to_live_status(),
                Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
            )
        });
        let beside = Beside {
            expires: expiry.and_then(|expiry| expiry.attribute_name),
            recoverable: self.recoverable(table).await?,
        };
        Ok(Some(Shape::actual(&described, beside)))
    }

    async fn recoverable(&self, table: &str) -> Result<bool, Error> {
        let backups = self
            .client
            .describe_continuous_backups()
            .table_name(table)
            .send()
            .await
            .map_err(failed("DescribeContinuousBackups"))?;
        let recovery = backups
            .continuous_backups_description
            .and_then(|backups| backups.point_in_time_recovery_description)
            .and_then(|recovery| recovery.point_in_time_recovery_status);
        Ok(recovery == Some(PointInTimeRecoveryStatus::Enabled))
    }

    /// Changes a table to match its declaration, as far as that is possible.
    pub async fn mend(&self, adoption: &Adoption, progress: &dyn Progress) -> Result<(), Error> {
        let table = &adoption.table;
        for difference in &adoption.differences {
            let Some(remedy) = difference.remedy() else {
                continue;
            };
            progress.note(&format!("table `{table}`: {remedy}"));
            match remedy {
                Remedy::Stream(view) => self.set_stream(table, Some(view)).await?,
                Remedy::OtherStream(view) => {
                    self.set_stream(table, None).await?;
                    self.set_stream(table, Some(view)).await?;
                }
                Remedy::Index(index) => self.add_index(table, index).await?,
                Remedy::Expire(attribute) => self.set_expiry(table, attribute, true).await?,
                Remedy::KeepForever(attribute) => self.set_expiry(table, attribute, false).await?,
                Remedy::Recover => self.recover(table).await?,
                Remedy::Encrypt(key) => self.encrypt(table, key.as_deref()).await?,
                Remedy::Protect => self.protect(table).await?,
                Remedy::OnDemand => self.pay_per_request(table).await?,
            }
            self.settled(table).await?;
        }
        Ok(())
    }

    async fn set_stream(&self, table: &str, view: Option<&str>) -> Result<(), Error> {
        let stream = StreamSpecification::builder()
            .stream_enabled(view.is_some())
            .set_stream_view_type(view.map(StreamViewType::from))
            .build()
            .map_err(|_| incomplete("StreamSpecification"))?;
        self.change(table, async || {
            let update = self.client.update_table().table_name(table);
            let update = update.stream_specification(stream.clone());
            update.send().await.map_err(failed("UpdateTable")).map(drop)
        })
        .await?;
        self.settled(table).await.map(drop)
    }

    async fn set_expiry(&self, table: &str, attribute: &str, on: bool) -> Result<(), Error> {
        let expiry = TimeToLiveSpecification::builder()
            .attribute_name(attribute)
            .enabled(on)
            .build()
            .map_err(|_| incomplete("TimeToLiveSpecification"))?;
        self.change(table, async || {
            let update = self.client.update_time_to_live().table_name(table);
            let update = update.time_to_live_specification(expiry.clone());
            let updated = update.send().await;
            updated.map_err(failed("UpdateTimeToLive")).map(drop)
        })
        .await
    }

    async fn recover(&self, table: &str) -> Result<(), Error> {
        let on = PointInTimeRecoverySpecification::builder()
            .point_in_time_recovery_enabled(true)
            .build()
            .map_err(|_| incomplete("PointInTimeRecoverySpecification"))?;
        self.change(table, async || {
            let update = self.client.update_continuous_backups().table_name(table);
            let update = update.point_in_time_recovery_specification(on.clone());
            let updated = update.send().await;
            updated.map_err(failed("UpdateContinuousBackups")).map(drop)
        })
        .await
    }

    async fn encrypt(&self, table: &str, key: Option<&str>) -> Result<(), Error> {
        let encryption = SseSpecification::builder()
            .enabled(true)
            .sse_type(SseType::Kms)
            .set_kms_master_key_id(key.map(str::to_owned))
            .build();
        self.change(table, async || {
            let update = self.client.update_table().table_name(table);
            let update = update.sse_specification(encryption.clone());
            update.send().await.map_err(failed("UpdateTable")).map(drop)
        })
        .await
    }

    async fn protect(&self, table: &str) -> Result<(), Error> {
        self.change(table, async || {
            let update = self.client.update_table().table_name(table);
            let update = update.deletion_protection_enabled(true);
            update.send().await.map_err(failed("UpdateTable")).map(drop)
        })
        .await
    }

    async fn pay_per_request(&self, table: &str) -> Result<(), Error> {
        self.change(table, async || {
            let update = self.client.update_table().table_name(table);
            let update = update.billing_mode(BillingMode::PayPerRequest);
            update.send().await.map_err(failed("UpdateTable")).map(drop)
        })
        .await
    }

    async fn add_index(&self, table: &str, index: &IndexShape) -> Result<(), Error> {
        let create = CreateGlobalSecondaryIndexAction::builder()
            .index_name(&index.name)
            .set_key_schema(Some(key_schema(index)?))
            .projection(
                Projection::builder()
                    .projection_type(ProjectionType::from(index.projection.as_str()))
                    .build(),
            )
            .build()
            .map_err(|_| incomplete("GlobalSecondaryIndexUpdates"))?;
        let create = GlobalSecondaryIndexUpdate::builder().create(create).build();
        let attributes = attributes(index)?;
        self.change(table, async || {
            let update = self.client.update_table().table_name(table);
            let update = update
                .set_attribute_definitions(Some(attributes.clone()))
                .global_secondary_index_updates(create.clone());
            update.send().await.map_err(failed("UpdateTable")).map(drop)
        })
        .await
    }
}

fn key_schema(index: &IndexShape) -> Result<Vec<KeySchemaElement>, Error> {
    let elements = index.key.iter().map(|part| {
        KeySchemaElement::builder()
            .attribute_name(&part.attribute)
            .key_type(part.role.as_str().into())
            .build()
            .map_err(|_| incomplete("KeySchema"))
    });
    elements.collect()
}

fn attributes(index: &IndexShape) -> Result<Vec<AttributeDefinition>, Error> {
    let definitions = index.key.iter().map(|part| {
        AttributeDefinition::builder()
            .attribute_name(&part.attribute)
            .attribute_type(ScalarAttributeType::from(part.kind.as_str()))
            .build()
            .map_err(|_| incomplete("AttributeDefinitions"))
    });
    definitions.collect()
}

const fn incomplete(member: &'static str) -> Error {
    Error::Incomplete {
        operation: "UpdateTable",
        member,
    }
}
