//go:build !linux

package cache

// onHugePages does nothing: the kernel is not known to take advice about pages.
func onHugePages[T any]([]T) {}
