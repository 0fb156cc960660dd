-- JSON has no NaN, and people write missing numbers as null and truth values as true: inside `data` they have a meaning that Triton does not
-- know. What has none there is refused by the input's name, which Triton's reader of JSON does not say. Texts are passed over whole.
local digits = {["true"] = "1", ["false"] = "0"}
local function read_numbers(array, kind, truth)
  local whole = string.find(kind or "", "^U?INT") ~= nil
  if not string.find(array, whole and "[^%d%s,%[%]%-]" or '["ntf]') then return array end  -- exponents have none of these
  if string.find(array, '"', 1, true) then return array, kind and "holds a text, and takes numbers: write them without quotes" end
  local index, fault = 0, nil
  local read = string.gsub(array, "[^,]+", function(part)
    local token = string.match(part, "[^%s%[%]]+")
    index = index + 1
    if token == nil or fault then return nil end
    local column, taken = truth(index)
    if digits[token] and taken then return (string.gsub(part, "%a+", digits[token])) end
    if digits[token] then fault = column .. "holds " .. token .. ", and is no column of truth values"
    elseif token == "null" and not whole then return (string.gsub(part, "null", "NaN"))
    elseif token == "null" then fault = "holds null: a whole number has no way to be missing"
    elseif whole and not string.find(token, "^%-?%d+$") then fault = "holds " .. string.sub(token, 1, 40) .. ", and takes whole numbers" end
  end)
  return read, kind and fault
end
local function read_texts(array, kind)
  local beside = string.gsub(string.gsub(array, "\\.", ""), '"[^"]*"', "")
  if not string.find(beside, "[^%s,%[%]]") then return array end
  local out, at, fault = {}, 1, nil
  local function outside(part)
    return (string.gsub(part, "[^%s,%[%]]+", function(token)
      if token == "null" then return '""' end
      fault = fault or "holds " .. string.sub(token, 1, 40) .. ", and takes texts: write them in quotes"
    end))
  end
  while at <= #array do
    local quote = string.find(array, '"', at, true)
    out[#out + 1] = outside(string.sub(array, at, (quote or #array + 1) - 1))
    if quote == nil then break end
    local ending = quote + 1
    while true do
      ending = string.find(array, '["\\]', ending)
      if ending == nil then return array end
      if string.sub(array, ending, ending) == '"' then break end
      ending = ending + 2
    end
    out[#out + 1] = string.sub(array, quote, ending)
    at = ending + 1
  end
  return table.concat(out), kind and fault
end
-- Which columns have truth values, as the route says it; a model that is not known to have some or none takes them anywhere.
local function truths(handle)
  local facts = handle:metadata():get("truths")
  if facts == nil then return function() return function() return "", true end end end
  local known, columns = {}, handle:metadata():get("columns") or {}
  for _, name in ipairs(facts) do known[name] = true end
  return function(name)
    return function(index)
      if name ~= "input" or #columns == 0 then return "", known[name] end
      local column = columns[(index - 1) % #columns + 1]
      return "column '" .. column .. "' ", known[column]
    end
  end
end
-- A text of the tensor whose data are from `from` to `to`, by its key: in its object (which begins behind `since`) before them, or behind.
-- Time grows with the body's length alone, whatever its caller has put together: each byte before is looked at once, and few behind.
local behind = 512
local function own_part(text, since, from)
  local depth = 0
  for at = from - 1, since, -1 do
    local byte = string.byte(text, at)
    if byte == 125 then depth = depth + 1
    elseif byte == 123 and depth == 0 then return string.sub(text, at + 1, from - 1)
    elseif byte == 123 then depth = depth - 1 end
  end
  return string.sub(text, since, from - 1)
end
local function said(key, before, after)
  local pattern = '"' .. key .. '"%s*:%s*"([^"]*)"'
  return string.match(before, pattern) or string.match(after, "^[^{}]-" .. pattern)
end
-- The body in Triton's words; or nothing, and why it is refused.
local function in_words(text, truth)
  local out, at = {}, 1
  while true do
    local from, open = string.find(text, '"data"%s*:%s*%[', at)
    local _, to = string.find(text, "^%b[]", open or #text + 1)
    if to == nil then break end
    out[#out + 1] = string.sub(text, at, open - 1)
    local array = string.sub(text, open, to)
    local before, after = string.gsub(own_part(text, at, from), "%b{}", ""), string.sub(text, to + 1, to + behind)
    local kind, name = said("datatype", before, after), said("name", before, after) or "?"
    local read, fault = array, nil
    if kind and not string.find(array, "[^%s%[%]]") then fault = "holds no row: send one at least"
    elseif kind == "BYTES" or kind == nil and string.find(array, '"', 1, true) then read, fault = read_texts(array, kind)
    elseif kind ~= "BOOL" then read, fault = read_numbers(array, kind, truth(name)) end
    if fault then return nil, "input '" .. string.gsub(name, "%c", "?") .. "' (" .. kind .. ") " .. fault .. "." end
    out[#out + 1] = read
    at = to + 1
  end
  out[#out + 1] = string.sub(text, at)
  return table.concat(out)
end
-- Triton's reader of JSON calls itself for each level: a million of them end the server.
local deepest = 1000
local function too_deep(text)
  local depth, at = 0, 1
  while true do
    local found = string.find(text, '["%[%]{}]', at)
    if found == nil then return false end
    local byte = string.byte(text, found)
    if byte == 34 then
      repeat
        found = string.find(text, '["\\]', found + 1)
        if found == nil then return false end
        byte = string.byte(text, found)
        if byte == 92 then found = found + 1 end
      until byte == 34
    elseif byte == 91 or byte == 123 then
      depth = depth + 1
      if depth > deepest then return true end
    else
      depth = depth - 1
    end
    at = found + 1
  end
end
local function in_tritons_words(handle)
  local head = handle:headers():get("inference-header-content-length")
  local body = handle:body()
  if body == nil then return end
  -- What is no number, Triton reads in its own way: all of it is looked at then.
  local length = tonumber(string.match(head or "", "^%d+$") or body:length())
  local text = body:getBytes(0, math.min(length, body:length()))
  if too_deep(text) then
    return handle:respond({[":status"] = "400"}, "the request nests deeper than 1000 levels; a tensor is a list")
  end
  if head then return end
  local changed, fault = in_words(text, truths(handle))
  if fault then return handle:respond({[":status"] = "400"}, fault) end
  if changed ~= text then handle:headers():replace("content-length", tostring(body:setBytes(changed))) end
end
local sentences = {
  '^{"error":"Unable to parse ', '^{"error":"Unable to set ', '^{"error":"failed to parse the request JSON',
  '^{"error":"failed to get request params', '^{"error":"attempt to access ',
  '^{"error":%s?{"code":%s?500,%s?"message":%s?"Failed to parse ', '^{"error":{"code":500,"message":"%a+ input is not supported',
}
function envoy_on_request(handle)
  local asked = handle:headers():get(":path") or ""
  if string.find(asked, "^/v2/models/[^/]+/infer") then in_tritons_words(handle) end
  -- Another model answers under this one's name: a server of OpenAI's API looks for its own name in the body. Inside of a JSON text the
  -- quotes would stand behind a backslash.
  local by = handle:metadata():get("to")
  if by and string.find(asked, "^/v1/") then
    local body = handle:body()
    local text = body and body:getBytes(0, body:length()) or ""
    local named, count = string.gsub(text, '("model"%s*:%s*)"' .. handle:metadata():get("from") .. '"', '%1"' .. by .. '"')
    if count > 0 then handle:headers():replace("content-length", tostring(body:setBytes(named))) end
  end
  if string.find(asked, "^/v1/") then handle:streamInfo():dynamicMetadata():set("@FACTS@", "form", "openai") end
end
-- Servers of OpenAI's API each have an error's form of their own.
local function in_openais_form(text, status)
  local message = string.match(text, '"message"%s*:%s*(".-[^\\]")') or string.match(text, '"message"%s*:%s*("")')
  if message == nil then return nil end
  local kind = tonumber(status) < 500 and "invalid_request_error" or "server_error"
  local param = string.match(text, '"param"%s*:%s*("[%w_%.%[%]]*")') or "null"
  local code = string.match(text, '"code"%s*:%s*("[%w_]*")')
  if string.find(text, "exceed_context_size_error") then code = '"context_length_exceeded"' end
  return '{"error":{"message":' .. message .. ',"type":"' .. kind .. '","param":' .. param .. ',"code":' .. (code or "null") .. '}}'
end
function envoy_on_response(handle)
  local status = handle:headers():get(":status")
  if tonumber(status) < 400 then return end
  local form = (handle:streamInfo():dynamicMetadata():get("@FACTS@") or {}).form
  if status ~= "500" and form ~= "openai" then return end
  local body = handle:body()
  if body == nil or body:length() > 65536 then return end
  local text = body:getBytes(0, body:length())
  for _, sentence in ipairs(sentences) do
    if status == "500" and string.find(text, sentence) then status = "400" end
  end
  local headers = handle:headers()  -- reading the body ends the life of an earlier one
  headers:replace(":status", status)
  local said = form == "openai" and string.find(text, '^%s*{%s*"') and in_openais_form(text, status)
  if said then
    headers:replace("content-type", "application/json")
    headers:replace("content-length", body:setBytes(said))
  end
end
