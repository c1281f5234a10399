package autoscale

import (
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"
)

// The chart in pixels.
const (
	chartWide, chartHigh = 1080, 560
	chartLeft, chartTop  = 64, 112
	chartRight           = 24
	nodesHigh, waitHigh  = 250, 80 // of the two panels
	chartGap             = 44
)

// WriteChart draws a result as SVG: the nodes and what they did above, what
// waited below, by the clock of a place. It needs no script and no font of its
// own, and is readable in light and dark.
func WriteChart(w io.Writer, r Result, zone *time.Location) error {
	if zone == nil {
		zone = time.UTC
	}
	c := chart{r: r, zone: zone}
	for _, p := range r.Points {
		c.nodes = max(c.nodes, float64(p.Paid), p.Busy)
		c.wait = max(c.wait, p.Waiting)
	}
	c.nodes, c.wait = ceiling(c.nodes), ceiling(c.wait)
	if n := len(r.Points); n > 1 {
		c.from, c.span = r.Points[0].At, r.Points[n-1].At.Sub(r.Points[0].At)
	}
	c.draw()
	_, err := io.WriteString(w, c.b.String())
	return err
}

type chart struct {
	b           strings.Builder
	r           Result
	zone        *time.Location
	nodes, wait float64 // tops of the scales
	from        time.Time
	span        time.Duration
}

const chartStyle = `<style>
svg{background:#fff;font-family:Inter,"Helvetica Neue",Arial,"DejaVu Sans",sans-serif;font-size:12px}
text{fill:#52606d}.title{font-size:19px;font-weight:600;fill:#1f2933}.sub{font-size:12.5px}
.big{font-size:13px;font-weight:600;fill:#1f2933}.grid{stroke:#e4e7eb}.day{stroke:#cbd2d9;stroke-dasharray:2 3}
.weekend{fill:#f5f7fa}.nodes{fill:none;stroke:#0b7285;stroke-width:1.8;stroke-linejoin:round}.paid{fill:#c5e8ee}
.busy{fill:#22a7bd;fill-opacity:.75}.wait{fill:#e8590c;fill-opacity:.9}
@media(prefers-color-scheme:dark){svg{background:#14181d}text{fill:#9aa5b1}.title,.big{fill:#f0f4f8}.grid{stroke:#29323c}
.day{stroke:#3e4c59}.weekend{fill:#1a2027}.paid{fill:#0e3a44}.busy{fill:#1c8ba0}.nodes{stroke:#66d9e8}.wait{fill:#ff922b}}
</style>`

func (c *chart) printf(format string, args ...any) { fmt.Fprintf(&c.b, format+"\n", args...) }

func (c *chart) text(x, y float64, class, anchor, text string) {
	c.printf(`<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, html.EscapeString(text))
}

func (c *chart) draw() {
	c.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="Nodes and waiting over time">`, chartWide, chartHigh)
	c.printf("%s", chartStyle)
	name := c.r.Policy
	if runes := []rune(name); len(runes) > 96 {
		name = string(runes[:95]) + "…"
	}
	c.text(chartLeft, 34, "title", "start", name)
	c.text(chartLeft, 56, "sub", "start", fmt.Sprintf("%d builds in %s: waited %s on average, 95%% at most %s, 99%% at most %s",
		c.r.All.Builds, spanText(c.r.Hours), seconds(c.r.All.Mean), seconds(c.r.All.P95), seconds(c.r.All.P99)))
	c.text(chartLeft, 75, "sub", "start", fmt.Sprintf("$%.2f: machines $%.2f (%.0f node-hours, %.0f%% busy), waiting developers $%.2f",
		c.r.Cost, c.r.MachineCost, c.r.NodeHours, 100*c.r.Utilisation, c.r.DeveloperCost))
	top, below := float64(chartTop), float64(chartTop+nodesHigh+chartGap)
	if len(c.r.Points) < 2 {
		c.text(chartLeft, top+40, "big", "start", "There is nothing to draw: the trace has no length.")
		c.printf("</svg>")
		return
	}
	c.calendar(top, below+waitHigh)
	c.scale(top, nodesHigh, c.nodes, "nodes")
	c.area("paid", top, nodesHigh, c.nodes, func(p Point) float64 { return float64(p.Paid) }, true)
	c.area("busy", top, nodesHigh, c.nodes, func(p Point) float64 { return p.Busy }, true)
	c.area("nodes", top, nodesHigh, c.nodes, func(p Point) float64 { return float64(p.Nodes) }, false)
	c.scale(below, waitHigh, c.wait, "waiting")
	c.area("wait", below, waitHigh, c.wait, func(p Point) float64 { return p.Waiting }, true)
	x := float64(chartLeft)
	for _, l := range [][2]string{{"nodes", "nodes wanted"}, {"paid", "paid for (booting, ready, draining)"}, {"busy", "busy"}, {"wait", "waiting for a node"}} {
		if l[0] == "nodes" {
			c.printf(`<path class="nodes" d="M%.1f %dh16"/>`, x, chartHigh-18)
		} else {
			c.printf(`<rect class="%s" x="%.1f" y="%d" width="16" height="10" rx="2"/>`, l[0], x, chartHigh-23)
		}
		c.text(x+22, chartHigh-14, "", "start", l[1])
		x += 54 + 5.7*float64(len(l[1]))
	}
	c.printf("</svg>")
}

// x returns where an instant is.
func (c *chart) x(t time.Time) float64 {
	return chartLeft + (chartWide-chartLeft-chartRight)*float64(t.Sub(c.from))/float64(c.span)
}

// calendar draws days, or hours of a short trace, and shades weekends.
func (c *chart) calendar(top, bottom float64) {
	y, m, d := c.from.In(c.zone).Date()
	total := int(c.span.Hours()/24) + 1
	every := max(total/14, 1)
	end := c.from.Add(c.span)
	for i := range total + 1 {
		t := time.Date(y, m, d+i, 0, 0, 0, 0, c.zone)
		next := time.Date(y, m, d+i+1, 0, 0, 0, 0, c.zone)
		left, right := max(c.x(t), chartLeft), min(c.x(next), chartWide-chartRight)
		if w := t.Weekday(); (w == time.Saturday || w == time.Sunday) && right > left && total < 120 {
			c.printf(`<rect class="weekend" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, left, top, right-left, bottom-top)
		}
		if i == 0 && next.Sub(c.from) > 12*time.Hour && total >= 3 { // the first day has begun
			c.text(chartLeft+4, bottom+18, "", "start", t.Format("Mon 2 Jan"))
		}
		if t.Before(c.from) || t.After(end) || total < 3 || i%every != 0 {
			continue
		}
		c.printf(`<path class="day" d="M%.1f %.1fV%.1f"/>`, c.x(t), top, bottom)
		if label := t.Format("Mon 2 Jan"); i > 0 && c.x(t) < chartWide-chartRight-50 {
			c.text(c.x(t)+4, bottom+18, "", "start", label)
		}
	}
	for i := 0; total < 3 && i <= total*24; i += 2 {
		if t := time.Date(y, m, d, i, 0, 0, 0, c.zone); !t.Before(c.from) && !t.After(end) {
			c.printf(`<path class="day" d="M%.1f %.1fV%.1f"/>`, c.x(t), top, bottom)
			c.text(c.x(t), bottom+18, "", "middle", t.Format("15:04"))
		}
	}
	c.text(chartWide-chartRight, top-10, "", "end", "clock of "+c.zone.String())
}

// scale draws the lines and numbers of a panel.
func (c *chart) scale(top, high, most float64, name string) {
	c.text(chartLeft-8, top-10, "big", "end", name)
	lines := 4
	if high < 100 {
		lines = 2
	}
	for i := range lines + 1 {
		y := top + high*float64(i)/float64(lines)
		c.printf(`<path class="grid" d="M%d %.1fH%d"/>`, chartLeft, y, chartWide-chartRight)
		c.text(chartLeft-8, y+4, "", "end", fmt.Sprintf("%.4g", most*float64(lines-i)/float64(lines)))
	}
}

// area draws one course, filled down to the ground or as a line.
func (c *chart) area(class string, top, high, most float64, of func(Point) float64, filled bool) {
	var d strings.Builder
	for i, p := range c.r.Points {
		y := top + high*(1-of(p)/most)
		switch {
		case i == 0 && filled:
			fmt.Fprintf(&d, "M%.1f %.1fV%.1f", c.x(p.At), top+high, y)
		case i == 0:
			fmt.Fprintf(&d, "M%.1f %.1f", c.x(p.At), y)
		default:
			fmt.Fprintf(&d, "H%.1fV%.1f", c.x(p.At), y)
		}
	}
	if filled {
		fmt.Fprintf(&d, "V%.1fZ", top+high)
	}
	c.printf(`<path class="%s" d="%s"/>`, class, d.String())
}

// ceiling returns a round number from x on, that four parts of are round too.
func ceiling(x float64) float64 {
	if x <= 1 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(x)))
	for _, f := range []float64{1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8} {
		if f*unit >= x {
			return f * unit
		}
	}
	return 10 * unit
}

// seconds returns a wait for people.
func seconds(s float64) string {
	switch {
	case s < 10:
		return fmt.Sprintf("%.2g s", s)
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 7200:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.1f h", s/3600)
}

func spanText(hours float64) string {
	if hours < 48 {
		return fmt.Sprintf("%.1f hours", hours)
	}
	return fmt.Sprintf("%.1f days", hours/24)
}
