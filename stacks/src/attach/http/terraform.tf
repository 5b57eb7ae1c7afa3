# Meters `aws_apigatewayv2_api.api` by the environment `@ENVIRONMENT@`.
resource "aws_apigatewayv2_authorizer" "metering" {
  name                              = "metering"
  api_id                            = aws_apigatewayv2_api.api.id
  authorizer_type                   = "REQUEST"
  authorizer_uri                    = "@AUTHORIZER_URI@"
  authorizer_payload_format_version = "2.0"
  enable_simple_responses           = true
  authorizer_result_ttl_in_seconds  = 0 # a cached answer would be an uncounted call
  # No `identity_sources`: a call without a key is a failure that counts.
}

# In every `aws_apigatewayv2_route`:
#   authorization_type = "CUSTOM"
#   authorizer_id      = aws_apigatewayv2_authorizer.metering.id

# In the `aws_apigatewayv2_stage`:
#   access_log_settings {
#     destination_arn = local.metering_log
#     format          = local.metering_log_format
#   }
locals {
  metering_log        = "@LOG_ARN@"
  metering_log_format = "@LOG_FORMAT@"
}

resource "aws_lambda_permission" "metering" {
  action        = "lambda:InvokeFunction"
  function_name = "@AUTHORIZER_ARN@"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_apigatewayv2_api.api.execution_arn}/authorizers/*"
}
