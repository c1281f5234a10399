package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
)

// bookOf returns all events of an action.
func bookOf(s *server, action string) (all []bookEvent) {
	for next := ""; ; {
		var page struct {
			Items []bookEvent
			Next  string `json:"next_page_token"`
		}
		code, body := s.call("GET", "/api/v2/rondo/audit?limit=1000&action="+action+"&page-token="+next, "")
		require.Equal(s.t, 200, code, body)
		require.NoError(s.t, json.Unmarshal([]byte(body), &page))
		all = append(all, page.Items...)
		if next = page.Next; next == "" {
			return all
		}
	}
}

type bookEvent struct {
	ID      string
	Success bool
	Target  map[string]any
	Payload map[string]any
}

// TestP13_PeopleAndEvents kills the server at any time while people log in,
// make tokens, and have their roles and passwords changed: afterwards every
// login and token has its event, every event its act, and the last event of a
// role says what it is.
func TestP13_PeopleAndEvents(t *testing.T) {
	directory := authtest.NewDirectory(authtest.OpenLDAP)
	k := authtest.Start(t, directory, ldap.StartTLS)
	for i := range 5 {
		require.NoError(t, directory.AddPerson(authtest.Person{Login: fmt.Sprint("u", i), Name: fmt.Sprint("U", i), Password: "secret-there"}))
	}
	dir := serverDir(t)
	ca, search := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "search")
	require.NoError(t, os.WriteFile(ca, k.Settings().Network.CA, 0o600))
	require.NoError(t, os.WriteFile(search, []byte(authtest.SearchPassword), 0o600))
	s, data := team(t, fmt.Sprintf(`auth: {local: true}
ldap: {type: openldap, hostname: 127.0.0.1, port: %d, encryption: starttls, search_user: %q, search_password: "file:%s",
  base_dn: %q, user_search_dn: ou=people, username_field: uid, ca: %s, timeout: 5s}
`, k.Settings().Port, authtest.SearchUser, search, authtest.Base, ca))
	file, token := filepath.Join(filepath.Dir(data), "rondo.yml"), s.Token
	newVisitor(t, s).administrator()
	newVisitor(t, s).open(200, "/login", url.Values{"login": {"u0"}, "password": {"secret-there"}})
	_, body := s.call("GET", "/api/v2/rondo/users", "")
	var list struct{ Items []struct{ ID, Login string } }
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Len(t, list.Items, 2)
	require.Equal(t, "u0", list.Items[1].Login)
	resets, rounds := 0, 3 // resets that were answered
	for round := range rounds {
		var acts sync.WaitGroup
		acts.Go(func() { comeAndGo(s.URL, round) })
		acts.Go(func() {
			for i := 0; say(s.URL, token, "/users/"+list.Items[1].ID, fmt.Sprintf(`{"role":%q}`, []string{"auditor", "operator"}[i%2])); i++ {
				continue
			}
		})
		acts.Go(func() {
			for say(s.URL, token, "/users/password-reset", `{"login":"root"}`) {
				resets++
			}
		})
		time.Sleep(time.Duration(200+90*round) * time.Millisecond) // when the kill comes, not what is proved
		s.kill()
		acts.Wait()
		s = start(t, program(t, "serve", "--json", "--config", file))
		s.Token = token
	}
	require.True(t, say(s.URL, token, "/users/settings", `{"suspend_new":false}`))
	s.eventually("all before it are numbered", func() bool { return len(bookOf(s, "rondo.user.settings_change")) == 1 })
	created, logins := bookOf(s, "user.create"), bookOf(s, "user.logged_in")
	made, roles, reset := bookOf(s, "rondo.personal_token.create"), bookOf(s, "rondo.user.role_change"), bookOf(s, "rondo.user.password_reset")
	var users struct {
		Items []struct{ ID, Login, Role string }
	}
	_, body = s.call("GET", "/api/v2/rondo/users", "")
	require.NoError(t, json.Unmarshal([]byte(body), &users))
	require.Equal(t, 0, s.stop(), s.errors())

	db, err := sqldb.Open(t.Context(), filepath.Join(data, "rondo.db"), sqldb.Config{})
	require.NoError(t, err)
	defer db.Close()
	people, signIns := 0, 0
	for d, err := range db.Docs(t.Context(), ci.DocQuery{Kind: "user", AllScopes: true}) {
		require.NoError(t, err)
		var u ci.User
		require.NoError(t, json.Unmarshal(d.Body, &u))
		people, signIns = people+1, signIns+u.SignIns
	}
	tokens, err := ci.CountDocs(db.Docs(t.Context(), ci.DocQuery{Kind: "personal-token", AllScopes: true}))
	require.NoError(t, err)
	t.Logf("%d users, %d logins, %d tokens, %d changes of a role, %d resets", people, signIns, tokens, len(roles), len(reset))
	require.Equal(t, people, len(created), "every user has an event, every event a user")
	require.Equal(t, signIns, len(created)+len(logins), "the first login is the creation")
	require.Equal(t, tokens, len(made))
	require.NotEmpty(t, roles)
	require.GreaterOrEqual(t, len(reset), resets)
	require.LessOrEqual(t, len(reset), resets+rounds, "what was done and not answered: one at each kill")
	for _, u := range users.Items {
		if u.Login == "u0" {
			text, err := json.Marshal(roles[0])
			require.NoError(t, err)
			require.Contains(t, string(text), `"`+u.Role+`"`, "the newest event")
		}
	}
}

// say posts to the API as the operator; false is the end of the server.
func say(server, token, path, body string) bool {
	r, err := http.NewRequest("POST", server+"/api/v2/rondo"+path, strings.NewReader(body))
	if err != nil {
		return false
	}
	r.Header.Set("Circle-Token", token)
	r.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, err = io.ReadAll(res.Body)
	return err == nil && res.StatusCode == 200
}

// comeAndGo logs people in, each of whom makes a token, until the server ends.
func comeAndGo(server string, round int) {
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for i := 0; ; i++ {
		res, err := stay.PostForm(server+"/login", url.Values{"login": {fmt.Sprint("u", i%5)}, "password": {"secret-there"}})
		if err != nil {
			return
		}
		_ = res.Body.Close()
		r, err := http.NewRequest("POST", server+"/account", strings.NewReader(url.Values{"do": {"create"}, "label": {fmt.Sprint("t-", round, "-", i)}}.Encode()))
		if err != nil {
			return
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for _, c := range res.Cookies() {
			r.AddCookie(c)
		}
		if res, err = stay.Do(r); err != nil {
			return
		}
		_ = res.Body.Close()
	}
}
