package statsd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/rondo-ci/rondo/metrics"
)

// A Type is the type of a [Message].
type Type byte

// The types, and what they are written as.
const (
	Counter Type = iota // c
	Gauge               // g
	Timing              // ms: the values are milliseconds, and become seconds
	Spread              // h and d
	Set                 // s: how many different values
	Other               // an event or a service check: read, and not used
)

// A Message is one line of a packet.
type Message struct {
	Name   string
	Type   Type
	Values []float64 // one, or several of a packed message (DogStatsD 1.1)
	Delta  bool      // of a Gauge: the value is added to it
	Member string    // of a Set
	Weight float64   // 1 / sample rate
	Tags   []metrics.Tag
}

// Limits of what is taken, against senders that make up names.
const (
	maxName = 256
	maxTags = 64
)

// Parse reads one line:
//
//	name:value[:value...]|type[|@rate][|#tag:value,tag...][|further fields]
//
// Fields that it does not know (c:, T, e:, card:) are left out. Nothing in the
// line makes it panic.
func Parse(line string) (Message, error) {
	if strings.HasPrefix(line, "_e{") || strings.HasPrefix(line, "_sc|") {
		return Message{Type: Other}, nil
	}
	head, rest, ok := strings.Cut(line, "|")
	if !ok {
		return Message{}, errors.New("the type is missing: name:value|type")
	}
	i := strings.IndexByte(head, ':')
	if i <= 0 || i > maxName {
		return Message{}, fmt.Errorf("no name of 1 to %d characters before a colon", maxName)
	}
	m := Message{Name: clean(head[:i]), Weight: 1}
	kind, fields, _ := strings.Cut(rest, "|")
	switch kind {
	case "c":
		m.Type = Counter
	case "g":
		m.Type = Gauge
	case "ms":
		m.Type = Timing
	case "h", "d":
		m.Type = Spread
	case "s":
		m.Type, m.Member = Set, head[i+1:]
	default:
		return Message{}, fmt.Errorf("unknown type %.16q", kind)
	}
	if err := m.fields(fields); err != nil {
		return Message{}, err
	}
	if m.Type == Set {
		return m, nil
	}
	return m, m.values(head[i+1:])
}

// fields reads what stands behind the type.
func (m *Message) fields(s string) error {
	for s != "" {
		var field string
		field, s, _ = strings.Cut(s, "|")
		switch {
		case strings.HasPrefix(field, "@"):
			rate, err := strconv.ParseFloat(field[1:], 64)
			if err != nil || !(rate > 0 && rate <= 1) {
				return fmt.Errorf("the rate %.16q is not above 0 and at most 1", field[1:])
			}
			m.Weight = 1 / rate
		case strings.HasPrefix(field, "#"):
			if err := m.tags(field[1:]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (m *Message) tags(s string) error {
	if n := strings.Count(s, ",") + 1; n > maxTags {
		return fmt.Errorf("%d tags: at most %d are taken", n, maxTags)
	}
	pairs := make([]string, 0, 8)
	for s != "" {
		var tag string
		tag, s, _ = strings.Cut(s, ",")
		key, value, ok := strings.Cut(tag, ":")
		if !ok {
			value = "true" // a tag without a value, as Telegraf reads it
		}
		if len(key) > maxName || len(value) > maxName {
			return fmt.Errorf("a tag is longer than %d characters", maxName)
		}
		pairs = append(pairs, clean(key), clean(value))
	}
	m.Tags = metrics.Tags(pairs...)
	return nil
}

func (m *Message) values(s string) error {
	if s == "" {
		return errors.New("the value is missing")
	}
	m.Delta = m.Type == Gauge && (s[0] == '+' || s[0] == '-')
	for {
		text, more, again := strings.Cut(s, ":")
		v, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("the value %.24q is no number", text)
		}
		if m.Type == Timing {
			v /= 1000
		}
		m.Values = append(m.Values, v)
		if !again {
			return nil
		}
		s = more
	}
}

// clean replaces characters that would break logs and platforms.
func clean(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c == 0x7f {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r == 0x7f {
					return '_'
				}
				return r
			}, s)
		}
	}
	return s
}
