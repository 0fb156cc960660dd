-- Reads CSV (RFC 4180; fields between commas, lines ended by LF or CRLF), for the script that stands behind it.

-- Calls `visit(number of the line with fields, fields, how many)`; a field in which nothing stands is false, an empty one in quotes "".
local function walk_csv(body, visit)
  local at, number = sub(body, 1, 3) == "\239\187\191" and 4 or 1, 0
  local size = #body
  while at <= size do
    local fields, width, letter = {}, 0, nil
    repeat
      width = width + 1
      if byte(body, at) == 34 then
        local parts, from, quote = {}, at + 1, nil
        repeat
          quote = string.find(body, '"', from, true)
          if quote == nil then fail("a quote is never closed", at) end
          parts[#parts + 1] = sub(body, from, quote - 1)
          from = quote + 2
          local doubled = byte(body, quote + 1) == 34
          if doubled then parts[#parts + 1] = '"' end
        until not doubled
        fields[width] = table.concat(parts)
        at = quote + 1
      else
        local ending = string.find(body, "[,\r\n]", at) or size + 1
        local text = sub(body, at, ending - 1)
        if string.find(text, '"', 1, true) then fail("a quote stands in a field that does not begin with one", at) end
        fields[width] = text ~= "" and text
        at = ending
      end
      letter = byte(body, at)
      if letter ~= nil and letter ~= 44 and letter ~= 13 and letter ~= 10 then fail("something follows a field in quotes", at) end
      at = at + ((letter == 13 and byte(body, at + 1) == 10) and 2 or 1)
    until letter ~= 44
    if width > 1 or fields[1] then  -- an empty line is none
      number = number + 1
      visit(number, fields, width)
    end
  end
end

local WRITTEN = {['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t"}

local function as_json(text)
  local raw = '"' .. string.gsub(text, '[%c"\\]', function(letter) return WRITTEN[letter] or string.format("\\u%04x", byte(letter)) end) .. '"'
  text_at(raw, 2)  -- whether it is UTF-8 without a NUL
  return raw
end

-- A field as JSON would have it for a column of texts, or of numbers.
local function csv_value(field, is_text)
  if field == false then return "null" end
  if is_text then return as_json(field) end
  local from, to = string.match(field, "^%s*()"), #field
  while to >= from and string.find(sub(field, to, to), "%s") do to = to - 1 end  -- a pattern would try every run of blanks to its end
  local text = sub(field, from, to)
  if text == "" then return "null" end
  local word = string.lower(text)
  if word == "true" or word == "false" then return word end
  local sign, digits = string.match(text, "^([+-]?)(.*)$")
  digits = string.gsub(digits, "^%.(%d)", "0.%1")
  digits = string.gsub(digits, "^0+(%d)", "%1")
  digits = string.gsub(digits, "^(%d+)%.$", "%1")
  digits = string.gsub(digits, "^(%d+)%.([eE])", "%1%2")
  if string.find(digits, "^%d") then return (sign == "-" and "-" or "") .. digits end
  return as_json(text)
end
