package vmservice

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// cheap is a provider that has every machine at once.
type cheap struct{ all []Machine }

func (c *cheap) Create(_ context.Context, key string, m Model, b Boot) (Machine, error) {
	return Machine{ID: key, Key: key, Model: m, State: MachineRunning, Address: "a:22", HostKey: "k", Tags: b.Tags}, nil
}

func (c *cheap) List(context.Context) ([]Machine, error) { return c.all, nil }

func (c *cheap) Destroy(context.Context, string) error { return nil }

// filled returns a pool with n machines ready, on SQLite.
func filled(b *testing.B, n int) (*Pool, *cheap) {
	db, err := sqldb.Open(b.Context(), filepath.Join(b.TempDir(), "db"), sqldb.Config{})
	require.NoError(b, err)
	b.Cleanup(func() { _ = db.Close() })
	d := &cheap{}
	p := New(db, d, nil, Config{Boot: BootConfig{Fixed: true, AtOnce: 1}, Floors: []Floor{{Model: Model{Kind: ci.MachineForJob}, Machines: n}}})
	require.NoError(b, p.load(b.Context()))
	now := time.Now()
	var changes []ci.DocChange
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range n {
		r := Record{
			Key: fmt.Sprintf("m-%06d", i), ID: fmt.Sprintf("i-%06d", i), State: Ready, Asked: now, Ready: now,
			Model: Model{Kind: ci.MachineForJob, Arch: "amd64"}, Address: "a:22", HostKey: "k",
		}
		doc, err := r.doc(now)
		require.NoError(b, err)
		changes = append(changes, ci.DocChange{Doc: doc})
		m := &machine{version: 1, secrets: &secrets{Key: "key"}, probed: now}
		p.machines[r.Key] = m
		p.set(m, r)
		p.at(m, now.Add(time.Hour))
		d.all = append(d.all, Machine{ID: r.ID, Key: r.Key, State: MachineRunning, Tags: map[string]string{TagInstall: "rondo"}})
	}
	for chunk := range slices.Chunk(changes, 500) {
		_, err := db.WriteDocs(b.Context(), chunk...)
		require.NoError(b, err)
	}
	p.look.next = now.Add(time.Hour)
	return p, d
}

// A claim of a machine that is ready, on SQLite that is durable.
func BenchmarkWarmClaim(b *testing.B) {
	const n = 500
	p, _ := filled(b, n)
	var all []time.Duration
	i := 0
	for b.Loop() {
		if i%n == 0 && i > 0 {
			b.StopTimer()
			p, _ = filled(b, n)
			b.StartTimer()
		}
		began := time.Now()
		m, err := p.Claim(b.Context(), ci.TaskID(fmt.Sprintf("t%d", i)), 1, "p", "branch", ci.MachineNeed{Kind: ci.MachineForJob})
		all = append(all, time.Since(began))
		if err != nil || !m.Ready {
			b.Fatal(err, m.Reason)
		}
		i++
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[(len(all)-1)*99/100].Microseconds())/1000, "p99-ms")
}

// One tick of the pool, by how many machines it has.
func BenchmarkTick(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, _ := filled(b, n)
			none := func(func() error) bool { return true }
			for b.Loop() {
				p.tick(b.Context(), none)
			}
		})
	}
}

// One look at the provider, which lists them all.
func BenchmarkLook(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p, _ := filled(b, n)
			for b.Loop() {
				if _, err := p.lookAt(b.Context(), false); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/machine")
		})
	}
}
