package pusher

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// sign returns what a client shows to subscribe to a private channel: a
// signature, and behind it the ticket of who asked, if there is one.
func (s *Server) sign(socket, channel, data, ticket string) string {
	text := socket + ":" + channel
	if data != "" {
		text += ":" + data
	}
	tail := ""
	if ticket != "" {
		// In front, and without the dot that each socket has: nothing that a
		// client says of channel or data makes it look like another's.
		coded := base64.RawURLEncoding.EncodeToString([]byte(ticket))
		text, tail = coded+"\n"+text, ":"+coded
	}
	h := hmac.New(sha256.New, []byte(s.cfg.Secret))
	h.Write([]byte(text))
	return s.cfg.Key + ":" + hex.EncodeToString(h.Sum(nil)) + tail
}

// signed reports whether the signature is ours, and returns the ticket in it.
func (s *Server) signed(auth, socket, channel, data string) (ticket string, ok bool) {
	if parts := strings.Split(auth, ":"); len(parts) == 3 {
		text, err := base64.RawURLEncoding.DecodeString(parts[2])
		if err != nil {
			return "", false
		}
		ticket = string(text)
	}
	return ticket, hmac.Equal([]byte(auth), []byte(s.sign(socket, channel, data, ticket)))
}

// authorize answers a client that wants to subscribe to a private channel.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	by, err := s.cfg.Auth(r, token(r))
	if err != nil {
		reply(w, http.StatusUnauthorized, map[string]string{"message": "You must log in first."})
		return
	}
	socket, channel := r.PostFormValue("socket_id"), r.PostFormValue("channel_name")
	at, err := positionOf(r, channel)
	if !isSocket(socket) || err != nil {
		reply(w, http.StatusBadRequest, map[string]string{"message": "socket_id and channel_name are needed, and after is a number, if it is there"})
		return
	}
	name, ok := strings.CutPrefix(channel, private)
	if !ok {
		reply(w, http.StatusForbidden, map[string]string{"message": "only private- channels need a signature"})
		return
	}
	if err := s.readable(r.Context(), by, name); err != nil {
		status := http.StatusForbidden
		if !errors.Is(err, ci.ErrNotFound) && !errors.Is(err, ci.ErrDenied) && !errors.Is(err, ci.ErrInvalid) {
			status = http.StatusInternalServerError
			s.log.Error("authorize channel", "channel", channel, "err", err)
		}
		// What there is and what one may not see look the same.
		reply(w, status, map[string]string{"message": "There is no such channel for you."})
		return
	}
	answer := map[string]string{}
	if at.After != nil || at.Output != nil {
		text, _ := json.Marshal(at) // numbers always can
		answer["channel_data"] = string(text)
	}
	ticket := ""
	if s.cfg.Tickets.Name != nil {
		ticket = s.cfg.Tickets.Name(r, token(r))
	}
	answer["auth"] = s.sign(socket, channel, answer["channel_data"], ticket)
	reply(w, http.StatusOK, answer)
}

// positionOf reads the parameters after and output: a number, or a list of
// numbers by channel for clients that send the same for all.
func positionOf(r *http.Request, channel string) (position, error) {
	var at position
	switch text := r.PostFormValue("after"); {
	case strings.HasPrefix(text, "{"):
		var all map[string]uint64
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			return at, err
		}
		if n, ok := all[channel]; ok {
			at.After = &n
		}
	case text != "":
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return at, err
		}
		at.After = &n
	}
	if text := r.PostFormValue("output"); text != "" {
		if err := json.Unmarshal([]byte(text), &at.Output); err != nil {
			return at, err
		}
	}
	return at, nil
}

// readable returns nil when the actor may read what the channel is about.
func (s *Server) readable(ctx context.Context, by ci.Actor, name string) error {
	id, err := s.projectOf(ctx, name)
	if err != nil {
		return err
	}
	p, err := s.read.Project(ctx, id)
	if err != nil {
		return err
	}
	return s.cfg.May(ctx, by, p, false)
}

// open returns nil when the channel is about a project that everybody may read.
// Rights are not asked for: the zero Actor would be the system.
func (s *Server) open(ctx context.Context, name string) error {
	id, err := s.projectOf(ctx, name)
	if err != nil {
		return err
	}
	p, err := s.read.Project(ctx, id)
	if err == nil && !p.Open {
		err = ci.ErrNotFound
	}
	return err
}

// projectOf returns the project that a channel is about.
func (s *Server) projectOf(ctx context.Context, name string) (ci.ProjectID, error) {
	kind, id, _ := strings.Cut(name, "-")
	switch kind {
	case "project":
		return ci.ProjectID(id), nil
	case "pipeline":
		p, err := s.read.Pipeline(ctx, ci.PipelineID(id))
		return p.Trigger.Project, err
	case "job":
		w, err := s.read.JobWorkflow(ctx, ci.JobID(id))
		if err != nil {
			return "", err
		}
		id = string(w)
	case "workflow":
	default:
		return "", fmt.Errorf("channel %.100q: %w", name, ci.ErrInvalid)
	}
	w, err := s.read.Workflow(ctx, ci.WorkflowID(id))
	return w.Project, err
}

// token returns the token of a request, "" is none.
func token(r *http.Request) string {
	if t := r.Header.Get("Circle-Token"); t != "" {
		return t
	}
	if kind, t, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok && strings.EqualFold(kind, "Bearer") {
		return strings.TrimSpace(t)
	}
	name, _, _ := r.BasicAuth()
	return name
}

// isSocket reports whether s has the form of a connection's identity.
func isSocket(s string) bool {
	a, b, ok := strings.Cut(s, ".")
	return ok && len(s) <= 64 && a != "" && b != "" && strings.Trim(a+b, "0123456789") == ""
}

// reply writes an answer of /pusher/auth.
func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}
