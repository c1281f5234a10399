package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci/doctor"
)

// told is a resolver that says what it was told.
type told struct {
	addresses []netip.Addr
	err       error
}

func (r told) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return r.addresses, r.err
}

func addresses(all ...string) (out []netip.Addr) {
	for _, a := range all {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

func ExampleNames() {
	f := doctor.Names(context.Background(), told{addresses: addresses("192.0.2.9")}, "ci.example.com", addresses("192.0.2.7"), nil)
	fmt.Println(f.Code, f.Bad, f.Text)
	// Output: dns_elsewhere true ci.example.com leads to another machine.
}

func ExampleOwn() {
	own, err := doctor.Own()
	fmt.Println(err == nil && len(own) > 0)
	// Output: true
}

func TestARC12_Names(t *testing.T) {
	own, before := addresses("192.0.2.7", "2001:db8::7"), []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	for name, tt := range map[string]struct {
		r    told
		code string
	}{
		"one":             {told{addresses: addresses("192.0.2.7")}, doctor.NamesGood},
		"both families":   {told{addresses: addresses("::ffff:192.0.2.7", "2001:db8::7")}, doctor.NamesGood},
		"a balancer":      {told{addresses: addresses("10.1.2.3")}, doctor.NamesGood},
		"another machine": {told{addresses: addresses("192.0.2.8")}, doctor.NameElsewhere},
		"an old record":   {told{addresses: addresses("192.0.2.7", "192.0.2.8")}, doctor.NamePartly},
		"none":            {told{err: &net.DNSError{IsNotFound: true}}, doctor.NameMissing},
		"empty":           {told{}, doctor.NameMissing},
		"no answer":       {told{err: errors.New("i/o timeout")}, doctor.NameServerDown},
	} {
		t.Run(name, func(t *testing.T) {
			f := doctor.Names(t.Context(), tt.r, "ci.example.com", own, before)
			require.Equal(t, tt.code, f.Code)
			require.Equal(t, tt.code != doctor.NamesGood, f.Bad)
			require.Equal(t, f.Bad, f.Fix != "", "what to do")
		})
	}
	require.Equal(t, doctor.NameElsewhere, doctor.Names(t.Context(), told{err: errors.New("is not asked")}, "192.0.2.9", own, nil).Code)
}
