#!/usr/bin/env bash
# Copyright the vault-plugin-secrets-ci authors
# SPDX-License-Identifier: MPL-2.0
#
# Prints a web page with one button, which hands manifest.json to GitHub: GitHub takes a manifest only from a
# browser in which an owner of the organization is logged in.
#
#   page.sh ORGANIZATION [https://GITHUB-HOST] >create-app.html
set -euo pipefail

[ $# -ge 1 ] || {
	echo "usage: page.sh ORGANIZATION [https://GITHUB-HOST] >create-app.html" >&2
	exit 2
}
organization=$1 host=${2:-https://github.com}
[[ $organization =~ ^[A-Za-z0-9-]+$ && $host =~ ^https://[A-Za-z0-9.:-]+$ ]] || {
	echo "page.sh: '$organization' at '$host': neither an organization nor a host looks like that" >&2
	exit 2
}
manifest=$(sed -e 's/&/\&amp;/g; s/"/\&quot;/g; s/</\&lt;/g' "$(dirname "${BASH_SOURCE[0]}")/manifest.json")

cat <<END
<!doctype html>
<meta charset="utf-8">
<title>Create the GitHub App</title>
<form method="post" action="$host/organizations/$organization/settings/apps/new">
<input type="hidden" name="manifest" value="$manifest">
<button>Create the GitHub App in $organization</button>
</form>
END
