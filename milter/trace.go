package milter

import (
	"fmt"
	"mime"
	"strings"

	"postwhere/policy"
)

// maxTrace bounds a trace header's value, in octets. A message may have a thousand
// recipients, and Postfix cuts headers off after header_size_limit (102,400).
const maxTrace = 32 << 10

// ownerOf returns a recipient and who owns it.
func ownerOf(f policy.Finding) string {
	host := "?"
	if f.Host != nil {
		host = f.Host.Name
	}
	// Letters beyond ASCII are allowed in headers of some messages only.
	return mime.QEncoding.Encode("utf-8", f.Address.String()+" "+host)
}

// traceValue returns the header's value, a line for each recipient.
func traceValue(owners []string) string {
	var b strings.Builder
	for i, o := range owners {
		if b.Len()+len(o) > maxTrace {
			fmt.Fprintf(&b, "\n\tand %d more", len(owners)-i)
			break
		}
		if i > 0 {
			b.WriteString(",\n\t")
		}
		b.WriteString(o)
	}
	return b.String()
}
