function envoy_on_request(handle)
  local trouble = (handle:streamInfo():dynamicMetadata():get("@FACTS@") or {}).trouble
  if trouble then handle:respond({[":status"] = "400"}, trouble) end
end
