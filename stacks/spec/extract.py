#!/usr/bin/env python3
"""Makes `cloudformation.json`, the extract that `cargo xtask codegen` reads.

Run by hand when AWS's published schema should be taken over anew; builds never run it.

    npm pack @aws-cdk/aws-service-spec && tar xf aws-cdk-aws-service-spec-*.tgz
    pip install cfn-lint botocore
    python3 stacks/spec/extract.py package/db.json.gz > stacks/spec/cloudformation.json

Types, documentation and references come from the CDK's service specification; ranges, patterns
and allowed values also from cfn-lint's schemas, IAM actions from its policy data; what both lack from botocore's service models.
`SOURCES.md` names the versions. Nothing is invented here: a value none of the three has is absent.
"""
import gzip
import json
import os
import sys
from importlib.metadata import version

import botocore.session
import cfnlint

RESOURCES = """
AWS::ApiGateway::Account AWS::ApiGateway::Authorizer AWS::ApiGateway::BasePathMapping
AWS::ApiGateway::Deployment AWS::ApiGateway::DomainName AWS::ApiGateway::GatewayResponse
AWS::ApiGateway::Method AWS::ApiGateway::Resource AWS::ApiGateway::RestApi AWS::ApiGateway::Stage
AWS::ApiGateway::UsagePlan
AWS::ApiGatewayV2::Api AWS::ApiGatewayV2::Authorizer AWS::ApiGatewayV2::Integration
AWS::ApiGatewayV2::Route AWS::ApiGatewayV2::Stage
AWS::ApplicationAutoScaling::ScalableTarget AWS::ApplicationAutoScaling::ScalingPolicy
AWS::CloudWatch::Alarm AWS::CloudWatch::AnomalyDetector AWS::CloudWatch::CompositeAlarm
AWS::CloudWatch::Dashboard
AWS::Cognito::UserPool AWS::Cognito::UserPoolClient
AWS::DynamoDB::GlobalTable AWS::DynamoDB::Table
AWS::Events::Rule
AWS::IAM::ManagedPolicy AWS::IAM::Policy AWS::IAM::Role
AWS::KMS::Alias AWS::KMS::Key
AWS::Kinesis::Stream AWS::Kinesis::StreamConsumer
AWS::KinesisFirehose::DeliveryStream
AWS::Lambda::Alias AWS::Lambda::EventSourceMapping AWS::Lambda::Function
AWS::Lambda::LayerVersion AWS::Lambda::Permission AWS::Lambda::Url AWS::Lambda::Version
AWS::Logs::LogGroup AWS::Logs::MetricFilter AWS::Logs::SubscriptionFilter
AWS::S3::Bucket AWS::S3::BucketPolicy
AWS::SNS::Subscription AWS::SNS::Topic AWS::SNS::TopicPolicy
AWS::SQS::Queue AWS::SQS::QueuePolicy
AWS::SSM::Parameter
AWS::Scheduler::Schedule
AWS::SecretsManager::Secret
AWS::WAFv2::WebACL AWS::WAFv2::WebACLAssociation
""".split()

# Allowed values that neither schema has, by the botocore shape that holds them.
BOTOCORE = {
    ("AWS::DynamoDB::Table", "KeySchema", "KeyType"): ("dynamodb", "KeyType"),
    ("AWS::DynamoDB::GlobalTable", "KeySchema", "KeyType"): ("dynamodb", "KeyType"),
    ("AWS::DynamoDB::Table", "AttributeDefinition", "AttributeType"): ("dynamodb", "ScalarAttributeType"),
    ("AWS::DynamoDB::Table", "Projection", "ProjectionType"): ("dynamodb", "ProjectionType"),
    ("AWS::DynamoDB::Table", "", "BillingMode"): ("dynamodb", "BillingMode"),
    ("AWS::DynamoDB::Table", "", "TableClass"): ("dynamodb", "TableClass"),
    ("AWS::DynamoDB::Table", "StreamSpecification", "StreamViewType"): ("dynamodb", "StreamViewType"),
    ("AWS::DynamoDB::GlobalTable", "", "BillingMode"): ("dynamodb", "BillingMode"),
    ("AWS::Lambda::EventSourceMapping", "", "StartingPosition"): ("lambda", "EventSourcePosition"),
    ("AWS::ApiGateway::Authorizer", "", "Type"): ("apigateway", "AuthorizerType"),
    ("AWS::ApiGateway::RestApi", "", "ApiKeySourceType"): ("apigateway", "ApiKeySourceType"),
    ("AWS::Events::Rule", "", "State"): ("events", "RuleState"),
    ("AWS::ApiGateway::GatewayResponse", "", "ResponseType"): ("apigateway", "GatewayResponseType"),
    ("AWS::ApiGatewayV2::Api", "", "ProtocolType"): ("apigatewayv2", "ProtocolType"),
    ("AWS::ApiGatewayV2::Authorizer", "", "AuthorizerType"): ("apigatewayv2", "AuthorizerType"),
    ("AWS::ApiGatewayV2::Integration", "", "IntegrationType"): ("apigatewayv2", "IntegrationType"),
    ("AWS::ApiGatewayV2::Route", "", "AuthorizationType"): ("apigatewayv2", "AuthorizationType"),
}

# Relations of the specification that do not hold: the property names the thing it declares, takes a
# URI or a path that only contains the ARN or id, or takes other things as well.
NO_REFERENCE = {
    ("AWS::Logs::LogGroup", "LogGroupName"),
    ("AWS::KinesisFirehose::DeliveryStream", "DeliveryStreamName"),
    ("AWS::ApiGateway::Method", "Uri"),
    ("AWS::ApiGatewayV2::Integration", "IntegrationUri"),
    ("AWS::ApiGatewayV2::Route", "Target"),
    ("AWS::ApplicationAutoScaling::ScalableTarget", "ResourceId"),
    ("AWS::KinesisFirehose::DeliveryStream", "ParameterValue"),
    ("AWS::KinesisFirehose::DeliveryStream", "LogStreamName"),
    ("AWS::Lambda::Permission", "Principal"),
    ("AWS::Events::Rule", "Values"),
}

# Services whose IAM actions a role of these stacks, or of one that extends them, may name.
ACTIONS = """
apigateway cloudformation cloudwatch cognito-idp dynamodb events execute-api firehose iam kinesis kms lambda
logs s3 scheduler secretsmanager sns sqs ssm states sts wafv2 xray
""".split()

LIMITS = {
    "array": ("minItems", "maxItems"),
    "string": ("pattern", "minLength", "maxLength"),
    "integer": ("minimum", "maximum"),
    "number": ("minimum", "maximum"),
}


class Lint:
    """cfn-lint's schema of one resource type, followed beside the specification's."""

    def __init__(self, resource):
        base = os.path.join(os.path.dirname(cfnlint.__file__), "data", "schemas")
        with open(os.path.join(base, "providers", "us-east-1.json")) as file:
            name = json.load(file)[resource]
        with open(os.path.join(base, "resources", name + ".json")) as file:
            self.root = json.load(file)

    def resolve(self, node):
        merged = {}
        while isinstance(node, dict) and "$ref" in node:
            merged = {**{k: v for k, v in node.items() if k != "$ref"}, **merged}
            target = self.root
            for part in node["$ref"].removeprefix("#/").split("/"):
                target = target.get(part, {})
            node = target
        return {**(node if isinstance(node, dict) else {}), **merged}

    def child(self, node, name):
        node = self.resolve(node)
        return self.resolve(node.get("properties", {}).get(name, {}))

    def items(self, node):
        items = self.resolve(node.get("items", {}))
        nested = node.get("properties")
        if nested and items.get("properties"):
            items["properties"] = {
                key: {**value, **nested.get(key, {})} for key, value in items["properties"].items()
            }
        return items


def limits(kind, node):
    found = {key: node[key] for key in LIMITS[kind] if key in node}
    return {k: v for k, v in found.items() if not (k in ("minLength", "minItems") and v == 0)}


class Extract:
    def __init__(self, database):
        schema = database["schema"]
        self.resources = {e["cloudFormationType"]: e for e in schema["resource"]["entities"]}
        self.definitions = {e["$id"]: e for e in schema["typeDefinition"]["entities"]}

    def resource(self, name):
        entity = self.resources[name]
        self.name, self.lint, self.types = name, Lint(name), {}
        result = {
            "documentation": entity.get("documentation", ""),
            "properties": self.properties(entity, self.lint.root, ""),
        }
        if entity.get("attributes"):
            result["attributes"] = {
                key: {
                    "documentation": value.get("documentation", ""),
                    "type": value["type"]["type"],
                }
                for key, value in entity["attributes"].items()
            }
        result["types"] = self.types
        if entity.get("isStateful"):
            result["stateful"] = True
        tags = entity.get("tagInformation")
        if tags:
            result["tags"] = {"property": tags["tagPropertyName"], "variant": tags["variant"]}
        return result

    def properties(self, entity, node, owner):
        result = {}
        required = set(self.lint.resolve(node).get("required", []))
        for name, spec in entity["properties"].items():
            entry = {
                "documentation": spec.get("documentation", ""),
                "type": self.type_of(spec["type"], self.lint.child(node, name), (owner, name)),
            }
            self.reference(entry["type"], spec, name)
            if spec.get("required") or name in required:
                entry["required"] = True
            if spec.get("causesReplacement") in ("yes", "maybe"):
                entry["replacement"] = spec["causesReplacement"]
            result[name] = entry
        return result

    def reference(self, kind, spec, name):
        references = spec.get("relationshipRefs")
        if not references or (self.name, name) in NO_REFERENCE:
            return
        while kind["type"] == "list":
            kind = kind["of"]
        if kind["type"] == "string":
            kind["refers"] = sorted(
                {f"{r['cloudFormationType']}.{r['propertyName']}" for r in references}
            )

    def type_of(self, spec, node, place):
        kind = spec["type"]
        if kind == "union":
            kinds = {t["type"] for t in spec["types"]}
            if "array" in kinds:
                spec = next(t for t in spec["types"] if t["type"] == "array")
            elif "boolean" in kinds:
                spec = next(t for t in spec["types"] if t["type"] == "boolean")
            else:
                spec = next(t for t in spec["types"] if t["type"] == "json")
            kind = spec["type"]
        if kind == "array":
            element = self.type_of(spec["element"], self.lint.items(node), place)
            return {"type": "list", "of": element, **limits(kind, node)}
        if kind == "map":
            return {"type": "map", "of": self.type_of(spec["element"], {}, place)}
        if kind == "ref":
            definition = self.definitions[spec["reference"]["$ref"]]
            name = definition["name"]
            if name not in self.types:
                self.types[name] = None
                self.types[name] = {
                    "documentation": definition.get("documentation", ""),
                    "properties": self.properties(definition, node, name),
                }
            return {"type": "ref", "name": name}
        if kind in ("json", "tag", "boolean"):
            return {"type": kind}
        if kind == "date-time":
            return {"type": "string"}
        result = {"type": kind, **limits(kind, node)}
        allowed = spec.get("allowedValues") or node.get("enum") or self.botocore(place)
        if allowed:
            result["allowed"] = list(dict.fromkeys(allowed))
            for key in ("pattern", "minLength", "maxLength", "minimum", "maximum"):
                result.pop(key, None)
        return result

    def botocore(self, place):
        shape = BOTOCORE.get((self.name, *place))
        if not shape:
            return None
        model = botocore.session.get_session().get_service_model(shape[0])
        return model.shape_for(shape[1]).enum


def actions():
    """IAM actions by service, in lower case: whether a resource narrower than `*` can be named."""
    path = os.path.join(
        os.path.dirname(cfnlint.__file__), "data", "AdditionalSpecs", "Policies.json"
    )
    with open(path) as file:
        services = json.load(file)
    return {
        service: {
            action: bool(spec.get("Resources"))
            for action, spec in services[service]["Actions"].items()
        }
        for service in ACTIONS
    }


def main():
    with gzip.open(sys.argv[1]) as file:
        extract = Extract(json.load(file))
    with open(os.path.join(os.path.dirname(sys.argv[1]) or ".", "package.json")) as file:
        service_spec = json.load(file)["version"]
    document = {
        "format": 1,
        "sources": {
            "@aws-cdk/aws-service-spec": service_spec,
            "cfn-lint": version("cfn-lint"),
            "botocore": version("botocore"),
        },
        "actions": actions(),
        "resources": {name: extract.resource(name) for name in RESOURCES},
    }
    json.dump(document, sys.stdout, indent=1, sort_keys=True, ensure_ascii=False)
    print()


main()
