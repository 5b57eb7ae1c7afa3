# Meters `aws_api_gateway_rest_api.api` by the environment `@ENVIRONMENT@`.
resource "aws_api_gateway_authorizer" "metering" {
  name                             = "metering"
  rest_api_id                      = aws_api_gateway_rest_api.api.id
  type                             = "REQUEST"
  authorizer_uri                   = "@AUTHORIZER_URI@"
  identity_source                  = "" # a call without a key is a failure that counts
  authorizer_result_ttl_in_seconds = 0  # a cached answer would be an uncounted call
}

# In every `aws_api_gateway_method`:
#   authorization = "CUSTOM"
#   authorizer_id = aws_api_gateway_authorizer.metering.id

# In the `aws_api_gateway_stage`:
#   access_log_settings {
#     destination_arn = local.metering_log
#     format          = local.metering_log_format
#   }
locals {
  metering_log        = "@LOG_ARN@"
  metering_log_format = "@LOG_FORMAT@"
}

resource "aws_api_gateway_gateway_response" "metering_rate_limited" {
  rest_api_id   = aws_api_gateway_rest_api.api.id
  response_type = "ACCESS_DENIED"
  status_code   = "429"
  response_parameters = {
    "gatewayresponse.header.Retry-After" = "context.authorizer.retryAfter"
  }
}

resource "aws_lambda_permission" "metering" {
  action        = "lambda:InvokeFunction"
  function_name = "@AUTHORIZER_ARN@"
  principal     = "apigateway.amazonaws.com"
  source_arn    = "${aws_api_gateway_rest_api.api.execution_arn}/authorizers/*"
}
