package s3test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
)

// program is what is built, and its version.
const program = "github.com/versity/versitygw/cmd/versitygw@v1.8.0"

// The keys of the server's one account.
const (
	AccessKey = "rondo-test"
	SecretKey = "a secret of the tests"
)

// A Server is an S3 server of a test. It ends with the test.
type Server struct {
	URL  string // as in http://127.0.0.1:34567
	Dir  string // its folder: the object k of bucket b is the file b/k
	data string
	stop func()
	args []string
	t    testing.TB
}

// Start starts a server and returns when it answers.
func Start(t testing.TB) *Server {
	t.Helper()
	return StartTLS(t, "", "")
}

// StartTLS is Start with the files of a certificate and its key; "" is none.
// [Server.Client] does not check it.
func StartTLS(t testing.TB, cert, key string) *Server {
	t.Helper()
	dir := t.TempDir()
	port := freePort(t)
	s := &Server{URL: "http://" + port, Dir: filepath.Join(dir, "data"), data: dir, t: t}
	for _, d := range []string{"data", "iam", "meta"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	s.args = []string{Program(t), "--quiet", "--port", port, "--iam-dir", filepath.Join(dir, "iam"),
		"posix", "--sidecar", filepath.Join(dir, "meta"), s.Dir}
	if cert != "" {
		s.URL = "https://" + port
		s.args = slices.Insert(s.args, 1, "--cert", cert, "--key", key)
	}
	s.Restart()
	t.Cleanup(func() { s.stop() })
	return s
}

// Stop kills the server, which is away until Restart.
func (s *Server) Stop() { s.stop() }

// Restart starts it again over the same folder, and returns when it answers.
func (s *Server) Restart() {
	s.t.Helper()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY="+AccessKey, "ROOT_SECRET_KEY="+SecretKey)
	require.NoError(s.t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	s.stop = func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	_, address, _ := strings.Cut(s.URL, "://")
	for {
		if c, err := net.Dial("tcp", address); err == nil {
			_ = c.Close()
			return
		}
		select {
		case <-ended:
			s.t.Fatalf("versitygw has ended: %s", out.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Client is a client of the SDK with the keys of the server.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(s.URL), UsePathStyle: true,
		HTTPClient:  &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}},
		Credentials: credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	})
}

// Bucket makes a bucket.
func (s *Server) Bucket(name string) {
	s.t.Helper()
	_, err := s.Client().CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String(name)})
	require.NoError(s.t, err)
}

// Program returns the path of versitygw, which is built if need be.
func Program(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("VERSITYGW"); p != "" {
		return p
	}
	if p, err := exec.LookPath("versitygw"); err == nil {
		return p
	}
	p, err := build()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("build versitygw: %v", err)
		}
		t.Skipf("no versitygw, and it cannot be built: %v", err)
	}
	return p
}

// build builds the program into the user's cache. Several may do so at once.
func build() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "rondo-tests", "versitygw-v1.8.0")
	target := filepath.Join(dir, "versitygw")
	if _, err := os.Stat(target); err == nil {
		return target, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	made, err := os.MkdirTemp(dir, "build-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(made)
	cmd := exec.Command("go", "install", program)
	cmd.Dir = made // outside of any module
	cmd.Env = append(os.Environ(), "GOBIN="+made, "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go install %s: %w: %s", program, err, out)
	}
	return target, os.Rename(filepath.Join(made, "versitygw"), target)
}

func freePort(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}
