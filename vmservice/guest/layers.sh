# How a volume keeps Docker's layers. Given are device, owner (a hash), spare
# (KiB) and share (percent).
#
# A volume that is ours has a mark in its last 4 KiB, behind the end of its file
# system, so that whose it is can be told before anything of it is used:
#
#   rondo layers 1
#   owner <hash>
#   engine <version of the Docker engine that used it last>
#   driver <its storage driver>
#   state  new | used <boot> | clean
#
# The mark is written only while the file system is not mounted, and says new
# until there is one.
mnt=/mnt/rondo-layers
root=/var/lib/docker
own=/var/lib/containerd

# mounted prints what is mounted at a folder, the last of several.
mounted() { findmnt -nro SOURCE --mountpoint "$1" 2>/dev/null | tail -n 1; }
bound() { [ "$(mounted $root)" = "$1[/docker]" ] && [ "$(mounted $own)" = "$1[/containerd]" ]; }
boot() { cat /proc/sys/kernel/random/boot_id; }

# find_device waits for the device, sets dev and blocks.
find_device() {
	n=0
	until [ -b "$device" ]; do
		n=$((n + 1))
		[ "$n" -le 100 ] || die "there is no device $device"
		sleep 0.2
	done
	dev=$(readlink -f "$device") || die "cannot follow $device"
	blocks=$(($(blockdev --getsize64 "$dev") / 4096)) || die "cannot tell the size of $device"
	[ "$blocks" -ge 16384 ] || die "$device has $((blocks / 256)) MiB, a volume of layers needs 64"
}

read_mark() {
	mark=$(dd if="$dev" bs=4096 skip=$((blocks - 1)) count=1 2>/dev/null | tr -d '\000' | head -c 1024)
	case $mark in "rondo layers 1
"*) return 0 ;; esac
	mark=
	return 1
}
marked() { printf '%s\n' "$mark" | sed -n "s/^$1 //p" | head -n 1; }

# write_mark writes the mark with a state.
write_mark() {
	printf 'rondo layers 1\nowner %s\nengine %s\ndriver %s\nstate %s\n' "$owner" "$engine" "$driver" "$1" |
		dd of="$dev" bs=4096 seek=$((blocks - 1)) count=1 conv=sync,fsync,notrunc iflag=fullblock 2>/dev/null || die "cannot write to $device"
}

# is_empty tells whether nobody has put anything on the device.
is_empty() {
	[ -z "$(blkid -p -o export "$dev" 2>/dev/null)" ] || return 1
	for at in 0 $((blocks / 256 - 1)); do
		[ "$(dd if="$dev" bs=1M skip="$at" count=4 2>/dev/null | tr -d '\000' | head -c 1 | wc -c)" = 0 ] || return 1
	done
}

# older tells whether the first version comes before the second.
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# judge says in why for what reason the volume must be emptied; "" is none.
judge() {
	why=
	if ! read_mark; then
		is_empty || die "$device is neither empty nor a volume of layers (it has $(blkid -p -o value -s TYPE "$dev" 2>/dev/null || echo data)): nothing is written to it"
		why="it is new"
	elif [ "$(marked owner)" != "$owner" ]; then
		why="it was another owner's"
	elif older "$engine" "$(marked engine)"; then
		why="a newer Docker engine ($(marked engine)) has used it, and this one is $engine"
	elif [ "$(marked driver)" != "$driver" ]; then
		why="its layers are those of another storage driver"
	else
		# What a journal cannot make whole may miss parts of layers.
		case $(marked state) in
		clean | "used $(boot)") timeout -k 5 60 e2fsck -p "$dev" >/dev/null 2>&1 ;;
		used*) timeout -k 5 60 e2fsck -fp "$dev" >/dev/null 2>&1 ;;
		*) why="it was not made to the end" && return ;;
		esac
		[ $? -le 2 ] || why="its file system is broken"
	fi
}

# format makes the volume an empty one of the owner.
format() {
	write_mark new
	timeout -k 5 100 mkfs.ext4 -q -F -b 4096 -m 0 -L rondo-layers "$dev" $((blocks - 16)) >/dev/null || die "cannot format $device"
	date -u '+%s' >"$state/fresh"
}

# release takes the layers away from under the engine, which does not run.
release() {
	for at in $root $own; do
		case $(mounted $at) in "$dev["*) pry "$at" ;; esac
	done
	rm -f "$state/began"
}

# pry unmounts a folder, if need be by killing who still uses its file system.
pry() {
	n=0
	until umount "$1" 2>/dev/null; do
		n=$((n + 1))
		[ "$n" -le 50 ] || die "cannot unmount $1: $(umount "$1" 2>&1)"
		[ "$n" -lt 5 ] || users KILL
		sleep 0.1
	done
}
users() {
	fs=$(stat -c %d $mnt)
	for p in /proc/[0-9]*; do
		stat -L -c %d "$p/cwd" "$p/root" "$p/fd/"* 2>/dev/null | grep -qx "$fs" && kill -"$1" "${p#/proc/}" 2>/dev/null
	done
}

# real makes a folder of the volume, and takes no link for it.
real() {
	[ -L "$mnt/$1" ] && rm -f "$mnt/$1"
	mkdir -p "$mnt/$1" && chmod 0711 "$mnt/$1" && mkdir -p -m 0711 "$2" || die "cannot make $mnt/$1"
	mount --bind "$mnt/$1" "$2" || die "cannot mount $mnt/$1 at $2"
}

# bring mounts the volume and puts its folders under the engine.
bring() {
	if [ -z "$(mounted $mnt)" ]; then
		write_mark "used $(boot)"
		mkdir -p $mnt && mount -t ext4 -o noatime "$dev" $mnt || die "cannot mount $device"
	fi
	date -u '+%Y-%m-%d %H:%M:%S' >"$state/began"
	real docker $root
	real containerd $own
}

# know learns which engine this is, from itself when it runs on its own data.
know() {
	if ! [ -s "$state/engine" ]; then
		start_engine
		dir=$(docker info -f '{{.DockerRootDir}}') && [ "$dir" = $root ] || die "the Docker engine keeps its data in $dir, and layers can be put under $root only: take data-root out of /etc/docker/daemon.json"
		docker info -f '{{.ServerVersion}}' >"$state/engine.new" && docker info -f '{{.Driver}}' >"$state/driver" && mv "$state/engine.new" "$state/engine" || die "the Docker engine does not tell its version"
	fi
	engine=$(head -c 60 "$state/engine" | tr -cd '0-9A-Za-z.+~-') driver=$(head -c 60 "$state/driver" | tr -cd '0-9A-Za-z._-')
}

mount_layers() {
	for tool in mkfs.ext4 e2fsck blkid blockdev findmnt; do
		command -v $tool >/dev/null || die "there is no $tool: the image needs e2fsprogs and util-linux"
	done
	find_device
	have=$(mounted $mnt)
	case $have in "" | "$dev") ;; *) die "another volume is mounted already: $have" ;; esac
	know
	if [ -n "$have" ]; then
		read_mark && [ "$(marked owner)" = "$owner" ] || die "the volume that is mounted is another owner's"
	fi
	if [ -z "$have" ] || ! bound "$dev"; then
		remember dockerd
		stop_engine
		release
		if [ -z "$have" ]; then
			judge
			if [ -n "$why" ]; then format; fi
		fi
		bring
	fi
	if ! (patience=75 start_engine); then
		[ -s "$state/fresh" ] && die "the Docker engine does not start on an empty volume"
		# What is on it keeps the engine from starting.
		stop_engine
		release
		pry $mnt
		format
		bring
		start_engine
	fi
	prune
	report
}

unmount_layers() {
	dev=$(mounted $mnt)
	if [ -z "$dev" ]; then # not mounted, or a call that was cut short has come to the end
		[ -s "$state/layers" ] && cat "$state/layers"
		return 0
	fi
	device=$dev blocks=$(($(blockdev --getsize64 "$dev") / 4096))
	know
	read_mark || die "the mark of the volume is gone"
	owner=$(marked owner)
	if bound "$dev"; then
		start_engine
		clear
		prune
		report >"$state/layers.new" && mv "$state/layers.new" "$state/layers"
	fi
	stop_engine
	release
	sync -f $mnt
	pry $mnt
	write_mark clean
	rm -f "$state/fresh"
	[ -s "$state/layers" ] && cat "$state/layers"
	return 0
}

# clear removes what is not a layer, and notes which images were of use.
clear() {
	all=$(docker ps -aq --no-trunc)
	note "$all"
	[ -z "$all" ] || limit=40 docker rm -f -v $all >/dev/null 2>&1
	[ -z "$(docker ps -aq)" ] || die "cannot remove all containers"
	docker swarm leave -f >/dev/null 2>&1
	unnamed=$(docker volume ls -q | grep -Ex '[0-9a-f]{64}')
	[ -z "$unnamed" ] || docker volume rm $unnamed >/dev/null 2>&1
	docker network prune -f >/dev/null || die "cannot remove networks"
}

# note writes down when images were used last: those of containers, and those
# that were pulled, built or named since the layers were mounted, now.
note() {
	now=$(date +%s) began=$(cat "$state/began" 2>/dev/null)
	{
		[ -z "$1" ] || docker inspect -f '{{.Image}}' $1 2>/dev/null | sed "s/^/$now /"
		for id in $(docker image ls -aq --no-trunc | sort -u); do
			tagged=$(docker image inspect -f '{{.Metadata.LastTagTime}}' "$id" 2>/dev/null | head -c 19 | tr T ' ')
			if [ -n "$began" ] && [ "$(printf '%s\n%s\n' "$began" "$tagged" | sort | head -n 1)" = "$began" ]; then
				echo "$now $id"
			else
				echo "0 $id"
			fi
		done
		cat $mnt/used 2>/dev/null
	} | sort -rn | awk 'NF == 2 && !seen[$2]++' | head -n 10000 >$mnt/used.new && mv $mnt/used.new $mnt/used
}

# room tells whether enough of the volume is free.
room() {
	df -Pk $mnt | awk -v spare="$spare" -v share="$share" 'NR == 2 { least = $2 * share / 100; if (spare < least) least = spare; exit !($4 >= least) }'
}

# prune makes room: what nobody names, build cache of days ago, images by their
# last use, then the rest of the build cache.
prune() {
	room && return
	docker image prune -f >/dev/null 2>&1
	docker builder prune -f --filter until=72h >/dev/null 2>&1
	room && return
	[ -s $mnt/used ] || note ""
	for id in $(sort -n $mnt/used | awk '{ print $2 }'); do
		docker image rm -f "$id" >/dev/null 2>&1
		room && return
	done
	docker builder prune -a -f >/dev/null 2>&1
	return 0
}

report() {
	say images "$(docker image ls -q --no-trunc | sort -u | wc -l)"
	say bytes "$(($(df -Pk $mnt | awk 'NR == 2 { print $3 }') * 1024))"
	say engine "$engine"
	[ ! -s "$state/fresh" ] || say fresh 1
}
