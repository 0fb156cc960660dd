-- JSON has no NaN, and people write missing numbers as null and truth values as true: inside `data` they have a meaning that Triton does not
-- know. Texts are passed over whole; a body without such a word, or with tensors of truth values, stays as it is.
local words = {["null"] = {"NaN", '""'}, ["true"] = {"1", '"True"'}, ["false"] = {"0", '"False"'}}
local function plain(array, kind)
  local place = (kind == "BYTES" or kind == nil and string.find(array, '"', 1, true)) and 2 or 1
  local out, at = {}, 1
  while at <= #array do
    local quote = string.find(array, '"', at, true)
    local outside = string.sub(array, at, (quote or #array + 1) - 1)
    out[#out + 1] = string.gsub(outside, "%a+", function(word) return words[word] and words[word][place] end)
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
  return table.concat(out)
end
-- The datatype of the tensor whose data are from `from` to `to`: in its object (which begins behind `since`) before them, or behind.
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
local function datatype(text, since, from, to)
  local before = string.gsub(own_part(text, since, from), "%b{}", "")
  return string.match(before, '"datatype"%s*:%s*"(%w+)"')
    or string.match(string.sub(text, to + 1, to + behind), '^[^{}]-"datatype"%s*:%s*"(%w+)"')
end
local function with_words(text)
  local out, at = {}, 1
  while true do
    local from, open = string.find(text, '"data"%s*:%s*%[', at)
    local _, to = string.find(text, "^%b[]", open or #text + 1)
    if to == nil then break end
    out[#out + 1] = string.sub(text, at, open - 1)
    out[#out + 1] = plain(string.sub(text, open, to), datatype(text, at, from, to))
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
    handle:respond({[":status"] = "400", ["content-type"] = "application/json"}, '{"error":"the request nests deeper than 1000 levels; a tensor is a list"}')
    return
  end
  if head then return end
  if string.find(text, '"BOOL"', 1, true) then return end
  if not (string.find(text, "null", 1, true) or string.find(text, "true", 1, true) or string.find(text, "false", 1, true)) then return end
  local changed = with_words(text)
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
