// Package junit reads test results in the XML format of JUnit.
//
// [Parse] reads one file and [Walk] all of a directory. What they read was
// written by a job and may be anything: documents with a DOCTYPE are refused,
// nothing outside the directory is opened, no address is ever fetched, and
// depth, number and length are bounded.
package junit

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/rondo-ci/rondo/ci"
)

// Bounds of what is kept. Longer texts are cut, with a note.
const (
	maxFile    = 64 << 20 // bytes of one document
	maxDepth   = 64       // of nested elements
	maxMessage = 16 << 10 // bytes of the message of one failure
	maxName    = 4 << 10  // bytes of a name
)

// Parse reads one document. Source is put into every test. A document that is
// not well-formed, has a DOCTYPE or has no test suites at all is an error.
func Parse(r io.Reader, source string) ([]ci.Test, error) {
	in := &io.LimitedReader{R: r, N: maxFile}
	d := xml.NewDecoder(in)
	d.CharsetReader = charset
	p := parser{source: source}
	for {
		t, err := d.Token()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = p.token(t)
		}
		if in.N <= 0 {
			err = fmt.Errorf("longer than %d bytes", maxFile)
		}
		if err != nil {
			return nil, fmt.Errorf("parse test results: %w", err)
		}
	}
	if !p.suites {
		return nil, errors.New("parse test results: there is no testsuite element")
	}
	return p.tests, nil
}

// parser is the state of reading one document.
type parser struct {
	source string
	tests  []ci.Test
	suites bool
	path   []string // names of the open elements
	files  []string // file attributes of the open suites
	names  []string // and their names
	test   *ci.Test // the open test case
	text   *bytes.Buffer
}

func (p *parser) token(t xml.Token) error {
	switch t := t.(type) {
	case xml.Directive:
		return errors.New("a DOCTYPE is not allowed")
	case xml.StartElement:
		if len(p.path) >= maxDepth {
			return fmt.Errorf("elements nested deeper than %d", maxDepth)
		}
		p.path = append(p.path, t.Name.Local)
		p.start(t)
	case xml.EndElement:
		p.path = p.path[:len(p.path)-1]
		p.end(t.Name.Local)
	case xml.CharData:
		if p.text != nil && p.text.Len() <= maxMessage {
			p.text.Write(t[:min(len(t), maxMessage+1)])
		}
	}
	return nil
}

func (p *parser) start(e xml.StartElement) {
	switch e.Name.Local {
	case "testsuites":
		p.suites = true
	case "testsuite":
		p.suites = true
		p.files = append(p.files, attr(e, "file"))
		p.names = append(p.names, attr(e, "name"))
	case "testcase":
		p.suites = true
		p.test = &ci.Test{
			Name: attr(e, "name"), Classname: attr(e, "classname"), File: attr(e, "file"),
			Source: p.source, Result: "success", Seconds: seconds(attr(e, "time")),
		}
		for i := len(p.files) - 1; i >= 0 && p.test.File == ""; i-- {
			p.test.File = p.files[i]
		}
		for i := len(p.names) - 1; i >= 0 && p.test.Classname == ""; i-- {
			p.test.Classname = p.names[i]
		}
	case "failure", "error", "skipped":
		if p.test == nil || len(p.path) < 2 || p.path[len(p.path)-2] != "testcase" {
			return
		}
		if worse(e.Name.Local, p.test.Result) {
			p.test.Result = e.Name.Local
		}
		if m := attr(e, "message"); m != "" && p.test.Message == "" {
			p.test.Message = m
		}
		p.text = new(bytes.Buffer)
	}
}

// worse reports whether result a says more than b.
func worse(a, b string) bool {
	rank := map[string]int{"success": 0, "skipped": 1, "failure": 2, "error": 3}
	return rank[a] > rank[b]
}

func (p *parser) end(name string) {
	switch name {
	case "testsuite":
		if n := len(p.files); n > 0 {
			p.files, p.names = p.files[:n-1], p.names[:n-1]
		}
	case "testcase":
		if p.test != nil {
			p.tests = append(p.tests, *p.test)
			p.test = nil
		}
	case "failure", "error", "skipped":
		if p.text == nil || p.test == nil {
			return
		}
		if text := strings.TrimSpace(cut(p.text.String(), maxMessage)); text != "" && text != p.test.Message {
			if p.test.Message != "" && !strings.Contains(text, p.test.Message) {
				text = p.test.Message + "\n" + text
			}
			p.test.Message = cut(text, maxMessage)
		}
		p.text = nil
	}
}

// attr returns the value of an attribute, "" if there is none.
func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			if name == "message" {
				return cut(a.Value, maxMessage)
			}
			return cut(a.Value, maxName)
		}
	}
	return ""
}

// cut shortens a text at a character's border.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit] + " [cut]"
}

// seconds reads a duration. What makes no sense is 0.
func seconds(s string) float64 {
	f, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(s), ",", ""), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || f < 0 || f > 1e9 {
		return 0
	}
	return f
}

// charset decodes the one-byte encodings that test tools still write.
func charset(label string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return r, nil
	case "iso-8859-1", "latin1", "iso-8859-15", "windows-1252", "cp1252":
		return &latin{r: r}, nil
	}
	return nil, fmt.Errorf("encoding %q is not supported", label)
}

// latin turns ISO 8859-1 into UTF-8.
type latin struct {
	r   io.Reader
	out []byte
}

func (l *latin) Read(p []byte) (int, error) {
	if len(l.out) == 0 {
		var in [512]byte
		n, err := l.r.Read(in[:])
		for _, b := range in[:n] {
			l.out = utf8.AppendRune(l.out, rune(b))
		}
		if n == 0 {
			return 0, err
		}
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}
