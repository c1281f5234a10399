package schedule_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/schedule"
)

func utc(text string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestPreview_Problems(t *testing.T) {
	good := func() ci.Timetable {
		return ci.Timetable{PerHour: 1, HoursOfDay: []int{4}, DaysOfWeek: []string{"MON"}}
	}
	for name, c := range map[string]struct {
		spoil func(*ci.Timetable)
		says  string
	}{
		"per-hour 0":      {func(t *ci.Timetable) { t.PerHour = 0 }, "per-hour is 0, but must be 1 to 60"},
		"per-hour 61":     {func(t *ci.Timetable) { t.PerHour = 61 }, "per-hour is 61"},
		"no hours":        {func(t *ci.Timetable) { t.HoursOfDay = nil }, "hours-of-day is empty"},
		"many hours":      {func(t *ci.Timetable) { t.HoursOfDay = make([]int, 100_000) }, "hours-of-day has 100000 entries, more than 100"},
		"many days":       {func(t *ci.Timetable) { t.DaysOfWeek = slices.Repeat([]string{"MON"}, 101) }, "days-of-week has 101 entries"},
		"hour 24":         {func(t *ci.Timetable) { t.HoursOfDay = []int{1, 24} }, "hours-of-day has 24"},
		"both days":       {func(t *ci.Timetable) { t.DaysOfMonth = []int{1} }, "one of days-of-week and days-of-month"},
		"no days":         {func(t *ci.Timetable) { t.DaysOfWeek = nil }, "one of days-of-week and days-of-month"},
		"day of the week": {func(t *ci.Timetable) { t.DaysOfWeek = []string{"MONDAY"} }, `days-of-week has "MONDAY", but takes SUN, MON`},
		"day 32":          {func(t *ci.Timetable) { t.DaysOfWeek, t.DaysOfMonth = nil, []int{32} }, "days-of-month has 32"},
		"month":           {func(t *ci.Timetable) { t.Months = []string{"JUNE"} }, `months has "JUNE"`},
		"cron and more":   {func(t *ci.Timetable) { t.Cron = "0 4 * * *" }, "cron stands alone"},
		"Sunday by 0":     {func(t *ci.Timetable) { *t = ci.Timetable{Cron: "0 0 * * 7/0"} }, "7/0"},
		"Sunday by x":     {func(t *ci.Timetable) { *t = ci.Timetable{Cron: "0 0 * * 7-7/x"} }, "from x"},
		"six fields":      {func(t *ci.Timetable) { *t = ci.Timetable{Cron: "0 0 4 * * *"} }, "five fields"},
		"time zone":       {func(t *ci.Timetable) { *t = ci.Timetable{Cron: "TZ=Asia/Tokyo 0 4 * *"} }, "five fields"},
		"@daily":          {func(t *ci.Timetable) { *t = ci.Timetable{Cron: "@daily 0 4 * *"} }, "five fields"},
		"minute 60":       {func(t *ci.Timetable) { *t = ci.Timetable{Cron: "60 4 * * *"} }, "60"},
	} {
		table := good()
		c.spoil(&table)
		_, err := schedule.Preview(table, utc("2026-01-01 00:00"), 1)
		require.ErrorIs(t, err, ci.ErrInvalid, name)
		require.ErrorContains(t, err, c.says, name)
	}
	_, err := schedule.Preview(ci.Timetable{PerHour: 99, HoursOfDay: []int{-1}, Months: []string{"X"}}, time.Time{}, 1)
	require.Len(t, strings.Split(err.Error(), "\n"), 4, "every problem at once: %v", err)
}

func TestPreview(t *testing.T) {
	for _, c := range []struct {
		table ci.Timetable
		after string
		want  []string
	}{
		{ci.Timetable{PerHour: 4, HoursOfDay: []int{9}, DaysOfWeek: []string{"fri"}}, "2026-01-01 00:00",
			[]string{"2026-01-02 09:00", "2026-01-02 09:15", "2026-01-02 09:30", "2026-01-02 09:45", "2026-01-09 09:00"}},
		{ci.Timetable{PerHour: 7, HoursOfDay: []int{0}, DaysOfMonth: []int{31}}, "2026-02-01 00:00",
			[]string{"2026-03-31 00:00", "2026-03-31 00:08", "2026-03-31 00:17", "2026-03-31 00:25", "2026-03-31 00:34", "2026-03-31 00:42", "2026-03-31 00:51", "2026-05-31 00:00"}},
		// Leap days: 2100 has none.
		{ci.Timetable{PerHour: 1, HoursOfDay: []int{12}, DaysOfMonth: []int{29}, Months: []string{"FEB"}}, "2092-03-01 00:00",
			[]string{"2096-02-29 12:00", "2104-02-29 12:00", "2108-02-29 12:00"}},
		// The nights in which Berlin and New York change their clocks.
		{ci.Timetable{Cron: "30 2 * * *"}, "2026-03-28 12:00", []string{"2026-03-29 02:30", "2026-03-30 02:30"}},
		{ci.Timetable{Cron: "30 1,2 * * *"}, "2026-10-24 12:00", []string{"2026-10-25 01:30", "2026-10-25 02:30", "2026-10-26 01:30"}},
		{ci.Timetable{Cron: "0 0 * * 7"}, "2026-01-01 00:00", []string{"2026-01-04 00:00"}},
		{ci.Timetable{Cron: "0 0 * * 5-7"}, "2026-01-01 00:00", []string{"2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00", "2026-01-09 00:00"}},
		{ci.Timetable{Cron: "0 0 * * 1-7/3"}, "2026-01-01 00:00", []string{"2026-01-04 00:00", "2026-01-05 00:00", "2026-01-08 00:00"}},
		{ci.Timetable{Cron: "0 0 13 * 5"}, "2026-01-01 00:00", []string{"2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00"}}, // either
	} {
		for _, zone := range []*time.Location{time.UTC, time.FixedZone("", 5*3600+1800), zone(t, "Europe/Berlin"), zone(t, "America/New_York")} {
			got, err := schedule.Preview(c.table, utc(c.after).In(zone), len(c.want))
			require.NoError(t, err)
			var texts []string
			for _, g := range got {
				texts = append(texts, g.Format("2006-01-02 15:04"))
				require.Equal(t, time.UTC, g.Location())
			}
			require.Equal(t, c.want, texts, "%+v in %v", c.table, zone)
		}
	}
	never, err := schedule.Preview(ci.Timetable{Cron: "0 0 30 2 *"}, utc("2026-01-01 00:00"), 5)
	require.NoError(t, err)
	require.Empty(t, never)
}

func zone(t *testing.T, name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Skip("no time zones here: ", err)
	}
	return l
}

// due is the model: whether a timetable names a minute.
func due(t ci.Timetable, at time.Time) bool {
	name := func(s string) string { return strings.ToUpper(s[:3]) }
	minute := false
	for i := range t.PerHour {
		minute = minute || at.Minute() == i*60/t.PerHour
	}
	return minute && slices.Contains(t.HoursOfDay, at.Hour()) &&
		(len(t.DaysOfMonth) == 0 || slices.Contains(t.DaysOfMonth, at.Day())) &&
		(len(t.DaysOfWeek) == 0 || slices.Contains(t.DaysOfWeek, name(at.Weekday().String()))) &&
		(len(t.Months) == 0 || slices.Contains(t.Months, name(at.Month().String())))
}

// timetables are valid ones.
func timetables() *rapid.Generator[ci.Timetable] {
	days := []string{"MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"}
	year := []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}
	return rapid.Custom(func(t *rapid.T) ci.Timetable {
		out := ci.Timetable{
			PerHour:    rapid.IntRange(1, 60).Draw(t, "per-hour"),
			HoursOfDay: rapid.SliceOfNDistinct(rapid.IntRange(0, 23), 1, 24, rapid.ID).Draw(t, "hours"),
			Months:     rapid.SliceOfDistinct(rapid.SampledFrom(year), rapid.ID).Draw(t, "months"),
		}
		if rapid.Bool().Draw(t, "week") {
			out.DaysOfWeek = rapid.SliceOfNDistinct(rapid.SampledFrom(days), 1, 7, rapid.ID).Draw(t, "days")
		} else {
			out.DaysOfMonth = rapid.SliceOfNDistinct(rapid.IntRange(1, 31), 1, 31, rapid.ID).Draw(t, "days")
		}
		return out
	})
}

// Preview finds the minutes that a search through all minutes finds.
func TestPreview_Model(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := timetables().Draw(t, "timetable")
		after := utc("2023-01-01 00:00").Add(time.Duration(rapid.IntRange(0, 4*366*24*3600).Draw(t, "after")) * time.Second)
		n := rapid.IntRange(1, 100).Draw(t, "n")
		var want []time.Time
		end := after.AddDate(1, 0, 0)
		for at := after.Truncate(time.Minute).Add(time.Minute); at.Before(end) && len(want) < n; at = at.Add(time.Minute) {
			if due(table, at) {
				want = append(want, at)
			}
		}
		got, err := schedule.Preview(table, after, n)
		require.NoError(t, err)
		for i, g := range got {
			if !g.Before(end) {
				got = got[:i]
				break
			}
		}
		require.Equal(t, len(want), len(got))
		for i := range want {
			require.True(t, want[i].Equal(got[i]), "%v and %v", want[i], got[i])
		}
	})
}

func FuzzPreview(f *testing.F) {
	for _, s := range []string{"0 4 * * 1-5", "*/5 * * * 7", "0 0 * * 3-7/2", "0 0 29 2 *", "1-2-3 * * * *", "0 0 * * mon-7", ", * * * *", "0 0 * * 7/0", "99999999999999999999 * * * *"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, cron string) {
		after := utc("2026-01-01 00:00")
		got, err := schedule.Preview(ci.Timetable{Cron: cron}, after, 3)
		if err != nil && cron != "" {
			require.ErrorIs(t, err, ci.ErrInvalid)
		}
		for _, g := range got {
			require.True(t, g.After(after) && g.Second() == 0)
			after = g
		}
	})
}
