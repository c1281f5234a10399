package tool

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/split"
)

const splitHelp = `Usage: circleci tests split [flags] [FILE]

Reads names of tests, separated by blanks or newlines, and prints this node's
share of them.

  --split-by=name|filesize|timings   how to weigh; name is the default
  --timings-type=filename|classname|testname   what the names are names of
  --time-default=DURATION            of a test without a timing; else the average
  --index=N --total=N                instead of this node's
  --show-counts                      print how many go where, on standard error
`

// splitFlags are the flags of tests split, which tests run has too.
type splitFlags struct {
	by, timings  string
	index, total int
	unknown      time.Duration
	counts       bool
}

// add declares the flags. The node is that of the environment.
func (f *splitFlags) add(set *flag.FlagSet, c *call) {
	number := func(name string, def int) int {
		if n, err := strconv.Atoi(c.getenv(name)); err == nil {
			return n
		}
		return def
	}
	set.StringVar(&f.by, "split-by", "name", "")
	set.StringVar(&f.timings, "timings-type", "", "")
	set.IntVar(&f.index, "index", number("CIRCLE_NODE_INDEX", 0), "")
	set.IntVar(&f.total, "total", number("CIRCLE_NODE_TOTAL", 1), "")
	set.DurationVar(&f.unknown, "time-default", 0, "")
	set.BoolVar(&f.counts, "show-counts", false, "")
}

// parse reads the flags, which may stand before and behind the other
// arguments, and returns those.
func parse(set *flag.FlagSet, args []string) ([]string, error) {
	set.SetOutput(io.Discard)
	var rest []string
	for len(args) > 0 {
		if err := set.Parse(args); err != nil {
			return nil, errUsage{set.Name() + ": " + err.Error()}
		}
		args = set.Args()
		if len(args) > 0 {
			rest = append(rest, args[0])
			args = args[1:]
		}
	}
	return rest, nil
}

// split prints this node's share of a list.
func (c *call) split(args []string) error {
	if c.wantsHelp(args, splitHelp) {
		return nil
	}
	set := flag.NewFlagSet("tests split", flag.ContinueOnError)
	var f splitFlags
	f.add(set, c)
	files, err := parse(set, args)
	if err != nil {
		return err
	}
	share, err := c.share(f, files)
	if err != nil {
		return fmt.Errorf("tests split: %w", err)
	}
	return c.print(share)
}

// share reads the list and returns this node's part of it.
func (c *call) share(f splitFlags, files []string) ([]string, error) {
	if f.total < 1 || f.index < 0 || f.index >= f.total {
		return nil, errUsage{fmt.Sprintf("index %d of %d nodes: the index counts from 0 to total-1", f.index, f.total)}
	}
	key, err := split.ParseKey(f.timings)
	if err != nil {
		return nil, errUsage{err.Error()}
	}
	text, err := c.read(files)
	if err != nil {
		return nil, err
	}
	items := strings.Fields(text)
	if key == split.Testname { // names of tests are sentences
		items = lines(text)
	}
	share, err := c.divide(f, key, items)
	if err == nil && f.counts {
		fmt.Fprintf(c.stderr, "%d of %d tests on node %d of %d\n", len(share), len(items), f.index, f.total)
	}
	return share, err
}

// divide weighs the items as the flags say.
func (c *call) divide(f splitFlags, key split.Key, items []string) ([]string, error) {
	switch f.by {
	case "name", "":
		return split.ByName(items, f.index, f.total), nil
	case "filesize":
		return split.ByWeight(items, sizes(items), 0, f.index, f.total), nil
	case "timings":
		if weight, ok := split.Timings(items, c.timings(), key); ok {
			return split.ByWeight(items, weight, f.unknown.Seconds(), f.index, f.total), nil
		}
		if len(items) > 0 {
			fmt.Fprintln(c.stderr, "Error auto-detecting timing type, falling back to weighting by name.")
		}
		return split.ByName(items, f.index, f.total), nil
	}
	return nil, errUsage{fmt.Sprintf("split-by %q is not one of name, filesize, timings", f.by)}
}

// read returns the content of the files, or of standard input if there are
// none.
func (c *call) read(files []string) (string, error) {
	if len(files) == 0 || len(files) == 1 && files[0] == "-" {
		b, err := io.ReadAll(c.stdin)
		return string(b), err
	}
	var all strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return "", err
		}
		all.Write(b)
		all.WriteByte('\n')
	}
	return all.String(), nil
}

// lines returns the lines that are not blank.
func lines(text string) []string {
	var found []string
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			found = append(found, l)
		}
	}
	return found
}

// sizes returns the sizes of the files that exist.
func sizes(items []string) map[string]float64 {
	m := map[string]float64{}
	for _, i := range items {
		if info, err := os.Stat(i); err == nil {
			m[i] = float64(info.Size())
		}
	}
	return m
}

// patience is how long to wait for the agent to fetch the timings.
const patience = 15 * time.Second

// timings returns the tests of an earlier run; none if the agent has none.
func (c *call) timings() []ci.Test {
	dir := c.getenv(TaskData)
	if dir == "" {
		return nil
	}
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		// The agent writes the file before it removes the mark.
		_, pending := os.Lstat(filepath.Join(dir, PendingFile))
		b, err := os.ReadFile(filepath.Join(dir, TimingsFile))
		var tests []ci.Test
		if err == nil && json.Unmarshal(b, &tests) == nil {
			return tests
		}
		if errors.Is(pending, fs.ErrNotExist) || time.Now().After(end) {
			return nil
		}
	}
}
