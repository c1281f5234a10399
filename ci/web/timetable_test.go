package web

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

func TestSentence(t *testing.T) {
	week := weekdays[:5]
	all := make([]int, 24)
	for h := range all {
		all[h] = h
	}
	for want, table := range map[string]ci.Timetable{
		"at 03:00 UTC, on Monday to Friday":                        {PerHour: 1, HoursOfDay: []int{3}, DaysOfWeek: week},
		"at 03:00, 04:00 and 12:00 UTC, every day":                 {PerHour: 1, HoursOfDay: []int{3, 4, 12}, DaysOfWeek: weekdays},
		"at 03:00 to 06:00 UTC, on Monday and Tuesday":             {PerHour: 1, HoursOfDay: []int{3, 4, 5, 6}, DaysOfWeek: weekdays[:2]},
		"once an hour UTC, every day":                              {PerHour: 1, HoursOfDay: all},
		"twice an hour from 08:00 to 17:59 UTC, on Sunday":         {PerHour: 2, HoursOfDay: all[8:18], DaysOfWeek: []string{"SUN"}},
		"every minute from 01:00 to 01:59 UTC, every day":          {PerHour: 60, HoursOfDay: []int{1}},
		"at 00:00 UTC, on day 1 and 15 of the month, in March":     {HoursOfDay: []int{0}, DaysOfMonth: []int{1, 15}, Months: []string{"MAR"}},
		"at 00:00 UTC, on day 1 of the month, in January to March": {HoursOfDay: []int{0}, DaysOfMonth: []int{1}, Months: months[:3]},
		"by the cron line 0 3 * * 1-5, UTC":                        {Cron: "0 3 * * 1-5"},
	} {
		require.Equal(t, want, sentence(table))
	}
}

func FuzzParseVariables(f *testing.F) {
	f.Add("A=1\nexport B='x'\n#\n")
	f.Add("=\n\x00\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		list, err := parseVariables(text)
		if err != nil {
			require.ErrorIs(t, err, ci.ErrInvalid)
			return
		}
		require.NotEmpty(t, list)
		for _, v := range list {
			require.True(t, isVariableName(v.Name))
			require.NotContains(t, v.Value, "\n")
		}
	})
}

func FuzzParseParameters(f *testing.F) {
	f.Add("deploy=true\nn=3\ns=x y")
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseParameters(text)
		if err != nil {
			require.ErrorIs(t, err, ci.ErrInvalid)
			return
		}
		again, err := parseParameters(linesOf(all))
		require.NoError(t, err)
		require.Equal(t, linesOf(all), linesOf(again))
	})
}
