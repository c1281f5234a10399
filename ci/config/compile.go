package config

import (
	"context"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// Compile turns a configuration into a plan: the workflows that run for the
// pipeline that o describes, those that the clock starts, the text as written
// and as expanded, and warnings about bad habits.
//
// All mistakes are returned at once, joined; see [Errors], [Render] and
// [Script]. They wrap [ci.ErrInvalid] or [ci.ErrNotFound]. An error of another
// kind is a fault of o.Orbs or the end of ctx, and worth another try. The same
// arguments give the same result; concurrent calls are fine.
func Compile(ctx context.Context, source []byte, o Options) (ci.Plan, error) {
	c, err := run(ctx, source, o)
	if err != nil {
		return ci.Plan{}, err
	}
	plan := c.planned
	plan.Source = c.text
	plan.Expanded = c.header() + c.expanded
	for _, w := range c.sortedWarnings() {
		plan.Warnings = append(plan.Warnings, w.Error())
	}
	return plan, nil
}

// Process returns the expanded configuration as `circleci config process`
// prints it: a comment line for each orb that was resolved, the expanded YAML,
// and the original as a comment. Filters stay in it as written.
//
// It has the errors of [Compile].
func Process(ctx context.Context, source []byte, o Options) (string, error) {
	c, err := run(ctx, source, o)
	if err != nil {
		return "", err
	}
	return c.header() + c.expanded + original(c.text), nil
}

// Check compiles a configuration for its mistakes and bad habits only. The
// warnings are in the order of their places; err is that of [Compile].
func Check(ctx context.Context, source []byte, o Options) (warnings []*Error, err error) {
	c, err := run(ctx, source, o)
	return c.sortedWarnings(), err
}

// A compiler compiles one configuration once.
type compiler struct {
	ctx    context.Context
	o      Options
	limits Limits
	text   string
	legacy bool // version 2.0: no templates, no reuse

	main     *space
	params   map[string]*node // pipeline parameters
	pipeline map[string]*node // pipeline values
	branch   string
	tag      string

	declared map[declarationKey]*declaration
	fetched  map[string]*node  // orbs by reference
	resolved map[string]string // exact references by reference
	loaded   int               // imported orbs

	workflows []*workflow
	jobs      []*compiledJob // the bodies to print, in order
	expanded  string
	regexps   map[string]*pattern
	setup     bool
	planned   ci.Plan
	cells     int    // jobs so far
	edges     int    // requirements so far
	scratch   []byte // for printing a body
	size      int    // bytes printed so far
	grown     int    // bytes of text made so far
	slow      int    // regular expressions that took too long

	trace    []calling      // what is being expanded
	calls    []*declaration // commands being expanded
	aliases  []string       // executors that are names of others, being resolved
	inShell  bool           // inside the command of a run step
	stepped  int            // expanded so far
	spent    int            // work so far, in nodes
	errs     []*Error
	warnings []*Error
	seen     map[string]bool // mistakes already reported
	failures int
	dead     bool  // a limit was reached or the registry failed: stop
	fault    error // of the registry
}

// A calling is something that is being expanded: a command, a job.
type calling struct{ kind, name string }

// run compiles a configuration. On error the compiler is returned too, for its
// warnings.
func run(ctx context.Context, content []byte, o Options) (*compiler, error) {
	if o.File == "" {
		o.File = ".circleci/config.yml"
	}
	return start(ctx, content, o, func(c *compiler, root *node) {
		if c.top(root) {
			c.compile(root)
		}
	})
}

// start reads a text and gives it to what.
func start(ctx context.Context, content []byte, o Options, what func(*compiler, *node)) (c *compiler, err error) {
	c = &compiler{
		ctx: ctx, o: o, limits: o.Limits.withDefaults(), text: string(content),
		declared: make(map[declarationKey]*declaration), fetched: make(map[string]*node),
		resolved: make(map[string]string), regexps: make(map[string]*pattern), seen: make(map[string]bool),
	}
	defer func() {
		// The language is large and the input is anybody's. A mistake in this
		// package must cost one pipeline, not the server.
		if r := recover(); r != nil {
			c.fail(nil, "CFG000", "the compiler broke: %v", r)
			err = c.end()
		}
	}()
	root := c.loader(&source{file: o.File, text: c.text}).load()
	if root != nil {
		what(c, root)
	}
	return c, c.end()
}

// loader returns a loader that reports to the compiler.
func (c *compiler) loader(src *source) *loader {
	return &loader{src: src, limits: c.limits, report: c.add, warn: c.warnError}
}

// end returns the error of the whole compile.
func (c *compiler) end() error {
	switch {
	case c.fault != nil:
		return c.fault
	case c.ctx.Err() != nil:
		return fmt.Errorf("compile %s: %w", c.o.File, c.ctx.Err())
	}
	return join(c.errs)
}

// fail reports a mistake at the place of a node. The result may be given a
// hint.
func (c *compiler) fail(at *node, code, format string, args ...any) *Error {
	e := &Error{Code: code, File: c.o.File, Message: fmt.Sprintf(format, args...)}
	if at != nil && at.src != nil {
		e.src, e.Line, e.Col = at.src, int(at.line), int(at.col)
	}
	c.add(e)
	return e
}

// add reports a mistake, unless it is known already: a job that is called ten
// times has its mistakes once.
func (c *compiler) add(e *Error) {
	c.failures++
	if c.failures > 100*maxErrors { // the same few, again and again
		c.dead = true
	}
	key := fmt.Sprintf("%s\x00%p\x00%d\x00%d\x00%s", e.Code, e.src, e.Line, e.Col, e.Message)
	if c.seen[key] {
		return
	}
	c.seen[key] = true
	for _, t := range c.trace {
		e.Trace = append(e.Trace, "Error calling "+t.kind+": '"+t.name+"'")
	}
	if e.File == "" {
		e.File = c.o.File
	}
	if len(c.errs) >= maxErrors {
		if !c.dead {
			c.dead = true
			c.errs = append(c.errs, &Error{Code: "CFG003", File: c.o.File, Message: "too many errors, the rest is not shown"})
		}
		return
	}
	c.errs = append(c.errs, e)
}

// abort reports that a limit is reached; nothing further is compiled.
func (c *compiler) abort(at *node, code, format string, args ...any) {
	if !c.dead {
		c.fail(at, code, format, args...)
		c.dead = true
	}
}

// work counts what has been done, so that no text takes forever.
func (c *compiler) work(n int) {
	c.spent += n
	if c.spent > c.limits.Expanded/2 {
		c.abort(nil, "CFG003", "the configuration takes too much work to expand; the limit of its size, called 'expanded', is %d bytes", c.limits.Expanded)
	}
}

// within runs f with a line of context added to the errors.
func (c *compiler) within(kind, name string, f func()) {
	c.trace = append(c.trace, calling{kind, name})
	f()
	c.trace = c.trace[:len(c.trace)-1]
}

// locate finds the place of a tag inside a scalar of several lines.
func (c *compiler) locate(at *node, raw string) *node {
	if at == nil || at.src == nil || raw == "" || at.plain && strings.IndexByte(at.text, '\n') < 0 {
		if at != nil && at.src != nil && at.plain {
			if i := strings.Index(at.text, raw); i > 0 {
				moved := *at
				moved.col += int32(i)
				return &moved
			}
		}
		return at
	}
	raw, _, _ = strings.Cut(raw, "\n")
	rest := at.src.text
	for i := int32(1); i < at.line; i++ {
		_, rest, _ = strings.Cut(rest, "\n")
	}
	if len(rest) > len(at.text)*2+4096 {
		rest = rest[:len(at.text)*2+4096]
	}
	skip := ""
	if i := int(at.col) - 1; i < len(rest) {
		skip, rest = rest[:i], rest[i:]
	}
	i := strings.Index(rest, raw)
	if i < 0 {
		return at
	}
	before := skip + rest[:i]
	moved := *at
	moved.line += int32(strings.Count(before, "\n"))
	moved.col = int32(i + len(skip) - strings.LastIndexByte(before, '\n'))
	if strings.IndexByte(before, '\n') < 0 {
		moved.col = int32(len(before) + 1)
	}
	return &moved
}
