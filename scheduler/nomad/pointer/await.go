package pointer

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Path is where below the door warm agents wait, with their names behind it.
const Path = "/door/v1/warm/"

// Proof is the header by which the server knows that it is the same agent that
// asks again: what it was told is told to nobody else.
const Proof = "Rondo-Proof"

// The pauses between tries when the server does not answer.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

// Await waits until the server has a task for a warm agent, and returns the
// pointer to it; one that points to a task already is returned as it is. A
// server that does not answer is asked again, until ctx ends. [ci.ErrConflict]:
// the agent is not wanted any more and should end. [ci.ErrDenied]: its token is
// not good. A nil hc is [http.DefaultClient].
func (p Pointer) Await(ctx context.Context, hc *http.Client) (Pointer, error) {
	if p.Warm == "" {
		return p, nil
	}
	if hc == nil {
		hc = http.DefaultClient
	}
	proof := rand.Text()
	for pause := firstPause; ; {
		next, again, err := p.ask(ctx, hc, proof)
		switch {
		case !again:
			return next, err
		case err == nil:
			pause = firstPause
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return p, fmt.Errorf("wait for a task: %w", ctx.Err())
		case <-t.C:
		}
		pause = min(2*pause, longestPause)
	}
}

// ask asks once. Again says that there was no answer that counts.
func (p Pointer) ask(ctx context.Context, hc *http.Client, proof string) (next Pointer, again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(p.Door, "/")+Path+p.Warm, nil)
	if err != nil {
		return p, false, fmt.Errorf("wait for a task: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+p.Token)
	req.Header.Set(Proof, proof)
	reply, err := hc.Do(req)
	if err != nil {
		return p, true, err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, MaxSize+1))
	switch {
	case err != nil:
		return p, true, err
	case reply.StatusCode == http.StatusOK:
		next, err = Parse(text)
		return next, false, err
	case reply.StatusCode == http.StatusNoContent:
		return p, true, nil
	case reply.StatusCode == http.StatusGone:
		return p, false, fmt.Errorf("wait for a task: this agent is not needed any more: %w", ci.ErrConflict)
	case reply.StatusCode == http.StatusUnauthorized:
		return p, false, fmt.Errorf("wait for a task: the token is not good: %w", ci.ErrDenied)
	}
	return p, true, fmt.Errorf("wait for a task: the server answers %s", reply.Status)
}
