// Package cachekey evaluates the templates of cache keys, such as
//
//	v1-deps-{{ .Branch }}-{{ checksum "go.sum" }}
//
// A [Data] is what a template may name. The package reads the files that a
// template takes the checksum of, and nothing else.
package cachekey

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"text/template"
	"time"

	"github.com/rondo-ci/rondo/ci/agent/archive"
)

// MaxLength is the longest key, in bytes.
const MaxLength = 900

// Data is what a template may name.
type Data struct {
	Branch   string
	Revision string
	BuildNum int64
	// CheckoutKey names the SSH key that the source was fetched with.
	CheckoutKey string
	// Environment are the variables of the job. A variable that it lacks is
	// empty.
	Environment map[string]string
}

// Render evaluates a template. Function checksum is the SHA-256 of a file, in
// base64; find turns the path in the template into one that can be opened, and
// nil leaves it as it is. Function epoch is the time in seconds, and arch says
// what machine this is. Errors name the place in the template; an unknown
// function, a missing file, an empty key and one that is too long are errors.
func Render(text string, data Data, find func(path string) string) (string, error) {
	if find == nil {
		find = func(path string) string { return path }
	}
	t, err := template.New("cacheKey").Option("missingkey=zero").Funcs(template.FuncMap{
		"checksum": func(path string) (string, error) { return checksum(path, find(path)) },
		"epoch":    func() string { return strconv.FormatInt(time.Now().Unix(), 10) },
		"arch":     func() string { return "arch1-" + runtime.GOOS + "-" + runtime.GOARCH },
	}).Parse(text)
	if err != nil {
		return "", fmt.Errorf("error computing cache key: %w", err)
	}
	var key limited
	if err := t.Execute(&key, data); err != nil {
		return "", fmt.Errorf("error computing cache key: %w", err)
	}
	switch k := key.String(); {
	case strings.TrimSpace(k) == "":
		return "", fmt.Errorf("error computing cache key: %q gives an empty key", text)
	case strings.ContainsAny(k, "\x00\r\n"):
		return "", fmt.Errorf("error computing cache key: %q gives a key of more than one line", text)
	default:
		return k, nil
	}
}

// checksum returns the sum of a file. Its errors name the file as the template
// does.
func checksum(name, path string) (string, error) {
	f, _, err := archive.OpenFile(path)
	if err != nil {
		return "", fmt.Errorf("open %s: %w", name, err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}

// limited is a builder that refuses more than a key may be long.
type limited struct{ strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > MaxLength {
		return 0, fmt.Errorf("the key is longer than %d bytes", MaxLength)
	}
	return l.Builder.Write(p)
}
