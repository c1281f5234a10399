// Package datadog takes figures to DataDog: a [Sink] by its HTTP API (series,
// version 2), a [StatsD] by DogStatsD to an agent of DataDog on this network.
//
// A spread becomes the figures that DataDog's own agent makes of a histogram:
// .count, .avg, .median, .95percentile, .99percentile, .max, .min.
//
// The package keeps nothing: what waits, and for how long, is the hub's.
package datadog

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/metrics"
)

// Config says where a Sink sends and as whom.
type Config struct {
	// Key is the API key. It is required.
	Key string
	// Site is that of the account: datadoghq.com (""), datadoghq.eu,
	// us3.datadoghq.com and so on.
	Site string
	// URL replaces https://api.<site>, for a proxy of DataDog's own kind.
	URL string
	// Host is the host that figures without a tag host belong to; "" is none.
	Host string
	// HTTP is the client; nil is http.DefaultClient.
	HTTP *http.Client
}

// The documented limits of a request (docs: Metrics, submit metrics, v2).
const (
	maxBody  = 512_000   // compressed
	maxPlain = 5_242_880 // not compressed
)

// A Sink writes to the HTTP API.
type Sink struct {
	cfg Config
	url string
}

// key matches an API key: 32 hexadecimal digits.
const keyForm = `^[0-9a-fA-F]{32}$`

// New returns a sink. A key or site that cannot be one is an error that wraps
// [ci.ErrInvalid] and names the field.
func New(cfg Config) (*Sink, error) {
	switch {
	case cfg.Key == "":
		return nil, fmt.Errorf("%w: datadog: the API key is missing (Organization Settings, API Keys)", ci.ErrInvalid)
	case cfg.URL == "" && !regexp.MustCompile(keyForm).MatchString(cfg.Key):
		return nil, fmt.Errorf("%w: datadog: the API key has 32 hexadecimal digits (an application key has 40 and is not wanted)", ci.ErrInvalid)
	}
	site := cfg.Site
	if site == "" {
		site = "datadoghq.com"
	}
	if strings.ContainsAny(site, "/:@ ") || !strings.Contains(site, ".") {
		return nil, fmt.Errorf("%w: datadog: site %q is none: write datadoghq.com, datadoghq.eu, us3.datadoghq.com ...", ci.ErrInvalid, site)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	s := &Sink{cfg: cfg, url: "https://api." + site}
	if cfg.URL != "" {
		s.url = strings.TrimSuffix(cfg.URL, "/")
	}
	s.url += "/api/v2/series"
	return s, nil
}

// The wire form of the API.
type (
	body struct {
		Series []series `json:"series"`
	}
	series struct {
		Metric    string     `json:"metric"`
		Type      int        `json:"type"`
		Interval  int64      `json:"interval,omitempty"`
		Points    []point    `json:"points"`
		Resources []resource `json:"resources,omitempty"`
		Tags      []string   `json:"tags,omitempty"`
	}
	point struct {
		Timestamp int64   `json:"timestamp"`
		Value     float64 `json:"value"`
	}
	resource struct {
		Type string `json:"type"`
		Name string `json:"name"`
	}
)

const (
	typeCount = 1
	typeGauge = 3
)

// Write implements metrics.Sink.
func (s *Sink) Write(ctx context.Context, samples []metrics.Sample) error {
	var b body
	for _, x := range samples {
		b.Series = append(b.Series, s.series(x)...)
	}
	if len(b.Series) == 0 {
		return nil
	}
	plain, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("%w: datadog: %w", metrics.ErrRefused, err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = z.Write(plain)
	if err = errors.Join(err, z.Close()); err != nil {
		return err
	}
	if packed.Len() > maxBody || len(plain) > maxPlain {
		return fmt.Errorf("%w: datadog: %d bytes are more than a request may have", metrics.ErrRefused, len(plain)) // the hub halves it
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, &packed)
	if err != nil {
		return fmt.Errorf("datadog: %w", err)
	}
	r.Header.Set("DD-API-KEY", s.cfg.Key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Content-Encoding", "gzip")
	res, err := s.cfg.HTTP.Do(r)
	if err != nil {
		return fmt.Errorf("datadog: %w", err)
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
	return verdict(res, strings.TrimSpace(string(text)))
}

// verdict says what an answer means.
func verdict(res *http.Response, text string) error {
	err := fmt.Errorf("datadog answers %d: %.200q", res.StatusCode, text)
	switch code := res.StatusCode; {
	case code/100 == 2:
		return nil
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return &metrics.AllRefused{Err: fmt.Errorf("%w: the API key is not good for this site", err)}
	case code == http.StatusBadRequest || code == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("%w: %w", metrics.ErrRefused, err)
	case code == http.StatusTooManyRequests || code >= 500:
		return &metrics.Limit{After: after(res.Header), Err: err}
	}
	return err
}

// after is what Retry-After or X-RateLimit-Reset asks for.
func after(h http.Header) time.Duration {
	for _, name := range []string{"Retry-After", "X-RateLimit-Reset"} {
		if n, err := strconv.Atoi(h.Get(name)); err == nil && n > 0 {
			return time.Duration(min(n, 600)) * time.Second
		}
	}
	return 0
}

// series returns what a sample is at DataDog.
func (s *Sink) series(x metrics.Sample) []series {
	one := series{Metric: x.Name, Tags: tags(x.Tags)}
	host := s.cfg.Host
	for _, t := range x.Tags {
		if t.Key == "host" {
			host = t.Value
		}
	}
	if host != "" {
		one.Resources = []resource{{"host", host}}
	}
	var all []series
	for _, f := range figures(x) {
		y := one
		y.Metric, y.Type, y.Points = f.name, f.kind, []point{{x.Time.Unix(), f.value}}
		if f.kind == typeCount {
			y.Interval = max(1, int64(x.Interval.Seconds()+0.5))
		}
		all = append(all, y)
	}
	return all
}

// A figure is one value under the name that it has at DataDog.
type figure struct {
	name  string
	kind  int
	value float64
}

// figures returns what a sample is at DataDog: itself, or for a spread what
// DataDog's own agent makes of a histogram.
func figures(x metrics.Sample) []figure {
	switch x.Kind {
	case metrics.Count:
		return []figure{{x.Name, typeCount, x.Value}}
	case metrics.Gauge:
		return []figure{{x.Name, typeGauge, x.Value}}
	}
	k := x.Sketch
	return []figure{
		{x.Name + ".count", typeCount, k.Count}, {x.Name + ".avg", typeGauge, k.Mean()}, {x.Name + ".median", typeGauge, k.Quantile(0.5)},
		{x.Name + ".95percentile", typeGauge, k.Quantile(0.95)}, {x.Name + ".99percentile", typeGauge, k.Quantile(0.99)},
		{x.Name + ".max", typeGauge, k.Max}, {x.Name + ".min", typeGauge, k.Min},
	}
}

func tags(all []metrics.Tag) []string {
	var out []string
	for _, t := range all {
		if t.Key != "host" {
			out = append(out, t.Key+":"+t.Value)
		}
	}
	return out
}
