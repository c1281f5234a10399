package storage

import (
	"errors"
	"os"
	"strings"

	"gocloud.dev/gcerrors"
)

// quiet returns an error that is err for errors.Is and errors.As, but whose
// text holds no names of objects.
func quiet(err error) error {
	var path *os.PathError
	var link *os.LinkError
	code := gcerrors.Code(err)
	text := err.Error()
	switch {
	case errors.As(err, &path):
		text = path.Op + ": " + path.Err.Error()
	case errors.As(err, &link):
		text = link.Op + ": " + link.Err.Error()
	case code != gcerrors.Unknown && code != gcerrors.OK:
		text = "bucket: " + strings.ToLower(code.String())
	case strings.Contains(text, "blob ("):
		text = "bucket: error"
	}
	return quietError{text, err}
}

type quietError struct {
	text string
	err  error
}

func (e quietError) Error() string { return e.text }
func (e quietError) Unwrap() error { return e.err }
