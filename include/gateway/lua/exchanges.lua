-- Notes what callers sent and got, of the requests that are drawn, for the gateway's second access log. Whether one is drawn its id says, so
-- that the copy for a canary is drawn with its original. Nothing is held up: of an answer, each part is noted as it passes.
local models = {@MODELS@}
local taken = {}
local inference = @PATHS@
local function model_of(headers)
  local path = headers:get(":path") or ""
  return string.match(path, "^/v2/models/([^/?]+)/infer") or inference[string.match(path, "^[^?]*")] and headers:get("@MODEL@")
end
-- Each of the gateway's threads counts for itself: who keeps the log holds their sum to the number.
local function in_time(model, most)
  local minute, count = math.floor(os.time() / 60), taken[model]
  if count == nil or count.minute ~= minute then
    count = {minute = minute, n = 0}
    taken[model] = count
  end
  count.n = count.n + 1
  return count.n <= most
end
local function drawn(model, id)
  local plan = models[model]
  if plan == nil or id == nil then return false end
  return (tonumber(string.sub(id, -8), 16) or 0) < plan.share * 4294967296 and (plan.most == nil or in_time(model, plan.most))
end
-- The id tells its time (UUIDv7, RFC 9562): by it the log's rows are found without reading all of them.
local function stamped(handle, headers)
  local id = headers:get("x-request-id")
  -- A copy's has its time already; Envoy has put the version of its own ids there again.
  if headers:get("@MIRROR@") then return string.sub(id, 1, 14) .. "7" .. string.sub(id, 16) end
  local ms = tonumber(handle:timestamp())
  local time = string.format("%06x%06x", math.floor(ms / 16777216), ms % 16777216)
  return string.sub(time, 1, 8) .. "-" .. string.sub(time, 9) .. "-7" .. string.sub(id, 16)
end
-- Metadata hold UTF-8 and nothing else.
local function note(handle, name, text)
  local facts = handle:streamInfo():dynamicMetadata()
  if string.find(text, "[\128-\255]") then
    facts:set("@SCOPE@", name .. "_base64", handle:base64Escape(text))
  else
    facts:set("@SCOPE@", name, text)
  end
end
function envoy_on_request(handle)
  local headers = handle:headers()
  local model = model_of(headers)
  if not model or not drawn(model, headers:get("x-request-id")) then return end
  headers:replace("x-request-id", stamped(handle, headers))
  local head = headers:get("inference-header-content-length")
  local facts = handle:streamInfo():dynamicMetadata()
  facts:set("@DRAWN@", "drawn", "yes")  -- by itself: to ask for it is to be given a copy of all beside it
  if head then facts:set("@SCOPE@", "request_head", head) end
  local body = handle:body()
  if body == nil then return end
  if body:length() <= @MOST@ then
    note(handle, "request", body:getBytes(0, body:length()))
  else
    handle:streamInfo():dynamicMetadata():set("@SCOPE@", "cut", "yes")
  end
end
function envoy_on_response(handle)
  if handle:streamInfo():dynamicMetadata():get("@DRAWN@") == nil then return end
  local head, coding = handle:headers():get("inference-header-content-length"), handle:headers():get("content-encoding")
  local parts, length = {}, 0
  for chunk in handle:bodyChunks() do
    length = length + chunk:length()
    if length <= @MOST@ then parts[#parts + 1] = chunk:getBytes(0, chunk:length()) end
  end
  local facts = handle:streamInfo():dynamicMetadata()
  if head then facts:set("@SCOPE@", "response_head", head) end
  if coding then facts:set("@SCOPE@", "response_coding", coding) end
  if length > @MOST@ then return facts:set("@SCOPE@", "cut", "yes") end
  if length > 0 then note(handle, "response", table.concat(parts)) end
end
