package api

import (
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// keyringRoutes are the operations on what stored secrets are encrypted with.
func keyringRoutes() []route {
	return []route{
		{
			method: "GET", path: "/rondo/keys", summary: "The keys that stored secrets are encrypted with", tag: "Rondo",
			status: 200, response: page[sealingKey]{}, serve: (*call).listSealingKeys,
		}, {
			method: "POST", path: "/rondo/keys/rotate", summary: "Make a new key; what is stored follows", tag: "Rondo",
			status: 201, response: sealingKey{}, serve: (*call).rotateKeys,
		},
	}
}

// A sealingKey is a [ci.SealingKey] on the wire.
type sealingKey struct {
	Backend string `json:"backend"`
	Name    string `json:"name"`
	State   string `json:"state"`
	Created stamp  `json:"created_at"`
	Uses    int    `json:"uses"`
}

func sealingKeyOf(k ci.SealingKey) sealingKey {
	return sealingKey{k.Backend, k.Name, k.State, stampOf(k.Created), k.Uses}
}

// keyring returns the chapter, or that there is none.
func (c *call) keyring() (Keyring, error) {
	if c.cfg.Chapters.Keyring == nil {
		return nil, refuse(http.StatusNotFound, "This installation has no keyring")
	}
	return c.cfg.Chapters.Keyring, nil
}

func (c *call) listSealingKeys() (any, error) {
	ring, err := c.keyring()
	if err != nil {
		return nil, err
	}
	keys, err := ring.SealingKeys(c.r.Context(), c.by)
	var items []sealingKey
	for _, k := range keys {
		items = append(items, sealingKeyOf(k))
	}
	return pageOf(items, nil), err
}

func (c *call) rotateKeys() (any, error) {
	ring, err := c.keyring()
	if err != nil {
		return nil, err
	}
	k, err := ring.RotateKeys(c.r.Context(), c.by)
	return sealingKeyOf(k), err
}
