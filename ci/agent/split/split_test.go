package split_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/split"
)

func Example() {
	tests := []ci.Test{{File: "a_test.go", Seconds: 9}, {File: "b_test.go", Seconds: 4}, {File: "c_test.go", Seconds: 5}}
	items := []string{"a_test.go", "b_test.go", "c_test.go"}
	weight, _ := split.Timings(items, tests, split.Auto)
	for node := range 2 {
		fmt.Println(split.ByWeight(items, weight, 0, node, 2))
	}
	// Output:
	// [a_test.go]
	// [b_test.go c_test.go]
}

func TestByName(t *testing.T) {
	require.Equal(t, []string{"a", "c", "e"}, split.ByName([]string{"e", "d", "c", "b", "a"}, 0, 2))
	require.Equal(t, []string{"b", "d"}, split.ByName([]string{"e", "d", "c", "b", "a"}, 1, 2))
	require.Empty(t, split.ByName([]string{"a"}, 1, 2))
	require.Empty(t, split.ByName(nil, 0, 1))
}

// Every item goes to exactly one node, and no node gets more than its fair
// part and the heaviest item.
func TestByWeightIsAFairPartition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		items := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,4}`), 0, 30, rapid.ID[string]).Draw(t, "items")
		weight := map[string]float64{}
		var sum, most float64
		for _, i := range items {
			weight[i] = float64(rapid.IntRange(0, 100).Draw(t, "weight"))
			sum += weight[i]
			most = max(most, weight[i])
		}
		total := rapid.IntRange(1, 7).Draw(t, "total")
		var all []string
		for n := range total {
			share := split.ByWeight(items, weight, 0, n, total)
			var load float64
			for _, i := range share {
				load += weight[i]
			}
			require.LessOrEqual(t, load, sum/float64(total)+most+1e-9)
			all = append(all, share...)
		}
		slices.Sort(all)
		slices.Sort(items)
		require.Equal(t, len(items), len(all))
		for i := range items {
			require.Equal(t, items[i], all[i])
		}
	})
}

func TestUnknownItems(t *testing.T) {
	weight := map[string]float64{"a": 10, "b": 2}
	require.Equal(t, []string{"a"}, split.ByWeight([]string{"a", "b", "x"}, weight, 0, 0, 2), "x weighs 6")
	require.Equal(t, []string{"x"}, split.ByWeight([]string{"a", "b", "x"}, weight, 30, 0, 2), "x weighs 30")
	require.Len(t, split.ByWeight([]string{"a", "b", "c", "d"}, map[string]float64{"a": 0, "b": 0, "c": 0, "d": 0}, 0, 1, 2), 2)
}

func TestTimings(t *testing.T) {
	tests := []ci.Test{
		{Name: "t1", Classname: "C", File: "./a/x.rb", Seconds: 1},
		{Name: "t2", Classname: "C", File: "a/x.rb", Seconds: 2},
		{Name: "t3", Classname: "D", Seconds: 4},
	}
	for _, c := range []struct {
		key  split.Key
		item string
		want float64
		ok   bool
	}{
		{split.Auto, "a/x.rb", 3, true}, {split.Auto, "./a/x.rb", 3, true}, {split.Auto, "C", 3, true}, {split.Auto, "t3", 4, true},
		{split.Filename, "C", 0, false}, {split.Classname, "D", 4, true}, {split.Testname, "t2", 2, true}, {split.Auto, "none", 0, false},
	} {
		got, ok := split.Timings([]string{c.item}, tests, c.key)
		require.Equal(t, c.ok, ok, c)
		require.Equal(t, c.want, got[c.item], c)
	}
}

func TestParseKey(t *testing.T) {
	for text, want := range map[string]split.Key{"": split.Auto, "auto": split.Auto, "FileName": split.Filename, "file": split.Filename, "classname": split.Classname, "testname": split.Testname} {
		got, err := split.ParseKey(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := split.ParseKey("x")
	require.ErrorIs(t, err, ci.ErrInvalid)
}
