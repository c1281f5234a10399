package junit

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// TestA072_Budget takes tests until there is no room: for names they are left
// out, for messages only the message is.
func TestA072_Budget(t *testing.T) {
	b := budget{tests: 5, text: 8, messages: 4}
	found := []ci.Test{
		{Name: "a", Classname: "b", Message: "abc"}, {Name: "c"}, {Name: "d", Message: "more"}, {Name: "too long"}, {Name: "e"},
	}
	n, err := b.take(found)
	require.ErrorContains(t, err, "2 tests are left out")
	require.Empty(t, cmp.Diff([]ci.Test{
		{Name: "a", Classname: "b", Message: "abc"}, {Name: "c"}, {Name: "d", Message: Left},
	}, found[:n]))

	b = budget{tests: 2, text: 100, messages: 100}
	n, err = b.take(found[:3])
	require.Equal(t, 2, n)
	require.ErrorContains(t, err, "1 are left out")
	n, err = b.take(found[:1])
	require.Zero(t, n)
	require.Error(t, err)
}
