package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// userRoutes are the operations on the people who may use the installation.
func userRoutes() []route {
	const one = "/rondo/users/{user_id}"
	return []route{
		{
			method: "GET", path: "/rondo/users", summary: "The users of the installation, by login", tag: "Rondo",
			query:  []string{"signed-in: true for those only who have logged in", "role: only those with it"},
			status: 200, response: page[account]{}, serve: (*call).listUsers,
		}, {
			method: "DELETE", path: "/rondo/users", summary: "Delete the user of a login at a forge or directory", tag: "Rondo",
			query:  []string{"login: of the user", "forge: github, ldap or local; the same login elsewhere is another person"},
			status: 200, response: message{}, serve: (*call).deleteUser,
		}, {
			method: "POST", path: "/rondo/users/settings", summary: "Say whether new users wait for an administrator", tag: "Rondo",
			status: 200, request: userSettings{}, response: userSettings{}, serve: (*call).changeUserSettings,
		}, {
			method: "GET", path: "/rondo/users/statistics", summary: "When users have logged in, and from where", tag: "Rondo",
			query:  []string{"since: all (if absent), or month for who has logged in during the last one"},
			status: 200, response: page[userStatistics]{}, serve: (*call).userStatistics,
		}, {
			method: "GET", path: "/rondo/users/migration", summary: "What would become of the users if people of a new directory were recognised as them", tag: "Rondo",
			query:  []string{"directory: ldap", "by: email or login"},
			status: 200, response: page[joining]{}, serve: (*call).previewMigration,
		}, {
			method: "POST", path: "/rondo/users/migration", summary: "Recognise people of a new directory as users at their first login", tag: "Rondo",
			status: 200, request: migration{}, response: migration{}, serve: (*call).migrate,
		}, {
			method: "POST", path: one, summary: "Change the role of a user, or suspend one", tag: "Rondo",
			status: 200, request: userChange{}, response: account{}, serve: (*call).changeUser,
		}, {
			method: "GET", path: one + "/sessions", summary: "Where a user is logged in", tag: "Rondo",
			status: 200, response: page[ci.Session]{}, serve: (*call).listSessions,
		}, {
			method: "DELETE", path: one + "/sessions", summary: "Log a user out everywhere", tag: "Rondo",
			status: 200, response: message{}, serve: (*call).endSessions,
		},
	}
}

// An account is a [ci.User] on the wire.
type account struct {
	ID        string            `json:"id"`
	Login     string            `json:"login"`
	Name      string            `json:"name"`
	Emails    []string          `json:"emails"`
	Role      string            `json:"role"`
	Suspended string            `json:"suspended"`
	Logins    map[string]string `json:"logins"`
	Created   stamp             `json:"created_at"`
}

func accountOf(u ci.User) account {
	a := account{u.ID, u.Login, u.Name, u.Emails, u.Role, u.Suspended, u.Logins, stampOf(u.Created)}
	if a.Emails == nil {
		a.Emails = []string{}
	}
	return a
}

// userStatistics has the fields of the guide. Nobody is a dev_admin: that is a
// role of who runs the hosted product.
type userStatistics struct {
	Name      string   `json:"name"`
	Login     string   `json:"login"`
	Emails    []string `json:"emails"`
	Admin     string   `json:"admin"`
	DevAdmin  bool     `json:"dev_admin"`
	Activated bool     `json:"activated"`
	SignIns   int      `json:"sign_in_count"`
	CurrentAt stamp    `json:"current_sign_in_at"`
	CurrentIP string   `json:"current_sign_in_ip"`
	LastAt    stamp    `json:"last_sign_in_at"`
	LastIP    string   `json:"last_sign_in_ip"`
}

type userSettings struct {
	SuspendNew bool `json:"suspend_new"`
}

// userChange changes what is there of it.
type userChange struct {
	Role      *string `json:"role,omitempty"`
	Suspended *bool   `json:"suspended,omitempty"`
}

// A joining is a [ci.Joining] on the wire.
type joining struct {
	Login   string   `json:"login"`
	Key     []string `json:"key"`
	Problem string   `json:"problem"`
}

type migration struct {
	Directory string `json:"directory"`
	By        string `json:"by"` // email, login, or "" for no longer
}

// migration returns the chapter, or that there is none.
func (c *call) migration() (Migration, error) {
	m, ok := c.cfg.Chapters.Users.(Migration)
	if !ok {
		return nil, absent("users to bring to a directory")
	}
	return m, nil
}

func (c *call) previewMigration() (any, error) {
	m, err := c.migration()
	if err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	all, err := m.Preview(c.r.Context(), q.Get("directory"), q.Get("by"), c.by)
	var items []joining
	for _, j := range all {
		items = append(items, joining{j.User.Login, append([]string{}, j.Key...), j.Problem})
	}
	return pageOf(items, nil), err
}

func (c *call) migrate() (any, error) {
	m, err := c.migration()
	if err != nil {
		return nil, err
	}
	var req migration
	if err := c.body(&req); err != nil {
		return nil, err
	}
	return req, m.Join(c.r.Context(), req.Directory, req.By, c.by)
}

// users returns the chapter, or that there is none.
func (c *call) users() (Users, error) {
	if c.cfg.Chapters.Users == nil {
		return nil, absent("users: whoever has its token is its one user")
	}
	return c.cfg.Chapters.Users, nil
}

func (c *call) listUsers() (any, error) {
	users, err := c.users()
	if err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	all, err := users.Users(c.r.Context(), c.by)
	var items []account
	for _, u := range all {
		if u.Login == "" || q.Get("signed-in") == "true" && u.SignIns == 0 || q.Has("role") && u.Role != q.Get("role") {
			continue
		}
		items = append(items, accountOf(u))
	}
	return pageOf(items, nil), err
}

func (c *call) userStatistics() (any, error) {
	users, err := c.users()
	if err != nil {
		return nil, err
	}
	var after time.Time
	switch since := c.r.URL.Query().Get("since"); since {
	case "", "all":
	case "month":
		after = time.Now().AddDate(0, -1, 0)
	default:
		return nil, refuse(http.StatusBadRequest, "since is all or month")
	}
	all, err := users.Users(c.r.Context(), c.by)
	var items []userStatistics
	for _, u := range all {
		if u.Login == "" || u.Current.At.Before(after) {
			continue
		}
		items = append(items, userStatistics{
			u.Name, u.Login, accountOf(u).Emails, u.Role, false, u.Suspended == "", u.SignIns,
			stampOf(u.Current.At), u.Current.Address, stampOf(u.Last.At), u.Last.Address,
		})
	}
	return pageOf(items, nil), err
}

func (c *call) deleteUser() (any, error) {
	users, err := c.users()
	if err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	if q.Get("login") == "" || q.Get("forge") == "" {
		return nil, refuse(http.StatusBadRequest, "Say whom to delete by login and forge")
	}
	if err := users.DeleteUser(c.r.Context(), q.Get("login"), q.Get("forge"), c.by); err != nil {
		return nil, named(err, "User")
	}
	return message{"The user is deleted."}, nil
}

func (c *call) changeUserSettings() (any, error) {
	users, err := c.users()
	if err != nil {
		return nil, err
	}
	var req userSettings
	if err := c.body(&req); err != nil {
		return nil, err
	}
	return req, users.SetSuspendNew(c.r.Context(), req.SuspendNew, c.by)
}

func (c *call) changeUser() (any, error) {
	users, err := c.users()
	if err != nil {
		return nil, err
	}
	var req userChange
	if err := c.body(&req); err != nil {
		return nil, err
	}
	if req.Role == nil && req.Suspended == nil {
		return nil, refuse(http.StatusBadRequest, "Say what to change: role or suspended")
	}
	var u ci.User
	id := strings.ToLower(c.r.PathValue("user_id"))
	if req.Role != nil {
		u, err = users.SetRole(c.r.Context(), id, *req.Role, c.by)
	}
	if err == nil && req.Suspended != nil {
		u, err = users.Suspend(c.r.Context(), id, *req.Suspended, c.by)
	}
	if err != nil {
		return nil, named(err, "User")
	}
	return accountOf(u), nil
}

func (c *call) listSessions() (any, error) {
	users, err := c.users()
	if err != nil {
		return nil, err
	}
	all, err := users.Sessions(c.r.Context(), strings.ToLower(c.r.PathValue("user_id")), c.by)
	if err != nil {
		return nil, named(err, "User")
	}
	return pageOf(all, nil), nil
}

func (c *call) endSessions() (any, error) {
	users, err := c.users()
	if err != nil {
		return nil, err
	}
	if err := users.EndSessions(c.r.Context(), strings.ToLower(c.r.PathValue("user_id")), c.by); err != nil {
		return nil, named(err, "User")
	}
	return message{"The user is logged out everywhere."}, nil
}

// maySettings says whether the caller may change the settings from before to
// after: what lets strangers' code at secrets, and who may change settings,
// takes an administrator of the project, and with AdminSettings the rest, too.
func (c *call) maySettings(p ci.Project, before, after ci.Settings) error {
	guarded := before.AdminSettings || after.AdminSettings || before.BuildForks != after.BuildForks || before.ForkSecrets != after.ForkSecrets
	switch {
	case !guarded:
		return nil
	case c.cfg.Chapters.MaySettings == nil:
		return c.mayOrg(p.OrgSlug(), true)
	}
	return c.cfg.Chapters.MaySettings(c.r.Context(), c.by, p)
}
