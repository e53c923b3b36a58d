//! What is done to the list of members, in Redis and in one step each.

/// Takes or keeps a place. KEYS: the list. ARGV: who asks; the terms; how many places there are; the place wanted, or
/// 0; the number of the run if this begins one; how long a place is held, and the list kept, in milliseconds. Answers
/// with a word and what belongs to it, all as text.
pub const TAKE_A_PLACE: &str = "
local lobby, me, terms, count, wanted = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('EXISTS', lobby) == 0 then
  redis.call('HSET', lobby, 'run', ARGV[5], 'terms', terms)
end
local theirs = redis.call('HGET', lobby, 'terms')
if theirs ~= terms then return {'terms', theirs or ''} end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local mine, free, present, longest_silent, holders = nil, nil, 0, now, {}
for place = 1, count do
  local holder = redis.call('HGET', lobby, 'holder:' .. place)
  local asked = tonumber(redis.call('HGET', lobby, 'asked:' .. place) or '0')
  if holder == me then mine = place
  elseif holder and asked + ARGV[6] > now then
    present = present + 1
    longest_silent = math.min(longest_silent, asked)
  elseif not free and (wanted == 0 or wanted == place) then free = place end
  if holder then holders[#holders + 1] = holder end
end
if redis.call('HEXISTS', lobby, 'closed') == 1 then
  if not mine then return {'late', table.concat(holders, ', ')} end
else
  mine = mine or free
  if not mine then return {'taken', tostring(present), redis.call('HGET', lobby, 'holder:' .. wanted) or ''} end
  redis.call('HSET', lobby, 'holder:' .. mine, me, 'asked:' .. mine, string.format('%.0f', now))
  local full = tonumber(redis.call('HGET', lobby, 'full') or '0')
  if present + 1 < count then redis.call('HDEL', lobby, 'full')
  elseif full == 0 then redis.call('HSET', lobby, 'full', string.format('%.0f', now))
  elseif longest_silent > full then redis.call('HSET', lobby, 'closed', '1') end
end
redis.call('PEXPIRE', lobby, ARGV[7])
local word = redis.call('HEXISTS', lobby, 'closed') == 1 and 'closed' or 'waiting'
return {word, tostring(mine), tostring(present + 1), redis.call('HGET', lobby, 'run')}
";

/// Gives up all places that somebody has, unless the list is closed: then the others begin with this member. KEYS: the
/// list. ARGV: who had them; how many places there are. Answers with a word.
pub const GIVE_UP: &str = "
if redis.call('HEXISTS', KEYS[1], 'closed') == 1 then return 'closed' end
for place = 1, tonumber(ARGV[2]) do
  if redis.call('HGET', KEYS[1], 'holder:' .. place) == ARGV[1] then
    redis.call('HDEL', KEYS[1], 'holder:' .. place, 'asked:' .. place, 'full')
  end
end
return 'free'
";

/// Keeps the list of a run, unless it is another's by now. KEYS: the list. ARGV: the run's number; how long the list is
/// kept, in milliseconds.
pub const KEEP: &str = "
if redis.call('HGET', KEYS[1], 'run') == ARGV[1] then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 'OK'
";

/// Removes the list of a run that is over, unless it is another's by now. KEYS: the list. ARGV: the run's number.
pub const REMOVE: &str = "
if redis.call('HGET', KEYS[1], 'run') == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 'OK'
";
