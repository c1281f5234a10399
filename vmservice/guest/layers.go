package guest

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

//go:embed layers.sh
var layersScript string

// The defaults of [Visitor].Spare, in bytes, and what it is at most, in percent
// of the volume.
const (
	defaultSpare = 15 << 30
	maxShare     = 15
)

// Mount puts the volume at device under the machine's Docker engine, which is
// stopped for it and started again. An empty volume is formatted. One of ours is
// emptied when it is another owner's, when its file system is beyond repair,
// when a newer engine or another storage driver has used it, or when the engine
// does not start on it. On anything else nothing is written: that is an error.
// Twice with the same volume is allowed; another one is an error.
func (p Visitor) Mount(ctx context.Context, m vmservice.Machine, a vmservice.Access, device, owner string) (vmservice.Layers, error) {
	if !strings.HasPrefix(device, "/dev/") || strings.ContainsAny(device, "\n\x00") || owner == "" {
		return vmservice.Layers{}, fmt.Errorf("mount layers on machine %s: %q is no device, or %q no owner: %w", m.ID, device, owner, ci.ErrInvalid)
	}
	sum := sha256.Sum256([]byte(owner))
	l, err := p.layers(ctx, m, a, fmt.Sprintf("device=%s owner=%s\nmount_layers", quote(device), hex.EncodeToString(sum[:])))
	if err != nil {
		return l, fmt.Errorf("mount layers at %s on machine %s: %w", device, m.ID, err)
	}
	return l, nil
}

// Unmount removes containers, the volumes that have no name, and networks, stops
// the engine, and takes the volume away from it. Images and build cache stay.
// Without a volume there is nothing to do; twice returns the same.
func (p Visitor) Unmount(ctx context.Context, m vmservice.Machine, a vmservice.Access) (vmservice.Layers, error) {
	l, err := p.layers(ctx, m, a, "unmount_layers")
	if err != nil {
		return l, fmt.Errorf("unmount layers on machine %s: %w", m.ID, err)
	}
	return l, nil
}

// layers runs a function of layersScript and reads its report.
func (p Visitor) layers(ctx context.Context, m vmservice.Machine, a vmservice.Access, call string) (vmservice.Layers, error) {
	v, err := enter(ctx, m, a)
	if err != nil {
		return vmservice.Layers{}, err
	}
	defer v.Close()
	head := fmt.Sprintf("spare=%d share=%d\n", cmp.Or(max(p.Spare, 0), defaultSpare)/1024, maxShare)
	said, err := v.root(ctx, layersScript+"\n"+head+call)
	if err != nil {
		return vmservice.Layers{}, err
	}
	return readLayers(said)
}

// readLayers reads what report of layersScript has said.
func readLayers(said []string) (vmservice.Layers, error) {
	var l vmservice.Layers
	for _, line := range said {
		key, value, _ := strings.Cut(line, " ")
		n, err := strconv.ParseInt(value, 10, 64)
		switch key {
		case "images":
			l.Images = int(min(n, 1<<30))
		case "bytes":
			l.Bytes = n
		case "engine":
			err, l.Engine = nil, value
		case "fresh":
			l.Fresh = n == 1
		default:
			err = nil
		}
		if err != nil || n < 0 || len(value) > 60 {
			return vmservice.Layers{}, fmt.Errorf("it says %.80q of its layers, which is no number", line)
		}
	}
	return l, nil
}
