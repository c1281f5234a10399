package datadog_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/metrics"
	"github.com/rondo-ci/rondo/metrics/datadog"
	"github.com/rondo-ci/rondo/metrics/metricstest"
	"github.com/stretchr/testify/require"
)

const key = "0123456789abcdef0123456789abcdef"

func open(t *testing.T) (*datadog.Sink, *metricstest.DataDog) {
	intake := metricstest.NewDataDog(key)
	t.Cleanup(intake.Close)
	s, err := datadog.New(datadog.Config{Key: key, URL: intake.URL, Host: "ci-1"})
	require.NoError(t, err)
	return s, intake
}

func TestMET10_Suite(t *testing.T) {
	metricstest.TestSink(t, func(t *testing.T) (metrics.Sink, func(bool)) {
		s, intake := open(t)
		return s, func(on bool) {
			if on {
				intake.Answer(http.StatusServiceUnavailable, nil)
			} else {
				intake.Answer(0, nil)
			}
		}
	})
}

func TestMET10_Series(t *testing.T) {
	s, intake := open(t)
	require.NoError(t, s.Write(t.Context(), metricstest.Figures(time.Unix(1_700_000_000, 0))))
	got := map[string]metricstest.DataDogSeries{}
	for _, x := range intake.Series() {
		got[x.Metric] = x
	}
	pending := got["circle.nomad.server_agent.jobs.pending"]
	require.Equal(t, 3, pending.Type)
	require.EqualValues(t, 1_700_000_000, pending.Points[0].Timestamp)
	require.EqualValues(t, 7, pending.Points[0].Value)
	require.Equal(t, "ci-1", pending.Resources[0].Name)
	ended := got["jobs.ended_total"]
	require.Equal(t, 1, ended.Type)
	require.EqualValues(t, 10, ended.Interval)
	require.Equal(t, []string{"Env:Produktion – Süd", "status:success"}, ended.Tags)
	require.EqualValues(t, 2004, got["queue.wait.count"].Points[0].Value)
	require.InDelta(t, 0.98, got["queue.wait.median"].Points[0].Value, 0.05)
}

func TestMET10_Answers(t *testing.T) {
	s, intake := open(t)
	intake.Key = "other"
	var all *metrics.AllRefused
	err := s.Write(t.Context(), metricstest.Figures(time.Now()))
	require.ErrorAs(t, err, &all)
	require.ErrorContains(t, err, "the API key is not good for this site")
	require.NotContains(t, err.Error(), key)
	intake.Key = key
	intake.Answer(http.StatusTooManyRequests, http.Header{"Retry-After": {"17"}})
	var limit *metrics.Limit
	require.ErrorAs(t, s.Write(t.Context(), metricstest.Figures(time.Now())), &limit)
	require.Equal(t, 17*time.Second, limit.After)
	for _, code := range []int{400, 413} {
		intake.Answer(code, nil)
		err = s.Write(t.Context(), metricstest.Figures(time.Now()))
		require.ErrorIs(t, err, metrics.ErrRefused)
		require.NotErrorAs(t, err, &all)
	}
	intake.Answer(0, nil)
	// Too much for one request is refused before it is sent, for the hub to halve.
	var many []metrics.Sample
	for i := range 40_000 {
		many = append(many, metrics.Sample{Name: fmt.Sprintf("n%d.%s", i, strings.Repeat("x", 100)), Kind: metrics.Gauge, Time: time.Now()})
	}
	require.ErrorIs(t, s.Write(t.Context(), many), metrics.ErrRefused)
}

func TestMET10_Fields(t *testing.T) {
	for _, c := range []struct {
		cfg  datadog.Config
		says string
	}{
		{datadog.Config{}, "API key is missing"},
		{datadog.Config{Key: "short"}, "32 hexadecimal digits"},
		{datadog.Config{Key: key, Site: "https://app.datadoghq.eu/"}, "write datadoghq.com"},
	} {
		_, err := datadog.New(c.cfg)
		require.ErrorIs(t, err, ci.ErrInvalid)
		require.ErrorContains(t, err, c.says)
	}
}

func TestMET14_DogStatsD(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	s, err := datadog.NewStatsD(conn.LocalAddr().String())
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), metricstest.Figures(time.Now())))
	require.NoError(t, s.Close())
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(5*time.Second)))
	text := ""
	for buf := make([]byte, 65536); !strings.Contains(text, "queue.wait.min"); {
		n, _, err := conn.ReadFrom(buf)
		require.NoError(t, err)
		text += string(buf[:n])
	}
	for _, want := range []string{"circle.nomad.server_agent.jobs.pending:7|g", "jobs.ended_total:3|c|#Env:Produktion – Süd,status:success", "queue.wait.count:2004|c|#class:medium"} {
		require.Contains(t, text, want)
	}
}

func ExampleNew() {
	intake := metricstest.NewDataDog(key)
	defer intake.Close()
	s, err := datadog.New(datadog.Config{Key: key, URL: intake.URL})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = s.Write(context.Background(), []metrics.Sample{{Name: "queue.run", Kind: metrics.Gauge, Value: 7, Time: time.Now()}})
	fmt.Println(err, intake.Series()[0].Metric, intake.Series()[0].Points[0].Value)
	// Output: <nil> queue.run 7
}
