package config

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// The measures of the drawing, in pixels.
const (
	svgRow    = 44
	svgHeight = 28
	svgGap    = 56
	svgLetter = 7.4
	svgMargin = 16
	svgLabel  = 48 // characters of a name that are shown
)

// SVG draws the graph of a workflow as an SVG image: jobs from left to right
// in the order in which they may start, an arrow for each requirement. Names
// are escaped, so the image is safe inside a page; it has no scripts and loads
// nothing. The text is the same for equal workflows.
func SVG(w ci.PlannedWorkflow) string {
	columns, level := layers(w)
	x, y, width, height := layout(columns, w)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="system-ui, sans-serif" font-size="13" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, "<title>%s</title>\n", svgText(w.Name))
	b.WriteString(`<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#777"/></marker></defs>` + "\n")
	index := make(map[string]int, len(w.Jobs))
	for i, j := range w.Jobs {
		index[j.Name] = i
	}
	for i, j := range w.Jobs {
		for _, r := range j.Requires {
			from, ok := index[r.Job]
			if !ok {
				continue
			}
			x1, y1 := x[from]+boxWidth(w.Jobs[from]), y[from]+svgHeight/2
			x2, y2 := x[i]-2, y[i]+svgHeight/2
			dash, title := "", ""
			if len(r.Statuses) > 0 {
				dash = ` stroke-dasharray="4 3"`
				title = "<title>" + svgText(statusList(r.Statuses)) + "</title>"
			}
			middle := svgGap / 2 * max(1, level[i]-level[from])
			fmt.Fprintf(&b, `<path d="M%d %dC%d %d %d %d %d %d" fill="none" stroke="#777" marker-end="url(#a)"%s>%s</path>`+"\n",
				x1, y1, x1+middle, y1, x2-middle, y2, x2, y2, dash, title)
		}
	}
	for i, j := range w.Jobs {
		fill, radius := "#e8f0fe", 4
		switch j.Type {
		case ci.JobApproval:
			fill, radius = "#fff4d6", svgHeight/2
		case ci.JobNoOp:
			fill = "#f0f0f0"
		}
		fmt.Fprintf(&b, `<g><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="%d" fill="%s" stroke="#456"/><text x="%d" y="%d" text-anchor="middle" fill="#123">%s</text></g>`+"\n",
			svgText(j.Name), x[i], y[i], boxWidth(j), svgHeight, radius, fill, x[i]+boxWidth(j)/2, y[i]+18, svgText(shortLabel(j)))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// layers sorts the jobs into columns: each stands right of all it requires.
func layers(w ci.PlannedWorkflow) (columns [][]int, level []int) {
	index := make(map[string]int, len(w.Jobs))
	for i, j := range w.Jobs {
		index[j.Name] = i
	}
	next := make([][]int, len(w.Jobs))
	waits := make([]int, len(w.Jobs))
	for i, j := range w.Jobs {
		for _, r := range j.Requires {
			if from, ok := index[r.Job]; ok {
				next[from] = append(next[from], i)
				waits[i]++
			}
		}
	}
	level = make([]int, len(w.Jobs))
	var ready []int
	for i := range w.Jobs {
		if waits[i] == 0 {
			ready = append(ready, i)
		}
	}
	for len(ready) > 0 { // a job in a circle, which no compiled plan has, stays in the first column
		i := ready[0]
		ready = ready[1:]
		for _, n := range next[i] {
			level[n] = max(level[n], level[i]+1)
			if waits[n]--; waits[n] == 0 {
				ready = append(ready, n)
			}
		}
	}
	for i, l := range level {
		for len(columns) <= l {
			columns = append(columns, nil)
		}
		columns[l] = append(columns[l], i)
	}
	return columns, level
}

// layout computes the corner of each box and the size of the image.
func layout(columns [][]int, w ci.PlannedWorkflow) (x, y []int, width, height int) {
	x, y = make([]int, len(w.Jobs)), make([]int, len(w.Jobs))
	rows := 1
	for _, c := range columns {
		rows = max(rows, len(c))
	}
	left := svgMargin
	for _, c := range columns {
		widest := 0
		top := svgMargin + (rows-len(c))*svgRow/2
		for row, i := range c {
			x[i], y[i] = left, top+row*svgRow
			widest = max(widest, boxWidth(w.Jobs[i]))
		}
		left += widest + svgGap
	}
	return x, y, max(left-svgGap, 0) + svgMargin, rows*svgRow + svgMargin
}

// shortLabel is the label of a box, cut to a bearable length.
func shortLabel(j ci.PlannedJob) string {
	s := []rune(label(j))
	if len(s) > svgLabel {
		return string(s[:svgLabel-1]) + "…"
	}
	return string(s)
}

func boxWidth(j ci.PlannedJob) int {
	return int(float64(utf8.RuneCountInString(shortLabel(j)))*svgLetter) + 24
}

// svgText escapes a text for XML and drops what XML does not allow.
func svgText(s string) string { return html.EscapeString(clean(s)) }
