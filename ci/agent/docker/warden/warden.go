// Package warden is the first process of a job's container: it starts the
// steps there, takes in their orphans, and ends with the agent.
//
// [Main] runs inside, as process 1 and as root, from the executable that steps
// know as circleci. It calls the agent at a socket that only it can reach, and
// from then on does what it is told: start a process as some user, signal its
// group, kill everything. Each process gets the very pipe that the agent reads,
// so output takes no detour through the engine, and a step starts as fast as on
// the machine itself. A [Client] is the agent's end. When the connection ends,
// however the agent did, the warden ends too, and the kernel with it kills all
// that runs in the container.
//
// Neither end trusts the other with more than that: a job that is root in its
// container may meddle with the warden, so the client bounds what it reads and
// how long it waits. The package knows nothing of engines and images.
package warden

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
)

// Verb is the argument by which the tool's executable becomes the warden; the
// path of the socket follows.
const Verb = "place-warden"

// A request is what the agent asks for. A file may come with it.
type request struct {
	Seq    uint64   `json:"seq"`
	Op     string   `json:"op"`
	ID     uint64   `json:"id,omitempty"` // of the process
	Path   string   `json:"path,omitempty"`
	Args   []string `json:"args,omitempty"`
	Env    []string `json:"env,omitempty"`
	Dir    string   `json:"dir,omitempty"`
	UID    uint32   `json:"uid,omitempty"`
	GID    uint32   `json:"gid,omitempty"`
	Groups []uint32 `json:"groups,omitempty"`
	Signal int      `json:"signal,omitempty"`
}

// The operations.
const (
	opStart  = "start"
	opSignal = "signal" // to the group of a process
	opAlive  = "alive"
	opKill   = "kill" // everything
)

// A message is an answer, or the end of a process.
type message struct {
	Seq   uint64 `json:"seq,omitempty"` // of the request; 0 is the end of a process
	ID    uint64 `json:"id,omitempty"`
	Err   string `json:"err,omitempty"`
	Alive bool   `json:"alive,omitempty"`
	Code  int    `json:"code,omitempty"`
}

// Bounds of one message. The kernel's own bound of arguments and environment
// together is 2 MiB by default.
const (
	maxRequest = 16 << 20
	maxMessage = 64 << 10
)

// send writes a value behind its length; oob goes with the first byte.
func send(c *net.UnixConn, v any, oob []byte) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	var head [4]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(b)))
	if _, _, err := c.WriteMsgUnix(head[:], oob, nil); err != nil {
		return err
	}
	_, err = c.Write(b)
	return err
}

// receive reads a value of at most limit bytes, and what came with it.
func receive(c *net.UnixConn, v any, limit int, oob []byte) (n int, err error) {
	var head [4]byte
	for got := 0; got < len(head); {
		m, o, _, _, err := c.ReadMsgUnix(head[got:], oob[n:])
		if err == nil && m == 0 {
			err = io.EOF
		}
		if err != nil {
			return n, err
		}
		got, n = got+m, n+o
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > uint32(limit) {
		return n, fmt.Errorf("a message of %d bytes is too long", size)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(c, b); err != nil {
		return n, err
	}
	return n, json.Unmarshal(b, v)
}
