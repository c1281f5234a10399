// Package split deals tests out to the parallel nodes of a job.
//
// Every node computes the same division on its own from the same input, and
// takes its share: by name, by the size of the files, or by how long the tests
// took last time. The package starts nothing and reads no files.
package split

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// ByName sorts the items and deals them out one after the other. It returns
// the share of node index of total.
func ByName(items []string, index, total int) []string {
	sorted := slices.Clone(items)
	slices.Sort(sorted)
	var share []string
	for i := index; i < len(sorted); i += total {
		share = append(share, sorted[i])
	}
	return share
}

// ByWeight gives every item, the heaviest first, to the node that has least so
// far, and returns the share of node index of total, in the order of items.
// An item without a weight counts as unknown or, if that is 0, as the average
// of those that have one.
func ByWeight(items []string, weight map[string]float64, unknown float64, index, total int) []string {
	type item struct {
		at     int
		weight float64
	}
	var sum float64
	known := 0
	for _, i := range items {
		if w, ok := weight[i]; ok {
			sum += w
			known++
		}
	}
	if unknown <= 0 && known > 0 {
		unknown = sum / float64(known)
	}
	if unknown <= 0 {
		unknown = 1
	}
	all := make([]item, len(items))
	for at, i := range items {
		w, ok := weight[i]
		if !ok {
			w = unknown
		}
		all[at] = item{at, w}
	}
	slices.SortStableFunc(all, func(a, b item) int {
		return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(items[a.at], items[b.at]))
	})
	load := make([]float64, total)
	count := make([]int, total)
	var mine []int
	for _, i := range all {
		// Among nodes of equal load, the one with fewer items: otherwise many
		// tests of no duration would all go to the first.
		n := 0
		for k := 1; k < total; k++ {
			if load[k] < load[n] || load[k] == load[n] && count[k] < count[n] {
				n = k
			}
		}
		load[n] += i.weight
		count[n]++
		if n == index {
			mine = append(mine, i.at)
		}
	}
	slices.Sort(mine)
	var share []string
	for _, at := range mine {
		share = append(share, items[at])
	}
	return share
}

// A Key says what of a test the items name.
type Key string

// The keys.
const (
	Auto      Key = ""
	Filename  Key = "filename"
	Classname Key = "classname"
	Testname  Key = "testname"
)

// ParseKey reads a key as a user writes it. Anything else is [ci.ErrInvalid].
func ParseKey(s string) (Key, error) {
	switch k := Key(strings.ToLower(s)); k {
	case Auto, Filename, Classname, Testname:
		return k, nil
	case "auto", "autodetect":
		return Auto, nil
	case "file":
		return Filename, nil
	case "name":
		return Testname, nil
	}
	return "", fmt.Errorf("timings type %q is not one of filename, classname, testname: %w", s, ci.ErrInvalid)
}

// Timings returns how many seconds each item took in the tests of an earlier
// run. With [Auto] the key is the first that finds any item. False says that
// none was found.
func Timings(items []string, tests []ci.Test, key Key) (map[string]float64, bool) {
	keys := []Key{key}
	if key == Auto {
		keys = []Key{Filename, Classname, Testname}
	}
	for _, k := range keys {
		sums := map[string]float64{}
		for _, t := range tests {
			if name := k.of(t); name != "" {
				sums[name] += t.Seconds
			}
		}
		weight := map[string]float64{}
		for _, i := range items {
			if s, ok := sums[k.clean(i)]; ok {
				weight[i] = s
			}
		}
		if len(weight) > 0 {
			return weight, true
		}
	}
	return nil, false
}

// of returns what the key takes from a test.
func (k Key) of(t ci.Test) string {
	switch k {
	case Filename:
		return k.clean(t.File)
	case Classname:
		return t.Classname
	}
	return t.Name
}

// clean makes different spellings of one file equal.
func (k Key) clean(s string) string {
	if k != Filename || s == "" {
		return s
	}
	return path.Clean(strings.ReplaceAll(s, `\`, "/"))
}
