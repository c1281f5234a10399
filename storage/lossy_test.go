package storage

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// lossyDisk is a disk that takes note of what is done to it, can fail, and can
// lose power: each sector and each name that was not synced is then there or
// not, as chance will have it.
type lossyDisk struct {
	mu      sync.Mutex
	names   map[string]*inode
	durable map[string]*inode
	ops     []string              // what was done, in order
	fail    func(op string) error // asked before each; may be nil
}

type inode struct{ now, durable []byte }

func newLossyDisk() *lossyDisk {
	return &lossyDisk{names: map[string]*inode{}, durable: map[string]*inode{}}
}

// powerLoss returns what the disk is afterwards.
func (d *lossyDisk) powerLoss(random *rand.Rand) *lossyDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := newLossyDisk()
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		if ino := d.names[name]; d.durable[name] == ino || random.IntN(2) == 0 {
			next.names[name] = ino.powerLoss(random)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.durable)) {
		if d.names[name] == nil && random.IntN(2) == 0 { // removed, but not for good
			next.names[name] = d.durable[name].powerLoss(random)
		}
	}
	next.durable = maps.Clone(next.names)
	return next
}

func (i *inode) powerLoss(random *rand.Rand) *inode {
	const sector = 64
	least, most := min(len(i.now), len(i.durable)), max(len(i.now), len(i.durable))
	data := make([]byte, least+random.IntN(most-least+1))
	for at := 0; at < len(data); at += sector {
		end := min(at+sector, len(data))
		from := i.durable
		if random.IntN(2) == 0 || at >= len(i.durable) && random.IntN(4) > 0 {
			from = i.now
		}
		if at < len(from) {
			copy(data[at:end], from[at:])
		}
	}
	return &inode{now: data, durable: bytes.Clone(data)}
}

// do notes an operation, unless it fails. d.mu is held.
func (d *lossyDisk) do(op string) error {
	if d.fail != nil {
		if err := d.fail(op); err != nil {
			return err
		}
	}
	d.ops = append(d.ops, op)
	return nil
}

func (d *lossyDisk) open(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &lossyFile{d, d.names[name]}, nil
}

func (d *lossyDisk) create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.do("create"); err != nil {
		return nil, err
	}
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	d.names[name] = &inode{}
	return &lossyFile{d, d.names[name]}, nil
}

func (d *lossyDisk) rename(old, name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.do("rename"); err != nil {
		return err
	}
	d.names[name] = d.names[old]
	delete(d.names, old)
	return nil
}

func (d *lossyDisk) remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.do("remove"); err != nil {
		return err
	}
	delete(d.names, name)
	return nil
}

func (d *lossyDisk) each(visit func(string, time.Time) bool) error {
	d.mu.Lock()
	names := slices.Sorted(maps.Keys(d.names))
	d.mu.Unlock()
	for _, name := range names {
		if !visit(name, time.Time{}) {
			break
		}
	}
	return nil
}

func (d *lossyDisk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.do("sync names"); err != nil {
		return err
	}
	d.durable = maps.Clone(d.names)
	return nil
}

func (d *lossyDisk) close() error { return nil }

type lossyFile struct {
	d   *lossyDisk
	ino *inode
}

func (f *lossyFile) ReadAt(p []byte, pos int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	n := 0
	if pos < int64(len(f.ino.now)) {
		n = copy(p, f.ino.now[pos:])
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *lossyFile) WriteAt(p []byte, pos int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err := f.d.do("write")
	if err != nil {
		p = p[:len(p)/2] // half of it got there
	}
	now := bytes.Clone(f.ino.now)
	n := copy(now[pos:], p)
	f.ino.now = append(now, p[n:]...)
	return len(p), err
}

func (f *lossyFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.do("truncate"); err != nil {
		return err
	}
	f.ino.now = f.ino.now[:size:size]
	return nil
}

func (f *lossyFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.do("sync"); err != nil {
		return err
	}
	f.ino.durable = bytes.Clone(f.ino.now)
	return nil
}

func (f *lossyFile) Size() (int64, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.ino.now)), nil
}

func (f *lossyFile) Close() error { return nil }
