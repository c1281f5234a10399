package api

import (
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// A variable1 is a [ci.Variable] on the wire of v1.1; in a request the value is
// the real one.
type variable1 struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// variable1Of returns what v2 answers in the form of v1.1.
func variable1Of(v any, err error) (any, error) {
	one, _ := v.(projectVariable)
	return variable1{one.Name, one.Value}, err
}

func (c *call) variables1() (any, error) {
	all, err := c.projectVariables()
	out := make([]variable1, 0, len(all))
	for _, one := range all {
		out = append(out, variable1{one.Name, one.Masked})
	}
	return out, err
}

func (c *call) setVariable1() (any, error) { return variable1Of(c.setProjectVariable()) }

func (c *call) variable1() (any, error) { return variable1Of(c.getProjectVariable()) }

func (c *call) deleteVariable1() (any, error) {
	_, err := c.deleteProjectVariable()
	return message{"ok"}, err
}

// A key1 is a checkout key on the wire of v1.1.
type key1 struct {
	Public      string  `json:"public_key"`
	Type        string  `json:"type"`
	Fingerprint string  `json:"fingerprint"`
	Preferred   bool    `json:"preferred"`
	Time        stamp   `json:"time"`
	Login       *string `json:"login"`
}

func (c *call) key1Of(k ci.Key) key1 {
	wire := c.checkoutKeyOf(k)
	out := key1{Public: wire.Public, Type: wire.Type, Fingerprint: wire.Fingerprint, Preferred: wire.Preferred, Time: wire.Created}
	if k.Login != "" {
		out.Login = &k.Login
	}
	return out
}

// keys1 lists checkout keys; those that people gave are among the settings.
func (c *call) keys1() (any, error) {
	_, all, err := c.checkoutKeys(false)
	out := make([]key1, 0, len(all))
	for _, one := range all {
		out = append(out, c.key1Of(one))
	}
	return out, err
}

func (c *call) createKey1() (any, error) {
	v, err := c.createKey()
	wire, _ := v.(checkoutKey)
	return key1{Public: wire.Public, Type: wire.Type, Fingerprint: wire.Fingerprint, Preferred: wire.Preferred, Time: wire.Created}, err
}

func (c *call) key1() (any, error) {
	_, k, err := c.checkoutKey(false)
	return c.key1Of(k), err
}

func (c *call) deleteKey1() (any, error) {
	_, err := c.deleteKey()
	return message{"ok"}, err
}

// An sshKey1 is a key that people give or take away.
type sshKey1 struct {
	Host        string `json:"hostname"`
	Private     string `json:"private_key,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

// sshKey reads the project of the address and the key of the request.
func (c *call) sshKey() (p ci.Project, req sshKey1, err error) {
	p, err = c.project(true)
	if err == nil && c.cfg.Chapters.Keys == nil {
		err = absent("keys")
	}
	if err == nil {
		err = c.body(&req)
	}
	return p, req, err
}

func (c *call) addSSHKey1() (any, error) {
	p, req, err := c.sshKey()
	if err == nil && req.Private == "" {
		err = missing("private_key")
	}
	if err != nil {
		return nil, err
	}
	_, err = c.cfg.Chapters.Keys.AddKey(c.r.Context(), p.ID, req.Host, req.Private, c.by)
	return message{"ok"}, err
}

func (c *call) deleteSSHKey1() (any, error) {
	p, req, err := c.sshKey()
	if err == nil && req.Fingerprint == "" {
		err = missing("fingerprint")
	}
	if err != nil {
		return nil, err
	}
	all, err := c.cfg.Chapters.Keys.Keys(c.r.Context(), p.ID)
	for _, k := range all {
		if k.Kind == ci.KeyAdditional && sameFingerprint(req.Fingerprint, k) && (req.Host == "" || req.Host == k.Host) {
			return message{"ok"}, named(c.cfg.Chapters.Keys.DeleteKey(c.r.Context(), p.ID, k.SHA256, c.by), "Key")
		}
	}
	if err == nil {
		err = refuse(http.StatusNotFound, "Key not found")
	}
	return nil, err
}
