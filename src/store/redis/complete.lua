-- Writes the result of a lease. Returns 0 if a newer result was written before, else 1.
local token_key, refresh_key, failure_key = KEYS[1], KEYS[2], KEYS[3]
local lease_key, meta_key = KEYS[4], KEYS[5]
local generation = ARGV[1]
local token, token_ms = ARGV[2], tonumber(ARGV[3])
local refresh, refresh_ms = ARGV[4], tonumber(ARGV[5])
local failure, failure_ms = ARGV[6], tonumber(ARGV[7])
local meta_ms, channel, account = ARGV[8], ARGV[9], ARGV[10]

local function number(text)
  if text and #text <= 15 and string.match(text, '^%d+$') then
    return tonumber(text)
  end
end

local function put(key, value, ms)
  if ms > 0 then
    redis.call('SET', key, generation .. ':' .. value, 'PX', ms)
  else
    redis.call('DEL', key)
  end
end

-- Writes the refresh token with the run of the server and the replication id: only
-- the same server may hand it over. Where they are not known, no refresh token is
-- kept.
local function put_refresh()
  local server, replication = redis.pcall('INFO', 'server'), redis.pcall('INFO', 'replication')
  local run = type(server) == 'string' and string.match(server, 'run_id:(%x+)')
  local history = type(replication) == 'string'
    and string.match(replication, 'master_replid:(%x+)')
  if run and history then
    put(refresh_key, run .. history .. ':' .. refresh, refresh_ms)
  else
    redis.call('DEL', refresh_key)
  end
end

local lease = redis.call('GET', lease_key)
local written = number(redis.call('HGET', meta_key, 'written')) or 0
if lease == generation then
  redis.call('DEL', lease_key)
end
redis.call('PUBLISH', channel, account)
if tonumber(generation) < written then
  return 0
end
if token == '' and failure == '' then
  if refresh ~= '' and redis.call('EXISTS', refresh_key) == 0 then
    put_refresh()
  end
  return 1
end
redis.call('HSET', meta_key, 'written', generation)
redis.call('PEXPIRE', meta_key, meta_ms)
if token ~= '' then
  put(token_key, token, token_ms)
  redis.call('DEL', failure_key)
end
if failure ~= '' then
  put(failure_key, failure, failure_ms)
end
if refresh ~= '' then
  put_refresh()
end
return 1
