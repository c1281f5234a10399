package autoscale

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Forms lists the policies that [Parse] reads, each with what it means.
func Forms() [][2]string {
	return [][2]string{
		{"static:12", "always 12 nodes"},
		{"schedule:tz=Europe/Berlin;mon-fri 07:30=12;mon-fri 19:00=2", "a weekly table, by the clock of a place"},
		{"step:low=2,high=6,period=5m,up=2,down=1", "alarms on the number of free nodes, as CloudWatch has them"},
		{"target:60%", "so many nodes that they are busy to 60%"},
		{"headroom:spare=2,beta=1", "2 free nodes, and the square root of what is busy"},
		{"trailing:window=20m,wait=1s,p=0.95", "Erlang's formula on the last 20 minutes"},
		{"forecast:ahead=35m,wait=1s,p=0.95", "Erlang's formula on what the same hours of past weeks brought"},
		{"hybrid:A+B", "the larger of two of these: a floor, and what reacts"},
	}
}

// Parse reads a policy in one of the [Forms]. A forecast gets the profile.
// Errors wrap [ci.ErrInvalid] and say what there is.
func Parse(text string, week *Profile) (Policy, error) {
	p, err := parse(text, week)
	if err != nil {
		return nil, fmt.Errorf("%w: policy %q: %w", ci.ErrInvalid, text, err)
	}
	return p, nil
}

func parse(text string, week *Profile) (Policy, error) {
	kind, rest, _ := strings.Cut(strings.TrimSpace(text), ":")
	switch kind {
	case "static":
		n, err := count(rest)
		return Static(n), err
	case "target":
		share, err := strconv.ParseFloat(strings.TrimSuffix(rest, "%"), 64)
		if err != nil || !(share > 0 && share <= 100) {
			return nil, fmt.Errorf("%q is no share from 1%% to 100%%", rest)
		}
		return Target(share / 100), nil
	case "schedule":
		return parseSchedule(rest)
	case "hybrid":
		floor, top, ok := strings.Cut(rest, "+")
		if !ok {
			return nil, fmt.Errorf("it takes two policies with a + between them")
		}
		a, err := parse(floor, week)
		if err != nil {
			return nil, err
		}
		b, err := parse(top, week)
		return Hybrid{Floor: a, Top: b}, err
	}
	o := options{of: map[string]string{}}
	for part := range strings.SplitSeq(rest, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			o.of[strings.TrimSpace(k)] = strings.TrimSpace(v)
		} else if part != "" {
			return nil, fmt.Errorf("%q is no option; write name=value", part)
		}
	}
	var p Policy
	switch kind {
	case "step":
		p = Step{
			Low: o.number("low", 1), High: o.number("high", 4), Period: o.time("period", 5*time.Minute), UpAfter: o.count("up-after", 1),
			DownAfter: o.count("down-after", 4), Up: o.count("up", 1), Down: o.count("down", 1), Cooldown: o.time("cooldown", 0), From: o.count("from", 1),
		}
	case "headroom":
		p = Headroom{Spare: o.count("spare", 0), Beta: o.number("beta", 0)}
	case "trailing":
		p = Forecast{Trailing: o.time("window", 0), Wait: o.time("wait", 0), P: o.share("p")}.whole()
	case "forecast":
		if week == nil {
			return nil, fmt.Errorf("there is no history to learn the week from")
		}
		p = Forecast{Profile: week, Ahead: o.time("ahead", 0), Wait: o.time("wait", 0), P: o.share("p")}.whole()
	default:
		return nil, fmt.Errorf("there is no such kind; there are static, schedule, step, target, headroom, trailing, forecast and hybrid")
	}
	return p, o.wrong()
}

// options are the name=value pairs of a policy; what was asked for is taken out.
type options struct {
	of  map[string]string
	bad error
}

func (o *options) take(name string, read func(string) error) {
	v, ok := o.of[name]
	delete(o.of, name)
	if !ok {
		return
	}
	if err := read(v); err != nil && o.bad == nil {
		o.bad = fmt.Errorf("%s: %w", name, err)
	}
}

func (o *options) number(name string, n float64) float64 {
	o.take(name, func(v string) (err error) {
		if n, err = strconv.ParseFloat(v, 64); err != nil || !(n >= 0 && n <= 1e6) {
			err = fmt.Errorf("%q is no number from 0 on", v)
		}
		return err
	})
	return n
}

func (o *options) share(name string) float64 {
	p := o.number(name, 0)
	if p >= 1 && o.bad == nil {
		o.bad = fmt.Errorf("%s: %g is no share below 1", name, p)
	}
	return p
}

func (o *options) count(name string, n int) int {
	o.take(name, func(v string) (err error) { n, err = count(v); return err })
	return n
}

func (o *options) time(name string, d time.Duration) time.Duration {
	o.take(name, func(v string) (err error) {
		if d, err = time.ParseDuration(v); err != nil || d < 0 || d > 1000*time.Hour {
			err = fmt.Errorf("%q is no duration; write one as in 5m", v)
		}
		return err
	})
	return d
}

func (o *options) wrong() error {
	if o.bad != nil {
		return o.bad
	}
	for name := range o.of {
		return fmt.Errorf("it has no option %q", name)
	}
	return nil
}

func count(text string) (int, error) {
	n, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil || n < 0 || n > 100_000 {
		return 0, fmt.Errorf("%q is no number of nodes", text)
	}
	return n, nil
}

// parseSchedule reads tz=PLACE;DAYS HH:MM=NODES;...
func parseSchedule(text string) (Policy, error) {
	s := Schedule{Zone: time.UTC}
	for part := range strings.SplitSeq(text, ";") {
		part = strings.TrimSpace(part)
		left, right, ok := strings.Cut(part, "=")
		if part == "" {
			continue
		}
		if !ok {
			return nil, fmt.Errorf("%q is no rule; write one as in mon-fri 07:30=12", part)
		}
		var err error
		switch left {
		case "tz":
			if s.Zone, err = time.LoadLocation(right); err != nil {
				return nil, fmt.Errorf("there is no time zone %q; write one as in Europe/Berlin", right)
			}
			continue
		case "otherwise":
			if s.Otherwise, err = count(right); err != nil {
				return nil, err
			}
			continue
		}
		var r Rule
		on, clock, ok := strings.Cut(left, " ")
		at, bad := time.Parse("15:04", strings.TrimSpace(clock))
		if !ok || bad != nil {
			return nil, fmt.Errorf("%q is no time of a day; write one as in mon-fri 07:30", left)
		}
		r.Hour, r.Minute = at.Hour(), at.Minute()
		if r.Days, err = parseDays(on); err != nil {
			return nil, err
		}
		if r.Nodes, err = count(right); err != nil {
			return nil, err
		}
		s.Rules = append(s.Rules, r)
	}
	return s, nil
}
