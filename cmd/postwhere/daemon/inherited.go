package daemon

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"postwhere/cmd/postwhere/config"
)

// facesOfSockets are the names by which systemd hands over sockets: FileDescriptorName=
// of the socket unit (systemd.socket(5)) is the key of [listen].
var facesOfSockets = []string{"policy", "milter", "socketmap", "control", "provisioning", "tcp_table"}

// inherited are the sockets that systemd listened on before the daemon ran, and goes
// on listening on when it has ended: whoever connects in between waits for the next
// one, and is not refused. The daemon has them as long as it runs, for a reload may
// want one back. The zero value is none. It is not for concurrent use.
type inherited struct{ sockets []inheritedSocket }

type inheritedSocket struct {
	name string
	addr net.Addr
	file *os.File
}

// inherit takes over the files that systemd has handed over, each of the name that
// its socket unit gave it. The error tells of those that are no stream sockets that
// listen; the others are there nevertheless.
func inherit(files []*os.File) (in inherited, err error) {
	var wrong []error
	for _, f := range files {
		l, err := net.FileListener(f)
		if err != nil {
			wrong = append(wrong, errors.New(f.Name()+": not a stream socket that listens"))
			_ = f.Close()
			continue
		}
		in.sockets = append(in.sockets, inheritedSocket{f.Name(), l.Addr(), f})
		_ = l.Close() // its own copy: the file goes on listening
	}
	return in, errors.Join(wrong...)
}

// listener returns the socket of that name which listens at an address, as a
// listener; nil if there is none.
func (in *inherited) listener(name string, at config.Listener) (net.Listener, error) {
	for _, s := range in.sockets {
		if s.name == name && s.at(at) {
			return net.FileListener(s.file)
		}
	}
	return nil, nil
}

// otherName returns the name under which systemd listens at an address, "" if it
// does not.
func (in *inherited) otherName(at config.Listener) string {
	for _, s := range in.sockets {
		if s.at(at) {
			return s.name
		}
	}
	return ""
}

// onPort returns where systemd listens on the port of an address, "" if it does not: it
// is in the way of who wants to listen there at every address of the machine.
func (in *inherited) onPort(at config.Listener) string {
	for _, s := range in.sockets {
		have, is := s.addr.(*net.TCPAddr)
		if is && at.Network == "tcp" && strings.HasSuffix(at.Address, ":"+strconv.Itoa(have.Port)) {
			return have.String()
		}
	}
	return ""
}

// unclaimed returns the sockets that nobody asks for by these keys: who connects
// there waits in vain.
func (in *inherited) unclaimed(keys []doorKey) (left []inheritedSocket) {
	for _, s := range in.sockets {
		if !slices.ContainsFunc(keys, func(k doorKey) bool { return k.face == s.name && s.at(k.listen) }) {
			left = append(left, s)
		}
	}
	return left
}

// warning says what is wrong with an unclaimed socket.
func (s inheritedSocket) warning() string {
	if !slices.Contains(facesOfSockets, s.name) {
		return "systemd listens here under a name that is no face, and nobody answers: FileDescriptorName= is one of " + strings.Join(facesOfSockets, ", ")
	}
	return "systemd listens here and [listen] does not, so nobody answers: let " + s.name + " name it, or disable the socket unit"
}

// close lets go of the sockets; systemd goes on listening.
func (in *inherited) close() {
	for _, s := range in.sockets {
		_ = s.file.Close()
	}
	in.sockets = nil
}

// at tells whether the socket listens at an address. A host's name is looked up, as
// it would be to listen there.
func (s inheritedSocket) at(want config.Listener) bool {
	switch have := s.addr.(type) {
	case *net.UnixAddr:
		return want.Network == "unix" && filepath.Clean(have.Name) == want.Address
	case *net.TCPAddr:
		if want.Network != "tcp" {
			return false
		}
		there, err := net.ResolveTCPAddr("tcp", want.Address)
		return err == nil && plainPort(there.AddrPort()) == plainPort(have.AddrPort())
	}
	return false
}

func plainPort(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}
