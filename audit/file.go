package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// errOvertaken says that another process files.
var errOvertaken = errors.New("another process files")

// A shelf is how far lines are filed, as it is kept.
type shelf struct {
	Last    uint64    `json:"last"`    // number of the last line in a file
	Bytes   int64     `json:"bytes"`   // of all files
	Hour    time.Time `json:"hour"`    // that is not over yet
	Trimmed uint64    `json:"trimmed"` // lines up to it are in files only
	Tree    []string  `json:"tree"`    // over the lines in files
	Head    string    `json:"head"`    // hash of the last line in a file
	Number  uint64    `json:"number"`  // of checkpoints
	Prev    string    `json:"prev"`    // hash of the last one
	// Plan is what is being filed. It is written before the objects are, so
	// that whoever goes on after a crash writes the same ones.
	Plan *plan `json:"plan,omitempty"`
}

// A plan is a file and a checkpoint to be.
type plan struct {
	First uint64    `json:"first"`
	Last  uint64    `json:"last"` // less than First: a checkpoint only
	Hour  time.Time `json:"hour"`
	Time  time.Time `json:"time"`
	Next  time.Time `json:"next"` // the hour after it
}

// tree returns the tree over what is filed.
func (s shelf) tree() (*tree, error) {
	t := &tree{size: s.Last}
	for _, text := range s.Tree {
		var h Hash
		if !h.parse(text) {
			return nil, fmt.Errorf("%s: %q is no hash", kindShelf, text)
		}
		t.roots = append(t.roots, h)
	}
	return t, nil
}

// file writes the files that are due.
func (b *Book) file(ctx context.Context, now time.Time) error {
	for {
		var h head
		var s shelf
		if _, err := b.load(ctx, kindHead, &h); err != nil {
			return err
		}
		doc, err := b.load(ctx, kindShelf, &s)
		if err != nil {
			return err
		}
		b.fresh.Store(0)
		b.waiting.Store(h.Seq - min(s.Last, h.Seq))
		if s.Plan == nil {
			due, err := b.plan(ctx, &s, h, now)
			if err != nil {
				return err
			}
			if !due {
				return b.trim(ctx, doc, s, now)
			}
			kept, err := b.docs.WriteDocs(ctx, put(doc, s))
			if err != nil {
				return overtaken(err)
			}
			doc = kept[0]
		}
		if err := b.carryOut(ctx, doc, s); err != nil {
			return err
		}
	}
}

func overtaken(err error) error {
	if errors.Is(err, ci.ErrConflict) {
		return errOvertaken
	}
	return err
}

// plan decides what is to be filed now.
func (b *Book) plan(ctx context.Context, s *shelf, h head, now time.Time) (bool, error) {
	hour := now.UTC().Truncate(time.Hour)
	if s.Hour.IsZero() {
		if h.Seq == 0 {
			return false, nil
		}
		s.Hour = hour
	}
	full := h.Bytes-s.Bytes >= b.cfg.MaxFile || h.Seq-s.Last >= max(b.cfg.MaxWaiting/2, 1)
	if !hour.After(s.Hour) && !full { // a clock that went back waits
		if s.Number == 0 && s.Plan == nil && s.Last == 0 {
			return false, b.firstHour(ctx, *s)
		}
		return false, nil
	}
	p := &plan{First: s.Last + 1, Last: s.Last, Hour: s.Hour, Time: now.UTC().Truncate(time.Second), Next: s.Hour}
	var size int64
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindEntry, AllScopes: true, After: entryID(s.Last)}) {
		if err != nil {
			return false, err
		}
		if size += int64(len(d.Body)) + 1; size > b.cfg.MaxFile && p.Last >= p.First {
			break
		}
		p.Last++
	}
	if p.Last == h.Seq && hour.After(s.Hour) {
		p.Next = hour
	}
	s.Plan = p
	return true, nil
}

// firstHour keeps the hour in which the book was begun.
func (b *Book) firstHour(ctx context.Context, s shelf) error {
	doc, err := b.load(ctx, kindShelf, &shelf{})
	if err == nil && doc.Version == 0 {
		_, err = b.docs.WriteDocs(ctx, put(doc, s))
	}
	return overtaken(err)
}

// carryOut writes what the plan says and notes that it is done.
func (b *Book) carryOut(ctx context.Context, doc ci.Doc, s shelf) error {
	t, err := s.tree()
	if err != nil {
		return err
	}
	p := *s.Plan
	c := Checkpoint{Origin: b.origin(), Number: s.Number + 1, Time: p.Time}
	c.Prev.parse(s.Prev)
	c.Head.parse(s.Head)
	var changes []ci.DocChange
	if p.Last >= p.First {
		f, err := b.writeFile(ctx, p, t, &c)
		if err != nil {
			return err
		}
		c.File = f
		body, _ := json.Marshal(f) // it can be written
		changes = append(changes, ci.DocChange{Doc: ci.Doc{Kind: kindFile, ID: entryID(f.Last), Body: body}})
		s.Bytes += f.Size
	}
	c.Size, c.Root = t.size, t.root()
	note := b.signer.sign(c.text())
	if err := b.create(ctx, checkpointKey(p.Hour, c.Number), note); err != nil {
		return err
	}
	s.Last, s.Number, s.Head, s.Prev = t.size, c.Number, c.Head.String(), sumOf(note).String()
	s.Hour, s.Plan, s.Tree = p.Next, nil, nil
	for _, h := range t.roots {
		s.Tree = append(s.Tree, h.String())
	}
	_, err = b.docs.WriteDocs(ctx, append(changes, put(doc, s))...)
	return overtaken(err)
}

func (b *Book) origin() string { return b.signer.name + "/audit" }

// writeFile writes the object of a plan and puts its lines into the tree.
func (b *Book) writeFile(ctx context.Context, p plan, t *tree, c *Checkpoint) (*File, error) {
	var data bytes.Buffer
	f := &File{Key: fileKey(p.Hour, p.First), First: p.First, Last: p.Last}
	next := p.First
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindEntry, AllScopes: true, After: entryID(p.First - 1), Before: entryID(p.Last + 1)}) {
		if err != nil {
			return nil, err
		}
		l, err := ParseLine(d.Body)
		if err == nil && l.Seq != next {
			err = fmt.Errorf("it has the number %d", l.Seq)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d in the database: %w", next, err)
		}
		e, err := l.Event()
		if err != nil {
			return nil, err
		}
		if f.From.IsZero() || e.Occurred.Before(f.From) {
			f.From = e.Occurred
		}
		if e.Occurred.After(f.To) {
			f.To = e.Occurred
		}
		data.Write(l.Text)
		data.WriteByte('\n')
		t.add(l.Hash)
		c.Head = l.Hash
		next++
	}
	if next != p.Last+1 {
		return nil, fmt.Errorf("line %d is missing in the database", next)
	}
	f.Sum, f.Size = sumOf(data.Bytes()), int64(data.Len())
	return f, b.create(ctx, f.Key, data.Bytes())
}

// create writes an object, which may be there already when a crash came
// between it and the note that it is done. It is never written over.
func (b *Book) create(ctx context.Context, key string, data []byte) error {
	err := b.bucket.Create(ctx, key, data)
	if !errors.Is(err, ci.ErrConflict) {
		return err
	}
	there, err := readAll(ctx, b.bucket, key)
	if err != nil {
		return err
	}
	if !bytes.Equal(there, data) {
		return fmt.Errorf("%s is there and is not what the book has; move it away and keep it as evidence", key)
	}
	return nil
}

// trim lets go of lines in the database that have been in a file for long.
func (b *Book) trim(ctx context.Context, doc ci.Doc, s shelf, now time.Time) error {
	upTo := s.Trimmed
	for d, err := range b.docs.Docs(ctx, ci.DocQuery{Kind: kindFile, AllScopes: true, After: entryID(s.Trimmed)}) {
		if err != nil {
			return err
		}
		f, err := readFileDoc(d)
		if err != nil {
			return err
		}
		if d.Created.After(now.Add(-b.cfg.Hot)) {
			break
		}
		if upTo = min(f.Last, s.Trimmed+batch); upTo < f.Last {
			break
		}
	}
	if upTo == s.Trimmed {
		return nil
	}
	var changes []ci.DocChange
	for seq := s.Trimmed + 1; seq <= upTo; seq++ {
		changes = append(changes, ci.DocChange{Doc: ci.Doc{Kind: kindEntry, ID: entryID(seq), Version: ci.AnyVersion}, Delete: true})
	}
	s.Trimmed = upTo
	_, err := b.docs.WriteDocs(ctx, append(changes, put(doc, s))...)
	return overtaken(err)
}

func readFileDoc(d ci.Doc) (File, error) {
	var f File
	if err := json.Unmarshal(d.Body, &f); err != nil {
		return f, fmt.Errorf("%s %s: %w", d.Kind, d.ID, err)
	}
	return f, nil
}
