# What every script of package guest begins with. It runs as root in a machine,
# in any POSIX shell.
set -u
umask 077
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
say() { printf 'rondo:%s\n' "$*"; }
die() { printf '%s\n' "$*" >&2; exit 1; }

# What is remembered here ends with the machine. One call at a time.
state=/run/rondo/guest
mkdir -p "$state" || die "cannot make $state"
exec 9>"$state/lock"
flock -w 90 9 || die "another call is still at work in the machine"

# docker asks the engine of this machine, whatever root's own settings say.
docker() { env -u DOCKER_HOST -u DOCKER_CONTEXT -u DOCKER_TLS_VERIFY DOCKER_CONFIG=/nonexistent timeout -k 5 "${limit:-30}" docker -H unix:///var/run/docker.sock "$@" 9>&-; }

# is_unit tells whether systemd runs something under that name.
is_unit() { [ -d /run/systemd/system ] && systemctl cat "$1" >/dev/null 2>&1; }
by_systemd() { is_unit docker.service; }

# runs tells whether a process has not ended yet.
runs() { [ -n "$(2>/dev/null tr -d '\000' <"/proc/$1/cmdline")" ]; }

# pid_of prints the process of a daemon, in these very mounts: others on the
# machine may have one of their own.
pid_of() {
	for p in /proc/[0-9]*; do
		[ "$(cat "$p/comm" 2>/dev/null)" = "$1" ] || continue
		[ "$(readlink "$p/ns/mnt")" = "$(readlink /proc/self/ns/mnt)" ] || continue
		runs "${p#/proc/}" || continue
		echo "${p#/proc/}"
		return 0
	done
	return 1
}

# remember keeps how a daemon that systemd does not run was started.
remember() {
	p=$(pid_of "$1") || return 0
	[ -s "$state/$1.args" ] && return 0
	cp "/proc/$p/cmdline" "$state/$1.new" && [ -s "$state/$1.new" ] && mv "$state/$1.new" "$state/$1.args"
}

# gone waits for the end of a process, a tenth of a second at a time.
gone() {
	n=0
	while runs "$1"; do
		n=$((n + 1))
		[ "$n" -le "$2" ] || return 1
		sleep 0.1
	done
}

# quit ends a daemon. The containerd that an engine has started ends with it.
quit() {
	p=$(pid_of "$1") || return 0
	[ "$1" = containerd ] && gone "$p" 50 && return 0
	remember "$1"
	kill -TERM "$p" 2>/dev/null
	gone "$p" 300 && return 0
	kill -KILL "$p" 2>/dev/null
	gone "$p" 50 || die "$1 does not end"
}

stop_engine() {
	if by_systemd; then
		for u in docker.socket docker.service containerd.service; do
			is_unit "$u" || continue
			timeout -k 5 60 systemctl stop "$u" 9>&- || die "systemctl cannot stop $u"
		done
	else
		remember dockerd
		quit dockerd
		quit containerd
	fi
}

# unlist removes what an engine that was killed has left of its process and its
# containerd's: it does not start while another process has the number, or the
# dead one still waits for its parent.
unlist() {
	f=$(tr '\000' '\n' <"$state/dockerd.args" | sed -n 's/^--pidfile=//p; /^-p$/{n;p;}; /^--pidfile$/{n;p;}' | tail -n 1)
	rm -f "${f:-/var/run/docker.pid}"
	pid_of containerd >/dev/null || rm -f /var/run/docker/containerd/containerd.pid
}

# launch starts a daemon again as it was.
launch() {
	[ -s "$state/$1.args" ] || return 0
	pid_of "$1" >/dev/null && return 0
	[ "$1" != dockerd ] || unlist
	xargs -0 -a "$state/$1.args" setsid -f >>"$state/$1.log" 2>&1 </dev/null 9>&-
}

start_engine() {
	if by_systemd; then
		# Starts are counted against a unit that fails; ours are none.
		systemctl reset-failed docker.service docker.socket containerd.service 2>/dev/null
		for u in containerd.service docker.socket docker.service; do
			is_unit "$u" || continue
			timeout -k 5 90 systemctl start "$u" 9>&- || die "systemctl cannot start $u: $(journalctl -q --no-pager -n 5 -o cat -u "$u" 2>/dev/null)"
		done
	else
		[ -s "$state/dockerd.args" ] || pid_of dockerd >/dev/null || die "no Docker engine runs here: neither systemd has a docker.service, nor was a dockerd started otherwise"
		launch containerd
		launch dockerd
	fi
	n=0
	until limit=10 docker version >/dev/null 2>&1; do
		n=$((n + 1))
		[ "$n" -le "${patience:-150}" ] && { by_systemd || [ "$n" -lt 5 ] || pid_of dockerd >/dev/null; } ||
			die "the Docker engine does not answer: $(tail -n 3 "$state/dockerd.log" 2>/dev/null)"
		sleep 0.2
	done
}
