#!/usr/bin/env bash
# sdk.sh generates configurations with the npm package
# @circleci/circleci-config-sdk, from the sample of its README and with all that
# it exports, and compiles them with `rondo config validate`.
#
#   scripts/sdk.sh             the version that was tried last
#   SDK_VERSION=latest         another one
#   SDK_KEEP=dir               keep what was generated there
#
# The package is installed in a temporary folder and never becomes part of this
# repository. Exit 0: all compile, or npm is missing or cannot reach its
# registry, which is said. Exit 1: one does not compile.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
version=${SDK_VERSION:-0.12.5}

skip() {
	echo "sdk: skipped: $*"
	exit 0
}
command -v node >/dev/null || skip "node is not installed"
command -v npm >/dev/null || skip "npm is not installed"

work=$(mktemp -d "${TMPDIR:-/tmp}/rondo-sdk.XXXXXX")
trap 'rm -rf "$work"' EXIT
out=${SDK_KEEP:-$work/out}
mkdir -p "$out" "$work/orbs"
out=$(cd "$out" && pwd)
rm -f "$out"/*.yml

(cd "$work" && npm init -y >/dev/null && npm install --silent --no-audit --no-fund "@circleci/circleci-config-sdk@$version" >npm.log 2>&1) ||
	skip "npm could not install @circleci/circleci-config-sdk@$version: $(tail -1 "$work/npm.log")"
cat >"$work/orbs/acme__chat@1.2.3.yml" <<'ORB'
executors: {default: {docker: [{image: "cimg/base:2024.01"}]}}
commands:
  notify:
    parameters: {channel: {type: string}, event: {type: enum, enum: [fail, pass, always], default: always}}
    steps: [run: "echo << parameters.event >> for << parameters.channel >>"]
jobs:
  on-hold:
    parameters: {channel: {type: string}, event: {type: enum, enum: [fail, pass, always], default: always}}
    executor: default
    steps: [notify: {channel: << parameters.channel >>, event: << parameters.event >>}]
ORB
cp "$root/scripts/sdk.js" "$work/sdk.js"
(cd "$work" && node sdk.js "$out")
(cd "$root" && CGO_ENABLED=0 go build -o "$work/rondo" ./cmd/rondo)

bad=0 all=0
for config in "$out"/*.yml; do
	all=$((all + 1))
	name=$(basename "$config")
	if "$work/rondo" config validate --branch main --orbs "$work/orbs" "$config" >"$work/verdict" 2>&1; then
		jobs=$("$work/rondo" config process --branch main --orbs "$work/orbs" "$config" | sed -n '/^jobs:/,/^workflows:/p' | grep -c '^  [^ ]')
		echo "ok    $name ($jobs jobs, $(grep -c '^warning' "$work/verdict" || true) warnings)"
	else
		bad=$((bad + 1))
		echo "FAIL  $name"
		sed 's/^/      /' "$work/verdict"
	fi
done
echo "sdk: $((all - bad)) of $all configurations of @circleci/circleci-config-sdk@$version compile"
[ "$bad" = 0 ]
