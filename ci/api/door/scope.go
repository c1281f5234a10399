package door

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/rondo-ci/rondo/ci"
)

// A scope is how far a lease reaches: what its task may read.
type scope struct {
	project  ci.ProjectID
	caches   ci.ProjectID // under which caches are kept
	trust    string       // of what it builds
	job      string
	branch   string
	upstream map[handout]bool
	begun    atomic.Int32 // uploads that are not committed
}

// A handout is one task in one epoch.
type handout struct {
	task  ci.TaskID
	epoch int64
}

func scopeOf(w ci.Work) *scope {
	s := &scope{
		project: w.Project.ID, caches: cacheOwner(w), trust: trustOf(w), job: w.Task.Name,
		branch: w.Pipeline.Trigger.Branch, upstream: make(map[handout]bool, len(w.Upstream)+1),
	}
	for _, u := range w.Upstream {
		s.upstream[handout{u.Task, u.Epoch}] = true
	}
	s.upstream[handout{w.Lease.Task, w.Lease.Epoch}] = true
	return s
}

// cacheOwner returns under whom the caches of a task are kept: its project, or,
// for a pull request from a fork, something that no other fork and not the
// project has. Whoever may send a pull request could otherwise put files into
// the jobs of the default branch.
func cacheOwner(w ci.Work) ci.ProjectID {
	fork := w.Pipeline.Trigger.Fork
	if fork == "" {
		return w.Project.ID
	}
	sum := sha256.Sum256([]byte(fork))
	return w.Project.ID + "/fork/" + ci.ProjectID(hex.EncodeToString(sum[:12]))
}

// owner returns under whom a file is kept.
func (s *scope) owner(k ci.FileKind) ci.ProjectID {
	if k == ci.FileCache {
		return s.caches
	}
	return s.project
}

// scope checks the lease and returns its reach, which the server is asked for
// again when this process has not seen the claim.
func (d *Door) scope(ctx context.Context, l ci.Lease) (*scope, error) {
	if err := d.leases.Check(l); err != nil {
		return nil, err
	}
	if s := d.scopes.get(l); s != nil {
		return s, nil
	}
	work, err := d.server.Work(ctx, l)
	if err != nil {
		return nil, err
	}
	work.Lease = l
	s := scopeOf(work)
	d.scopes.put(l, s)
	return s, nil
}

// may returns an error unless the task may read the file.
func (s *scope) may(f ci.File) error {
	switch f.Kind {
	case ci.FileCache:
		if f.Task != "" || f.Epoch != 0 {
			return fmt.Errorf("a cache has no task: %w", ci.ErrInvalid)
		}
		return nil
	case ci.FileWorkspace, ci.FileArtifact:
		if !s.upstream[handout{f.Task, f.Epoch}] {
			return fmt.Errorf("task %s epoch %d is not upstream: %w", f.Task, f.Epoch, ci.ErrDenied)
		}
		return nil
	}
	return fmt.Errorf("file kind %q: %w", f.Kind, ci.ErrInvalid)
}

// scopes remembers the reach of the leases that were claimed here. It is a
// cache: what is missing is asked for again.
type scopes struct {
	mu   sync.Mutex
	byID map[handout]*scope
}

const maxScopes = 4096

func (c *scopes) get(l ci.Lease) *scope {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[handout{l.Task, l.Epoch}]
}

func (c *scopes) put(l ci.Lease, s *scope) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byID == nil {
		c.byID = make(map[handout]*scope)
	}
	for old := range c.byID {
		if len(c.byID) < maxScopes {
			break
		}
		delete(c.byID, old)
	}
	c.byID[handout{l.Task, l.Epoch}] = s
}

func (c *scopes) drop(l ci.Lease) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byID, handout{l.Task, l.Epoch})
}
