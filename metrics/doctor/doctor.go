// Package doctor reads configurations of Telegraf as installations have them,
// from the releases of 2018 on, and mends what today's Telegraf does not read:
// names in the singular, options that have other names now.
//
// [Examine] looks at files and returns what it found, each [Finding] with its
// place and the mended text; comments, order and everything else stay as they
// are. It reads lines, not TOML as a whole: whether the rest is right, Telegraf
// itself says.
package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// A File is one configuration.
type File struct {
	Name string
	Text string
}

// A Finding is one thing that today's Telegraf would not do as it is meant.
type Finding struct {
	File string `json:"file"`
	Line int    `json:"line"` // from 1
	Text string `json:"text"` // what is wrong
	Was  string `json:"was,omitempty"`
	Now  string `json:"now,omitempty"` // the mended line; "" is that people must act
}

// String returns the finding as file:line: text.
func (f Finding) String() string {
	s := fmt.Sprintf("%s:%d: %s", f.File, f.Line, f.Text)
	if f.Now != "" {
		s += ": write " + strings.TrimSpace(f.Now)
	}
	return s
}

// Examine returns the files as they should be, in the same order, and what was
// found. Files are meant to be used together: an address that two inputs claim
// is found over all of them.
func Examine(files ...File) ([]File, []Finding) {
	var all []Finding
	mended := make([]File, len(files))
	claims := map[string]string{} // address to file:line
	for i, f := range files {
		d := &reader{file: f.Name, claims: claims}
		lines := strings.SplitAfter(f.Text, "\n")
		for n, line := range lines {
			lines[n] = d.line(n+1, line)
		}
		mended[i] = File{f.Name, strings.Join(lines, "")}
		all = append(all, d.found...)
	}
	return mended, all
}

// A reader reads one file.
type reader struct {
	file   string
	table  string // as Telegraf names it now: outputs.influxdb
	quote  string // inside of a text over several lines: what ends it
	claims map[string]string
	found  []Finding
}

// renamed are options by table and name: what they are called now.
func renamed() map[string]string {
	return map[string]string{
		"inputs.statsd parse_data_dog_tags": "datadog_extensions",
		"* fieldpass":                       "fieldinclude",
		"* fielddrop":                       "fieldexclude",
		"* pass":                            "fieldinclude",
		"* drop":                            "fieldexclude",
	}
}

// line returns the line as it should be.
func (d *reader) line(n int, line string) string {
	text, end := strings.TrimRight(line, "\r\n"), ""
	end = line[len(text):]
	body := strings.TrimSpace(text)
	if d.quote != "" {
		if strings.Contains(body, d.quote) {
			d.quote = ""
		}
		return line
	}
	switch {
	case body == "" || body[0] == '#':
		return line
	case body[0] == '[':
		return d.header(n, text) + end
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok {
		return line
	}
	for _, q := range []string{`"""`, `'''`} {
		if strings.Count(value, q) == 1 {
			d.quote = q
		}
	}
	return d.option(n, text, name, value) + end
}

// header reads a line that begins a table.
func (d *reader) header(n int, text string) string {
	body := strings.TrimLeft(text, " \t")
	indent := text[:len(text)-len(body)]
	inside := strings.TrimLeft(body, "[")
	open := body[:len(body)-len(inside)]
	stop := strings.IndexByte(inside, ']')
	if stop < 0 {
		return text
	}
	name, rest := strings.TrimSpace(inside[:stop]), inside[stop:]
	kind, plugin, _ := strings.Cut(name, ".")
	d.table = name
	if name == "tags" {
		d.table = "global_tags"
		return d.mend(n, text, indent+open+"global_tags"+rest, "[tags] is called [global_tags]")
	}
	for _, one := range []string{"output", "input", "processor", "aggregator"} {
		if kind == one {
			d.table = one + "s." + plugin
			text = d.mend(n, text, indent+open+d.table+rest, fmt.Sprintf("%q is read as the name of an input: the table is called %ss", one, one))
		}
	}
	kind, plugin, _ = strings.Cut(d.table, ".")
	plugin, _, _ = strings.Cut(plugin, ".")
	if known := plugins()[kind]; known != nil && plugin != "" && !slices.Contains(known, plugin) {
		d.add(n, text, "", fmt.Sprintf("there is no %s %q here; the nearest is %q", strings.TrimSuffix(kind, "s"), plugin, nearest(plugin, known)))
	}
	return text
}

// option reads a line name = value.
func (d *reader) option(n int, text, name, value string) string {
	key := strings.Trim(strings.TrimSpace(name), `"'`)
	with := func(now string) string { return strings.Replace(name, key, now, 1) + "=" + value }
	for _, table := range []string{d.table, "*"} {
		if now := renamed()[table+" "+key]; now != "" {
			return d.mend(n, text, with(now), key+" is called "+now)
		}
	}
	bare, comment := uncomment(value)
	switch d.table + " " + key {
	case "outputs.influxdb url":
		now := strings.Replace(name, key, "urls", 1) + "= [" + strings.TrimSpace(bare) + "]" + comment
		return d.mend(n, text, now, "url is not read: there may be several")
	case "outputs.influxdb precision":
		return d.mend(n, text, "# "+text, "precision is not read any more")
	case "inputs.statsd service_address", "inputs.statsd service_port":
		address := strings.Trim(strings.TrimSpace(bare), `"'`)
		if before := d.claims[address]; before != "" {
			d.add(n, text, "", fmt.Sprintf("two inputs listen on %s: the other one is at %s; keep one of them", address, before))
		} else {
			d.claims[address] = fmt.Sprintf("%s:%d", d.file, n)
		}
	}
	return text
}

// uncomment cuts a value and the comment behind it, with the blanks before it.
func uncomment(value string) (bare, comment string) {
	var quote byte
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#':
			bare = strings.TrimRight(value[:i], " \t")
			return bare, value[len(bare):]
		}
	}
	return value, ""
}

func (d *reader) mend(n int, was, now, text string) string {
	d.add(n, was, now, text)
	return now
}

func (d *reader) add(n int, was, now, text string) {
	d.found = append(d.found, Finding{File: d.file, Line: n, Text: text, Was: was, Now: now})
}

// nearest returns the name that differs least.
func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int {
		return cmp.Or(cmp.Compare(distance(name, a), distance(name, b)), cmp.Compare(a, b))
	})
}

// distance is how many letters have to be put in, taken out or changed.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := last
			if a[i] != b[j] {
				change++
			}
			last = row[j+1]
			row[j+1] = min(change, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}

// plugins are those that rondo-telegraf has, by table. A test of the module
// metrics/telegraf holds this against what is linked.
func plugins() map[string][]string {
	return map[string][]string{
		"inputs":      {"cpu", "disk", "diskio", "docker", "mem", "net", "statsd", "system"},
		"outputs":     {"cloudwatch", "datadog", "discard", "file", "http", "influxdb", "influxdb_v2", "prometheus_client"},
		"processors":  {"regex", "rename", "strings"},
		"aggregators": {"basicstats"},
	}
}

// Plugins returns the names of the plugins that are known, by table.
func Plugins() map[string][]string { return plugins() }
