package vmservice_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/memdb"
	"github.com/rondo-ci/rondo/vmservice"
	"github.com/rondo-ci/rondo/vmservice/vmservicetest"
)

// A yard is a fleet over two providers in memory, in virtual time.
type yard struct {
	*vmservice.Fleet
	t      *testing.T
	docs   ci.Docs
	clouds map[string]*vmservicetest.Cloud
	guests map[string]*vmservicetest.Guest
	acts   []ci.Act
	bounds vmservice.Budget
	stop   func()
}

func inYard(t *testing.T, test func(t *testing.T, y *yard)) {
	synctest.Test(t, func(t *testing.T) {
		y := &yard{t: t, docs: memdb.New(), clouds: map[string]*vmservicetest.Cloud{}, guests: map[string]*vmservicetest.Guest{"north": {}, "south": {}}}
		for _, provider := range []string{"north", "south"} {
			y.clouds[provider] = vmservicetest.NewCloud(vmservicetest.CloudConfig{
				Install: "rondo", Boot: time.Minute, End: 10 * time.Second, Keep: time.Hour, Lag: 20 * time.Second,
			})
		}
		y.start()
		defer func() { y.stop() }()
		test(t, y)
	})
}

func (y *yard) start() {
	ctx, cancel := context.WithCancel(y.t.Context())
	y.Fleet = vmservice.NewFleet(y.docs, nil)
	var running sync.WaitGroup
	running.Go(func() {
		if err := y.Run(ctx); !errors.Is(err, context.Canceled) {
			y.t.Errorf("the fleet ended: %v", err)
		}
	})
	y.stop = func() { cancel(); running.Wait() }
}

// pool returns one for a provider, with machines kept ready.
func (y *yard) pool(provider string, ready int) *vmservice.Pool {
	return vmservice.New(y.docs, y.clouds[provider], y.guests[provider], vmservice.Config{
		Keeper: vmservicetest.PlainKeeper{}, Boot: vmservice.BootConfig{Fixed: true, Provider: provider},
		Live:    func(context.Context, ci.TaskID, int64) (bool, error) { return true, nil },
		Floors:  []vmservice.Floor{{Model: vmservice.Model{Kind: ci.MachineForJob}, Machines: ready}},
		Budgets: map[ci.MachineKind]vmservice.Budget{"": y.bounds}, Classes: []vmservice.Class{{Name: "medium", VCPUs: 2, Price: 1}},
		Note: func(_ context.Context, a ci.Act) error { y.acts = append(y.acts, a); return nil },
	})
}

func (y *yard) claim(task ci.TaskID, need ci.MachineNeed) ci.Machine {
	y.t.Helper()
	for range 900 {
		m, err := y.Claim(y.t.Context(), task, 1, "p", "branch", need)
		require.NoError(y.t, err)
		if m.Ready {
			return m
		}
		require.NotEmpty(y.t, m.Reason, "whoever waits is told why")
		time.Sleep(time.Second)
	}
	require.FailNow(y.t, "no machine")
	return ci.Machine{}
}

func (y *yard) alive(provider string) int { return y.clouds[provider].Ledger().Alive }

// Another provider: what nobody has is ended in order, a job keeps what it has,
// new ones get theirs from the new provider, and volumes are removed.
func TestVMS01_AnotherProviderIsPutIntoForce(t *testing.T) {
	inYard(t, func(t *testing.T, y *yard) {
		var gone atomic.Int32
		y.Use(y.pool("north", 2), func(context.Context) error {
			if gone.Add(1) == 1 {
				return errors.New("the database is away")
			}
			return nil
		})
		had := y.claim("t1", ci.MachineNeed{Kind: ci.MachineForJob, LayerCaching: true})
		time.Sleep(3 * time.Minute)
		require.Equal(t, 3, y.alive("north"))
		y.Use(y.pool("south", 1), nil)
		time.Sleep(5 * time.Minute)
		require.Equal(t, 1, y.alive("north"), "that of the job")
		require.Equal(t, 1, y.alive("south"))
		again := y.claim("t1", ci.MachineNeed{Kind: ci.MachineForJob, LayerCaching: true})
		require.Equal(t, had.ID, again.ID)
		require.Contains(t, fmt.Sprint(y.Status().Alarms), "1 machines and 1 volumes of north, which the settings no longer choose")
		other := y.claim("t2", forJob)
		require.NotEqual(t, had.ID, other.ID)
		require.Len(t, y.Machines(0), 2, "one list of all")
		require.Zero(t, gone.Load())

		require.NoError(t, y.Release(t.Context(), "t1", 1))
		require.NoError(t, y.Release(t.Context(), "t2", 1))
		time.Sleep(10 * time.Minute)
		require.Zero(t, y.alive("north"))
		require.Zero(t, y.clouds["north"].Ledger().GB, "no disk is paid for any more")
		require.EqualValues(t, 2, gone.Load(), "and what kept its settings is told, until it has understood")
		require.Empty(t, y.Status().Alarms)
		y.stop()
		require.Empty(t, y.acts, "nothing of that was a leak")
	})
}

// Other settings of the same provider: the next pool takes over what there is,
// idle machines and volumes with it.
func TestVMS01_OtherSettingsOfTheSameProvider(t *testing.T) {
	inYard(t, func(t *testing.T, y *yard) {
		y.Use(y.pool("north", 1), nil)
		had := y.claim("t1", ci.MachineNeed{Kind: ci.MachineForJob, LayerCaching: true})
		time.Sleep(3 * time.Minute)
		y.Use(y.pool("north", 3), nil)
		y.Use(y.pool("north", 2), nil) // before the one before it has begun
		require.Equal(t, had.ID, y.claim("t1", forJob).ID)
		time.Sleep(5 * time.Minute)
		require.Equal(t, 3, y.alive("north"))
		require.Len(t, y.clouds["north"].Ledger().Machines, 3, "none was made anew")
		require.NoError(t, y.Release(t.Context(), "t1", 1))
		time.Sleep(5 * time.Minute)
		second := y.claim("t2", ci.MachineNeed{Kind: ci.MachineForJob, LayerCaching: true})
		require.Contains(t, fmt.Sprint(second.Notes), "hit")
	})
}

// None: what there is ends; tasks that ask are told who can help. Back again
// before all of it is gone: the pool takes over.
func TestVMS01_NoneAndBack(t *testing.T) {
	inYard(t, func(t *testing.T, y *yard) {
		y.Use(y.pool("north", 2), nil)
		had := y.claim("t1", forJob)
		time.Sleep(3 * time.Minute)
		y.Use(nil, nil)
		time.Sleep(5 * time.Minute)
		require.Equal(t, 1, y.alive("north"))
		require.Equal(t, had.ID, y.claim("t1", forJob).ID)
		_, err := y.Claim(t.Context(), "t2", 1, "p", "branch", forJob)
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorContains(t, err, "this installation has no machines")
		require.ErrorIs(t, y.Drain(t.Context(), true), ci.ErrConflict)
		y.Use(y.pool("north", 1), nil)
		require.Equal(t, had.ID, y.claim("t1", forJob).ID)
		time.Sleep(5 * time.Minute)
		require.Equal(t, 2, y.alive("north"))
	})
}

// A task that runs again while its machine is of the provider before gets one
// of the new provider, and the old one is ended.
func TestVMS10_RunAgainAtAnotherProvider(t *testing.T) {
	inYard(t, func(t *testing.T, y *yard) {
		y.Use(y.pool("north", 0), nil)
		y.claim("t1", forJob)
		y.Use(y.pool("south", 0), nil)
		var m ci.Machine
		for range 600 {
			var err error
			m, err = y.Claim(t.Context(), "t1", 2, "p", "branch", forJob)
			require.NoError(t, err)
			if m.Ready {
				break
			}
			time.Sleep(time.Second)
		}
		require.True(t, m.Ready, m.Reason)
		require.Zero(t, y.alive("north"))
		require.Equal(t, 1, y.alive("south"))
		_, err := y.Claim(t.Context(), "t1", 1, "p", "branch", forJob)
		require.ErrorIs(t, err, ci.ErrConflict)
	})
}

// Records of a provider that no settings reach any more are kept and told of:
// that another one does not list the machines says nothing of them.
func TestVMS12_MachinesOfAnotherProviderAreNotForgotten(t *testing.T) {
	inYard(t, func(t *testing.T, y *yard) {
		y.Use(y.pool("north", 2), nil)
		time.Sleep(3 * time.Minute)
		y.stop()
		y.start() // with a file of settings that names another provider
		y.Use(y.pool("south", 1), nil)
		time.Sleep(time.Hour)
		require.Equal(t, 2, y.alive("north"))
		require.Contains(t, fmt.Sprint(y.Status().Alarms), `2 machines and volumes of "north" are in the books`)
		y.Retire(y.pool("north", 2), nil)
		time.Sleep(5 * time.Minute)
		require.Zero(t, y.alive("north"))
		require.Empty(t, y.Status().Alarms)
		require.Equal(t, 1, y.alive("south"))
	})
}

// What cannot be opened for now: tasks wait, and are told.
func TestVMS01_Off(t *testing.T) {
	inYard(t, func(t *testing.T, y *yard) {
		y.Off("machines are off: the Vault does not answer")
		m, err := y.Claim(t.Context(), "t1", 1, "p", "branch", forJob)
		require.NoError(t, err)
		require.Equal(t, "machines are off: the Vault does not answer", m.Reason)
		w := httptest.NewRecorder()
		vmservice.Handler(y.Fleet, vmservice.Gate{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/status", nil))
		require.Equal(t, http.StatusServiceUnavailable, w.Code)
		require.Contains(t, w.Body.String(), "the Vault does not answer")
		y.Use(y.pool("north", 0), nil)
		y.claim("t1", forJob)
	})
}

// A database that is away when settings change ends nothing.
func TestVMS01_DatabaseIsAwayWhenSettingsChange(t *testing.T) {
	inYard(t, func(t *testing.T, y *yard) {
		y.Use(y.pool("north", 1), nil)
		had := y.claim("t1", forJob)
		away := &awayDocs{records: y.docs}
		away.on.Store(true)
		docs := y.docs
		y.docs = away
		y.Use(y.pool("north", 1), nil)
		m, err := y.Claim(t.Context(), "t1", 1, "p", "branch", forJob)
		require.NoError(t, err)
		require.Contains(t, m.Reason, "is looking for its machines")
		time.Sleep(time.Minute)
		away.on.Store(false)
		require.Equal(t, had.ID, y.claim("t1", forJob).ID)
		y.docs = docs
	})
}

// awayDocs are documents of a database that may be away.
type awayDocs struct {
	records
	on atomic.Bool
}

type records = ci.Docs // the interface has a method of its name

func (a *awayDocs) Docs(ctx context.Context, q ci.DocQuery) iter.Seq2[ci.Doc, error] {
	if a.on.Load() {
		return func(yield func(ci.Doc, error) bool) { yield(ci.Doc{}, errors.New("the database is away")) }
	}
	return a.records.Docs(ctx, q)
}

// Whatever is put into force in whatever order, and however often the server
// dies: in the end only the last one has machines, and no job loses its own.
func TestVMS10_P10_ProvidersChangeAtRandom(t *testing.T) {
	for seed := range uint64(20) {
		inYard(t, func(t *testing.T, y *yard) {
			random := rand.New(rand.NewPCG(seed, 1))
			saved, earlier := "", map[string]bool{}
			var mu sync.Mutex // the fleet calls too
			gone := func(provider string) func(context.Context) error {
				return func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					delete(earlier, provider)
					return nil
				}
			}
			use := func(provider string) {
				mu.Lock()
				defer mu.Unlock()
				if saved != "" && saved != provider {
					earlier[saved] = true
				}
				delete(earlier, provider)
				saved = provider
				if provider == "" {
					y.Use(nil, nil)
					return
				}
				y.Use(y.pool(provider, random.IntN(3)), gone(provider))
			}
			use("north")
			had := y.claim("t1", ci.MachineNeed{Kind: ci.MachineForJob, LayerCaching: true})
			for range 12 {
				switch random.IntN(4) {
				case 0:
					use([]string{"north", "south", ""}[random.IntN(3)])
				case 1:
					y.stop()
					y.start()
					use(saved)
					mu.Lock()
					for p := range earlier {
						y.Retire(y.pool(p, 0), gone(p))
					}
					mu.Unlock()
				case 2:
					require.Equal(t, had.ID, y.claim("t1", forJob).ID)
				default:
					time.Sleep(time.Duration(random.IntN(120)) * time.Second)
				}
			}
			require.Equal(t, had.ID, y.claim("t1", forJob).ID)
			require.NoError(t, y.Release(t.Context(), "t1", 1))
			use("south")
			time.Sleep(30 * time.Minute)
			require.Zero(t, y.alive("north"), "seed %d", seed)
			mu.Lock()
			require.Empty(t, earlier, "seed %d", seed)
			mu.Unlock()
			y.claim("t2", forJob)
		})
	}
}

// Budgets hold for what the provider before still has, and what was spent today
// is not forgotten with the settings.
func TestDLC05_BudgetsHoldOverAChangeOfProvider(t *testing.T) {
	inYard(t, func(t *testing.T, y *yard) {
		y.bounds = vmservice.Budget{Machines: 2, Volumes: 1, Money: 100}
		y.Use(y.pool("north", 1), nil)
		y.claim("t1", ci.MachineNeed{Kind: ci.MachineForJob, LayerCaching: true})
		y.Use(y.pool("south", 2), nil)
		time.Sleep(30 * time.Minute)
		require.Equal(t, 1, y.alive("north"))
		require.Equal(t, 1, y.alive("south"), "two are all there may be")
		m := y.claim("t2", ci.MachineNeed{Kind: ci.MachineForJob, LayerCaching: true})
		require.Contains(t, fmt.Sprint(m.Notes), "the budget is 1 volumes, and all are used")
		spent := y.Status().Today
		require.Greater(t, spent, 0.5)
		require.NoError(t, y.Release(t.Context(), "t1", 1))
		time.Sleep(5 * time.Minute)
		require.Zero(t, y.alive("north"))
		require.Equal(t, 2, y.alive("south"))
		require.Greater(t, y.Status().Today, spent, "what the one before has cost counts")
		y.Use(y.pool("south", 2), nil)
		time.Sleep(time.Minute)
		require.Greater(t, y.Status().Today, spent, "and over other settings too")
	})
}
