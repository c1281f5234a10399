#!/usr/bin/env bash
# Runs test scripts and writes their results as JUnit XML.
set -uo pipefail
mkdir -p results
failures=0
cases=""
for script in "$@"; do
  start=$(date +%s%N)
  if output=$(bash "$script" 2>&1); then
    verdict=""
    echo "ok    $script"
  else
    verdict="<failure message=\"failed\"/>"
    failures=$((failures + 1))
    echo "FAIL  $script"
    echo "$output"
  fi
  seconds=$(awk "BEGIN { print ($(date +%s%N) - $start) / 1e9 }")
  cases+="<testcase classname=\"greet\" name=\"$(basename "$script")\" file=\"$script\" time=\"$seconds\">$verdict</testcase>"
done
echo "<testsuite name=\"greet\">$cases</testsuite>" > results/junit.xml
exit "$failures"
