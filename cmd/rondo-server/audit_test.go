package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// TestP13_ActsAndEvents kills the server at any time while contexts are made:
// afterwards every context has its event, every event its context, what the
// job did is on record in its order, and the log verifies.
func TestP13_ActsAndEvents(t *testing.T) {
	r := newRepo(t, hello)
	s, data := team(t, fmt.Sprintf("folders: [%s]\naudit: {sinks: [{name: copy, folder: %q}]}\n", r.dir, serverDir(t)))
	s.waitEnd(ci.WorkflowEnded, "main")
	var org struct{ Items []struct{ Slug string } }
	_, body := s.call("GET", "/api/v2/rondo/projects", "")
	require.NoError(t, json.Unmarshal([]byte(body), &org))
	slug := org.Items[0].Slug[:strings.LastIndex(org.Items[0].Slug, "/")]
	token := s.Token
	for round := range 3 {
		stopped := make(chan struct{})
		url := s.URL
		go func() {
			defer close(stopped)
			for i := 0; ; i++ {
				req, _ := http.NewRequest("POST", url+"/api/v2/context", strings.NewReader(fmt.Sprintf(`{"name":"c-%d-%d","owner":{"slug":%q}}`, round, i, slug)))
				req.Header.Set("Circle-Token", token)
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					return
				}
				_ = res.Body.Close()
			}
		}()
		time.Sleep(time.Duration(150+70*round) * time.Millisecond) // when the kill comes, not what is proved
		s.kill()
		<-stopped
		s = start(t, program(t, "serve", "--json", "--config", filepath.Join(filepath.Dir(data), "rondo.yml")))
		s.Token = token
	}
	made := map[string]bool{}
	for next := ""; ; {
		var page struct {
			Items []struct{ Name string }
			Next  string `json:"next_page_token"`
		}
		code, body := s.call("GET", "/api/v2/context?owner-slug="+slug+"&page-token="+next, "")
		require.Equal(t, 200, code, body)
		require.NoError(t, json.Unmarshal([]byte(body), &page))
		for _, c := range page.Items {
			made[c.Name] = true
		}
		if next = page.Next; next == "" {
			break
		}
	}
	require.NotEmpty(t, made)
	booked := func() (names map[string]bool, all int) {
		names = map[string]bool{}
		for next := ""; ; {
			var page struct {
				Items []struct{ Target struct{ Name string } }
				Next  string `json:"next_page_token"`
			}
			code, body := s.call("GET", "/api/v2/rondo/audit?limit=1000&action=context.create&page-token="+next, "")
			require.Equal(t, 200, code, body)
			require.NoError(t, json.Unmarshal([]byte(body), &page))
			for _, e := range page.Items {
				names[e.Target.Name] = true
				all++
			}
			if next = page.Next; next == "" {
				return names, all
			}
		}
	}
	s.eventually("all are numbered", func() bool { names, _ := booked(); return len(names) >= len(made) })
	names, all := booked()
	require.Equal(t, made, names)
	require.Equal(t, len(made), all, "none twice")
	t.Logf("%d contexts made in 3 rounds, each with one event", all)
	code, body := s.call("GET", "/api/v2/rondo/audit/verify", "")
	require.Equal(t, 200, code)
	require.Contains(t, body, `"ok":true`)
	code, body = s.call("GET", "/api/v2/rondo/audit/export?format=jsonl&action=workflow.job.*", "")
	require.Equal(t, 200, code)
	at := 0
	for _, action := range []string{"workflow.job.scheduled", "workflow.job.start", "workflow.job.finish"} {
		i := strings.Index(body[at:], `"`+action+`"`)
		require.GreaterOrEqual(t, i, 0, "%s in %s", action, body)
		at += i
	}
	require.Equal(t, 0, s.stop(), s.errors())

	out, err := program(t, "audit", "query", "--data", data, "--action", "context.create").Output()
	require.NoError(t, err)
	require.Equal(t, all, strings.Count(string(out), "\n"))
	out, err = program(t, "audit", "verify", "--data", data).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "good: 0 events in 0 files", "the hour is not over")
	out, err = program(t, "audit", "tail", "-n", "3", "--data", data).CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, 3, strings.Count(string(out), "\n"))
	out, err = program(t, "audit", "export", "--data", data, "--action", "rondo.audit.export").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, 2, strings.Count(string(out), "\r\n"), string(out))
	_, err = program(t, "audit", "verify", "--data", data, "--bucket", data).CombinedOutput()
	require.Error(t, err)
}

// The documentation of the actions is made from the catalogue.
func TestAUD12_CatalogueInTheDocs(t *testing.T) {
	out, err := program(t, "audit", "catalogue").Output()
	require.NoError(t, err)
	text, err := os.ReadFile("../../docs/audit.md")
	require.NoError(t, err)
	require.Contains(t, string(text), string(out), "make it anew: rondo-server audit catalogue")
}
