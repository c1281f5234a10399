package vmservice

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// A Gate says who may see and change machines, and puts changes on record.
type Gate struct {
	// May returns who asks, and an error unless they are operators.
	May func(*http.Request) (ci.Actor, error)
	// Record does what an act says and puts it on record; nil only does it.
	Record func(ctx context.Context, act ci.Act, do func() error) error
}

// Handler serves what the guide's vm-service answers on its port, and the verbs
// of operators. GET /status and /load are open, as is the door by which
// machines post their host keys; the gate is asked before all the rest. Errors
// are JSON with a message.
//
//	GET  /status                          200 when it works, 503 with the reason when it does not
//	GET  /load                            the rows of old, for autoscalers
//	GET  /vms?older_than=24h              machines that may exist
//	GET  /vms?task=ID                     those that a task had, from the ledger
//	GET  /volumes                         volumes of Docker layers
//	GET  /pool                            everything at a glance
//	POST /admin/reset?dry_run=1           books against provider; without dry_run it is set right
//	POST /admin/drain?on=1                give out and keep no machines; on=0 ends that
//	POST /admin/purge?project=ID          remove a project's volumes
//	POST /admin/end?machine=ID            end one, by its key or the provider's ID
//	POST /v1/machines/{key}/host-key      by the machine itself
func Handler(p *Fleet, gate Gate) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		switch s := p.Status(); {
		case s.Ready:
			answer(w, http.StatusOK, map[string]string{"status": "ok", "provider": cmp.Or(s.Provider, "none")})
		default:
			answer(w, http.StatusServiceUnavailable, map[string]string{"message": cmp.Or(s.Off, "records are being read")})
		}
	})
	mux.HandleFunc("GET /load", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, p.Load()) })
	mux.HandleFunc("POST /v1/machines/{key}/host-key", func(w http.ResponseWriter, r *http.Request) {
		key, err := io.ReadAll(io.LimitReader(r.Body, 16<<10))
		if err == nil {
			err = p.Report(r.Context(), r.PathValue("key"), r.Header.Get("Rondo-Token"), string(key))
		}
		reply(w, map[string]string{"status": "ok"}, err)
	})
	guarded := func(pattern string, serve func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if _, err := gate.May(r); err != nil {
				reply(w, nil, err)
				return
			}
			v, err := serve(r)
			reply(w, v, err)
		})
	}
	desk := desk{p, gate}
	guarded("GET /pool", func(*http.Request) (any, error) { return p.Status(), nil })
	guarded("GET /vms", desk.machines)
	guarded("GET /volumes", func(*http.Request) (any, error) { return items(p.Layers()), nil })
	guarded("POST /admin/reset", desk.reset)
	guarded("POST /admin/drain", desk.drain)
	guarded("POST /admin/purge", desk.purge)
	guarded("POST /admin/end", desk.end)
	return mux
}

// A desk is where operators act.
type desk struct {
	*Fleet
	gate Gate
}

// operations are what whoever asks may do.
func (d desk) operations(r *http.Request) (Operations, ci.Actor, error) {
	by, err := d.gate.May(r)
	return Operations{Fleet: d.Fleet, Record: d.gate.Record}, by, err
}

func (d desk) reset(r *http.Request) (any, error) {
	dry, err := flag(r, "dry_run", false)
	if err != nil {
		return nil, err
	}
	if dry { // it changes nothing
		found, err := d.Reconcile(r.Context(), dry)
		return items(found), err
	}
	o, by, err := d.operations(r)
	if err != nil {
		return nil, err
	}
	found, err := o.Reconcile(r.Context(), by)
	return items(found), err
}

func (d desk) drain(r *http.Request) (any, error) {
	on, err := flag(r, "on", true)
	if err != nil {
		return nil, err
	}
	o, by, err := d.operations(r)
	if err != nil {
		return nil, err
	}
	return map[string]bool{"drained": on}, o.Drain(r.Context(), on, by)
}

func (d desk) purge(r *http.Request) (any, error) {
	o, by, err := d.operations(r)
	if err != nil {
		return nil, err
	}
	free, used, err := o.Purge(r.Context(), ci.ProjectID(r.URL.Query().Get("project")), by)
	return map[string]int{"removed": free, "when_free": used}, err
}

func (d desk) end(r *http.Request) (any, error) {
	o, by, err := d.operations(r)
	if err != nil {
		return nil, err
	}
	return o.End(r.Context(), r.URL.Query().Get("machine"), by)
}

func (d desk) machines(r *http.Request) (any, error) {
	q := r.URL.Query()
	if task := q.Get("task"); task != "" {
		past, err := d.Past(r.Context(), ci.TaskID(task), 100)
		return items(past), err
	}
	older := time.Duration(0)
	if text := q.Get("older_than"); text != "" {
		var err error
		if older, err = time.ParseDuration(text); err != nil || older < 0 {
			return nil, fmt.Errorf("older_than: %q is no duration, as in 24h: %w", text, ci.ErrInvalid)
		}
	}
	return items(d.Machines(older)), nil
}

// flag reads a parameter that is yes or no.
func flag(r *http.Request, name string, otherwise bool) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	on, err := strconv.ParseBool(text)
	if err != nil {
		return false, fmt.Errorf("%s: %q is neither 1 nor 0: %w", name, text, ci.ErrInvalid)
	}
	return on, nil
}

func items[T any](all []T) map[string]any {
	if all == nil {
		all = []T{}
	}
	return map[string]any{"items": all}
}

func reply(w http.ResponseWriter, v any, err error) {
	status := http.StatusOK
	for _, c := range []struct {
		err    error
		status int
	}{
		{ci.ErrInvalid, http.StatusBadRequest}, {ci.ErrDenied, http.StatusForbidden},
		{ci.ErrNotFound, http.StatusNotFound}, {ci.ErrConflict, http.StatusConflict},
	} {
		if errors.Is(err, c.err) {
			status = c.status
		}
	}
	switch {
	case err != nil && status == http.StatusOK: // of the provider: operators are the ones to read it
		answer(w, http.StatusBadGateway, map[string]string{"message": err.Error()})
	case err != nil:
		answer(w, status, map[string]string{"message": err.Error()})
	default:
		answer(w, status, v)
	}
}

func answer(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"message":"the reply cannot be written"}`)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(append(data, '\n'))
}
