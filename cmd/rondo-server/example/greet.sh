#!/usr/bin/env bash
# Greets whoever is named.
set -euo pipefail
echo "${GREETING:-Hello}, ${1:-stranger}!"
