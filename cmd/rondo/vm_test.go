package main

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/stretchr/testify/require"
)

func TestVMS12_VMS13_DLC05_Commands(t *testing.T) {
	asked := make(chan string, 10)
	s := newStandWith(t, func(mux *http.ServeMux) {
		serve := func(w http.ResponseWriter, r *http.Request) {
			asked <- r.Method + " " + r.URL.RequestURI()
			var v any
			switch r.URL.Path {
			case "/api/v2/rondo/machines/vms":
				v = listed[vmservice.Record]{Items: []vmservice.Record{{Key: "m-1", ID: "i-1", State: vmservice.Claimed, Task: "t1", Asked: time.Now().Add(-25 * time.Hour)}}}
			case "/api/v2/rondo/machines/volumes":
				v = listed[vmservice.VolumeRecord]{Items: []vmservice.VolumeRecord{{Key: "v-1", ID: "vol-1", Project: ci.ProjectID("shop"), GB: 100}}}
			case "/api/v2/rondo/machines/admin/reset":
				v = listed[vmservice.Finding]{Items: []vmservice.Finding{{Case: "b", About: "i-9", Text: "not in the books", Acts: "now"}}}
			case "/api/v2/rondo/machines/admin/purge":
				v = map[string]int{"removed": 2, "when_free": 1}
			case "/api/v2/rondo/machines/admin/end":
				v = vmservice.Record{Key: "m-1", ID: "i-1"}
			default:
				v = map[string]bool{"drained": true}
			}
			_ = json.NewEncoder(w).Encode(v)
		}
		mux.HandleFunc("GET /api/v2/rondo/machines/", serve)
		mux.HandleFunc("POST /api/v2/rondo/machines/", serve)
	})
	for _, c := range []struct{ line, asks, prints string }{
		{"vm list --older-than 24h", "GET /api/v2/rondo/machines/vms?older_than=24h0m0s", "i-1"},
		{"vm reconcile --dry-run", "POST /api/v2/rondo/machines/admin/reset?dry_run=true", "not now, --dry-run"},
		{"vm reconcile", "POST /api/v2/rondo/machines/admin/reset?dry_run=false", "now"},
		{"vm end i-1", "POST /api/v2/rondo/machines/admin/end?machine=i-1", "Machine m-1 (i-1) is being ended"},
		{"vm drain", "POST /api/v2/rondo/machines/admin/drain?on=true", "The pool is drained"},
		{"vm drain --off", "POST /api/v2/rondo/machines/admin/drain?on=false", "Machines are given out"},
		{"dlc list", "GET /api/v2/rondo/machines/volumes", "vol-1"},
		{"dlc purge gh/acme/shop", "POST /api/v2/rondo/machines/admin/purge?project=gh%2Facme%2Fshop", "2 volumes are removed, 1 when"},
	} {
		out, errs, code := s.rondo(c.line)
		require.Equal(t, 0, code, "%s: %s", c.line, errs)
		require.Equal(t, c.asks, <-asked)
		require.Contains(t, out, c.prints)
	}
}
