package shared

import "github.com/redis/go-redis/v9"

// Scripts are run by the server, each as one step to everybody else (EVAL, Redis 5
// and later). Each takes the names of the streams, then what it is about. Of what is
// stored they read no more than a record may have (maxRecord): what is larger is
// somebody else's, and would hold the server up.

// storeScript stores records, each only in place of one that is of another version,
// or older, or of a time to come. What was denied is told in the stream of denials in
// any case: those who have an owner who was asked since keep him.
//
// It stores nothing, and returns 0, if there has been a purge that the writer has not
// heard of: what he writes may be what was purged.
//
//	KEYS: the stream of purges, that of denials, and the records'
//	ARGV: the writer's position in the stream of purges, the version, lifetime (ms) and
//	      length of a stream, and of each record: its time, lifetime (ms), object, and the
//	      address if it was denied, else ""
var storeScript = redis.NewScript(`
if redis.call('XREAD', 'COUNT', 1, 'STREAMS', KEYS[1], ARGV[1]) then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for i = 3, #KEYS do
	local at, life, object, denied = math.min(ARGV[4*i-7], now), ARGV[4*i-6], ARGV[4*i-5], ARGV[4*i-4]
	local when = string.format('%.0f', at)
	local old = redis.pcall('GETRANGE', KEYS[i], 0, 40)
	local newer = false
	if type(old) == 'string' then
		local v, t = string.match(old, '^(%d+) (%d+) ')
		newer = v == ARGV[2] and tonumber(t) >= at and tonumber(t) <= now
	end
	if not newer then
		redis.call('SET', KEYS[i], ARGV[2] .. ' ' .. when .. ' ' .. object, 'PX', life)
	end
	if denied ~= '' then
		redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[4], '*', 'v', ARGV[2], 'address', denied, 'at', when)
		redis.call('PEXPIRE', KEYS[2], ARGV[3])
	end
end
return 1
`)

// purgeScript tells of a purge, and removes the owner of the address if it is of one.
// That an address was denied stays known: the mailbox was known until a moment ago,
// and is not refused for that.
//
// The stream has no lifetime: a server that is full drops what has one (volatile-lru),
// and a purge that is dropped does not reach who is away.
//
//	KEYS: the stream of purges, and the record if the purge is of an address
//	ARGV: length of the stream, the version, the front end, and which purge it is, in
//	      two words
var purgeScript = redis.NewScript(`
if KEYS[2] then
	local old = redis.pcall('GETRANGE', KEYS[2], 0, 4096)
	if type(old) == 'string' and string.find(old, '"host":', 1, true) then redis.call('DEL', KEYS[2]) end
end
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'v', ARGV[2], 'by', ARGV[3], 'kind', ARGV[4], 'what', ARGV[5])
return 1
`)

// removeScript removes those records of owners whose text has what is given.
//
//	KEYS: the records
//	ARGV: the text
var removeScript = redis.NewScript(`
local n = 0
for i = 1, #KEYS do
	local old = redis.pcall('GETRANGE', KEYS[i], 0, 4096)
	if type(old) == 'string' and string.find(old, ARGV[1], 1, true) then n = n + redis.call('DEL', KEYS[i]) end
end
return n
`)

// streamLength is about how many purges, and denials, are known to who was away.
const streamLength = 10_000

func (l *Link) purgeStream() string  { return l.cfg.Prefix + "purges" }
func (l *Link) denialStream() string { return l.cfg.Prefix + "denied" }
