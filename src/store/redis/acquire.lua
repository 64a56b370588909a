-- Acquires a token, a failure or a lease. Returns what was acquired, its generation,
-- the sealed payload, its time to live in milliseconds and, with a refresh token, the
-- generation under which that was written; with a lease, also the failure of the
-- credentials whose time to live is over, and its generation; the server's clock; and
-- who else uses the account's name, as pairs of a suffix and a sealed account.
local token_key, refresh_key, failures_key = KEYS[1], KEYS[2], KEYS[3]
local lease_key, meta_key, withdrawn_key = KEYS[4], KEYS[5], KEYS[6]
local newer_than, rejected = tonumber(ARGV[1]), ARGV[2] == '1'
local ignore_failure, lease_ms = ARGV[3] == '1', tonumber(ARGV[4])
-- The value of an entry that the caller could not open, or an empty string.
local unreadable_token, unreadable_failure = ARGV[5], ARGV[6]
local max_length, meta_ms = tonumber(ARGV[7]), ARGV[8]
-- How long a failure is remembered after its time to live.
local failure_memory_ms = tonumber(ARGV[9])
-- The number of this call, what tells this account from others with the same name, and
-- the account itself, sealed. The names of the credentials follow, which are fields of
-- the hash of failures.
local nonce, suffix, sealed_account = ARGV[10], ARGV[11], ARGV[12]
local FIRST_NAME = 13

local now = redis.call('TIME')
local clock = now[1] * 1000 + math.floor(now[2] / 1000)

-- A number of more digits than a double holds is not a generation.
local function number(text)
  if text and #text <= 15 and string.match(text, '^%d+$') then
    return tonumber(text)
  end
end

-- Deletes an entry that is malformed, too long or without expiry. A key of another
-- type is an error.
local function entry(key, unreadable)
  local length = redis.call('STRLEN', key)
  local ttl = redis.call('PTTL', key)
  if ttl == -2 then
    return nil
  end
  if ttl > 0 and length <= max_length then
    local value = redis.call('GET', key)
    local colon = string.find(value, ':', 1, true)
    local generation = colon and number(string.sub(value, 1, colon - 1))
    if generation and value ~= unreadable then
      return {
        generation = generation,
        payload = string.sub(value, colon + 1),
        ttl = ttl,
      }
    end
  end
  redis.call('DEL', key)
end

-- Reads the failure under one of the names: its generation, when its time to live
-- ends, and the payload.
local function failure_named(name)
  local too_long = redis.call('HSTRLEN', failures_key, name) > max_length
  local value = too_long and '' or redis.call('HGET', failures_key, name)
  if not value then
    return nil
  end
  local generation, ends, start = string.match(value, '^(%d+):(%d+):()')
  generation, ends = number(generation), number(ends)
  local payload = start and string.sub(value, start)
  if generation and ends and payload ~= unreadable_failure
    and clock < ends + failure_memory_ms and ends <= clock + tonumber(meta_ms)
  then
    return { generation = generation, ends = ends, payload = payload }
  end
  redis.call('HDEL', failures_key, name)
end

-- The failure that was written last under any of the names.
local function last_failure()
  local last
  for n = FIRST_NAME, #ARGV do
    local failure = failure_named(ARGV[n])
    if failure and (not last or failure.generation > last.generation) then
      last = failure
    end
  end
  return last
end

-- Another run of the server may have lost the last writes, and then has refresh
-- tokens again that were sent before. So may a master that was a replica in between,
-- which the replication id shows.
local function run_id()
  local server, replication = redis.pcall('INFO', 'server'), redis.pcall('INFO', 'replication')
  if type(server) == 'string' and type(replication) == 'string' then
    local run = string.match(server, 'run_id:(%x+)')
    local history = string.match(replication, 'master_replid:(%x+)')
    return run and history and run .. history or nil
  end
end

local function digits(generation)
  return string.format('%.0f', generation)
end

local DAY, HOUR = 86400000, 3600000
-- More fields than this in the hash of generations come from elsewhere.
local MAX_FIELDS = 64

-- Who uses the account's name: in the last day, this account among them. Says once an
-- hour that it does.
local function namesakes()
  local found = {}
  if redis.call('HLEN', meta_key) > MAX_FIELDS then
    return found
  end
  local fields, known = redis.call('HGETALL', meta_key), false
  for n = 1, #fields, 2 do
    local its = string.match(fields[n], '^seen(.*)$')
    if its then
      local at, start = string.match(fields[n + 1], '^(%d+):()')
      at = number(at)
      if not at or at + DAY <= clock or at > clock + DAY or #fields[n + 1] > 4096 then
        redis.call('HDEL', meta_key, fields[n])
      else
        known = known or (its == suffix and at + HOUR > clock)
        if #found < 8 then
          found[#found + 1] = its
          found[#found + 1] = string.sub(fields[n + 1], start)
        end
      end
    end
  end
  if not known and lease_ms > 0 then
    redis.call('HSET', meta_key, 'seen' .. suffix, digits(clock) .. ':' .. sealed_account)
    redis.call('PEXPIRE', meta_key, meta_ms)
  end
  return found
end

local token = entry(token_key, unreadable_token)
local others = namesakes()
if token then
  if token.generation > newer_than then
    return { 'token', digits(token.generation), token.payload, token.ttl, 0, '', 0, clock, others }
  end
  if rejected then
    redis.call('DEL', token_key)
  end
end

if ignore_failure then
  for n = FIRST_NAME, #ARGV do
    redis.call('HDEL', failures_key, ARGV[n])
  end
end
local failure = last_failure()
if failure and failure.ends > clock then
  local ttl = failure.ends - clock
  return { 'failure', digits(failure.generation), failure.payload, ttl, 0, '', 0, clock, others }
end

local lease = redis.call('GET', lease_key)
if lease then
  local ttl = redis.call('PTTL', lease_key)
  local holder = string.match(lease, '^(%d+):%d+:%d+:') or lease
  if number(holder) and ttl >= 0 then
    return { 'busy', 0, '', ttl, 0, '', 0, clock, others }
  end
  redis.call('DEL', lease_key)
end
if lease_ms == 0 or redis.call('EXISTS', withdrawn_key) == 1 then
  return { 'busy', 0, '', 0, 0, '', 0, clock, others }
end

-- Everything is read before anything is written, so an error leaves no lease behind.
local refresh = entry(refresh_key)
local meta = redis.call('HMGET', meta_key, 'generation', 'written' .. suffix)
local generation = math.max((number(meta[1]) or 0) + 1, (number(meta[2]) or 0) + 1, clock)
-- For a server that lost its memory and whose clock is behind the one before. A
-- generation of more than a day ahead comes from elsewhere.
if newer_than < clock + 86400000 then
  generation = math.max(generation, newer_than + 1)
end
-- The lease keeps the refresh token that it takes, in case it is withdrawn.
local kept = '0:'
if refresh then
  kept = digits(clock + refresh.ttl) .. ':' .. redis.call('GET', refresh_key)
end
local lease_value = digits(generation) .. ':' .. nonce .. ':' .. kept
redis.call('SET', lease_key, lease_value, 'NX', 'PX', lease_ms)
redis.call('HSET', meta_key, 'generation', digits(generation))
redis.call('PEXPIRE', meta_key, meta_ms)

redis.call('DEL', refresh_key)
local failed = { '', 0 }
if failure then
  failed = { failure.payload, digits(failure.generation) }
end
if refresh then
  local colon = string.find(refresh.payload, ':', 1, true)
  if colon and string.sub(refresh.payload, 1, colon - 1) == run_id() then
    local payload = string.sub(refresh.payload, colon + 1)
    return {
      'lease', digits(generation), payload, refresh.ttl, digits(refresh.generation),
      failed[1], failed[2], clock, others,
    }
  end
end
return { 'lease', digits(generation), '', 0, 0, failed[1], failed[2], clock, others }
