-- Writes the result of a lease. Returns 0 if a newer result was written before, else 1.
local token_key, refresh_key, failures_key = KEYS[1], KEYS[2], KEYS[3]
local lease_key, meta_key = KEYS[4], KEYS[5]
local generation = ARGV[1]
local token, token_ms = ARGV[2], tonumber(ARGV[3])
local refresh, refresh_ms = ARGV[4], tonumber(ARGV[5])
local failure, failure_ms = ARGV[6], tonumber(ARGV[7])
local meta_ms, channel, account = ARGV[8], ARGV[9], ARGV[10]
-- How long a failure is remembered after its time to live, and of how many sets of
-- credentials.
local failure_memory_ms, failures_kept = tonumber(ARGV[11]), tonumber(ARGV[12])
-- When the lease began, from which all times to live count, and what tells this
-- account from others with the same name.
local started, suffix = tonumber(ARGV[13]), ARGV[14]
-- The names of the credentials follow: what is written gets the first.
local FIRST_NAME = 15

local now = redis.call('TIME')
local clock = now[1] * 1000 + math.floor(now[2] / 1000)
if started > 0 and clock > started then
  local passed = clock - started
  token_ms, refresh_ms = token_ms - passed, refresh_ms - passed
  failure_ms = failure_ms - passed
end

local function number(text)
  if text and #text <= 15 and string.match(text, '^%d+$') then
    return tonumber(text)
  end
end

local function put(key, value, ms)
  if ms > 0 then
    redis.call('SET', key, generation .. ':' .. value, 'PX', string.format('%.0f', ms))
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

-- Makes room for a failure: deletes what is malformed or no longer remembered, then
-- the one with the lowest generation.
local function make_room()
  local count = redis.call('HLEN', failures_key)
  if count < failures_kept then
    return
  end
  if count > 8 * failures_kept then
    redis.call('DEL', failures_key) -- Most of it comes from elsewhere.
    return
  end
  local entries = redis.call('HGETALL', failures_key)
  local lowest, oldest
  for n = 1, #entries, 2 do
    local its_generation, ends = string.match(entries[n + 1], '^(%d+):(%d+):')
    its_generation, ends = number(its_generation), number(ends)
    if not its_generation or not ends or ends + failure_memory_ms <= clock then
      redis.call('HDEL', failures_key, entries[n])
      count = count - 1
    elseif not lowest or its_generation < lowest then
      lowest, oldest = its_generation, entries[n]
    end
  end
  if oldest and count >= failures_kept then
    redis.call('HDEL', failures_key, oldest)
  end
end

local function delete_failure()
  for n = FIRST_NAME, #ARGV do
    redis.call('HDEL', failures_key, ARGV[n])
  end
end

local function put_failure()
  make_room()
  local ends = string.format('%.0f', clock + failure_ms)
  redis.call('HSET', failures_key, ARGV[FIRST_NAME], generation .. ':' .. ends .. ':' .. failure)
  -- The key ends with the last of them.
  local longest = math.max(redis.call('PTTL', failures_key), failure_ms + failure_memory_ms)
  redis.call('PEXPIRE', failures_key, string.format('%.0f', longest))
end

local lease = redis.call('GET', lease_key)
local written = number(redis.call('HGET', meta_key, 'written' .. suffix)) or 0
if lease and (lease == generation or string.match(lease, '^(%d+):%d+:%d+:') == generation) then
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
redis.call('HSET', meta_key, 'written' .. suffix, generation)
redis.call('PEXPIRE', meta_key, meta_ms)
if token ~= '' then
  put(token_key, token, token_ms)
end
if token ~= '' or failure ~= '' then
  delete_failure()
end
if failure ~= '' and failure_ms > 0 then
  put_failure()
end
if refresh ~= '' then
  put_refresh()
end
return 1
