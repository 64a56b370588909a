-- Withdraws a call of `acquire`: ends the lease that it began, if it did, and keeps the
-- refresh token again; if it comes later, it begins none.
local refresh_key, lease_key, withdrawn_key = KEYS[2], KEYS[4], KEYS[6]
local nonce, memory_ms, channel, account = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

redis.call('SET', withdrawn_key, '1', 'PX', memory_ms)
local lease = redis.call('GET', lease_key)
if not lease then
  return 0
end
local its_nonce, ends, start = string.match(lease, '^%d+:(%d+):(%d+):()')
if its_nonce ~= nonce then
  return 0
end
redis.call('DEL', lease_key)
local now = redis.call('TIME')
local left = tonumber(ends) - (now[1] * 1000 + math.floor(now[2] / 1000))
if left > 0 and redis.call('EXISTS', refresh_key) == 0 then
  redis.call('SET', refresh_key, string.sub(lease, start), 'PX', string.format('%.0f', left))
end
redis.call('PUBLISH', channel, account)
return 1
