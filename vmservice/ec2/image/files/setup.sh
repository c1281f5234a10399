#!/usr/bin/env bash
# Puts on the image what manifest.json promises. Docker's folders are empty at
# the end: a machine's first layers are its own.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

cloud-init status --wait >/dev/null
apt-get update -q
apt-get upgrade -qy
apt-get install -qy bash ca-certificates curl docker.io docker-compose-v2 e2fsprogs git git-lfs jq make \
	openssh-client python3 tar unzip xz-utils zip zstd

# The name of old for the plugin of today.
cat >/usr/local/bin/docker-compose <<'SCRIPT'
#!/bin/sh
exec docker compose "$@"
SCRIPT
chmod 0755 /usr/local/bin/docker-compose

usermod -aG docker circleci

# No passwords over SSH, whatever a package brings along.
install -d -m 0755 /etc/ssh/sshd_config.d /etc/rondo
printf 'PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin no\n' >/etc/ssh/sshd_config.d/10-rondo.conf

# A machine lives for hours: nothing updates itself under a job.
systemctl disable --now unattended-upgrades.service apt-daily.timer apt-daily-upgrade.timer || true

install -m 0644 /tmp/manifest.json /etc/rondo/image.json
apt-get clean
