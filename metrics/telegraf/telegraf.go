// Package telegraf runs Telegraf inside of a Go program: real configurations of
// Telegraf, its inputs for hosts and Docker, its outputs.
//
// A [Runner] reads the files of a folder (the guide's
// /etc/circleconfig/telegraf/*.conf), mends old spellings in memory as package
// doctor does, and runs them together as one agent. When a file changes, the
// agent of the new files takes the place of the old one, if they are right; when
// they are not, that is said with file and line and the old one stays. An input of
// StatsD of which nothing has changed goes on meanwhile.
//
// The package is a module of its own, because Telegraf brings a hundred others.
// It never changes a file.
package telegraf

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/influxdata/telegraf/agent"
	"github.com/influxdata/telegraf/config"
	"github.com/rondo-ci/rondo/metrics/doctor"

	// What configurations may name. Package doctor has the same list.
	_ "github.com/influxdata/telegraf/plugins/aggregators/basicstats"
	_ "github.com/influxdata/telegraf/plugins/inputs/cpu"
	_ "github.com/influxdata/telegraf/plugins/inputs/disk"
	_ "github.com/influxdata/telegraf/plugins/inputs/diskio"
	_ "github.com/influxdata/telegraf/plugins/inputs/docker"
	_ "github.com/influxdata/telegraf/plugins/inputs/mem"
	_ "github.com/influxdata/telegraf/plugins/inputs/net"
	_ "github.com/influxdata/telegraf/plugins/inputs/system"
	_ "github.com/influxdata/telegraf/plugins/outputs/cloudwatch"
	_ "github.com/influxdata/telegraf/plugins/outputs/datadog"
	_ "github.com/influxdata/telegraf/plugins/outputs/discard"
	_ "github.com/influxdata/telegraf/plugins/outputs/file"
	_ "github.com/influxdata/telegraf/plugins/outputs/http"
	_ "github.com/influxdata/telegraf/plugins/outputs/influxdb"
	_ "github.com/influxdata/telegraf/plugins/outputs/influxdb_v2"
	_ "github.com/influxdata/telegraf/plugins/outputs/prometheus_client"
	_ "github.com/influxdata/telegraf/plugins/parsers/all"
	_ "github.com/influxdata/telegraf/plugins/processors/regex"
	_ "github.com/influxdata/telegraf/plugins/processors/rename"
	_ "github.com/influxdata/telegraf/plugins/processors/strings"
	_ "github.com/influxdata/telegraf/plugins/serializers/all"
)

// Config says what to run. The zero Config but for Paths works.
type Config struct {
	// Paths are files, and folders whose *.conf are read in the order of their
	// names. At least one file must be there.
	Paths []string
	// Look is how often the files are looked at; 0 is 2 s.
	Look time.Duration
	Log  *slog.Logger // nil is silent
}

// A Runner runs the agent of a set of files.
type Runner struct {
	cfg Config
	log *slog.Logger
}

// New returns a runner. It does nothing until Run.
func New(cfg Config) *Runner {
	cfg.Look = cmp.Or(cfg.Look, 2*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Runner{cfg: cfg, log: cfg.Log}
}

// Run runs until ctx ends, and then gives outputs what waits for them. Files
// that are wrong at the start are an error; later ones are said on the log.
func (r *Runner) Run(ctx context.Context) error {
	files, err := r.read()
	if err != nil {
		return err
	}
	loaded, err := r.load(files)
	if err != nil {
		return err
	}
	intakes := adopt(loaded, nil)
	for {
		r.log.Info("telegraf runs", "inputs", strings.Join(loaded.InputNames(), " "), "outputs", strings.Join(loaded.OutputNames(), " "))
		one, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- agent.NewAgent(loaded).Run(one) }()
		next, now, err := r.wait(ctx, files, done)
		if next != nil {
			intakes = handOver(next, intakes)
		}
		stop()
		if err == nil || ctx.Err() != nil {
			if ended := <-done; ended != nil && ctx.Err() == nil {
				err = ended
			}
		}
		if err != nil || ctx.Err() != nil {
			return err
		}
		loaded, files = next, now
	}
}

// wait returns the configuration of files that have changed and are right, or
// an error when the agent has ended by itself.
func (r *Runner) wait(ctx context.Context, files []doctor.File, done chan error) (*config.Config, []doctor.File, error) {
	tick := time.NewTicker(r.cfg.Look)
	defer tick.Stop()
	have, said := sum(files), ""
	for {
		select {
		case <-ctx.Done():
			return nil, nil, nil
		case err := <-done:
			return nil, nil, cmp.Or(err, errors.New("telegraf has ended by itself"))
		case <-tick.C:
		}
		now, err := r.read()
		if err == nil && sum(now) == have {
			continue
		}
		var next *config.Config
		if err == nil {
			next, err = r.load(now)
		}
		if err == nil {
			return next, now, nil
		}
		if err.Error() != said {
			said = err.Error()
			r.log.Error("the new files are not good, telegraf goes on with the old ones", "err", err)
		}
	}
}

func sum(files []doctor.File) [32]byte {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s\x00%d\x00%s", f.Name, len(f.Text), f.Text)
	}
	return [32]byte(h.Sum(nil))
}

// read returns the files.
func (r *Runner) read() ([]doctor.File, error) {
	all, err := doctor.Read(r.cfg.Paths...)
	if err != nil {
		return nil, fmt.Errorf("telegraf: %w", err)
	}
	return all, nil
}

// load makes one configuration of the files, which says what was mended.
func (r *Runner) load(files []doctor.File) (*config.Config, error) {
	mended, found := doctor.Examine(files...)
	var wrong []error
	for _, f := range found {
		if f.Now == "" {
			wrong = append(wrong, errors.New(f.String()))
			continue
		}
		r.log.Warn("telegraf: an old spelling, understood: " + f.String())
	}
	if err := errors.Join(wrong...); err != nil {
		return nil, err
	}
	c := config.NewConfig()
	for _, f := range mended {
		if err := c.LoadConfigData([]byte(f.Text), f.Name); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if len(c.Inputs) == 0 || len(c.Outputs) == 0 {
		return nil, fmt.Errorf("telegraf: the files name %d inputs and %d outputs: at least one of each is needed", len(c.Inputs), len(c.Outputs))
	}
	return c, nil
}
