-- A very light MCP server (one of 2026-07-28, one of 2025-11-25), so that what stands in front of it is what is measured.
-- A tool is known by the end of its name: clients that were to meet a gateway send its prefixed names here too.
local cjson = require "cjson.safe"

local M = {}
local FILLER = string.rep("The quick brown fox jumps over the lazy dog 0123456789. ", 200):sub(1, 10240)
local TOOLS = '{"name":"echo","description":"Return the message","inputSchema":{"type":"object","properties":'
  .. '{"message":{"type":"string"}},"required":["message"]}},'
  .. '{"name":"page","description":"Return the message and 10 KiB of text","inputSchema":{"type":"object","properties":'
  .. '{"message":{"type":"string"}},"required":["message"]}}'
local INFO = '{"name":"bench","version":"1"}'
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

local function call(params, more)
  local text = cjson.encode(params.arguments and params.arguments.message or "")
  if params.name:sub(-4) == "page" then text = text:sub(1, -2) .. " " .. FILLER .. '"' end
  return '{"content":[{"type":"text","text":' .. text .. '}],"isError":false' .. more .. '}'
end

local function listing(method, more)
  if method == "tools/list" then return '{"tools":[' .. TOOLS .. ']' .. more .. '}' end
  if method == "resources/list" then return '{"resources":[]' .. more .. '}' end
  if method == "resources/templates/list" then return '{"resourceTemplates":[]' .. more .. '}' end
  if method == "prompts/list" then return '{"prompts":[]' .. more .. '}' end
end

local function reply(message, result)
  if not result then return failure(404, message.id, -32601, "no such method") end
  return answer(200, '{"jsonrpc":"2.0","id":' .. cjson.encode(message.id) .. ',"result":' .. result .. '}')
end

function M.serve_modern()
  local message = request()
  if not message then return end
  if message.method == "tools/call" then return reply(message, call(message.params, ',"resultType":"complete"')) end
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
    return reply(message, '{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":' .. INFO .. '}')
  end
  if not (ngx.var.http_mcp_session_id or ""):find("^session%-") then
    return failure(400, nil, -32000, "Bad Request: no session id was given")
  end
  if message.method == "tools/call" then return reply(message, call(message.params, "")) end
  if message.method == "ping" then return reply(message, "{}") end
  return reply(message, listing(message.method, ""))
end

return M
