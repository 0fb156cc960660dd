-- Before a request of a key, team or model with a budget goes on, the most tokens that it can come to are reserved with who keeps the count.
-- What it came to is settled out of the access log, in which the reservation's id stands. Who names no max_tokens gets one, or the
-- reservation would be none: no more than is left. One that names max_completion_tokens alone gets as many: not every server reads these.
local keys, models = {@KEYS@}, {@MODELS@}
local function whole(value) return string.format("%.0f", value) end
local function respond(handle, status, message, kind, code, again)
  handle:headers():replace("@SAID@", "1")
  local text = '{"error": {"message": "' .. message .. '", "type": "' .. kind .. '", "param": null, "code": "' .. code .. '"}}'
  handle:respond({[":status"] = status, ["content-type"] = "application/json", ["retry-after"] = again}, text)
end
-- What a handle gives is good until the next wait alone: after each, headers and metadata are asked for anew.
local function reserve(handle)
  local headers = handle:headers()
  local client, model = headers:get("@CLIENT@"), headers:get("@MODEL@")
  if client == nil or model == nil or client == "@OWN@" or not (keys[client] or models[model]) then return end
  local id, embeds = headers:get("x-request-id"), string.find(headers:get(":path"), "^/v1/embeddings") ~= nil
  local facts = handle:streamInfo():dynamicMetadata()
  local found = facts:get("@FACTS@") or {}
  local said = math.max(tonumber(found.max_tokens) or -1, tonumber(found.max_completion_tokens) or -1)
  local prompts = math.max(1, tonumber(found.prompts) or 1)
  local answers = math.max(1, tonumber(found.n) or 1) * prompts
  facts:set("@FACTS@", "@HOLD@", id)
  local body = handle:body()
  if body == nil then return end
  local prompt = body:length() + @TEMPLATE@ * prompts
  local want = prompt + (embeds and 0 or (said >= 0 and said or @UNSAID@)) * answers
  local least = (embeds or said >= 0) and want or prompt + answers
  local answer, text = handle:httpCall("@CLUSTER@", {
    [":method"] = "POST", [":path"] = "@PATH@", [":authority"] = "budgets", ["x-id"] = id, ["x-client"] = client, ["x-model"] = model,
    ["x-least"] = whole(least), ["x-want"] = whole(want),
  }, "", @TIMEOUT@)
  local status = answer and answer[":status"]
  if status == "429" then return respond(handle, "429", text or "", "insufficient_quota", "insufficient_quota", answer["retry-after"]) end
  local granted = status == "200" and tonumber(answer["x-granted"]) or nil
  if granted == nil then error("the count answered " .. tostring(status) .. ", " .. tostring(text)) end
  if embeds or tonumber(found.max_tokens) then return end
  local most = said >= 0 and said or math.floor((granted - prompt) / answers)
  local whole_body = handle:body()
  local changed = string.gsub(whole_body:getBytes(0, whole_body:length()), "}%s*$", function()
    return ', "max_tokens": ' .. whole(most) .. "}"
  end)
  handle:headers():replace("content-length", tostring(whole_body:setBytes(changed)))
end
function envoy_on_request(handle)
  -- An error would let the request pass: whatever goes wrong here, it is refused.
  local fine, why = pcall(reserve, handle)
  if fine then return end
  handle:logWarn("budgets: " .. tostring(why))
  respond(handle, "503", "Whether the budget allows this request can't be told at the moment. Try again.", "server_error", "budget_unknown", "1")
end
