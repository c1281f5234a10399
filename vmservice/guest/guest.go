// Package guest looks into the machines of package vmservice over SSH.
//
// Its noun: a [Prober] enters a machine with the service's own key and tells
// whether the machine can take a job. It trusts no machine whose host key is not
// the one that the driver knows, and it never runs a job's command.
package guest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// A Prober probes machines. It may be copied, and is safe for concurrent use.
type Prober struct {
	// Free is how many bytes Docker's disk must have left; 0 asks for nothing.
	Free int64
	// Skew is how far the machine's clock may be off; 0 is 2 seconds.
	Skew time.Duration
}

// look prints the machine's clock, then the free KiB of Docker's disk, then the
// engine's version. The clock comes first: the engine may take its time.
const look = `date +%s.%N
d=/var/lib/docker; [ -d "$d" ] || d=/
LC_ALL=C df -Pk "$d" | awk 'NR == 2 { print $4 }'
docker version --format '{{.Server.Version}}' 2>/dev/null || echo
`

// Probe returns nil when the machine can take a job, and why not otherwise: its
// SSH server answers and proves the host key, its clock is right, its disk has
// room, its Docker engine answers. A machine whose host key is another is
// [ci.ErrDenied], a machine or key that cannot be read [ci.ErrInvalid].
func (p Prober) Probe(ctx context.Context, m vmservice.Machine, a vmservice.Access) error {
	c, err := dial(ctx, m, a)
	if err != nil {
		return fmt.Errorf("probe machine %s: %w", m.ID, err)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	s, err := c.NewSession()
	if err != nil {
		return fmt.Errorf("probe machine %s: open a session: %w", m.ID, err)
	}
	defer s.Close()
	before := time.Now()
	out, err := s.Output(look)
	after := time.Now()
	if err != nil {
		return fmt.Errorf("probe machine %s: look at it: %w", m.ID, errors.Join(ctx.Err(), err))
	}
	if err := p.judge(string(out), before, after); err != nil {
		return fmt.Errorf("probe machine %s: %w", m.ID, err)
	}
	return nil
}

// judge reads what look has printed between two moments of our own clock.
func (p Prober) judge(out string, before, after time.Time) error {
	lines := strings.Split(out, "\n")
	if len(lines) < 3 {
		return fmt.Errorf("it answers with %d lines instead of 3; does its image have awk, date and df?", len(lines))
	}
	seconds, err := strconv.ParseFloat(lines[0], 64)
	if err != nil || !(seconds > 0 && seconds < 1e11) {
		return fmt.Errorf("its clock says %.40q, which is no time", lines[0])
	}
	skew := p.Skew
	if skew == 0 {
		skew = 2 * time.Second
	}
	clock := time.UnixMicro(int64(seconds * 1e6))
	if clock.Before(before.Add(-skew)) || clock.After(after.Add(skew)) {
		return fmt.Errorf("its clock is off by %s, more than %s; tokens would be refused", clock.Sub(before).Round(time.Millisecond), skew)
	}
	kib, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || kib < 0 {
		return fmt.Errorf("its disk says %.40q, which is no size", lines[1])
	}
	if kib < p.Free/1024 {
		return fmt.Errorf("its disk has %d MiB left, and %d are asked for", kib/1024, p.Free>>20)
	}
	if lines[2] == "" {
		return errors.New("its Docker engine does not answer")
	}
	return nil
}

// dial logs in to the machine, and to no other.
func dial(ctx context.Context, m vmservice.Machine, a vmservice.Access) (*ssh.Client, error) {
	want, _, _, _, err := ssh.ParseAuthorizedKey([]byte(m.HostKey))
	if err != nil {
		return nil, fmt.Errorf("its host key is not known: %w", ci.ErrInvalid)
	}
	key, err := ssh.ParsePrivateKey([]byte(a.Key))
	if err != nil {
		return nil, fmt.Errorf("the private key is not one of OpenSSH: %w", ci.ErrInvalid)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.Address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	other := false
	c, news, asks, err := ssh.NewClientConn(conn, m.Address, &ssh.ClientConfig{
		User: a.User,
		Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		// Without this the server might prove another of its keys.
		HostKeyAlgorithms: algorithms(want.Type()),
		HostKeyCallback: func(_ string, _ net.Addr, got ssh.PublicKey) error {
			other = string(got.Marshal()) != string(want.Marshal())
			if other {
				return ci.ErrDenied
			}
			return nil
		},
	})
	if err != nil {
		conn.Close()
		if other {
			return nil, fmt.Errorf("%s proves another host key than the machine's: %w", m.Address, ci.ErrDenied)
		}
		return nil, fmt.Errorf("log in as %s at %s: %w", a.User, m.Address, errors.Join(ctx.Err(), err))
	}
	return ssh.NewClient(c, news, asks), nil
}

// algorithms are those by which a host proves a key of the type.
func algorithms(kind string) []string {
	if kind == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{kind}
}
