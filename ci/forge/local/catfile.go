package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A catFile asks one long-lived git for objects, because a trigger needs two
// and each start of git costs as much as a small job. It is a short cut only:
// what it does not find, for whatever reason, is asked for again in full, and
// that answer counts. The process ends when nobody has asked for a while.
type catFile struct {
	dir string

	mu     sync.Mutex
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	idle   *time.Timer
	broken bool // this git has no --batch-command
}

// idleTime is how long the process is kept for the next question.
const idleTime = 10 * time.Second

// object returns the type, hash and content of what a name stands for, if it
// is found and not larger than limit.
func (c *catFile) object(ctx context.Context, name string, limit int64) (hash, kind string, data []byte, ok bool) {
	if strings.ContainsAny(name, "\n\x00") {
		return "", "", nil, false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken || ctx.Err() != nil || c.start() != nil {
		return "", "", nil, false
	}
	process := c.cmd.Process // c.cmd may be gone when the context ends
	stop := context.AfterFunc(ctx, func() { _ = process.Kill() })
	defer stop()
	hash, kind, size, found, err := c.ask("info", name)
	if err == nil && found && size <= limit {
		// By hash: the name may stand for something else by now.
		if hash, kind, size, found, err = c.ask("contents", hash); err == nil && found {
			data = make([]byte, size+1) // and the newline behind it
			_, err = io.ReadFull(c.out, data)
			ok = err == nil
		}
	}
	if err != nil {
		c.stop()
		return "", "", nil, false
	}
	c.idle.Reset(idleTime)
	if !ok {
		return "", "", nil, false
	}
	return hash, kind, data[:size], true
}

// ask sends a command and reads the first line of the answer: "hash type size",
// or something else when nothing was found.
func (c *catFile) ask(command, name string) (hash, kind string, size int64, found bool, err error) {
	if _, err = fmt.Fprintf(c.in, "%s %s\n", command, name); err != nil {
		return
	}
	line, err := c.out.ReadString('\n')
	if err != nil {
		return
	}
	fields := strings.Fields(line)
	if len(fields) != 3 || !isHash(fields[0]) {
		// "name missing" is one line; a link that leads nowhere says more, and
		// a name with blanks cannot be told from an answer: begin anew.
		if !strings.HasSuffix(line, " missing\n") {
			err = fmt.Errorf("unexpected answer %q", line)
		}
		return
	}
	size, err = strconv.ParseInt(fields[2], 10, 64)
	return fields[0], fields[1], size, err == nil, err
}

// start starts git, unless it runs.
func (c *catFile) start() error {
	if c.cmd != nil {
		return nil
	}
	cmd := exec.Command("git", append(always[:len(always):len(always)], "-C", c.dir, "cat-file", "--batch-command", "--follow-symlinks")...)
	cmd.Env = environment()
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	c.cmd, c.in, c.out = cmd, in, bufio.NewReader(out)
	c.idle = time.AfterFunc(idleTime, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.cmd == cmd {
			c.stop()
		}
	})
	return nil
}

// stop ends the process. One that refused to start at all is not tried again.
func (c *catFile) stop() {
	c.idle.Stop()
	_ = c.in.Close()
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	if c.cmd.ProcessState.ExitCode() == 129 { // git's code for wrong usage
		c.broken = true
	}
	c.cmd = nil
}

// parseCommit reads a commit object. It declines one whose text is not UTF-8.
func parseCommit(hash string, data []byte) (Commit, bool) {
	head, message, _ := strings.Cut(string(data), "\n\n")
	c := Commit{Revision: hash}
	for line := range strings.SplitSeq(head, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "encoding":
			return c, false
		case "author":
			name, rest, _ := strings.Cut(value, " <")
			c.Author = strings.TrimSpace(name)
			c.Email, _, _ = strings.Cut(rest, ">")
		case "committer":
			_, rest, _ := strings.Cut(value, "> ")
			seconds, _, _ := strings.Cut(rest, " ")
			n, _ := strconv.ParseInt(seconds, 10, 64)
			c.Time = time.Unix(n, 0).UTC()
		}
	}
	blank := func(line string) bool { return strings.TrimSpace(line) == "" }
	lines := strings.SplitAfter(message, "\n")
	start := max(slices.IndexFunc(lines, func(l string) bool { return !blank(l) }), 0)
	end := start
	var subject []string
	for ; end < len(lines) && !blank(lines[end]); end++ {
		subject = append(subject, strings.TrimRight(lines[end], " \t\r\n"))
	}
	for end < len(lines) && blank(lines[end]) {
		end++
	}
	c.Subject = strings.Join(subject, " ")
	c.Body = strings.TrimRight(strings.Join(lines[end:], ""), "\n")
	valid := strings.ToValidUTF8(c.Author+c.Email+c.Subject+c.Body, "") == c.Author+c.Email+c.Subject+c.Body
	return c, valid
}
