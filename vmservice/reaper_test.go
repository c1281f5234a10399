package vmservice_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

// plant makes a machine at the provider that the books do not know.
func (b *bench) plant(key, install string) vmservice.Machine {
	b.t.Helper()
	m, err := b.cloud.Create(b.t.Context(), key, vmservice.Model{Kind: ci.MachineForJob}, vmservice.Boot{Tags: map[string]string{vmservice.TagInstall: install}})
	require.NoError(b.t, err)
	return m
}

func (b *bench) alive(id string) bool {
	for _, m := range b.cloud.Ledger().Machines {
		if m.ID == id {
			return m.State == vmservice.MachineRunning || m.State == vmservice.MachineBooting
		}
	}
	return false
}

// Case b: a tagged machine without a record ends when it is seen twice; one of
// another installation is never touched.
func TestVMS12_ReaperSeesTwice(t *testing.T) {
	var acts []ci.Act
	refused := errors.New("the database is away")
	within(t, func(c *vmservice.Config) {
		c.Note = func(_ context.Context, a ci.Act) error {
			if acts = append(acts, a); len(acts) == 1 {
				return refused
			}
			return nil
		}
	}, func(t *testing.T, b *bench) {
		own, other := b.plant("orphan", "rondo"), b.plant("foreign", "elsewhere")
		time.Sleep(80 * time.Second) // seen once
		require.True(t, b.alive(own.ID))
		time.Sleep(3 * time.Minute)
		require.False(t, b.alive(own.ID))
		require.True(t, b.alive(other.ID))
		require.Equal(t, 1, b.Counts().Leaks)
		past, err := b.Past(t.Context(), "", 10)
		require.NoError(t, err)
		require.Contains(t, past[0].Why, "not in the books", "it is in the ledger")
		require.Len(t, acts, 2, "nothing is ended that is not on record")
		require.Equal(t, ci.Act{
			Action: "rondo.machine.reap", Actor: ci.Actor{Kind: ci.ActorSystem, Login: "machines"}, Success: true,
			Target: map[string]string{"type": "machine", "id": own.ID, "name": "orphan", "why": "the provider has a machine that is not in the books"},
		}, acts[1])
	})
}

func TestVMS12_DryReaper(t *testing.T) {
	within(t, func(c *vmservice.Config) { c.Boot.DryReaper = true }, func(t *testing.T, b *bench) {
		own := b.plant("orphan", "rondo")
		time.Sleep(time.Hour)
		require.True(t, b.alive(own.ID))
	})
}

// Case d: a machine that a task has for longer than any may, ends; an hour
// before it does not. Case c: one whose task has ended without a word, within
// the grace.
func TestVMS12_TaskThatNeverEnds(t *testing.T) {
	var acts []string
	within(t, func(c *vmservice.Config) {
		c.Note = func(_ context.Context, a ci.Act) error {
			acts = append(acts, a.Action+" "+a.Target["task"])
			return nil
		}
		c.Live = func(_ context.Context, task ci.TaskID, _ int64) (bool, error) { return task == "forever", nil }
	}, func(t *testing.T, b *bench) {
		m, silent := b.claim("forever", 1, "p", forJob), b.claim("silent", 1, "p", forJob)
		time.Sleep(5 * time.Minute)
		states := map[string]vmservice.State{}
		for _, r := range b.Machines(0) {
			states[r.Key] = r.State
		}
		require.Equal(t, vmservice.Claimed, states[m.ID])
		require.NotEqual(t, vmservice.Claimed, states[silent.ID])
		time.Sleep(5*time.Hour - 5*time.Minute)
		require.Len(t, b.Machines(5*time.Hour-time.Minute), 1, "after 5 h it is there")
		require.Empty(t, b.Machines(24*time.Hour))
		time.Sleep(2 * time.Hour)
		require.Empty(t, b.Machines(0), "after 7 h it is not")
		past, err := b.Past(t.Context(), "forever", 1)
		require.NoError(t, err)
		require.Contains(t, past[0].Why, "6h")
		require.Equal(t, []string{"rondo.machine.reap silent", "rondo.machine.reap forever"}, acts)
	})
}

// Case e: what does not become ready within 10 minutes ends. What boots again
// and again in vain holds no more than its budget.
func TestVMS11_NeverReady(t *testing.T) {
	within(t, func(c *vmservice.Config) {
		c.Budgets = map[ci.MachineKind]vmservice.Budget{"": {Machines: 2}}
	}, func(t *testing.T, b *bench) {
		b.guest.SetScript(func(op, _ string) error { return errors.New("connection refused") })
		for range 40 {
			b.waits("t1", forJob)
			time.Sleep(30 * time.Second)
		}
		require.LessOrEqual(t, b.cloud.Ledger().Peak, 2)
		require.GreaterOrEqual(t, len(b.cloud.Ledger().Machines), 2)
		b.guest.SetScript(nil)
		b.claim("t1", 1, "p", forJob)
	})
}

// Machines that are old, or do not answer, are replaced before a task gets them.
func TestVMS11_Replacement(t *testing.T) {
	within(t, floors(0, 2), func(t *testing.T, b *bench) {
		time.Sleep(5 * time.Minute)
		first := b.Machines(0)
		time.Sleep(25 * time.Hour)
		for _, r := range b.Machines(0) {
			require.NotEqual(t, first[0].Key, r.Key)
		}
		require.Equal(t, 2, b.count(ci.MachineForJob, vmservice.Ready))
		sick := b.Machines(0)[0]
		b.guest.SetScript(func(op, m string) error {
			if m == sick.ID {
				return errors.New("connection refused")
			}
			return nil
		})
		time.Sleep(6 * time.Minute)
		require.False(t, b.alive(sick.ID))
		require.Equal(t, 2, b.count(ci.MachineForJob, vmservice.Ready))
		b.cloud.Kill(b.Machines(0)[0].ID, "Server.SpotInstanceTermination")
		time.Sleep(6 * time.Minute)
		require.Equal(t, 2, b.count(ci.MachineForJob, vmservice.Ready))
	})
}

// A machine that the provider takes away from a task: the task is told, and
// does not get another one under the same epoch.
func TestVMS10_MachineLost(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		b.claim("t1", 1, "p", forJob)
		b.cloud.Kill(b.Machines(0)[0].ID, "Server.InternalError")
		time.Sleep(70 * time.Second)
		_, err := b.Claim(t.Context(), "t1", 1, "p", "branch", forJob)
		require.ErrorIs(t, err, ci.ErrConflict)
		require.Contains(t, err.Error(), "Server.InternalError")
		b.claim("t1", 2, "p", forJob)
	})
}

// P10.c: a machine that does not end for an hour holds up nobody, and raises an
// alarm.
func TestP10_StuckEnd(t *testing.T) {
	within(t, nil, func(t *testing.T, b *bench) {
		b.claim("t1", 1, "p", forJob)
		b.cloud.SetScript(func(op vmservicetest.Op, _ string) vmservicetest.Answer {
			if op == vmservicetest.OpDestroy {
				return vmservicetest.Answer{After: time.Hour}
			}
			return vmservicetest.Answer{}
		})
		require.NoError(t, b.Release(t.Context(), "t1", 1))
		time.Sleep(time.Minute)
		b.claim("t2", 1, "p", forJob)
		time.Sleep(15 * time.Minute)
		require.Contains(t, strings.Join(b.Status().Alarms, " "), "has been ending for")
		require.NoError(t, b.Release(t.Context(), "t2", 1))
		time.Sleep(2 * time.Hour)
		require.Empty(t, b.Status().Alarms)
		require.Zero(t, b.cloud.Ledger().Alive)
	})
}

// The runbook: books that know nothing of what the provider has, and the other
// way round. A dry run lists it, the next ones set it right, again is no harm.
func TestVMS13_Reconcile(t *testing.T) {
	within(t, floors(0, 1), func(t *testing.T, b *bench) {
		time.Sleep(3 * time.Minute)
		b.plant("o1", "rondo")
		b.plant("o2", "rondo")
		lost := b.Machines(0)[0]
		_, err := b.docs.WriteDocs(t.Context(), ci.DocChange{Doc: ci.Doc{Kind: "machine", ID: lost.Key, Version: ci.AnyVersion}, Delete: true})
		require.NoError(t, err)
		b.stop()
		b.start() // a database that was restored from a backup
		h := vmservice.Handler(b.fleet(), vmservice.Gate{May: func(*http.Request) (ci.Actor, error) { return ci.Actor{}, nil }})
		reset := func(dry string) []vmservice.Finding {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", "/admin/reset?dry_run="+dry, nil))
			require.Equal(t, http.StatusOK, w.Code, w.Body)
			var all struct{ Items []vmservice.Finding }
			require.NoError(t, json.Unmarshal(w.Body.Bytes(), &all))
			return all.Items
		}
		time.Sleep(25 * time.Second)
		require.Len(t, reset("1"), 3)
		require.True(t, b.alive(lost.ID))
		time.Sleep(40 * time.Second)
		reset("0")
		time.Sleep(2 * time.Minute)
		require.Empty(t, reset("0"))
		require.False(t, b.alive(lost.ID))
		require.Equal(t, 1, b.count(ci.MachineForJob, vmservice.Ready), "and the pool is full again")
		require.Equal(t, 1, b.cloud.Ledger().Alive)
	})
}

func TestVMS13_Drain(t *testing.T) {
	within(t, floors(0, 2), func(t *testing.T, b *bench) {
		m := b.claim("t1", 1, "p", forJob)
		require.NoError(t, b.Drain(t.Context(), true))
		b.stop()
		b.start()
		for range 10 {
			b.claim("t1", 1, "p", forJob)
			time.Sleep(30 * time.Second)
		}
		require.Len(t, b.Machines(0), 1, "only that of a task")
		require.Equal(t, m.ID, b.Machines(0)[0].Key)
		require.Contains(t, b.waits("t2", forJob), "drained")
		require.NoError(t, b.Drain(t.Context(), false))
		b.claim("t2", 1, "p", forJob)
	})
}

// Clocks move while a look is taken, which the time of a bubble does not.
func TestVMS13_DrainByAClockThatMoves(t *testing.T) {
	var calls atomic.Int64
	within(t, func(c *vmservice.Config) {
		floors(1, 2)(c)
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(calls.Add(1)) * time.Microsecond) }
	}, func(t *testing.T, b *bench) {
		time.Sleep(3 * time.Minute)
		require.Len(t, b.Machines(0), 3)
		require.NoError(t, b.Drain(t.Context(), true))
		time.Sleep(3 * time.Minute)
		require.Empty(t, b.Machines(0))
	})
}

func TestVMS12_Handler(t *testing.T) {
	within(t, floors(1, 0), func(t *testing.T, b *bench) {
		denied := true
		h := vmservice.Handler(b.fleet(), vmservice.Gate{May: func(*http.Request) (ci.Actor, error) {
			if denied {
				return ci.Actor{}, ci.ErrDenied
			}
			return ci.Actor{}, nil
		}})
		ask := func(method, path string) (int, string) {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader("ssh-ed25519 AAAA")))
			return w.Code, w.Body.String()
		}
		time.Sleep(3 * time.Minute)
		code, body := ask("GET", "/status")
		require.Equal(t, 200, code, body)
		code, body = ask("GET", "/load")
		require.Equal(t, 200, code)
		require.JSONEq(t, `{"image_name":"default","docker_engine":true,"type":"","vm_count":1,"task_count":0,"boot_average":63}`,
			strings.Trim(lastRow(body), "[]"), body)
		for _, path := range []string{"/vms", "/volumes", "/pool"} {
			code, _ = ask("GET", path)
			require.Equal(t, 403, code, path)
		}
		for _, path := range []string{"/admin/reset", "/admin/drain", "/admin/purge?project=p", "/admin/end?machine=m"} {
			code, _ = ask("POST", path)
			require.Equal(t, 403, code, path)
		}
		code, _ = ask("POST", "/v1/machines/"+b.Machines(0)[0].Key+"/host-key")
		require.Equal(t, 403, code, "without the token of the machine")
		denied = false
		code, body = ask("GET", "/vms?older_than=24h")
		require.Equal(t, 200, code)
		require.Contains(t, body, `"items":[]`)
		code, body = ask("GET", "/vms?older_than=soon")
		require.Equal(t, 400, code)
		require.Contains(t, body, "as in 24h")
		_, body = ask("GET", "/vms")
		require.NotContains(t, body, "PRIVATE", "no key leaves by this door")
		code, _ = ask("POST", "/admin/purge")
		require.Equal(t, 400, code)
	})
}

// lastRow returns the first object of a list that is of remote Docker.
func lastRow(body string) string {
	var rows []map[string]any
	_ = json.Unmarshal([]byte(body), &rows)
	for _, r := range rows {
		if r["docker_engine"] == true {
			delete(r, "boot_average")
			r["boot_average"] = 63
			out, _ := json.Marshal(r)
			return string(out)
		}
	}
	return body
}

// What operators do is on record, with who did it; what was refused is not done.
func TestVMS13_ActsAreOnRecord(t *testing.T) {
	within(t, floors(0, 2), func(t *testing.T, b *bench) {
		time.Sleep(3 * time.Minute)
		var acts []string
		full := false
		h := vmservice.Handler(b.fleet(), vmservice.Gate{
			May: func(*http.Request) (ci.Actor, error) { return ci.Actor{Login: "ada"}, nil },
			Record: func(_ context.Context, a ci.Act, do func() error) error {
				if full {
					return errors.New("the book is full")
				}
				acts = append(acts, fmt.Sprint(a.Actor.Login, " ", a.Action, " ", a.Target["id"]))
				return do()
			},
		})
		ask := func(path string) int {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", path, nil))
			return w.Code
		}
		one, two := b.Machines(0)[0], b.Machines(0)[1]
		require.Equal(t, 200, ask("/admin/end?machine="+one.Key))
		require.Equal(t, 200, ask("/admin/end?machine="+two.ID), "by the provider's name too")
		require.Equal(t, 404, ask("/admin/end?machine=nobody"))
		require.Equal(t, 200, ask("/admin/reset?dry_run=1"))
		require.Equal(t, 200, ask("/admin/reset"))
		require.Equal(t, 200, ask("/admin/purge?project=p"))
		require.Equal(t, 200, ask("/admin/drain"))
		full = true
		require.Equal(t, 502, ask("/admin/drain?on=0"))
		require.True(t, b.Status().Drained)
		full = false
		require.Equal(t, 200, ask("/admin/drain?on=0"))
		require.Equal(t, []string{
			"ada rondo.machine.end " + one.Key, "ada rondo.machine.end " + two.ID, "ada rondo.machine.end nobody",
			"ada rondo.machines.reconcile ", "ada rondo.layers.purge p", "ada rondo.machines.drain ", "ada rondo.machines.ready ",
		}, acts)
		time.Sleep(time.Minute)
		require.False(t, b.alive(one.ID) || b.alive(two.ID))
	})
}
