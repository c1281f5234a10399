package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/rondo-ci/rondo/ci"
)

// The names of days and months in timetables, in the order of cron's numbers.
var (
	weekdays = []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}
	months   = []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
)

// Preview returns the first n times of the timetable after the given one;
// fewer when there are none (30 February). What is wrong with the timetable is
// [ci.ErrInvalid], one joined error for each problem. More than 1,000 times are
// not returned at once.
func Preview(t ci.Timetable, after time.Time, n int) ([]time.Time, error) {
	h, err := parse(t)
	if err != nil {
		return nil, err
	}
	var out []time.Time
	for range min(n, 1000) {
		after = h.next(after)
		if after.IsZero() {
			break
		}
		out = append(out, after)
	}
	return out, nil
}

// hands is a timetable that has been read.
type hands struct{ cron.Schedule }

// next returns the first time after t, zero if there is none.
func (h hands) next(t time.Time) time.Time {
	t = t.UTC()
	// The library looks five years ahead. Between two leap days there are up to
	// eight.
	for range 3 {
		if n := h.Next(t); !n.IsZero() {
			return n.UTC()
		}
		t = time.Date(t.Year()+4, time.January, 1, 0, 0, 0, 0, time.UTC).Add(-time.Second)
	}
	return time.Time{}
}

// parse reads a timetable.
func parse(t ci.Timetable) (hands, error) {
	if t.Cron != "" {
		return parseCron(t)
	}
	var problems []error
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("timetable: "+format+": %w", append(args, ci.ErrInvalid)...))
	}
	if t.PerHour < 1 || t.PerHour > 60 {
		problem("per-hour is %d, but must be 1 to 60", t.PerHour)
	}
	hours := numbers("hours-of-day", t.HoursOfDay, 0, 23, problem)
	days := numbers("days-of-month", t.DaysOfMonth, 1, 31, problem)
	week := named("days-of-week", t.DaysOfWeek, weekdays, 0, problem)
	year := named("months", t.Months, months, 1, problem)
	if len(t.HoursOfDay) == 0 {
		problem("hours-of-day is empty; name at least one hour, 0 to 23")
	}
	if (len(t.DaysOfWeek) == 0) == (len(t.DaysOfMonth) == 0) {
		problem("one of days-of-week and days-of-month is needed, and not both")
	}
	if problems != nil {
		return hands{}, errors.Join(problems...)
	}
	minutes := make([]string, t.PerHour)
	for i := range minutes {
		minutes[i] = strconv.Itoa(i * 60 / t.PerHour)
	}
	return read(strings.Join([]string{strings.Join(minutes, ","), hours, days, year, week}, " "))
}

// maxList is how long a list of a timetable may be: each is read at every look.
const maxList = 100

// numbers checks a list and returns it in the words of cron.
func numbers(name string, list []int, low, high int, problem func(string, ...any)) string {
	var out []string
	if len(list) > maxList {
		problem("%s has %d entries, more than %d", name, len(list), maxList)
		list = nil
	}
	for _, n := range list {
		if n < low || n > high {
			problem("%s has %d, but takes %d to %d", name, n, low, high)
		}
		out = append(out, strconv.Itoa(n))
	}
	if out == nil {
		return "*"
	}
	return strings.Join(out, ",")
}

// named is numbers for a list of names, which count from first.
func named(name string, list, names []string, first int, problem func(string, ...any)) string {
	var out []string
	if len(list) > maxList {
		problem("%s has %d entries, more than %d", name, len(list), maxList)
		list = nil
	}
	for _, n := range list {
		i := slices.Index(names, strings.ToUpper(n))
		if i < 0 {
			problem("%s has %.20q, but takes %s", name, n, strings.Join(names, ", "))
		}
		out = append(out, strconv.Itoa(i+first))
	}
	if out == nil {
		return "*"
	}
	return strings.Join(out, ",")
}

// parseCron reads a timetable of five fields.
func parseCron(t ci.Timetable) (hands, error) {
	if t.PerHour != 0 || len(t.HoursOfDay)+len(t.DaysOfMonth)+len(t.DaysOfWeek)+len(t.Months) > 0 {
		return hands{}, fmt.Errorf("timetable: cron stands alone, without per-hour, hours, days or months: %w", ci.ErrInvalid)
	}
	fields := strings.Fields(t.Cron)
	if len(t.Cron) > 256 || len(fields) != 5 || strings.ContainsAny(t.Cron, "=@?") { // time zones, @daily
		return hands{}, fmt.Errorf("timetable: cron is %.60q, but takes five fields: minute hour day month weekday, in UTC: %w", t.Cron, ci.ErrInvalid)
	}
	fields[4] = weekday(fields[4])
	return read(strings.Join(fields, " "))
}

// weekday writes Sunday as 0, which the library knows, where it stands as 7.
func weekday(field string) string {
	parts := strings.Split(field, ",")
	for i, p := range parts {
		days, step, stepped := strings.Cut(p, "/")
		from, to, ranged := strings.Cut(days, "-")
		switch {
		case from == "7" && !ranged && !stepped:
			parts[i] = "0"
		case from == "7" && (!ranged || to == "7"): // 7/n, 7-7
			if n, err := strconv.Atoi(step); !stepped || err == nil && n > 0 {
				parts[i] = "0-0/1"
			}
		case ranged && to == "7" && !stepped:
			parts[i] = from + "-6,0"
		case ranged && to == "7":
			parts[i] = upToSunday(from, step, p)
		}
	}
	return strings.Join(parts, ",")
}

// upToSunday lists the days of from-7/step.
func upToSunday(from, step, whole string) string {
	n, err := strconv.Atoi(step)
	low := slices.Index(weekdays, strings.ToUpper(from))
	if d, e := strconv.Atoi(from); e == nil {
		low = d
	}
	if err != nil || n < 1 || low < 0 {
		return whole // the library says what is wrong
	}
	var days []string
	for d := low; d <= 7; d += n {
		days = append(days, strconv.Itoa(d%7))
	}
	return strings.Join(days, ",")
}

// read has the library read five fields.
func read(fields string) (hands, error) {
	p := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)
	s, err := p.Parse(fields)
	if err != nil {
		return hands{}, fmt.Errorf("timetable: %s: %w", strings.ReplaceAll(err.Error(), "failed to ", "cannot "), ci.ErrInvalid)
	}
	return hands{s}, nil
}
