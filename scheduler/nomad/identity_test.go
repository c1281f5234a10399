package nomad_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/nomad/api"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// signed is a Nomad whose agents only say that they have begun, and a cluster
// that nobody runs: it learns nothing by itself.
type signed struct {
	*nomad.Cluster
	t      *testing.T
	server *nomadtest.Server
	cfg    nomad.Config
	starts chan nomadtest.Start
}

func newSigned(t *testing.T, cfg nomad.Config) *signed {
	s := &signed{t: t, cfg: cfg, starts: make(chan nomadtest.Start, 10)}
	s.server = nomadtest.New(func(ctx context.Context, in nomadtest.Start) error {
		s.starts <- in
		<-ctx.Done()
		return nil
	})
	t.Cleanup(s.server.Close)
	s.server.AddNode("n1", 10, 4096+16384, nil)
	s.open()
	return s
}

// open makes a new cluster, as a new server does.
func (s *signed) open() {
	var err error
	s.Cluster, err = nomad.New(nomad.Server{Address: "http://nomad.invalid", HTTP: s.server.Client()}, nomad.Agent{Command: "/a", Door: "http://door.invalid"}, s.cfg)
	require.NoError(s.t, err)
}

// submit starts an agent and returns what it was started with.
func (s *signed) submit() (scheduler.Placement, nomadtest.Start) {
	s.t.Helper()
	p := placement("waits")
	require.NoError(s.t, s.Submit(s.t.Context(), p))
	return p, <-s.starts
}

func (s *signed) admit(p scheduler.Placement, identity string) error {
	return s.Admit(s.t.Context(), p.Task.ID, p.Epoch, identity)
}

// Who reads a job at Nomad finds a ticket, which is good in the hands of an
// agent of that job only.
func TestA059_TicketNeedsTheAgent(t *testing.T) {
	for name, cfg := range map[string]nomad.Config{"register": {}, "dispatch": {Dispatch: true}} {
		t.Run(name, func(t *testing.T) {
			s := newSigned(t, cfg)
			p, agent := s.submit()
			other, neighbour := s.submit()
			own, its := agent.Env[pointer.EnvIdentity], neighbour.Env[pointer.EnvIdentity]
			require.NotEmpty(t, own)
			for id, j := range s.server.Jobs() {
				text, err := json.Marshal(j)
				require.NoError(t, err)
				require.NotContains(t, string(text), own, "job %s", id)
			}
			stranger := newSigned(t, nomad.Config{})
			_, far := stranger.submit()
			require.Empty(t, agent.Env["NOMAD_TOKEN_nobody"])
			bad := map[string]string{
				"none": "", "words": "who?", "of another job": its, "of another Nomad": far.Env[pointer.EnvIdentity],
				"without its signature": own[:strings.LastIndexByte(own, '.')+1], "changed": own[:len(own)-6] + "AAAAAA", "endless": strings.Repeat("x", 1<<20),
			}
			check := func() {
				require.NoError(t, s.admit(p, own))
				require.NoError(t, s.admit(p, own), "its answer may have got lost")
				require.NoError(t, s.admit(other, its))
				for what, identity := range bad {
					require.ErrorIs(t, s.admit(p, identity), ci.ErrDenied, what)
				}
				nobody := placement("nobody")
				require.ErrorIs(t, s.admit(nobody, own), ci.ErrDenied, "there is no such job")
			}
			check()
			s.open() // another server
			check()
			s.server.Rotate()
			third, late := s.submit()
			require.NoError(t, s.admit(third, late.Env[pointer.EnvIdentity]), "of a key that has come since")
			check()

			// Of another installation at the same Nomad.
			s.cfg.Name = "other"
			s.open()
			_, foreign := s.submit()
			s.cfg.Name = ""
			s.open()
			require.ErrorContains(t, s.admit(p, foreign.Env[pointer.EnvIdentity]), "audience")
		})
	}
}

// A Nomad that does not answer turns nobody away, and lets nobody in.
func TestA059_AdmitWhileNomadIsAway(t *testing.T) {
	s := newSigned(t, nomad.Config{})
	p, agent := s.submit()
	s.open()
	s.server.SetFault(func(*http.Request) nomadtest.Fault { return nomadtest.Fault{Status: 500} })
	err := s.admit(p, agent.Env[pointer.EnvIdentity])
	require.Error(t, err)
	require.NotErrorIs(t, err, ci.ErrDenied)
	s.server.SetFault(func(r *http.Request) nomadtest.Fault {
		return nomadtest.Fault{Drop: strings.HasSuffix(r.URL.Path, "jwks.json")}
	})
	err = s.admit(p, agent.Env[pointer.EnvIdentity])
	require.Error(t, err)
	require.NotErrorIs(t, err, ci.ErrDenied)
	s.server.SetFault(nil)
	require.NoError(t, s.admit(p, agent.Env[pointer.EnvIdentity]))
}

// A Nomad before 1.7 signs nothing: its jobs go on as before, unless identities
// are required. What was started without one is let in after an upgrade too.
func TestIdentity_OlderNomad(t *testing.T) {
	s := newSigned(t, nomad.Config{})
	s.server.Age()
	p, agent := s.submit()
	require.Empty(t, agent.Env[pointer.EnvIdentity])
	require.NoError(t, s.admit(p, ""))
	s.server.Rotate()
	s.open()
	require.NoError(t, s.admit(p, ""))
	q, agent := s.submit()
	require.ErrorIs(t, s.admit(q, ""), ci.ErrDenied)
	require.NoError(t, s.admit(q, agent.Env[pointer.EnvIdentity]))

	s.cfg.Identity = nomad.IdentityOff
	s.open()
	r, agent := s.submit()
	require.Empty(t, agent.Env[pointer.EnvIdentity])
	require.NoError(t, s.admit(r, ""))
	require.ErrorIs(t, s.admit(q, ""), ci.ErrDenied, "it was made with one")

	s.server.Age()
	s.cfg.Identity = nomad.IdentityRequire
	s.open()
	err := s.Submit(t.Context(), placement("waits"))
	require.ErrorContains(t, err, "1.7.0 or later")
	for _, final := range []error{ci.ErrInvalid, ci.ErrDenied, ci.ErrNotFound, ci.ErrConflict} {
		require.NotErrorIs(t, err, final, "it waits for an upgrade")
	}
	_, err = nomad.New(nomad.Server{Address: "http://x"}, nomad.Agent{Command: "/a", Door: "http://d"}, nomad.Config{Identity: "no"})
	require.ErrorIs(t, err, ci.ErrInvalid)
}

// A client before 1.7 gives its agents no identity, so it gets none of them, and
// the queue says why.
func TestIdentity_OlderClients(t *testing.T) {
	s := newSigned(t, nomad.Config{})
	s.server.SetNode("n1", "down")
	s.server.AddNode("n0", 10, 4096+16384, func(n *api.NodeListStub) { n.Attributes["nomad.version"] = "1.6.12" })
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	p := placement("waits")
	p.Node = ""
	require.NoError(t, s.Submit(t.Context(), p))
	sees(t, s, p, says("${attr.nomad.version} semver >= 1.7.0"))
	stop()
	require.NoError(t, <-ended)
}

// What is required and not there is found before a server starts.
func TestIdentity_Check(t *testing.T) {
	s := newSigned(t, nomad.Config{Identity: nomad.IdentityRequire})
	require.NoError(t, s.Check(t.Context()))
	s.server.Age()
	s.open()
	require.ErrorContains(t, s.Check(t.Context()), "1.7.0 or later")
}

// A Nomad whose pages answer what it does not know is an older one too.
func TestIdentity_PagesInsteadOfKeys(t *testing.T) {
	s := newSigned(t, nomad.Config{})
	s.server.SetFault(func(r *http.Request) nomadtest.Fault {
		if strings.HasSuffix(r.URL.Path, "jwks.json") {
			return nomadtest.Fault{Status: 200, Text: "<html>"}
		}
		return nomadtest.Fault{}
	})
	p, _ := s.submit()
	require.NoError(t, s.admit(p, ""))
}

// Who has read the token of a warm agent cannot wait in its place.
func TestA059_WarmAgentShowsItself(t *testing.T) {
	cfg := warmed(1)
	cfg.Docs = memdb.New()
	s := newSigned(t, cfg)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		s.server.Close()
		stop()
		require.NoError(t, <-ended)
	})
	agent := <-s.starts
	door := httptest.NewServer(s.Cluster)
	t.Cleanup(door.Close)
	p, err := pointer.Parse([]byte(strings.Replace(agent.Env[pointer.Env], "http://door.invalid", door.URL, 1)))
	require.NoError(t, err)
	_, err = p.Await(t.Context(), nil)
	require.ErrorIs(t, err, ci.ErrDenied, "a thief")
	p.Identity = agent.Env[pointer.EnvIdentity]
	type told struct {
		pointer.Pointer
		error
	}
	got := make(chan told, 1)
	go func() {
		next, err := p.Await(t.Context(), &http.Client{Transport: p.Over(nil)})
		got <- told{next, err}
	}()
	task := placement("waits")
	require.Eventually(t, func() bool {
		_ = s.Submit(t.Context(), task)
		select {
		case g := <-got:
			require.NoError(t, g.error)
			require.Equal(t, task.Task.ID, g.Task)
			return true
		case <-time.After(50 * time.Millisecond):
			task = placement("waits") // that one has a job of its own
			return false
		}
	}, 30*time.Second, time.Millisecond)
	require.ErrorIs(t, s.admit(task, ""), ci.ErrDenied, "nor claim it")
	require.NoError(t, s.admit(task, p.Identity))
}
