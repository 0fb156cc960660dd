-- Bodies are the caller's: what becomes a header has no character that could end it.
function envoy_on_request(handle)
  local found = handle:streamInfo():dynamicMetadata():get("@FACTS@") or {}
  local headers = handle:headers()
  local session = headers:get("x-session-id") or found.user
  if session then headers:replace("@SESSION@", (string.gsub(string.sub(session, 1, 256), "[^%w%p]", "_"))) end
  if found.model == nil then return end
  local fits = #found.model <= 128 and string.find(found.model, "^%w[%w._/:-]*$")
  headers:replace("@MODEL@", fits and found.model or "?")
  local key = handle:streamInfo():dynamicMetadata():get("@SCOPE@")
  if key ~= nil and not string.find(key.models, "," .. found.model .. ",", 1, true) then
    return handle:respond({[":status"] = "403"}, "this key is not good for this model")
  end
  handle:clearRouteCache()
end
