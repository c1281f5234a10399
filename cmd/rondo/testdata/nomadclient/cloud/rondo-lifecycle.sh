#!/bin/sh
# /usr/local/bin/rondo-lifecycle.sh: drains this machine before Amazon ends it.
# It may be ended and started again at any point.
set -eu
exec /usr/local/bin/rondo asg lifecycle --state /var/lib/rondo-lifecycle/state "$@"
