package ldap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rondo-ci/rondo/auth"
)

// A Trace is how a login went, step by step, for who sets up a directory. It
// holds no password.
type Trace struct {
	Steps []Step
	// Identity is what the login gives; zero if Err is set.
	Identity auth.Identity
	// Err is why there is none: a [Refusal], or why the directory can't be asked.
	Err error
}

// A Step is one thing that was asked.
type Step struct {
	Name string // name, connect, encrypt, search bind, server, user search, user bind, attributes, groups, decision
	// Asked is the question in words.
	Asked string
	// Command is a command line that asks the same, with a prompt for the
	// password; "" if there is none.
	Command string
	// Result is the answer in words, with advice if OK is false.
	Result string
	OK     bool
	Took   time.Duration
}

// A tracer takes down steps. A nil one only runs them.
type tracer struct {
	steps []Step
	link  *link
}

// step runs f, which answers in words.
func (t *tracer) step(name, asked, command string, f func() (string, error)) error {
	if t == nil {
		_, err := f()
		return err
	}
	began := time.Now()
	said, err := f()
	if err != nil {
		said = err.Error()
	}
	t.steps = append(t.steps, Step{Name: name, Asked: asked, Command: command, Result: said, OK: err == nil, Took: time.Since(began)})
	return err
}

func (t *tracer) skip(name, why string) {
	if t != nil {
		t.steps = append(t.steps, Step{Name: name, Result: why, OK: true})
	}
}

// whoAmI is the command line of a bind as the DN.
func (d *Directory) whoAmI(tr *tracer, dn string) string {
	if tr == nil || tr.link == nil {
		return ""
	}
	command := "ldapwhoami -x -H " + quote(d.url(tr.link.server))
	if d.s.Network.CAFile != "" && d.s.Encryption != Plain {
		command = "LDAPTLS_CACERT=" + quote(d.s.Network.CAFile) + " " + command
	}
	if d.s.Encryption == StartTLS {
		command += " -ZZ"
	}
	return command + " -D " + quote(dn) + " -W"
}

// Test logs in over connections of its own and takes down every step. An empty
// password leaves out the bind as the person: the trace then tells what the
// directory knows of them.
func (d *Directory) Test(ctx context.Context, login, password string) Trace {
	ctx, cancel := context.WithTimeout(ctx, d.patience())
	defer cancel()
	tr := &tracer{}
	id, err := d.login(ctx, tr, login, password)
	if tr.link != nil {
		_ = tr.link.Close()
	}
	if err != nil {
		id = auth.Identity{}
		// An error that no step has met, such as in the words between them, is
		// one more step.
		if n := len(tr.steps); n == 0 || tr.steps[n-1].OK {
			tr.steps = append(tr.steps, Step{Name: "decision", Asked: "may this person log in", Result: err.Error()})
		} else if text := err.Error(); !isRefusal(err) {
			tr.steps[n-1].Result = text // with the advice
		}
	}
	return Trace{Steps: tr.steps, Identity: id, Err: err}
}

func isRefusal(err error) bool {
	var r *Refusal
	return errors.As(err, &r)
}

// Print writes the trace for a terminal.
func (t Trace) Print(w io.Writer) error {
	for _, s := range t.Steps {
		mark := "ok  "
		if !s.OK {
			mark = "FAIL"
		}
		if _, err := fmt.Fprintf(w, "%s %-12s %8s  %s\n", mark, s.Name, s.Took.Round(10*time.Microsecond), s.Result); err != nil {
			return err
		}
		if s.Asked != "" {
			if _, err := fmt.Fprintf(w, "     asked: %s\n", s.Asked); err != nil {
				return err
			}
		}
		if s.Command != "" {
			if _, err := fmt.Fprintf(w, "     $ %s\n", s.Command); err != nil {
				return err
			}
		}
	}
	return nil
}
