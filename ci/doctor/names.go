package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// A Finding is one thing that was looked at.
type Finding struct {
	// Code names it, and stays the same over releases.
	Code string `json:"code"`
	// Bad says that something has to be done.
	Bad  bool   `json:"bad"`
	Text string `json:"text"`
	Fix  string `json:"fix,omitempty"` // what to do
	// Evidence is what was seen.
	Evidence []string `json:"evidence,omitempty"`
}

// The codes of [Names].
const (
	// NamesGood: every address of the name is this machine's.
	NamesGood = "dns_good"
	// NameMissing: there is no such name.
	NameMissing = "dns_missing"
	// NameElsewhere: none of its addresses is this machine's.
	NameElsewhere = "dns_elsewhere"
	// NamePartly: some of them are.
	NamePartly = "dns_partly"
	// NameServerDown: nobody answers the question.
	NameServerDown = "dns_unanswered"
)

// A Resolver knows the addresses of names. A [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Names says whether the host, by which people and code hosts reach the server,
// leads to this machine: to an address of its own, or into one of the networks
// of those that stand before it, balancers and the outside of a NAT. An address
// in place of a name is looked at as it is.
func Names(ctx context.Context, r Resolver, host string, own []netip.Addr, before []netip.Prefix) Finding {
	addresses, err := addressesOf(ctx, r, host)
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound, err == nil && len(addresses) == 0:
		return Finding{
			Code: NameMissing, Bad: true, Text: fmt.Sprintf("There is no name %s: neither people nor the code host find the server.", host),
			Fix: "Make a record A (or AAAA) of that name with the address of this machine.",
		}
	case err != nil:
		return Finding{
			Code: NameServerDown, Bad: true, Text: fmt.Sprintf("Nobody says what the addresses of %s are.", host),
			Fix: "See that this machine reaches its name server (/etc/resolv.conf).", Evidence: []string{err.Error()},
		}
	}
	var here, elsewhere []string
	for _, a := range addresses {
		a = a.Unmap()
		switch {
		case slices.Contains(own, a):
			here = append(here, a.String()+" is this machine")
		case slices.ContainsFunc(before, func(p netip.Prefix) bool { return p.Contains(a) }):
			here = append(here, a.String()+" is one of the proxies")
		default:
			elsewhere = append(elsewhere, a.String()+" is not this machine")
		}
	}
	f := Finding{Code: NamesGood, Text: host + " leads to this machine.", Evidence: append(elsewhere, here...)}
	if len(elsewhere) == 0 {
		return f
	}
	f.Bad, f.Fix = true, "Let the record of that name hold the address of this machine alone. If a balancer or a NAT stands before it, name its network in proxies: in the settings."
	if f.Code, f.Text = NamePartly, host+" leads to this machine and to others, so some callers find nobody."; len(here) == 0 {
		f.Code, f.Text = NameElsewhere, host+" leads to another machine."
	}
	return f
}

func addressesOf(ctx context.Context, r Resolver, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	return r.LookupNetIP(ctx, "ip", host)
}

// Own returns the addresses of this machine.
func Own() ([]netip.Addr, error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("addresses of this machine: %w", err)
	}
	var own []netip.Addr
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			own = append(own, p.Addr().Unmap())
		}
	}
	return own, nil
}
