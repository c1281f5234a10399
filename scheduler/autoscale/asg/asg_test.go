package asg_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler/autoscale"
	"github.com/rondo-ci/rondo/scheduler/autoscale/asg"
	"github.com/rondo-ci/rondo/scheduler/autoscale/autoscaletest"
	"github.com/stretchr/testify/require"
)

var _ autoscale.Group = (*asg.Group)(nil)

func open(t testing.TB, fake *autoscaletest.Cloud) *asg.Cloud {
	c, err := asg.Open(context.Background(), asg.Config{HTTP: fake.Client(), Region: "us-west-2", Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", "")})
	require.NoError(t, err)
	return c
}

// server is one that knows a node, whose last task ends at an instant.
type server struct {
	mu      sync.Mutex
	ends    time.Time
	drained int
	fail    func(call int) error
	calls   int
}

func (s *server) Drain(context.Context, string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.fail != nil {
		if err := s.fail(s.calls); err != nil {
			return err
		}
	}
	s.drained++
	return nil
}

func (s *server) Allocations(context.Context, string) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls++; s.fail != nil {
		if err := s.fail(s.calls); err != nil {
			return 0, err
		}
	}
	if time.Now().Before(s.ends) {
		return 1, nil
	}
	return 0, nil
}

// ended asserts that the machine went by the hook's word, after its work, and
// that heartbeats came at least so often as to be sure.
func ended(t *testing.T, fake *autoscaletest.Cloud, after time.Time) {
	t.Helper()
	i := fake.Instances()[0]
	require.Equal(t, "Terminated", i.State)
	require.Equal(t, "CONTINUE", i.Why)
	require.False(t, i.Ended.Before(after), "it was ended at %v, before its work at %v", i.Ended, after)
	require.WithinDuration(t, after, i.Ended, 15*time.Second)
}

// A machine with a job of 90 s is ended when that job has ended, although the
// hook would wait for 30 s only.
func TestASC04_HookWaitsForTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := autoscaletest.New("clients", "drain", 30*time.Second, 1, 9, nil)
		s := &server{}
		l, err := asg.NewLifecycle(open(t, fake), s, asg.LifecycleConfig{Node: "n1", State: filepath.Join(t.TempDir(), "state")})
		require.NoError(t, err)
		over := make(chan error, 1)
		go func() { over <- l.Run(t.Context()) }()
		time.Sleep(20 * time.Minute) // nobody wants to end it
		require.Zero(t, s.drained)
		require.Empty(t, fake.Calls())

		s.mu.Lock()
		s.ends = time.Now().Add(90 * time.Second)
		s.mu.Unlock()
		fake.Terminate(fake.Instances()[0].ID)
		require.NoError(t, <-over)
		ended(t, fake, s.ends)
		require.Equal(t, 1, s.drained)
		beats := fake.Instances()[0].Beats
		require.GreaterOrEqual(t, len(beats), 9)
		for i := 1; i < len(beats); i++ {
			require.LessOrEqual(t, beats[i].Sub(beats[i-1]), 10*time.Second, "a third of what the hook allows")
		}
	})
}

// Amazon throttles, the metadata fails, the server is away: it goes on.
func TestASC04_HookSurvivesFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := autoscaletest.New("clients", "drain", time.Hour, 1, 9, nil)
		for range 7 {
			fake.Fail("IMDS", autoscaletest.Fault{Status: 500})
			for _, action := range []string{"DescribeAutoScalingInstances", "DescribeLifecycleHooks", "RecordLifecycleActionHeartbeat", "CompleteLifecycleAction"} {
				fake.Fail(action, autoscaletest.Throttling(), autoscaletest.Broken())
			}
		}
		s := &server{fail: func(call int) error {
			if call < 30 {
				return fmt.Errorf("no server answers")
			}
			return nil
		}}
		fake.Terminate(fake.Instances()[0].ID)
		l, err := asg.NewLifecycle(open(t, fake), s, asg.LifecycleConfig{Node: "n1"})
		require.NoError(t, err)
		require.NoError(t, l.Run(t.Context()))
		i := fake.Instances()[0]
		require.Equal(t, "CONTINUE", i.Why)
		require.NotEmpty(t, i.Beats)
		require.Equal(t, 1, s.drained)
	})
}

// The program is ended every few seconds, at any point, and goes on each time.
func TestASC04_HookSurvivesItsOwnRestarts(t *testing.T) {
	for _, life := range []time.Duration{3 * time.Second, 7 * time.Second, 11 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			fake := autoscaletest.New("clients", "drain", 60*time.Second, 1, 9, nil)
			s := &server{ends: time.Now().Add(5 * time.Minute)}
			fake.Terminate(fake.Instances()[0].ID)
			state := filepath.Join(t.TempDir(), "state")
			purged := 0
			for range 1000 {
				l, err := asg.NewLifecycle(open(t, fake), s, asg.LifecycleConfig{Node: "n1", State: state, Purge: func(context.Context, string) error { purged++; return nil }})
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), life)
				err = l.Run(ctx)
				cancel()
				if err == nil {
					break
				}
				require.ErrorIs(t, err, context.DeadlineExceeded)
			}
			ended(t, fake, s.ends)
			require.Equal(t, 1, s.drained, "the file says that it drains")
			require.Equal(t, 1, purged)
			calls := slices.DeleteFunc(fake.Calls(), func(c string) bool { return c != "CompleteLifecycleAction" })
			require.Len(t, calls, 1)
			l, err := asg.NewLifecycle(open(t, fake), s, asg.LifecycleConfig{Node: "n1", State: state})
			require.NoError(t, err)
			require.NoError(t, l.Run(t.Context()), "once more is nothing")
		})
	}
}

// A spot notice drains as well, and a node that the server does not know counts
// as empty after a while, not at once.
func TestASC04_SpotAndUnknownNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := autoscaletest.New("clients", "", time.Hour, 1, 9, nil) // without a hook
		fake.SpotNotice(time.Now().Add(2 * time.Minute))
		s := &server{ends: time.Now().Add(time.Minute)}
		l, err := asg.NewLifecycle(open(t, fake), s, asg.LifecycleConfig{Node: "n1"})
		require.NoError(t, err)
		require.NoError(t, l.Run(t.Context()))
		require.Equal(t, 1, s.drained)

		began := time.Now()
		s.fail = func(int) error { return fmt.Errorf("node n1: %w", ci.ErrNotFound) }
		l, err = asg.NewLifecycle(open(t, fake), s, asg.LifecycleConfig{Node: "n1", Now: true})
		require.NoError(t, err)
		require.NoError(t, l.Run(t.Context()))
		require.GreaterOrEqual(t, time.Since(began), 10*time.Minute)
	})
	_, err := asg.NewLifecycle(nil, nil, asg.LifecycleConfig{})
	require.ErrorIs(t, err, ci.ErrInvalid)
}

// As many clients join as the group must have, and more when more are wanted.
func TestASC01_GroupSetsTheNumberOfClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		joined := map[string]bool{}
		fake := autoscaletest.New("clients", "drain", time.Hour, 3, 9, func(id string) {
			mu.Lock()
			defer mu.Unlock()
			joined[id] = true
		})
		require.Len(t, joined, 3)
		g := open(t, fake).Group("clients")
		s := autoscale.NewScaler(g, autoscale.Static(5), nil, nil)
		fake.Fail("SetDesiredCapacity", autoscaletest.Throttling())
		n, err := s.Decide(t.Context(), time.Now())
		require.NoError(t, err)
		require.Equal(t, 5, n)
		require.Len(t, joined, 5)
		n, err = autoscale.NewScaler(g, autoscale.Static(50), nil, nil).Decide(t.Context(), time.Now())
		require.NoError(t, err)
		require.Equal(t, 9, n, "the group's most")
		_, _, _, err = open(t, fake).Group("others").Bounds(t.Context())
		require.ErrorIs(t, err, ci.ErrNotFound)
	})
}

func ExampleNewLifecycle() {
	fake := autoscaletest.New("clients", "drain", time.Hour, 1, 3, nil)
	cloud, err := asg.Open(context.Background(), asg.Config{
		HTTP: fake.Client(), Region: "us-west-2", Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""),
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fake.Terminate(fake.Instances()[0].ID)
	l, err := asg.NewLifecycle(cloud, &server{}, asg.LifecycleConfig{Node: "client-1"})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.Run(context.Background()), fake.Instances()[0].State)
	// Output: <nil> Terminated
}
