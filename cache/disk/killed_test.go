package disk

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

const killedFile = "POSTWHERE_TEST_KILLED_FILE"

// beKilled is a process that learns owners until it is killed: each moves from host
// to host, and each that was written is told on standard output before the next.
func beKilled() bool {
	path := os.Getenv(killedFile)
	if path == "" {
		return false
	}
	c, err := cache.New(cache.Default())
	if err != nil {
		panic(err)
	}
	k := newKeeper(path, c, slog.New(slog.DiscardHandler))
	for i := 0; ; i++ {
		for j := range 300 {
			a, err := policy.ParseAddress(fmt.Sprintf("user%d@example.com", j))
			if err != nil {
				panic(err)
			}
			c.Own(a, yes(fmt.Sprintf("mail%d", i)))
		}
		k.anew = i%5 == 4
		if err := k.step(time.Now()); err != nil { // which comes once a second otherwise
			panic(err)
		}
		fmt.Println(i)
	}
}

// Whenever it is killed, all that was on the disk is there.
func TestKilledProcessLosesNothingThatWasWritten(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := newPath(t)
	for range 5 {
		cmd := exec.CommandContext(t.Context(), self)
		cmd.Env = append(os.Environ(), killedFile+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for range 3 {
			if _, err := lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		time.AfterFunc(time.Duration(rand.IntN(50))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		told, _ := io.ReadAll(lines)
		_ = cmd.Wait()
		said := strings.Fields("2\n" + string(told[:strings.LastIndexByte(string(told), '\n')+1]))
		var last int
		if _, err := fmt.Sscan(said[len(said)-1], &last); err != nil {
			t.Fatal(err)
		}
		c, log := reborn(t, path)
		log.wants(t, 0, "set aside")
		for j := range 300 {
			var got int
			host := c.Recall(address(t, fmt.Sprintf("user%d@example.com", j)), time.Now()).Owner.Host
			if _, err := fmt.Sscanf(host, "mail%d", &got); err != nil || got < last {
				t.Fatalf("user%d: %q, and mail%d was written", j, host, last)
			}
		}
	}
}
