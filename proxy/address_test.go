package proxy_test

import (
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/proxy"
	"github.com/stretchr/testify/require"
)

func TestPRX06_Addresses(t *testing.T) {
	for text, want := range map[string]string{
		"http://10.0.0.33:3128":          "http://10.0.0.33:3128",
		" HTTP://Proxy.Example.com:80/ ": "http://proxy.example.com:80",
		"https://[2001:db8::1]:443":      "https://[2001:db8::1]:443",
		"http://u:p%40ss@10.0.0.33:3128": "http://u:...@10.0.0.33:3128",
		"http://u@10.0.0.33:3128":        "http://u@10.0.0.33:3128",
		"http://u:a@b:c@10.0.0.33:3128":  "http://u:...@10.0.0.33:3128",
		"":                               "",
	} {
		a, err := proxy.ParseAddress(text)
		require.NoError(t, err, text)
		require.Equal(t, want, a.String())
	}
	for text, says := range map[string]string{
		"10.0.0.33:3128":              "write http://10.0.0.33:3128",
		"//10.0.0.33:3128":            "write http://10.0.0.33:3128",
		"http://10.0.0.33":            "the port is missing: write http://10.0.0.33:PORT",
		"http://10.0.0.33:":           "the port is missing: write http://10.0.0.33:PORT",
		"http://:3128":                "the host is missing: write http://HOST:3128",
		"http://":                     "the host is missing",
		"http://10.0.0.33:port":       `the port "port" is not a number`,
		"http://10.0.0.33:99999":      `the port "99999" is not a number from 1 to 65535`,
		"socks5://10.0.0.33:1080":     `"socks5" is not supported`,
		"http://2001:db8::1":          "write http://[2001:db8::1]:PORT",
		"http://10.0.0.33:3128/x":     `leave out "/x"`,
		"http://a b:3128":             `"a b" is no host name`,
		"http://[fe80::1%25eth0]:80":  "zone",
		"http://w.test/proxy.pac":     "PAC file",
		"http://u:%zz@10.0.0.33:3128": "with %XX",
		"http://:pw@10.0.0.33:3128":   "with %XX",
	} {
		_, err := proxy.ParseAddress(text)
		require.ErrorIs(t, err, ci.ErrInvalid, text)
		require.ErrorContains(t, err, says, text)
	}
	_, err := proxy.ParseAddress("u:secret@10.0.0.33:3128")
	require.ErrorContains(t, err, "protocol is missing")
	require.NotContains(t, err.Error(), "secret")
}

func TestPRX02_Rules(t *testing.T) {
	rules, err := proxy.ParseRules("Example.com, .below.test *.star.test|10.0.0.0/8,192.0.2.7,[2001:db8::1]:80,h.test:8080,10.*,192.168., 10.*,*,")
	require.NoError(t, err)
	var got []string
	for _, r := range rules {
		got = append(got, r.String())
	}
	require.Equal(t, []string{"example.com", ".below.test", ".star.test", "10.0.0.0/8", "192.0.2.7", "[2001:db8::1]:80", "h.test:8080", "192.168.0.0/16", "*"}, got)
	for _, bad := range []string{"http://x", "10.0.0.0/99", "a..b", "-a", "x:99999", "exa$mple"} {
		_, err := proxy.ParseRules(bad)
		require.ErrorIs(t, err, ci.ErrInvalid, bad)
	}
}

// Whatever the settings say: this machine and the metadata addresses.
func TestPRX04_Never(t *testing.T) {
	s, err := proxy.Parse("http://10.0.0.33:3128", "", "")
	require.NoError(t, err)
	for _, u := range []string{"http://169.254.169.254/latest", "http://[fd00:ec2::254]/x", "http://127.0.0.1:8080", "https://localhost/", "http://[::1]/", "http://a.localhost/"} {
		p, rule := s.For(address(t, u))
		require.True(t, p.IsZero(), u)
		require.NotZero(t, rule)
	}
	p, _ := s.For(address(t, "https://github.com/"))
	require.Equal(t, "http://10.0.0.33:3128", p.String())
	for _, f := range s.Check(address(t, "http://169.254.169.254/latest"), address(t, "http://127.0.0.1/"), address(t, "https://github.com/")) {
		require.Empty(t, f.Advice, "%+v", f)
	}
}

// Clients, services and GitHub Enterprise directly, github.com by proxy.
func TestPRX08_Classes(t *testing.T) {
	s, err := proxy.Parse("http://10.0.0.33:3128", "", "10.0.1.0/24,ghe.example.com,s3.amazonaws.com")
	require.NoError(t, err)
	for u, proxied := range map[string]bool{
		"http://10.0.1.238:8585/": false, "https://10.0.1.7/": false, "https://ghe.example.com/api": false,
		"https://bucket.s3.amazonaws.com/x": false, "https://github.com/": true, "http://10.0.2.1/": true, "https://ec2.us-east-1.amazonaws.com/": true,
	} {
		p, _ := s.For(address(t, u))
		require.Equal(t, proxied, !p.IsZero(), u)
	}
}
