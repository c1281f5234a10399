package tool

import (
	"bufio"
	"fmt"
	"os"
	"slices"

	"github.com/bmatcuk/doublestar/v4"
)

const globHelp = `Usage: circleci tests glob PATTERN...

Prints the files that match any of the patterns, sorted, one a line; for a
pattern that only directories match, those.
*  any characters but /        **  any number of directories
?  one character but /         [abc] [a-z] [^a]  one of these
{a,b}  either                  Quote patterns, or the shell expands them.
`

// glob prints what matches.
func (c *call) glob(args []string) error {
	if c.wantsHelp(args, globHelp) {
		return nil
	}
	var found []string
	for _, pattern := range args {
		// A shell that knows no ** has put file names here; one may hold
		// characters of a pattern.
		if _, err := os.Lstat(pattern); err == nil {
			found = append(found, pattern)
			continue
		}
		files, err := doublestar.FilepathGlob(pattern, doublestar.WithFilesOnly())
		if err == nil && len(files) == 0 {
			files, err = doublestar.FilepathGlob(pattern) // of packages, say
		}
		if err != nil {
			return fmt.Errorf("tests glob %q: %w", pattern, err)
		}
		found = append(found, files...)
	}
	slices.Sort(found)
	return c.print(slices.Compact(found))
}

// print writes one item a line.
func (c *call) print(items []string) error {
	w := bufio.NewWriter(c.stdout)
	for _, i := range items {
		fmt.Fprintln(w, i)
	}
	return w.Flush()
}
