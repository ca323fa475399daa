-- wrk: POST numbered requests and check that every answer belongs to a request that was asked.
-- BENCH_HEADERS: file of "Name: value" lines. BENCH_BODY: the body with @N@ for the number (in the id and in the text),
-- or an empty file for a GET. BENCH_SESSIONS: file of session ids, one a line, or unset. BENCH_IDS=0: answers carry no
-- id. BENCH_TEXT=0: answers carry no text with the number. BENCH_LEAST: bytes that an answer has at least. BENCH_COUNT:
-- how often BENCH_NEEDLE occurs in it. BENCH_TRACE=1: every request has a traceparent of its own, so that no two heads
-- are alike. BENCH_MAY_REFUSE=1: answers that say "too many" (429, 503) are counted apart.
-- Each answer must be 200 and carry the number of a request in both places, and no number may be answered more often
-- than it was asked. What is long is counted through once, and again whenever its length differs.
local COUNT = 4096
local FIRST = 100000
local requests, open, at = {}, {}, 0
local threads = {}
local has_id, has_text = os.getenv("BENCH_IDS") ~= "0", os.getenv("BENCH_TEXT") ~= "0"
local least = tonumber(os.getenv("BENCH_LEAST") or "0")
local needle, count = os.getenv("BENCH_NEEDLE"), tonumber(os.getenv("BENCH_COUNT") or "0")
local traced = os.getenv("BENCH_TRACE") == "1"
local may_refuse = os.getenv("BENCH_MAY_REFUSE") == "1"
local TRACE = "0af7651916cd43dd"
local span, counted = 0, nil
bad, refused, first_bad = 0, 0, ""

local function lines(path)
  local found = {}
  if path then for line in io.lines(path) do if #line > 0 then found[#found + 1] = line end end end
  return found
end

function setup(thread) threads[#threads + 1] = thread end

function init(args)
  local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
  local template = file:read("*a")
  file:close()
  for _, line in ipairs(lines(os.getenv("BENCH_HEADERS"))) do
    local name, value = line:match("^([^:]+):%s*(.*)$")
    wrk.headers[name] = value
  end
  if traced then wrk.headers["traceparent"] = "@T@" end
  local sessions = lines(os.getenv("BENCH_SESSIONS"))
  for i = 1, COUNT do
    local number = FIRST + i
    if #sessions > 0 then wrk.headers["Mcp-Session-Id"] = sessions[(i - 1) % #sessions + 1] end
    local method = #template > 0 and "POST" or "GET"
    requests[i] = wrk.format(method, nil, nil, #template > 0 and template:gsub("@N@", tostring(number)) or nil)
    open[number] = 0
    if traced then
      local first, last = requests[i]:find("@T@", 1, true)
      requests[i] = { requests[i]:sub(1, first - 1), requests[i]:sub(last + 1) }
    end
  end
end

function request()
  at = at % COUNT + 1
  open[FIRST + at] = open[FIRST + at] + 1
  if not traced then return requests[at] end
  span = span + 1
  local parts = requests[at]
  return parts[1] .. string.format("00-%s%016x-%016x-01", TRACE, span, span) .. parts[2]
end

local function is_whole(body)
  if #body < least then return false end
  if not needle or counted == #body then return true end
  local found, from = 0, 1
  while true do
    local first, last = body:find(needle, from, true)
    if not first then break end
    found, from = found + 1, last + 1
  end
  if found ~= count then return false end
  counted = #body
  return true
end

local function is_asked(body)
  local id = has_id and tonumber(body:match('"id": ?(%d+)')) or nil
  local text = has_text and tonumber(body:match('call (%d+) of the bench')) or nil
  if has_id and not id or has_text and not text or id and text and id ~= text then return false end
  local number = id or text
  if not number then return true end
  if not open[number] or open[number] < 1 then return false end
  open[number] = open[number] - 1
  return true
end

function response(status, headers, body)
  if status == 200 and is_whole(body) and is_asked(body) then return end
  if may_refuse and (status == 429 or status == 503) then
    refused = refused + 1
    return
  end
  bad = bad + 1
  if first_bad == "" then first_bad = status .. " " .. #body .. " bytes: " .. body:sub(1, 400) end
end

function done(summary, latency, _)
  local wrong, turned_away, example = 0, 0, ""
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("bad")
    turned_away = turned_away + thread:get("refused")
    if example == "" then example = thread:get("first_bad") end
  end
  local errors = summary.errors
  local form = "\nRESULT calls=%d duration_us=%d bad=%d refused=%d errors=%d bytes=%d p50_us=%d p99_us=%d p999_us=%d "
    .. "max_us=%d\n"
  io.write(string.format(form, summary.requests - turned_away, summary.duration, wrong, turned_away,
    errors.connect + errors.read + errors.write + errors.timeout, summary.bytes, latency:percentile(50),
    latency:percentile(99), latency:percentile(99.9), latency.max))
  if example ~= "" then io.write("FIRST_BAD " .. example:gsub("%c", " ") .. "\n") end
end
