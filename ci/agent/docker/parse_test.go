package docker

import (
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/jsonstream"
	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

func etc(t testing.TB, passwd, group string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "passwd"), []byte(passwd), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "group"), []byte(group), 0o600))
	return dir
}

func TestLookUp(t *testing.T) {
	dir := etc(t, "root:x:0:0:root:/root:/bin/sh\nbroken\nkim:x:1000:100:Kim:/home/kim:/bin/sh\n", "users:x:100:\nwheel:x:10:root,kim\ndocker:x:999:kim\n")
	cases := []struct {
		user string
		want account
	}{
		{"", account{0, 0, []uint32{10}, "/root"}},
		{"root", account{0, 0, []uint32{10}, "/root"}},
		{"kim", account{1000, 100, []uint32{10, 999}, "/home/kim"}},
		{"1000", account{1000, 100, []uint32{10, 999}, "/home/kim"}},
		{"kim:wheel", account{1000, 10, nil, "/home/kim"}},
		{"kim:7", account{1000, 7, nil, "/home/kim"}},
		{"4242", account{4242, 0, nil, "/"}},
		{"4242:4243", account{4242, 4243, nil, "/"}},
	}
	for _, c := range cases {
		got, err := lookUp(dir, c.user)
		require.NoError(t, err, c.user)
		require.Equal(t, c.want, got, c.user)
	}
	for _, user := range []string{"nobody", "kim:nobody", "-1", "4294967296", "kim:"} {
		_, err := lookUp(dir, user)
		require.ErrorIs(t, err, ci.ErrInvalid, user)
	}
	a, err := lookUp(t.TempDir(), "5") // an image without the files
	require.NoError(t, err)
	require.EqualValues(t, 5, a.uid)
}

func FuzzLookUp(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/sh\n", "wheel:x:10:root\n", "root:wheel")
	f.Add("a:b:c:d:e:f:g\n::::::\n", ":::\n", ":")
	f.Fuzz(func(t *testing.T, passwd, group, user string) {
		a, err := lookUp(etc(t, passwd, group), user)
		if err == nil {
			require.LessOrEqual(t, a.uid, uint32(1)<<31)
			require.NotEmpty(t, a.home)
		}
	})
}

func FuzzFullName(f *testing.F) {
	for _, name := range []string{"a", "a/b:1", "host:5000/a", "a@sha256:0", "sha256:00", "-x", "a\nb"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		full, err := fullName(name)
		if err == nil {
			require.NotContains(t, full, "\n")
			require.True(t, strings.ContainsAny(full, ":@"))
			require.NotEmpty(t, registryOf(full))
		}
	})
}

// messages is a pull that an engine tells of.
type messages struct {
	io.ReadCloser
	list []jsonstream.Message
}

func (messages) Close() error               { return nil }
func (messages) Wait(context.Context) error { return nil }
func (m messages) JSONMessages(context.Context) iter.Seq2[jsonstream.Message, error] {
	return func(yield func(jsonstream.Message, error) bool) {
		for _, one := range m.list {
			if !yield(one, nil) {
				return
			}
		}
	}
}

// What a registry says is cut, stripped, and never more than a page or two.
func TestPullIsShortInTheLog(t *testing.T) {
	m := messages{list: []jsonstream.Message{{Status: "Pulling from library/x", ID: "1"}, {Status: "\x1b[2Jevil\n" + strings.Repeat("x", 5000)}}}
	for range 100_000 {
		m.list = append(m.list, jsonstream.Message{ID: "a", Status: "Pull complete"},
			jsonstream.Message{ID: "a", Status: "Downloading", Progress: &jsonstream.Progress{Current: -1 << 62, Total: 1}})
	}
	var out strings.Builder
	require.NoError(t, follow(t.Context(), m, &out))
	require.Less(t, out.Len(), 10_000)
	require.NotContains(t, out.String(), "\x1b")
	require.Contains(t, out.String(), "  1: Pulling from library/x\n")
	require.True(t, strings.HasSuffix(out.String(), "  ...\n"))

	m.list = append(m.list, jsonstream.Message{Error: &jsonstream.Error{Message: "no space left"}})
	require.EqualError(t, follow(t.Context(), m, io.Discard), "no space left")
}

func TestPullErrors(t *testing.T) {
	for text, user := range map[string]bool{
		"pull access denied for x, repository does not exist or may require 'docker login'": true,
		"manifest for x:1 not found: manifest unknown":                                      true,
		"unauthorized: authentication required":                                             true,
		"dial tcp: lookup registry.example.com: no such host":                               false,
		"write /var/lib/docker/tmp/x: no space left on device":                              false,
	} {
		require.Equal(t, user, errors.Is(pullError("x:1", false, errors.New(text)), ci.ErrInvalid), text)
	}
}

func TestOwner(t *testing.T) {
	e := &Executor{}
	require.False(t, e.dead(ownerName(os.Getpid())))
	require.True(t, e.dead("some-other-boot/1/1"))
	require.True(t, e.dead(strings.Replace(ownerName(os.Getpid()), "/", "/9", 1)))
	require.False(t, e.dead(""), "not ours")
	require.Empty(t, ownerName(1<<30))
}
