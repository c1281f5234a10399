package datadog

import (
	"context"
	"fmt"

	"github.com/DataDog/datadog-go/v5/statsd"
	"github.com/rondo-ci/rondo/metrics"
)

// A StatsD writes to an agent of DataDog, or to any other server of DogStatsD.
type StatsD struct{ client *statsd.Client }

// NewStatsD returns a sink that sends to an address: host:port, or
// unix:///var/run/datadog/dsd.socket. UDP never says whether anybody listens.
// Close frees it.
func NewStatsD(address string) (*StatsD, error) {
	c, err := statsd.New(address, statsd.WithoutTelemetry(), statsd.WithoutClientSideAggregation(), statsd.WithoutOriginDetection())
	if err != nil {
		return nil, fmt.Errorf("datadog: statsd at %q: %w", address, err)
	}
	return &StatsD{c}, nil
}

// Close sends what waits and closes the socket.
func (s *StatsD) Close() error { return s.client.Close() }

// Write implements metrics.Sink. A spread is sent as the figures that a [Sink]
// makes of it, since DogStatsD has no form for many values at once.
func (s *StatsD) Write(ctx context.Context, samples []metrics.Sample) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, x := range samples {
		for _, f := range figures(x) {
			var err error
			if f.kind == typeCount {
				err = s.client.Count(f.name, int64(f.value+0.5), statsdTags(x.Tags), 1)
			} else {
				err = s.client.Gauge(f.name, f.value, statsdTags(x.Tags), 1)
			}
			if err != nil {
				return fmt.Errorf("datadog: statsd: %w", err)
			}
		}
	}
	return s.client.Flush()
}

func statsdTags(all []metrics.Tag) []string {
	var out []string
	for _, t := range all {
		out = append(out, t.Key+":"+t.Value)
	}
	return out
}
