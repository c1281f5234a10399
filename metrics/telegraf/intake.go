package telegraf

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/influxdata/telegraf"
	"github.com/influxdata/telegraf/config"
	"github.com/influxdata/telegraf/plugins/inputs/statsd"
)

// An intake is an input of StatsD that outlives the agent which has started it:
// the agent of the next files takes it over when they say the same of it, with
// its socket and what it has counted. So a change elsewhere loses no datagram.
type intake struct {
	*statsd.Statsd
	key string
	acc telegraf.Accumulator

	mu      sync.Mutex
	running bool
	keep    bool // the next agent takes it over
}

// Start implements telegraf.ServiceInput.
func (i *intake) Start(acc telegraf.Accumulator) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.acc = acc
	if i.running {
		return nil
	}
	err := i.Statsd.Start(acc)
	i.running = err == nil
	return err
}

// Stop implements telegraf.ServiceInput. At a real end the agent is given what
// was counted since it last asked, which Telegraf itself throws away.
func (i *intake) Stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	keep, running := i.keep, i.running
	i.keep, i.running = false, keep && running
	if keep || !running {
		return
	}
	i.settle()
	i.Statsd.Stop()
	if err := i.Gather(i.acc); err != nil {
		i.acc.AddError(err)
	}
}

// settle waits until what has come is counted, for a second at most: Telegraf
// throws away what waits. It knows that nothing waits, not that nothing is read
// just now, so it looks a few times.
func (i *intake) settle() {
	for calm, n, end := 0, int64(-1), time.Now().Add(time.Second); calm < 3 && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		now := i.Stats.UDPPacketsRecv.Get() + i.Stats.TCPPacketsRecv.Get()
		if calm++; now != n || i.Stats.PendingMessages.Get() > 0 {
			calm, n = 0, now
		}
	}
}

// adopt puts intakes into the place of the inputs of StatsD in a configuration:
// those that are there already, where nothing has changed. It returns them all.
func adopt(c *config.Config, have []*intake) []*intake {
	var all []*intake
	for _, in := range c.Inputs {
		s, ok := in.Input.(*statsd.Statsd)
		if !ok {
			continue
		}
		next := &intake{Statsd: s, key: optionsOf(s)}
		for n, old := range have {
			if old != nil && old.key == next.key {
				next, have[n] = old, nil
				break
			}
		}
		in.Input = next
		all = append(all, next)
	}
	return all
}

// optionsOf is all that a configuration says of an input.
func optionsOf(s *statsd.Statsd) string {
	var all strings.Builder
	v := reflect.ValueOf(s).Elem()
	for n := range v.NumField() {
		if tag := v.Type().Field(n).Tag.Get("toml"); tag != "" && tag != "-" {
			fmt.Fprintf(&all, "%s=%#v\n", tag, v.Field(n).Interface())
		}
	}
	return all.String()
}

// handOver lets the agent of the next configuration take over what it can; the
// rest ends with the agent that runs.
func handOver(next *config.Config, have []*intake) []*intake {
	all := adopt(next, slices.Clone(have))
	for _, i := range all {
		i.mu.Lock()
		i.keep = i.running
		i.mu.Unlock()
	}
	return all
}
