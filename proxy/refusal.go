package proxy

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// A Refusal is the error of a request that a proxy did not let through.
type Refusal struct {
	Proxy  string // without its password
	User   string // of the login that it was given; "" is none
	To     string // host:port that was asked for
	Status int    // of its answer
}

// Error says which proxy refuses what, and what to do.
func (r *Refusal) Error() string { return fmt.Sprintf("proxy %s: %s", r.Proxy, r.advice()) }

func (r *Refusal) advice() string {
	switch {
	case r.Status == http.StatusProxyAuthRequired && r.User == "":
		return "the proxy wants a login (407): give it one, as in http://user:password@host:port, or proxy.login of the server's settings"
	case r.Status == http.StatusProxyAuthRequired:
		return fmt.Sprintf("the proxy refuses the login of %s (407)", r.User)
	case r.Status == http.StatusForbidden:
		return fmt.Sprintf("the proxy refuses %s (403): its rules do not let this address through", r.To)
	}
	return fmt.Sprintf("the proxy cannot connect to %s (%d)", r.To, r.Status)
}

func refusal(via *url.URL, to string, status int) *Refusal {
	return &Refusal{Proxy: via.Scheme + "://" + via.Host, User: via.User.Username(), To: to, Status: status}
}

// Connected is for OnProxyConnectResponse of [http.Transport]: a proxy that
// does not connect is a [Refusal], which says more than the status.
func Connected(_ context.Context, via *url.URL, ask *http.Request, res *http.Response) error {
	if res.StatusCode/100 == 2 {
		return nil
	}
	return refusal(via, ask.Host, res.StatusCode)
}

// Answered returns a [Refusal] if the answer to a request that went by a proxy
// without CONNECT says that the proxy wants another login. (What else it says
// may be the word of the other side.)
func Answered(via *url.URL, res *http.Response) error {
	if via == nil || res.StatusCode != http.StatusProxyAuthRequired || res.Request.URL.Scheme != "http" {
		return nil
	}
	return refusal(via, res.Request.Host, res.StatusCode)
}
