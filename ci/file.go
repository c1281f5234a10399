package ci

import "time"

// A File is something that a task stored for later: a cache, a workspace layer
// or an artifact. It is whole or absent, and it never changes.
type File struct {
	Kind FileKind `json:"kind"`
	// Task and Epoch are the hand-out that stored it. A cache belongs to the
	// project alone and has none.
	Task  TaskID `json:"task,omitempty"`
	Epoch int64  `json:"epoch,omitempty"`
	// Name is the cache key, the path of the artifact (slashes, relative,
	// clean), or the layer's number within the task, counted from 0.
	Name string `json:"name"`
	// Size is in bytes; SHA256 is in hex, over the stored bytes.
	Size   int64     `json:"size"`
	SHA256 string    `json:"sha256"`
	Stored time.Time `json:"stored,omitzero"`
}

// A FileKind says what a [File] is.
type FileKind string

// The kinds of files.
const (
	FileCache     FileKind = "cache"     // shared by the jobs of a project; zstd-compressed tar
	FileWorkspace FileKind = "workspace" // for the jobs downstream; zstd-compressed tar
	FileArtifact  FileKind = "artifact"  // for people; the bytes as they were
)

// An Upload is a [File] on its way into the bucket without passing through the
// server: in parts, each by a [Link] of its own.
type Upload struct {
	// ID is the bucket's name for it; "" says that there is none, and that the
	// file has to pass through the server.
	ID string `json:"id,omitempty"`
	// Part is how many bytes each part has, but the last, which may have less.
	Part int64 `json:"part,omitempty"`
	// Sums are the SHA-256 of the parts, in hex.
	Sums []string `json:"sums,omitempty"`
	// Links are where each part goes with a PUT.
	Links []Link `json:"links,omitempty"`
}

// Size returns how many bytes the part of that index has, where the file has
// size bytes.
func (u Upload) Size(index int, size int64) int64 {
	return min(u.Part, size-int64(index)*u.Part)
}

// A Link lets whoever holds it send or read certain bytes at the bucket itself
// for a short while. It is a secret.
type Link struct {
	URL string `json:"url,omitempty"`
	// Header are the fields that the request must have.
	Header map[string]string `json:"header,omitempty"`
}
