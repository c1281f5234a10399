package agent

import (
	"net/url"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/mask"
)

// secrets returns what must never be shown of the work.
func secrets(w ci.Work) *mask.Set {
	var values []string
	add := func(vars []ci.Var) {
		for _, v := range vars {
			if v.Secret {
				values = append(values, v.Value)
			}
		}
	}
	add(w.Environment)
	add(w.Job.Environment)
	for _, s := range w.Job.Steps {
		add(s.Environment)
	}
	for _, i := range w.Job.Executor.Images {
		add(i.Environment)
		for _, v := range []string{i.Auth["password"], i.AWSAuth["aws_secret_access_key"]} {
			if !strings.HasPrefix(v, "$") {
				values = append(values, v)
			}
		}
	}
	for _, k := range w.SSHKeys {
		values = append(values, k.Private)
	}
	if u, err := url.Parse(w.Project.CloneURL); err == nil && u.User != nil {
		password, ok := u.User.Password()
		if !ok && u.Scheme != "ssh" {
			password = u.User.Username() // a token
		}
		values = append(values, password)
	}
	return mask.New(values...)
}
