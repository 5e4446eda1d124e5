# Each resource writes what was given and nothing else: a field that is left out has the engine's default,
# and goes back to it when it is taken out. What a read shows beyond that is not compared.
#
# The order of depends_on is the engine's own: it refuses a role whose config, stage, environment or issuer
# is not there, and refuses to delete one that a role still uses.

resource "vault_generic_endpoint" "config" {
  for_each = var.configs

  path                 = "${var.mount}/config/${each.key}"
  ignore_absent_fields = true
  data_json            = jsonencode({ for field, value in each.value : field => value if value != null })
}

resource "vault_generic_endpoint" "stage" {
  for_each = var.stages

  path                 = "${var.mount}/stages/${each.key}"
  ignore_absent_fields = true
  data_json            = jsonencode({ for field, value in each.value : field => value if value != null })
}

resource "vault_generic_endpoint" "issuer" {
  for_each = var.issuers

  path                 = "${var.mount}/issuers/${each.key}"
  ignore_absent_fields = true
  data_json            = jsonencode({ for field, value in each.value : field => value if value != null })

  depends_on = [vault_generic_endpoint.config]
}

resource "vault_generic_endpoint" "environment" {
  for_each = var.environments

  path                 = "${var.mount}/environments/${each.key}"
  ignore_absent_fields = true
  data_json            = jsonencode({ for field, value in each.value : field => value if value != null })

  depends_on = [vault_generic_endpoint.stage]
}

resource "vault_generic_endpoint" "role" {
  for_each = var.roles

  path                 = "${var.mount}/roles/${each.key}"
  ignore_absent_fields = true
  data_json            = jsonencode({ for field, value in each.value : field => value if value != null })

  depends_on = [
    vault_generic_endpoint.config,
    vault_generic_endpoint.stage,
    vault_generic_endpoint.issuer,
    vault_generic_endpoint.environment,
  ]
}

resource "vault_policy" "this" {
  for_each = var.policies

  name = each.key
  policy = join("\n", [
    for path, capabilities in each.value : <<-EOT
      path "${var.mount}/${path}" {
        capabilities = ${jsonencode(capabilities)}
      }
    EOT
  ])
}
