package ldaplogin_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/auth/authtest"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/examples/ldaplogin"
)

func Example() {
	server := authtest.NewDirectory(authtest.ActiveDirectory)
	k, stop, err := authtest.Listen(server, ldap.LDAPS)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = stop() }()
	err = errors.Join(
		server.AddPerson(authtest.Person{Login: "ada", Password: "secret", Name: "Ada <Lovelace>"}),
		server.AddPerson(authtest.Person{Login: "bob", Password: "secret", Name: "Bob"}),
		server.AddGroup("Administrators", "ada"), server.Set("bob", authtest.Disabled))
	if err != nil {
		fmt.Println(err)
		return
	}
	settings := k.Settings()
	settings.Groups.Roles = []ldap.RoleOf{{Group: "Administrators", Role: "all"}}
	directory, err := ldap.New(settings, ldap.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer directory.Close()
	site := httptest.NewServer(ldaplogin.Handler(directory))
	defer site.Close()

	for _, who := range []url.Values{
		{"login": {`EXAMPLE\ada`}, "password": {"secret"}},
		{"login": {"ada"}, "password": {"guess"}},
		{"login": {"bob"}, "password": {"secret"}},
		{"login": {"nobody"}, "password": {""}},
	} {
		r, err := http.PostForm(site.URL, who)
		if err != nil {
			fmt.Println(err)
			return
		}
		text, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		fmt.Println(r.StatusCode, strings.Split(string(text), "\n")[1])
	}
	// Output:
	// 200 <p>Hello Ada &lt;Lovelace&gt;, you are in 2 groups and have the role all.</p>
	// 403 <p role=alert>the login or the password is wrong, or this account may not log in here</p>
	// 403 <p role=alert>the login or the password is wrong, or this account may not log in here</p>
	// 403 <p role=alert>the login or the password is wrong, or this account may not log in here</p>
}
