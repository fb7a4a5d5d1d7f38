package cache

import (
	"encoding/binary"

	"postwhere/policy"
)

// maxSayings is how many there may be: hosts say the same about nearly everybody.
const maxSayings = 1 << 12

// sayings numbers what some hosts say about an address, in order: answers without all
// that is of one address only.
type sayings struct{ numbered[[]policy.Answer] }

// id returns the number of what the answers say; 0 if all numbers are given.
func (s *sayings) id(answers []policy.Answer) uint16 {
	var key []byte
	for _, a := range answers {
		key = binary.AppendUvarint(key, uint64(len(a.Host)))
		key = append(append(key, a.Host...), byte(a.Says))
	}
	id, _ := s.number(string(key), func(string) []policy.Answer {
		said := make([]policy.Answer, len(answers))
		for i, a := range answers {
			said[i] = policy.Answer{Host: a.Host, Says: a.Says}
		}
		return said
	})
	return id
}
