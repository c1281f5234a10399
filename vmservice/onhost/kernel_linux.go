package onhost

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// start starts a command as process 1 of namespaces of its own, in the group
// from its first moment on, and nobody's child when we are gone.
func (g group) start(cmd *exec.Cmd) error {
	dir, err := os.Open(g.keeper())
	if err != nil {
		return err
	}
	defer dir.Close()
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET,
		UseCgroupFD: true, CgroupFD: int(dir.Fd()),
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	for _, old := range values(g.old) {
		if err := os.WriteFile(old+"/cgroup.procs", fmt.Append(nil, cmd.Process.Pid), 0); err != nil {
			return errors.Join(err, cmd.Process.Kill())
		}
	}
	return nil
}

// A device is what the kernel calls a device; minor -1 is any.
type device struct {
	block        bool
	major, minor int32
}

// everyday are the devices that every machine may use.
var everyday = []device{
	{false, 1, 3}, {false, 1, 5}, {false, 1, 7}, {false, 1, 8}, {false, 1, 9}, // null zero full random urandom
	{false, 5, 0}, {false, 5, 1}, {false, 5, 2}, {false, 136, -1}, // tty console ptmx pts
	{false, 10, 200}, {false, 10, 229}, // tun fuse
}

// allow lets the machine use the everyday devices and some blocks, and no other
// from now on. It works whatever the machine's root does: the rule is above it.
func (g group) allow(blocks []device) error {
	code := program(append(slices.Clone(everyday), blocks...))
	licence := []byte("GPL\x00")
	var still runtime.Pinner // the kernel is given addresses as numbers
	defer still.Unpin()
	still.Pin(&code[0])
	still.Pin(&licence[0])
	load := struct {
		kind, count      uint32
		code, licence    uint64
		level, size      uint32
		log              uint64
		version, flags   uint32
		name             [16]byte
		ifindex, expects uint32
	}{kind: unix.BPF_PROG_TYPE_CGROUP_DEVICE, count: uint32(len(code) / 8), code: address(code), licence: address(licence), expects: unix.BPF_CGROUP_DEVICE}
	prog, err := bpf(unix.BPF_PROG_LOAD, unsafe.Pointer(&load), unsafe.Sizeof(load))
	if err != nil {
		return fmt.Errorf("load the list of devices: %w", err)
	}
	defer unix.Close(prog)
	dir, err := os.Open(g.box()) // the keeper sets up a loop device itself
	if err != nil {
		return err
	}
	defer dir.Close()
	attach := struct{ target, prog, kind, flags, replace uint32 }{
		target: uint32(dir.Fd()), prog: uint32(prog), kind: unix.BPF_CGROUP_DEVICE, flags: unix.BPF_F_ALLOW_MULTI,
	}
	before, err := attached(dir)
	if err != nil {
		return fmt.Errorf("find the list of devices: %w", err)
	}
	if before >= 0 {
		defer unix.Close(before)
		attach.flags, attach.replace = attach.flags|unix.BPF_F_REPLACE, uint32(before)
	}
	if _, err := bpf(unix.BPF_PROG_ATTACH, unsafe.Pointer(&attach), unsafe.Sizeof(attach)); err != nil {
		return fmt.Errorf("set the list of devices: %w", err)
	}
	return nil
}

// attached returns the list that is set for a group, -1 if there is none.
func attached(dir *os.File) (int, error) {
	ids := make([]uint32, 4)
	var still runtime.Pinner
	defer still.Unpin()
	still.Pin(&ids[0])
	query := struct {
		target, kind, flags, attached uint32
		ids                           uint64
		count, _                      uint32
		progFlags                     uint64
	}{target: uint32(dir.Fd()), kind: unix.BPF_CGROUP_DEVICE, ids: uint64(uintptr(unsafe.Pointer(&ids[0]))), count: uint32(len(ids))}
	_, err := bpf(unix.BPF_PROG_QUERY, unsafe.Pointer(&query), unsafe.Sizeof(query))
	if err != nil || query.count == 0 {
		return -1, err
	}
	byID := struct{ id, next, flags uint32 }{id: ids[0]}
	return bpf(unix.BPF_PROG_GET_FD_BY_ID, unsafe.Pointer(&byID), unsafe.Sizeof(byID))
}

func bpf(command int, attributes unsafe.Pointer, size uintptr) (int, error) {
	for {
		r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(attributes), size)
		switch {
		case errno == unix.EINTR || errno == unix.EAGAIN:
		case errno != 0:
			return -1, errno
		default:
			return int(r), nil
		}
	}
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(&b[0]))) }

// program returns a program of the kernel's that says 1 for devices of the list,
// and 0 for others. Making a node is always allowed: it opens nothing.
func program(list []device) []byte {
	var code []byte
	op := func(op, registers byte, offset int16, value int32) {
		code = append(code, op, registers)
		code = binary.NativeEndian.AppendUint16(code, uint16(offset))
		code = binary.NativeEndian.AppendUint32(code, uint32(value))
	}
	const load, and, shift, jumpNot, move, exit = 0x61, 0x57, 0x77, 0x55, 0xb7, 0x95
	const mknod = 1
	op(load, 1<<4|2, 0, 0) // r2: the type
	op(load, 1<<4|3, 0, 0) // r3: what for
	op(and, 2, 0, 0xffff)
	op(shift, 3, 0, 16)
	op(load, 1<<4|4, 4, 0) // r4: major
	op(load, 1<<4|5, 8, 0) // r5: minor
	yes := func() { op(move, 0, 0, 1); op(exit, 0, 0, 0) }
	op(jumpNot, 3, 2, mknod)
	yes()
	for _, d := range list {
		kind, skip := int32(2), int16(3)
		if d.block {
			kind = 1
		}
		if d.minor >= 0 {
			skip++
		}
		op(jumpNot, 2, skip, kind)
		op(jumpNot, 4, skip-1, d.major)
		if d.minor >= 0 {
			op(jumpNot, 5, 2, d.minor)
		}
		yes()
	}
	op(move, 0, 0, 0)
	op(exit, 0, 0, 0)
	return code
}

// plant makes the node of a block device in the machine's /dev, or removes it.
// The way there leads through the machine, whose root may have put links: none
// is followed.
func (g group) plant(name string, d *device) error {
	pid, err := g.leader()
	if err != nil {
		return err
	}
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("enter the machine: %w", err)
	}
	defer unix.Close(root)
	var inside, outside unix.Stat_t
	if err := errors.Join(unix.Fstat(root, &inside), unix.Stat("/", &outside)); err != nil || inside.Dev == outside.Dev {
		return errors.Join(err, errors.New("enter the machine: it is not in its own root yet"))
	}
	if !g.has(pid) { // it died, and the number is another's
		return errors.New("enter the machine: it ended just now")
	}
	dev, err := unix.Openat2(root, "dev", &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_BENEATH,
	})
	if err != nil {
		return fmt.Errorf("find the machine's /dev: %w", err)
	}
	defer unix.Close(dev)
	if err := unix.Unlinkat(dev, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("remove /dev/%s of the machine: %w", name, err)
	}
	if d == nil {
		return nil
	}
	if err := unix.Mknodat(dev, name, unix.S_IFBLK|0o600, int(unix.Mkdev(uint32(d.major), uint32(d.minor)))); err != nil {
		return fmt.Errorf("make /dev/%s of the machine: %w", name, err)
	}
	return nil
}

// has reports whether a process is of the machine.
func (g group) has(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && strings.Contains(string(text), "0::"+strings.TrimPrefix(g.dir, g.root)+"/")
}

// blockDevice returns the numbers of a device of the host.
func blockDevice(path string) (device, error) {
	var s unix.Stat_t
	if err := unix.Stat(path, &s); err != nil {
		return device{}, fmt.Errorf("look at %s: %w", path, err)
	}
	return device{true, int32(unix.Major(s.Rdev)), int32(unix.Minor(s.Rdev))}, nil
}

// free returns how many bytes a folder's file system has left, and has at all.
func free(dir string) (left, all int64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, fmt.Errorf("look at the disk of %s: %w", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, int64(s.Blocks) * s.Bsize, nil
}

// kernelVersion returns the release of the running kernel.
func kernelVersion() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
