local seen = {}
local INFERENCE = {@PATHS@}
local counted, budgeted = {@COUNTED@}, {@MODELS@}
local function refuse(handle, status, sentence)
  handle:respond({[":status"] = status, ["www-authenticate"] = status == "401" and "Bearer" or nil}, sentence)
end
local function given(headers)
  local key = headers:get("x-api-key")
  if key ~= nil then return key end
  local header = headers:get("authorization")
  if header == nil then return nil end
  return string.match(header, "^[Bb][Ee][Aa][Rr][Ee][Rr]%s+(%S+)%s*$") or ""
end
local function known(key)
  local found = seen[key]
  if found == nil and #key > 0 and #key <= @MOST@ then
    found = keys[sha256(key)]
    seen[key] = found
  end
  if found ~= nil and found.ends ~= nil and os.time() >= found.ends then return nil, "has expired" end
  return found, "is not known here, or was revoked"
end
function envoy_on_request(handle)
  local headers = handle:headers()
  local path = string.match(headers:get(":path"), "^[^?]*")
  if path == "/v2/health/live" or path == "/v2/health/ready" then return end
  local call = string.match(path, "^@SERVICE@(%w+)$")
  if call == "ServerLive" or call == "ServerReady" then return end
  local key = given(headers)
  if key == nil then return refuse(handle, "401", "an API key is needed and none was sent") end
  local found, why = known(key)
  if found == nil then return refuse(handle, "401", "an API key is needed, and the one that was sent " .. why) end
  headers:replace("@CLIENT@", found.client)
  if call ~= nil then return end  -- asked again by the listener behind, once the message has told what it is about
  headers:remove("x-api-key")
  headers:remove("authorization")
  local model = string.match(path, "^/v[12]/models/([^/:]+)")
  local own = string.match(path, "^/models/([^/]+)")
  local verb = (own or INFERENCE[path] or string.match(path, "/infer$") or headers:get(":method") == "POST") and "infer" or "metadata"
  model = model or own
  if not found[verb] then return refuse(handle, "403", "this key is not good for the verb " .. verb) end
  if own and found.client ~= "@OWN@" and (counted[found.client] or budgeted[own]) then
    return refuse(handle, "403", "tokens are under a budget here, and nobody counts them on a server's own paths: ask by OpenAI's")
  end
  if found.models == nil then return end
  if path == "/v1/models" then return refuse(handle, "403", "this key is good for some models only: ask for /v1/models/<name>") end
  if model ~= nil and not found.models[model] then return refuse(handle, "403", "this key is not good for this model") end
  handle:streamInfo():dynamicMetadata():set("@SCOPE@", "models", found.listed)
end
