-- On a refusal: how long until the bucket holds what this request costs. The refusing filter's own figures come first.
local function first(headers, name) return tonumber(string.match(headers:get(name) or "", "%d+")) end
function envoy_on_response(handle)
  local headers = handle:headers()
  local kind = headers:get("@LIMIT@")
  if kind == nil then return end
  local most, left = first(headers, "x-ratelimit-limit"), first(headers, "x-ratelimit-remaining")
  if most == nil then return end
  local found = handle:streamInfo():dynamicMetadata():get("@FACTS@") or {}
  local cost = kind == "tokens" and tonumber(found.cost) or 1
  headers:replace("retry-after", string.format("%d", math.max(1, math.ceil((math.min(cost, most) - (left or 0)) * 60 / most))))
end
