-- What became of a call stands in its trailers. The bridge, which answers before, knows HTTP's status alone.
function envoy_on_request(handle)
  -- What the bridge takes for a call: a message of application/grpc-web would pass it in its frame.
  local kind = handle:headers():get("content-type") or ""
  if kind == "application/grpc" or string.find(kind, "^application/grpc%+") then return end
  handle:respond({[":status"] = "400"}, "this path is gRPC's: call it so, or ask POST /v2/models/<name>/infer")
end
function envoy_on_response(handle)
  local headers = handle:headers()
  local code, message = headers:get("@CODE@"), headers:get("@MESSAGE@")
  if code == nil then return end  -- said by the gateway itself
  headers:remove("@CODE@")
  headers:remove("@MESSAGE@")
  local trailers = handle:trailers()
  if trailers == nil then return end
  trailers:replace("grpc-status", code)
  if message then trailers:replace("grpc-message", message) end
end
