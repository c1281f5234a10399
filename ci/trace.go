package ci

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
)

// TraceID is the identity of the pipeline's trace (W3C Trace Context): the same
// for all who compute it, so that nobody has to be told.
func (p PipelineID) TraceID() (id [16]byte) {
	sum := sha256.Sum256([]byte("trace\x00" + p))
	copy(id[:], sum[:])
	return id
}

// SpanID is the identity of the span of what the words name: a workflow, a job,
// a task and the index of a step.
func SpanID(words ...string) (id [8]byte) {
	sum := sha256.Sum256([]byte("span\x00" + strings.Join(words, "\x00")))
	copy(id[:], sum[:])
	return id
}

// TraceParent is what the steps of a task find in TRACEPARENT: what they trace
// becomes a part of their job in the trace of the pipeline.
func (t Task) TraceParent() string {
	trace, span := t.Pipeline.TraceID(), SpanID(string(t.Job), strconv.Itoa(t.Index))
	return "00-" + hex.EncodeToString(trace[:]) + "-" + hex.EncodeToString(span[:]) + "-01"
}
