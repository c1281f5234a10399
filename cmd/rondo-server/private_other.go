//go:build !linux

package main

// keepPrivate does nothing where the system has no such setting.
func keepPrivate() {}
