package api

import (
	"cmp"
	"fmt"
	"net/http"

	"github.com/rondo-ci/rondo/ci"
)

// without is the answer of a chapter that is not there.
func without(what string) error {
	return refuse(http.StatusNotFound, "This installation has no "+what+".")
}

// A variable1 is a [ci.Variable] on the wire of v1.1; in a request the value is
// the real one.
type variable1 struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// withVariables returns the project and the chapter of its variables.
func (c *call) withVariables(write bool) (ci.Holder, Variables, error) {
	p, err := c.project(write)
	if err == nil && c.cfg.Chapters.Variables == nil {
		err = without("variables")
	}
	return ci.Holder{Project: p.ID}, c.cfg.Chapters.Variables, err
}

func (c *call) variables1() (any, error) {
	of, v, err := c.withVariables(false)
	if err != nil {
		return nil, err
	}
	all, err := v.Variables(c.r.Context(), of)
	out := make([]variable1, 0, len(all))
	for _, one := range all {
		out = append(out, variable1{one.Name, one.Masked})
	}
	return out, err
}

func (c *call) setVariable1() (any, error) {
	of, v, err := c.withVariables(true)
	if err != nil {
		return nil, err
	}
	var req variable1
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Name == "" {
		return nil, refuse(http.StatusBadRequest, "A variable needs a name.")
	}
	one, err := v.SetVariable(c.r.Context(), of, req.Name, req.Value, c.by)
	return variable1{one.Name, one.Masked}, err
}

func (c *call) variable1() (any, error) {
	of, v, err := c.withVariables(false)
	if err != nil {
		return nil, err
	}
	all, err := v.Variables(c.r.Context(), of)
	for _, one := range all {
		if one.Name == c.r.PathValue("name") {
			return variable1{one.Name, one.Masked}, nil
		}
	}
	return nil, cmp.Or(err, named(ci.ErrNotFound, "Environment variable"))
}

func (c *call) deleteVariable1() (any, error) {
	of, v, err := c.withVariables(true)
	if err != nil {
		return nil, err
	}
	err = v.DeleteVariable(c.r.Context(), of, c.r.PathValue("name"), c.by)
	return message{"ok"}, named(err, "Environment variable")
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

type keyRequest1 struct {
	Type string `json:"type"`
}

// key1Of shows a key with the form of fingerprint that the query asks for.
func (c *call) key1Of(k ci.Key) key1 {
	out := key1{Public: k.Public, Type: string(k.Kind), Fingerprint: k.MD5, Preferred: k.Preferred, Time: stampOf(k.Created)}
	if c.r.URL.Query().Get("digest") == "sha256" {
		out.Fingerprint = k.SHA256
	}
	if k.Login != "" {
		out.Login = &k.Login
	}
	return out
}

// withKeys returns the project and the chapter of its keys.
func (c *call) withKeys(write bool) (ci.ProjectID, Keys, error) {
	p, err := c.project(write)
	if err == nil && c.cfg.Chapters.Keys == nil {
		err = without("SSH keys")
	}
	return p.ID, c.cfg.Chapters.Keys, err
}

// keys1 lists checkout keys; those that people gave are among the settings.
func (c *call) keys1() (any, error) {
	p, k, err := c.withKeys(false)
	if err != nil {
		return nil, err
	}
	all, err := k.Keys(c.r.Context(), p)
	out := make([]key1, 0, len(all))
	for _, one := range all {
		if one.Kind != ci.KeyAdditional {
			out = append(out, c.key1Of(one))
		}
	}
	return out, err
}

func (c *call) createKey1() (any, error) {
	p, k, err := c.withKeys(true)
	if err != nil {
		return nil, err
	}
	var req keyRequest1
	if err := c.body(&req); err != nil {
		return nil, err
	}
	kind := ci.KeyKind(req.Type)
	if req.Type == "user-key" {
		kind = ci.KeyUser
	}
	if kind != ci.KeyDeploy && kind != ci.KeyUser {
		return nil, refuse(http.StatusBadRequest, fmt.Sprintf("type must be deploy-key or github-user-key, not %.50q.", req.Type))
	}
	one, err := k.CreateKey(c.r.Context(), p, kind, c.by)
	return c.key1Of(one), err
}

// findKey returns the key with the fingerprint, in either form.
func (c *call) findKey(p ci.ProjectID, k Keys, fingerprint string, additional bool) (ci.Key, error) {
	all, err := k.Keys(c.r.Context(), p)
	for _, one := range all {
		if fingerprint != "" && (one.MD5 == fingerprint || one.SHA256 == fingerprint) && additional == (one.Kind == ci.KeyAdditional) {
			return one, nil
		}
	}
	return ci.Key{}, cmp.Or(err, named(ci.ErrNotFound, "Key"))
}

func (c *call) key1() (any, error) {
	p, k, err := c.withKeys(false)
	if err != nil {
		return nil, err
	}
	one, err := c.findKey(p, k, c.r.PathValue("fingerprint"), false)
	return c.key1Of(one), err
}

func (c *call) deleteKey1() (any, error) {
	p, k, err := c.withKeys(true)
	if err != nil {
		return nil, err
	}
	one, err := c.findKey(p, k, c.r.PathValue("fingerprint"), false)
	if err != nil {
		return nil, err
	}
	return message{"ok"}, named(k.DeleteKey(c.r.Context(), p, one.MD5, c.by), "Key")
}

// An sshKey1 is a key that people give or take away.
type sshKey1 struct {
	Host        string `json:"hostname"`
	Private     string `json:"private_key,omitempty"`
	Fingerprint string `json:"fingerprint,omitempty"`
}

func (c *call) addSSHKey1() (any, error) {
	p, k, err := c.withKeys(true)
	if err != nil {
		return nil, err
	}
	var req sshKey1
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Private == "" {
		return nil, refuse(http.StatusBadRequest, "private_key is missing.")
	}
	_, err = k.AddKey(c.r.Context(), p, req.Host, req.Private, c.by)
	return message{"ok"}, err
}

func (c *call) deleteSSHKey1() (any, error) {
	p, k, err := c.withKeys(true)
	if err != nil {
		return nil, err
	}
	var req sshKey1
	if err := c.body(&req); err != nil {
		return nil, err
	}
	one, err := c.findKey(p, k, req.Fingerprint, true)
	if err != nil {
		return nil, err
	}
	return message{"ok"}, named(k.DeleteKey(c.r.Context(), p, one.MD5, c.by), "Key")
}
