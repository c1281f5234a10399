package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// A ledger holds what clients were promised, in a file outside of the system
// under test that is synced before the next request is sent: a pipeline that
// was accepted, by its ID, or "?" when nobody knows whether it was.
type ledger struct {
	t    *testing.T
	path string

	mu sync.Mutex
	f  *os.File
}

func newLedger(t *testing.T) *ledger {
	l := &ledger{t: t, path: filepath.Join(serverDir(t), "ledger")}
	var err error
	l.f, err = os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.f.Close() })
	return l
}

// note writes down the answer to a trigger. No answer, and an error of the
// server, leave open what has happened; anything else is a refusal.
func (l *ledger) note(id string, status int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case status == http.StatusCreated:
	case status == 0 || status >= 500:
		id = "?"
	default:
		id = fmt.Sprint("refused ", status)
	}
	_, err := fmt.Fprintln(l.f, id)
	if err == nil {
		err = l.f.Sync()
	}
	if err != nil {
		l.t.Error(err)
	}
}

// read returns the pipelines that were accepted, and how many answers were lost.
func (l *ledger) read() (accepted []string, unknown int) {
	l.t.Helper()
	text, err := os.ReadFile(l.path)
	require.NoError(l.t, err)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "?" {
			unknown++
		} else {
			require.NotContains(l.t, line, "refused")
			accepted = append(accepted, line)
		}
	}
	return accepted, unknown
}

// settle waits until everything that the server has was brought to an end, and
// compares it with the ledger. before is how many pipelines there were without
// one of the ledger's.
func (l *ledger) settle(i *site, before int) {
	l.t.Helper()
	accepted, unknown := l.read()
	there := map[string]int{}
	for _, p := range i.s.pipelines() {
		there[p.ID]++
		i.end(p.ID)
	}
	for _, id := range accepted {
		require.Equal(l.t, 1, there[id], "pipeline %s was accepted", id)
	}
	require.LessOrEqual(l.t, len(there), before+len(accepted)+unknown, "pipelines that nobody asked for")
	l.t.Logf("%d pipelines accepted, %d answers lost, %d pipelines there", len(accepted), unknown, len(there))
}
