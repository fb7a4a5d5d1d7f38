package disk

import (
	"log/slog"
	"sync"
	"testing"
	"time"

	"postwhere/cache"
	"postwhere/policy"
)

// A reload changes lifetimes and bounds while the file is being read: in the end the cache
// has whom the last of them let live, whatever they were when he came, and nobody else.
func TestLifetimesChangeWhileTheFileIsRead(t *testing.T) {
	const owners = 20_000
	path, now := newPath(t), time.Now()
	ago := func(i int) time.Duration { return time.Duration(i) * 20 * time.Second } // up to 4.6 days
	c := newCache(t)
	k, _ := keep(t, path, c)
	for i := range owners {
		answer := yes("mail1")
		answer.At = now.Add(-ago(i))
		c.Own(nth(t, i), answer)
	}
	k.Close()

	last := cache.Default()
	short, long, hasty := last, last, last
	short.Expire, short.Refresh = 3*24*time.Hour, time.Minute
	long.Expire = 30 * 24 * time.Hour
	hasty.Domains = map[string]cache.Lifetimes{"example.com": short.Lifetimes, "example.org": long.Lifetimes}
	c = newCache(t)
	stranger := address(t, "nobody@example.com")
	var reloads sync.WaitGroup
	read := make(chan struct{})
	reloads.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-read:
				return
			default:
			}
			if err := c.Adjust([]cache.Options{long, hasty, last, short}[i%4]); err != nil {
				t.Error(err)
			}
			c.Keep(stranger, []policy.Answer{{Host: "mail1", Says: policy.No, At: time.Now()}})
			for j := i % 100; j < owners; j += owners / 10 { // nobody is made older or younger by it
				if o := c.Recall(nth(t, j), time.Now()).Owner; o.Says == policy.Yes && (time.Since(o.At)-time.Since(now)-ago(j)).Abs() > time.Second {
					t.Errorf("%d was asked %v ago", j, time.Since(o.At))
				}
			}
		}
	})
	k = Start(path, c, slog.New(slog.DiscardHandler), nil)
	t.Cleanup(k.Close)
	k.Wait(patience)
	close(read)
	reloads.Wait()
	if err := c.Adjust(short); err != nil {
		t.Fatal(err)
	}
	if got := c.Recall(stranger, time.Now()).Answers; len(got) > 0 {
		t.Errorf("a stranger has outlived the lifetimes by which he was counted: %v", got)
	}
	living := 0
	for i := range owners {
		memo := c.Recall(nth(t, i), time.Now())
		switch age := ago(i) + time.Since(now); {
		case memo.Owner.Says == policy.Yes:
			if living++; age >= short.Expire {
				t.Errorf("%d lives, and was asked %v ago", i, age)
			}
			if memo.Stale != (age >= short.Refresh) && (age < short.Refresh*9/10 || age >= short.Refresh) {
				t.Errorf("%d was asked %v ago, stale %v", i, age, memo.Stale)
			}
		case age < short.Expire*8/10: // his lifetime is up to a tenth shorter
			t.Errorf("%d is forgotten, and was asked %v ago", i, age)
		}
	}
	if living == 0 {
		t.Error("nobody lives: that is no test")
	}
}
