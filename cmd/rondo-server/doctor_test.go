package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers over UDP: which addresses a name has; none is that there is
// no such name.
func nameServer(t *testing.T, records map[string][]string) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		buf := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			all := records[strings.TrimSuffix(q.Name.String(), ".")]
			m.Header.Response, m.Additionals = true, nil
			if len(all) == 0 {
				m.Header.RCode = dnsmessage.RCodeNameError
			}
			for _, a := range all {
				if ip := netip.MustParseAddr(a); ip.Is4() && q.Type == dnsmessage.TypeA {
					m.Answers = append(m.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: ip.As4()},
					})
				}
			}
			if text, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(text, from)
			}
		}
	}()
	return conn.LocalAddr().String()
}

// DNS must point at the Services machine: a mismatch has a name, and the exit
// code says so to scripts.
func TestARC12_DoctorLooksAtDNS(t *testing.T) {
	at := nameServer(t, map[string][]string{
		"here.example.com": {"127.0.0.1"}, "there.example.com": {"192.0.2.9"}, "both.example.com": {"127.0.0.1", "192.0.2.9"}, "lb.example.com": {"198.51.100.4"},
	})
	dir := t.TempDir()
	for host, want := range map[string]struct {
		code string
		exit int
	}{
		"here.example.com": {"dns_good", 0}, "lb.example.com": {"dns_good", 0}, "there.example.com": {"dns_elsewhere", 1},
		"both.example.com": {"dns_partly", 1}, "nowhere.example.com": {"dns_missing", 1}, "127.0.0.1": {"dns_good", 0},
	} {
		file := filepath.Join(dir, "rondo.yml")
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "url: https://%s:8443\nproxies: [198.51.100.0/24]\ndata: %s\n", host, dir), 0o600))
		for _, more := range [][]string{nil, {"--json"}} {
			cmd := program(t, append([]string{"doctor", "--config", file, "--resolver", at}, more...)...)
			out, _ := cmd.CombinedOutput()
			require.Contains(t, string(out), want.code, host)
			require.Equal(t, want.exit, cmd.ProcessState.ExitCode(), "%s: %s", host, out)
		}
	}
	cmd := program(t, "doctor", "--config", filepath.Join(dir, "rondo.yml"), "--resolver", "here")
	_, _ = cmd.CombinedOutput()
	require.Equal(t, 2, cmd.ProcessState.ExitCode())
}
