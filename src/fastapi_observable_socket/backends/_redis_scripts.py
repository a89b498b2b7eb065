"""
What Redis does in one step each, by scripts of its own language.

Whatever a step writes is copied as its effects to logs and replicas, not as the script.
"""

STORE = """
local function store(stream, meta, channel, data, size, ttl, fresh, incarnation, meta_ttl)
  local epoch, known, offset = unpack(redis.call('HMGET', meta, 'e', 'i', 'o'))
  if not epoch or known ~= incarnation then
    redis.call('DEL', stream)
    epoch, offset = fresh, 0
  end
  offset = offset + 1
  redis.call('HSET', meta, 'e', epoch, 'i', incarnation, 'o', offset)
  redis.call('XADD', stream, 'MAXLEN', size, offset .. '-0', 'd', data)
  redis.call('PEXPIRE', stream, ttl)
  redis.call('PEXPIRE', meta, meta_ttl)
  local text = offset .. ' ' .. (offset - 1) .. ' ' .. epoch .. ' ' .. data
  return epoch, offset, redis.call('PUBLISH', channel, text)
end
"""
"""An event into the history, and to all who listen.

The offset is set and not increased: a log that was cut off within a step, by a kill, may hold the
beginning of that step, and servers replay it together with the next."""

PUBLISH = (
    STORE
    + """
local known = ARGV[8] ~= '' and redis.call('GET', KEYS[3])
if known then
  local epoch, offset = string.match(known, '^(%S+) (%d+)$')
  return {epoch, tonumber(offset), -1}
end
local epoch, offset, heard = store(
  KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
if ARGV[8] ~= '' then redis.call('SET', KEYS[3], epoch .. ' ' .. offset, 'PX', ARGV[8]) end
return {epoch, offset, heard}
"""
)
"""KEYS: stream, meta, message id. ARGV: channel, data, size, ttl ms, new epoch, incarnation,
meta ttl ms, id ttl ms ('' without an id)."""

HISTORY = """
local epoch, incarnation, offset = unpack(redis.call('HMGET', KEYS[2], 'e', 'i', 'o'))
if not epoch or incarnation ~= ARGV[4] then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[2], 'e', ARGV[3], 'i', ARGV[4], 'o', 0)
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  epoch, offset = ARGV[3], 0
elseif redis.call('PTTL', KEYS[2]) < ARGV[5] / 2 then
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
end
offset = tonumber(offset)
if ARGV[1] == '' then return {epoch, offset} end
local since = tonumber(ARGV[2])
if ARGV[1] ~= epoch or since > offset then return {epoch, offset, 1} end
if since == offset then return {epoch, offset, 0} end
local entries = redis.call('XRANGE', KEYS[1], (since + 1) .. '-0', '+')
if #entries ~= offset - since then return {epoch, offset, 1} end
local reply = {epoch, offset, 0}
for _, entry in ipairs(entries) do reply[#reply + 1] = entry[2][2] end
return reply
"""
"""KEYS: stream, meta. ARGV: since epoch ('' for the position alone), since offset, new epoch,
incarnation, meta ttl ms. Gives epoch, offset, whether there is a gap, and the events. A topic
that is asked about keeps its epoch, also where nobody publishes for days."""

NOW = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
"""By the server's clock: those of the workers may differ."""

BEAT = (
    NOW
    + """
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if ARGV[3] == '' and (not score or tonumber(score) < 0) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[2], ARGV[1])
return 1
"""
)
"""KEYS: leases. ARGV: lease, ms, 'new' for one that is not there yet. Whether it holds."""

CHANGE = (
    STORE
    + NOW
    + """
local prefix, channels, fresh, incarnation = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local size, ttl, meta_ttl = ARGV[5], ARGV[6], ARGV[7]
local there = {}
local function is_there(lease)
  if there[lease] == nil then there[lease] = redis.call('ZSCORE', KEYS[1], lease) ~= false end
  return there[lease]
end
local function tell(topic, what, user, sockets, since)
  local who = user == '-' and 'null' or cjson.encode(string.sub(user, 2))
  local data = string.format('{"event":"%s","user_id":', what) .. who
    .. string.format(',"sockets":%d,"since":%.3f}', sockets, since / 1000)
  local name = topic .. '/@presence'
  store(prefix .. 's:{' .. name .. '}', prefix .. 'm:{' .. name .. '}', channels .. name, data,
    size, ttl, fresh, incarnation, meta_ttl)
end
local function change(lease, topic, user, sockets)
  local people, held = prefix .. 'p:{' .. topic .. '}', prefix .. 'h:' .. lease
  local item = #topic .. ':' .. topic .. user
  redis.call(sockets > 0 and 'SADD' or 'SREM', held, item)
  local before, after, since, rest = 0, sockets, now, ''
  local known = redis.call('HGET', people, user)
  if known then
    since = string.match(known, '^%d+')
    for other, count in string.gmatch(known, ' (%S+) (%d+)') do
      if is_there(other) then before = before + count end
      if other ~= lease and is_there(other) then
        after = after + count
        rest = rest .. ' ' .. other .. ' ' .. count
      end
    end
    if before == 0 then since = now end
  end
  if sockets > 0 then rest = rest .. ' ' .. lease .. ' ' .. sockets end
  if after > 0 then
    redis.call('HSET', people, user, since .. rest)
  elseif known then
    redis.call('HDEL', people, user)
  end
  if (before == 0) ~= (after == 0) or (user == '-' and before ~= after) then
    tell(topic, after > before and 'join' or 'leave', user, after, since)
  end
end
"""
)
"""How many sockets of a user a lease holds at a topic: `-` for nobody, else the name behind a `=`.
In `p:{topic}` each user has a line, "since lease sockets lease sockets ..."; what a lease holds is
in `h:<lease>`. A lease that is not there any more counts for nothing."""

ANNOUNCE = (
    CHANGE
    + """
local lease = ARGV[8]
local score = redis.call('ZSCORE', KEYS[1], lease)
if not score or tonumber(score) < 0 then return 0 end
for n = 9, #ARGV, 3 do change(lease, ARGV[n], ARGV[n + 1], tonumber(ARGV[n + 2])) end
return 1
"""
)
"""KEYS: leases. ARGV: those of CHANGE, lease, and topic, user, sockets of each. Whether the lease
was there."""

REAP = (
    CHANGE
    + """
local lease = ARGV[8]
if lease == '' then
  lease = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)[1]
elseif not redis.call('ZSCORE', KEYS[1], lease) then
  lease = nil
end
if not lease then return 0 end
redis.call('ZADD', KEYS[1], -1, lease)
local items = redis.call('SPOP', prefix .. 'h:' .. lease, 200)
for _, item in ipairs(items) do
  local length, rest = string.match(item, '^(%d+):(.*)$')
  change(lease, string.sub(rest, 1, length), string.sub(rest, length + 1), 0)
end
if #items < 200 then redis.call('ZREM', KEYS[1], lease) end
return 1
"""
)
"""KEYS: leases. ARGV: those of CHANGE, and a lease, or '' for one that is over. In pieces: whether
there may be more. From the first on nobody may add to the lease."""

MEMBERS = (
    NOW
    + """
if redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)[1] then return 0 end
local there, reply = {}, {}
local lines = redis.call('HGETALL', KEYS[2])
for n = 1, #lines, 2 do
  local sockets = 0
  for lease, count in string.gmatch(lines[n + 1], ' (%S+) (%d+)') do
    if there[lease] == nil then there[lease] = redis.call('ZSCORE', KEYS[1], lease) ~= false end
    if there[lease] then sockets = sockets + count end
  end
  if sockets > 0 then
    reply[#reply + 1] = lines[n]
    reply[#reply + 1] = sockets
    reply[#reply + 1] = tonumber(string.match(lines[n + 1], '^%d+'))
  end
end
return reply
"""
)
"""KEYS: leases, people. User, sockets and since, in ms, of each; 0 where there are leases to be
reaped first."""

COUNT = (
    NOW
    + """
if redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1)[1] then return -1 end
local users = redis.call('HLEN', KEYS[2])
local nobody = redis.call('HGET', KEYS[2], '-')
if nobody then
  users = users - 1
  for _, count in string.gmatch(nobody, ' (%S+) (%d+)') do users = users + count end
end
return users
"""
)
"""KEYS: leases, people. -1 where there are leases to be reaped first."""
