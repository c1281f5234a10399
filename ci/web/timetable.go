package web

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// text returns a value as text; nil is "".
func text(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}

// list joins values with the separator.
func list[T any](all []T, f func(T) string, sep string) string {
	texts := make([]string, len(all))
	for i, v := range all {
		texts[i] = f(v)
	}
	return strings.Join(texts, sep)
}

// sentence says when a timetable triggers: "twice an hour from 02:00 to 04:59
// UTC, on Monday to Friday".
func sentence(t ci.Timetable) string {
	if t.Cron != "" {
		return "by the cron line " + show(t.Cron) + ", UTC"
	}
	var b strings.Builder
	switch t.PerHour {
	case 0, 1:
		b.WriteString("once an hour")
	case 2:
		b.WriteString("twice an hour")
	case 60:
		b.WriteString("every minute")
	default:
		b.WriteString(strconv.Itoa(t.PerHour) + " times an hour")
	}
	switch once := t.PerHour <= 1; {
	case len(t.HoursOfDay) == 24:
	case once && len(t.HoursOfDay) == 1:
		b.Reset()
		b.WriteString("at " + hour(t.HoursOfDay[0]))
	case once:
		b.Reset()
		b.WriteString("at " + and(runs(t.HoursOfDay), func(r [2]int) string { return through(r, hour) }))
	default:
		b.WriteString(" from " + and(runs(t.HoursOfDay), func(r [2]int) string {
			return hour(r[0]) + " to " + fmt.Sprintf("%02d:59", r[1])
		}))
	}
	b.WriteString(" UTC")
	switch {
	case len(t.DaysOfMonth) > 0:
		b.WriteString(", on day " + and(runs(t.DaysOfMonth), func(r [2]int) string { return through(r, strconv.Itoa) }) + " of the month")
	case len(t.DaysOfWeek) == 7 || len(t.DaysOfWeek) == 0:
		b.WriteString(", every day")
	default:
		b.WriteString(", on " + and(runs(places(weekdays, t.DaysOfWeek)), func(r [2]int) string {
			return through(r, func(i int) string { return weekdayNames[i] })
		}))
	}
	if len(t.Months) > 0 && len(t.Months) < 12 {
		b.WriteString(", in " + and(runs(places(months, t.Months)), func(r [2]int) string {
			return through(r, func(i int) string { return monthNames[i] })
		}))
	}
	return b.String()
}

// The words of weekdays and months for people.
var (
	weekdayNames = []string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}
	monthNames   = []string{"January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"}
)

func hour(h int) string { return fmt.Sprintf("%02d:00", h) }

// runs returns the runs of numbers that follow on each other, of three at
// least; other numbers are runs of their own.
func runs(all []int) [][2]int {
	var out [][2]int
	for i := 0; i < len(all); {
		end := i
		for end+1 < len(all) && all[end+1] == all[end]+1 {
			end++
		}
		if end < i+2 {
			end = i
		}
		out = append(out, [2]int{all[i], all[end]})
		i = end + 1
	}
	return out
}

// through writes a run: one, or from and to.
func through(r [2]int, word func(int) string) string {
	if r[0] == r[1] {
		return word(r[0])
	}
	return word(r[0]) + " to " + word(r[1])
}

// and joins with commas, and the last with "and".
func and[T any](all []T, f func(T) string) string {
	if len(all) < 2 {
		return list(all, f, "")
	}
	return list(all[:len(all)-1], f, ", ") + " and " + f(all[len(all)-1])
}

// places returns where words stand in their order; others are left out.
func places(order, words []string) []int {
	var out []int
	for i, o := range order {
		for _, w := range words {
			if strings.EqualFold(w, o) {
				out = append(out, i)
				break
			}
		}
	}
	return out
}
