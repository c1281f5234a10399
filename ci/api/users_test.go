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
	return []ci.User{someone, old}, nil
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

// The eleven fields of the guide, for all time and for the last month.
func TestOPS05_Statistics(t *testing.T) {
	w := newWorld(t, func(c *api.Config) { c.Chapters.Users = folks{} })
	all := w.get("/rondo/users/statistics")["items"].([]any)
	require.Len(t, all, 2)
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
