package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// interrupts hands each signal that asks to stop to whatever handles it at that
// moment.
type interrupts struct {
	signals chan os.Signal
	pipe    chan os.Signal
	done    chan struct{}

	mu     sync.Mutex
	action func()
}

// newInterrupts begins to listen. A hangup that was ignored when the program
// started, as nohup does it, stays ignored. A broken pipe is an error of the
// write then, not the end of the program, which would leave its jobs running.
func newInterrupts() *interrupts {
	i := &interrupts{signals: make(chan os.Signal, 4), pipe: make(chan os.Signal, 1), done: make(chan struct{}), action: func() {}}
	signal.Notify(i.pipe, syscall.SIGPIPE)
	signal.Notify(i.signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(i.signals, syscall.SIGHUP)
	}
	go func() {
		for {
			select {
			case <-i.done:
				return
			case <-i.signals:
			}
			i.mu.Lock()
			action := i.action
			i.mu.Unlock()
			action()
		}
	}()
	return i
}

// handle makes action what a signal does from now on.
func (i *interrupts) handle(action func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.action = action
}

// stop ends the listening.
func (i *interrupts) stop() {
	signal.Stop(i.signals)
	signal.Stop(i.pipe)
	close(i.done)
}
