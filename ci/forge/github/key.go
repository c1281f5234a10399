package github

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net/url"
	"strings"

	gh "github.com/google/go-github/v89/github"

	"github.com/rondo-ci/rondo/ci"
)

// completeKey makes the deploy key. The private half is kept and the public one
// written down before the code host hears of it; a key that it has but that we
// lost sight of is found again by its public half.
func (h *Host) completeKey(ctx context.Context, l *link, doc *ci.Doc) error {
	if l.Public != "" {
		id, err := h.findKey(ctx, l.Owner, l.Name, l.Public)
		if err == nil {
			l.Key = id
			return nil
		}
		if !isNotFound(err) {
			return err
		}
	}
	host, err := h.keyHost(ctx, l.Project)
	if err != nil {
		return err
	}
	key, public, err := newKey(host)
	if err != nil {
		return err
	}
	if err := h.cfg.KeepKey(ctx, l.Project, key); err != nil {
		return err
	}
	l.Public, l.Key = public, 0
	if err := h.save(ctx, l, doc, doc.Due); err != nil {
		return err
	}
	l.Key, err = h.addKey(ctx, l.Owner, l.Name, public)
	return err
}

// AcceptKey makes the code host accept the public half of a deploy key of a
// project, for reading, or no longer. Both may be done twice. A key that another
// repository has is [ci.ErrConflict], an organisation that allows no deploy keys
// [ci.ErrDenied]; so is a key of a user, which only that user could add there.
func (h *Host) AcceptKey(ctx context.Context, id ci.ProjectID, k ci.Key, accept bool, by ci.Actor) error {
	p, err := h.records.Project(ctx, id)
	if err != nil {
		return fmt.Errorf("key on the code host: %w", err)
	}
	switch {
	case !accept && k.Kind == ci.KeyDeploy:
		err = h.removeKey(ctx, p.Org, p.Repo, k.Public)
	case accept && k.Kind == ci.KeyDeploy:
		_, err = h.addKey(ctx, p.Org, p.Repo, k.Public)
	case accept:
		err = fmt.Errorf("%s has to add a key of their own on the code host; a deploy key needs nobody: %w", by, ci.ErrDenied)
	}
	if err != nil {
		return fmt.Errorf("key of %s on the code host: %w", p.Slug, err)
	}
	return nil
}

// addKey adds a read-only deploy key and returns its ID there. One that is
// there already is returned.
func (h *Host) addKey(ctx context.Context, owner, name, public string) (int64, error) {
	id, err := h.findKey(ctx, owner, name, public)
	if !isNotFound(err) {
		return id, err
	}
	title, readOnly := "Rondo", true
	made, _, err := h.api.Repositories.CreateKey(ctx, owner, name, &gh.Key{Title: &title, Key: &public, ReadOnly: &readOnly})
	if err == nil {
		return made.GetID(), nil
	}
	err = refusal(err)
	switch text := err.Error(); {
	case isInvalid(err) && strings.Contains(text, "in use"):
		err = fmt.Errorf("the key is that of another repository: %s: %w", text, ci.ErrConflict)
	case isInvalid(err):
		err = fmt.Errorf("the organisation may allow no deploy keys (its settings say so): %s: %w", text, ci.ErrDenied)
	}
	return 0, err
}

// removeKey removes a deploy key. One that is not there is no error.
func (h *Host) removeKey(ctx context.Context, owner, name, public string) error {
	id, err := h.findKey(ctx, owner, name, public)
	if err == nil {
		_, err = h.api.Repositories.DeleteKey(ctx, owner, name, id)
		err = refusal(err)
	}
	return ignoreMissing(err)
}

// findKey returns the ID of a deploy key by its public half.
func (h *Host) findKey(ctx context.Context, owner, name, public string) (int64, error) {
	var found int64
	err := pages(func(page gh.ListOptions) (*gh.Response, error) {
		keys, resp, err := h.api.Repositories.ListKeys(ctx, owner, name, &page)
		for _, k := range keys {
			if sameKey(k.GetKey(), public) {
				found = k.GetID()
			}
		}
		return resp, err
	})
	if err == nil && found == 0 {
		err = fmt.Errorf("deploy key: %w", ci.ErrNotFound)
	}
	return found, err
}

// sameKey compares public keys without their comments.
func sameKey(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) >= 2 && len(y) >= 2 && x[0] == y[0] && x[1] == y[1]
}

// keyHost returns the host that git reaches a project at, for which its deploy
// key is.
func (h *Host) keyHost(ctx context.Context, id ci.ProjectID) (string, error) {
	p, err := h.records.Project(ctx, id)
	if err != nil {
		return "", err
	}
	if u, err := url.Parse(p.CloneURL); err == nil && u.Host != "" {
		return u.Hostname(), nil
	}
	before, _, _ := strings.Cut(p.CloneURL, ":") // user@host:path
	return before[strings.LastIndexByte(before, '@')+1:], nil
}

// newKey makes an Ed25519 key in the format of OpenSSH, without a passphrase:
// whoever keeps it encrypts it.
func newKey(host string) (key ci.SSHKey, public string, err error) {
	pub, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return ci.SSHKey{}, "", err
	}
	const kind, comment = "ssh-ed25519", "rondo"
	field := func(b *bytes.Buffer, data ...[]byte) {
		for _, d := range data {
			_ = binary.Write(b, binary.BigEndian, uint32(len(d)))
			b.Write(d)
		}
	}
	var blob, secret, all bytes.Buffer
	field(&blob, []byte(kind), pub)
	var check [4]byte
	_, _ = rand.Read(check[:]) // never fails since Go 1.24
	secret.Write(check[:])
	secret.Write(check[:])
	field(&secret, []byte(kind), pub, private, []byte(comment))
	for i := byte(1); secret.Len()%8 != 0; i++ {
		secret.WriteByte(i)
	}
	all.WriteString("openssh-key-v1\x00")
	field(&all, []byte("none"), []byte("none"), nil)
	all.Write([]byte{0, 0, 0, 1})
	field(&all, blob.Bytes(), secret.Bytes())

	sum, old := sha256.Sum256(blob.Bytes()), md5.Sum(blob.Bytes())
	key = ci.SSHKey{
		Host: host, Fingerprint: "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]),
		MD5:     strings.ReplaceAll(fmt.Sprintf("% x", old[:]), " ", ":"),
		Private: string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: all.Bytes()})),
	}
	return key, kind + " " + base64.StdEncoding.EncodeToString(blob.Bytes()) + " " + comment, nil
}
