#!/usr/bin/env bash
# Compares a machine with the manifest named by the first argument, and says what
# is missing or too old. It runs at the end of the making of an image; run it in
# a job to see what its machine has. Exit code 1: the image is not good.
set -uo pipefail

manifest=${1:-/etc/rondo/image.json}
bad=0
say() {
	printf '%s\n' "$*" >&2
	bad=1
}

# want NAME LEAST FOUND: FOUND is at least LEAST, as versions are ordered.
want() {
	if [ -z "$3" ]; then
		say "$1 is missing: the image needs $2 or later"
	elif [ "$(printf '%s\n%s\n' "$2" "$3" | sort -V | head -n 1)" != "$2" ]; then
		say "$1 is $3: the image needs $2 or later"
	fi
}

# number prints the first version in what a command says of itself.
number() { "$@" 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1; }

user=$(jq -er .user "$manifest") || {
	say "$manifest is no manifest"
	exit 1
}
if ! id "$user" >/dev/null 2>&1; then
	say "there is no user $user: agents log in as $user, so name it in system_info.default_user of aws_user_data"
else
	id -nG "$user" | tr ' ' '\n' | grep -qx docker || say "user $user is not in the group docker"
	sudo -n -u "$user" sudo -n true 2>/dev/null || say "user $user may not use sudo without a password"
fi

want docker "$(jq -r .docker "$manifest")" "$(number docker --version)"
while read -r tool least; do
	case $tool in
	unzip) found=$(number unzip -v) ;;
	*) found=$(number "$tool" --version) ;;
	esac
	want "$tool" "$least" "$found"
done < <(jq -r '.tools | to_entries[] | "\(.key) \(.value)"' "$manifest")

# What sshd makes of all its files counts, not what one of them says.
if ! settings=$(sshd -T 2>/dev/null); then
	say "sshd does not say its settings: is openssh-server installed?"
else
	grep -qix 'passwordauthentication no' <<<"$settings" || say "sshd lets people in by password: set PasswordAuthentication no"
fi
if grep -rqiE '^[[:space:]]*StrictHostKeyChecking[[:space:]=]+no' /etc/ssh/ssh_config /etc/ssh/ssh_config.d 2>/dev/null; then
	say "ssh of the image trusts every host: take StrictHostKeyChecking no away"
fi

[ "$bad" = 0 ] && echo "the image is good"
exit "$bad"
