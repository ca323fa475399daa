-- A very light MCP server (one of 2026-07-28, one of 2025-11-25), so that what stands in front of it is what is measured.
-- A tool is known by the end of its name: clients that were to meet a gateway send its prefixed names here too.
-- The path says how many tools there are: /u7x50/mcp is number 7 of many and has 50, /mcp has the first four.
local cjson = require "cjson.safe"

local M = {}
local FILLER = string.rep("The quick brown fox jumps over the lazy dog 0123456789. ", 200):sub(1, 10240)
local MEGA = string.rep("The quick brown fox jumps over the lazy dog 0123456789. ", 18800):sub(1, 1048576)
local SCHEMA = '"inputSchema":{"type":"object","properties":{"message":{"type":"string"}},"required":["message"]}}'
local FIRST = {
  '{"name":"echo","description":"Return the message",' .. SCHEMA,
  '{"name":"page","description":"Return the message and 10 KiB of text",' .. SCHEMA,
  '{"name":"mega","description":"Return the message and 1 MiB of text",' .. SCHEMA,
  '{"name":"progress","description":"Return the message after 100 notifications of progress",' .. SCHEMA,
}
local MORE = '{"name":"tool_%05d","description":"Tool %d of server %s: does a realistic thing with some parameters and '
  .. 'returns text.","inputSchema":{"type":"object","properties":{"query":{"type":"string","description":"the query"},'
  .. '"limit":{"type":"integer","minimum":1,"maximum":100,"default":10},"tags":{"type":"array","items":'
  .. '{"type":"string"}}},"required":["query"]}}'
local PROGRESS = 'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":%s,"progress":%d,'
  .. '"total":100,"message":"step %d"}}\n\n'
local kept = {}
local INFO = '{"name":"bench","version":"1"}'
local LATEST = "2025-11-25"
local sessions = 0

local function answer(status, body)
  ngx.status = status
  ngx.header["Content-Length"] = body and #body or 0
  if body then
    ngx.header["Content-Type"] = "application/json"
    ngx.print(body)
  end
  return ngx.exit(status)
end

local function failure(status, id, code, message)
  local body = '{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":"%s"}}'
  return answer(status, body:format(id ~= nil and cjson.encode(id) or "null", code, message))
end

local function request()
  if ngx.req.get_method() ~= "POST" then return nil, answer(405) end
  ngx.req.read_body()
  local body = ngx.req.get_body_data()
  local message = body and cjson.decode(body)
  if not message then return nil, failure(400, nil, -32700, "not JSON") end
  if message.id == nil then return nil, answer(202) end
  return message
end

local function tools()
  local server, count = ngx.var.server_number or "0", tonumber(ngx.var.tool_count) or #FIRST
  local key = server .. "x" .. count
  if not kept[key] then
    local found = {}
    for i = 1, count do found[i] = FIRST[i] or MORE:format(i, i, server) end
    kept[key] = table.concat(found, ",")
  end
  return kept[key]
end

local function call(params, more)
  local text = cjson.encode(params.arguments and params.arguments.message or "")
  if params.name:sub(-4) == "page" then text = text:sub(1, -2) .. " " .. FILLER .. '"' end
  return '{"content":[{"type":"text","text":' .. text .. '}],"isError":false' .. more .. '}'
end

-- A hundred notifications, then the answer, as one event stream; without a token there is nobody to notify.
local function progress(message, result)
  local token = message.params._meta and message.params._meta.progressToken
  local events = {}
  if token ~= nil then
    token = cjson.encode(token)
    for i = 1, 100 do events[i] = PROGRESS:format(token, i, i) end
  end
  events[#events + 1] = 'data: {"jsonrpc":"2.0","id":' .. cjson.encode(message.id) .. ',"result":' .. result .. '}\n\n'
  ngx.header["Content-Type"] = "text/event-stream"
  for i = 1, #events, 10 do
    ngx.print(table.concat(events, "", i, math.min(i + 9, #events)))
    ngx.flush()
  end
  return ngx.exit(200)
end

local function listing(method, more)
  if method == "tools/list" then return '{"tools":[' .. tools() .. ']' .. more .. '}' end
  if method == "resources/list" then return '{"resources":[]' .. more .. '}' end
  if method == "resources/templates/list" then return '{"resourceTemplates":[]' .. more .. '}' end
  if method == "prompts/list" then return '{"prompts":[]' .. more .. '}' end
end

local function reply(message, result)
  if not result then return failure(404, message.id, -32601, "no such method") end
  return answer(200, '{"jsonrpc":"2.0","id":' .. cjson.encode(message.id) .. ',"result":' .. result .. '}')
end

-- A long answer in pieces, so that what it costs is not the making of one long string.
local function mega(message, more)
  local text = cjson.encode(message.params.arguments.message)
  local first = '{"jsonrpc":"2.0","id":' .. cjson.encode(message.id) .. ',"result":{"content":[{"type":"text","text":'
    .. text:sub(1, -2) .. " "
  local last = '"}],"isError":false' .. more .. '}}'
  ngx.header["Content-Length"] = #first + #MEGA + #last
  ngx.header["Content-Type"] = "application/json"
  ngx.print({ first, MEGA, last })
  return ngx.exit(200)
end

local function called(message, more)
  if message.params.name:sub(-4) == "mega" then return mega(message, more) end
  local result = call(message.params, more)
  if message.params.name:sub(-8) == "progress" then return progress(message, result) end
  return reply(message, result)
end

function M.serve_modern()
  local message = request()
  if not message then return end
  if message.method == "tools/call" then return called(message, ',"resultType":"complete"') end
  local cached = ',"resultType":"complete","ttlMs":60000,"cacheScope":"public"'
  if message.method == "server/discover" then
    return reply(message, '{"supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},"serverInfo":' .. INFO
      .. ',"_meta":{"io.modelcontextprotocol/serverInfo":' .. INFO .. '}' .. cached .. '}')
  end
  return reply(message, listing(message.method, cached))
end

function M.serve_legacy()
  local method = ngx.req.get_method()
  if method == "DELETE" then return answer(200) end
  local message = request()
  if not message then return end
  if message.method == "initialize" then
    sessions = sessions + 1
    ngx.header["Mcp-Session-Id"] = string.format("session-%08d-%08x", sessions, math.random(0, 2147483647))
    local asked = tostring(message.params.protocolVersion)
    local revision = asked:find("^20%d%d%-%d%d%-%d%d$") and asked < LATEST and asked or LATEST
    return reply(message, '{"protocolVersion":"' .. revision .. '","capabilities":{"tools":{}},"serverInfo":' .. INFO .. '}')
  end
  if not (ngx.var.http_mcp_session_id or ""):find("^session%-") then
    return failure(400, nil, -32000, "Bad Request: no session id was given")
  end
  if message.method == "tools/call" then return called(message, "") end
  if message.method == "ping" then return reply(message, "{}") end
  return reply(message, listing(message.method, ""))
end

return M
