// Package proxytest starts a real squid (Debian's package squid) for tests.
//
// Its noun is the [Squid]: an HTTP proxy on loopback with a log of its own. The
// package never uses the squid of the machine or its files.
package proxytest

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Config says what a squid is like. The zero Config lets everybody through.
type Config struct {
	// Login is user:password that it wants; "" is none.
	Login string
	// Hosts are names that it knows, with their addresses, besides localhost.
	Hosts map[string]string
	// Deny are names that it lets nobody reach.
	Deny []string
}

// A Squid is a proxy of a test. It ends with the test.
type Squid struct {
	URL string // without a login
	dir string
	cfg Config
}

// Start starts a squid, and returns when it answers. Without the program the
// test is skipped, and fails in CI.
func Start(t testing.TB, cfg Config) *Squid {
	t.Helper()
	program := find(t)
	dir, err := os.MkdirTemp("", "rondo-squid-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &Squid{URL: "http://" + l.Addr().String(), dir: dir, cfg: cfg}
	require.NoError(t, l.Close())
	require.NoError(t, s.write(l.Addr().String()))
	cmd := exec.Command(program, "-N", "-f", filepath.Join(dir, "squid.conf"), "-n", "rondo"+strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	for {
		if c, err := net.Dial("tcp", l.Addr().String()); err == nil {
			_ = c.Close()
			return s
		}
		select {
		case <-ended:
			t.Fatalf("squid has ended: %s", said.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"squid", "/usr/sbin/squid"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("squid is not installed (Debian package squid)")
	}
	t.Skip("squid is not installed (Debian package squid)")
	return ""
}

// write writes its files, for the user that it becomes.
func (s *Squid) write(listen string) error {
	login := "http_access allow all\n"
	if s.cfg.Login != "" {
		name, pass, _ := strings.Cut(s.cfg.Login, ":")
		hash, err := exec.Command("openssl", "passwd", "-apr1", pass).Output()
		if err != nil {
			return fmt.Errorf("openssl passwd: %w", err)
		}
		if err := os.WriteFile(filepath.Join(s.dir, "passwords"), []byte(name+":"+string(hash)), 0o644); err != nil {
			return err
		}
		login = "auth_param basic program /usr/lib/squid/basic_ncsa_auth " + s.dir + "/passwords\nauth_param basic realm rondo\n" +
			"acl known proxy_auth REQUIRED\nhttp_access allow known\nhttp_access deny all\n"
	}
	hosts := "127.0.0.1 localhost\n"
	for name, address := range s.cfg.Hosts {
		hosts += address + " " + name + "\n"
	}
	deny := ""
	if len(s.cfg.Deny) > 0 {
		deny = "acl closed dstdomain " + strings.Join(s.cfg.Deny, " ") + "\nhttp_access deny closed\n"
	}
	text := "http_port " + listen + "\nvisible_hostname squid.test\npid_filename " + s.dir + "/pid\naccess_log stdio:" + s.dir + "/access.log\n" +
		"cache_log " + s.dir + "/cache.log\ncache deny all\ncoredump_dir " + s.dir + "\nshutdown_lifetime 0 seconds\npinger_enable off\n" +
		"dns_nameservers 127.0.0.1\ndns_timeout 1 second\nhosts_file " + s.dir + "/hosts\nconnect_timeout 5 seconds\nforward_max_tries 1\n" +
		"retry_on_error off\nbuffered_logs off\n" + deny + login
	if os.Geteuid() == 0 { // it refuses to stay root
		text += "cache_effective_user proxy\n"
		u, err := user.Lookup("proxy")
		if err != nil {
			return err
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return err
		}
		if err := os.Chown(s.dir, uid, -1); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "hosts"), []byte(hosts), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "squid.conf"), []byte(text), 0o644)
}

// With returns its address with a login, user:password.
func (s *Squid) With(login string) string {
	user, pass, _ := strings.Cut(login, ":")
	return strings.Replace(s.URL, "http://", "http://"+url.UserPassword(user, pass).String()+"@", 1)
}

// Saw reports whether it has answered something of that method ("GET",
// "CONNECT") with that status: a line of its log has all of them. It notes a
// tunnel when that ends.
func (s *Squid) Saw(method string, status int, part string) bool {
	text, _ := os.ReadFile(filepath.Join(s.dir, "access.log")) // not there before the first request
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) > 6 && f[5] == method && strings.HasSuffix(f[3], "/"+strconv.Itoa(status)) && strings.Contains(f[6], part) {
			return true
		}
	}
	return false
}

// Log returns what it has noted of all requests, for messages of tests.
func (s *Squid) Log() string {
	text, _ := os.ReadFile(filepath.Join(s.dir, "access.log")) // not there before the first request
	return string(text)
}
