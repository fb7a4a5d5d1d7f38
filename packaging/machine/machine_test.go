package machine

import (
	"os"
	"strings"
	"testing"
)

func TestMachineIsApart(t *testing.T) {
	m := New(t, Systemd)
	if got := strings.TrimSpace(m.Run(t, "cat", "/proc/1/comm")); got != "systemd" {
		t.Errorf("first runs %s", got)
	}
	m.Write(t, "/etc/machine-of-a-test", "hello")
	if got := m.Run(t, "cat", "/etc/machine-of-a-test"); got != "hello" {
		t.Errorf("got %q", got)
	}
	if _, err := os.Stat("/etc/machine-of-a-test"); !os.IsNotExist(err) {
		t.Errorf("it is out here, too: %v", err)
	}
	m.Write(t, "/run/systemd/system/hello.service", "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo hello >/run/hello'\n")
	m.Run(t, "systemctl", "daemon-reload")
	m.Run(t, "systemctl", "start", "hello.service")
	if got := m.Run(t, "cat", "/run/hello"); got != "hello\n" {
		t.Errorf("got %q", got)
	}
}

func TestMachineWithoutSystemd(t *testing.T) {
	m := New(t, Nothing)
	if got := strings.TrimSpace(m.Run(t, "cat", "/proc/1/comm")); got != "sleep" {
		t.Errorf("first runs %s", got)
	}
	if err := m.Try("test", "-e", "/run/systemd/system"); err == nil {
		t.Error("systemd runs")
	}
}
