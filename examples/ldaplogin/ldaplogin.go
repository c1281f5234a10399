// Package ldaplogin shows how a program of one's own lets people in with the
// logins of a directory: a form, and a handler over an [auth.Provider].
package ldaplogin

import (
	"errors"
	"html/template"
	"net/http"

	"github.com/rondo-ci/rondo/auth"
	"github.com/rondo-ci/rondo/auth/ldap"
	"github.com/rondo-ci/rondo/ci"
)

var page = template.Must(template.New("").Parse(`<!doctype html><title>Log in</title>
{{with .Who}}<p>Hello {{or .Name .Login}}, you are in {{len .Groups}} groups{{with .Role}} and have the role {{.}}{{end}}.</p>
{{else}}{{with .Said}}<p role=alert>{{.}}</p>{{end}}
<form method=post><label>Login <input name=login autocomplete=username></label>
<label>Password <input name=password type=password autocomplete=current-password></label><button>Log in</button></form>{{end}}
`))

// Handler shows a form to log in with and says who came in. A real program
// begins a session there, limits how often one may guess, and gives Observe or
// a log the error: it says why, and the person must not see it.
func Handler(p auth.Provider) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var view struct {
			Who  *auth.Identity
			Said string
		}
		status := http.StatusOK
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
			who, err := p.Login(r.Context(), r.PostFormValue("login"), r.PostFormValue("password"))
			switch {
			case err == nil:
				view.Who = &who
			case errors.Is(err, ci.ErrDenied):
				status, view.Said = http.StatusForbidden, ldap.Refused
			default:
				status, view.Said = http.StatusServiceUnavailable, "the directory can't be asked at the moment"
			}
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_ = page.Execute(w, view) // the client has gone
	})
}
