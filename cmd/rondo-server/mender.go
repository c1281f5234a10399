package main

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// mendTime is between two tries of what could not be put into force.
const mendTime = 5 * time.Second

// A mender tries again what was saved and could not be put into force when the
// server started: a Vault that is away must not keep the server down. The page
// of settings and the log say what is not in force, and why.
type mender struct {
	log *slog.Logger

	mu     sync.Mutex
	broken map[string]broken
}

// broken is what is not in force; again tries and notes what came of it.
type broken struct {
	why   string
	again func(context.Context)
}

// try does something; if that fails it is noted, and tried again.
func (m *mender) try(ctx context.Context, name string, do func(context.Context) error) {
	m.note(name, do(ctx), func(ctx context.Context) { m.try(ctx, name, do) })
}

// note keeps what came of something, and what tries it again if that is an
// error.
func (m *mender) note(name string, err error, again func(context.Context)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	was, before := m.broken[name]
	switch {
	case err != nil:
		if m.broken == nil {
			m.broken = map[string]broken{}
		}
		m.broken[name] = broken{err.Error(), again}
		if was.why != err.Error() {
			m.log.Error("saved settings are not in force; it is tried again", "form", name, "err", err)
		}
	case before:
		delete(m.broken, name)
		m.log.Info("saved settings are in force again", "form", name)
	}
}

// good forgets what was wrong: something else is in force.
func (m *mender) good(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.broken, name)
}

// why says why something is not in force; "" is that it is.
func (m *mender) why(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.broken[name].why
}

// run tries again until ctx ends.
func (m *mender) run(ctx context.Context) error {
	tick := time.NewTicker(mendTime)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		m.mu.Lock()
		var todo []func(context.Context)
		for _, b := range m.broken {
			todo = append(todo, b.again)
		}
		m.mu.Unlock()
		for _, again := range todo {
			again(ctx)
		}
	}
}
