package docker

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/client"
	"golang.org/x/sync/errgroup"
)

// Sweep removes containers, with their volumes, and networks whose agents are
// dead, and returns how many there were. It may run beside agents that live;
// twice at once does no harm.
func (e *Executor) Sweep(ctx context.Context) (int, error) {
	ours := make(client.Filters).Add("label", LabelOwner)
	all, err := e.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: ours})
	if err != nil {
		return 0, fmt.Errorf("docker engine %s: list containers: %w", e.cfg.Host, err)
	}
	var containers, networks []string
	for _, c := range all.Items {
		if e.dead(c.Labels[LabelOwner]) {
			containers = append(containers, c.ID)
		}
	}
	nets, err := e.engine.NetworkList(ctx, client.NetworkListOptions{Filters: ours})
	if err != nil {
		return 0, fmt.Errorf("docker engine %s: list networks: %w", e.cfg.Host, err)
	}
	for _, n := range nets.Items {
		if e.dead(n.Labels[LabelOwner]) {
			networks = append(networks, n.ID)
		}
	}
	if err := e.remove(ctx, containers, networks); err != nil {
		return 0, fmt.Errorf("docker engine %s: remove what dead agents left: %w", e.cfg.Host, err)
	}
	return len(containers) + len(networks), nil
}

// remove removes containers with their volumes, and then networks. What is
// gone already is no error.
func (e *Executor) remove(ctx context.Context, containers, networks []string) error {
	var g errgroup.Group
	for _, id := range containers {
		g.Go(func() error {
			_, err := e.engine.ContainerRemove(ctx, id, client.ContainerRemoveOptions{Force: true, RemoveVolumes: true})
			if err == nil || cerrdefs.IsNotFound(err) || strings.Contains(err.Error(), "already in progress") {
				return nil
			}
			return err
		})
	}
	err := g.Wait()
	for _, id := range networks {
		if _, no := e.engine.NetworkRemove(ctx, id, client.NetworkRemoveOptions{}); no != nil && !cerrdefs.IsNotFound(no) {
			err = cmp.Or(err, no)
		}
	}
	return err
}

// ownerName names a process so that no other will ever have the name: by the
// start of the machine, its number, and the time at which it began. "" is that
// there is no such process.
func ownerName(pid int) string {
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The name of the program, in parentheses, may hold anything.
	rest := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(rest) < 20 || slices.Contains([]string{"Z", "X"}, rest[0]) {
		return ""
	}
	return fmt.Sprintf("%s/%d/%s", strings.TrimSpace(string(boot)), pid, rest[19])
}

// dead reports whether the process of that name has ended.
func (e *Executor) dead(name string) bool {
	parts := strings.Split(name, "/")
	if len(parts) != 3 {
		return false // not ours to judge
	}
	pid, err := strconv.Atoi(parts[1])
	return err == nil && ownerName(pid) != name
}
