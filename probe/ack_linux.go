package probe

import "syscall"

// ackAtOnce has the kernel acknowledge what comes next at once, and not up to 40 ms later:
// TCP_QUICKACK, which lasts for a moment only (tcp(7)).
func (w *wire) ackAtOnce() {
	socket, ok := w.socket.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := socket.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1) // where it is TCP
		})
	}
}
