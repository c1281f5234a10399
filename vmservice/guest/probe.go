package guest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/vmservice"
)

// A Visitor does things in machines; it is a [vmservice.Guest]. The zero Visitor
// works. It may be copied, and is safe for concurrent use, also for one machine:
// there, one call waits for the other.
type Visitor struct {
	// Free is how many bytes Docker's disk must have left; 0 asks for nothing.
	Free int64
	// Skew is how far the machine's clock may be off; 0 is 2 seconds.
	Skew time.Duration
	// Life is how long the certificates of a Docker engine are good; 0 is 48 h,
	// more than a machine lives.
	Life time.Duration
	// Spare is how many bytes of a volume of layers are kept free: what was not
	// used for longest makes room. 0 is 15 GB. It is never more than 15 % of the
	// volume.
	Spare int64
}

var _ vmservice.Guest = Visitor{}

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
func (p Visitor) Probe(ctx context.Context, m vmservice.Machine, a vmservice.Access) error {
	v, err := enter(ctx, m, a)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	defer v.Close()
	out := bounded{max: maxSaid}
	before := time.Now()
	code, err := v.Run(ctx, look, nil, &out, &bounded{})
	after := time.Now()
	if err == nil && code != 0 {
		err = fmt.Errorf("it answers with code %d", code)
	}
	if err != nil {
		return fmt.Errorf("probe machine %s: look at it: %w", m.ID, err)
	}
	if err := p.judge(out.String(), before, after); err != nil {
		return fmt.Errorf("probe machine %s: %w", m.ID, err)
	}
	return nil
}

// judge reads what look has printed between two moments of our own clock.
func (p Visitor) judge(out string, before, after time.Time) error {
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
