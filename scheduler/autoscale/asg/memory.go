package asg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/rondo-ci/rondo/ci"
)

// The steps that a lifecycle remembers, in order.
const (
	draining  = "draining"  // the machine is to end
	drained   = "drained"   // the server knows; what runs finishes
	empty     = "empty"     // nothing runs
	completed = "completed" // Amazon may go on
	done      = "done"
)

// memory is what outlives the program.
type memory struct {
	Instance string `json:"instance"`
	Step     string `json:"step,omitempty"`
}

// recall reads the file; without one there is nothing to remember. One that
// cannot be read as such counts as none: every step may be taken twice.
func recall(name string) (memory, error) {
	if name == "" {
		return memory{}, nil
	}
	data, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return memory{}, nil
	} else if err != nil {
		return memory{}, fmt.Errorf("lifecycle: %w", err)
	}
	var m memory
	if json.Unmarshal(data, &m) != nil {
		return memory{}, nil
	}
	return m, nil
}

// remember notes a step, so that it is on the disk before the next begins.
func (l *Lifecycle) remember(step string) error {
	l.mem.Step = step
	l.log.Info("lifecycle", "step", step)
	if l.cfg.State == "" {
		return nil
	}
	data, err := json.Marshal(l.mem)
	if err != nil {
		return err
	}
	dir := filepath.Dir(l.cfg.State)
	f, err := os.CreateTemp(dir, ".lifecycle-*")
	if err != nil {
		return fmt.Errorf("lifecycle: %w", err)
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), l.cfg.State)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("lifecycle: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("lifecycle: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}

// metadata reads a value of the machine; one that is not there is
// [ci.ErrNotFound].
func (c *Cloud) metadata(ctx context.Context, path string) (string, error) {
	out, err := c.machine.GetMetadata(ctx, &imds.GetMetadataInput{Path: path})
	var refused *smithyhttp.ResponseError
	if errors.As(err, &refused) && refused.HTTPStatusCode() == http.StatusNotFound {
		return "", fmt.Errorf("metadata %s: %w", path, ci.ErrNotFound)
	} else if err != nil {
		return "", fmt.Errorf("metadata %s: %w", path, err)
	}
	defer out.Content.Close()
	text, err := io.ReadAll(io.LimitReader(out.Content, 1<<16))
	return strings.TrimSpace(string(text)), err
}
