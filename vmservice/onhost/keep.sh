# Keeps one machine, from its mounts to its end. It is process 1 of a namespace
# of processes, mounts and networks of its own, in the folder of the machine:
# whatever it makes ends with it, however it ends. Nothing here is of use to
# anybody else, and nothing of the machine is run outside of it.
#
# It is given: the tree of the image, the control group of the machine's
# processes, address and gateway ("" is none), the seconds the machine may live (0
# is forever), its name. Then it waits for the word to go, and says "up" on 3.
set -eu
image=$1 group=$2 address=$3 gateway=$4 life=$5 name=$6
read -r word || exit 1 # whoever started us is dead, and nobody asked for more
[ "$word" = go ] || exit 1

mount --make-rprivate /
mount -t proc proc /proc
mount --bind "$image" lower
mount -o remount,bind,ro lower
mount -o loop,noatime disk.img disk
mkdir -p disk/upper disk/work disk/docker disk/containerd
mount -t overlay -o lowerdir=lower,upperdir=disk/upper,workdir=disk/work overlay root
# What the seed replaces may be a link to somewhere: it is replaced, not followed.
cp -a --remove-destination seed/. root/
mkdir -p root/var/lib/docker root/var/lib/containerd
mount --bind disk/docker root/var/lib/docker # an overlay on an overlay does not work
mount --bind disk/containerd root/var/lib/containerd
ip link set lo up
ip addr add "$address" dev eth0
ip link set eth0 up
[ -z "$gateway" ] || ip route add default via "$gateway"

: >started
echo up >&3 || : # the machine goes on without the server
exec 3>&-
# On hosts with the old control groups as well, the machine sees the new ones.
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
# Docker switches forwarding on, in the network of the machine.
export SYSTEMD_NSPAWN_API_VFS_WRITABLE=network
status=0
timeout -s TERM -k 15 "$life" sh -c 'echo 0 >"$0/cgroup.procs"; exec "$@"' "$group" \
	systemd-nspawn -q --register=no --keep-unit --directory=root --network-namespace-path=/proc/self/ns/net --capability=CAP_NET_ADMIN \
	--hostname="$name" --resolv-conf=off --timezone=off --link-journal=no --console=read-only \
	--system-call-filter="bpf keyctl add_key" --boot </dev/null >/dev/null 4>&- || status=$?
case $status in
124 | 137) why="its longest life was over" ;;
133) why="a job restarted it, and a machine starts only once" ;;
0) why="it shut itself down: a job did it, or its init died" ;;
*) why="systemd-nspawn ended with status $status, see the log in its folder" ;;
esac
[ -e ended ] || { echo "$why" >ended.new && mv ended.new ended; }
rm -rf disk.img seed # also when nobody comes to clear away
