package shared

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// streams is what is behind a position in the streams.
type streams struct {
	purges, denials []redis.XMessage
	read            reading // of the server's clock
	lost            bool    // what was read last is not there
	// What follows is known if it is lost.
	length                int64  // how many purges there are
	first                 string // of them
	lastPurge, lastDenial string // that ever were
	mark                  string // what is there as long as it is not lost again, "" if nothing can be
}

// readScript reads the streams from a position on. It looks at one entry at a time, and
// hands on no more of it than our words may have: what is larger is somebody else's.
//
// What was read last may not be there because there never was a purge. So that the next time
// it is, an entry is added of which nobody has to forget anything, unless the last entry will do.
//
//	KEYS: the stream of purges, and that of denials
//	ARGV: the positions in them, an entry of the first that is to be there or "", how many
//	      entries and octets are read of each, the version, the front end, and the length of a
//	      stream
var readScript = redis.NewScript(addFunction + `
local function sizeOf(words)
	local octets = 16 * #words -- as the reader counts an answer's
	for _, word in ipairs(words) do octets = octets + #word end
	return octets
end
local function read(stream, from)
	local entries, size = {}, 0
	while #entries < tonumber(ARGV[4]) and size < tonumber(ARGV[5]) do
		local got = redis.call('XREAD', 'COUNT', 1, 'STREAMS', stream, from)
		if not got then break end
		local id, words = got[1][2][1][1], got[1][2][1][2]
		local octets = sizeOf(words)
		if octets > tonumber(ARGV[5]) then
			got, words = nil, {}
			collectgarbage()
		end
		entries[#entries + 1] = {id, words}
		from, size = id, size + octets
	end
	return entries
end
local function about(stream)
	local info, is = redis.pcall('XINFO', 'STREAM', stream), {['last-generated-id'] = '0-0', length = 0}
	if info.err and not string.find(info.err, 'no such key', 1, true) then error(info.err, 0) end
	for i = 1, #info, 2 do is[info[i]] = info[i + 1] end
	return is
end
local time = redis.call('TIME')
redis.call('XLEN', KEYS[1]) -- is a stream
redis.call('XLEN', KEYS[2])
local mark = ARGV[3] ~= '' and redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])[1]
if ARGV[3] ~= '' and not (mark and sizeOf(mark[2]) <= tonumber(ARGV[5])) then -- one that is too large is not looked for again
	local is = about(KEYS[1])
	local first, final, purge = is['first-entry'], is['last-entry'], is['last-generated-id']
	mark = final and sizeOf(final[2]) <= tonumber(ARGV[5]) and final[1]
	if not mark then
		local taken, id = pcall(add, KEYS[1], ARGV[8], 'v', ARGV[6], 'by', ARGV[7], 'kind', '` + kindNothing + `', 'what', '')
		mark = taken and id or ''
	end
	return {time[1], time[2], is.length, first and first[1] or '0-0', purge, about(KEYS[2])['last-generated-id'], mark}
end
return {time[1], time[2], read(KEYS[1], ARGV[1]), read(KEYS[2], ARGV[2])}
`)

// readStreams reads some entries behind a position.
func (l *Link) readStreams(ctx context.Context, from Position, mark string, entries int) (s streams, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	keys := []string{l.purgeStream(), l.denialStream()}
	sent := time.Now()
	reply, err := readScript.Run(ctx, l.reader, keys, from.Purges, from.Denials, mark, entries, maxRead,
		version, l.id, streamLength).Slice()
	if err != nil {
		return streams{}, err
	}
	got := time.Now()
	var seconds, micros int64
	switch len(reply) {
	case 4:
		s.purges, s.denials = entriesOf(reply[2]), entriesOf(reply[3])
	case 7:
		s.lost = true
		s.length, _ = reply[2].(int64)
		s.first, s.lastPurge, s.lastDenial = fmt.Sprint(reply[3]), fmt.Sprint(reply[4]), fmt.Sprint(reply[5])
		s.mark = fmt.Sprint(reply[6])
	default:
		return streams{}, fmt.Errorf("answers %d words to what has 4", len(reply))
	}
	if _, err := fmt.Sscan(fmt.Sprint(reply[0], " ", reply[1]), &seconds, &micros); err != nil {
		return streams{}, fmt.Errorf("has no time: %w", err)
	}
	s.read = reading{time.Unix(seconds, micros*int64(time.Microsecond)), sent, got}
	return s, nil
}

// entriesOf returns what the script has read.
func entriesOf(reply any) (entries []redis.XMessage) {
	list, _ := reply.([]any)
	for _, entry := range list {
		pair, _ := entry.([]any)
		if len(pair) != 2 {
			continue
		}
		words, _ := pair[1].([]any)
		e := redis.XMessage{ID: fmt.Sprint(pair[0]), Values: make(map[string]any)}
		for i := 0; i+1 < len(words); i += 2 {
			e.Values[fmt.Sprint(words[i])] = words[i+1]
		}
		entries = append(entries, e)
	}
	return entries
}
