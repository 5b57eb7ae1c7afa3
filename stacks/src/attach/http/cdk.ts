// Meters an HttpApi of this stack by the environment `@ENVIRONMENT@`.
import {
  Duration, Stack, aws_apigateway as apigateway, aws_apigatewayv2 as apigatewayv2,
  aws_apigatewayv2_authorizers as authorizers, aws_lambda as lambda, aws_logs as logs,
} from 'aws-cdk-lib';

const metering = new authorizers.HttpLambdaAuthorizer(
  'Metering',
  lambda.Function.fromFunctionArn(this, 'MeteringFunction', '@AUTHORIZER_ARN@'),
  {
    identitySource: [], // a call without a key is a failure that counts
    resultsCacheTtl: Duration.seconds(0), // a cached answer would be an uncounted call
    responseTypes: [authorizers.HttpLambdaResponseType.SIMPLE],
  },
);

const api = new apigatewayv2.HttpApi(this, 'Api', {
  createDefaultStage: false, // the stage below has the access log
  defaultAuthorizer: metering,
});

new apigatewayv2.HttpStage(this, 'Stage', {
  httpApi: api,
  stageName: '$default',
  autoDeploy: true,
  accessLogSettings: {
    destination: new apigatewayv2.LogGroupLogDestination(
      logs.LogGroup.fromLogGroupArn(this, 'MeteringLog', '@LOG_ARN@'),
    ),
    format: apigateway.AccessLogFormat.custom('@LOG_FORMAT@'),
  },
});

new lambda.CfnPermission(this, 'MeteringPermission', {
  action: 'lambda:InvokeFunction',
  functionName: '@AUTHORIZER_ARN@',
  principal: 'apigateway.amazonaws.com',
  sourceArn: Stack.of(this).formatArn({
    service: 'execute-api',
    resource: api.apiId,
    resourceName: 'authorizers/*',
  }),
});
