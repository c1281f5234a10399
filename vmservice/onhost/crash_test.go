package onhost_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/onhost"
)

// doomed does what a server would, and kills itself at a step of the last call.
func doomed(t *testing.T, what, at string) {
	d, err := onhost.New(os.Getenv("RONDO_ONHOST_INSTALL"), onhost.Config{
		Dir: os.Getenv("RONDO_ONHOST_DIR"), Image: os.Getenv("RONDO_ONHOST_IMAGE"), DiskGB: 4,
	})
	require.NoError(t, err)
	die := func() {
		d.SetStep(func(step string) {
			if step == at {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
		})
	}
	b := boot(time.Hour)
	b.AuthorizedKey = os.Getenv("RONDO_ONHOST_KEY")
	if what == "create" {
		die()
	}
	ctx := context.Background()
	m, err := d.Create(ctx, "k", forJob, b)
	require.NoError(t, err)
	v, err := d.CreateVolume(ctx, "v", 1, "", nil)
	require.NoError(t, err)
	if what == "attach" {
		die()
	}
	_, err = d.Attach(ctx, v.ID, m.ID)
	require.NoError(t, err)
	if what == "detach" {
		die()
		require.NoError(t, d.Detach(ctx, v.ID, false))
	}
	die()
	require.NoError(t, d.Destroy(ctx, m.ID))
	t.Fatalf("%s has no step %s", what, at)
}

// A server is killed at each step of each call. The next one finds what is
// there by its lists, goes on with the same keys, and leaves nothing behind.
func TestVMS10_KilledAtEachStep(t *testing.T) {
	if call := os.Getenv("RONDO_ONHOST_DOOMED"); call != "" {
		what, at, _ := strings.Cut(call, ":")
		doomed(t, what, at)
		return
	}
	cfg := config(t)
	for what, steps := range map[string][]string{
		"create":  {"drafted", "placed", "dead", "unlinked", "disk", "group", "keeper", "rules", "link", "booted"},
		"attach":  {"noted", "looped", "allowed", "planted"},
		"detach":  {"leaving", "unplugged", "unlooped"},
		"destroy": {"ending", "dead", "unlinked", "stopped", "killed", "leaving", "unplugged", "unlooped", "freed"},
	} {
		for _, at := range steps {
			for _, after := range []string{"reaped", "asked again"} {
				t.Run(what+" "+at+" "+after, func(t *testing.T) {
					install := "test " + t.Name()
					cmd := exec.Command(os.Args[0], "-test.run=^TestVMS10_KilledAtEachStep$")
					cmd.Env = append(os.Environ(), "RONDO_ONHOST_DOOMED="+what+":"+at, "RONDO_ONHOST_DIR="+cfg.Dir,
						"RONDO_ONHOST_IMAGE="+cfg.Image, "RONDO_ONHOST_KEY="+me().public, "RONDO_ONHOST_INSTALL="+install)
					out, err := cmd.CombinedOutput()
					require.Error(t, err)
					require.NotContains(t, string(out), "FAIL")
					require.Equal(t, syscall.SIGKILL, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), "%s", out)
					next := open(t, cfg)
					if after == "asked again" {
						goOn(t, next, what)
					}
				})
			}
		}
	}
}

// goOn asks for the same again, as the pool does.
func goOn(t *testing.T, d *onhost.Driver, what string) {
	m, err := d.Create(t.Context(), "k", forJob, boot(time.Hour))
	require.NoError(t, err)
	all, err := d.List(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1, "the same key is the same machine")
	require.Equal(t, m.ID, all[0].ID)
	if what == "destroy" {
		require.NoError(t, d.Destroy(t.Context(), m.ID))
		require.Equal(t, vmservice.MachineGone, state(t, d, m.ID).State)
		return
	}
	require.Equal(t, vmservice.MachineRunning, m.State)
	require.Equal(t, "circleci", must(t, enter(t, m), "id -un"))
	v, err := d.CreateVolume(t.Context(), "v", 1, "", nil)
	require.NoError(t, err)
	if v.State == vmservice.VolumeDetaching {
		require.NoError(t, d.Detach(t.Context(), v.ID, false))
	}
	device, err := d.Attach(t.Context(), v.ID, m.ID)
	require.NoError(t, err)
	must(t, enter(t, m), "sudo head -c1 "+device)
	require.NoError(t, d.Detach(t.Context(), v.ID, false))
	volumes, err := d.Volumes(t.Context())
	require.NoError(t, err)
	require.Len(t, volumes, 1)
	require.Equal(t, vmservice.VolumeFree, volumes[0].State)
}
