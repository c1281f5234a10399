package pusher

import (
	"encoding/json"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// The codes with which connections end. Below 4100 the client must not come
// back as it is, below 4200 it should wait, from there on it comes at once.
const (
	codeNoApp      = 4001
	codeNoVersion  = 4008
	codeBadVersion = 4007
	codeRights     = 4009
	codeFull       = 4100
	codeAgain      = 4200
	codeNoPong     = 4201
	codeRefused    = 4301 // of an error that does not end the connection
)

// private begins the names of channels that need a signature.
const private = "private-"

// An incoming message is what a client sends.
type incoming struct {
	Event   string          `json:"event"`
	Channel string          `json:"channel"`
	Data    json.RawMessage `json:"data"`
}

// A subscription is the data of a client that subscribes. Position is there
// or in channel_data, which is text.
type subscription struct {
	Channel     string `json:"channel"`
	Auth        string `json:"auth"`
	ChannelData string `json:"channel_data"`
	position
}

// A position is what a client has seen of a channel.
type position struct {
	// After is the number of the last event; nil is to begin now.
	After *uint64 `json:"after,omitempty"`
	// Output is the end of what it has of the output, by "node.epoch.step".
	// Steps that are not named are sent from their beginning.
	Output map[string]int64 `json:"output,omitzero"`
}

// encode makes JSON within a text of JSON, as the protocol has its data.
func encode(v any) []byte {
	inner, err := json.Marshal(v)
	if err != nil { // cannot be: our own nouns
		inner = []byte("{}")
	}
	outer, _ := json.Marshal(string(inner)) // a text always can
	return outer
}

// message returns a message of a channel, "" is none, with encoded data.
func message(event, channel string, data []byte) []byte {
	var b strings.Builder
	b.Grow(len(event) + len(channel) + len(data) + 40)
	b.WriteString(`{"event":`)
	b.Write(quote(event))
	if channel != "" {
		b.WriteString(`,"channel":`)
		b.Write(quote(channel))
	}
	b.WriteString(`,"data":`)
	b.Write(data)
	b.WriteByte('}')
	return []byte(b.String())
}

func quote(s string) []byte {
	b, _ := json.Marshal(s) // a text always can
	return b
}

// problem returns the message of an error. Its data is not within a text.
func problem(code int, text string) []byte {
	data, _ := json.Marshal(map[string]any{"code": code, "message": text})
	return message("pusher:error", "", data)
}

// channelsOf returns the channels that an event is for, without "private-".
func channelsOf(e ci.Event) []string {
	out := []string{"project-" + string(e.Project), "pipeline-" + string(e.Pipeline)}
	if e.Workflow != "" {
		out = append(out, "workflow-"+string(e.Workflow))
	}
	if e.Job != "" {
		out = append(out, "job-"+string(e.Job))
	}
	return out
}
