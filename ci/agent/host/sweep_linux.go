package host

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// adoptOrphans makes this process the parent of every descendant that loses
// its own. Twice is allowed.
func adoptOrphans() error {
	return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
}

// reap collects orphans that have ended. The caller holds mu.
func (h *host) reap() {
	for {
		var info unix.Siginfo
		err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
		pid := childOf(&info)
		if err != nil || pid == 0 || h.isLive(pid) {
			return
		}
		if _, err := syscall.Wait4(pid, nil, syscall.WNOHANG, nil); err != nil {
			return
		}
	}
}

func (h *host) isLive(pid int) bool {
	for p := range h.live {
		if p.pid == pid {
			return true
		}
	}
	return false
}

// childOf returns the process that waitid reported, 0 for none. The package
// unix leaves the union of siginfo_t unnamed; si_pid is its first member.
func childOf(info *unix.Siginfo) int {
	const at = 12 + 4*(unsafe.Sizeof(uintptr(0))/8)
	return int(*(*int32)(unsafe.Add(unsafe.Pointer(info), at)))
}

// sweep kills what has left its group and returns how many processes it could
// not get rid of.
func (h *host) sweep() int {
	if h.adopt {
		return untilGone(func() []int {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.over {
				return nil
			}
			h.reap()
			if unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil) == unix.ECHILD {
				return nil // the usual case, without a look at all of /proc
			}
			return descendants(snapshot(), map[int]bool{os.Getpid(): true})
		})
	}
	return untilGone(func() []int {
		return marked(func(m string) bool { return m == h.marker })
	})
}

// Sweep kills every process whose [Marker] variable has a value that match
// accepts, with all their descendants, and returns how many it found. It is
// for cleaning up after an agent that has died; it sees the processes whose
// environment this one may read. Calling it at any time is allowed.
func Sweep(match func(marker string) bool) int {
	seen := map[int]bool{}
	untilGone(func() []int {
		pids := marked(match)
		for _, p := range pids {
			seen[p] = true
		}
		return pids
	})
	return len(seen)
}

// untilGone kills what find returns until it finds nothing, and returns how
// many are left when the patience ends.
func untilGone(find func() []int) int {
	end := time.Now().Add(killTime)
	for pause := 500 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		pids := find()
		if len(pids) == 0 || time.Now().After(end) {
			return len(pids)
		}
		for _, pid := range pids {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		time.Sleep(pause)
	}
}

// doubt bounds how long nothing found is not believed. Where processes come
// and go all the time no look is ever without doubt.
const doubt = 250 * time.Millisecond

// marked returns the living processes whose marker matches, and their
// descendants. Nothing found is looked at again while a process that was seen
// could not be read: it may have been one, and another one may be its child.
func marked(match func(string) bool) []int {
	roots := map[int]bool{}
	var pids []int
	end, ended := time.Now().Add(doubt), map[int]bool{}
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 5*time.Millisecond) {
		sure := true
		for _, pid := range processes() {
			m, is := markerOf(pid)
			switch is {
			case gone, changing:
				sure = false
			case zombie: // its children are in this list if it was one before
				sure = sure && ended[pid]
				ended[pid] = true
			}
			if m != "" && match(m) && pid != os.Getpid() {
				roots[pid] = true
				pids = append(pids, pid)
			}
		}
		if len(pids) > 0 || sure || time.Now().After(end) {
			break
		}
		time.Sleep(pause)
	}
	if len(roots) == 0 {
		return nil
	}
	for _, pid := range descendants(snapshot(), roots) {
		if !roots[pid] && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// proc is a living process.
type proc struct{ pid, parent, group, session int }

// processes lists the processes of this machine.
func processes() []int {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	var all []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

// snapshot lists the living processes (no zombies) with their parents.
func snapshot() []proc {
	var all []proc
	buf := make([]byte, 512)
	for _, pid := range processes() {
		if p, ok := stat(pid, buf); ok {
			all = append(all, p)
		}
	}
	return all
}

// stat reads the place of a living process among the others.
func stat(pid int, buf []byte) (proc, bool) {
	f, err := os.Open("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return proc{}, false
	}
	defer f.Close()
	n, _ := f.Read(buf)
	// The name in parentheses may hold anything, so count from its end.
	_, rest, ok := bytes.Cut(buf[:n], []byte("("))
	if i := bytes.LastIndexByte(rest, ')'); ok && i >= 0 {
		fields := strings.Fields(string(rest[i+1:]))
		if len(fields) >= 4 && fields[0] != "Z" && fields[0] != "X" {
			parent, _ := strconv.Atoi(fields[1])
			group, _ := strconv.Atoi(fields[2])
			session, _ := strconv.Atoi(fields[3])
			return proc{pid, parent, group, session}, true
		}
	}
	return proc{}, false
}

// groupAlive reports whether the group of a session's leader has a living
// process. Zombies that nobody collects do not count.
func groupAlive(leader int) bool {
	if syscall.Kill(-leader, 0) != nil {
		return false
	}
	for _, p := range snapshot() {
		if p.group == leader && p.session == leader {
			return true
		}
	}
	return false
}

// descendants returns the processes below the roots, without them.
func descendants(all []proc, roots map[int]bool) []int {
	children := make(map[int][]int, len(all))
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p.pid)
	}
	var found []int
	var visit func(int)
	seen := map[int]bool{}
	visit = func(pid int) {
		for _, c := range children[pid] {
			if !seen[c] {
				seen[c] = true
				found = append(found, c)
				visit(c)
			}
		}
	}
	for r := range roots {
		visit(r)
	}
	return found
}

// What a process is that was in the list a moment ago.
type condition int

const (
	settled  condition = iota // its marker is what it says
	zombie                    // it has ended, and nobody has collected it
	gone                      // it has ended
	changing                  // it becomes another program and shows no environment
)

// markerOf returns the marker of a process, "" for none.
func markerOf(pid int) (string, condition) {
	dir := "/proc/" + strconv.Itoa(pid)
	for range 3 {
		env, err := os.ReadFile(dir + "/environ")
		if errors.Is(err, os.ErrPermission) {
			return "", settled // not ours
		}
		for kv := range bytes.SplitSeq(env, []byte{0}) {
			if v, ok := bytes.CutPrefix(kv, []byte(Marker+"=")); ok {
				return string(v), settled
			}
		}
		if len(env) > 0 {
			return "", settled
		}
		if line, _ := os.ReadFile(dir + "/cmdline"); len(line) == 0 {
			return "", bare(pid)
		}
		// It has become another program meanwhile, or was started with none.
	}
	return "", settled
}

// bare returns what a process is that shows neither environment nor arguments.
func bare(pid int) condition {
	p, alive := stat(pid, make([]byte, 512))
	if !alive {
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid)); err != nil {
			return gone
		}
		return zombie
	}
	if p.parent == 2 || p.pid == 2 { // threads of the kernel
		return settled
	}
	return changing
}
