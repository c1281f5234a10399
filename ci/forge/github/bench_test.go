package github_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/forge/forgetest"
	"github.com/rondo-ci/rondo/ci/forge/github"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// BenchmarkWebhook measures a push from the webhook to the 2xx, with SQLite and
// its fsyncs: pipeline and delivery are durable then.
func BenchmarkWebhook(b *testing.B) {
	db, err := sqldb.Open(b.Context(), filepath.Join(b.TempDir(), "rondo.db"), sqldb.Config{})
	require.NoError(b, err)
	defer db.Close()
	server := ci.New(db, nil, ci.Config{})
	fake := forgetest.Unplugged(b)
	host, err := github.New(db, github.Config{
		URL: fake.URL(), Server: address, Transport: fake.Transport(), Trigger: server.Trigger,
		Token:   func(context.Context) (string, error) { return forgetest.Token, nil },
		Secrets: func(context.Context, ci.ProjectID) ([]string, error) { return []string{secret}, nil },
	})
	require.NoError(b, err)
	r := fake.Repo("acme/shop")
	_, err = host.Follow(b.Context(), "gh/acme/shop", true, ci.Actor{})
	require.NoError(b, err)
	r.AddHook("https://nobody.example.com", secret, "push")
	fake.SendBy(roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	}))
	r.Push("main", "one", nil) // a payload of the usual size
	payload := string(last(b, r).Payload)
	hash := payload[strings.Index(payload, `"after":"`)+9:][:40]
	door := host.Handler()
	var times []time.Duration
	i := 0
	for b.Loop() {
		i++
		body := strings.ReplaceAll(payload, hash, fmt.Sprintf("%040x", i))
		req := httptest.NewRequest(http.MethodPost, github.HookPath, strings.NewReader(body))
		req.Header = http.Header{
			"Content-Type": {"application/json"}, "X-Github-Event": {"push"}, "X-Github-Delivery": {fmt.Sprint("delivery-", i)},
			"X-Hub-Signature-256": {forgetest.Sign(secret, []byte(body))},
		}
		rec := httptest.NewRecorder()
		start := time.Now()
		door.ServeHTTP(rec, req)
		times = append(times, time.Since(start))
		if rec.Code != http.StatusOK {
			b.Fatal(rec.Code, rec.Body)
		}
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds())/1000, "p99-ms")
}
