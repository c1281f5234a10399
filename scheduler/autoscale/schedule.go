package autoscale

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// A Rule sets the number of nodes at a time of day.
type Rule struct {
	Days         []time.Weekday // none is every day
	Hour, Minute int            // by the clock of the schedule's place
	Nodes        int
}

// A Schedule is a weekly table of numbers, by the clock of a place: each rule
// holds until the next. It follows daylight saving time as people do: a rule of
// an hour that is left out comes into force when the clocks have changed, and
// one of an hour that comes twice does so the first time only.
type Schedule struct {
	Zone  *time.Location // nil is UTC
	Rules []Rule
	// Otherwise is the number where there is no rule at all.
	Otherwise int
}

func (s Schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "schedule:tz=%s", s.zone())
	for _, r := range s.Rules {
		fmt.Fprintf(&b, ";%s %02d:%02d=%d", dayText(r.Days), r.Hour, r.Minute, r.Nodes)
	}
	if len(s.Rules) == 0 {
		fmt.Fprintf(&b, ";otherwise=%d", s.Otherwise)
	}
	return b.String()
}

func (s Schedule) zone() *time.Location {
	if s.Zone == nil {
		return time.UTC
	}
	return s.Zone
}

// At returns the number that is in force at an instant.
func (s Schedule) At(now time.Time) int {
	last, nodes := time.Time{}, s.Otherwise
	y, m, d := now.In(s.zone()).Date()
	for back := range 9 { // a rule of one day a week may be a week old
		day := time.Date(y, m, d-back, 0, 0, 0, 0, time.UTC)
		for _, r := range s.Rules {
			if len(r.Days) > 0 && !slices.Contains(r.Days, day.Weekday()) {
				continue
			}
			at := first(day.Add(time.Duration(r.Hour)*time.Hour+time.Duration(r.Minute)*time.Minute), s.zone())
			if !at.After(now) && !at.Before(last) {
				last, nodes = at, r.Nodes
			}
		}
		if !last.IsZero() && back > 0 { // the day before was looked at too
			break
		}
	}
	return nodes
}

// Start implements [Policy].
func (s Schedule) Start() func(View) int { return func(v View) int { return s.At(v.Now) } }

// first returns the first instant at which the clocks of a place show what wall
// shows as UTC, or the one at which they jump over it.
func first(wall time.Time, zone *time.Location) time.Time {
	_, before := wall.Add(-26 * time.Hour).In(zone).Zone()
	_, after := wall.Add(26 * time.Hour).In(zone).Zone()
	early := wall.Add(-time.Duration(max(before, after)) * time.Second)
	late := wall.Add(-time.Duration(min(before, after)) * time.Second)
	for _, t := range []time.Time{early, late} {
		if _, offset := t.In(zone).Zone(); t.Add(time.Duration(offset) * time.Second).Equal(wall) {
			return t
		}
	}
	jump, _ := late.In(zone).ZoneBounds()
	return jump
}

var days = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// dayText returns the days as in mon-fri or sat,sun; * is every day.
func dayText(all []time.Weekday) string {
	if len(all) == 0 || len(all) == 7 {
		return "*"
	}
	week := slices.Clone(all)
	fromMonday := func(d time.Weekday) int { return (int(d) + 6) % 7 }
	slices.SortFunc(week, func(a, b time.Weekday) int { return cmp.Compare(fromMonday(a), fromMonday(b)) })
	var out []string
	for i := 0; i < len(week); {
		j := i
		for j+1 < len(week) && fromMonday(week[j+1]) == fromMonday(week[j])+1 {
			j++
		}
		if text := days[week[i]]; j > i+1 {
			out = append(out, text+"-"+days[week[j]])
		} else {
			out = append(out, text)
			j = i
		}
		i = j + 1
	}
	return strings.Join(out, ",")
}

// parseDays reads what dayText writes.
func parseDays(text string) ([]time.Weekday, error) {
	if text == "*" {
		return nil, nil
	}
	var out []time.Weekday
	for part := range strings.SplitSeq(text, ",") {
		from, to, ranged := strings.Cut(part, "-")
		i, j := slices.Index(days, from), slices.Index(days, to)
		if !ranged {
			j = i
		}
		if i < 0 || j < 0 {
			return nil, fmt.Errorf("%q is no day: write mon, tue, wed, thu, fri, sat, sun, a range as in mon-fri, or *", part)
		}
		for d := i; ; d = (d + 1) % 7 {
			out = append(out, time.Weekday(d))
			if d == j {
				break
			}
		}
	}
	return out, nil
}
