package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/s3/s3test"
)

const storing = `
version: 2.1
jobs:
  first:
    machine: true
    steps:
      - run: mkdir -p deps out && echo cached > deps/one && echo made > out/two
      - save_cache: {key: v1, paths: [deps]}
      - store_artifacts: {path: out}
  second:
    machine: true
    steps:
      - restore_cache: {keys: [v1]}
      - run: cat deps/one
workflows: {main: {jobs: [first, second: {requires: [first]}]}}
`

// TestP19a_ServeWithS3 runs a server whose files are in a bucket, takes the
// bucket away while the server is killed and acts go on, and brings it back.
func TestP19a_ServeWithS3(t *testing.T) {
	gateway := s3test.Start(t)
	gateway.Bucket("rondo")
	t.Setenv("S3_ACCESS", s3test.AccessKey)
	t.Setenv("S3_SECRET", s3test.SecretKey)
	r := newRepo(t, storing)
	s, data := team(t, fmt.Sprintf("folders: [%s]\nstorage: {s3: {bucket: rondo, endpoint: %q, path_style: true, prefix: ci, access_key: 'env:S3_ACCESS', secret_key: 'env:S3_SECRET'}}\n", r.dir, gateway.URL))
	file, token := filepath.Join(filepath.Dir(data), "rondo.yml"), s.Token
	end := s.waitEnd(ci.WorkflowEnded, "main")
	require.Equal(t, ci.Success, end.Status, s.trail())
	bucket := filepath.Join(gateway.Dir, "rondo", "ci")
	for _, kind := range []string{"caches", "artifacts"} {
		_, err := os.Stat(filepath.Join(bucket, kind))
		require.NoError(t, err)
	}
	_, err := os.Stat(filepath.Join(data, "files"))
	require.ErrorIs(t, err, os.ErrNotExist, "nothing beside it")
	out, err := program(t, "serve", "--config", file, "--check", "--online").CombinedOutput()
	require.NoError(t, err, string(out))

	gateway.Stop()
	out, err = program(t, "serve", "--config", file, "--check", "--online").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "bucket rondo: write an object")
	slug := ""
	_, body := s.call("GET", "/api/v2/rondo/projects", "")
	if _, rest, ok := strings.Cut(body, `"slug":"`); ok {
		slug, _, _ = strings.Cut(rest, `"`)
	}
	slug = slug[:strings.LastIndex(slug, "/")]
	for i := range 3 {
		code, body := s.call("POST", "/api/v2/context", fmt.Sprintf(`{"name":"c%d","owner":{"slug":%q}}`, i, slug))
		require.Equal(t, 200, code, body)
	}
	s.kill()
	gateway.Restart()
	s = start(t, program(t, "serve", "--json", "--config", file))
	s.Token = token
	s.eventually("each act has its event", func() bool {
		_, body := s.call("GET", "/api/v2/rondo/audit?limit=1000&action=context.create", "")
		return strings.Count(body, `"action":"context.create"`) == 3
	})
	_, body = s.call("GET", "/api/v2/rondo/audit/verify", "")
	require.Contains(t, body, `"ok":true`)
	gateway.Stop()
	r.commit("again", map[string]string{".circleci/config.yml": strings.ReplaceAll(storing, "v1", "v2")})
	started := s.wait("first", func(e ci.Event) bool { return e.Kind == ci.JobStarted && e.Name == "first" })
	s.eventually("an agent tries again", func() bool {
		for i := range s.steps(string(started.Job), 0) {
			// What no server has yet may be in the bucket: until there is a line, it is an error.
			_, body := s.call("GET", fmt.Sprintf("/api/v2/rondo/log?task=%s.0&step=%d", started.Job, i), "")
			if strings.Contains(body, "trying again") {
				return true
			}
		}
		return false
	})
	gateway.Restart()
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.trail())
	require.Equal(t, 0, s.stop(), s.errors())
	out, err = program(t, "audit", "query", "--config", file, "--action", "context.create").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, 3, strings.Count(string(out), "\n"))
}
