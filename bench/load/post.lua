-- wrk: POST numbered tools/call requests and check that every answer belongs to a request that was asked.
-- BENCH_HEADERS: file of "Name: value" lines. BENCH_BODY: the body with @N@ for the number (in the id and in the text).
-- BENCH_SESSIONS: file of session ids, one a line, or unset. Each answer must be 200 and carry the same number in both
-- places, and no number may be answered more often than it was asked.
local COUNT = 4096
local FIRST = 100000
local requests, open, at = {}, {}, 0
local threads = {}
bad, first_bad = 0, ""

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
  local sessions = lines(os.getenv("BENCH_SESSIONS"))
  for i = 1, COUNT do
    local number = FIRST + i
    if #sessions > 0 then wrk.headers["Mcp-Session-Id"] = sessions[(i - 1) % #sessions + 1] end
    requests[i] = wrk.format("POST", nil, nil, (template:gsub("@N@", tostring(number))))
    open[number] = 0
  end
end

function request()
  at = at % COUNT + 1
  open[FIRST + at] = open[FIRST + at] + 1
  return requests[at]
end

function response(status, headers, body)
  local id = tonumber(body:match('"id": ?(%d+)'))
  local text = tonumber(body:match('call (%d+) of the bench'))
  if status == 200 and id and id == text and open[id] and open[id] > 0 then
    open[id] = open[id] - 1
    return
  end
  bad = bad + 1
  if first_bad == "" then first_bad = status .. " " .. body:sub(1, 400) end
end

function done(summary, latency, _)
  local wrong, example = 0, ""
  for _, thread in ipairs(threads) do
    wrong = wrong + thread:get("bad")
    if example == "" then example = thread:get("first_bad") end
  end
  local errors = summary.errors
  io.write(string.format("\nRESULT calls=%d duration_us=%d bad=%d errors=%d p50_us=%d p99_us=%d max_us=%d\n", summary.requests,
    summary.duration, wrong, errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50),
    latency:percentile(99), latency.max))
  if example ~= "" then io.write("FIRST_BAD " .. example:gsub("%c", " ") .. "\n") end
end
