package shared

// The library allocates what an answer declares before any of it has come, and panics if that
// is more than there can be. So an answer is measured before the library has read what it declares.
const (
	// maxReply is what one answer may take, in octets, with elementSize for each element of
	// an array: the streams (maxRead), a step of SCAN and INFO take less.
	maxReply    = 1 << 20
	elementSize = 16
	// maxLine is for what has no length of its own, such as an error.
	maxLine    = 64 << 10
	maxNesting = 16
)

// meter is where in a server's answers one has come to, by the Redis serialization protocol,
// versions 2 and 3 without streamed types. The zero value is at the beginning.
type meter struct {
	left       int                 // of what the answer may take
	elements   [maxNesting + 1]int // that are to come yet; at [0] are the answers, which do not end
	depth      int
	attributed bool // an attribute is part of the answer behind it
	body       int  // octets of a string that are to come yet, with CR LF

	kind   byte // of the line that is being read, 0: none is
	length int  // of it
	number int  // in it
	digits int
	isNull bool // it has a minus
	isCR   bool // the last octet was
}

// pass reads on, and returns how much may be handed on: all, or what is before the error.
func (m *meter) pass(p []byte) (n int, err error) {
	for n < len(p) {
		step := 1
		switch {
		case m.body > 2:
			step = min(m.body-2, len(p)-n)
			m.body -= step
		case m.body > 0:
			if m.body--; p[n] != "\n\r"[m.body] {
				err = rubbishf("no end of a string")
			}
		case m.kind == 0:
			err = m.begin(p[n])
		default:
			err = m.readLine(p[n])
		}
		if err != nil {
			return n, err
		}
		n += step
	}
	return n, nil
}

// begin begins an element with the octet that says its type.
func (m *meter) begin(kind byte) error {
	switch kind {
	case '+', '-', ':', '_', ',', '#', '(', '$', '!', '=', '*', '~', '>', '%', '|':
	default:
		return rubbishf("nothing begins with %q", kind)
	}
	for m.depth > 0 && m.elements[m.depth] == 0 {
		m.depth--
	}
	if m.depth == 0 {
		if !m.attributed {
			m.left = maxReply
		}
		m.attributed = kind == '|'
	} else if kind != '|' {
		m.elements[m.depth]--
	}
	m.kind, m.length, m.number, m.digits, m.isNull, m.isCR = kind, 0, 0, 0, false, false
	return nil
}

// readLine reads an octet of the line that an element begins with.
func (m *meter) readLine(c byte) error {
	if m.length++; m.length > maxLine {
		return rubbishf("a line without end")
	}
	if m.isCR != (c == '\n') {
		return rubbishf("half an end of a line")
	}
	m.isCR = c == '\r'
	switch {
	case c == '\n':
		return m.endLine()
	case m.isCR, !m.hasNumber():
	case c == '-' && m.length == 1:
		m.isNull = true
	case c < '0' || c > '9':
		return rubbishf("%q in a length", c)
	default:
		m.digits++
		if m.number = 10*m.number + int(c-'0'); m.number > maxReply {
			return rubbishf("%c with a length of more than %d", m.kind, maxReply)
		}
	}
	return nil
}

// hasNumber tells whether the line says the length of what is behind it.
func (m *meter) hasNumber() bool {
	switch m.kind {
	case '+', '-', ':', '_', ',', '#', '(':
		return false
	}
	return true
}

// endLine takes the line for what it is.
func (m *meter) endLine() error {
	size, n := m.length, 0 // what is behind it
	switch {
	case !m.hasNumber():
	case m.digits == 0, m.isNull && (m.digits > 1 || m.number != 1):
		return rubbishf("%c without a length", m.kind)
	case m.isNull:
		size += elementSize
	case m.kind == '$', m.kind == '!', m.kind == '=':
		m.body = m.number + len("\r\n")
		size += m.number
	default:
		if n = m.number; m.kind == '%' || m.kind == '|' { // which have keys, and values
			n *= 2
		}
		size += (n + 1) * elementSize // it is one itself, which nobody declares of an attribute
	}
	m.kind = 0
	if m.left -= size; m.left < 0 {
		return rubbishf("more than %d octets", maxReply)
	}
	if n > 0 {
		if m.depth == maxNesting {
			return rubbishf("more than %d arrays in one another", maxNesting)
		}
		m.depth++
		m.elements[m.depth] = n
	}
	return nil
}
