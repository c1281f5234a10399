package autoscale_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/autoscale"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A schedule is followed to the minute over two weeks in which the clocks
// change, in spring and in autumn.
func TestASC02_ScheduleOverTwoWeeksWithDST(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	require.NoError(t, err)
	p, err := autoscale.Parse("schedule:tz=Europe/Berlin;mon-fri 07:30=12;mon-fri 19:00=2;sun 02:30=3", nil)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		from time.Time
		sun  string // when the rule of the hour that changes comes into force, in UTC
	}{
		"spring": {time.Date(2026, 3, 23, 0, 0, 0, 0, berlin), "2026-03-29T01:00:00Z"},  // 02:30 is left out: at the change
		"autumn": {time.Date(2026, 10, 19, 0, 0, 0, 0, berlin), "2026-10-25T00:30:00Z"}, // 02:30 comes twice: the first
	} {
		t.Run(name, func(t *testing.T) {
			change, err := time.Parse(time.RFC3339, c.sun)
			require.NoError(t, err)
			g := &group{desired: 1, most: 100}
			s := autoscale.NewScaler(g, p, nil, nil)
			for now := c.from; now.Before(c.from.AddDate(0, 0, 14)); now = now.Add(time.Minute) {
				got, err := s.Decide(t.Context(), now)
				require.NoError(t, err)
				local := now.In(berlin)
				clock := local.Hour()*60 + local.Minute()
				want := 2
				switch local.Weekday() {
				case time.Sunday:
					if second := !now.Before(c.from.AddDate(0, 0, 7)); !second && !now.Before(change) || second && clock >= 150 {
						want = 3
					}
				case time.Saturday:
				default:
					switch {
					case clock >= 450 && clock < 1140:
						want = 12
					case local.Weekday() == time.Monday && clock < 450:
						want = 3
					}
				}
				require.Equal(t, want, got, "%v", local)
			}
			require.LessOrEqual(t, len(g.sizes), 2*(5+5+1)+1, "it only speaks when something changes")
		})
	}
}

// group is one in memory.
type group struct {
	desired, least, most int
	sizes                []int
}

func (g *group) Bounds(context.Context) (int, int, int, error) {
	return g.desired, g.least, g.most, nil
}
func (g *group) Resize(_ context.Context, n int) error {
	g.desired = n
	g.sizes = append(g.sizes, n)
	return nil
}

// Most work starts within a second, what is expensive within ten: the policy
// that is recommended keeps that, and costs less than a fleet that never
// changes.
func TestASC03_RecommendMeetsBothTargets(t *testing.T) {
	jobs, err := autoscale.Traffic{Span: 14 * 24 * time.Hour, Peak: 120, Shape: autoscale.Office, Spread: 0.7}.Jobs(7)
	require.NoError(t, err)
	for i := range jobs {
		if i%40 == 0 {
			jobs[i].Class, jobs[i].Parallelism = "large", 4
		}
	}
	all, err := autoscale.Recommend(t.Context(), jobs, autoscale.DefaultFleet(), autoscale.Goal{}, nil, 1)
	require.NoError(t, err)
	best := all[0]
	require.True(t, best.Meets)
	require.GreaterOrEqual(t, best.UsualShare, 0.95)
	require.GreaterOrEqual(t, best.HeavyShare, 0.95)
	require.Greater(t, best.Saves, 0.1, "%v", best.Policy)
	require.NotZero(t, best.Heavy.Builds)
	again, err := autoscale.Recommend(t.Context(), jobs, autoscale.DefaultFleet(), autoscale.Goal{}, nil, 1)
	require.NoError(t, err)
	require.Equal(t, best.Result.Cost, again[0].Result.Cost)
}

// Nodes come and go during 200 builds, and none of them is hurt: what drains
// finishes what it has.
func TestASC05_ScalingHurtsNoBuild(t *testing.T) {
	jobs, err := autoscale.Traffic{Span: 2 * time.Hour, Peak: 100, Spread: 1}.Jobs(3)
	require.NoError(t, err)
	f := autoscale.DefaultFleet()
	f.Boot, f.BootP95, f.BootFailure = time.Minute, 3*time.Minute, 0.2
	r, err := autoscale.Simulate(jobs, f, autoscale.Target(0.6), 1)
	require.NoError(t, err)
	require.Positive(t, r.Ups)
	require.Positive(t, r.Downs)
	require.Zero(t, r.Killed)
	f.DrainDeadline = time.Second // as peers that end nodes on a deadline do
	r, err = autoscale.Simulate(jobs, f, autoscale.Target(0.6), 1)
	require.NoError(t, err)
	require.Positive(t, r.Killed)
}

// On one trace more machines never raise a wait; without boots and bounds
// nobody waits; the same arguments give the same result.
func TestSimulate_Properties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		jobs, err := autoscale.Traffic{
			Span: 12 * time.Hour, Peak: rapid.Float64Range(1, 120).Draw(t, "peak"), Shape: autoscale.Sine, Batch: rapid.IntRange(1, 5).Draw(t, "batch"),
			Spread: 1, Parallelism: rapid.IntRange(1, 4).Draw(t, "parallel"),
		}.Jobs(rapid.Uint64().Draw(t, "seed"))
		require.NoError(t, err)
		if len(jobs) == 0 {
			return
		}
		f := one(5*time.Minute, 1)
		n := rapid.IntRange(1, 30).Draw(t, "nodes")
		few, err := autoscale.Simulate(jobs, f, autoscale.Static(n), 1)
		require.NoError(t, err)
		more, err := autoscale.Simulate(jobs, f, autoscale.Static(n+1), 1)
		require.NoError(t, err)
		require.LessOrEqual(t, more.All.Max, few.All.Max)
		require.LessOrEqual(t, more.All.Mean, few.All.Mean+1e-9)
		f.Boot, f.Every = 0, autoscale.Always
		none, err := autoscale.Simulate(jobs, f, autoscale.Headroom{}, 1)
		require.NoError(t, err)
		require.Zero(t, none.All.Max)
		f.Boot, f.BootP95, f.Every = time.Minute, 4*time.Minute, 0
		a, err := autoscale.Simulate(jobs, f, autoscale.Headroom{Spare: 1}, 9)
		require.NoError(t, err)
		b, err := autoscale.Simulate(jobs, f, autoscale.Headroom{Spare: 1}, 9)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(a, b, cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "within" }, cmp.Ignore())))
	})
}

func TestParse(t *testing.T) {
	week, err := autoscale.Learn([]autoscale.Job{{Queued: time.Unix(0, 0), Run: time.Hour}}, autoscale.DefaultFleet(), nil)
	require.NoError(t, err)
	for _, form := range autoscale.Forms() {
		text := form[0]
		if text == "hybrid:A+B" {
			text = "hybrid:static:1+headroom:spare=1,beta=0"
		}
		p, err := autoscale.Parse(text, week)
		require.NoError(t, err, text)
		again, err := autoscale.Parse(p.String(), week)
		require.NoError(t, err, p.String())
		require.Equal(t, p.String(), again.String())
	}
	for text, why := range map[string]string{
		"": "no such kind", "static:-1": "no number of nodes", "target:0": "no share", "step:lo=1": `no option "lo"`,
		"schedule:tz=Mars/Base": "no time zone", "schedule:mon-fry 07:00=1": "no day", "schedule:mon 25:00=1": "no time of a day", "hybrid:static:1": "two policies",
	} {
		_, err := autoscale.Parse(text, nil)
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorContains(t, err, why)
	}
	_, err = autoscale.Parse("forecast:", nil)
	require.ErrorContains(t, err, "no history")
}

func FuzzParse(f *testing.F) {
	for _, form := range autoscale.Forms() {
		f.Add(form[0])
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := autoscale.Parse(text, nil); err == nil {
			_ = p.String()
			p.Start()(autoscale.View{Now: time.Unix(1e9, 0), Nodes: 1})
		}
	})
}

func FuzzReadTrace(f *testing.F) {
	f.Add("queued_at,run_s,class,parallelism\n2026-01-05T10:00:00Z,300,medium,2\n")
	f.Add("JOB_RUN_QUEUED_AT,JOB_RUN_SECONDS,RESOURCE_CLASS\n2026-01-05T10:00:00.000Z,,\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := autoscale.ReadTrace(strings.NewReader(text)); err != nil {
			require.ErrorIs(t, err, ci.ErrInvalid)
		}
	})
}

func TestReadTrace(t *testing.T) {
	jobs, err := autoscale.ReadTrace(strings.NewReader("queued_at,run_s,class,parallelism\n2026-01-05T10:00:05Z,300.5,medium,2\n1767607200,1,,\n"))
	require.NoError(t, err)
	require.Equal(t, []autoscale.Job{
		{Queued: time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC), Run: time.Second},
		{Queued: time.Date(2026, 1, 5, 10, 0, 5, 0, time.UTC), Run: 300500 * time.Millisecond, Class: "medium", Parallelism: 2},
	}, jobs)
	jobs, err = autoscale.ReadTrace(strings.NewReader("JOB_NAME,JOB_RUN_QUEUED_AT,JOB_RUN_STARTED_AT,JOB_RUN_STOPPED_AT\na,2026-01-05 10:00:00,2026-01-05 10:00:01,2026-01-05 10:01:01\nb,2026-01-05 10:00:00,,\n"))
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	require.Equal(t, time.Minute, jobs[0].Run)
	_, err = autoscale.ReadTrace(strings.NewReader("queued_at,run_s\n2026-01-05T10:00:05Z,1\nyesterday,1\n"))
	require.ErrorContains(t, err, `line 3: queued_at: "yesterday" is no time`)
	_, err = autoscale.ReadTrace(strings.NewReader("when,what\n"))
	require.ErrorContains(t, err, "there are when, what")
}

func TestSimulate_Refuses(t *testing.T) {
	at := []autoscale.Job{{Run: time.Second, Class: "2xlarge+"}}
	_, err := autoscale.Simulate(at, autoscale.DefaultFleet(), autoscale.Static(1), 1)
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "20 CPU")
	f := autoscale.DefaultFleet()
	f.Min = 0
	_, err = autoscale.Simulate([]autoscale.Job{{Run: time.Second}}, f, autoscale.Static(0), 1)
	require.ErrorContains(t, err, "orders no node")
	_, err = autoscale.Simulate(nil, f, autoscale.Static(0), 1)
	require.NoError(t, err)
}

func TestAWS(t *testing.T) {
	p, err := autoscale.Parse("hybrid:schedule:tz=Europe/Berlin;mon-fri 07:30=12;* 19:00=2+step:low=2,high=6,period=5m,up=2", nil)
	require.NoError(t, err)
	e, err := autoscale.AWS(p, "FreeNodes")
	require.NoError(t, err)
	require.Equal(t, []autoscale.ScheduledAction{
		{Name: "rondo-mon-fri-0730", Recurrence: "30 7 * * 1,2,3,4,5", TimeZone: "Europe/Berlin", MinSize: 12, DesiredCapacity: 12},
		{Name: "rondo-daily-1900", Recurrence: "0 19 * * *", TimeZone: "Europe/Berlin", MinSize: 2, DesiredCapacity: 2},
	}, e.Scheduled)
	require.Len(t, e.Alarms, 2)
	_, err = autoscale.AWS(autoscale.Target(0.5), "")
	require.ErrorIs(t, err, ci.ErrInvalid)
}

func TestSlots(t *testing.T) { // of the guide's client sizes, 2 CPUs and 4 GiB kept
	for machine, want := range map[[2]int]int{{4, 16}: 1, {8, 32}: 3, {16, 64}: 7, {64, 128}: 31} {
		f := autoscale.DefaultFleet()
		f.Node = scheduler.Resources{CPU: float64(machine[0] - 2), MemoryMB: machine[1]<<10 - 4096}
		f.Classes = scheduler.DefaultClasses()
		require.Equal(t, want, f.Slots("medium"), "%v", machine)
	}
}

func ExampleSimulate() {
	jobs, err := autoscale.Traffic{Peak: 50}.Jobs(1)
	if err != nil {
		fmt.Println(err)
		return
	}
	r, err := autoscale.Simulate(jobs, autoscale.DefaultFleet(), autoscale.Static(3), 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%d builds waited %.2f s on average\n", r.All.Builds, r.All.Mean)
	var svg bytes.Buffer
	fmt.Println(autoscale.WriteChart(&svg, r, nil))
	// Output:
	// 8352 builds waited 1.20 s on average
	// <nil>
}
