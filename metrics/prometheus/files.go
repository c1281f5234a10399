package prometheus

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/metrics"
)

// Alerts returns rules for Prometheus, one for each figure of the catalogue that
// has one.
func Alerts() string {
	p := New(nil)
	var b strings.Builder
	b.WriteString("# Made by: rondo-server metrics alerts\ngroups:\n  - name: rondo\n    rules:\n")
	for _, m := range metrics.Catalogue() {
		if m.Alert == "" {
			continue
		}
		name := p.Name(m.Name, m.Kind)
		fmt.Fprintf(&b, "      - alert: %s\n        expr: %s\n        for: %s\n        annotations: {summary: %q}\n",
			camel(m.Name), strings.ReplaceAll(m.Alert, "NAME", name), m.For, m.Help)
	}
	return b.String()
}

// camel writes queue.wait as RondoQueueWait.
func camel(name string) string {
	var b strings.Builder
	b.WriteString("Rondo")
	for _, part := range strings.FieldsFunc(strings.TrimSuffix(name, "_total"), func(r rune) bool { return r == '.' || r == '_' }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// Dashboard returns a dashboard for Grafana with a panel for each figure of the
// catalogue, in its order, over a data source that is asked for at import.
func Dashboard() string {
	p := New(nil)
	var panels []any
	chapter, x, y := "", 0, 0
	for _, m := range metrics.Catalogue() {
		if c, _, _ := strings.Cut(m.Name, "."); c != chapter {
			if x > 0 {
				x, y = 0, y+8
			}
			chapter = c
			panels = append(panels, map[string]any{"id": len(panels) + 1, "type": "row", "title": chapter, "gridPos": map[string]int{"x": 0, "y": y, "w": 24, "h": 1}})
			y++
		}
		panels = append(panels, map[string]any{
			"id": len(panels) + 1, "type": "timeseries", "title": m.Name, "description": m.Help,
			"datasource":  map[string]string{"type": "prometheus", "uid": "${DS_PROMETHEUS}"},
			"gridPos":     map[string]int{"x": x, "y": y, "w": 8, "h": 8},
			"fieldConfig": map[string]any{"defaults": map[string]any{"unit": unit(m.Unit), "min": 0}, "overrides": []any{}},
			"targets":     targets(m, p.Name(m.Name, m.Kind)),
		})
		if x += 8; x == 24 {
			x, y = 0, y+8
		}
	}
	text, err := json.MarshalIndent(map[string]any{
		"title": "Rondo", "uid": "rondo", "schemaVersion": 39, "editable": true, "refresh": "30s", "tags": []string{"ci"},
		"time":     map[string]string{"from": "now-6h", "to": "now"},
		"__inputs": []any{map[string]string{"name": "DS_PROMETHEUS", "label": "Prometheus", "type": "datasource", "pluginId": "prometheus"}},
		"panels":   panels,
	}, "", "  ")
	if err != nil {
		return "" // maps of texts and numbers can always be written
	}
	return string(text) + "\n"
}

func unit(u string) string {
	switch u {
	case "seconds":
		return "s"
	case "bytes":
		return "bytes"
	}
	return "short"
}

// targets are the queries of a panel.
func targets(m metrics.Metric, name string) []any {
	var labels []string
	for _, l := range m.Labels {
		labels = append(labels, legal(l, false))
	}
	by := strings.Join(labels, ", ")
	legend := "{{" + strings.Join(labels, "}} {{") + "}}"
	if by == "" {
		legend = m.Name
	}
	query := func(expr string) []any {
		return []any{map[string]any{"expr": expr, "legendFormat": legend, "refId": "A"}}
	}
	switch m.Kind {
	case metrics.Count:
		return query(fmt.Sprintf("sum by (%s) (rate(%s[5m]))", by, name))
	case metrics.Gauge:
		return query(fmt.Sprintf("sum by (%s) (%s)", by, name))
	}
	var all []any
	for i, q := range []string{"0.5", "0.95", "0.99"} {
		all = append(all, map[string]any{
			"expr":  fmt.Sprintf("histogram_quantile(%s, sum by (le) (rate(%s_bucket[5m])))", q, name),
			"refId": string(rune('A' + i)), "legendFormat": "p" + strings.TrimPrefix(q, "0."),
		})
	}
	return all
}

// Markdown returns the catalogue as a table, with the names that each platform
// sees.
func Markdown() string {
	p := New(nil)
	var b strings.Builder
	b.WriteString("# Figures\n\nMade by: rondo-server metrics catalogue\n\n| name | in Prometheus | kind | unit | tags | what |\n|---|---|---|---|---|---|\n")
	for _, m := range metrics.Catalogue() {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s | %s | %s |\n", m.Name, p.Name(m.Name, m.Kind), m.Kind, m.Unit, strings.Join(m.Labels, ", "), m.Help)
	}
	b.WriteString("\nSpreads (dist) are histograms in Prometheus, values with counts in CloudWatch, and `.count`, `.avg`, `.median`, `.95percentile`, `.99percentile`, `.max`, `.min` in DataDog; quantiles are exact within 1 %.\n")
	return b.String()
}
