package main

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/s3/s3test"
)

// carrying keeps files that no compression makes small.
const carrying = `
version: 2.1
jobs:
  first:
    machine: true
    steps:
      - run: mkdir deps && head -c 9000000 /dev/urandom >deps/blob && cd deps && sha256sum blob >sum
      - save_cache: {key: KEY, paths: [deps]}
      - persist_to_workspace: {root: ., paths: [deps]}
      - store_artifacts: {path: deps, destination: out}
  second:
    machine: true
    steps:
      - restore_cache: {keys: [KEY]}
      - run: cd deps && sha256sum -c sum
      - attach_workspace: {at: there}
      - run: cd there/deps && sha256sum -c sum
workflows: {main: {jobs: [first, second: {requires: [first]}]}}
`

// A toll stands before a bucket and counts.
type toll struct {
	*httptest.Server
	bytes atomic.Int64

	mu            sync.Mutex
	before, after func(r *http.Request)
}

// newToll is a proxy too: all that comes goes to the gateway.
func newToll(t *testing.T, gateway *s3test.Server) *toll {
	to, err := url.Parse(gateway.URL)
	require.NoError(t, err)
	x := &toll{}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = to.Scheme, to.Host, r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
		ModifyResponse: func(r *http.Response) error {
			if r.Request.Method != http.MethodHead {
				x.bytes.Add(max(r.ContentLength, 0))
			}
			return nil
		},
	}
	x.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x.bytes.Add(max(r.ContentLength, 0))
		x.mu.Lock()
		before, after := x.before, x.after
		x.mu.Unlock()
		if before != nil {
			before(r)
		}
		pass.ServeHTTP(w, r)
		if after != nil {
			after(r)
		}
	}))
	t.Cleanup(func() { x.CloseClientConnections(); x.Close() })
	return x
}

func (x *toll) hook(before, after func(*http.Request)) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.before, x.after = before, after
}

// bucketSettings are those of a server whose files are at an endpoint.
func bucketSettings(r repo, endpoint, more string) string {
	return fmt.Sprintf("folders: [%s]\nstorage: {s3: {bucket: rondo, endpoint: %q, path_style: true, access_key: 'env:S3_ACCESS', secret_key: 'env:S3_SECRET'%s}}\n", r.dir, endpoint, more)
}

func newGateway(t *testing.T) *s3test.Server {
	t.Helper()
	gateway := s3test.Start(t)
	gateway.Bucket("rondo")
	t.Setenv("S3_ACCESS", s3test.AccessKey)
	t.Setenv("S3_SECRET", s3test.SecretKey)
	return gateway
}

// artifact returns an artifact of the newest run of a job, as a client gets it.
func (s *server) artifact(job, path string) []byte {
	s.t.Helper()
	code, body := s.call("GET", fmt.Sprintf("/api/v2/rondo/job/%s/artifacts/0/%s", job, path), "")
	require.Equal(s.t, http.StatusOK, code, body[:min(len(body), 200)])
	return []byte(body)
}

// checkArtifacts compares the two artifacts of a job of the pipeline.
func (s *server) checkArtifacts(pipeline string) {
	s.t.Helper()
	for _, j := range s.jobs(pipeline) {
		if j.Name == "first" {
			blob, sum := s.artifact(j.ID, "out/blob"), string(s.artifact(j.ID, "out/sum"))
			require.True(s.t, strings.HasPrefix(sum, fmt.Sprintf("%x", sha256.Sum256(blob))), sum)
		}
	}
}

// TestSEC09_DirectWhole runs jobs whose cache, workspace and artifact go to the
// bucket and from it past the server, and reads the same with direct off.
func TestSEC09_DirectWhole(t *testing.T) {
	gateway := newGateway(t)
	between := newToll(t, gateway) // the server alone goes by it
	r := newRepo(t, strings.ReplaceAll(carrying, "KEY", "v1"))
	s, data := team(t, bucketSettings(r, gateway.URL, ", proxy: '"+between.URL+"'"))
	file, token := filepath.Join(filepath.Dir(data), "rondo.yml"), s.Token
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.trail())
	require.Less(t, between.bytes.Load(), int64(1<<20), "no bytes of a file went by the server, whose three have 27 MB")
	for _, kind := range []string{"caches", "workspaces", "artifacts"} {
		size := int64(0)
		require.NoError(t, filepath.Walk(filepath.Join(gateway.Dir, "rondo", kind), func(_ string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() {
				size += info.Size()
			}
			return err
		}))
		require.Greater(t, size, int64(9_000_000), kind)
	}
	require.NotContains(t, s.errors(), "X-Amz")
	s.checkArtifacts(s.pipelines()[0].ID)
	require.Greater(t, between.bytes.Load(), int64(9_000_000), "people get artifacts from the server")
	require.Equal(t, 0, s.stop(), s.errors())
	out, err := program(t, "fsck", "--config", file).CombinedOutput()
	require.NoError(t, err, string(out))

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, []byte(strings.Replace(string(text), "path_style", "direct: off, path_style", 1)), 0o600))
	s = start(t, program(t, "serve", "--json", "--config", file))
	s.Token = token
	s.checkArtifacts(s.pipelines()[0].ID)
	between.bytes.Store(0)
	// The cache is there, so what is made anew is not stored in its place.
	r.commit("again", map[string]string{".circleci/config.yml": strings.ReplaceAll(carrying, "KEY", "v1")})
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.trail())
	require.Greater(t, between.bytes.Load(), int64(4*9_000_000), "up and down by the server")
	require.Equal(t, 0, s.stop(), s.errors())
}

// TestDirectSettings: a bucket that does not take links is told of, and with
// always no reason to start.
func TestDirectSettings(t *testing.T) {
	gateway := newGateway(t)
	between := s3test.NewFront(t, gateway, false)
	pass, err := url.Parse(gateway.URL)
	require.NoError(t, err)
	through := httputil.NewSingleHostReverseProxy(pass)
	through.Director = func(r *http.Request) { r.URL.Scheme, r.URL.Host = pass.Scheme, pass.Host }
	between.Fail(s3test.Always(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.URL.Query().Has("X-Amz-Signature") {
			s3test.Says(http.StatusForbidden, "AccessDenied")(w, r)
			return
		}
		through.ServeHTTP(w, r)
	}))
	r := newRepo(t, strings.ReplaceAll(carrying, "KEY", "v1"))
	s, data := team(t, bucketSettings(r, between.URL, ""))
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.trail())
	require.Equal(t, 1, strings.Count(s.errors(), "all files pass through the server"), s.errors())
	require.Equal(t, 0, s.stop(), s.errors())
	file := filepath.Join(filepath.Dir(data), "rondo.yml")
	for setting, says := range map[string]string{"always": "presigned PUT with 403", "sometimes": "it is auto, off or always"} {
		text := "url: http://ci.example.com\nlisten: 127.0.0.1:0\ndata: " + data + "\n" + bucketSettings(r, between.URL, ", direct: "+setting)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		for _, args := range [][]string{{"--check", "--online"}, {"--json"}} {
			out, err := program(t, append([]string{"serve", "--config", file}, args...)...).CombinedOutput()
			require.Error(t, err, string(out))
			require.Contains(t, string(out), says)
		}
	}
}

// TestP14_DirectKill kills server or agents at each request of a file that goes
// to the bucket, before it and behind it. Nobody sees a part of a file, and the
// next run has it whole.
func TestP14_DirectKill(t *testing.T) {
	gateway := newGateway(t)
	between := newToll(t, gateway)
	r := newRepo(t, strings.ReplaceAll(carrying, "KEY", "v0"))
	s, data := team(t, bucketSettings(r, between.URL, ""))
	file, token := filepath.Join(filepath.Dir(data), "rondo.yml"), s.Token
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.trail())
	points := map[string]func(*http.Request) bool{
		"begin":    func(r *http.Request) bool { return r.Method == "POST" && r.URL.Query().Has("uploads") },
		"send":     func(r *http.Request) bool { return r.Method == "PUT" && r.URL.Query().Has("X-Amz-Signature") },
		"list":     func(r *http.Request) bool { return r.Method == "GET" && r.URL.Query().Has("uploadId") },
		"tail":     func(r *http.Request) bool { return r.Method == "PUT" && r.URL.Query().Get("partNumber") == "2" },
		"complete": func(r *http.Request) bool { return r.Method == "POST" && r.URL.Query().Has("uploadId") },
		"fetch":    func(r *http.Request) bool { return r.Method == "GET" && r.URL.Query().Has("X-Amz-Signature") },
	}
	n := 0
	for point, is := range points {
		for _, whom := range []string{"server", "agents"} {
			n++
			reached := make(chan struct{})
			var once sync.Once
			at := func(r *http.Request) {
				if !is(r) {
					return
				}
				once.Do(func() {
					if whom == "server" {
						_ = s.cmd.Process.Kill()
					} else {
						for _, pid := range s.agentProcesses() {
							_ = syscall.Kill(pid, syscall.SIGKILL)
						}
					}
					close(reached)
				})
			}
			if n%2 == 0 {
				between.hook(at, nil)
			} else {
				between.hook(nil, at)
			}
			text := strings.ReplaceAll(carrying, "KEY", fmt.Sprintf("v%d", n))
			r.commit(fmt.Sprint("kill ", n), map[string]string{".circleci/config.yml": text})
			s.eventually("reach "+point, func() bool {
				select {
				case <-reached:
					return true
				default:
					return false
				}
			})
			between.hook(nil, nil)
			if whom == "server" {
				s.kill()
				s = start(t, program(t, "serve", "--json", "--config", file))
				s.Token = token
			}
			newest := s.pipelines()[0].ID
			s.eventually("its end", func() bool {
				all := s.workflowStatuses(newest)
				return len(all) == 1 && all[0].Ended()
			})
			if s.workflowStatuses(newest)[0] == ci.Success {
				s.checkArtifacts(newest)
			}
			r.commit(fmt.Sprint("again ", n), map[string]string{"n": fmt.Sprint(n)})
			s.eventually("the next is there", func() bool { return s.pipelines()[0].ID != newest })
			next := s.pipelines()[0].ID
			s.eventually("the next succeeds", func() bool {
				all := s.workflowStatuses(next)
				return len(all) == 1 && all[0].Ended()
			})
			require.Equal(t, ci.Success, s.workflowStatuses(next)[0], "%s %s: %s", point, whom, s.trail())
			s.checkArtifacts(next)
		}
	}
	require.Equal(t, 0, s.stop(), s.errors()) // and what the queue kept of a task that was killed goes
	s = start(t, program(t, "serve", "--json", "--config", file))
	s.Token = token
	code, found := s.call("GET", "/api/v2/rondo/fsck?quick=1", "")
	require.Equal(t, 200, code)
	require.Equal(t, "{\"findings\":0}\n", found)
	left, err := gateway.Client().ListMultipartUploads(t.Context(), &awss3.ListMultipartUploadsInput{Bucket: aws.String("rondo")})
	require.NoError(t, err)
	require.LessOrEqual(t, len(left.Uploads), n, "what a kill has left is for the sweep")
}
