# One organization on GitHub: builds read, a release writes, production asks for the job's own identity and
# a second person.

variable "github_app_id" {
  description = "App ID of the GitHub App."
  type        = string
}

variable "github_base_url" {
  description = "Address of GitHub's API."
  type        = string
  default     = "https://api.github.com"
}

variable "audience" {
  description = "What jobs ask their identity token for: the address of this Vault."
  type        = string
  default     = "https://vault.example.com"
}

variable "github_actions_issuer" {
  description = "Who signs the identity tokens of jobs."
  type        = string
  default     = "https://token.actions.githubusercontent.com"
}

module "ci" {
  source = "../.."

  mount = "ci"

  configs = {
    github = {
      provider      = "github"
      base_url      = var.github_base_url
      app_id        = var.github_app_id
      organization  = "acme"
      allowed_roles = ["*"]
    }
  }

  stages = {
    build = {
      description = "Compile and lint; without write access to checks"
      github      = ["contents=read", "packages=read", "metadata=read", "statuses=write"]
      gitlab      = []
      gitea       = []
    }
    docs = {
      description = "Publish documentation"
      github      = ["contents=read", "pages=write"]
    }
  }

  environments = {
    dev = {
      description = "Where it may break"
      ttl         = 900
      max_ttl     = 3600
    }
    prod = {
      description    = "Where customers are"
      production     = true
      max_ttl        = 1800
      bound_claims   = ["ref_protected=true"]
      allowed_stages = ["release", "deploy"]
      allowed_roles  = ["release-*", "deploy-*"]
    }
  }

  issuers = {
    actions = {
      preset        = "github-actions"
      discovery_url = var.github_actions_issuer
      audiences     = [var.audience]
      config        = "github"
    }
  }

  roles = {
    build-web = {
      config       = "github"
      stage        = "build"
      environment  = "dev"
      owner        = "team-web"
      purpose      = "Build the site & run <its> linters"
      repositories = ["web"]
      permissions  = ["contents=read", "statuses=write"]
      ttl          = 600
      max_ttl      = 1800
    }
    build-any = {
      config       = "github"
      stage        = "build"
      environment  = "dev"
      owner        = "platform"
      purpose      = "Build whichever repository asks"
      repositories = ["{{claims.repository}}"]
      permissions  = ["contents=read"]
      issuer       = "actions"
      bound_claims = ["repository_owner=acme"]
    }
    release-web = {
      config       = "github"
      stage        = "release"
      environment  = "prod"
      owner        = "team-web"
      purpose      = "Tag and publish the site"
      repositories = ["acme/web"]
      permissions  = ["contents=write", "packages=write"]
      issuer       = "actions"
      bound_claims = ["repository=acme/web", "ref=refs/heads/main"]
      single_use   = true
      max_active   = 1
      valid_from   = "2026-01-01T00:00:00Z"
      valid_until  = "2031-01-01T00:00:00Z"
      bound_cidrs  = []
    }
  }

  policies = {
    ci-build-web = {
      # A pipeline reads, or writes where it narrows or shows its id_token (citoken and step.sh always write).
      "creds/build-web"   = ["read", "update"]
      "explain/build-web" = ["read"]
    }
    ci-release-approvers = {
      "approvals/release-web/*"         = ["read", "list"]
      "approvals/release-web/+/approve" = ["update"]
      "approvals/release-web/+/deny"    = ["update"]
    }
  }
}

output "ci" {
  description = "Paths, owners, policies, and what to run once by hand."
  value       = module.ci
}
