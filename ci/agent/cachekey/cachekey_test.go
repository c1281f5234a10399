package cachekey_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/agent/cachekey"
)

func Example() {
	key, err := cachekey.Render("v1-{{ .Branch }}-{{ .Environment.LEVEL }}", cachekey.Data{
		Branch: "main", Environment: map[string]string{"LEVEL": "3"},
	}, nil)
	fmt.Println(key, err)
	// Output: v1-main-3 <nil>
}

func TestRender(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "go.sum"), []byte("abc"), 0o644))
	require.NoError(t, os.Symlink("go.sum", filepath.Join(dir, "link")))
	find := func(p string) string { return filepath.Join(dir, p) }
	data := cachekey.Data{Branch: "feature/x", Revision: "0123", BuildNum: 7, CheckoutKey: "SHA256:k", Environment: map[string]string{"A": "1"}}
	const sum = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="
	cases := map[string]string{
		"plain": "plain",
		"{{ .Branch }}-{{.Revision}}-{{ .BuildNum }}":         "feature/x-0123-7",
		`{{ checksum "go.sum" }}`:                             sum,
		`{{ checksum "link" }}`:                               sum,
		"a{{ .Environment.A }}b{{ .Environment.NONE }}":       "a1b",
		"{{ .CheckoutKey }}":                                  "SHA256:k",
		`{{ if eq .Branch "main" }}m{{ else }}other{{ end }}`: "other",
	}
	for text, want := range cases {
		got, err := cachekey.Render(text, data, find)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
	got, err := cachekey.Render("{{ epoch }} {{ arch }}", data, find)
	require.NoError(t, err)
	require.Regexp(t, `^\d{10} arch1-[a-z]+-[a-z0-9]+$`, got)
	for text, want := range map[string]string{
		"{{ nope }}":               `function "nope" not defined`,
		"{{ .Nope }}":              "can't evaluate field Nope",
		"{{":                       "cacheKey:1",
		`{{ checksum "none" }}`:    `error computing cache key: template: cacheKey:1:3: executing "cacheKey" at <checksum "none">: error calling checksum: open none: no such file or directory`,
		`{{ checksum "." }}`:       "not a regular file",
		"":                         "empty key",
		"{{ .Environment.NONE }} ": "empty key",
		"a\nb":                     "more than one line",
		strings.Repeat("x", 901):   "longer than 900 bytes",
		`{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`: "exceeded maximum template depth",
	} {
		_, err := cachekey.Render(text, data, find)
		require.ErrorContains(t, err, want, text)
	}
}

func FuzzRender(f *testing.F) {
	f.Add("v1-{{ .Branch }}-{{ epoch }}")
	f.Add(`{{ printf "%99999d" 1 }}`)
	f.Fuzz(func(t *testing.T, text string) {
		key, err := cachekey.Render(text, cachekey.Data{Branch: "b"}, func(string) string { return "/dev/null" })
		if err == nil && (len(key) > cachekey.MaxLength || key == "") {
			t.Fatalf("key of %d bytes", len(key))
		}
	})
}
