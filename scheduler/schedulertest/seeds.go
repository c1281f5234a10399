package schedulertest

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// KnownSeeds reads the seeds of random tests that have failed once from
// testdata/seeds.txt of the package under test: one a line, with whatever should
// be known about it behind; lines that begin with # are none.
func KnownSeeds(t *testing.T) []uint64 {
	t.Helper()
	f, err := os.Open("testdata/seeds.txt")
	require.NoError(t, err)
	defer f.Close()
	var list []uint64
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if word, _, _ := strings.Cut(strings.TrimSpace(lines.Text()), " "); word != "" && word[0] != '#' {
			seed, err := strconv.ParseUint(word, 10, 64)
			require.NoError(t, err)
			list = append(list, seed)
		}
	}
	return list
}
