package api

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// userLinkRoutes are the operations that bring users to a directory one by
// one, and to a new password.
func userLinkRoutes() []route {
	const one = "/rondo/users/{user_id}/identities"
	return []route{
		{
			method: "GET", path: "/rondo/users/matches", summary: "The users, and who of a directory may be the same person", tag: "Rondo",
			query:  []string{"directory: ldap"},
			status: 200, response: page[ci.Match]{}, serve: (*call).listMatches,
		}, {
			method: "POST", path: one, summary: "Let a user log in by a directory", tag: "Rondo",
			status: 200, request: userLink{}, response: account{}, serve: (*call).linkUser,
		}, {
			method: "DELETE", path: one, summary: "Let a user log in by a directory no longer", tag: "Rondo",
			query:  []string{"directory: ldap"},
			status: 200, response: message{}, serve: (*call).unlinkUser,
		}, {
			method: "POST", path: "/rondo/users/password-reset", summary: "Take a local password away, and get the link to a new one", tag: "Rondo",
			status: 200, request: passwordReset{}, response: passwordLink{}, serve: (*call).resetPassword,
		},
	}
}

// userLink names a person of a directory.
type userLink struct {
	Directory string `json:"directory"`
	Login     string `json:"login"`
}

// passwordReset names a local account; login "" is the only one.
type passwordReset struct {
	Login string `json:"login"`
}

// passwordLink is good once and for a day.
type passwordLink struct {
	URL string `json:"url"`
}

// linking returns the chapter, or that there is none.
func (c *call) linking() (UserLinks, error) {
	l, ok := c.cfg.Chapters.Users.(UserLinks)
	if !ok {
		return nil, absent("users to bring to a directory")
	}
	return l, nil
}

func (c *call) userID() string { return strings.ToLower(c.r.PathValue("user_id")) }

func (c *call) listMatches() (any, error) {
	l, err := c.linking()
	if err != nil {
		return nil, err
	}
	all, err := l.Matches(c.r.Context(), c.r.URL.Query().Get("directory"), c.by)
	return pageOf(all, nil), err
}

func (c *call) linkUser() (any, error) {
	l, err := c.linking()
	if err != nil {
		return nil, err
	}
	var req userLink
	if err := c.body(&req); err != nil {
		return nil, err
	}
	u, err := l.Link(c.r.Context(), c.userID(), req.Directory, req.Login, c.by)
	if err != nil {
		return nil, named(err, "User")
	}
	return accountOf(u), nil
}

func (c *call) unlinkUser() (any, error) {
	l, err := c.linking()
	if err != nil {
		return nil, err
	}
	if err := l.Unlink(c.r.Context(), c.userID(), c.r.URL.Query().Get("directory"), c.by); err != nil {
		return nil, named(err, "User")
	}
	return message{"The user logs in by the directory no longer."}, nil
}

func (c *call) resetPassword() (any, error) {
	p, ok := c.cfg.Chapters.Users.(Passwords)
	if !ok {
		return nil, absent("passwords")
	}
	var req passwordReset
	if err := c.body(&req); err != nil {
		return nil, err
	}
	token, err := p.ResetPassword(c.r.Context(), req.Login, c.by)
	if err != nil {
		if text, ok := strings.CutSuffix(err.Error(), ": "+ci.ErrNotFound.Error()); ok {
			return nil, refuse(http.StatusNotFound, text)
		}
		return nil, err
	}
	return passwordLink{c.cfg.URL + "/create-password?token=" + url.QueryEscape(token)}, nil
}
