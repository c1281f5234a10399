package web

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

	"github.com/rondo-ci/rondo/ci"
)

// A notice is what a page says about the form that led to it: what was done,
// or what was wrong with it, and what was typed.
type notice struct {
	Done    string
	Problem *problem
	Form    url.Values
}

// Typed returns what was typed into a field of the form, for another try.
func (n notice) Typed(field string) string { return n.Form.Get(field) }

// Chose reports whether a value was among those chosen.
func (n notice) Chose(field, value string) bool {
	for _, v := range n.Form[field] {
		if v == value {
			return true
		}
	}
	return false
}

// results are the sentences about what was done, by the word in the address.
// The address carries no text of its own: whoever makes a link cannot put
// words into our mouth.
var results = map[string]string{
	"settings":        "The settings are saved. They count from the next push on.",
	"installation":    "The settings are saved and in force.",
	"followed":        "The project is followed: the next push starts a pipeline.",
	"unfollowed":      "Pushes to this project start no pipelines any more. What has run stays.",
	"variable":        "The variable is set. Jobs that start from now on get it.",
	"variables":       "The variables are set. Jobs that start from now on get them.",
	"variable-gone":   "The variable is deleted. Jobs that run keep what they were given.",
	"key":             "The key is there. Jobs that start from now on use it.",
	"key-gone":        "The key is deleted. If the code host still lists it, remove it there too.",
	"schedule":        "The schedule is saved.",
	"schedule-gone":   "The schedule is deleted. It will not trigger again.",
	"webhook":         "The webhook is saved. Send a test message to see that the other side takes it.",
	"webhook-gone":    "The webhook is deleted. Messages that still waited are dropped.",
	"ping":            "The test message was delivered.",
	"token-gone":      "The token is deleted. Programs that use it are refused from now on.",
	"user":            "The change is made.",
	"linked":          "The user is linked, and can log in by the directory.",
	"unlinked":        "The link is taken back.",
	"drained":         "The node drains: it finishes what it has and takes nothing new. When it has nothing left it may be ended.",
	"undrained":       "The node takes tasks again.",
	"pool-drained":    "The pool is drained: machines that tasks have are left to them, idle ones end, and tasks that need one wait.",
	"pool-given":      "Machines are given out again.",
	"machine-ended":   "The machine is ended. If it had a task, that fails and says why.",
	"layers-purged":   "The layers of the project are removed; a volume that a machine has goes when it is free.",
	"pool-reconciled": "What is recorded was compared with what there is, and what differed is set right.",
	"user-gone":       "The user is deleted.",
	"context":         "The context is there. Add variables, and name it under context: in a job of a workflow.",
	"context-gone":    "The context is deleted with its variables. Workflows that name it will not run.",
	"restricted":      "The restriction is added. It is checked when a job starts.",
	"unrestricted":    "The restriction is removed.",
}

// noticeOf reads the result from the address of a page.
func noticeOf(r *http.Request) notice { return notice{Done: results[r.URL.Query().Get("done")]} }

// refused makes a notice of an error that the one who sent the form can do
// something about. Other errors are pages of their own.
func refused(err error, form url.Values) (notice, bool) {
	for _, sentinel := range []error{ci.ErrInvalid, ci.ErrConflict, ci.ErrDenied} {
		if errors.Is(err, sentinel) {
			p := problemOf(err)
			p.Text = cmp.Or(said(err, sentinel), p.Title+".")
			return notice{Problem: &p, Form: form}, true
		}
	}
	return notice{}, false
}

// done sends the browser to a page that says what was done.
func done(w http.ResponseWriter, path, word string) {
	sep := "?"
	if u, err := url.Parse(path); err == nil && u.RawQuery != "" {
		sep = "&"
	}
	redirect(w, path+sep+"done="+word, http.StatusSeeOther)
}
