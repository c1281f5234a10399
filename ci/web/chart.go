package web

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A chart is a drawing over time. Its colours are classes of the style sheet;
// what it says stands beside it as a table, too.
type chart struct {
	Width, Height int
	Bars          []bar
	Lines         []trend
	Grid          []gridLine
	Labels        []label // below
}

// A bar is a rectangle with what it says.
type bar struct {
	X, Y, W, H float64
	Class      string
	Title      string
}

// A trend is a line through points.
type trend struct {
	Path, Class string
	Dots        []bar // where W is the radius
}

// A gridLine is a horizontal line with its value.
type gridLine struct {
	Y    float64
	Text string
}

// A label is a text under the chart.
type label struct {
	X    float64
	Text string
}

// The places of a chart in its own units.
const (
	chartWidth  = 720
	chartHeight = 190
	chartLeft   = 52
	chartTop    = 12
	chartBottom = 26
	plotWidth   = chartWidth - chartLeft - 8
	plotHeight  = chartHeight - chartTop - chartBottom
)

// newChart makes a chart of n columns whose values go up to top.
func newChart(n int, top float64, text func(float64) string, at func(i int) string) (c chart, y func(float64) float64, x func(i int) float64, step float64) {
	c = chart{Width: chartWidth, Height: chartHeight}
	y = func(v float64) float64 { return round(chartTop + plotHeight*(1-v/top)) }
	step = float64(plotWidth) / float64(max(n, 1))
	x = func(i int) float64 { return round(chartLeft + step*float64(i)) }
	for _, share := range []float64{0, 0.5, 1} {
		c.Grid = append(c.Grid, gridLine{y(top * share), text(top * share)})
	}
	for i, every := 0, max(1, (n+6)/7); i < n; i += every {
		c.Labels = append(c.Labels, label{round(x(i) + step/2), at(i)})
	}
	return c, y, x, step
}

func round(v float64) float64 { return math.Round(v*10) / 10 }

// runChart draws how many runs of each day succeeded and how many did not.
func runChart(days []dayStats) chart {
	most := 0
	for _, d := range days {
		most = max(most, d.Runs)
	}
	top := nice(float64(most))
	c, y, x, step := newChart(len(days), top, func(v float64) string { return fmt.Sprintf("%g", v) }, dayOf(days))
	for i, d := range days {
		if d.Runs == 0 {
			continue
		}
		title := fmt.Sprintf("%s: %d succeeded, %d failed, %d canceled", d.Day.Format(time.DateOnly), d.Successes, d.Failures, d.Runs-d.Successes-d.Failures)
		width, base := round(max(step*0.72, 1)), y(0)
		left := round(x(i) + step*0.14)
		high := y(float64(d.Successes))
		if d.Successes > 0 {
			c.Bars = append(c.Bars, bar{left, high, width, round(base - high), "ok", title})
		}
		bad := y(float64(d.Successes + d.Failures))
		if d.Failures > 0 {
			c.Bars = append(c.Bars, bar{left, bad, width, round(high - bad), "bad", title})
		}
		if d.Runs > d.Successes+d.Failures {
			all := y(float64(d.Runs))
			c.Bars = append(c.Bars, bar{left, all, width, round(bad - all), "off", title})
		}
	}
	return c
}

// durationChart draws the median and the 95th percentile of each day.
func durationChart(days []dayStats) chart {
	most := time.Duration(0)
	for _, d := range days {
		most = max(most, d.P95, d.Median)
	}
	top := niceTime(most)
	c, y, x, step := newChart(len(days), top.Seconds(), func(v float64) string {
		if v == 0 {
			return "0"
		}
		return brief(time.Duration(v * float64(time.Second)))
	}, dayOf(days))
	for _, of := range []struct {
		class, word string
		value       func(dayStats) time.Duration
	}{
		{"p95", "95th percentile", func(d dayStats) time.Duration { return d.P95 }},
		{"median", "median", func(d dayStats) time.Duration { return d.Median }},
	} {
		var line trend
		var path strings.Builder
		for i, d := range days {
			if d.Successes == 0 {
				continue
			}
			px, py := round(x(i)+step/2), y(of.value(d).Seconds())
			verb := "L"
			if path.Len() == 0 {
				verb = "M"
			}
			fmt.Fprintf(&path, "%s%g %g", verb, px, py)
			line.Dots = append(line.Dots, bar{X: px, Y: py, W: 2.6, Title: fmt.Sprintf("%s: %s %s", d.Day.Format(time.DateOnly), of.word, duration(of.value(d)))})
		}
		line.Path, line.Class = path.String(), of.class
		c.Lines = append(c.Lines, line)
	}
	return c
}

// testChart draws how long the runs of a test took, the oldest first.
func testChart(runs []testRun) chart {
	most := 0.0
	for _, r := range runs {
		if r.Seconds > 0 && r.Seconds < 1e8 {
			most = max(most, r.Seconds)
		}
	}
	runs = slices.Clone(runs)
	slices.Reverse(runs)
	top := max(nice(most*1000)/1000, 0.001)
	c, y, x, step := newChart(len(runs), top, seconds, func(i int) string { return "#" + itoa(runs[i].Job.Number) })
	for i, r := range runs {
		class := "ok"
		switch {
		case bad(r.Test):
			class = "bad"
		case r.Result != "success":
			class = "off"
		}
		value := r.Seconds
		if !(value > 0 && value <= top) {
			value = 0
		}
		high := min(y(value), y(0)-2)
		c.Bars = append(c.Bars, bar{round(x(i) + step*0.14), high, round(step * 0.72), round(y(0) - high), class,
			fmt.Sprintf("#%d: %s in %s", r.Job.Number, show(r.Result), seconds(r.Seconds))})
	}
	return c
}

// dayOf returns the labels of days.
func dayOf(days []dayStats) func(int) string {
	return func(i int) string { return days[i].Day.Format("Jan 2") }
}

// nice returns a round number that is not less.
func nice(v float64) float64 {
	if v <= 10 {
		return 2 * max(math.Ceil(v/2), 1) // its half is round, too
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 3, 4, 5, 6, 8, 10} {
		if v <= f*unit {
			return f * unit
		}
	}
	return 10 * unit
}

// niceTime is nice for lengths of time.
func niceTime(d time.Duration) time.Duration {
	for _, n := range []time.Duration{10, 20, 30, 60, 120, 240, 360, 600, 1200, 1800, 3600, 7200, 14400, 28800, 86400} {
		if d <= n*time.Second {
			return n * time.Second
		}
	}
	return d
}

// brief is a length of time for an axis.
func brief(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%g s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%g min", round(d.Minutes()))
	}
	return fmt.Sprintf("%g h", round(d.Hours()))
}
