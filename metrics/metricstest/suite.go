package metricstest

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/metrics"
	"github.com/stretchr/testify/require"
)

// Figures returns samples of all kinds, with what platforms find hard: tags
// with blanks, quotes and other letters, long names, huge and tiny values.
func Figures(at time.Time) []metrics.Sample {
	var k metrics.Sketch
	for i := range 2000 {
		k.Add(math.Exp(float64(i-1000)/100), 1)
	}
	k.Add(0, 3)
	k.Add(-2.5, 1)
	s := func(name string, kind metrics.Kind, v float64, tags ...string) metrics.Sample {
		return metrics.Sample{Name: name, Kind: kind, Value: v, Tags: metrics.Tags(tags...), Time: at, Interval: 10 * time.Second}
	}
	return []metrics.Sample{
		s("circle.nomad.server_agent.jobs.pending", metrics.Gauge, 7),
		s("jobs.ended_total", metrics.Count, 3, "status", "success", "Env", "Produktion – Süd"),
		s("cpu.usage_user", metrics.Gauge, 12.5, "cpu", "cpu-total", "host", "ci-1"),
		s("odd name,with=all \"of\" it\\", metrics.Gauge, -1.5, "a b", "c,d=e f\"g\\"),
		s("tiny", metrics.Gauge, 5e-324), s("huge", metrics.Gauge, math.MaxFloat64),
		s(strings.Repeat("long.", 60), metrics.Count, 1),
		{Name: "queue.wait", Kind: metrics.Dist, Sketch: &k, Tags: metrics.Tags("class", "medium"), Time: at, Interval: 10 * time.Second},
	}
}

// TestSink runs the suite for sinks. open returns a sink whose platform takes
// what is right, and how to make the platform fail and work again.
func TestSink(t *testing.T, open func(t *testing.T) (s metrics.Sink, fail func(on bool))) {
	t.Run("TakesAllKinds", func(t *testing.T) {
		s, _ := open(t)
		require.NoError(t, s.Write(t.Context(), Figures(time.Now())))
		require.NoError(t, s.Write(t.Context(), nil))
	})
	t.Run("ManyAtOnce", func(t *testing.T) {
		s, _ := open(t)
		var many []metrics.Sample
		for range 300 {
			many = append(many, Figures(time.Now())...)
		}
		require.NoError(t, s.Write(t.Context(), many[:1000]))
	})
	t.Run("FailsAndComesBack", func(t *testing.T) {
		s, fail := open(t)
		if fail == nil {
			t.Skip("this platform never answers")
		}
		fail(true)
		err := s.Write(t.Context(), Figures(time.Now())[:1])
		require.Error(t, err)
		require.NotErrorIs(t, err, metrics.ErrRefused)
		fail(false)
		require.NoError(t, s.Write(t.Context(), Figures(time.Now())[:1]))
	})
	t.Run("EndsWithItsContext", func(t *testing.T) {
		s, fail := open(t)
		if fail == nil {
			t.Skip("this platform never answers")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.Error(t, s.Write(ctx, Figures(time.Now())[:1]))
	})
}
