//go:build !linux

package workshop

// KeepPrivate does nothing where the system has no such setting.
func KeepPrivate() {}
