package secret

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The kinds of documents about keys. A key has its project as scope and its
// SHA256 fingerprint as name. The ring, whose ID is the project, has their
// order and is their lock.
const (
	kindKey  = "project-key"
	kindRing = "project-keys"
)

// A ring is what is kept of a project's keys together.
type ring struct {
	// Keys are their SHA256 fingerprints, the oldest first, and Preferred is
	// that of the key that checkout uses.
	Keys      []string `json:"keys"`
	Preferred string   `json:"preferred,omitempty"`
	doc       ci.Doc
}

func (s *Safe) ring(ctx context.Context, p ci.ProjectID) (ring, error) {
	var r ring
	d, err := s.docs.Doc(ctx, kindRing, string(p))
	switch {
	case errors.Is(err, ci.ErrNotFound):
		d = ci.Doc{Kind: kindRing, ID: string(p)}
	case err != nil:
		return r, err
	default:
		if err := json.Unmarshal(d.Body, &r); err != nil {
			return r, fmt.Errorf("keys of project %s: %w", p, err)
		}
	}
	r.doc = d
	return r, nil
}

func (r ring) put() (ci.DocChange, error) {
	var err error
	r.doc.Body, err = json.Marshal(r)
	r.doc.Updated = time.Time{}
	return ci.DocChange{Doc: r.doc}, err
}

// A keptKey is a key as it is kept.
type keptKey struct {
	ci.Key
	doc ci.Doc
}

// keys returns the ring of a project and its keys, the preferred one first and
// then the oldest.
func (s *Safe) keys(ctx context.Context, p ci.ProjectID) (ring, []keptKey, error) {
	r, err := s.ring(ctx, p)
	if err != nil {
		return r, nil, err
	}
	docs, err := s.all(ctx, kindKey, string(p))
	if err != nil {
		return r, nil, err
	}
	var out []keptKey
	for _, d := range docs {
		k := keptKey{doc: d}
		if err := json.Unmarshal(d.Body, &k.Key); err != nil {
			return r, nil, fmt.Errorf("key %s: %w", d.Name, err)
		}
		k.Created, k.Preferred = d.Created, k.SHA256 == r.Preferred
		out = append(out, k)
	}
	place := func(k keptKey) int {
		if k.Preferred {
			return -1
		}
		return slices.Index(r.Keys, k.SHA256)
	}
	slices.SortFunc(out, func(a, b keptKey) int { return cmp.Compare(place(a), place(b)) })
	return r, out, nil
}

// Keys lists the public halves of a project's keys, the preferred one first
// and then the oldest.
func (s *Safe) Keys(ctx context.Context, p ci.ProjectID) ([]ci.Key, error) {
	_, err := s.cfg.Project(ctx, p)
	var list []keptKey
	if err == nil {
		_, list, err = s.keys(ctx, p)
	}
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	var out []ci.Key
	for _, k := range list {
		out = append(out, k.Key)
	}
	return out, nil
}

// privateKeys opens the keys of a project.
func (s *Safe) privateKeys(ctx context.Context, p ci.ProjectID) ([]ci.SSHKey, error) {
	_, list, err := s.keys(ctx, p)
	if err != nil {
		return nil, err
	}
	var out []ci.SSHKey
	for _, k := range list {
		private, err := s.open(ctx, k.doc)
		if err != nil {
			return nil, err
		}
		out = append(out, ci.SSHKey{Fingerprint: "SHA256:" + k.SHA256, MD5: k.MD5, Host: k.Host, Private: private})
	}
	return out, nil
}

// checkout reports whether the key is for the repository itself.
func checkout(k ci.KeyKind) bool { return k == ci.KeyDeploy || k == ci.KeyUser }

// CreateKey makes an Ed25519 checkout key, which becomes the preferred one, and
// tells the code host about it. If the code host refuses there is no key.
func (s *Safe) CreateKey(ctx context.Context, p ci.ProjectID, kind ci.KeyKind, by ci.Actor) (ci.Key, error) {
	if !checkout(kind) {
		return ci.Key{}, fmt.Errorf("create key: a checkout key is a %s or a %s, a key for other hosts is added with its private half: %w", ci.KeyDeploy, ci.KeyUser, ci.ErrInvalid)
	}
	k, private, err := newKey("rondo " + string(p))
	if err != nil {
		return ci.Key{}, fmt.Errorf("create key: %w", err)
	}
	if k.Kind = kind; kind == ci.KeyUser {
		k.Login = by.Login
	}
	if k, err = s.putKey(ctx, p, k, private, by, true); err != nil {
		return ci.Key{}, fmt.Errorf("create key: %w", err)
	}
	return k, nil
}

// AddKey takes a private key in PEM form, without a passphrase, for a host; ""
// is any. A key that the project has is [ci.ErrConflict].
func (s *Safe) AddKey(ctx context.Context, p ci.ProjectID, host, private string, by ci.Actor) (ci.Key, error) {
	k, err := readKey(private)
	if err == nil {
		err = checkHost(host)
	}
	if err != nil {
		return ci.Key{}, fmt.Errorf("add key: %w", err)
	}
	k.Kind, k.Host = ci.KeyAdditional, host
	if k, err = s.putKey(ctx, p, k, private, by, false); err != nil {
		return ci.Key{}, fmt.Errorf("add key: %w", err)
	}
	return k, nil
}

// keyAction is the word for a change of a key in the record.
func keyAction(k ci.KeyKind, what string) string {
	if checkout(k) {
		return "project.checkout_key." + what
	}
	return "project.ssh_key." + what
}

// putKey keeps a new key, and with tell tells the code host.
func (s *Safe) putKey(ctx context.Context, id ci.ProjectID, k ci.Key, private string, by ci.Actor, tell bool) (ci.Key, error) {
	d := ci.Doc{Kind: kindKey, ID: ci.NewID(), Scope: string(id), Name: k.SHA256}
	kept, err := s.change(ctx, keyAction(k.Kind, "create"), by, func() (plan, error) {
		p, err := s.keyPlan(ctx, id, k)
		if err != nil {
			return p, err
		}
		r, list, err := s.keys(ctx, id)
		switch {
		case err != nil:
			return p, err
		case slices.ContainsFunc(list, func(old keptKey) bool { return old.SHA256 == k.SHA256 }):
			return p, fmt.Errorf("the project has this key, %s: %w", k.SHA256, ci.ErrConflict)
		case len(list) >= MaxKeys:
			return p, fmt.Errorf("the project has %d keys and cannot have more, delete one that nobody uses: %w", len(list), ci.ErrInvalid)
		}
		r.Keys = append(r.Keys, k.SHA256)
		if checkout(k.Kind) {
			r.Preferred = k.SHA256
		}
		if tell {
			p.before = func() error { return s.cfg.CodeHost(ctx, id, k, true, by) }
			p.undo = func() error { return s.cfg.CodeHost(context.WithoutCancel(ctx), id, k, false, by) }
		}
		if d.Body, err = json.Marshal(k); err != nil {
			return p, err
		}
		if err := s.seal(ctx, &d, []byte(private)); err != nil {
			return p, err
		}
		lock, err := r.put()
		p.docs = []ci.DocChange{{Doc: d}, lock}
		return p, err
	})
	if err != nil {
		return ci.Key{}, err
	}
	k.Created, k.Preferred = kept[0].Created, checkout(k.Kind)
	return k, nil
}

// keyPlan returns a plan with nothing but the target.
func (s *Safe) keyPlan(ctx context.Context, id ci.ProjectID, k ci.Key) (plan, error) {
	project, err := s.cfg.Project(ctx, id)
	if err != nil {
		return plan{}, err
	}
	p := plan{target: projectTarget(project)}
	p.target["key"], p.target["kind"] = "SHA256:"+k.SHA256, string(k.Kind)
	if k.Host != "" {
		p.target["host"] = k.Host
	}
	return p, nil
}

// DeleteKey removes the key with that fingerprint, MD5 or SHA256, with or
// without the name of the algorithm. The code host is told first, so that a
// key that is gone here opens nothing there. The newest checkout key that is
// left becomes the preferred one.
func (s *Safe) DeleteKey(ctx context.Context, id ci.ProjectID, fingerprint string, by ci.Actor) error {
	_, list, err := s.keys(ctx, id)
	if err != nil {
		return fmt.Errorf("delete key: %w", err)
	}
	i := slices.IndexFunc(list, func(k keptKey) bool { return isFingerprint(k.Key, fingerprint) })
	if i < 0 {
		return fmt.Errorf("delete key: the project has none with the fingerprint %.100q: %w", fingerprint, ci.ErrNotFound)
	}
	if err := s.removeKey(ctx, id, list[i], by, checkout(list[i].Kind)); err != nil {
		return fmt.Errorf("delete key: %w", err)
	}
	return nil
}

// removeKey forgets a key, and with tell tells the code host before.
func (s *Safe) removeKey(ctx context.Context, id ci.ProjectID, k keptKey, by ci.Actor, tell bool) error {
	_, err := s.change(ctx, keyAction(k.Kind, "delete"), by, func() (plan, error) {
		p, err := s.keyPlan(ctx, id, k.Key)
		if err != nil {
			return p, err
		}
		r, list, err := s.keys(ctx, id)
		if err != nil {
			return p, err
		}
		// It may have been sealed anew since it was found.
		i := slices.IndexFunc(list, func(is keptKey) bool { return is.SHA256 == k.SHA256 })
		if i < 0 {
			return p, fmt.Errorf("somebody else has deleted it: %w", ci.ErrNotFound)
		}
		r.Keys = slices.DeleteFunc(r.Keys, func(f string) bool { return f == k.SHA256 })
		if r.Preferred == k.SHA256 {
			r.Preferred = newestCheckout(r.Keys, list)
		}
		if tell {
			p.before = func() error { return s.cfg.CodeHost(ctx, id, k.Key, false, by) }
		}
		lock, err := r.put()
		p.docs = []ci.DocChange{{Doc: list[i].doc, Delete: true}, lock}
		return p, err
	})
	return err
}

// newestCheckout returns the fingerprint of the newest checkout key among
// those in order, "" if there is none.
func newestCheckout(order []string, list []keptKey) string {
	for _, f := range slices.Backward(order) {
		if slices.ContainsFunc(list, func(k keptKey) bool { return k.SHA256 == f && checkout(k.Kind) }) {
			return f
		}
	}
	return ""
}
