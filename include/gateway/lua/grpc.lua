-- KServe's gRPC service as its HTTP form: a request's message becomes the path and body that a caller of HTTP would have sent, and the
-- answer a message. Tensors pass as they are: both forms write them alike.

local SERVICE = "/inference.GRPCInferenceService/"
local MOST_TENSORS, MOST_NUMBERS, LARGEST, MOST_BYTES = 1000, 65536, 2 ^ 53, @MOST@
local PLAIN = {[34] = '\\"', [92] = "\\\\"}

local function quoted(text)
  return '"' .. string.gsub(text, '[%c"\\]', function(letter)
    return PLAIN[byte(letter)] or string.format("\\u%04x", byte(letter))
  end) .. '"'
end

local function whole(text, from, what)
  local value = varint(text, from)
  if value > LARGEST then fail(what .. " is negative, or above 2^53") end
  return string.format("%.0f", value)
end

-- An entry of a map of parameters, in JSON.
local function parameter(text, from, to)
  local name, value
  each(text, from, to, function(number, _, first, last)
    if number == 1 then name = sub(text, first, last)
    elseif number == 2 then
      each(text, first, last, function(kind, _, at, ending)
        if kind == 1 then value = byte(text, at) == 0 and "false" or "true"
        elseif kind == 2 or kind == 5 then value = whole(text, at, "a parameter")
        elseif kind == 3 then value = quoted(sub(text, at, ending))
        elseif kind == 4 then value = string.format("%.17g", double(text, at)) end
      end)
    end
  end)
  name = name or ""
  if string.find(name, "^shared_memory") then fail("shared memory is not taken here: send the tensors") end
  if string.find(name, "^binary_data") then fail("the parameter " .. name .. " is of HTTP: leave it out") end
  return quoted(name) .. ":" .. (value or "null")
end

-- Of `contents`: the field that holds a type's numbers, and how many bytes each of them has in a tensor.
local TYPES = {
  BOOL = {1, 1}, INT8 = {2, 1}, INT16 = {2, 2}, INT32 = {2, 4}, INT64 = {3, 8}, UINT8 = {4, 1}, UINT16 = {4, 2}, UINT32 = {4, 4},
  UINT64 = {5, 8}, FP32 = {6, 4}, FP64 = {7, 8}, BYTES = {8, 0},
}

local function contents(text, from, to, name, kind)
  local known = TYPES[kind]
  if known == nil then fail("input '" .. name .. "' (" .. kind .. ") comes in raw_input_contents alone") end
  local out, size = {}, known[2]
  each(text, from, to, function(number, wire, first, last)
    if number ~= known[1] then fail("input '" .. name .. "' (" .. kind .. ") holds contents of another type") end
    if #out >= MOST_NUMBERS then fail("input '" .. name .. "' holds more than " .. MOST_NUMBERS .. " values: send raw_input_contents") end
    if kind == "BYTES" then
      local length = last - first + 1
      local low = length % 65536
      local high = (length - low) / 65536
      out[#out + 1] = string.char(low % 256, math.floor(low / 256), high % 256, math.floor(high / 256)) .. sub(text, first, last)
    elseif number >= 6 then out[#out + 1] = sub(text, first, last)  -- as a tensor has them
    elseif wire == 0 then out[#out + 1] = lowest_bytes(text, first, size)
    else
      local at = first
      while at <= last do
        if #out >= MOST_NUMBERS then fail("input '" .. name .. "' holds more than " .. MOST_NUMBERS .. " values: send raw_input_contents") end
        counted()
        varint(text, at)  -- that it ends
        out[#out + 1], at = lowest_bytes(text, at, size)
      end
    end
  end)
  return table.concat(out)
end

local function input(text, from, to)
  local found = {name = "", kind = "", shape = {}, parameters = {}}
  each(text, from, to, function(number, wire, first, last)
    if number == 1 then found.name = sub(text, first, last)
    elseif number == 2 then found.kind = sub(text, first, last)
    elseif number == 3 then
      local at = first
      while at <= last do
        found.shape[#found.shape + 1] = whole(text, at, "a dimension of input '" .. found.name .. "'")
        if #found.shape > 64 then fail("input '" .. found.name .. "' has more than 64 dimensions") end
        at = select(2, varint(text, at))
      end
    elseif number == 4 then found.parameters[#found.parameters + 1] = parameter(text, first, last)
    elseif number == 5 then found.contents = {first, last} end
  end)
  return found
end

local function output(text, from, to)
  local name, parameters = "", {'"binary_data":true'}
  each(text, from, to, function(number, _, first, last)
    if number == 1 then name = sub(text, first, last)
    elseif number == 2 then parameters[#parameters + 1] = parameter(text, first, last) end
  end)
  return '{"name":' .. quoted(name) .. ',"parameters":{' .. table.concat(parameters, ",") .. "}}"
end

local function raw_of(text, tensor, raw)
  if raw then
    if tensor.contents then fail("input '" .. tensor.name .. "' comes twice: in contents and in raw_input_contents") end
    return sub(text, raw[1], raw[2])
  end
  if tensor.contents == nil then fail("input '" .. tensor.name .. "' has no values") end
  return contents(text, tensor.contents[1], tensor.contents[2], tensor.name, tensor.kind)
end

-- The model's name, and the body of an inference request with the length of its part in JSON.
local function inference(text)
  local model, version, id, inputs, outputs, raw = "", "", nil, {}, {}, {}
  local parameters = {'"binary_data_output":true'}
  each(text, 1, #text, function(number, _, from, to)
    if number == 1 then model = sub(text, from, to)
    elseif number == 2 then version = sub(text, from, to)
    elseif number == 3 then id = sub(text, from, to)
    elseif number == 4 then parameters[#parameters + 1] = parameter(text, from, to)
    elseif number == 5 then inputs[#inputs + 1] = input(text, from, to)
    elseif number == 6 then outputs[#outputs + 1] = output(text, from, to)
    elseif number == 7 then raw[#raw + 1] = {from, to} end
    if #inputs > MOST_TENSORS or #outputs > MOST_TENSORS or #raw > MOST_TENSORS then fail("more than " .. MOST_TENSORS .. " tensors") end
  end)
  if #raw > 0 and #raw ~= #inputs then fail(#inputs .. " inputs, and values of " .. #raw) end
  local heads, bodies = {}, {}
  for place, tensor in ipairs(inputs) do
    bodies[place] = raw_of(text, tensor, raw[place])
    tensor.parameters[#tensor.parameters + 1] = '"binary_data_size":' .. #bodies[place]
    heads[place] = '{"name":' .. quoted(tensor.name) .. ',"datatype":' .. quoted(tensor.kind) .. ',"shape":['
      .. table.concat(tensor.shape, ",") .. '],"parameters":{' .. table.concat(tensor.parameters, ",") .. "}}"
  end
  local head = "{" .. (id and id ~= "" and '"id":' .. quoted(id) .. "," or "") .. '"parameters":{' .. table.concat(parameters, ",")
    .. '},"inputs":[' .. table.concat(heads, ",") .. "]" .. (#outputs > 0 and ',"outputs":[' .. table.concat(outputs, ",") .. "]" or "") .. "}"
  local body = head .. table.concat(bodies)
  if #body > MOST_BYTES then fail("it would be longer than " .. MOST_BYTES .. " bytes as a request of HTTP: send fewer rows in a request") end
  return model, version, body, #head
end

local function named(text)
  local model, version = "", ""
  each(text, 1, #text, function(number, _, from, to)
    if number == 1 then model = sub(text, from, to) elseif number == 2 then version = sub(text, from, to) end
  end)
  return model, version
end

-- What a method asks by HTTP: the path's end, for a method about a model behind its name, and how its message is read.
local METHODS = {
  ServerLive = {path = "/v2/health/live"}, ServerReady = {path = "/v2/health/ready"},
  ModelReady = {behind = "/ready", read = named}, ModelMetadata = {behind = "", read = named},
  ModelInfer = {behind = "/infer", read = inference, post = true},
}

local function as_http(asked, text)
  count = 0
  local method = METHODS[asked]
  if method.path then return method.path, "" end
  local model, version, body, head = method.read(text)
  if not string.find(model, "^[%w_]+$") then fail("model_name '" .. sub(model, 1, 48) .. "' is no model's name") end
  if version ~= "" then fail("the gateway chooses the version: leave model_version empty") end
  return "/v2/models/" .. model .. method.behind, method.post and body or "", head
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local asked = string.match(headers:get(":path"), "^" .. SERVICE .. "(%w+)$")
  handle:streamInfo():dynamicMetadata():set("@SCOPE@", "method", asked or "?")
  if METHODS[asked] == nil then return end  -- no such path, says the route
  local buffer = handle:body(true)
  local fine, path, body, head = pcall(as_http, asked, buffer:getBytes(0, buffer:length()))
  if not fine then
    local what = type(path) == "table" and path.what or "it can't be read"
    return handle:respond({[":status"] = "400"}, "The message is no good request: " .. what .. ".")
  end
  local length = buffer:setBytes(body)
  headers = handle:headers()  -- reading the body ends the life of an earlier one
  headers:replace(":path", path)
  headers:replace("content-length", tostring(length))
  headers:remove("accept-encoding")  -- servers compress answers
  headers:remove("te")
  if head then
    headers:replace("content-type", "application/octet-stream")
    headers:replace("inference-header-content-length", tostring(head))
  else
    headers:replace(":method", "GET")
    headers:remove("content-type")
  end
end

local ESCAPES = {b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}
-- A text of JSON as it is meant; characters beyond ASCII that are written as escapes stay so.
local function meant(text)
  text = string.gsub(text, "\\u00(%x%x)", function(code) return tonumber(code, 16) < 128 and string.char(tonumber(code, 16)) or nil end)
  return (string.gsub(text, "\\([^u])", function(letter) return ESCAPES[letter] or letter end))
end

local function tensors(found, number)
  local out = {}
  for place = 1, found.n do
    local tensor = found[place]
    out[place] = field(number, field(1, meant(tensor.name)) .. field(2, tensor.datatype) .. numbers(3, tensor.shape))
  end
  return table.concat(out)
end

local function inferred(text, head)
  local said = value_at(sub(text, 1, head), 1, 0)
  local parts = {field(1, meant(said.model_name or "")), field(2, meant(said.model_version or ""))}
  if type(said.id) == "string" then parts[3] = field(3, meant(said.id)) end
  parts[#parts + 1] = tensors(said.outputs, 5)
  local at = head + 1
  for place = 1, said.outputs.n do
    local size = said.outputs[place].parameters.binary_data_size
    if at + size - 1 > #text then fail("the answer is shorter than it says") end
    parts[#parts + 1] = field(6, sub(text, at, at + size - 1))
    at = at + size
  end
  return table.concat(parts)
end

local function described(text)
  local said = value_at(text, 1, 0)
  local versions = {}
  for place = 1, said.versions and said.versions.n or 0 do versions[place] = field(2, meant(said.versions[place])) end
  local platform = type(said.platform) == "string" and field(3, meant(said.platform)) or ""
  return field(1, meant(said.name)) .. table.concat(versions) .. platform .. tensors(said.inputs, 4) .. tensors(said.outputs, 5)
end

local function as_message(asked, status, text, head)
  if asked == "ModelReady" and (status == "200" or status == "400" or status == "404" or status == "503") then
    return truth(1, status == "200")
  end
  if status ~= "200" then return nil end
  if asked == "ModelInfer" then return inferred(text, head) end
  return asked == "ModelMetadata" and described(text) or truth(1, true)
end

local function percent_encoded(text)
  return (string.gsub(sub(text, 1, 1000), "[^ -$&-~]", function(letter) return string.format("%%%02X", byte(letter)) end))
end

-- gRPC's codes (https://grpc.github.io/grpc/core/md_doc_statuscodes.html).
local CODES = {
  ["200"] = 0, ["400"] = 3, ["401"] = 16, ["403"] = 7, ["404"] = 5, ["408"] = 4, ["413"] = 8, ["415"] = 12, ["429"] = 8, ["500"] = 13,
  ["501"] = 12, ["502"] = 13, ["503"] = 14, ["504"] = 4,
}
-- No message of the service has a field of this number: who reads it passes it over. A body that is empty would end the answer before its
-- trailers.
local function nothing() return written_varint(1000 * 8) .. "\0" end

function envoy_on_response(handle)
  local asked = (handle:streamInfo():dynamicMetadata():get("@SCOPE@") or {}).method
  local status, head = handle:headers():get(":status"), handle:headers():get("inference-header-content-length")
  local buffer = handle:body(true)
  local text = buffer:getBytes(0, buffer:length())
  local fine, message = pcall(as_message, asked, status, text, tonumber(head))
  local headers = handle:headers()
  if not fine then
    status, message, text = "502", nil, "the model's answer holds no tensors"
    headers:replace(":status", status)
  end
  headers:replace("@CODE@", tostring(message and 0 or CODES[status] or 2))
  if message == nil then
    local sentence = string.match(text, '"error"%s*:%s*"(.-[^\\])"')
    headers:replace("@MESSAGE@", percent_encoded(sentence and meant(sentence) or text))
  end
  local length = buffer:setBytes(message and message ~= "" and message or nothing())
  headers = handle:headers()
  headers:replace("content-type", "@TYPE@")
  headers:replace("content-length", tostring(length))
  headers:remove("inference-header-content-length")
end
