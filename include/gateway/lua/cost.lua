-- What a request may cost is known before it is answered only as far as it says so itself; OpenAI counts in the same way.
function envoy_on_request(handle)
  local facts = handle:streamInfo():dynamicMetadata()
  local found = facts:get("@FACTS@") or {}
  local asked = tonumber(found.max_completion_tokens) or tonumber(found.max_tokens)
  if asked == nil or asked ~= asked or asked < 0 then asked = @UNSAID@ end
  if string.find(handle:headers():get(":path"), "^/v1/embeddings") then asked = 0 end
  local bytes = tonumber(handle:headers():get("content-length")) or 0
  local choices = math.max(1, math.min(tonumber(found.n) or 1, 1000))
  local prompts = math.max(1, tonumber(found.prompts) or 1)
  local cost = math.ceil(bytes / @BYTES@) + math.floor(math.min(asked, @MOST@) * choices * prompts)
  facts:set("@FACTS@", "cost", string.format("%d", math.max(1, math.min(cost, @MOST@))))
end
