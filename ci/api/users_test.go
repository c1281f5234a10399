package api_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api"
)

// folks are users of whom there is always one.
type folks struct{}

var someone = ci.User{
	ID: "none", Login: "ada", Name: "Ada", Emails: []string{"ada@example.com"}, Role: "all", Logins: map[string]string{"github": "ada"}, SignIns: 2,
	Current: ci.SignIn{At: time.Now(), Address: "192.0.2.1"}, Last: ci.SignIn{At: time.Now().AddDate(0, -2, 0), Address: "192.0.2.2"},
}

func (folks) Users(context.Context, ci.Actor) ([]ci.User, error) {
	old := ci.User{ID: "2", Login: "bob", Current: ci.SignIn{At: time.Now().AddDate(0, -2, 0)}, SignIns: 1}
	return []ci.User{someone, old, {ID: "3", Login: "cyd"}, {ID: "4"}}, nil
}

func (folks) SetRole(_ context.Context, id, role string, _ ci.Actor) (ci.User, error) {
	u := someone
	if u.Role = role; id != u.ID {
		return u, fmt.Errorf("user: %w", ci.ErrNotFound)
	}
	return u, nil
}

func (folks) Suspend(context.Context, string, bool, ci.Actor) (ci.User, error) {
	return ci.User{}, fmt.Errorf("ada is the last administrator: %w", ci.ErrConflict)
}

func (folks) DeleteUser(_ context.Context, login, forge string, _ ci.Actor) error {
	if login != "ada" || forge != "github" {
		return ci.ErrNotFound
	}
	return nil
}

func (folks) SetSuspendNew(context.Context, bool, ci.Actor) error { return nil }

func (folks) Sessions(context.Context, string, ci.Actor) ([]ci.Session, error) {
	return []ci.Session{{ID: "s", User: "none"}}, nil
}

func (folks) Preview(_ context.Context, _, rule string, _ ci.Actor) ([]ci.Joining, error) {
	if rule == "" {
		return nil, fmt.Errorf("by email or login: %w", ci.ErrInvalid)
	}
	return []ci.Joining{{User: someone, Key: someone.Emails}}, nil
}

func (folks) Join(context.Context, string, string, ci.Actor) error { return nil }

func (folks) EndSessions(context.Context, string, ci.Actor) error { return nil }

func (folks) Matches(context.Context, string, ci.Actor) ([]ci.Match, error) {
	return []ci.Match{{User: someone, Found: []string{"alovelace"}, By: "email"}}, nil
}

func (folks) Link(_ context.Context, _, _, login string, _ ci.Actor) (ci.User, error) {
	if login == "taken" {
		return ci.User{}, fmt.Errorf("taken belongs to another user: %w", ci.ErrConflict)
	}
	return someone, nil
}

func (folks) Unlink(context.Context, string, string, ci.Actor) error { return nil }

func (folks) ResetPassword(_ context.Context, login string, _ ci.Actor) (string, error) {
	if login == "nobody" {
		return "", fmt.Errorf("nobody is none of the accounts: %w", ci.ErrNotFound)
	}
	return "rondo_reset_x", nil
}

// OPS-07, LDP-13: a reset gives a link, and users are brought to a directory.
func TestOPS07_LinksByAPI(t *testing.T) {
	w := newWorld(t, func(c *api.Config) { c.Chapters.Users = folks{} })
	r := w.call("POST", "/api/v2/rondo/users/password-reset", `{"login":"root"}`)
	require.Equal(t, 200, r.StatusCode)
	require.Regexp(t, `^http://.*/create-password\?token=rondo_reset_x$`, w.decode(r)["url"])
	r = w.call("POST", "/api/v2/rondo/users/password-reset", `{"login":"nobody"}`)
	require.Equal(t, 404, r.StatusCode)
	require.Equal(t, "nobody is none of the accounts", w.decode(r)["message"])
	one := w.get("/rondo/users/matches?directory=ldap")["items"].([]any)[0].(map[string]any)
	require.Equal(t, []any{"alovelace"}, one["found"])
	require.Equal(t, 409, w.call("POST", "/api/v2/rondo/users/none/identities", `{"directory":"ldap","login":"taken"}`).StatusCode)
	require.Equal(t, 200, w.call("POST", "/api/v2/rondo/users/none/identities", `{"directory":"ldap","login":"alovelace"}`).StatusCode)
	require.Equal(t, 200, w.call("DELETE", "/api/v2/rondo/users/none/identities?directory=ldap", "").StatusCode)
}

// The eleven fields of the guide, for all time and for the last month.
func TestOPS05_Statistics(t *testing.T) {
	w := newWorld(t, func(c *api.Config) { c.Chapters.Users = folks{} })
	all := w.get("/rondo/users/statistics")["items"].([]any)
	require.Len(t, all, 3)
	month := w.get("/rondo/users/statistics?since=month")["items"].([]any)
	require.Len(t, month, 1)
	one := month[0].(map[string]any)
	var names []string
	for name := range one {
		names = append(names, name)
	}
	require.ElementsMatch(t, strings.Fields(`name login emails admin dev_admin activated sign_in_count
		current_sign_in_at current_sign_in_ip last_sign_in_at last_sign_in_ip`), names)
	require.Equal(t, "all", one["admin"])
	require.Equal(t, "192.0.2.1", one["current_sign_in_ip"])
	require.Equal(t, "192.0.2.2", one["last_sign_in_ip"])
}

func TestOPS03_UsersByAPI(t *testing.T) {
	w := newWorld(t, func(c *api.Config) { c.Chapters.Users = folks{} })
	require.Equal(t, 404, w.call("DELETE", "/api/v2/rondo/users?login=ada&forge=ldap", "").StatusCode)
	require.Equal(t, 400, w.call("DELETE", "/api/v2/rondo/users?login=ada", "").StatusCode)
	require.Equal(t, 200, w.call("DELETE", "/api/v2/rondo/users?login=ada&forge=github", "").StatusCode)
	r := w.call("POST", "/api/v2/rondo/users/none", `{"role":"write-settings"}`)
	require.Equal(t, 200, r.StatusCode)
	require.Equal(t, "write-settings", w.decode(r)["role"])
	require.Equal(t, 409, w.call("POST", "/api/v2/rondo/users/none", `{"suspended":true}`).StatusCode)
	require.Equal(t, 400, w.call("POST", "/api/v2/rondo/users/none", `{}`).StatusCode)
	require.Equal(t, 404, w.call("POST", "/api/v2/rondo/users/other", `{"role":""}`).StatusCode)
}

// OPS-02: all users with a login, those who have logged in, those with a role.
func TestOPS02_Users(t *testing.T) {
	w := newWorld(t, func(c *api.Config) { c.Chapters.Users = folks{} })
	for query, want := range map[string]string{"": "ada bob cyd", "?signed-in=true": "ada bob", "?role=all": "ada", "?role=": "bob cyd", "?role=auditor": ""} {
		var logins []string
		for _, u := range w.get("/rondo/users" + query)["items"].([]any) {
			logins = append(logins, u.(map[string]any)["login"].(string))
		}
		require.Equal(t, want, strings.Join(logins, " "), query)
	}
}
