package docker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A view is the way into the namespaces of a container. It holds them open,
// also when the container's first process has ended.
type view struct {
	files, network *os.File
}

// openView opens the namespaces of a process.
func openView(pid int) (*view, error) {
	files, err := os.Open(fmt.Sprintf("/proc/%d/ns/mnt", pid))
	if err != nil {
		return nil, fmt.Errorf("files of the container: %w", err)
	}
	network, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		_ = files.Close()
		return nil, fmt.Errorf("network of the container: %w", err)
	}
	return &view{files, network}, nil
}

func (v *view) close() {
	_ = v.files.Close()
	_ = v.network.Close()
}

// onThread calls f on a thread that ends with it, so f may turn it into
// anything. The first thread of the process never ends, so it is not taken.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			result <- onThread(f) // this one is taken, so it gets another
			runtime.UnlockOSThread()
			return
		}
		result <- f()
	}()
	return <-result
}

// within calls f on a thread whose root is that of the container and whose
// rights with files are those of the account.
func (v *view) within(a account, f func()) error {
	return onThread(func() error {
		if err := v.enter(a); err != nil {
			return fmt.Errorf("enter the container's files (the agent has to be root on the engine's machine): %w", err)
		}
		f()
		return nil
	})
}

func (v *view) enter(a account) error {
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Setns(int(v.files.Fd()), unix.CLONE_NEWNS); err != nil {
		return err
	}
	unix.Umask(0o022)
	// The wrappers of the syscall package would change every thread.
	var list *uint32
	if len(a.groups) > 0 {
		list = &a.groups[0]
	}
	if _, _, no := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(a.groups)), uintptr(unsafe.Pointer(list)), 0); no != 0 {
		return no
	}
	if err := unix.Setfsgid(int(a.gid)); err != nil {
		return err
	}
	if err := unix.Setfsuid(int(a.uid)); err != nil {
		return err
	}
	if now, _ := unix.SetfsuidRetUid(-1); now != int(a.uid) {
		return errors.New("the rights of the image's user cannot be taken")
	}
	return nil
}

// forbid makes networks unreachable from the container. Its processes have no
// right to change routes.
func (v *view) forbid(networks []netip.Prefix) error {
	return onThread(func() error {
		if err := unix.Setns(int(v.network.Fd()), unix.CLONE_NEWNET); err != nil {
			return err
		}
		s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		defer unix.Close(s)
		for _, n := range networks {
			err := addUnreachable(s, n.Masked())
			if err != nil && n.Addr().Is6() && (errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EAFNOSUPPORT)) {
				continue // there is no IPv6 at all
			}
			if err != nil && !errors.Is(err, unix.EEXIST) {
				return fmt.Errorf("make %s unreachable: %w", n, err)
			}
		}
		return nil
	})
}

// addUnreachable asks the kernel for a route that leads nowhere, as
// `ip route add unreachable` does, and waits for its answer.
func addUnreachable(socket int, n netip.Prefix) error {
	family, addr := byte(unix.AF_INET), n.Addr().AsSlice()
	if n.Addr().Is6() {
		family = unix.AF_INET6
	}
	size := unix.SizeofNlMsghdr + unix.SizeofRtMsg + unix.SizeofRtAttr + len(addr)
	b := make([]byte, 0, size)
	b = binary.NativeEndian.AppendUint32(b, uint32(size))
	b = binary.NativeEndian.AppendUint16(b, unix.RTM_NEWROUTE)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_EXCL)
	b = append(b, 1, 0, 0, 0, 0, 0, 0, 0) // sequence, port
	b = append(b, family, byte(n.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, unix.RT_SCOPE_UNIVERSE, unix.RTN_UNREACHABLE)
	b = append(b, 0, 0, 0, 0) // flags
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(addr)))
	b = binary.NativeEndian.AppendUint16(b, unix.RTA_DST)
	b = append(b, addr...)
	if err := unix.Sendto(socket, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	got, _, err := unix.Recvfrom(socket, answer, 0)
	if err != nil {
		return err
	}
	if got < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return errors.New("the kernel's answer is not understood")
	}
	if code := int32(binary.NativeEndian.Uint32(answer[unix.SizeofNlMsghdr:])); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
