package storage

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// Names of objects. Whatever name a file has, its object's name consists of
// letters, digits, "-", ".", "_", "!" and "/", so that every bucket can take it
// and nobody escapes from his folder. In a name,
//
//	any other byte, and a dot or slash that begins a part, becomes ! and 2 hex digits
//	a slash that ends a part                               becomes !/
//	after partSize bytes without a slash                   stands  !_/
//	what is too long, after about longName bytes,          becomes !- and a hash
//	behind a slash that ends the name                      stands  !.
//
// A folder thus ends with "!" and never has the name of an object, parts stay
// below the 255 bytes of file systems, and, because what becomes of a byte
// depends on those before it alone, a name begins with another exactly when
// its object's name begins with the other's: listing by prefix is exact.
const (
	partSize = 64
	longName = 600

	maxCacheName    = 64 << 10
	maxArtifactName = 4 << 10
	maxArtifactPart = 255
)

const hexDigits = "0123456789abcdef"

// plain says whether a byte stands for itself in the name of an object.
func plain(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_'
}

// appendEscaped appends s as one part: every byte that is not plain, and a dot
// in front, is escaped.
func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = appendByte(dst, s[i], i == 0)
	}
	return dst
}

func appendByte(dst []byte, c byte, first bool) []byte {
	if plain(c) && (c != '.' || !first) {
		return append(dst, c)
	}
	return append(dst, '!', hexDigits[c>>4], hexDigits[c&15])
}

// escapeName returns the object's name for a file's name, without folder, and
// how many bytes of the name are in it; the hash stands for the others.
func escapeName(name string) (escaped string, used int) {
	dst := make([]byte, 0, len(name)+8)
	part := 0 // bytes since the last slash
	for i := range len(name) {
		if len(dst) > longName {
			return string(dst), i
		}
		switch {
		case name[i] == '/' && part > 0:
			dst = append(dst, "!/"...)
			part = 0
			continue
		case part == partSize:
			dst = append(dst, "!_/"...)
			part = 0
		}
		dst = appendByte(dst, name[i], part == 0)
		part++
	}
	return string(dst), len(name)
}

// objectName returns the object's name for a file's name.
func objectName(name string) string {
	escaped, used := escapeName(name)
	switch {
	case used == len(name) && strings.HasSuffix(escaped, "/"):
		return escaped + "!."
	case used == len(name):
		return escaped
	}
	sum := sha256.Sum256([]byte(name))
	return escaped + "!-" + hex.EncodeToString(sum[:])
}

// unescapeName returns the file's name for an object's, and false when it has
// to be read from the object.
func unescapeName(object string) (string, bool) {
	dst := make([]byte, 0, len(object))
	for i := 0; i < len(object); i++ {
		if object[i] != '!' {
			dst = append(dst, object[i])
			continue
		}
		rest := object[i+1:]
		switch {
		case strings.HasPrefix(rest, "/"):
			dst = append(dst, '/')
			i++
		case strings.HasPrefix(rest, "_/"):
			i += 2
		case rest == ".":
			i++
		default:
			if len(rest) < 2 {
				return "", false
			}
			c, err := strconv.ParseUint(rest[:2], 16, 8)
			if err != nil {
				return "", false
			}
			dst = append(dst, byte(c))
			i += 2
		}
	}
	return string(dst), true
}

// folder returns what the names of all objects of the same kind and owner
// begin with.
func folder(project ci.ProjectID, f ci.File) (string, error) {
	owner, top := string(f.Task), ""
	switch f.Kind {
	case ci.FileCache:
		owner, top = string(project), "caches/"
	case ci.FileWorkspace:
		top = "workspaces/"
	case ci.FileArtifact:
		top = "artifacts/"
	default:
		return "", fmt.Errorf("kind %.40q: %w", f.Kind, ci.ErrInvalid)
	}
	if owner == "" || len(owner) > maxTask {
		return "", fmt.Errorf("no project or task, or too long a name: %w", ci.ErrInvalid)
	}
	top += escapePart(owner) + "/"
	if f.Kind == ci.FileCache {
		return top, nil
	}
	if f.Epoch < 0 {
		return "", fmt.Errorf("epoch is negative: %w", ci.ErrInvalid)
	}
	return top + strconv.FormatInt(f.Epoch, 10) + "/", nil
}

// checkName says whether a file of the kind may have the name.
func checkName(kind ci.FileKind, name string) error {
	reason := ""
	switch {
	case name == "":
		reason = "is empty"
	case kind == ci.FileCache && len(name) > maxCacheName:
		reason = fmt.Sprintf("is longer than %d bytes", maxCacheName)
	case kind == ci.FileWorkspace:
		if n, err := strconv.ParseUint(name, 10, 31); err != nil || strconv.FormatUint(n, 10) != name {
			reason = "is not the number of a layer"
		}
	case kind == ci.FileArtifact:
		reason = badPath(name)
	}
	if reason == "" {
		return nil
	}
	return fmt.Errorf("the name %s: %w", reason, ci.ErrInvalid)
}

// badPath says what is wrong with the path of an artifact.
func badPath(name string) string {
	switch {
	case len(name) > maxArtifactName:
		return fmt.Sprintf("is longer than %d bytes", maxArtifactName)
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "has control characters"
	case strings.HasPrefix(name, "/"):
		return "is an absolute path"
	case path.Clean(name) != name || name == "." || name == ".." || strings.HasPrefix(name, "../"):
		return "is not a clean relative path"
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxArtifactPart {
			return fmt.Sprintf("has a part longer than %d bytes", maxArtifactPart)
		}
	}
	return ""
}
