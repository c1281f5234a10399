package runner

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/internal/wire"
)

// A token is one on the wire. The text of it is there once, when it is made.
type token struct {
	ID       string `json:"id"`
	Text     string `json:"token,omitempty"`
	Class    string `json:"resource_class"`
	Nickname string `json:"nickname"`
	Created  string `json:"created_at"`
}

// kept is the body of a token's document: what it is called, and the digest of
// its secret half.
type kept struct {
	Nickname string `json:"nickname"`
	Digest   string `json:"digest"`
}

func tokenOf(d ci.Doc, class string) (token, error) {
	var k kept
	if err := json.Unmarshal(d.Body, &k); err != nil {
		return token{}, fmt.Errorf("read token %s: %w", d.ID, err)
	}
	return token{ID: d.ID, Class: class, Nickname: k.Nickname, Created: d.Created.UTC().Format(time.RFC3339)}, nil
}

// digest is what is kept of a secret. It is long and random, so that a plain
// hash cannot be guessed back.
func digest(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func (c *call) createToken() (any, error) {
	var q struct {
		Class    string `json:"resource_class"`
		Nickname string `json:"nickname"`
		OrgID    string `json:"org_id"`
	}
	if err := wire.Decode(c.w, c.r, maxBody, &q); err != nil {
		return nil, err
	}
	if len(q.Nickname) > 200 {
		return nil, fmt.Errorf("the nickname is longer than 200 bytes: %w", ci.ErrInvalid)
	}
	n, class, err := c.class(q.Class, true)
	if err != nil {
		return nil, err
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24
	id, secret := ci.NewID(), hex.EncodeToString(random[:])
	body, _ := json.Marshal(kept{q.Nickname, digest(secret)}) // of strings
	written, err := c.docs.WriteDocs(c.r.Context(),
		ci.DocChange{Doc: class}, // so that it is not deleted meanwhile
		ci.DocChange{Doc: ci.Doc{Kind: kindToken, ID: id, Scope: class.ID, Body: body}})
	if errors.Is(err, ci.ErrConflict) {
		return nil, wire.Refuse(409, "The resource class was changed meanwhile; try again.")
	}
	if err != nil {
		return nil, err
	}
	t, err := tokenOf(written[1], n.Name+"/"+class.Name)
	t.Text = strings.ReplaceAll(id, "-", "") + secret
	return t, err
}

func (c *call) listTokens() (any, error) {
	n, classes, err := c.selected()
	if err != nil {
		return nil, err
	}
	var out []token
	for _, class := range classes {
		for d, err := range c.docs.Docs(c.r.Context(), ci.DocQuery{Kind: kindToken, Scope: class.ID}) {
			var t token
			if err == nil {
				t, err = tokenOf(d, n.Name+"/"+class.Name)
			}
			if err != nil {
				return nil, err
			}
			out = append(out, t)
		}
	}
	slices.SortStableFunc(out, func(a, b token) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Nickname, b.Nickname))
	})
	return pageOf(out), nil
}

func (c *call) deleteToken() (any, error) {
	id := c.r.PathValue("id")
	ctx := c.r.Context()
	d, err := c.docs.Doc(ctx, kindToken, id)
	if err == nil {
		_, _, err = c.classByID(d.Scope, true)
	}
	if err != nil {
		if errors.Is(err, ci.ErrNotFound) {
			err = fmt.Errorf("token %.60s: %w", id, ci.ErrNotFound)
		}
		return nil, err
	}
	_, err = c.docs.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true})
	return message{"Token deleted."}, err
}

// Class returns the resource class, as in "acme/linux", whose tasks an agent
// with that token may take. A token that is none, or was deleted, is
// [ci.ErrDenied].
func (h *Handler) Class(ctx context.Context, text string) (string, error) {
	denied := fmt.Errorf("this is the token of no resource class: %w", ci.ErrDenied)
	if len(text) != 32+64 {
		return "", denied
	}
	id := strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:32]}, "-")
	d, err := h.docs.Doc(ctx, kindToken, id)
	if err != nil {
		if errors.Is(err, ci.ErrNotFound) {
			return "", denied
		}
		return "", err
	}
	var k kept
	if err := json.Unmarshal(d.Body, &k); err != nil {
		return "", fmt.Errorf("read token %s: %w", id, err)
	}
	if subtle.ConstantTimeCompare([]byte(k.Digest), []byte(digest(text[32:]))) != 1 {
		return "", denied
	}
	name, err := h.name(ctx, d.Scope)
	if errors.Is(err, ci.ErrNotFound) {
		return "", denied
	}
	return name, err
}
