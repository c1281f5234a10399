package onhost

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
)

// settings returns a fault that people must mend, with the setting to do so.
func settings(setting, format string, args ...any) error {
	return &vmservice.Fault{
		Class: vmservice.FaultSettings, Code: "host", Setting: setting,
		Err: fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ci.ErrInvalid),
	}
}

// full returns a fault that ends when somebody gives room back.
func full(code, format string, args ...any) error {
	return &vmservice.Fault{Class: vmservice.FaultCapacity, Code: code, Err: fmt.Errorf(format, args...)}
}

// explain puts the operation before an error, and says what is to be done about
// it. It is nil for none.
func explain(op string, err error) error {
	var f *vmservice.Fault
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, err)
	case errors.As(err, &f):
		return &vmservice.Fault{Class: f.Class, Code: f.Code, Setting: f.Setting, After: f.After, Err: fmt.Errorf("%s: %w", op, err)}
	case errors.Is(err, ci.ErrConflict), errors.Is(err, ci.ErrInvalid), errors.Is(err, ci.ErrNotFound):
		return fmt.Errorf("%s: %w", op, err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), strings.Contains(err.Error(), "No space left on device"):
		return full("disk", "%s: the disk of onhost.dir is full: %w", op, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return &vmservice.Fault{Class: vmservice.FaultSettings, Code: "host", Setting: "onhost", Err: fmt.Errorf("%s: this host does not let us: %w", op, err)}
	case errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EAGAIN):
		return full("host", "%s: %w", op, err)
	}
	return &vmservice.Fault{Class: vmservice.FaultTransient, Code: "host", Err: fmt.Errorf("%s: %w", op, err)}
}
