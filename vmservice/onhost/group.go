package onhost

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// A group is the control group of a machine: the machine is its processes. It
// is in the unified hierarchy, whose file system every kernel since 5.14 can
// empty at once. Where controllers are in hierarchies of their own, as on older
// hosts, the bounds are set in a group of the same name there.
type group struct {
	dir  string            // of the machine, in the unified hierarchy
	old  map[string]string // the machine's groups in other hierarchies, by controller
	root string            // of the unified hierarchy
}

// controllers are those that bound machines.
var controllers = []string{"cpu", "memory", "pids"}

// group returns the group of a machine, which may not be there.
func (d *Driver) group(id string) (group, error) {
	g := group{old: map[string]string{}}
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return g, err
	}
	name := filepath.Join("rondo-"+d.tag, id)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		// 30 23 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
		f := strings.Fields(lines.Text())
		i := slices.Index(f, "-")
		if i < 5 || i+3 >= len(f) {
			continue
		}
		switch f[i+1] {
		case "cgroup2":
			if g.root == "" {
				g.root = f[4]
				g.dir = filepath.Join(f[4], name)
			}
		case "cgroup":
			// systemd's own has no bounds: nspawn makes a group there as well.
			for _, c := range append([]string{"name=systemd"}, controllers...) {
				if slices.Contains(strings.Split(f[i+3], ","), c) && g.old[c] == "" {
					g.old[c] = filepath.Join(f[4], name)
				}
			}
		}
	}
	if g.root == "" {
		return g, settings("onhost", "this host has no unified control groups: mount -t cgroup2 none /sys/fs/cgroup/unified")
	}
	return g, nil
}

// box is where the processes of the machine itself are, keeper where those are
// that keep it: a group with groups of its own may have no processes.
func (g group) box() string    { return filepath.Join(g.dir, "box") }
func (g group) keeper() string { return filepath.Join(g.dir, "keeper") }

// make makes the group, with its bounds.
func (g group) make(k Class) error {
	for dir := g.root; ; dir = filepath.Join(dir, next(dir, g.dir)) {
		for _, c := range append([]string{"cpuset", "io"}, controllers...) {
			// What the host does not have here, it has in an older hierarchy or not at all.
			_ = os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte("+"+c), 0)
		}
		if dir == g.dir {
			break
		}
		if err := os.Mkdir(filepath.Join(dir, next(dir, g.dir)), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for _, dir := range []string{g.box(), g.keeper()} {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for _, dir := range g.old {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return g.bound(k)
}

// next is the first part of the way from dir down to target.
func next(dir, target string) string {
	rel := strings.TrimPrefix(strings.TrimPrefix(target, dir), "/")
	first, _, _ := strings.Cut(rel, "/")
	return first
}

// bound sets the bounds of a class.
func (g group) bound(k Class) error {
	const period = 100000 // µs
	bytes, quota := strconv.Itoa(k.MemoryMB<<20), strconv.Itoa(int(k.CPUs*period))
	var wanted []bound
	if k.MemoryMB > 0 {
		wanted = append(wanted, bound{"memory", "memory.max", bytes, "memory.limit_in_bytes", bytes})
	}
	if k.CPUs > 0 {
		wanted = append(wanted, bound{"cpu", "cpu.max", quota + " " + strconv.Itoa(period), "cpu.cfs_quota_us", quota})
	}
	wanted = append(wanted, bound{"pids", "pids.max", "32768", "pids.max", "32768"})
	for _, b := range wanted {
		file, value := filepath.Join(g.dir, b.file), b.value
		if g.old[b.controller] != "" {
			file, value = filepath.Join(g.old[b.controller], b.oldFile), b.oldValue
		}
		if err := os.WriteFile(file, []byte(value), 0); err != nil {
			if b.controller == "pids" {
				continue // a host without it has fewer bounds, and no setting asked for this one
			}
			return settings("onhost.classes", "this host cannot bound %s by control groups: leave it out of the class (%v)", b.controller, err)
		}
	}
	return nil
}

// A bound is one number, for both sorts of control groups.
type bound struct{ controller, file, value, oldFile, oldValue string }

// populated reports whether the machine has processes.
func (g group) populated() bool {
	text, err := os.ReadFile(filepath.Join(g.dir, "cgroup.events"))
	return err == nil && bytes.Contains(text, []byte("populated 1"))
}

// kill ends all processes and returns when there are none.
func (g group) kill(ctx context.Context) error {
	return poll(ctx, func() (bool, error) {
		if !g.populated() {
			return true, nil
		}
		err := os.WriteFile(filepath.Join(g.dir, "cgroup.kill"), []byte("1"), 0)
		if errors.Is(err, fs.ErrNotExist) && g.populated() {
			return false, settings("onhost", "the kernel of this host cannot empty control groups: it must be 5.14 or newer")
		}
		return false, nil
	})
}

// remove removes the groups of a machine without processes.
func (g group) remove(ctx context.Context) error {
	for _, dir := range append([]string{g.dir}, values(g.old)...) {
		var failed error
		err := poll(ctx, func() (bool, error) { // those that died just now are not gone at once
			failed = removeGroup(dir)
			if failed == nil || !errors.Is(failed, syscall.EBUSY) {
				return true, failed
			}
			return false, nil
		})
		if err != nil {
			return fmt.Errorf("remove control group: %w", errors.Join(err, failed))
		}
		_ = os.Remove(filepath.Dir(dir)) // that of the installation, if this was the last
	}
	return nil
}

func removeGroup(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroup(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func values(m map[string]string) []string {
	var all []string
	for _, v := range m {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// leader returns the init of the machine, which is process 1 of the namespace
// below that of the keeper.
func (g group) leader() (int, error) {
	var found int
	err := filepath.WalkDir(g.box(), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "cgroup.procs" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil // it went just now
		}
		for _, field := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(field)
			if err == nil && isInit(pid) {
				found = pid
				return fs.SkipAll
			}
		}
		return nil
	})
	if err == nil && found == 0 {
		err = errors.New("its init is not there yet")
	}
	return found, err
}

// isInit reports whether a process is number 1, two namespaces below ours.
func isInit(pid int) bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			f := strings.Fields(ids)
			return len(f) == 3 && f[2] == "1"
		}
	}
	return false
}
