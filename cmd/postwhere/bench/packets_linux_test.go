package bench

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postwhere/packaging/realhost"
)

// The relay of far_test.go has two connections where there is one: each host has its
// acknowledgements from this machine, and not from afar. Here it is packets that take half a round
// trip, through a network interface of our own (tun(4)), in a network namespace of our own.

// inNamespace is set in the process that runs a benchmark there.
const inNamespace = "POSTWHERE_BENCH_NAMESPACE"

// BenchmarkFarHostsOverPackets is BenchmarkFarHostsManyAskers where packets are what is delayed.
func BenchmarkFarHostsOverPackets(b *testing.B) {
	for _, kind := range []string{"unknown", "known"} {
		b.Run(kind, func(b *testing.B) {
			if os.Getenv(inNamespace) == "" {
				inOwnNamespace(b)
				return
			}
			realTime(b)
			near := benchHosts(b)
			far := newFarNetwork(b)
			manyAskers(b, far.put(b, near), far.put(b, benchHosts(b)), kind == "known")
		})
	}
}

// inOwnNamespace runs the benchmark in a process that has a network of its own, and reports what
// that does.
func inOwnNamespace(b *testing.B) {
	b.Helper()
	realhost.Need(b, "unshare", "ip", "postfix")
	cmd := exec.Command("unshare", "--net", "sh", "-c", `ip link set lo up && exec "$@"`, "sh", os.Args[0],
		"-test.run=^$", "-test.benchtime=1x", "-test.bench=^"+strings.ReplaceAll(b.Name(), "/", "$/^")+"$")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v:\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if !strings.HasPrefix(line, b.Name()) || len(words) < 3 {
			continue
		}
		for words = words[2:]; len(words) > 1; words = words[2:] {
			if n, err := strconv.ParseFloat(words[0], 64); err == nil {
				b.ReportMetric(n, words[1])
			}
		}
		b.ReportMetric(0, "ns/op")
	}
}

// farNetwork is where packets take half a round trip. A host of this machine that is put there has
// an address in 10.9.0.0/24; what is sent to it comes to the host from that same address.
type farNetwork struct {
	mu   sync.Mutex
	far  map[netip.Addr]netip.Addr // the addresses there of the hosts here
	here map[netip.Addr]netip.Addr // and the other way round
}

// client is the address of this machine in that network.
var client = netip.MustParseAddr("10.8.0.1")

// put returns the addresses that hosts have there.
func (n *farNetwork) put(b *testing.B, hosts []string) (there []string) {
	b.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, host := range hosts {
		at, err := netip.ParseAddrPort(host)
		if err != nil {
			b.Fatal(err)
		}
		as := netip.AddrFrom4([4]byte{10, 9, 0, byte(len(n.here) + 1)})
		n.here[as], n.far[at.Addr()] = at.Addr(), as
		there = append(there, netip.AddrPortFrom(as, at.Port()).String())
	}
	return there
}

func newFarNetwork(b *testing.B) *farNetwork {
	b.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		b.Skip(err)
	}
	request, err := unix.NewIfreq("far")
	if err != nil {
		b.Fatal(err)
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		b.Skip(err)
	}
	// The hosts listen on addresses of loopback only.
	const script = `ip addr add 10.8.0.1/24 dev far && ip link set far mtu 1500 txqueuelen 10000 up && ip route add 10.9.0.0/24 dev far &&
		cd /proc/sys/net/ipv4/conf && echo 1 >all/route_localnet && echo 0 >all/rp_filter && echo 0 >far/rp_filter`
	if out, err := exec.Command("sh", "-c", script).CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	device := os.NewFile(uintptr(fd), "tun")
	n := &farNetwork{far: make(map[netip.Addr]netip.Addr), here: make(map[netip.Addr]netip.Addr)}
	type piece struct {
		packet []byte
		due    time.Time
	}
	under := make(chan piece, 10_000)
	var both sync.WaitGroup
	both.Go(func() {
		defer close(under)
		for {
			packet := make([]byte, 1500)
			size, err := device.Read(packet)
			if err != nil {
				return
			}
			under <- piece{packet[:size], time.Now().Add(roundTrip / 2)}
		}
	})
	both.Go(func() {
		for p := range under {
			time.Sleep(time.Until(p.due))
			if n.turn(p.packet) {
				_, _ = device.Write(p.packet)
			}
		}
	})
	b.Cleanup(func() {
		_ = device.Close()
		both.Wait()
	})
	return n
}

// turn puts other addresses on a packet: one to a host there comes from there to the host here, and
// one from the host here comes from there to the client. It tells whether it is one of these.
func (n *farNetwork) turn(packet []byte) bool {
	if len(packet) < 40 || packet[0]>>4 != 4 {
		return false
	}
	from, to := netip.AddrFrom4([4]byte(packet[12:])), netip.AddrFrom4([4]byte(packet[16:]))
	n.mu.Lock()
	here, isTo := n.here[to]
	far, isFrom := n.far[from]
	n.mu.Unlock()
	was := [8]byte(packet[12:])
	switch {
	case isFrom:
		copy(packet[12:], far.AsSlice())
		copy(packet[16:], client.AsSlice())
	case isTo:
		copy(packet[12:], to.AsSlice())
		copy(packet[16:], here.AsSlice())
	default:
		return false
	}
	header := int(packet[0]&15) * 4
	adjust(packet[10:], was, [8]byte(packet[12:]))        // the header's checksum
	adjust(packet[header+16:], was, [8]byte(packet[12:])) // TCP's, in which the addresses count, too
	return true
}

// adjust changes a checksum for octets that were others (RFC 1624).
func adjust(sum []byte, was, is [8]byte) {
	n := uint32(^binary.BigEndian.Uint16(sum))
	for i := 0; i < len(was); i += 2 {
		n += uint32(^binary.BigEndian.Uint16(was[i:])) + uint32(binary.BigEndian.Uint16(is[i:]))
	}
	for n > 0xffff {
		n = n>>16 + n&0xffff
	}
	binary.BigEndian.PutUint16(sum, ^uint16(n))
}
