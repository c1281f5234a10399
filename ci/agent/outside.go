package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/rondo-ci/rondo/ci/agent/archive"
	"github.com/rondo-ci/rondo/ci/agent/host"
)

// outside brings the source into a place that cannot fetch it itself: its
// image has no git, or the repository is a folder of this machine, which the
// steps do not see. It is cloned beside the place by the git of this machine
// and copied in. Nothing of the job's environment reaches that git, because
// variables can make git run programs.
func (c *checkout) outside(ctx context.Context) error {
	s := c.s
	if err := s.within(func() error { _, err := c.isEmpty(); return err }); err != nil {
		return err
	}
	p, err := host.New(host.Config{Dir: s.layout.Private, Fill: Fill("")}).Open(ctx, s.work, io.Discard)
	if err != nil {
		return err
	}
	defer p.Close()
	beside := &session{agent: s.agent, work: s.work, lease: s.lease, secrets: s.secrets, place: p, layout: p.Layout(), env: environ{}}
	beside.env.addAll(beside.layout.Environ)
	tree := filepath.Join(beside.layout.Home, "tree")
	o := &checkout{s: beside, st: c.st, spec: c.spec, dir: tree, ref: c.ref}
	if err := o.prepare(); err != nil {
		return err
	}
	if err := o.run(ctx); err != nil {
		return err
	}
	tmp, err := s.tempFile()
	if err != nil {
		return err
	}
	defer tmp.Close()
	if _, err := archive.Pack(ctx, tmp, []archive.Source{{Path: tree}}, archive.Limits{}, nil); err != nil {
		return err
	}
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := s.within(func() error { return c.bring(ctx, tmp) }); err != nil {
		return fmt.Errorf("copy the source to %s: %w", s.show(c.dir), err)
	}
	return nil
}

// bring unpacks the source. What an earlier checkout has left there is
// replaced; files that are not of the source stay.
func (c *checkout) bring(ctx context.Context, from io.Reader) error {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(c.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.RemoveAll(".git"); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	_, err = archive.Unpack(ctx, from, map[string]*os.Root{"": root}, archive.Limits{})
	return err
}
