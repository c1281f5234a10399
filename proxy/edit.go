package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/rondo-ci/rondo/ci"
)

// The lines around what is ours in a file.
const (
	markBegin = "BEGIN rondo proxy (rondo proxy apply writes this)"
	markEnd   = "END rondo proxy"
)

// Edit returns the file with the rendering in it, in the place of an earlier
// one: between two marks, or in a JSON file as the keys that are ours. The rest
// stays as it is, byte for byte (in JSON: as it means). old is nil for a file
// that does not exist. A JSON file that cannot be read is an error that wraps
// [ci.ErrInvalid], and marks that do not fit are too.
func (r Rendering) Edit(old []byte) ([]byte, error) {
	if r.comment == "" {
		return r.editJSON(old, true)
	}
	before, after, found, err := r.cut(old)
	if err != nil {
		return nil, err
	}
	if r.Text == "" {
		return append(before, after...), nil
	}
	if !found {
		if n := len(before); n > 0 && before[n-1] != '\n' {
			before = append(before, '\n')
		}
	}
	block := r.comment + " " + markBegin + "\n" + r.Text + r.comment + " " + markEnd + "\n"
	return append(append(before, block...), after...), nil
}

// Revert returns the file without what Edit has put into it. backup is the file
// as it was before the first Edit, to bring back the keys of a JSON file that
// were replaced; nil is that there was none.
func (r Rendering) Revert(old, backup []byte) ([]byte, error) {
	if r.comment != "" {
		before, after, _, err := r.cut(old)
		return append(before, after...), err
	}
	r.keys, r.Text = allKeys(r.Target), "{}"
	was := map[string]any{}
	if len(bytes.TrimSpace(backup)) > 0 {
		if err := json.Unmarshal(backup, &was); err != nil {
			return nil, fmt.Errorf("%w: the copy of the earlier file is no JSON object: %w", ci.ErrInvalid, err)
		}
	}
	r.Text = writeJSON(was)
	return r.editJSON(old, false)
}

// allKeys are the keys that a JSON target may have written.
func allKeys(t Target) [][]string {
	full, err := Parse("http://a:1", "https://b:1", "")
	if err != nil {
		return nil
	}
	r, err := full.Render(t)
	if err != nil {
		return nil
	}
	return r.keys
}

// cut returns what stands before and after our block. The slices are copies.
func (r Rendering) cut(old []byte) (before, after []byte, found bool, err error) {
	begin, end := r.comment+" "+markBegin, r.comment+" "+markEnd
	state := 0
	for line := range bytes.Lines(old) {
		switch text := strings.TrimRight(string(line), "\r\n"); {
		case text == begin && state == 0:
			state = 1
		case text == end && state == 1:
			state = 2
		case text == begin, text == end:
			return nil, nil, false, fmt.Errorf("%w: the lines %q and %q must be there once each, in this order: mend the file by hand", ci.ErrInvalid, begin, end)
		case state == 0:
			before = append(before, line...)
		case state == 2:
			after = append(after, line...)
		}
	}
	if state == 1 {
		return nil, nil, false, fmt.Errorf("%w: the line %q is missing: mend the file by hand", ci.ErrInvalid, end)
	}
	return before, after, state == 2, nil
}

// editJSON sets our keys as the text of the rendering has them, and removes
// those of ours that it has not.
func (r Rendering) editJSON(old []byte, keepEmpty bool) ([]byte, error) {
	doc, want := map[string]any{}, map[string]any{}
	if len(bytes.TrimSpace(old)) > 0 {
		d := json.NewDecoder(bytes.NewReader(old))
		d.UseNumber()
		if err := d.Decode(&doc); err != nil || doc == nil {
			return nil, fmt.Errorf("%w: the file is no JSON object: mend it first (%w)", ci.ErrInvalid, err)
		}
	}
	if err := json.Unmarshal([]byte(r.Text), &want); err != nil {
		return nil, err
	}
	keys := r.keys
	if keepEmpty {
		keys = allKeys(r.Target)
	}
	for _, path := range keys {
		v, ok := lookJSON(want, path)
		setJSON(doc, path, v, ok)
	}
	if len(doc) == 0 && len(old) == 0 {
		return nil, nil
	}
	return []byte(writeJSON(doc)), nil
}

func lookJSON(doc map[string]any, path []string) (any, bool) {
	for _, name := range path[:len(path)-1] {
		next, ok := doc[name].(map[string]any)
		if !ok {
			return nil, false
		}
		doc = next
	}
	v, ok := doc[path[len(path)-1]]
	return v, ok
}

// setJSON sets or removes what stands at the path; objects that become empty
// go too.
func setJSON(doc map[string]any, path []string, v any, set bool) {
	name := path[0]
	if len(path) == 1 {
		if set {
			doc[name] = v
		} else {
			delete(doc, name)
		}
		return
	}
	next, ok := doc[name].(map[string]any)
	if !ok {
		if !set {
			return
		}
		next = map[string]any{}
		doc[name] = next
	}
	setJSON(next, path[1:], v, set)
	if len(next) == 0 {
		delete(doc, name)
	}
}
