package main

import (
	"bytes"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/auth"
)

// tokenPage asks for the token of a server that has one user.
const tokenPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Log in – Rondo</title>
<link rel="stylesheet" href="/assets/rondo.css">
</head>
<body>
<header class="top"><a class="brand" href="/">Rondo</a></header>
<main id="main" class="door" tabindex="-1">
<h1>Log in</h1>
{{with .Problem}}<p class="notice bad" role="alert">{{.}}</p>{{end}}
<form method="post" action="/login" class="form card"><input type="hidden" name="to" value="{{.To}}">
<p class="field"><label class="name" for="token">Token of this server</label><input id="token" name="token" type="password" required maxlength="256" autocomplete="current-password" autofocus aria-describedby="where"><span class="hint" id="where">rondo-server dev prints it when it starts; serve keeps it in the file <code>token</code> of its data folder.</span></p>
<p class="actions"><button class="primary">Log in</button></p></form>
</main>
</body>
</html>
`

// login takes the token, from a form or from the address that dev prints, and
// sets the cookie for the pages; without one it asks for it.
func (a access) login(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	if r.ContentLength != 0 { // net/http would wait for a body that stalls
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(10 * time.Second))
	}
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "This form cannot be read.", http.StatusBadRequest)
		return
	}
	token, to := r.Form.Get("token"), auth.Path(r.Form.Get("to"))
	switch {
	case token == "":
		askToken(w, http.StatusOK, to, "")
	case !a.matches(strings.TrimSpace(token)):
		askToken(w, http.StatusForbidden, to, "This is not the token of this server.")
	default:
		http.SetCookie(w, &http.Cookie{
			Name: cookie, Value: a.session(), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: a.secure || r.TLS != nil,
		})
		h.Set("Location", to)
		w.WriteHeader(http.StatusSeeOther)
	}
}

// askToken answers with the page that asks for the token.
func askToken(w http.ResponseWriter, code int, to, problem string) {
	page, err := template.New("token").Parse(tokenPage)
	var text bytes.Buffer
	if err == nil {
		err = page.Execute(&text, map[string]string{"To": to, "Problem": problem})
	}
	if err != nil {
		http.Error(w, "Internal server error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(text.Bytes()) // nobody is left to tell
}

// guard sends browsers that have not logged in to the page where they can.
func (a access) guard(next http.Handler) http.Handler {
	return auth.Guard(next, func(r *http.Request) error {
		_, err := a.page(r)
		return err
	})
}
