package main

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/autoscale"
	"github.com/spf13/cobra"
)

// What a Nomad client keeps of its machine for coordination, as the guide says.
const (
	keptCPU      = 2
	keptMemoryMB = 4096
)

// traceFlags say which builds are played, and against what.
type traceFlags struct {
	file, org, zone, shape, class string
	days, batch, parallel         int
	perHour, spread               float64
	run                           time.Duration
	seed                          uint64

	cpu, memoryMB int // of a whole machine
	fleet         autoscale.Fleet
}

func (t *traceFlags) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.file, "trace", "", "CSV of builds, or a usage export; - is standard input")
	f.StringVar(&t.org, "org", "", "organization, as in gh/acme, whose builds the server is asked for")
	f.IntVar(&t.days, "days", 28, "of history, or of made-up traffic")
	f.StringVar(&t.shape, "traffic", "", "made-up builds: steady, sine or office")
	f.Float64Var(&t.perHour, "per-hour", 60, "builds an hour when made-up traffic is busiest")
	f.DurationVar(&t.run, "run", 5*time.Minute, "mean time that a made-up build takes")
	f.Float64Var(&t.spread, "spread", 0.7, "how different made-up builds are; 0 is not at all, 1 is much")
	f.StringVar(&t.class, "class", "medium", "resource class of made-up builds")
	f.IntVar(&t.batch, "batch", 1, "made-up builds that come at once, as of one push")
	f.IntVar(&t.parallel, "parallelism", 1, "of made-up builds")
	f.StringVar(&t.zone, "tz", "UTC", "time zone of the people whose days these are, as in Europe/Berlin")
	f.Uint64Var(&t.seed, "seed", 1, "of chance: the same one gives the same result")
	d := autoscale.DefaultFleet()
	f.IntVar(&t.cpu, "node-cpu", 8, "CPUs of a machine, of which a client keeps 2 for itself")
	f.IntVar(&t.memoryMB, "node-memory", 32<<10, "MB of a machine, of which a client keeps 4096 for itself")
	f.Float64Var(&t.fleet.Price, "price", d.Price, "dollars for an hour of a machine")
	f.DurationVar(&t.fleet.MinBill, "min-bill", d.MinBill, "of a machine, that is paid at least")
	f.DurationVar(&t.fleet.Boot, "boot", d.Boot, "from the order of a machine to when it is ready, half of the time")
	f.DurationVar(&t.fleet.BootP95, "boot-p95", 0, "what 19 of 20 boots stay below; 0 is that all take the same")
	f.Float64Var(&t.fleet.BootFailure, "boot-failure", 0, "share of machines that never come up")
	f.Float64Var(&t.fleet.DeveloperHour, "developer-hour", d.DeveloperHour, "dollars that an hour of waiting costs")
	f.IntVar(&t.fleet.Min, "min", d.Min, "nodes that there are always")
	f.IntVar(&t.fleet.Max, "max", 0, "nodes that there are at most; 0 is as many as the policy says")
	f.DurationVar(&t.fleet.DrainDeadline, "drain-deadline", 0, "after which a node that goes kills what still runs; 0 is never")
}

// read gets the builds and the fleet.
func (t *traceFlags) read(cmd *cobra.Command) ([]autoscale.Job, autoscale.Fleet, *time.Location, error) {
	fleet := t.fleet
	usage := func(format string, args ...any) ([]autoscale.Job, autoscale.Fleet, *time.Location, error) {
		return nil, fleet, nil, codeError{exitUsage, fmt.Errorf(format, args...)}
	}
	zone, err := time.LoadLocation(t.zone)
	if err != nil {
		return usage("there is no time zone %q; write one as in Europe/Berlin", t.zone)
	}
	if t.cpu <= keptCPU || t.memoryMB <= keptMemoryMB {
		return usage("a client keeps %d CPUs and %d MB for itself: with %d CPUs and %d MB there is nothing left for tasks", keptCPU, keptMemoryMB, t.cpu, t.memoryMB)
	}
	fleet.Node = scheduler.Resources{CPU: float64(t.cpu - keptCPU), MemoryMB: t.memoryMB - keptMemoryMB}
	fleet.Classes = scheduler.DefaultClasses()
	chosen := 0
	for _, s := range []string{t.file, t.org, t.shape} {
		if s != "" {
			chosen++
		}
	}
	if chosen != 1 || t.days < 1 || t.days > 3650 {
		return usage("say which builds: one of --trace FILE, --org SLUG and --traffic SHAPE, with --days from 1 on")
	}
	var jobs []autoscale.Job
	switch {
	case t.org != "":
		jobs, err = history(cmd, t.org, t.days)
	case t.file == "-":
		jobs, err = autoscale.ReadTrace(cmd.InOrStdin())
	case t.file != "":
		jobs, err = traceFile(t.file)
	default:
		start := time.Date(2026, 1, 5, 0, 0, 0, 0, zone)
		jobs, err = autoscale.Traffic{
			Start: start, Span: time.Duration(t.days) * 24 * time.Hour, Peak: t.perHour, Shape: autoscale.Shape(t.shape),
			Run: t.run, Spread: t.spread, Class: t.class, Batch: t.batch, Parallelism: t.parallel,
		}.Jobs(t.seed)
	}
	if err == nil && len(jobs) == 0 {
		err = fmt.Errorf("there are no builds to play; try more --days, or --traffic office for made-up ones")
	}
	return jobs, fleet, zone, err
}

func traceFile(name string) ([]autoscale.Job, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	jobs, err := autoscale.ReadTrace(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return jobs, nil
}

// history asks the server what it ran, by usage exports of at most 32 days.
func history(cmd *cobra.Command, org string, days int) ([]autoscale.Job, error) {
	r, err := newRemote(cmd.Context())
	if err != nil {
		return nil, err
	}
	var all []autoscale.Job
	end := time.Now().UTC().Truncate(time.Second)
	for left := days; left > 0; left -= 31 {
		start := end.AddDate(0, 0, -min(left, 31))
		jobs, err := r.exported(cmd, org, start, end)
		if err != nil {
			return nil, fmt.Errorf("history of %s: %w", org, err)
		}
		all, end = append(jobs, all...), start
	}
	return all, nil
}

// exported makes an export and reads its files.
func (r *remote) exported(cmd *cobra.Command, org string, start, end time.Time) ([]autoscale.Job, error) {
	var made struct {
		ID   string   `json:"usage_export_job_id"`
		URLs []string `json:"download_urls"`
	}
	at := "/api/v2/organizations/" + strings.Trim(org, "/") + "/usage_export_job"
	body := map[string]string{"start": start.Format(time.RFC3339), "end": end.Format(time.RFC3339)}
	if err := r.decode(cmd.Context(), http.MethodPost, at, body, &made); err != nil {
		return nil, err
	}
	if err := r.decode(cmd.Context(), http.MethodGet, at+"/"+url.PathEscape(made.ID), nil, &made); err != nil {
		return nil, err
	}
	var all []autoscale.Job
	for _, address := range made.URLs {
		u, err := url.Parse(address) // the host may be one for browsers only
		if err != nil {
			return nil, err
		}
		res, err := r.send(cmd.Context(), http.MethodGet, cmp.Or(u.EscapedPath(), "/")+"?"+u.RawQuery, nil)
		if err != nil {
			return nil, err
		}
		jobs, err := autoscale.ReadTrace(io.LimitReader(res.Body, 1<<30))
		_ = res.Body.Close()
		if err != nil {
			return nil, err
		}
		all = append(all, jobs...)
	}
	return all, nil
}
