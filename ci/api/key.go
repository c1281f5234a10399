package api

import (
	"errors"
	"net/http"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// keyRoutes are the operations on the keys with which jobs check code out.
func keyRoutes() []route {
	const at = "/project/{project_slug}/checkout-key"
	digest := "digest: form of the fingerprint, md5 (the default) or sha256"
	return []route{
		{
			method: "GET", path: at, summary: "The checkout keys of a project", tag: "Project",
			query: []string{digest, pageToken}, status: 200, response: page[checkoutKey]{}, serve: (*call).listKeys,
		}, {
			method: "POST", path: at, summary: "Make a checkout key, and tell the code host about it", tag: "Project",
			query: []string{digest}, status: 201, request: keyRequest{}, response: checkoutKey{}, serve: (*call).createKey,
		}, {
			method: "GET", path: at + "/{fingerprint}", summary: "A checkout key, by either fingerprint", tag: "Project",
			query: []string{digest}, status: 200, response: checkoutKey{}, serve: (*call).getKey,
		}, {
			method: "DELETE", path: at + "/{fingerprint}", summary: "Delete a checkout key", tag: "Project",
			status: 200, response: message{}, serve: (*call).deleteKey,
		},
	}
}

// A checkoutKey is a [ci.Key] on the wire.
type checkoutKey struct {
	Public      string `json:"public-key"`
	PublicToo   string `json:"public_key"`
	Type        string `json:"type"`
	Fingerprint string `json:"fingerprint"`
	Preferred   bool   `json:"preferred"`
	Created     stamp  `json:"created-at"`
	CreatedToo  stamp  `json:"created_at"`
}

func (c *call) checkoutKeyOf(k ci.Key) checkoutKey {
	out := checkoutKey{k.Public, k.Public, string(k.Kind), k.MD5, k.Preferred, stampOf(k.Created), stampOf(k.Created)}
	if c.r.URL.Query().Get("digest") == "sha256" {
		out.Fingerprint = k.SHA256
	}
	return out
}

// checkoutKeys returns the project of the address and its checkout keys, which
// are not all keys that it has.
func (c *call) checkoutKeys(write bool) (ci.Project, []ci.Key, error) {
	p, err := c.project(write)
	if err != nil {
		return p, nil, err
	}
	switch digest := c.r.URL.Query().Get("digest"); {
	case c.cfg.Chapters.Keys == nil:
		return p, nil, absent("keys")
	case digest != "" && digest != "md5" && digest != "sha256":
		return p, nil, refuse(http.StatusBadRequest, "digest is md5 or sha256.")
	}
	all, err := c.cfg.Chapters.Keys.Keys(c.r.Context(), p.ID)
	if err != nil {
		return p, nil, err
	}
	var keys []ci.Key
	for _, k := range all {
		if k.Kind != ci.KeyAdditional {
			keys = append(keys, k)
		}
	}
	return p, keys, nil
}

func (c *call) listKeys() (any, error) {
	_, keys, err := c.checkoutKeys(false)
	if err != nil {
		return nil, err
	}
	return keyed(c, keys, func(k ci.Key) string { return k.SHA256 }, c.checkoutKeyOf)
}

// A keyRequest says which sort of key to make.
type keyRequest struct {
	Type string `json:"type"`
}

func (c *call) createKey() (any, error) {
	p, _, err := c.checkoutKeys(true)
	if err != nil {
		return nil, err
	}
	var req keyRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	var kind ci.KeyKind
	switch req.Type {
	case "deploy-key":
		kind = ci.KeyDeploy
	case "user-key", "github-user-key":
		kind = ci.KeyUser
	default:
		return nil, refuse(http.StatusBadRequest, "type must be deploy-key or user-key.")
	}
	k, err := c.cfg.Chapters.Keys.CreateKey(c.r.Context(), p.ID, kind, c.by)
	if err != nil {
		return nil, named(err, "Project")
	}
	return c.checkoutKeyOf(k), nil
}

// checkoutKey returns the one of the address.
func (c *call) checkoutKey(write bool) (ci.Project, ci.Key, error) {
	p, keys, err := c.checkoutKeys(write)
	if err != nil {
		return p, ci.Key{}, err
	}
	asked := c.r.PathValue("fingerprint")
	for _, k := range keys {
		if sameFingerprint(asked, k) {
			return p, k, nil
		}
	}
	return p, ci.Key{}, refuse(http.StatusNotFound, "Checkout key not found")
}

// sameFingerprint knows a fingerprint in the forms that ssh-keygen prints, too.
func sameFingerprint(s string, k ci.Key) bool {
	if sha, ok := strings.CutPrefix(s, "SHA256:"); ok {
		s = sha
	}
	return strings.EqualFold(strings.TrimPrefix(s, "MD5:"), k.MD5) || k.SHA256 != "" && strings.TrimRight(s, "=") == strings.TrimRight(k.SHA256, "=")
}

func (c *call) getKey() (any, error) {
	_, k, err := c.checkoutKey(false)
	if err != nil {
		return nil, err
	}
	return c.checkoutKeyOf(k), nil
}

func (c *call) deleteKey() (any, error) {
	p, k, err := c.checkoutKey(true)
	if err != nil {
		return nil, err
	}
	err = c.cfg.Chapters.Keys.DeleteKey(c.r.Context(), p.ID, k.SHA256, c.by)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return nil, err
	}
	return message{"Checkout key deleted."}, nil
}
