//! A web application firewall in front of a stage of a REST API.

use super::stack::Stack;
use crate::cfn::{Handle, Id, LogicalId, Val, apigateway, join, sub, wafv2};

/// Blocks an address that exceeds its rate; the gateway then responds 403.
#[derive(Clone, Copy, Debug)]
pub struct Firewall<'a> {
    /// Its name, and that of its metrics.
    pub name: &'a str,
    /// The most calls of one address in five minutes.
    pub calls: u32,
}

impl Firewall<'_> {
    /// Declares the firewall `id`, and associates it with the stage as `{id}Association`.
    pub fn guard(
        &self,
        stack: &mut Stack,
        id: &'static str,
        api: &Val<Id<apigateway::RestApi>>,
        stage: &Handle<apigateway::Stage>,
    ) {
        let acl = stack.template().add(
            id,
            wafv2::WebACL::new(wafv2::WebACLRequired {
                default_action: wafv2::WebACLDefaultAction::new()
                    .allow(wafv2::WebACLAllowAction::new()),
                scope: wafv2::WebACLScope::Regional.into(),
                visibility_config: self.visibility(),
            })
            .name(self.name)
            .rules([self.rule()]),
        );
        let guarded = join([
            sub::<String>("arn:${AWS::Partition}:apigateway:${AWS::Region}::/restapis/".to_owned()),
            api.clone().into(),
            "/stages/".into(),
            stage.reference().into(),
        ]);
        stack.template().add(
            LogicalId::from(format!("{id}Association")),
            wafv2::WebACLAssociation::new(wafv2::WebACLAssociationRequired {
                resource_arn: guarded.cast(),
                web_acl_arn: acl.arn().cast(),
            }),
        );
    }

    /// Counts each address separately, over five minutes.
    fn rule(&self) -> wafv2::WebACLRule {
        let rate = wafv2::WebACLRateBasedStatement::new(wafv2::WebACLRateBasedStatementRequired {
            aggregate_key_type: wafv2::WebACLRateBasedStatementAggregateKeyType::Ip.into(),
            limit: self.calls.into(),
        })
        .evaluation_window_sec(300);
        wafv2::WebACLRule::new(wafv2::WebACLRuleRequired {
            name: "CallsOfOneAddress".into(),
            priority: 0.into(),
            statement: wafv2::WebACLStatement::new().rate_based_statement(rate),
            visibility_config: self.visibility(),
        })
        .action(wafv2::WebACLRuleAction::new().block(wafv2::WebACLBlockAction::new()))
    }

    /// Counts calls without keeping samples, which would hold keys.
    fn visibility(&self) -> wafv2::WebACLVisibilityConfig {
        wafv2::WebACLVisibilityConfig::new(wafv2::WebACLVisibilityConfigRequired {
            cloud_watch_metrics_enabled: true.into(),
            metric_name: self.name.into(),
            sampled_requests_enabled: false.into(),
        })
    }
}
