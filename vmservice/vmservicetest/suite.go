package vmservicetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/vmservice"
)

// A Setup is a driver under test and what the suites must know of it.
type Setup struct {
	// Driver is for one installation, whose tag has the value Install, and has
	// no machines yet.
	Driver  vmservice.Driver
	Install string
	// Model is one that the driver can boot.
	Model vmservice.Model
	// Wait is how long a machine may take to boot or to end, and a volume to
	// change; 0 is 2 minutes.
	Wait time.Duration
	// AuthorizedKey is what the machines are given; "" is a key of nobody.
	AuthorizedKey string
	// Foreign makes a machine with the tag of another installation and returns
	// its ID; nil when that cannot be had.
	Foreign func(t *testing.T) string
}

// nobody is a public key whose private half was never kept.
const nobody = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0bRUpVzHGP1yuuGTFJ2VC1hPLzmGvPJXpsG0wUqWkK nobody"

// TestDriver is what every [vmservice.Driver] must do. open returns an empty
// one; what is made of it must be ended by open's own cleanup should a test
// fail.
func TestDriver(t *testing.T, open func(t *testing.T) Setup) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Setup)
	}{
		{"Life", testLife}, {"SameKey", testSameKey}, {"SameKeyAtOnce", testSameKeyAtOnce}, {"DestroyAgain", testDestroyAgain},
		{"OwnOnly", testOwnOnly}, {"Canceled", testCanceled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

func (s Setup) wait() time.Duration {
	if s.Wait > 0 {
		return s.Wait
	}
	return 2 * time.Minute
}

// eventually asks until it is so, for as long as the driver may take.
func (s Setup) eventually(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(s.wait()); ; time.Sleep(s.wait() / 200) {
		if so() {
			return
		}
		if time.Now().After(end) {
			require.FailNow(t, what, "not within %s", s.wait())
		}
	}
}

func (s Setup) boot(key, zone string) vmservice.Boot {
	authorized := s.AuthorizedKey
	if authorized == "" {
		authorized = nobody
	}
	return vmservice.Boot{
		Tags: map[string]string{vmservice.TagInstall: s.Install, vmservice.TagKey: key},
		User: "circleci", AuthorizedKey: authorized, Life: time.Hour, Zone: zone,
	}
}

// create makes a machine and ends it with the test.
func (s Setup) create(t *testing.T, key string) vmservice.Machine {
	t.Helper()
	m, err := s.Driver.Create(t.Context(), key, s.Model, s.boot(key, ""))
	require.NoError(t, err)
	require.NotEmpty(t, m.ID)
	t.Cleanup(func() {
		if err := s.Driver.Destroy(context.WithoutCancel(t.Context()), m.ID); err != nil {
			t.Errorf("destroy %s: %v", m.ID, err)
		}
	})
	return m
}

// find returns the machine of that ID as it is listed, and false if it is not
// or is gone.
func (s Setup) find(t *testing.T, id string) (vmservice.Machine, bool) {
	t.Helper()
	all, err := s.Driver.List(t.Context())
	require.NoError(t, err)
	for _, m := range all {
		if m.ID == id {
			return m, m.State != vmservice.MachineGone
		}
	}
	return vmservice.Machine{}, false
}

// running waits until the machine runs.
func (s Setup) running(t *testing.T, id string) vmservice.Machine {
	t.Helper()
	var m vmservice.Machine
	s.eventually(t, "machine "+id+" runs", func() bool {
		var listed bool
		m, listed = s.find(t, id)
		return listed && m.State == vmservice.MachineRunning && m.Address != ""
	})
	return m
}

func testLife(t *testing.T, s Setup) {
	all, err := s.Driver.List(t.Context())
	require.NoError(t, err)
	require.Empty(t, all)
	before := time.Now()
	made := s.create(t, "life")
	require.Equal(t, "life", made.Key)
	m := s.running(t, made.ID)
	require.Equal(t, "life", m.Key)
	require.Equal(t, s.Install, m.Tags[vmservice.TagInstall])
	require.Equal(t, "life", m.Tags[vmservice.TagKey])
	require.Equal(t, s.Model.Kind, m.Model.Kind)
	require.WithinRange(t, m.Created, before.Add(-time.Minute), time.Now().Add(time.Minute))
	require.NoError(t, s.Driver.Destroy(t.Context(), m.ID))
	s.eventually(t, "machine ends", func() bool { _, there := s.find(t, m.ID); return !there })
}

func testSameKey(t *testing.T, s Setup) {
	one, other := s.create(t, "one"), s.create(t, "other")
	require.NotEqual(t, one.ID, other.ID)
	again := s.create(t, "one")
	require.Equal(t, one.ID, again.ID, "the same key is the same machine")
	s.running(t, one.ID)
	require.Equal(t, one.ID, s.create(t, "one").ID, "also when it runs")
	s.running(t, other.ID)
	all, err := s.Driver.List(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 2)
}

func testSameKeyAtOnce(t *testing.T, s Setup) {
	ids := make([]string, 3)
	errs := make([]error, len(ids))
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			var m vmservice.Machine
			m, errs[i] = s.Driver.Create(t.Context(), "race", s.Model, s.boot("race", ""))
			ids[i] = m.ID
		})
	}
	wg.Wait()
	id := s.create(t, "race").ID
	for i := range ids {
		// One of several may be asked to come again, but never gets another.
		if errs[i] == nil {
			require.Equal(t, id, ids[i])
		}
	}
	s.running(t, id)
	all, err := s.Driver.List(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
}

func testDestroyAgain(t *testing.T, s Setup) {
	m := s.create(t, "again")
	for i := range 2 {
		require.NoError(t, s.Driver.Destroy(t.Context(), m.ID), "time %d", i)
	}
	s.eventually(t, "machine ends", func() bool { _, there := s.find(t, m.ID); return !there })
	require.NoError(t, s.Driver.Destroy(t.Context(), m.ID), "of one that has ended")
	require.NoError(t, s.Driver.Destroy(t.Context(), unknown(m.ID)), "of one that never was")
}

// unknown returns an ID of the same form that nothing has.
func unknown(id string) string {
	last := id[len(id)-1]
	other := byte('0')
	if last == other {
		other = '1'
	}
	return id[:len(id)-1] + string(other)
}

func testOwnOnly(t *testing.T, s Setup) {
	if s.Foreign == nil {
		t.Skip("this setup has no other installation")
	}
	foreign := s.Foreign(t)
	own := s.create(t, "own")
	s.running(t, own.ID)
	all, err := s.Driver.List(t.Context())
	require.NoError(t, err)
	for _, m := range all {
		require.NotEqual(t, foreign, m.ID, "a machine of another installation is listed")
	}
}

func testCanceled(t *testing.T, s Setup) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Driver.Create(ctx, "canceled", s.Model, s.boot("canceled", ""))
	require.Error(t, err)
	_, err = s.Driver.List(ctx)
	require.Error(t, err)
	all, err := s.Driver.List(t.Context())
	require.NoError(t, err, "the driver still works")
	for _, m := range all {
		require.NoError(t, s.Driver.Destroy(t.Context(), m.ID))
	}
}
