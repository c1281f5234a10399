package storage

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// loadHot opens the file of a hand-out and finds out what is in it. A torn
// tail, which was never acknowledged, is cut off. It returns nil and no error
// when nothing of the file can be used; it is then out of the way.
func loadHot(d disk, name, owner string, log *slog.Logger) (*hotFile, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	h := &hotFile{f: f, disk: d, name: name, owner: owner, streams: map[int]*stream{}}
	usable, err := h.load(log)
	if err != nil || !usable {
		_ = f.Close()
		return nil, err
	}
	return h, nil
}

// load fills in the fields of h from its file.
func (h *hotFile) load(log *slog.Logger) (usable bool, err error) {
	size, err := h.f.Size()
	if err != nil {
		return false, err
	}
	s, nonce, owner, next, err := readHead(h.f, size)
	switch {
	case errors.Is(err, errTorn):
		return false, h.giveUp(size, log)
	case err != nil:
		return false, err
	case owner != h.owner:
		return false, fmt.Errorf("file %s is that of another hand-out", h.name)
	}
	h.seed, h.nonce = s, nonce
	index, end, err := readEnd(h.f, s, nonce, size)
	if err == nil {
		if h.streams, err = parseIndex(index, end.pos); err != nil {
			return false, fmt.Errorf("index of file %s: %w", h.name, err)
		}
		h.size, h.synced, h.named, h.ended = size, size, true, true
		return true, nil
	}
	if !errors.Is(err, errTorn) {
		return false, err
	}
	return true, h.recover(next, size, log)
}

// recover reads all frames from pos on and cuts off what follows them. What
// stays may have been written but not synced when the last server died, so it
// is synced before anybody is told that it is there.
func (h *hotFile) recover(pos, size int64, log *slog.Logger) error {
	h.size = pos
	err := scan(h.f, h.seed, pos, size, func(f frame, _ []byte) error {
		s := h.stream(f.step)
		if f.kind != kindData || f.offset != s.size {
			return errTorn
		}
		s.add(f)
		h.streams[f.step] = s
		h.size = f.end()
		return nil
	})
	if err != nil && !errors.Is(err, errTorn) {
		return err
	}
	if h.size < size {
		if err := h.cut(size, log); err != nil {
			return err
		}
	}
	if err := errors.Join(h.f.Sync(), h.disk.sync()); err != nil {
		return err
	}
	h.synced, h.named = h.size, true
	for _, s := range h.streams {
		s.durable = s.size
	}
	return nil
}

// cut removes everything behind the last good frame. If there are whole frames
// in it, it is not the torn end of the last write but a damaged file: then a
// copy is kept aside for people to look at.
func (h *hotFile) cut(size int64, log *slog.Logger) error {
	damaged, err := findFrame(h.f, h.seed, h.size+1, size)
	if err != nil {
		return err
	}
	if damaged {
		log.Error("a log file is damaged; its readable beginning is used and a copy kept aside",
			"file", h.name, "good", h.size, "size", size)
		if err := h.keepAside(size); err != nil {
			return fmt.Errorf("keep a copy of damaged file %s: %w", h.name, err)
		}
	}
	return h.f.Truncate(h.size)
}

// keepAside copies the file.
func (h *hotFile) keepAside(size int64) error {
	name := h.name + badSuffix
	if err := h.disk.remove(name); err != nil {
		return err
	}
	to, err := h.disk.create(name)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.NewOffsetWriter(to, 0), io.NewSectionReader(h.f, 0, size))
	return errors.Join(err, to.Sync(), to.Close())
}

// giveUp moves a file without a readable head out of the way. It comes from
// the very first write to it, torn, or from damage; the two look alike.
func (h *hotFile) giveUp(size int64, log *slog.Logger) error {
	if size == 0 {
		return h.disk.remove(h.name)
	}
	log.Warn("a log file has no readable beginning; it is kept aside", "file", h.name, "size", size)
	return h.disk.rename(h.name, h.name+badSuffix)
}
