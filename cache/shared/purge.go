package shared

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"postwhere/cache"
)

// tellPurge has a purge take effect on the other front ends, and in the server if it is
// of an address.
func (l *Link) tellPurge(p cache.Purge) error {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	keys := []string{l.purgeStream()}
	if p.Name != (cache.Name{}) {
		keys = append(keys, l.key(p.Name))
	}
	kind, what := wordsOf(p)
	defer l.readNow() // should the server lose it, that is known once it is read
	return purgeScript.Run(ctx, l.patient, keys, streamLength, version, l.id, kind, what).Err()
}

// tellNothing adds an entry of which nobody has to forget anything, and returns its number.
func (l *Link) tellNothing() (id string, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	return purgeScript.Run(ctx, l.patient, []string{l.purgeStream()}, streamLength, version, l.id, kindNothing, "").Text()
}

// removePurged has a purge that the others know of take effect in the server.
func (l *Link) removePurged(p cache.Purge) error {
	switch kind, what := wordsOf(p); kind {
	case kindDomain:
		return l.remove("*@"+globQuote(what), ownerText)
	case kindHost:
		return l.remove("*", hostText(what))
	case kindAll:
		return l.remove("*", ownerText)
	}
	return nil
}

// ownerText is in each record of an owner, and in no other.
const ownerText = `"host":`

// hostText returns what is in each record of an owner that a host has.
func hostText(name string) string {
	quoted, _ := json.Marshal(name) // a string can be
	return ownerText + string(quoted)
}

// scanStep is how many keys are looked at in one step.
const scanStep = 1000

// remove removes the records of owners that have a text, of addresses that match.
func (l *Link) remove(addresses, text string) error {
	pattern := globQuote(l.cfg.Prefix) + "address:" + addresses
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		ctx, cancel := context.WithTimeout(l.ctx, patience)
		keys, next, err := l.patient.Scan(ctx, cursor, pattern, scanStep).Result()
		if err == nil && len(keys) > 0 {
			err = removeScript.Run(ctx, l.patient, keys, text).Err()
		}
		cancel()
		if err != nil {
			return fmt.Errorf("not all of it is removed: %w", err)
		}
		cursor = next
	}
	return nil
}

// globQuote returns a pattern that matches a text and nothing else.
func globQuote(text string) string {
	var quoted []byte
	for _, c := range []byte(text) {
		switch c {
		case '*', '?', '[', ']', '\\', '^', '-':
			quoted = append(quoted, '\\')
		}
		quoted = append(quoted, c)
	}
	return string(quoted)
}

// Purge has a purge of the cache take effect on the other front ends, and returns when
// it has been told to them and nothing of it is left in the server. An error says why
// that comes later: the server is away, or ctx has ended.
func (l *Link) Purge(ctx context.Context, p cache.Purge) error {
	if l == nil {
		return nil
	}
	p.Name.Local = strings.ToLower(p.Name.Local) // as keys have it
	done := l.pending.purge(p)
	if err := l.health.err(); err != nil && l.health.isGone() {
		return err
	}
	select {
	case <-done:
		return nil
	case <-l.ctx.Done():
		return errors.New("the sharing has ended")
	case <-ctx.Done():
	}
	if err := l.State().Why; err != nil {
		return err
	}
	return ctx.Err()
}
