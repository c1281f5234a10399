package web_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/web"
)

func TestVMS12_MachinesPage(t *testing.T) {
	w := newWorld(t, flow(build("a")))
	h := w.handler()
	res, _ := get(t, h, "/admin/machines")
	require.Equal(t, 404, res.StatusCode, "without a pool")
	drained, deny := false, false
	var did []string
	evil := `<script>alert(1)</script>`
	w.cfg.Queue.Machines = web.Machines{
		View: func(context.Context, ci.Actor) (web.MachineView, error) {
			if deny {
				return web.MachineView{}, ci.ErrDenied
			}
			return web.MachineView{
				Drained: drained, Alarms: []string{"setting ec2_subnet_id: no such subnet"}, Today: 3.5, Hits: 7,
				Rows: []web.MachineRow{
					{Key: "m-1", ID: "i-0123", Kind: "machine", Class: "medium", State: "ready", Since: time.Now()},
					{Key: "m-2", ID: evil, Kind: "remote_docker", State: "claimed", Task: "t/0", Since: time.Now()},
				},
				Volumes: []web.VolumeRow{
					{Key: "v-1", ID: "vol-9", Project: evil, State: "free", GB: 100},
					{Key: "v-2", ID: "vol-8", Project: "p2", Slug: "gh/acme/shop", State: "free"},
				},
			}, nil
		},
		Drain: func(_ context.Context, on bool, _ ci.Actor) error { drained = on; return nil },
		End: func(_ context.Context, key string, _ ci.Actor) error {
			did = append(did, "end "+key)
			if key != "m-1" {
				return fmt.Errorf("end machine %s: there is none: %w", key, ci.ErrNotFound)
			}
			return nil
		},
		Purge: func(_ context.Context, p ci.ProjectID, _ ci.Actor) error {
			did = append(did, "purge "+string(p))
			return nil
		},
		Reconcile: func(context.Context, ci.Actor) error { did = append(did, "reconcile"); return nil },
	}
	h = w.handler()
	_, body := get(t, h, "/admin/machines")
	for _, want := range []string{"1 ready, 1 at work", "i-0123", "vol-9", "100 GB", "no such subnet", "3.50", "7 builds found their layers", "Purge the layers of gh/acme/shop"} {
		require.Contains(t, body, want)
	}
	require.NotContains(t, body, evil)
	code, to, _ := sends(t, w, "/admin/machines", "do", "drain")
	require.Equal(t, 303, code)
	require.True(t, drained)
	_, body = get(t, h, to)
	require.Contains(t, body, "The pool is drained")
	code, _, _ = sends(t, w, "/admin/machines", "do", "ready")
	require.Equal(t, 303, code)
	require.False(t, drained)
	_, body = get(t, h, "/admin/machines")
	require.Equal(t, 2, strings.Count(body, `name="machine"`), "each machine can be ended")
	for _, c := range []struct{ do, field, value, says string }{
		{"end", "machine", "m-1", "The machine is ended"}, {"purge", "project", evil, "layers of the project are removed"}, {"reconcile", "", "", "set right"},
	} {
		code, to, _ := sends(t, w, "/admin/machines", "do", c.do, c.field, c.value)
		require.Equal(t, 303, code)
		_, body = get(t, h, to)
		require.Contains(t, body, c.says)
	}
	require.Equal(t, []string{"end m-1", "purge " + evil, "reconcile"}, did)
	code, _, _ = sends(t, w, "/admin/machines", "do", "end", "machine", "gone")
	require.Equal(t, 404, code)
	code, _, _ = sends(t, w, "/admin/machines", "do", "other")
	require.Equal(t, 404, code)
	deny = true
	res, _ = get(t, h, "/admin/machines")
	require.NotEqual(t, 200, res.StatusCode)
}
