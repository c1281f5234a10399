package nomad

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/nomad/api"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
)

// An Identity says whether agents show who they are by what Nomad signs: a
// workload identity, which it has from 1.7 on. Then a ticket is good only in the
// hands of an agent of its job, and who may read jobs gets nothing with it.
type Identity string

// The identities.
const (
	IdentityAuto    Identity = ""        // where Nomad signs them
	IdentityRequire Identity = "require" // no agent is started otherwise
	IdentityOff     Identity = "off"     // tickets only: who reads one first may use it
)

// firstSigned is the version of Nomad that first signed identities.
const firstSigned = "1.7.0"

// metaSigned says in the Meta of a job that its agents have an identity.
const metaSigned = "rondo_identity"

// maxIdentity is how long a signed identity may be, in bytes.
const maxIdentity = 8 << 10

// signing are the public keys of Nomad.
type signing struct {
	asking chan struct{} // has an element while Nomad is asked

	mu     sync.Mutex
	keys   jose.JSONWebKeySet
	asked  time.Time
	warned bool // that there are none
}

const (
	// keysTime is for how long the keys are good that a Nomad had, unsignedTime
	// for how long it is believed that it has none.
	keysTime     = time.Hour
	unsignedTime = 5 * time.Minute
)

// known returns the keys, none of a Nomad that signs nothing. They are asked for
// if it is longer ago than age.
func (s *signing) known(ctx context.Context, c *Cluster, age time.Duration) (jose.JSONWebKeySet, error) {
	select {
	case s.asking <- struct{}{}:
		defer func() { <-s.asking }()
	case <-ctx.Done():
		return jose.JSONWebKeySet{}, ctx.Err()
	}
	s.mu.Lock()
	keys, asked := s.keys, s.asked
	s.mu.Unlock()
	if !asked.IsZero() && time.Since(asked) < age {
		return keys, nil
	}
	keys = jose.JSONWebKeySet{}
	_, err := c.api.Raw().Query("/.well-known/jwks.json", &keys, c.query(ctx, nil))
	var odd *json.SyntaxError
	switch err = c.words(err); {
	case errors.Is(err, ci.ErrNotFound), errors.As(err, &odd): // an older one
		keys = jose.JSONWebKeySet{}
	case err != nil:
		return keys, fmt.Errorf("ask Nomad for the keys of identities: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.asked = keys, time.Now()
	return keys, nil
}

// signs reports whether the agents of a job that is about to be made will have
// an identity.
func (c *Cluster) signs(ctx context.Context) (bool, error) {
	if c.cfg.Identity == IdentityOff {
		return false, nil
	}
	c.signing.mu.Lock()
	there := len(c.signing.keys.Keys) > 0
	c.signing.mu.Unlock()
	if there {
		return true, nil
	}
	keys, err := c.signing.known(ctx, c, unsignedTime)
	switch {
	case err != nil:
		return false, err
	case len(keys.Keys) > 0:
		return true, nil
	case c.cfg.Identity == IdentityRequire:
		return false, fmt.Errorf("this Nomad signs no identities, which are required: it needs to be %s or later", firstSigned)
	}
	c.signing.mu.Lock()
	defer c.signing.mu.Unlock()
	if !c.signing.warned {
		c.signing.warned = true
		c.log.Warn("this Nomad signs no identities (1.7 and later do): who may read its jobs could take the place of an agent that has not begun")
	}
	return false, nil
}

// identity is what a task asks Nomad to sign. It goes into the environment of
// the agent only, which jobs cannot read.
func (c *Cluster) identity() *api.WorkloadIdentity {
	return &api.WorkloadIdentity{Name: pointer.IdentityName, Audience: []string{c.cfg.Name}, Env: true}
}

// Admit says whether an agent that shows a ticket is the one that was started
// for the hand-out, by the identity that Nomad has signed for it: nil, or
// [ci.ErrDenied]. Other errors say that it is not known yet. Whose job was made
// without identities is admitted.
func (c *Cluster) Admit(ctx context.Context, task ci.TaskID, epoch int64, identity string) error {
	if err := c.admit(ctx, key{task, epoch}, identity); err != nil {
		if errors.Is(err, ci.ErrDenied) {
			c.log.Warn("an agent is turned away that has the ticket of a task", "task", task, "lease", epoch, "err", err)
		}
		return fmt.Errorf("admit the agent of task %s epoch %d: %w", task, epoch, err)
	}
	return nil
}

func (c *Cluster) admit(ctx context.Context, k key, identity string) error {
	pl, err := c.placeOf(ctx, k)
	if err != nil {
		return err
	}
	c.mu.Lock()
	job, signed := pl.job, pl.signed
	c.mu.Unlock()
	if !signed {
		return nil
	}
	return c.verify(ctx, job, identity)
}

// placeOf returns the place of a hand-out. An agent may be faster than the
// answer to Submit, and one of an earlier server than the first list.
func (c *Cluster) placeOf(ctx context.Context, k key) (*place, error) {
	if err := c.known(ctx); err != nil {
		return nil, err
	}
	for try := 0; ; try++ {
		c.mu.Lock()
		pl, busy := c.places[k], c.submitting[k]
		c.mu.Unlock()
		switch {
		case pl != nil:
			return pl, nil
		case busy != nil:
			select {
			case <-busy:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		case try > 0:
			return nil, fmt.Errorf("Nomad has no job for it: %w", ci.ErrDenied)
		default:
			if err := c.sync(ctx); err != nil {
				return nil, err
			}
		}
	}
}

// verify says whether an identity is that of an agent of the job.
func (c *Cluster) verify(ctx context.Context, job, identity string) error {
	if identity == "" {
		return fmt.Errorf("it shows no identity of Nomad's: install the rondo-agent of the same release as the server: %w", ci.ErrDenied)
	}
	own, err := c.read(ctx, identity)
	if err != nil {
		return err
	}
	if own.Namespace != cmp.Or(c.space, api.DefaultNamespace) || own.Task != taskName {
		return fmt.Errorf("it is the identity of task %s in namespace %s: %w", own.Task, own.Namespace, ci.ErrDenied)
	}
	if c.runsIn(job, own.Alloc) {
		return nil
	}
	a, _, err := c.api.Allocations().Info(own.Alloc, c.query(ctx, nil))
	if err = c.words(err); err != nil && !errors.Is(err, ci.ErrNotFound) {
		return err
	}
	if err != nil || a.JobID != job {
		return fmt.Errorf("it is the identity of allocation %.8s, which is not of this job: %w", own.Alloc, ci.ErrDenied)
	}
	return nil
}

// runsIn reports whether an allocation is known as one of the job.
func (c *Cluster) runsIn(job, alloc string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pl := c.jobs[job]; pl != nil {
		_, ok := pl.allocs[alloc]
		return ok && alloc != ""
	}
	w := c.warmJob(job)
	return w != nil && w.alloc.id == alloc && alloc != ""
}

// signedClaims are what Nomad says of a workload. The job of one that was
// dispatched is its parent, so the allocation is what counts.
type signedClaims struct {
	Namespace string `json:"nomad_namespace"`
	Alloc     string `json:"nomad_allocation_id"`
	Task      string `json:"nomad_task"`
}

// read returns what an identity says, if Nomad has signed it for us.
func (c *Cluster) read(ctx context.Context, identity string) (signedClaims, error) {
	var own signedClaims
	denied := func(why string) (signedClaims, error) {
		return own, fmt.Errorf("its identity is not good: %s: %w", why, ci.ErrDenied)
	}
	if len(identity) > maxIdentity {
		return denied("it is too long")
	}
	token, err := jwt.ParseSigned(identity, []jose.SignatureAlgorithm{jose.RS256, jose.EdDSA, jose.ES256})
	if err != nil || len(token.Headers) != 1 {
		return denied("it is no signed token")
	}
	keys, err := c.signing.known(ctx, c, keysTime)
	if err != nil {
		return own, err
	}
	kid := token.Headers[0].KeyID
	if len(keys.Key(kid)) == 0 { // one that has come since: who asks has a ticket
		if keys, err = c.signing.known(ctx, c, 0); err != nil {
			return own, err
		}
	}
	var std jwt.Claims
	if len(keys.Key(kid)) != 1 || token.Claims(keys.Key(kid)[0], &std, &own) != nil {
		return denied("no key of Nomad has signed it")
	}
	if err := std.Validate(jwt.Expected{AnyAudience: jwt.Audience{c.cfg.Name}, Time: time.Now()}); err != nil {
		return denied(strings.TrimPrefix(err.Error(), "go-jose/go-jose/jwt: "))
	}
	if own.Alloc == "" {
		return denied("it names no allocation")
	}
	return own, nil
}
