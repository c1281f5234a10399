package api

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// An orbPrefix lets the configurations of an organisation name orbs by
// addresses that begin with it. What is kept of it, for whoever loads orbs, is
// the document "url-orb-prefix" in the scope of the organisation's identity.
type orbPrefix struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Prefix string `json:"prefix"`
	Auth   string `json:"auth"`
}

// An orbPrefixRequest is one as people write it.
type orbPrefixRequest struct {
	Name   string `json:"name"`
	Prefix string `json:"prefix"`
	Auth   string `json:"auth,omitempty"`
}

func orbPrefixOf(k kept[orbPrefixRequest]) orbPrefix {
	return orbPrefix{ID: k.ID, Name: k.is.Name, Prefix: k.is.Prefix, Auth: k.is.Auth}
}

func (c *call) listOrbPrefixes() (any, error) {
	org, err := c.org(false)
	if err != nil {
		return nil, err
	}
	all, err := readDocs[orbPrefixRequest](c, docOrbPrefix, orgID(org))
	if err != nil {
		return nil, err
	}
	return keyed(c, all, func(k kept[orbPrefixRequest]) string { return k.Name }, orbPrefixOf)
}

func (c *call) addOrbPrefix() (any, error) {
	org, err := c.org(true)
	if err != nil {
		return nil, err
	}
	var req orbPrefixRequest
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Auth == "" {
		req.Auth = "none"
	}
	u, bad := url.Parse(req.Prefix)
	switch {
	case strings.TrimSpace(req.Name) == "" || len(req.Name) > 200:
		return nil, refuse(http.StatusBadRequest, "name is required, with at most 200 bytes.")
	case bad != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		!strings.HasSuffix(u.Path, "/") || strings.Contains(u.Path, "..") || len(req.Prefix) > 2000:
		// Without the slash, https://host would allow https://host.example, too.
		return nil, refuse(http.StatusBadRequest, "prefix must be an https address that ends with a slash.")
	case req.Auth != "none":
		return nil, refuse(http.StatusBadRequest, "auth must be none; this server fetches orbs without an account.")
	}
	k := kept[orbPrefixRequest]{Doc: ci.Doc{Kind: docOrbPrefix, ID: ci.NewID(), Scope: orgID(org), Name: req.Name}, is: req}
	err = k.write(c)
	if errors.Is(err, ci.ErrConflict) {
		return nil, refuse(http.StatusConflict, "An entry of that name already exists.")
	}
	if err != nil {
		return nil, err
	}
	return orbPrefixOf(k), nil
}

func (c *call) removeOrbPrefix() (any, error) {
	org, err := c.org(true)
	if err != nil {
		return nil, err
	}
	k, err := readDoc[orbPrefixRequest](c, docOrbPrefix, orgID(org), strings.ToLower(c.r.PathValue("allow_list_entry_id")))
	if err == nil {
		err = k.remove(c)
	}
	if err != nil {
		return nil, named(err, "Entry")
	}
	return message{"URL orb allow-list entry deleted."}, nil
}
