package testbed

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// ReadAction reads the reply of a policy service.
func ReadAction(in *bufio.Reader) (string, error) {
	action, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	if end, err := in.ReadString('\n'); err != nil || end != "\n" {
		return "", fmt.Errorf("want an empty line, got %q, %w", end, err)
	}
	return strings.TrimSpace(action), nil
}

// Netstring returns a text as socketmap_table(5) has it on the wire.
func Netstring(s string) string { return fmt.Sprintf("%d:%s,", len(s), s) }

// MilterFrame returns a packet of the milter protocol.
func MilterFrame(cmd byte, data string) string {
	return string(binary.BigEndian.AppendUint32(nil, uint32(len(data)+1))) + string(cmd) + data
}

// Dial connects, for a minute at most, until the test ends.
func Dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn
}
