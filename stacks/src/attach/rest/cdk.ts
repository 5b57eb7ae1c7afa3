// Meters a RestApi of this stack by the environment `@ENVIRONMENT@`.
import { Duration, Stack, aws_apigateway as apigateway, aws_lambda as lambda, aws_logs as logs } from 'aws-cdk-lib';

const metering = new apigateway.RequestAuthorizer(this, 'Metering', {
  handler: lambda.Function.fromFunctionArn(this, 'MeteringFunction', '@AUTHORIZER_ARN@'),
  identitySources: [], // a call without a key is a failure that counts
  resultsCacheTtl: Duration.seconds(0), // a cached answer would be an uncounted call
});

const api = new apigateway.RestApi(this, 'Api', {
  cloudWatchRole: false, // one for the account and region: the environment has set it
  defaultMethodOptions: {
    authorizer: metering,
    authorizationType: apigateway.AuthorizationType.CUSTOM,
  },
  deployOptions: {
    accessLogDestination: new apigateway.LogGroupLogDestination(
      logs.LogGroup.fromLogGroupArn(this, 'MeteringLog', '@LOG_ARN@'),
    ),
    accessLogFormat: apigateway.AccessLogFormat.custom('@LOG_FORMAT@'),
  },
});

api.addGatewayResponse('MeteringRateLimited', {
  type: apigateway.ResponseType.ACCESS_DENIED,
  statusCode: '429',
  responseHeaders: { 'Retry-After': 'context.authorizer.retryAfter' },
});

new lambda.CfnPermission(this, 'MeteringPermission', {
  action: 'lambda:InvokeFunction',
  functionName: '@AUTHORIZER_ARN@',
  principal: 'apigateway.amazonaws.com',
  sourceArn: Stack.of(this).formatArn({
    service: 'execute-api',
    resource: api.restApiId,
    resourceName: 'authorizers/*',
  }),
});
