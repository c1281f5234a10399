package config_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
)

func TestAdmits(t *testing.T) {
	for _, c := range []struct {
		only, ignore string
		branch       string
		want         bool
	}{
		{"", "", "main", true},
		{"main", "", "main", true},
		{"main", "main", "main", true}, // only decides
		{"main", "", "main2", false},
		{"", "main", "main", false},
		{"", "main", "dev", true},
		{`dev /release-\d+/`, "", "release-12", true},
		{`dev /release-\d+/`, "", "release-12-x", false},
		{`/(?!main$).*/`, "", "dev", true},
		{`/(?!main$).*/`, "", "main", false},
		{"", `/.*/`, "dev", false},
	} {
		s := ci.Schedule{Workflow: "w", Only: strings.Fields(c.only), Ignore: strings.Fields(c.ignore)}
		got, err := config.Admits(s, c.branch)
		require.NoError(t, err)
		require.Equal(t, c.want, got, "%+v", c)
	}
	_, err := config.Admits(ci.Schedule{Workflow: "nightly", Only: []string{"/(/"}}, "main")
	require.ErrorIs(t, err, ci.ErrInvalid)
	require.ErrorContains(t, err, "nightly")
	_, err = config.Admits(ci.Schedule{Workflow: "nightly", Only: []string{"/(?=x)(x+x+)+y/"}}, strings.Repeat("x", 60))
	require.ErrorIs(t, err, ci.ErrInvalid)
}
