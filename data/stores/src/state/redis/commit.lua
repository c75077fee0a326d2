-- Applies one batch to one partition, or refuses it whole. It decides by the stored offset and computes nothing.
--
-- KEYS: what the partition has applied, then the hashes that the batch touches.
-- ARGV: expected offset, next offset, time, id of this commit; then for each hash the number of fields to set, the
--       number to remove, the fields and values to set, the fields to remove.
-- Returns nothing if the batch is applied (now, or by an earlier try of this very commit), else the stored offset and
-- the id of the commit that stored it. Offsets are compared as text: a number in Lua has 53 bits.
local applied = redis.call('HMGET', KEYS[1], 'offset', 'commit')
local stored, commit = applied[1] or '0', applied[2] or ''
if commit == ARGV[4] then return false end
if stored ~= ARGV[1] then return {stored, commit} end

-- `unpack` puts its results on the stack of Lua, which has room for 8,000.
local AT_ONCE = 1000
local function apply(command, key, first, last)
  for i = first, last, AT_ONCE do
    redis.call(command, key, unpack(ARGV, i, math.min(i + AT_ONCE - 1, last)))
  end
end

local i = 5
for k = 2, #KEYS do
  local first = i + 2
  local middle = first + 2 * tonumber(ARGV[i])
  i = middle + tonumber(ARGV[i + 1])
  apply('HSET', KEYS[k], first, middle - 1)
  apply('HDEL', KEYS[k], middle, i - 1)
end
redis.call('HSET', KEYS[1], 'offset', ARGV[2], 'time', ARGV[3], 'commit', ARGV[4])
return false
