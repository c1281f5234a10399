package door

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// How long a peer may take over a small request or reply, and over any one
// piece of a file.
const (
	smallTimeout = 30 * time.Second
	pieceTimeout = 60 * time.Second
)

// Handler serves the door to [Client]. The key says whether a bearer is good for
// a task and epoch; it is asked before anything else of a request is read. The
// server in front needs ReadHeaderTimeout and IdleTimeout only: bodies are
// limited in size and time here.
func Handler(d *Door, key Key) http.Handler {
	mux := http.NewServeMux()
	at := func(method, path string, serve func(*exchange) error) {
		mux.HandleFunc(method+" "+root+"{task}/{epoch}/"+path, func(w http.ResponseWriter, r *http.Request) {
			x := &exchange{d: d, key: key, w: w, r: r, control: http.NewResponseController(w)}
			x.serve(path == "claim", serve)
		})
	}
	at("POST", "claim", (*exchange).claim)
	at("POST", "renew", (*exchange).renew)
	at("PUT", "steps/{step}", (*exchange).putStep)
	at("POST", "steps/{step}/output", (*exchange).append)
	at("PUT", "tests", (*exchange).putTests)
	at("GET", "timings", (*exchange).timings)
	at("POST", "finish", (*exchange).finish)
	at("POST", "machine", (*exchange).machine)
	at("POST", "file", (*exchange).putFile)
	at("POST", "upload", (*exchange).beginFile)
	at("POST", "commit", (*exchange).commitFile)
	at("GET", "files", (*exchange).findFiles)
	at("GET", "file", (*exchange).openFile)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusNotFound, problem{Code: "invalid", Message: "no such door: " + r.Method + " " + r.URL.Path})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			// Also for a body that nobody reads: net/http reads the rest of it
			// before it replies, and would wait for a sender that stalls.
			_ = http.NewResponseController(w).SetReadDeadline(after(smallTimeout))
		}
		mux.ServeHTTP(w, r)
	})
}

// An exchange is one request and its reply.
type exchange struct {
	d       *Door
	key     Key
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	lease   ci.Lease
	proof   string // of an agent that came with a ticket
	replied bool
}

// serve authenticates, runs the operation and tells its error.
func (x *exchange) serve(claim bool, operate func(*exchange) error) {
	epoch, err := strconv.ParseInt(x.r.PathValue("epoch"), 10, 64)
	x.lease = ci.Lease{Task: ci.TaskID(x.r.PathValue("task")), Epoch: epoch, Worker: x.r.URL.Query().Get("worker")}
	token, bearer := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer ")
	good := err == nil && bearer && x.key.Valid(token, x.lease.Task, epoch)
	if !good && claim && err == nil && bearer && x.key.Admits(token, x.lease.Task, epoch) {
		x.proof = x.r.Header.Get(headerProof)
		if len(x.proof) < minProof || x.lease.Worker == "" {
			reply(x.w, http.StatusBadRequest, problem{Code: "invalid", Message: "this agent is older than the server: install the rondo-agent of the same release"})
			return
		}
		if x.d.cfg.Admit != nil {
			if err := x.d.cfg.Admit(x.r.Context(), x.lease.Task, epoch, x.r.Header.Get(headerIdentity)); err != nil {
				x.fail(err, problem{})
				return
			}
		}
		x.lease.Worker, good = workerOf(x.lease.Worker, x.proof), true
	}
	if !good {
		reply(x.w, http.StatusUnauthorized, problem{Code: "denied", Message: "the token is not good for this task and epoch"})
		return
	}
	// Deadlines for writing outlive a request, so they are taken back. Those
	// for reading do not, and what is left of the body still needs one.
	defer x.writeWithin(0)
	defer func() {
		if x.r.ContentLength != 0 {
			x.readWithin(smallTimeout)
		}
	}()
	if err := operate(x); err != nil {
		x.fail(err, problem{})
	}
}

// readWithin limits the reads from now on; 0 is no limit. A server that has no
// deadlines (a recorder in a test) does without. While an operation runs there
// must be none: the connection is watched for a peer that goes away, and a
// deadline that strikes would look like one.
func (x *exchange) readWithin(d time.Duration) { _ = x.control.SetReadDeadline(after(d)) }

// writeWithin limits the writes from now on; 0 is no limit.
func (x *exchange) writeWithin(d time.Duration) { _ = x.control.SetWriteDeadline(after(d)) }

func after(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Now().Add(d)
}

// fail answers with an error. The text of a fault stays here: it may name
// things that an agent need not know.
func (x *exchange) fail(err error, p problem) {
	if x.replied {
		return
	}
	code, status := codeOf(err)
	var broken *bodyError
	switch {
	case errors.As(err, &broken):
		// The request came damaged; the next try may not be.
		p.Message, status = err.Error(), http.StatusBadRequest
	case code == codeInternal:
		p.Message = "the server has a fault, see its log"
		if x.r.Context().Err() == nil {
			x.d.log.Error("door", "call", x.r.Method+" "+x.r.URL.Path, "err", err)
		}
	default:
		p.Message = err.Error()
	}
	p.Code = code
	x.replied = true
	x.writeWithin(smallTimeout)
	reply(x.w, status, p)
}

// A bodyError says that a body was cut short or damaged on its way.
type bodyError struct{ err error }

func (e *bodyError) Error() string { return "read request: " + e.err.Error() }

// body reads a request of at most limit bytes, whole.
func (x *exchange) body(limit int64) ([]byte, error) {
	if x.r.ContentLength > limit {
		return nil, fmt.Errorf("request of %d bytes is larger than %d: %w", x.r.ContentLength, limit, ci.ErrInvalid)
	}
	var data []byte
	var err error
	if n := x.r.ContentLength; n >= 0 && n <= MaxChunk {
		data = make([]byte, n)
		_, err = io.ReadFull(x.r.Body, data)
	} else {
		data, err = io.ReadAll(io.LimitReader(x.r.Body, limit+1))
	}
	switch {
	case err != nil:
		return nil, &bodyError{err}
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("request is larger than %d bytes: %w", limit, ci.ErrInvalid)
	}
	if want := x.r.Header.Get(headerDigest); want != "" && want != digestOf(data) {
		return nil, &bodyError{errors.New("the digest does not match")}
	}
	x.readWithin(0)
	return data, nil
}

// decode reads a JSON request.
func (x *exchange) decode(limit int64, v any) error {
	data, err := x.body(limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("request: %w: %w", err, ci.ErrInvalid)
	}
	return nil
}

// answer replies with a value, or with nothing when it is nil.
func (x *exchange) answer(v any) error {
	x.replied = true
	x.writeWithin(smallTimeout)
	if v == nil {
		x.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	reply(x.w, http.StatusOK, v)
	return nil
}

func reply(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil { // a float that JSON cannot say, in a record
		status, data = http.StatusInternalServerError, []byte(`{"code":"internal","message":"the reply cannot be written"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	_, _ = w.Write(data)
}

func (x *exchange) claim() error {
	if _, err := x.body(maxSmall); err != nil {
		return err
	}
	work, err := x.d.Claim(x.r.Context(), x.lease.Task, x.lease.Epoch, x.lease.Worker)
	if err != nil {
		return err
	}
	x.offer()
	token := ""
	if x.proof != "" {
		token = x.key.Token(x.lease.Task, x.lease.Epoch)
	}
	return x.answer(claimed{work, token})
}

// A claimed task is the reply to a claim.
type claimed struct {
	ci.Work
	// Token is for all that follows; "" is that the agent has it.
	Token string `json:"token,omitempty"`
}

func (x *exchange) renew() error {
	if _, err := x.body(maxSmall); err != nil {
		return err
	}
	next, err := x.d.Renew(x.r.Context(), x.lease)
	if err != nil {
		return err
	}
	x.offer()
	return x.answer(next)
}

func (x *exchange) putStep() error {
	var s ci.Step
	if err := x.decode(maxSmall, &s); err != nil {
		return err
	}
	if index, err := x.step(); err != nil || index != s.Index {
		return fmt.Errorf("step %d at the address of %s: %w", s.Index, x.r.PathValue("step"), ci.ErrInvalid)
	}
	if err := x.d.PutStep(x.r.Context(), x.lease, s); err != nil {
		return err
	}
	return x.answer(nil)
}

func (x *exchange) step() (int, error) {
	n, err := strconv.Atoi(x.r.PathValue("step"))
	if err != nil {
		return 0, fmt.Errorf("step %q: %w", x.r.PathValue("step"), ci.ErrInvalid)
	}
	return n, nil
}

// An appended is the reply to Append.
type appended struct {
	Next int64 `json:"next"`
}

func (x *exchange) append() error {
	index, err := x.step()
	if err != nil {
		return err
	}
	offset, err := strconv.ParseInt(x.r.URL.Query().Get("offset"), 10, 64)
	if err != nil {
		return fmt.Errorf("offset %q: %w", x.r.URL.Query().Get("offset"), ci.ErrInvalid)
	}
	data, err := x.body(MaxChunk)
	if err != nil {
		return err
	}
	next, err := x.d.Append(x.r.Context(), x.lease, index, offset, data)
	if err != nil {
		x.fail(err, problem{Next: &next})
		return nil
	}
	return x.answer(appended{next})
}

func (x *exchange) putTests() error {
	var tests []ci.Test
	if err := x.decode(maxTests, &tests); err != nil {
		return err
	}
	if err := x.d.PutTests(x.r.Context(), x.lease, tests); err != nil {
		return err
	}
	return x.answer(nil)
}

func (x *exchange) timings() error {
	tests, err := x.d.Timings(x.r.Context(), x.lease)
	if err != nil {
		return err
	}
	return x.answer(tests)
}

func (x *exchange) finish() error {
	var r ci.Report
	if err := x.decode(maxSmall, &r); err != nil {
		return err
	}
	if err := x.d.Finish(x.r.Context(), x.lease, r); err != nil {
		return err
	}
	return x.answer(nil)
}
