package auth

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A doorPage is what the templates show.
type doorPage struct {
	Site, Style, Title string
	Problem            string
	Login, To          string // typed before
	Passwords          bool   // there is a form for them
	Make               bool   // the first administrator can be made
	Buttons            []Button
	Accounts           []Identity
	User               ci.User
	Done               string // what has just been done
}

// show answers with a page.
func (d *Door) show(w http.ResponseWriter, r *http.Request, code int, name string, p doorPage) {
	p.Site, p.Style = d.cfg.Title, d.cfg.Style
	var b bytes.Buffer
	if err := d.pages.ExecuteTemplate(&b, name, p); err != nil {
		d.log.Error("render page", "page", name, "err", err)
		http.Error(w, "Internal server error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // nobody is left to tell
}

// Problem answers with a page that says what went wrong. text is for people.
func (d *Door) Problem(w http.ResponseWriter, r *http.Request, code int, text string) {
	d.show(w, r, code, "problem", doorPage{Title: "This did not work", Problem: text})
}

func (d *Door) fault(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		d.log.Error("log in", "path", r.URL.Path, "err", err)
	}
	d.Problem(w, r, http.StatusInternalServerError, "Something went wrong here. The log of the server says what; try again later.")
}

// Answer answers with a page about an error: its text where it is meant for
// people, or that something went wrong.
func (d *Door) Answer(w http.ResponseWriter, r *http.Request, err error) {
	for sentinel, code := range map[error]int{
		ci.ErrInvalid: http.StatusBadRequest, ci.ErrConflict: http.StatusConflict, ci.ErrDenied: http.StatusForbidden, ci.ErrNotFound: http.StatusNotFound,
	} {
		if errors.Is(err, sentinel) {
			d.Problem(w, r, code, err.Error()+".")
			return
		}
	}
	d.fault(w, r, err)
}

func (d *Door) passwords() bool { return len(d.users.cfg.Providers) > 0 }

func (d *Door) showLogin(w http.ResponseWriter, r *http.Request) {
	if _, err := d.User(r); err == nil {
		redirect(w, Path(r.URL.Query().Get("to")))
		return
	}
	d.loginPage(w, r, http.StatusOK, "")
}

func (d *Door) loginPage(w http.ResponseWriter, r *http.Request, code int, problem string) {
	to := r.URL.Query().Get("to")
	p := doorPage{Title: "Log in", Problem: problem, To: Path(to), Passwords: d.passwords(), Buttons: d.cfg.Buttons}
	if r.PostForm != nil {
		p.Login, p.To = clip(r.PostForm.Get("login")), Path(r.PostForm.Get("to"))
	}
	d.show(w, r, code, "login", p)
}

func (d *Door) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || !d.passwords() {
		d.Problem(w, r, http.StatusBadRequest, "This is no form of this page.")
		return
	}
	u, secret, err := d.users.Login(r.Context(), r.PostForm.Get("login"), r.PostForm.Get("password"), d.visit(r))
	to := Path(r.PostForm.Get("to"))
	for _, b := range d.cfg.Buttons {
		if to == "/" && u.Logins[b.Provider] == "" {
			to = "/accounts" // who comes by a directory connects the code host next
		}
	}
	d.entered(w, r, u, secret, to, err)
}

func (d *Door) logout(w http.ResponseWriter, r *http.Request) {
	var err error
	if secret := d.Session(r); secret != "" {
		if err = r.ParseForm(); err == nil && r.PostForm.Get("all") != "" {
			if u, e := d.User(r); e == nil {
				err = d.users.EndSessions(r.Context(), u.ID, actor(u))
			}
		}
		if err == nil {
			err = d.users.LogOut(r.Context(), secret)
		}
	}
	if err != nil {
		d.fault(w, r, err)
		return
	}
	http.SetCookie(w, d.Cookie(sessionCookie, "", -time.Second))
	redirect(w, "/login")
}

// showBootstrap takes the token of the link that was printed, out of the
// address, and offers to log in.
func (d *Door) showBootstrap(w http.ResponseWriter, r *http.Request) {
	token := r.URL.Query().Get("token")
	good, err := d.users.Invited(r.Context(), token)
	if err != nil {
		d.fault(w, r, err)
		return
	}
	if !good {
		d.Problem(w, r, http.StatusForbidden, "This link is good no longer. The newest one stands in the log of the server, if there is no administrator yet.")
		return
	}
	http.SetCookie(w, d.Cookie(bootstrapCookie, token, time.Hour))
	d.show(w, r, http.StatusOK, "bootstrap", doorPage{Title: "The first administrator", Make: d.cfg.Local != nil, Passwords: d.passwords(), Buttons: d.cfg.Buttons})
}

// bootstrap makes a local account for the first administrator.
func (d *Door) bootstrap(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil || d.cfg.Local == nil {
		d.Problem(w, r, http.StatusBadRequest, "This is no form of this page.")
		return
	}
	u, secret, err := d.users.MakeAdministrator(r.Context(), r.PostForm.Get("login"), r.PostForm.Get("password"), d.visit(r))
	switch {
	case errors.Is(err, ci.ErrInvalid):
		d.show(w, r, http.StatusBadRequest, "bootstrap", doorPage{Title: "The first administrator", Make: true, Passwords: d.passwords(),
			Buttons: d.cfg.Buttons, Login: clip(r.PostForm.Get("login")), Problem: err.Error() + "."})
	case err != nil:
		d.Answer(w, r, err)
	default:
		d.entered(w, r, u, secret, "/admin/users", nil)
	}
}

// showAccounts shows how somebody logs in, and what can be connected.
func (d *Door) showAccounts(w http.ResponseWriter, r *http.Request) {
	u, err := d.User(r)
	if err != nil {
		redirect(w, "/login?to="+url.QueryEscape("/accounts"))
		return
	}
	p := doorPage{Title: "Accounts", User: u}
	for _, b := range d.cfg.Buttons {
		if u.Logins[b.Provider] == "" {
			p.Buttons = append(p.Buttons, b)
		}
	}
	rec, err := d.users.record(r.Context(), u.ID)
	if err != nil {
		d.fault(w, r, err)
		return
	}
	p.Accounts = rec.Identities
	p.Done = doneText[r.URL.Query().Get("done")]
	d.show(w, r, http.StatusOK, "accounts", p)
}

// changeAccounts disconnects an account.
func (d *Door) changeAccounts(w http.ResponseWriter, r *http.Request) {
	u, err := d.User(r)
	if err == nil {
		err = r.ParseForm()
	}
	var gone Identity
	if err == nil {
		gone, err = d.users.Disconnect(r.Context(), u.ID, r.PostForm.Get("disconnect"), actor(u))
	}
	if err == nil && d.cfg.Disconnected != nil {
		err = d.cfg.Disconnected(r, gone)
	}
	if err != nil {
		d.Answer(w, r, err)
		return
	}
	redirect(w, "/accounts")
}
