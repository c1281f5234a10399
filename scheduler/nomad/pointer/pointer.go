package pointer

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"

	"github.com/rondo-ci/rondo/ci"
)

// Where an agent finds its pointer: the variable holds it, or the name of a
// file with it.
const (
	Env     = "RONDO_PLACEMENT"
	EnvFile = "RONDO_PLACEMENT_FILE"
	// EnvIdentity holds what Nomad signs about the agent, of that name in its job.
	EnvIdentity  = "NOMAD_TOKEN_" + IdentityName
	IdentityName = "rondo"
)

// MaxSize is how large a pointer may be, in bytes: the limit of Nomad's
// payloads.
const MaxSize = 16 << 10

// A Pointer says where a task is. Its JSON form holds the token.
type Pointer struct {
	// Door is the URL of the agents' door of the server.
	Door string `json:"door"`
	// Task and Epoch are the hand-out; a warm agent has none yet, and Warm is
	// its name.
	Task  ci.TaskID `json:"task,omitempty"`
	Epoch int64     `json:"epoch,omitempty"`
	Warm  string    `json:"warm,omitempty"`
	// Token is good for claiming that hand-out, or for that waiting, only, and
	// only for who does it first: all who may read jobs at Nomad see it.
	Token string `json:"token"`
	// Identity is what Nomad signs about this agent; "" is nothing. It is not part
	// of the JSON form.
	Identity string `json:"-"`
}

// String leaves the token out.
func (p Pointer) String() string {
	if p.Warm != "" {
		return "warm agent " + p.Warm + " of " + p.Door
	}
	return fmt.Sprintf("task %s epoch %d of %s", p.Task, p.Epoch, p.Door)
}

// Parse reads the JSON form. What does not say where and what is
// [ci.ErrInvalid]; the error does not repeat the text, which holds a token.
func Parse(text []byte) (Pointer, error) {
	var p Pointer
	if len(text) > MaxSize {
		return p, fmt.Errorf("read placement: %d bytes are more than %d: %w", len(text), MaxSize, ci.ErrInvalid)
	}
	if json.Unmarshal(text, &p) != nil {
		return Pointer{}, fmt.Errorf("read placement: it is no JSON of a placement: %w", ci.ErrInvalid)
	}
	u, err := url.Parse(p.Door)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return Pointer{}, fmt.Errorf("read placement: its door is no address of a server: %w", ci.ErrInvalid)
	case (p.Task != "") == (p.Warm != ""), p.Task != "" && p.Epoch < 1, p.Token == "":
		return Pointer{}, fmt.Errorf("read placement: it names no task with a token: %w", ci.ErrInvalid)
	}
	return p, nil
}

// Read reads the pointer of this process, from a file or a variable of the
// environment, and takes both away, so that what the process starts does not
// find them. Without any it is [ci.ErrNotFound].
func Read() (Pointer, error) {
	text, file, identity := os.Getenv(Env), os.Getenv(EnvFile), os.Getenv(EnvIdentity)
	_, _, _ = os.Unsetenv(Env), os.Unsetenv(EnvFile), os.Unsetenv(EnvIdentity)
	if text == "" && file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return Pointer{}, fmt.Errorf("read placement: %w", err)
		}
		_ = os.Remove(file)
		text = string(b)
	}
	if text == "" {
		return Pointer{}, fmt.Errorf("read placement: neither %s nor %s is set; Nomad sets them in the jobs of a Rondo server: %w", Env, EnvFile, ci.ErrNotFound)
	}
	p, err := Parse([]byte(text))
	p.Identity = identity
	return p, err
}
