package auth

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// doneText is what the page of accounts says has been done, by the word in its
// address.
var doneText = map[string]string{"password": "The password is changed. All other browsers are logged out."}

// showCreate takes the token of a link to a new password out of the address.
func (d *Door) showCreate(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	if token == "" {
		token = d.Value(r, resetCookie) // the page was loaded anew
	}
	login, err := d.users.Reset(r.Context(), token)
	if err != nil {
		d.Answer(w, r, err)
		return
	}
	http.SetCookie(w, d.Cookie(resetCookie, token, time.Hour))
	d.show(w, r, http.StatusOK, "create", doorPage{Title: "A new password", Login: login})
}

// create sets the password, which uses the link up.
func (d *Door) create(w http.ResponseWriter, r *http.Request) {
	token := d.Value(r, resetCookie)
	login, err := d.users.Reset(r.Context(), token)
	if err == nil {
		err = r.ParseForm()
	}
	if err != nil {
		d.Answer(w, r, err)
		return
	}
	p := doorPage{Title: "A new password", Login: login}
	if r.PostForm.Get("password") != r.PostForm.Get("again") {
		p.Problem = differ
		d.show(w, r, http.StatusBadRequest, "create", p)
		return
	}
	secret, err := d.users.CreatePassword(r.Context(), token, r.PostForm.Get("password"), d.visit(r))
	if errors.Is(err, ci.ErrInvalid) {
		p.Problem = err.Error() + "."
		d.show(w, r, http.StatusBadRequest, "create", p)
		return
	}
	if err != nil {
		d.Answer(w, r, err)
		return
	}
	http.SetCookie(w, d.Cookie(resetCookie, "", -time.Second))
	d.entered(w, r, ci.User{}, secret, "/accounts?done=password", nil)
}

const differ = "The two new passwords are not the same."

// showPassword serves the form with which somebody changes a local password.
func (d *Door) showPassword(w http.ResponseWriter, r *http.Request) {
	d.passwordPage(w, r, http.StatusOK, "")
}

func (d *Door) passwordPage(w http.ResponseWriter, r *http.Request, code int, problem string) {
	u, err := d.User(r)
	if err != nil {
		redirect(w, "/login?to="+url.QueryEscape("/password"))
		return
	}
	if u.Logins[LocalProvider] == "" {
		d.Problem(w, r, http.StatusNotFound, "You have no password on this server: you log in elsewhere, and change it there.")
		return
	}
	d.show(w, r, code, "password", doorPage{Title: "Your password", Login: u.Logins[LocalProvider], Problem: problem})
}

// password changes a local password.
func (d *Door) password(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		d.Problem(w, r, http.StatusBadRequest, "This is no form of this page.")
		return
	}
	if r.PostForm.Get("password") != r.PostForm.Get("again") {
		d.passwordPage(w, r, http.StatusBadRequest, differ)
		return
	}
	secret, err := d.users.ChangePassword(r.Context(), d.Session(r), r.PostForm.Get("old"), r.PostForm.Get("password"), d.visit(r))
	var many TooMany
	switch {
	case err == nil:
		d.entered(w, r, ci.User{}, secret, "/accounts?done=password", nil)
	case errors.As(err, &many):
		w.Header().Set("Retry-After", "60")
		d.passwordPage(w, r, http.StatusTooManyRequests, many.Error()+".")
	case errors.Is(err, ErrLogin):
		d.passwordPage(w, r, http.StatusForbidden, "The password until now is wrong.")
	case errors.Is(err, ci.ErrInvalid):
		d.passwordPage(w, r, http.StatusBadRequest, err.Error()+".")
	case errors.Is(err, ci.ErrDenied):
		redirect(w, "/login?to="+url.QueryEscape("/password"))
	default:
		d.fault(w, r, err)
	}
}
