"""What Redis must do in one step: append only where the writer left off, read for a group only while leading it."""

from __future__ import annotations

APPEND = """
local last = '0-0'
local info = redis.pcall('XINFO', 'STREAM', KEYS[1])
if not info.err then
  for i = 1, #info, 2 do
    if info[i] == 'last-generated-id' then last = info[i + 1] end
  end
end
if last ~= ARGV[1] then return false end
for i = 2, #ARGV do
  last = redis.call('XADD', KEYS[1], '*', 'event', ARGV[i])
end
return last
"""
"""KEYS: stream. ARGV: the id it is expected to end with (0-0 for an empty one), then the events. The new last id, or nil where the
stream ends otherwise. One script is one write of the append-only file, so nothing of it is there or all."""

READ = """
local taken = 0
local holder = redis.call('GET', KEYS[2])
if holder == ARGV[1] then
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
elseif holder then
  return false
else
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
  taken = 1
end
local function read()
  return redis.pcall('XREADGROUP', 'GROUP', ARGV[2], ARGV[1], 'COUNT', ARGV[4], 'STREAMS', KEYS[1], '>')
end
if taken == 1 or ARGV[4] == '0' then
  local made = redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[2], '0', 'MKSTREAM')
  return {taken, {}}
end
local found = read()
if found and found.err then
  if string.find(found.err, 'NOGROUP', 1, true) then
    redis.call('XGROUP', 'CREATE', KEYS[1], ARGV[2], '0', 'MKSTREAM')
    found = read()
  else
    return found
  end
end
if not found then return {taken, {}} end
return {taken, found[1][2]}
"""
"""KEYS: stream, lease. ARGV: owner, group, milliseconds of the lease, most events. Nil where another leads; else whether the
lease was taken just now (then nothing is read: what others left is claimed first) and the entries."""

DROP = """
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local dropped = redis.pcall('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
if type(dropped) == 'table' then return 0 end
return dropped
"""
"""KEYS: stream, lease. ARGV: group. Whether it was there and is dropped; never while somebody reads for it, and 0 where there is no stream."""

LET_GO = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
"""KEYS: lease. ARGV: owner."""
