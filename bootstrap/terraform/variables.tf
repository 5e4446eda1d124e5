variable "mount" {
  description = "Where the engine is mounted."
  type        = string
  default     = "ci"

  validation {
    condition     = can(regex("^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$", var.mount))
    error_message = "The mount is a path without a slash at either end, such as ci."
  }
}

variable "configs" {
  description = "Connections to platforms, by name. Their secrets are not here: whoever holds the key writes it once by hand (see the output key_commands), and a write that leaves it out keeps it."
  type = map(object({
    provider        = string
    base_url        = optional(string)
    ca_cert         = optional(string)
    request_timeout = optional(number)
    max_concurrency = optional(number)
    allowed_roles   = optional(list(string))
    app_id          = optional(string)
    organization    = optional(string)
    installation_id = optional(string)
    username        = optional(string)
    verify          = optional(bool)
  }))
  default = {}

  validation {
    condition     = alltrue([for config in values(var.configs) : contains(["github", "gitlab", "gitea"], config.provider)])
    error_message = "A config's provider is github, gitlab or gitea."
  }

  validation {
    condition     = alltrue([for config in values(var.configs) : config.provider != "github" || config.app_id != null])
    error_message = "A config for github needs app_id."
  }

  validation {
    condition     = alltrue([for config in values(var.configs) : config.provider != "gitea" || (config.username != null && config.base_url != null)])
    error_message = "A config for gitea needs username and base_url."
  }

  validation {
    condition     = alltrue([for config in values(var.configs) : config.base_url == null || can(regex("^https://|^http://(127\\.0\\.0\\.1|localhost)[:/]", config.base_url))])
    error_message = "A config's base_url is https, or http on loopback."
  }
}

variable "stages" {
  description = "Pipeline stages and their ceilings: the most that a role of the stage may have on each platform, as resource=level. build, test, release and deploy are built in; one that is given here overrides them."
  type = map(object({
    description = optional(string)
    github      = optional(list(string))
    gitlab      = optional(list(string))
    gitea       = optional(list(string))
  }))
  default = {}

  validation {
    condition = alltrue([
      for permission in flatten([for stage in values(var.stages) : [for ceiling in [stage.github, stage.gitlab, stage.gitea] : ceiling if ceiling != null]]) :
      can(regex("^[a-z0-9_]+=(read|write|admin)$", permission))
    ])
    error_message = "A permission of a ceiling is written resource=level, such as contents=read."
  }
}

variable "environments" {
  description = "Where tokens take effect, and what that asks of them. Durations are in seconds."
  type = map(object({
    description           = optional(string)
    ttl                   = optional(number)
    max_ttl               = optional(number)
    required_approvals    = optional(number)
    destructive_approvals = optional(number)
    require_identity      = optional(bool)
    bound_claims          = optional(list(string))
    allowed_stages        = optional(list(string))
    allowed_roles         = optional(list(string))
    production            = optional(bool)
  }))
  default = {}

  validation {
    condition     = alltrue([for environment in values(var.environments) : environment.production != true || environment.required_approvals == null || try(environment.required_approvals >= 1, false)])
    error_message = "An environment with production = true has at least one approval: leave required_approvals out to get one."
  }

  validation {
    condition     = alltrue([for environment in values(var.environments) : environment.production != true || environment.require_identity != false])
    error_message = "An environment with production = true requires identity: leave require_identity out."
  }

  validation {
    condition     = alltrue([for environment in values(var.environments) : environment.ttl == null || environment.max_ttl == null || try(environment.max_ttl == 0 || environment.ttl <= environment.max_ttl, false)])
    error_message = "An environment's ttl is not longer than its max_ttl (in seconds; 0 is the mount's)."
  }
}

variable "issuers" {
  description = "Who may vouch for a job. One key source: preset, discovery_url, jwks_url or public_keys."
  type = map(object({
    preset        = optional(string)
    discovery_url = optional(string)
    jwks_url      = optional(string)
    public_keys   = optional(list(string))
    bound_issuer  = optional(string)
    audiences     = list(string)
    ca_cert       = optional(string)
    config        = optional(string)
    verify        = optional(bool)
  }))
  default = {}

  validation {
    condition     = alltrue([for issuer in values(var.issuers) : length(issuer.audiences) > 0])
    error_message = "An issuer needs at least one audience."
  }

  validation {
    condition     = alltrue([for issuer in values(var.issuers) : issuer.preset == null || try(contains(["github-actions", "gitlab", "forgejo"], issuer.preset), false)])
    error_message = "An issuer's preset is github-actions, gitlab or forgejo."
  }

  validation {
    condition     = alltrue([for issuer in values(var.issuers) : length([for source in [issuer.discovery_url, issuer.jwks_url, issuer.public_keys] : source if source != null]) <= 1])
    error_message = "An issuer has one key source: discovery_url, jwks_url or public_keys."
  }

  validation {
    condition     = alltrue([for issuer in values(var.issuers) : issuer.preset != null || issuer.discovery_url != null || issuer.jwks_url != null || issuer.public_keys != null])
    error_message = "An issuer needs a preset or a key source."
  }
}

variable "roles" {
  description = "Who may get what: one stage in one environment on one platform. Durations are in seconds."
  type = map(object({
    config             = string
    stage              = string
    environment        = string
    owner              = string
    purpose            = string
    repositories       = list(string)
    permissions        = list(string)
    ttl                = optional(number)
    max_ttl            = optional(number)
    issuer             = optional(string)
    bound_claims       = optional(list(string))
    required_approvals = optional(number)
    single_use         = optional(bool)
    valid_from         = optional(string)
    valid_until        = optional(string)
    max_active         = optional(number)
    bound_cidrs        = optional(list(string))
    disabled           = optional(bool)
  }))
  default = {}

  validation {
    condition     = alltrue([for role in values(var.roles) : trimspace(role.owner) != "" && trimspace(role.purpose) != ""])
    error_message = "A role has an owner and a purpose."
  }

  validation {
    condition     = alltrue([for role in values(var.roles) : length(role.repositories) > 0 && length(role.permissions) > 0])
    error_message = "A role names at least one repository and one permission: none never means all."
  }

  validation {
    condition     = alltrue([for permission in flatten([for role in values(var.roles) : role.permissions]) : can(regex("^[a-z0-9_]+=(read|write|admin)$", permission))])
    error_message = "A role's permission is written resource=level, such as contents=read."
  }

  validation {
    condition     = alltrue([for claim in flatten([for role in values(var.roles) : role.bound_claims if role.bound_claims != null]) : can(regex("^[^=]+=.", claim))])
    error_message = "A role's bound claim is written claim=pattern, such as repository=acme/*."
  }

  validation {
    condition     = alltrue([for role in values(var.roles) : role.issuer != null || (role.bound_claims == null && role.single_use != true)])
    error_message = "A role with bound_claims or single_use needs an issuer."
  }

  validation {
    condition     = alltrue([for role in values(var.roles) : role.ttl == null || role.max_ttl == null || try(role.max_ttl == 0 || role.ttl <= role.max_ttl, false)])
    error_message = "A role's ttl is not longer than its max_ttl (in seconds; 0 is the environment's)."
  }

  validation {
    condition     = alltrue([for time in flatten([for role in values(var.roles) : [for time in [role.valid_from, role.valid_until] : time if time != null]]) : can(regex("^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z$", time))])
    error_message = "A role's valid_from and valid_until are RFC 3339 in UTC, such as 2026-12-31T23:59:59Z."
  }
}

variable "policies" {
  description = "Vault policies: by name, the paths below the mount and the capabilities there. A policy of this module cannot reach outside the mount."
  type        = map(map(list(string)))
  default     = {}

  validation {
    condition     = alltrue([for policy in values(var.policies) : length(policy) > 0])
    error_message = "A policy names at least one path."
  }

  validation {
    condition     = alltrue([for path in flatten([for policy in values(var.policies) : keys(policy)]) : can(regex("^[^/\"\\\\]", path)) && !can(regex("[\"\\\\]", path))])
    error_message = "A policy's path is below the mount: it does not begin with a slash, and holds neither quotes nor backslashes."
  }

  validation {
    condition = alltrue([
      for capability in flatten([for policy in values(var.policies) : values(policy)]) :
      contains(["create", "read", "update", "patch", "delete", "list", "deny"], capability)
    ])
    error_message = "A capability is create, read, update, patch, delete, list or deny."
  }
}
