package nomadtest

import (
	"cmp"
	"crypto/ed25519"
	"fmt"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/hashicorp/nomad/api"
)

// signing are the keys with which workloads get their identities, the newest one
// last; none is a Nomad before 1.7.
type signing []jose.JSONWebKey

// Rotate lets Nomad sign with a new key from now on. Old ones stay good.
func (s *Server) Rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rotate()
}

func (s *Server) rotate() {
	_, private, _ := ed25519.GenerateKey(nil) // it never fails
	s.signing = append(s.signing, jose.JSONWebKey{Key: private, KeyID: s.id("k"), Algorithm: string(jose.EdDSA), Use: "sig"})
}

// Age makes it a Nomad before 1.7, which signs no identities.
func (s *Server) Age() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.signing = nil
}

// sign says who an agent is. What was dispatched has the job ID of its parent.
func (s *Server) sign(j *api.Job, r *run, w *api.WorkloadIdentity) string {
	if len(s.signing) == 0 {
		return ""
	}
	job := *j.ID
	if j.ParentID != nil {
		job = cmp.Or(*j.ParentID, job)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: s.signing[len(s.signing)-1]}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return ""
	}
	now := time.Now()
	std := jwt.Claims{
		Subject:  fmt.Sprintf("global:%s:%s:%s:%s:%s", r.Namespace, job, agentTask, agentTask, w.Name),
		Audience: jwt.Audience(w.Audience), IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now),
	}
	if w.TTL > 0 {
		std.Expiry = jwt.NewNumericDate(now.Add(w.TTL))
	}
	text, _ := jwt.Signed(signer).Claims(std).Claims(map[string]any{
		"nomad_namespace": r.Namespace, "nomad_job_id": job, "nomad_task": agentTask, "nomad_allocation_id": r.ID,
	}).Serialize()
	return text
}

// environment adds the identities that go there.
func (s *Server) environment(j *api.Job, r *run, env map[string]string) {
	for _, w := range j.TaskGroups[0].Tasks[0].Identities {
		if w.Env && len(s.signing) > 0 {
			env["NOMAD_TOKEN_"+w.Name] = s.sign(j, r, w)
		}
	}
}

// keys answers with the public keys.
func (s *Server) keys(*http.Request) (any, error) {
	if len(s.signing) == 0 {
		return nil, notFound("page")
	}
	var all jose.JSONWebKeySet
	for _, k := range s.signing {
		all.Keys = append(all.Keys, k.Public())
	}
	return all, nil
}
