package webhook

import (
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// A147: the decision is on the address that is dialled.
func TestA147_Addresses(t *testing.T) {
	for _, ip := range []string{
		"127.0.0.1", "127.1.2.3", "::1", "0.0.0.0", "::", "0.1.2.3", "169.254.169.254", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "10.0.0.1", "172.31.255.255",
		"192.168.1.1", "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1",
		"::ffff:169.254.169.254", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:a9fe:a9fe::", "2001:0:a9fe:a9fe::", "fec0::1", "2001:db8::1",
	} {
		require.False(t, allowed(netip.MustParseAddr(ip), nil), ip)
	}
	require.False(t, allowed(netip.Addr{}, nil))
	for _, ip := range []string{"1.1.1.1", "140.82.112.3", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "172.32.0.1", "100.128.0.1"} {
		require.True(t, allowed(netip.MustParseAddr(ip), nil), ip)
	}
	intranet := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	require.True(t, allowed(netip.MustParseAddr("10.1.2.3"), intranet))
	require.True(t, allowed(netip.MustParseAddr("::ffff:10.1.2.3"), intranet))
	require.False(t, allowed(netip.MustParseAddr("10.2.2.3"), intranet))
	r := newRoad(Config{})
	for _, address := range []string{"1.1.1.1:22", "1.1.1.1:25", "1.1.1.1:0", "[::1]:443", "nonsense", "169.254.169.254:80"} {
		require.ErrorIs(t, r.control(address), errAddress, address)
	}
	require.NoError(t, r.control("1.1.1.1:8443"))
}

// Whatever address people write, what is taken can be requested and is not an
// address of ours.
func FuzzURL(f *testing.F) {
	for _, s := range []string{"https://chat.test/x?y", "http://127.0.0.1", "HTTP://[::1]:80", "http://[fe80::1%25eth0]/", "http://a:b@c", "https://x:99999", "http://%31%32%37.0.0.1/"} {
		f.Add(s)
	}
	c := New(nil, nil, Config{})
	f.Fuzz(func(t *testing.T, text string) {
		if c.checkURL(text) != "" {
			return
		}
		req, err := http.NewRequest("POST", text, nil)
		require.NoError(t, err)
		require.Contains(t, []string{"http", "https"}, req.URL.Scheme)
		require.Nil(t, req.URL.User)
		if ip, err := netip.ParseAddr(req.URL.Hostname()); err == nil {
			require.True(t, allowed(ip, nil))
		}
	})
}

func TestPause(t *testing.T) {
	for n, want := range map[int][2]float64{0: {2.5, 5}, 1: {2.5, 5}, 2: {5, 10}, 4: {20, 40}, 10: {1280, 2560}, 11: {1800, 3600}, 1000: {1800, 3600}} {
		require.Equal(t, want, [2]float64{pause(n, 0).Seconds(), pause(n, 1).Seconds()}, n)
	}
}
