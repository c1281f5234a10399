# Makes a tree of Debian the image of machines. It is given the tree.
set -eu
tree=$1
id_of() { chroot "$tree" id "$1" >/dev/null 2>&1; }
id_of circleci || chroot "$tree" useradd --create-home --shell /bin/bash circleci
chroot "$tree" usermod --append --groups docker circleci
# A job may do on its machine what it likes, as on those at Amazon.
mkdir -p "$tree/etc/sudoers.d"
echo 'circleci ALL=(ALL) NOPASSWD:ALL' >"$tree/etc/sudoers.d/circleci"
chmod 0440 "$tree/etc/sudoers.d/circleci"
# Each machine is given its own.
rm -f "$tree"/etc/ssh/ssh_host_*_key*
: >"$tree/etc/machine-id"
# A machine lives for hours: nothing updates itself under a job. Nothing waits
# for a network that is there from the beginning.
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer getty.target console-getty.service \
	systemd-networkd.service systemd-networkd-wait-online.service systemd-resolved.service systemd-timesyncd.service; do
	ln -sf /dev/null "$tree/etc/systemd/system/$unit"
done
if [ ! -e "$tree/usr/bin/docker-compose" ] && [ ! -e "$tree/usr/local/bin/docker-compose" ]; then
	printf '#!/bin/sh\nexec docker compose "$@"\n' >"$tree/usr/local/bin/docker-compose"
	chmod 0755 "$tree/usr/local/bin/docker-compose"
fi
