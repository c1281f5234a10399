#!/usr/bin/env bash
# real.sh runs real projects with their own, unmodified configurations, with
# `rondo run` and with the server, and says of each job what it did, or exactly
# what this machine lacks for it.
#
#   scripts/real.sh                      all projects, both ways
#   scripts/real.sh gorilla procfs       those whose name has one of the words
#   REAL_MODE=run|server|both            which way; both is the default
#   REAL_KEEP=dir                        keep repositories and logs there
#   REAL_TIMEOUT=1800                    seconds for one project and way
#
# The projects come from the archives of Go modules that carry their
# .circleci/config.yml, so nothing of them is kept here. Each becomes a git
# repository with one commit in a temporary folder.
#
# How it decides: a job that ended as success did what it says. For any other
# job the output of its steps is searched for the words by which programs say
# that something is missing (command not found, no such host, no C compiler,
# ...): then the machine lacks that. A job that failed without such words is
# shown with its failed step and its last lines: it ran here, on this machine's
# tools instead of its image, and what it checks is not so. All of that is
# reported and exits 0. Exit 1 is for what is Rondo's own fault: a run that does
# not end, that breaks, that loses a job, a job that ended as
# infrastructure_fail or timedout or could not check out its revision, or an
# outcome that differs between the two ways and is the same in a second run.
set -euo pipefail

projects='
github.com/gorilla/websocket@v1.5.0
github.com/emirpasic/gods@v1.18.1
github.com/prometheus/procfs@v0.7.3
github.com/hashicorp/go-immutable-radix@v1.3.1
'

root=$(cd "$(dirname "$0")/.." && pwd)
mode=${REAL_MODE:-both}
limit=${REAL_TIMEOUT:-1800}
work=${REAL_KEEP:-$(mktemp -d "${TMPDIR:-/tmp}/rondo-real.XXXXXX")}
mkdir -p "$work"
work=$(cd "$work" && pwd)
server=""
finish() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	if [ -z "${REAL_KEEP:-}" ]; then
		chmod -R u+w "$work" 2>/dev/null || true
		rm -rf "$work"
	fi
}
trap finish EXIT
trap 'exit 130' INT TERM

faults=0
fault() {
	echo "  RONDO'S FAULT: $*"
	faults=$((faults + 1))
}

# repository MODULE@VERSION DIR makes a git repository of the module's archive.
repository() {
	local source
	source=$(cd "$work" && GOFLAGS=-mod=mod go mod download -json "$1" | sed -nE 's/^[[:space:]]*"Dir": "(.*)",?$/\1/p')
	[ -n "$source" ] || return 1
	rm -rf "$2"
	mkdir -p "$2"
	cp -R "$source"/. "$2"/
	chmod -R u+w "$2"
	[ -f "$2/.circleci/config.yml" ] || return 1
	git -C "$2" init --quiet --initial-branch=main
	git -C "$2" add --all --force
	git -C "$2" -c user.name=real -c user.email=real@localhost commit --quiet --message "$1"
}

# lacking LOG JOB prints what the job's output says is missing, a line each.
lacking() {
	awk -v job="$2" '
		function say(what) { if (!(what in said)) { said[what] = 1; print what } }
		function last(text,   n, part) { n = split(text, part, /: */); return part[n] }
		{
			bar = index($0, " | ")
			if (!bar) next
			label = substr($0, 1, bar - 1); sub(/\/[0-9]+$/, "", label)
			if (label != job) next
			text = substr($0, bar + 3)
		}
		text ~ /: command not found$/ { sub(/: command not found$/, "", text); say("the program " last(text)); next }
		text ~ /^(.*: )?[0-9]+: [^ ]+: not found$/ { sub(/: not found$/, "", text); say("the program " last(text)); next }
		text ~ /^make(\[[0-9]+\])?: [^ ]+: No such file or directory$/ { sub(/: No such file.*/, "", text); say("the program " last(text)); next }
		match(text, /exec: "[^"]+": executable file not found/) { split(text, q, "\""); say("the program " q[2]); next }
		match(text, /lookup [^ :]+/) && text ~ /no such host|server misbehaving|i\/o timeout|connection refused|no route/ {
			say("a way to the host " substr(text, RSTART + 7, RLENGTH - 7)); next }
		match(text, /Could not resolve host: *[^ ]+/) { say("a way to the host " last(substr(text, RSTART, RLENGTH))); next }
		text ~ /Temporary failure in name resolution|Name or service not known/ { say("name resolution"); next }
		text ~ /C compiler ".*" not found|cgo: C compiler|-race requires cgo/ { say("a C compiler"); next }
		text ~ /sudo: a (terminal|password) is required|is not in the sudoers file/ { say("sudo without a password"); next }
		text ~ /Cannot connect to the Docker daemon/ { say("a Docker daemon"); next }
		text ~ /go.mod requires go >=|toolchain not available/ { say("another Go version: " text); next }
		text ~ /No module named / { say("the Python module " last(text)); next }
		text ~ /externally-managed-environment/ { say("a Python that pip may install into"); next }
		match(text, /(cannot create directory|mkdir) [^:]+: [Pp]ermission denied/) { say("the right to write: " text); next }
	' "$1"
}

# lines LOG JOB prints the output of one job, its nodes mixed.
lines() {
	grep -E "^$(printf %s "$2" | sed 's/[][\.*^$/+?(){}|]/\\&/g')(/[0-9]+)? \| " "$1" || true
}

# verdict LOG JOB STATUS prints one job.
verdict() {
	local missing image
	case $3 in
	success)
		printf '  %-24s did what it says\n' "$2"
		return
		;;
	not_run)
		printf '  %-24s not run: a job that it requires did not succeed\n' "$2"
		return
		;;
	infrastructure_fail | timedout)
		fault "job $2 ended as $3"
		;;
	esac
	if grep -qF "job $2: step \"Checkout code\": failed" "$1"; then
		fault "job $2 could not check out its revision"
	fi
	missing=$(lacking "$1" "$2" | paste -sd ';' - | sed 's/;/; /g')
	if [ -n "$missing" ]; then
		printf '  %-24s this machine lacks %s\n' "$2" "$missing"
		return
	fi
	image=$(lines "$1" "$2" | sed -nE 's/^[^|]* \| Image: //p' | head -n 1)
	printf '  %-24s %s on the tools of this machine, not those of %s\n' "$2" "$3" "${image:-its image}"
	grep -F "job $2: step " "$1" | sed 's/^/      /' || true
	lines "$1" "$2" | tail -n 8 | sed 's/^/      /'
}

# run_project DIR LOG runs with `rondo run`; the outcomes go to LOG.jobs.
run_project() {
	local code=0
	(cd "$1" && timeout --kill-after=30 "$limit" "$work/bin/rondo" run --verbose >"$2" 2>&1 </dev/null) || code=$?
	case $code in
	0 | 1) ;;
	3) echo "  an approval job waits" ;;
	124 | 137) fault "rondo run had not ended after $limit s" ;;
	*) fault "rondo run exits with $code" && tail -n 20 "$2" | sed 's/^/      /' ;;
	esac
	sed -nE '/^job [^ ]+: step "/d; s/^job (.*): (success|failed|canceled|timedout|infrastructure_fail|not_run|unauthorized)( \(.*\))?$/\1\t\2/p' "$2" |
		sort >"$2.jobs"
	[ -s "$2.jobs" ] || fault "rondo run ended no job"
	if [ -n "$(git -C "$1" status --porcelain)" ]; then
		fault "rondo run changed the working copy:"
		git -C "$1" status --porcelain | head -n 5 | sed 's/^/      /'
	fi
}

# serve_project DIR LOG runs one pipeline with the server, and stops it.
serve_project() {
	local deadline=$((SECONDS + limit)) started ended
	"$work/bin/rondo-server" dev --repo "$1" --data "$2.data" --listen 127.0.0.1:0 --json >"$2" 2>"$2.err" </dev/null &
	server=$!
	while :; do
		started=$(grep -c '"kind":"workflow.started"' "$2" || true)
		ended=$(grep -c '"kind":"workflow.ended"' "$2" || true)
		if grep -q '"kind":"pipeline.errored"' "$2"; then
			fault "the server could not compile the configuration"
			grep '"kind":"pipeline.errored"' "$2" | sed 's/^/      /'
			break
		elif [ "$started" -gt 0 ] && [ "$started" -eq "$ended" ]; then
			break
		elif ! kill -0 "$server" 2>/dev/null; then
			fault "the server ended by itself"
			tail -n 20 "$2.err" | sed 's/^/      /'
			break
		elif [ $SECONDS -ge $deadline ]; then
			fault "the server's pipeline had not ended after $limit s"
			break
		fi
		sleep 0.2
	done
	kill -INT "$server" 2>/dev/null || true
	wait "$server" || fault "the server exits with $? after Ctrl-C"
	server=""
	sed -nE '/"kind":"job.ended"/s/.*"name":"([^"]*)".*"status":"([^"]*)".*/\1\t\2/p' "$2" | sort >"$2.jobs"
}

cd "$root"
mkdir -p "$work/bin"
# A module of its own, so that downloads do not touch ours.
printf 'module real\n' >"$work/go.mod"
[ "$mode" = server ] || go build -o "$work/bin/" ./cmd/rondo
[ "$mode" = run ] || go build -o "$work/bin/" ./cmd/rondo-server
echo "this machine: $(go version | cut -d' ' -f3-4), $(uname -sm), $(nproc) processors"

tried=0
for project in $projects; do
	if [ $# -gt 0 ]; then
		wanted=no
		for word in "$@"; do [[ $project == *"$word"* ]] && wanted=yes; done
		[ $wanted = yes ] || continue
	fi
	name=${project#github.com/}
	dir=$work/${name//[\/@]/-}
	printf '\n== %s\n' "$name"
	if ! repository "$project" "$dir"; then
		echo "  cannot be had here, or carries no configuration"
		continue
	fi
	tried=$((tried + 1))
	if [ "$mode" != server ]; then
		echo " rondo run"
		run_project "$dir" "$dir.run"
		while IFS=$'\t' read -r job status; do verdict "$dir.run" "$job" "$status"; done <"$dir.run.jobs"
	fi
	if [ "$mode" != run ]; then
		echo " rondo-server dev"
		serve_project "$dir" "$dir.serve"
		awk -F'\t' '{ n[$2]++ } END { for (s in n) printf "  %d %s\n", n[s], s }' "$dir.serve.jobs"
		if [ "$mode" = both ] && ! diff "$dir.run.jobs" "$dir.serve.jobs" >"$dir.diff"; then
			# A project's own tests may fail now and then. What does not come
			# out the same in two runs says nothing about the two ways.
			echo "  the two ways differ (< rondo run, > server), so once more with rondo run:"
			sed 's/^/      /' "$dir.diff"
			run_project "$dir" "$dir.again"
			if diff "$dir.run.jobs" "$dir.again.jobs" >/dev/null; then
				fault "the two ways differ, and rondo run did the same twice"
			else
				echo "  the second run differs from the first: the project's tests are flaky here"
			fi
		fi
	fi
done

printf '\n%d projects, %d faults of Rondo\n' "$tried" "$faults"
[ "$tried" -gt 0 ] && [ "$faults" -eq 0 ]
