package shared

import "github.com/redis/go-redis/v9"

// Scripts are run by the server, each as one step to everybody else (EVAL, Redis 5
// and later). Each takes the names of the streams, then what it is about. Of what is
// stored they read no more than a record may have (maxRecord): what is larger is
// somebody else's, and would hold the server up.

// addFunction adds an entry to a stream. One to which somebody has added the highest number
// that there is takes no more: it begins anew, as if the server had been flushed. The first
// number has the microseconds in it, so that no stream has one of another from before a flush.
const addFunction = `
local add
function add(stream, length, ...)
	local id = '*'
	if redis.call('XLEN', stream) == 0 then
		local time = redis.call('TIME')
		id = string.format('%.0f-%.0f', time[1] * 1000 + math.floor(time[2] / 1000), (time[2] % 1000 + 1) * 1000000)
	end
	id = redis.pcall('XADD', stream, 'MAXLEN', '~', length, id, ...)
	if type(id) == 'table' and string.find(id.err, 'equal or smaller', 1, true) then -- it had one, which is deleted
		id = redis.pcall('XADD', stream, '*', ...)
	end
	if type(id) == 'table' and string.find(id.err, 'exhausted', 1, true) then
		redis.call('DEL', stream)
		return add(stream, length, ...)
	end
	if type(id) == 'table' then error(id.err, 0) end
	return id
end
`

// storeScript stores records, each only in place of one that is of another version,
// or older, or of a time to come. What was denied is told in the stream of denials in
// any case: those who have an owner who was asked since keep him.
//
// It stores no owner, and returns 0, of whom there may have been a purge that the writer
// has not heard of: what he writes may be what was purged. Purges of other addresses do not
// count, since they may come all the time. It stores nothing, and returns -1, if the clock is
// not what the writer takes it for: it was set, or he was held up.
//
//	KEYS: the stream of purges, that of denials, and the records'
//	ARGV: the writer's position in the stream of purges, the version, lifetime (ms) and
//	      length of a stream, the time, and how far off it may be, and of each record: its time,
//	      lifetime (ms), object, and the address if it was denied, else ""
var storeScript = redis.NewScript(addFunction + `
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
if math.abs(now - ARGV[5]) > tonumber(ARGV[6]) then return -1 end
local purged, all, from = {}, true, ARGV[1]
for _ = 1, 100 do
	local got = redis.call('XREAD', 'COUNT', 1, 'STREAMS', KEYS[1], from)
	if not got then
		all = false
		break
	end
	local words = got[1][2][1][2] -- as purgeScript has them
	if words[2] ~= ARGV[2] or #(words[8] or '') > 4096 then break end
	if words[6] == 'address' then
		purged[string.sub(KEYS[1], 1, -7) .. 'address:' .. (words[8] or '')] = true
	elseif words[6] ~= '` + kindNothing + `' then
		break
	end
	from = got[1][2][1][1]
end
local heard = 1
for i = 3, #KEYS do
	local at, life, object, denied = math.min(ARGV[4*i-5], now), ARGV[4*i-4], ARGV[4*i-3], ARGV[4*i-2]
	local when = string.format('%.0f', at)
	local old = redis.pcall('GETRANGE', KEYS[i], 0, 40)
	local newer = false
	if type(old) == 'string' then
		local v, t = string.match(old, '^(%d+) (%d+) ')
		newer = v == ARGV[2] and tonumber(t) >= at and tonumber(t) <= now
	end
	if denied == '' and (all or purged[KEYS[i]]) then
		heard = 0
	elseif not newer then
		redis.call('SET', KEYS[i], ARGV[2] .. ' ' .. when .. ' ' .. object, 'PX', life)
	end
	if denied ~= '' then
		add(KEYS[2], ARGV[4], 'v', ARGV[2], 'address', denied, 'at', when)
		redis.call('PEXPIRE', KEYS[2], ARGV[3])
	end
end
return heard
`)

// purgeScript tells of a purge, and removes the owner of the address if
// it is of one. That an address was denied stays known: the mailbox was known until a moment
// ago, and is not refused for that.
//
// The stream has no lifetime: a server that is full drops what has one (volatile-lru),
// and a purge that is dropped does not reach who is away.
//
//	KEYS: the stream of purges, and the record if the purge is of an address
//	ARGV: length of the stream, the version, the front end, and which purge it is, in
//	      two words
var purgeScript = redis.NewScript(addFunction + `
if KEYS[2] then
	local old = redis.pcall('GETRANGE', KEYS[2], 0, 4096)
	if type(old) == 'string' and string.find(old, '"host":', 1, true) then redis.call('DEL', KEYS[2]) end
end
return add(KEYS[1], ARGV[1], 'v', ARGV[2], 'by', ARGV[3], 'kind', ARGV[4], 'what', ARGV[5])
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
